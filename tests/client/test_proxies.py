"""Which proxy a request goes through: URLs of proxies, and the variables of the environment. Values only."""

from __future__ import annotations

import pytest

from fetchd.client import BasicAuth, InvalidURL
from fetchd.client.proxies import Proxy, environment_proxy, parse_proxy
from fetchd.client.urls import locate


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://p:3128", Proxy("http", "p", 3128)),
        ("p:3128", Proxy("http", "p", 3128)),
        ("P.Example", Proxy("http", "p.example", 80)),
        ("https://p", Proxy("https", "p", 443)),
        ("https://p:80", Proxy("https", "p", 80)),
        ("socks5://p", Proxy("socks5", "p", 1080)),
        ("SOCKS5H://[::1]", Proxy("socks5h", "::1", 1080)),
        ("socks5://[::1]:80", Proxy("socks5", "::1", 80)),
        ("http://p:3128/whatever?x#y", Proxy("http", "p", 3128)),
        ("http://me:a%3Ab@p:1", Proxy("http", "p", 1, BasicAuth("me", "a:b", "utf-8"))),
        ("me:se@cret@p:1", Proxy("http", "p", 1, BasicAuth("me", "se@cret", "utf-8"))),
    ],
)
def test_a_proxy_is_read_from_its_url(url: str, expected: Proxy) -> None:
    """Only the host must be there; the scheme gives the port."""
    assert parse_proxy(url) == expected


@pytest.mark.parametrize(
    "url",
    ["ftp://me:secret@p", "ht tp://me:secret@p", "http://", "", "http://me:secret@:1", "http://me:secret@p:99999"],
)
def test_what_is_no_proxy_is_refused_without_its_credentials(url: str) -> None:
    """The message may come into a log."""
    with pytest.raises(InvalidURL) as caught:
        parse_proxy(url)
    assert "secret" not in str(caught.value)


def test_credentials_in_two_places_are_a_mistake() -> None:
    """Which of them would count is anybody's guess."""
    with pytest.raises(ValueError, match="exclude each other") as caught:
        parse_proxy("http://me:secret@p", BasicAuth("you", "secret"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("fields", [{"X": "a\r\nY: b"}, {"X": "a\nb"}, {"X\r\nY": "b"}, {"X: a": "b"}, {"X": "\0"}])
def test_nothing_is_smuggled_into_what_a_proxy_is_sent(fields: dict[str, str]) -> None:
    """By the further fields."""
    with pytest.raises(ValueError, match=r"control characters|no token"):
        parse_proxy("http://p", fields=fields)


def test_a_proxy_is_shown_without_its_credentials() -> None:
    """In messages, logs and tracebacks."""
    assert repr(parse_proxy("http://me:secret@[::1]:3128")) == "<Proxy http://[::1]:3128>"


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "http://h/", None),
        ({"http_proxy": "p"}, "http://h/", "p"),
        ({"http_proxy": "p"}, "https://h/", None),
        ({"https_proxy": "p"}, "https://h/", "p"),
        ({"HTTPS_PROXY": "p"}, "https://h/", "p"),
        ({"https_proxy": "low", "HTTPS_PROXY": "UP"}, "https://h/", "low"),
        ({"https_proxy": "", "HTTPS_PROXY": "UP"}, "https://h/", None),
        ({"all_proxy": "p"}, "http://h/", "p"),
        ({"ALL_PROXY": "p", "http_proxy": "h"}, "http://h/", "h"),
        ({"HTTP_PROXY": "p"}, "http://h/", "p"),
        ({"HTTP_PROXY": "p", "REQUEST_METHOD": "GET"}, "http://h/", None),
        ({"http_proxy": "p", "REQUEST_METHOD": "GET"}, "http://h/", "p"),
    ],
)
def test_the_environment_names_a_proxy(environment: dict[str, str], url: str, expected: str | None) -> None:
    """As curl documents it; a web server that runs us has HTTP_PROXY from whoever asked it (CVE-2016-5385)."""
    assert environment_proxy(locate(url)[0], environment) == expected


EXCEPTED = [
    ("*", "http://anything/"),
    ("h", "http://h/"),
    ("H.Example", "http://h.example/"),
    ("h.example.", "http://h.example/"),
    ("example", "http://a.b.example/"),
    (".example", "http://a.example/"),
    (".example", "http://example/"),
    ("*.example", "http://a.example/"),
    ("a, b ,h", "http://h/"),
    ("a b h", "http://h/"),
    ("h:8080", "http://h:8080/"),
    ("127.0.0.1", "http://127.0.0.1/"),
    ("127.0.0.0/8", "http://127.1.2.3/"),
    ("10.0.0.0/8,::1", "http://[::1]/"),
    ("[::1]", "http://[::1]/"),
    ("[::1]:81", "http://[::1]:81/"),
    ("fe80::/10", "http://[fe80::1%25eth0]/"),
    ("127.0.0.1:80", "http://127.0.0.1/"),
]
NOT_EXCEPTED = [
    ("", "http://h/"),
    (",,", "http://h/"),
    ("h", "http://hh/"),
    ("ample", "http://example/"),
    ("h:8080", "http://h/"),
    ("127.0.0.0/8", "http://128.0.0.1/"),
    ("127.0.0.0/99", "http://127.0.0.1/"),
    ("127.0.0.1", "http://127.0.0.1.example/"),
    ("10.0.0.0/8", "http://ten.example/"),
    ("[::1]:81", "http://[::1]/"),
    (".", "http://h/"),
]


@pytest.mark.parametrize(("exceptions", "url"), EXCEPTED)
def test_no_proxy_excepts_hosts_what_is_below_them_addresses_and_ranges(exceptions: str, url: str) -> None:
    """With a port, only that port."""
    assert environment_proxy(locate(url)[0], {"all_proxy": "p", "no_proxy": exceptions}) is None
    assert environment_proxy(locate(url)[0], {"all_proxy": "p", "NO_PROXY": exceptions}) is None


@pytest.mark.parametrize(("exceptions", "url"), NOT_EXCEPTED)
def test_no_proxy_excepts_nothing_else(exceptions: str, url: str) -> None:
    """A name that ends alike is another name."""
    assert environment_proxy(locate(url)[0], {"all_proxy": "p", "no_proxy": exceptions}) == "p"
