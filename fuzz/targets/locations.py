# Invariant: a Location is followed, ignored, or refused with a RedirectError that shows no credentials; what is
# followed can be sent, has the octets that the server wrote, and is of the same origin only if it is connected alike.
"""The targets of redirections (RFC 9110 sections 10.2.2 and 15.4)."""

from __future__ import annotations

import random
import re

from fetchd.client.exceptions import RedirectError
from fetchd.client.redirects import redirect_decision, resolve_reference
from fetchd.client.urls import locate

from ..engine import Target
from . import urls

__all__ = ["TARGET"]

_HERE = "https://here.example:8443/a/b;c?d=e#f"
_VISIBLE = re.compile(r"[!-~]*").fullmatch
_SECRET = re.compile(r"(?:[a-z]+:)?//[^/?#]*hunter2[^/?#]*@", re.IGNORECASE).match
_RELATIVE = "", "/x", "x", "../x", "?q", "#g", "//here.example:8443/x", "//other.example", "./", "/a b", "/%2e%2e/x"


def _generate(rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        return rng.choice(_RELATIVE).encode()
    return rng.choice((b"", b"", b" ", b"\t")) + urls.generate(rng)


def _check(data: bytes) -> bool:
    location = data.decode("utf-8", "surrogateescape")
    given = location.strip(" \t")
    try:
        redirect = redirect_decision(302, "POST", _HERE, location)
    except RedirectError as exc:
        _check_secret(given, str(exc))
        return False
    if redirect is None:
        assert not given
        return False
    origin, _ = locate(redirect.url)
    assert redirect.cross_origin == (origin.key != "https://here.example:8443")
    assert (redirect.method, redirect.keep_body) == ("GET", False)
    if _VISIBLE(given):
        plain = resolve_reference(_HERE, given)
        assert redirect.url == plain + ("" if "#" in plain else "#f")
    assert "#" in redirect.url, "the fragment is inherited"
    return True


def _check_secret(given: str, shown: str) -> None:
    """Credentials are not told; the word is found once, so it is found there."""
    if _SECRET(given) and given.lower().count("hunter2") == 1:
        assert "hunter2" not in shown.lower()


TARGET = Target("locations", _generate, _check, urls.TOKENS)
