"""``fetchd mirror``: from options as they were typed to settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fetchd.crawler.cli.mirror_options import MirrorOrder, RawMirror, mirror_order
from fetchd.crawler.cli.options import RawRun
from fetchd.jobs.exceptions import SettingsError

TO = "http://dst/{path}"


def order(run: dict[str, Any] | None = None, environment: Mapping[str, str] | None = None, **given: Any) -> MirrorOrder:
    """What these options ask for; the file ``secret`` holds credentials, any other is not there."""

    def read_text(name: str) -> str:
        if name != "secret":
            raise FileNotFoundError(2, "No such file or directory", name)
        return "user:pass:word\n"

    return mirror_order(
        RawMirror(run=RawRun(manifest="m", **(run or {})), **{"to": TO, **given}), read_text, environment or {}
    )


def test_what_is_not_given_is_left_to_the_defaults() -> None:
    asked = order()
    settings, delivery = asked.settings, asked.settings.delivery
    assert settings.run.output == Path("mirror")
    assert (settings.to, settings.per_host, settings.unix_socket, settings.insecure) == (TO, None, None, False)
    assert (delivery.method, delivery.field, delivery.headers, delivery.auth) == ("PUT", None, (), None)
    assert (delivery.tee, delivery.spool, delivery.skip_same, delivery.if_absent) == (None, None, None, False)
    assert not asked.is_dry


def test_what_is_given_is_taken() -> None:
    asked = order(
        {"output": "here", "retries": "2", "checksum": "SHA-256"},
        field="file",
        to_header=("X-Own: 1",),
        to_auth="@secret",
        to_proxy="http://p:1",
        to_unix_socket="s",
        to_cacert="c",
        to_per_host="3",
        skip_same="etag",
        tee="copies",
        spool=True,
        dry_run=True,
    )
    settings, delivery = asked.settings, asked.settings.delivery
    assert (settings.run.retries, settings.run.checksum) == (2, "sha256")
    assert (delivery.method, delivery.field, delivery.headers) == ("POST", "file", (("X-Own", "1"),))
    assert delivery.auth is not None
    assert (delivery.auth.login, delivery.auth.password) == ("user", "pass:word")
    assert (delivery.proxy, delivery.skip_same) == ("http://p:1", "etag")
    assert (delivery.tee, delivery.spool) == (Path("copies"), Path("here"))
    assert (settings.per_host, settings.unix_socket, settings.cacert) == (3, Path("s"), Path("c"))
    assert asked.is_dry


@pytest.mark.parametrize(
    ("option", "variables", "endpoint"),
    [
        (None, {}, None),
        (None, {"AWS_ENDPOINT_URL": "http://all"}, "http://all"),
        (None, {"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": "http://s3"}, "http://s3"),
        ("http://given", {"AWS_ENDPOINT_URL_S3": "http://s3"}, "http://given"),
    ],
)
def test_a_store_is_where_the_option_or_the_environment_says(
    option: str | None, variables: dict[str, str], endpoint: str | None
) -> None:
    asked = order(environment=variables, to="s3://bucket/{path}", s3_endpoint=option, s3_part_size="6MiB")
    store = asked.settings.delivery.s3
    assert store is not None
    assert (store.endpoint, store.part_bytes) == (endpoint, 6 << 20)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"s3_endpoint": "http://x"}, "go with --to s3://BUCKET/KEY only"),
        ({"to": "s3://bucket/x", "s3_part_size": "4MiB"}, "a part of 4194304 octets; expected 5242880"),
        ({"to": "s3://bucket/x", "s3_part_size": "many"}, "--s3-part-size is 'many'; expected a size"),
        ({"to": "s3://bucket/x", "field": "f"}, "put to and signed for"),
        ({"to": "dst/{path}"}, "no scheme"),
        ({"method": "put"}, "--method is 'put'; expected one of PUT, POST"),
        ({"method": "PUT", "field": "f"}, "--field goes with --method POST only"),
        ({"method": "POST", "mkcol": True}, "--mkcol goes with --method PUT only"),
        ({"skip_same": "size"}, "--skip-same is 'size'"),
        ({"to_per_host": "0"}, "--to-per-host is '0'"),
        ({"to_insecure": True, "to_cacert": "c"}, "--to-insecure and --to-cacert exclude each other"),
        ({"to_header": ("nonsense",)}, "--to-header: expected 'Name: value'"),
        ({"to_auth": "nobody"}, "--to-auth: expected USER:PASSWORD"),
        ({"to_auth": "@gone"}, "--to-auth: cannot read gone: no such file"),
        ({"tee": ""}, "--tee is ''; expected a path"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(given: dict[str, Any], match: str) -> None:
    with pytest.raises(SettingsError) as caught:
        order(**given)
    assert match in str(caught.value)
