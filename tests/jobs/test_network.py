"""The way to the hosts that a run was told, seen at the servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fetchd.client import BasicAuth
from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.network import Network
from fetchd.jobs.sessions import open_session
from fetchd.jobs.settings import RunSettings
from tests.support.certs import (
    demanding_server_context,
    fingerprint,
    server_context,
    write_authority,
    write_client_identity,
)
from tests.support.raw_proxy import http_proxy
from tests.support.raw_server import RawConnection, raw_server, reply_with, response
from tests.support.runs import run_lines

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

HERE = reply_with(response(200, b"here"))
MOVED = reply_with(response(302, b"", [("Location", "/again")], reason="Found"))


async def test_a_proxy_that_is_named_is_asked(tmp_path: Path) -> None:
    """With the whole URL; user and password of its own stay with it."""
    async with raw_server(HERE) as origin, raw_server(http_proxy()) as proxy:
        url = f"http://me:secret@127.0.0.1:{proxy.port}"
        ran = await run_lines(tmp_path, [origin.url("/a")], network=Network(proxy=url))
        assert ran.results == {1: "done"}
        assert proxy.requests[0].target == origin.url("/a")
        assert "Proxy-Authorization" in proxy.requests[0].fields
        assert "Proxy-Authorization" not in origin.requests[0].fields


async def test_a_proxy_of_the_environment_is_asked_unless_it_is_excepted(tmp_path: Path) -> None:
    """``no_proxy`` too; and the caps of a host are not those of the proxy."""
    async with raw_server(HERE) as origin, raw_server(http_proxy()) as proxy:
        variables = {"http_proxy": f"http://127.0.0.1:{proxy.port}"}
        await run_lines(tmp_path, [origin.url("/a")], network=Network(environment=variables))
        excepted = {**variables, "no_proxy": "127.0.0.1"}
        await run_lines(tmp_path, [origin.url("/b")], network=Network(environment=excepted))
        assert [request.target for request in proxy.requests] == [origin.url("/a")]
        assert len(origin.requests) == 2


@pytest.mark.parametrize(("limit", "asked"), [(0, 1), (2, 3), (10, 11)])
async def test_redirections_are_followed_as_often_as_told(tmp_path: Path, limit: int, asked: int) -> None:
    """Then the item fails as redirect, and is not tried again."""
    async with raw_server(MOVED) as server:
        ran = await run_lines(tmp_path, [server.url("/a")], network=Network(max_redirects=limit))
        assert ran.results == {1: "failed: redirect"}
        assert len(server.requests) == asked


async def test_names_lead_where_they_are_said_to(tmp_path: Path) -> None:
    """For the port that is named; the server sees the name."""
    async with raw_server(HERE, host="::1") as server:
        network = Network(resolve={f"a.test:{server.port}": ("::1",)}, family=6)
        ran = await run_lines(tmp_path, [f"http://a.test:{server.port}/"], network=network)
        assert ran.results == {1: "done"}
        assert server.requests[0].fields["Host"] == f"a.test:{server.port}"


async def test_an_ip_version_that_the_host_does_not_have_is_a_failure(tmp_path: Path) -> None:
    """Nothing is connected to."""
    async with raw_server(HERE) as server:
        network = Network(family=6)
        ran = await run_lines(tmp_path, [server.url("/")], network=network, retries=0, first_contact=0.1)
        assert ran.summary.failed == 1
        assert server.accepted == 0


async def test_connections_begin_at_the_address_that_is_named(tmp_path: Path) -> None:
    """An address of this machine."""
    peers: list[str] = []

    async def script(conn: RawConnection) -> None:
        peers.append(conn._wire._sock.getpeername()[0])
        await HERE(conn)

    async with raw_server(script) as server:
        ran = await run_lines(tmp_path, [server.url("/")], network=Network(interface="127.0.0.77"))
    assert (ran.results, peers) == ({1: "done"}, ["127.0.0.77"])


async def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    """To a server that takes no others."""
    cert, key = write_client_identity(tmp_path)
    cacert = write_authority(tmp_path)
    async with raw_server(HERE, tls=demanding_server_context()) as server:
        settings: dict[str, Any] = {"cacert": cacert, "network": Network(cert=cert, key=key)}
        assert (await run_lines(tmp_path, [server.url("/")], **settings)).results == {1: "done"}


async def test_a_pin_is_trusted_and_nothing_else(tmp_path: Path) -> None:
    """Whoever signed the certificate."""
    async with raw_server(HERE, tls=server_context()) as server:
        ran = await run_lines(tmp_path, [server.url("/a")], network=Network(pin=fingerprint()))
        assert ran.results == {1: "done"}
        ran = await run_lines(tmp_path, [server.url("/b")], network=Network(pin=bytes(32)), retries=0)
        assert ran.results == {1: "failed: tls"}


async def test_a_pin_of_one_server_is_for_it_alone(tmp_path: Path) -> None:
    async with raw_server(HERE, tls=server_context()) as one, raw_server(HERE, tls=server_context()) as other:
        network = Network(pins={f"127.0.0.1:{one.port}": fingerprint()})
        ran = await run_lines(tmp_path, [one.url("/a"), other.url("/a")], network=network, retries=0)
        assert ran.results == {1: "done", 2: "failed: tls"}


async def test_credentials_are_sent_and_those_of_the_netrc_file_where_it_is_asked_for(tmp_path: Path) -> None:
    """Neither without being told."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login her password other\n")
    async with raw_server(HERE) as server:
        for number, network in enumerate(
            [
                Network(),
                Network(auth=BasicAuth("me", "secret")),
                Network(environment={"NETRC": str(tmp_path / "netrc")}),
            ]
        ):
            await run_lines(tmp_path, [server.url(f"/{number}")], network=network)
        sent = [request.fields.get("Authorization") for request in server.requests]
    her = BasicAuth("her", "other").authorize("GET", "/", b"")
    assert sent == [None, BasicAuth("me", "secret").authorize("GET", "/", b""), her]


async def test_cookies_are_sent_from_a_file_and_kept_in_one(tmp_path: Path) -> None:
    """In the format that curl reads and writes."""
    jar = "127.0.0.1\tFALSE\t/\tFALSE\t0\tseen\tbefore\n"
    (tmp_path / "in.txt").write_text(jar)
    reply = response(200, b"here", [("Set-Cookie", "new=one")])
    async with raw_server(reply_with(reply)) as server:
        network = Network(cookies=tmp_path / "in.txt", save_cookies=tmp_path / "out.txt")
        await run_lines(tmp_path, [server.url("/")], network=network)
        assert server.requests[0].fields["Cookie"] == "seen=before"
    written = (tmp_path / "out.txt").read_text()
    assert "\tseen\tbefore\n" in written
    assert "\tnew\tone\n" in written


@pytest.mark.slow
async def test_content_that_comes_too_slowly_is_given_up_and_gone_on_with(tmp_path: Path) -> None:
    """As low-speed; what came is kept."""
    body = bytes(2 << 20)

    async def script(conn: RawConnection) -> None:
        async for request in conn:
            fields = [("ETag", '"1"')]
            if "Range" not in request.fields:
                await conn.send(response(200, body, fields)[: 1 << 20])
                await conn.read_eof()
                return
            start = int(request.fields["Range"].removeprefix("bytes=").removesuffix("-"))
            fields.append(("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}"))
            await conn.send(response(206, body[start:], fields, reason="Partial Content"))

    async with raw_server(script) as server:
        ran = await run_lines(tmp_path, [server.url("/a")], network=Network(low_speed=(100_000.0, 0.5)))
    assert ran.results == {1: "done"}
    assert [str(retry.failure.failure_class) for retry in ran.retries] == ["low-speed"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": {"max_redirects": -1}}, "max_redirects is -1; expected 0 or more"),
        ({"network": {"key": Path("k")}}, "key belongs to a cert"),
        ({"network": {"pin": bytes(32), "cert": Path("c")}}, "pin and cert exclude each other"),
        ({"network": {"low_speed": (0.0, 1.0)}}, "low_speed is"),
        ({"network": {"proxy": "http://p"}, "unix_socket": Path("s")}, "unix_socket excludes proxy"),
        ({"network": {"pin": bytes(32)}, "insecure": True}, "pin excludes insecure"),
    ],
)
def test_what_excludes_each_other_is_refused(settings: dict[str, Any], message: str) -> None:
    """When the settings are made."""
    with pytest.raises(SettingsError, match=message):
        RunSettings(manifest="-", **{**settings, "network": Network(**settings["network"])})


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"cookies": "nothing"}, "cannot read .*nothing: no such file"),
        ({"cookies": "bad"}, "no file of cookies: .*bad, line 1"),
        ({"cert": "nothing"}, "cannot load certificates from .*nothing"),
        ({"environment": "bad"}, "bad, line 1: no netrc file"),
        ({"proxy": "http://"}, "invalid URL"),
    ],
)
async def test_files_that_are_none_of_their_kind_are_a_fault_of_the_settings(
    tmp_path: Path, network: dict[str, Any], message: str
) -> None:
    """Before anything is asked for."""
    (tmp_path / "bad").write_text("this is none\n")
    given: dict[str, Any] = {}
    for name, value in network.items():
        path = tmp_path / value if name != "proxy" else value
        given[name] = {"NETRC": str(path)} if name == "environment" else path
    with pytest.raises(SettingsError, match=message):
        async with open_session(RunSettings(manifest="-", network=Network(**given))):
            pass
