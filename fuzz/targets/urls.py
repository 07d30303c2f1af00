# Invariant: a URL is located or refused with InvalidURL; the target of one that is located can stand on a request
# line, holds the octets of the URL unchanged, and shows its credentials nowhere.
"""Target URIs: ``locate``, ``with_params``, ``resolve_reference`` and ``without_userinfo``."""

from __future__ import annotations

import random
import re

from fetchd.client.exceptions import InvalidURL
from fetchd.client.redirects import resolve_reference
from fetchd.client.urls import locate, with_params, without_userinfo

from ..engine import Target

__all__ = ["TARGET", "generate"]

_VISIBLE = re.compile(r"[!-~]*").fullmatch
_USERINFO = re.compile(r"https?://([^/?#]*)@", re.IGNORECASE).match
_SCHEMES = "http://", "http://", "https://", "HTTP://", "//", "ftp://", "http:", "https:/"
_USERS = "", "", "", "user:hunter2@", "user@", ":@", "u%40:hunter2@"
_HOSTS = (
    "h",
    "example.org",
    "EXAMPLE.org.",
    "127.0.0.1",
    "[::1]",
    "[fe80::1%25eth0]",
    "bücher.example",
    "a_b.c",
    "127.1",
)
_PORTS = "", "", ":80", ":443", ":8080", ":", ":0", ":65536", ":+80", ":8_0"
_PATHS = "", "/", "/a/b", "/a%2Fb", "//a//b/", "/%27%3A+", "/a/../b/./c", "/ü", "/a b", "/;p=1", "/%zz", "/.", "/.."
_QUERIES = "", "", "?", "?a=b&b=a", "?x=%2F%27+", "?q=a/../b", "?a b", "?=&&", "?ü"
_FRAGMENTS = "", "", "#", "#f", "#a/../b?c", "#ü"
_PARTS = _SCHEMES, _USERS, _HOSTS, _PORTS, _PATHS, _QUERIES, _FRAGMENTS
_ODD = "\\", "@", "\r\nX: y", "\0", " ", "%00", "%", "]", "[", "\N{IDEOGRAPHIC FULL STOP}", "\N{FULLWIDTH SOLIDUS}"
TOKENS = tuple(text.encode() for part in (*_PARTS, _ODD) for text in part if text)


def generate(rng: random.Random) -> bytes:
    """A URL, or what looks like one."""
    return "".join(rng.choice(part) for part in _PARTS).encode()


def _check(data: bytes) -> bool:
    text = data.decode("utf-8", "surrogateescape")
    try:
        origin, target = locate(text)
    except InvalidURL as exc:
        _check_secret(text, str(exc))
        _check_resolution(text)
        return False
    assert target.startswith("/")
    assert _VISIBLE(target)
    assert "#" not in target
    assert origin.host
    assert 1 <= origin.port <= 65_535
    assert _VISIBLE(origin.host_field)
    before_fragment = text.partition("#")[0]
    if _VISIBLE(before_fragment):
        written = "/" + re.sub(r"^[^:]*://[^/?]*/?", "", before_fragment, count=1)
        assert target == written, "the octets of a URL are kept"
    if "%" not in origin.host:  # a key is no URL: it holds the zone of an address as it is connected to
        assert locate(origin.key + target) == (origin._replace(authorization=None), target)
    _check_secret(text, without_userinfo(text), repr(without_userinfo(text)))
    asked = with_params(text, [("a", "b&c"), ("a", "d")])
    assert asked.startswith(before_fragment)
    assert asked.endswith(text[len(before_fragment) :])
    assert locate(asked)[1].startswith(target)
    _check_resolution(text)
    return True


def _check_secret(text: str, *shown: str) -> None:
    """What stands before the last @ of an authority is a secret; the word is found once, so it is found there."""
    userinfo = _USERINFO(text)
    if userinfo and "hunter2" in userinfo[1].lower() and text.lower().count("hunter2") == 1:
        assert not any("hunter2" in each.lower() for each in shown), shown


def _check_resolution(text: str) -> None:
    resolved = resolve_reference("http://base.example/a/b?c", text)
    assert resolve_reference("http://other.example/", resolved) == resolved, "resolved twice is resolved once"


TARGET = Target("urls", generate, _check, TOKENS)
