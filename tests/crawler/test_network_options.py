"""``cli/network_options.py``: the way to the hosts, from text to ``Network``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import BasicAuth, BearerAuth, DigestAuth
from fetchd.crawler.cli.network_options import RawWay, network_of
from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.network import Network

FILES = {"login": "me:pass word\n", "token": "Bearer abc.def\n"}
PIN = "0123456789abcdef" * 4


def read_file(name: str) -> str:
    """One of FILES."""
    if name not in FILES:
        raise FileNotFoundError(2, "No such file or directory", name)
    return FILES[name]


def asked(environment: Mapping[str, str] | None = None, **options: Any) -> Network:
    """The network of *options*."""
    return network_of(RawWay(**options), read_file, environment or {})


def test_without_options_nothing_is_out_of_the_ordinary() -> None:
    """Whatever the environment says of other things."""
    assert asked() == Network()
    assert asked({"HOME": "/h/me", "NETRC": "/x", "no_proxy": "*", "http_proxy": ""}) == Network()


def test_every_option_reaches_its_setting() -> None:
    """Parsed, with its unit."""
    assert asked(
        proxy="http://p:3128",
        max_redirects="0",
        ipv6=True,
        resolve=("A.test:80:127.0.0.1,[::1]", "b.test:443:::1"),
        interface="lo",
        cert="c.pem",
        key="k.pem",
        cookies="in.txt",
        save_cookies="out.txt",
        low_speed="10KiB/s:30s",
    ) == Network(
        proxy="http://p:3128",
        max_redirects=0,
        family=6,
        resolve={"a.test:80": ("127.0.0.1", "::1"), "b.test:443": ("::1",)},
        interface="lo",
        cert=Path("c.pem"),
        key=Path("k.pem"),
        cookies=Path("in.txt"),
        save_cookies=Path("out.txt"),
        low_speed=(10_240.0, 30.0),
    )
    assert asked(ipv4=True).family == 4
    assert asked(pin=(f"SHA256:{PIN.upper()}",)).pin == bytes.fromhex(PIN)
    found = asked(pin=(f"One.example={PIN}", f"two.example:8443=sha256:{PIN}", f"[::1]={PIN}"), cert="c.pem")
    assert found.pin is None
    assert found.pins == dict.fromkeys(("one.example:443", "two.example:8443", "[::1]:443"), bytes.fromhex(PIN))


@pytest.mark.parametrize(
    ("text", "auth"),
    [
        ("me:secret", BasicAuth("me", "secret")),
        ("me:with a blank", BasicAuth("me", "with a blank")),
        ("Basic me:secret", BasicAuth("me", "secret")),
        ("bearer abc.def", BearerAuth("abc.def")),
        ("@login", BasicAuth("me", "pass word")),
        ("@token", BearerAuth("abc.def")),
    ],
)
def test_credentials_are_read_with_a_scheme_or_without(text: str, auth: BasicAuth | BearerAuth) -> None:
    """Basic without."""
    assert asked(auth=text).auth == auth


def test_digest_is_asked_for_by_its_name() -> None:
    """It answers what the server asks."""
    assert isinstance(asked(auth="Digest me:secret").auth, DigestAuth)


def test_the_proxies_of_the_environment_are_obeyed_and_nothing_else_of_it() -> None:
    """Unless an option names one; the netrc file on request alone."""
    variables = {"https_proxy": "http://p:1", "NO_PROXY": "a.test", "HOME": "/h", "REQUEST_METHOD": "GET", "X": "y"}
    proxies = {"https_proxy": "http://p:1", "NO_PROXY": "a.test", "REQUEST_METHOD": "GET"}
    assert asked(variables).environment == proxies
    assert asked(variables, netrc=True).environment == {**proxies, "HOME": "/h"}
    assert asked(variables, proxy="http://q:2").environment == {}
    assert asked({"NETRC": "/n", "HOME": "/h"}, netrc=True).environment == {"NETRC": "/n", "HOME": "/h"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ipv4": True, "ipv6": True}, "--ipv4 and --ipv6 exclude each other"),
        ({"key": "k.pem"}, "--key belongs to --cert, which is missing"),
        ({"pin": (PIN,), "cert": "c.pem"}, "--pin for all hosts and --cert exclude each other"),
        ({"proxy": "ftp://me:secret@p/"}, "--proxy is 'ftp://p/'; expected http://host:port"),
        ({"max_redirects": "-1"}, "--max-redirects is '-1'; expected a whole number, 0 or more"),
        ({"resolve": ("a.test:127.0.0.1",)}, "--resolve is 'a.test:127.0.0.1'; expected HOST:PORT:ADDRESS"),
        ({"resolve": ("a.test:80:b.test",)}, "--resolve is 'a.test:80:b.test'; expected HOST:PORT:ADDRESS"),
        ({"interface": ""}, "--interface is ''; expected the name of an interface"),
        ({"cert": ""}, "--cert is ''; expected a path"),
        ({"pin": ("00",)}, "--pin is '00'; expected the SHA-256 of a certificate"),
        ({"pin": ("h=00",)}, "--pin is 'h=00'; expected the SHA-256 of a certificate"),
        ({"pin": (PIN, PIN)}, "--pin for all hosts is given twice"),
        ({"pin": (f"a b={PIN}",)}, f"--pin is 'a b={PIN}'; "),
        ({"low_speed": "10KiB"}, "--low-speed is '10KiB'; expected a size a second and a time"),
        ({"low_speed": "0:30s"}, "--low-speed is '0:30s'; expected a size a second and a time"),
        ({"auth": "secret"}, "--auth: expected USER:PASSWORD"),
        ({"auth": "@nothing"}, "--auth: cannot read nothing: no such file or directory"),
    ],
)
def test_what_cannot_be_used_is_told_by_the_name_of_the_option(options: dict[str, Any], message: str) -> None:
    """Without secrets."""
    with pytest.raises(SettingsError) as caught:
        asked(**options)
    assert str(caught.value).startswith(message)
    assert "secret" not in str(caught.value)
