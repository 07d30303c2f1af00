# Invariant: the URL of a proxy is read, or refused with InvalidURL or ValueError, which show no credentials; any value
# of no_proxy is understood, excepts a host that it names, and never raises.
"""What the environment says of proxies. Input: the URL of a proxy, and in a second line what ``no_proxy`` holds."""

from __future__ import annotations

import random
import re

from fetchd.client.proxies import environment_proxy, parse_proxy
from fetchd.client.urls import locate

from ..engine import Target
from . import urls

__all__ = ["TARGET"]

_SCHEMES = "", "http://", "https://", "socks5://", "socks5h://", "HTTP://", "socks4://", "ht tp://", "//", "http:"
_USERS = "", "", "user:hunter2@", "user@", "u%40:hunter2@", ":hunter2@"
_HOSTS = "proxy", "proxy.test.", "127.0.0.1", "[::1]", "bücher.example", "", "a b"
_PORTS = "", ":3128", ":", ":0", ":99999", ":x"
_EXCEPTIONS = (
    *("*", "example.org", ".example.org", "*.example.org", "example.org:80", "10.0.0.0/8", "10.0.0.1", "[::1]", "::1"),
    *("::/0", "[::1]:80", "[fe80::]/10", "10.0.0.0/99", "/", ":", ".", "*.", "[", "]", "EXAMPLE.ORG."),
)
_ORIGINS = "http://example.org/", "https://a.example.org:8443/", "http://10.0.0.1/", "http://[::1]:8080/", "http://h/"
_USERINFO = re.compile(r"\s*(?:[^/?#]*://)?([^/?#]*)@").match
_TOKENS = (*urls.TOKENS, *(text.encode() for text in (*_SCHEMES, *_USERS, *_EXCEPTIONS, ",", " ", "\n") if text))


def _generate(rng: random.Random) -> bytes:
    url = "".join(rng.choice(part) for part in (_SCHEMES, _USERS, _HOSTS, _PORTS))
    return f"{url}\n{rng.choice((',', ', ', ' ')).join(rng.choices(_EXCEPTIONS, k=rng.randint(0, 4)))}".encode()


def _check(data: bytes) -> bool:
    url, _, exceptions = data.decode("utf-8", "surrogateescape").partition("\n")
    for target in _ORIGINS:
        origin, _ = locate(target)
        chosen = environment_proxy(origin, {"all_proxy": url, "no_proxy": exceptions})
        assert chosen in (None, url.strip())
        if {origin.host, f"{origin.host}:{origin.port}", "*"} & set(exceptions.replace(" ", ",").split(",")):
            assert chosen is None or ":" in origin.host
    try:
        proxy = parse_proxy(url)
    except ValueError as exc:  # InvalidURL is one
        _check_secret(url, str(exc), repr(exc))
        return False
    assert proxy.scheme in ("http", "https", "socks5", "socks5h")
    assert proxy.host
    assert 1 <= proxy.port <= 65_535
    _check_secret(url, proxy.shown, repr(proxy))
    again = parse_proxy(proxy.shown)
    assert again == proxy._replace(auth=None) or "%" in proxy.host
    return True


def _check_secret(url: str, *shown: str) -> None:
    """What stands before the @ of an authority is a secret; the word is found once, so it is found there."""
    userinfo = _USERINFO(url.lower())
    if userinfo and "hunter2" in userinfo[1] and url.lower().count("hunter2") == 1:
        assert not any("hunter2" in each.lower() for each in shown), shown


TARGET = Target("proxy_urls", _generate, _check, _TOKENS)
