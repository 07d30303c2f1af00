# Invariant: any Set-Cookie is stored or ignored, never raises; what is stored goes to hosts that the setter belongs
# to and to nobody else, holds nothing that breaks a Cookie field, and stays within the bounds of the store.
"""Set-Cookie fields, one a line, received from one of several hosts (RFC 6265 sections 5.2 to 5.4)."""

from __future__ import annotations

import random
import re

from yarl import URL

from fetchd.client.cookie_syntax import simple_cookies
from fetchd.client.cookies import CookieJar, domain_match, path_match

from ..engine import Target

__all__ = ["TARGET"]

_NOW = 1_700_000_000.0
_MAX_COOKIES = 6
_MAX_BYTES = 200
_SETTERS = (
    *("http://www.example.com/a/b?c", "https://example.com/", "http://localhost/x", "http://10.0.0.1/"),
    *("http://[::1]/", "https://a.b.co.uk/a", "http://example.com./"),
)
_STRANGERS = "https://evil.test/", "https://notexample.com/a/b", "https://com/", "https://co.uk/", "https://10.0.0.2/"
_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_ATTRIBUTES = (
    *("Domain=example.com", "Domain=.example.com", "Domain=com", "Domain=", "Domain=co.uk", "Domain=10.0.0.1"),
    *("Path=/", "Path=/a", "Path=a", "Path=", "Secure", "HttpOnly", "SameSite=Lax", "Partitioned", "Max-Age=5"),
    *(
        "Max-Age=0",
        "Max-Age=-1",
        "Max-Age=x",
        "Expires=Sun, 06 Nov 2094 08:49:37 GMT",
        "Expires=x",
        "domain=EXAMPLE.COM",
    ),
)
_PAIRS = "a=b", "a=", "=b", "a", "a=b=c", 'a="b c"', "__Host-a=b", "__Secure-a=b", "é=ü", "a b=c", "A=B"
_TOKENS = tuple(text.encode() for text in (*_ATTRIBUTES, *_PAIRS, ";", "; ", "=", "\n", '"', "\\", "\t", "\0", "\x7f"))


def _generate(rng: random.Random) -> bytes:
    lines = []
    for _ in range(rng.choice((1, 1, 2, 10))):
        attributes = rng.sample(_ATTRIBUTES, rng.randint(0, 4))
        lines.append("; ".join([rng.choice(_PAIRS), *attributes]))
    return "\n".join(lines).encode()


def _check(data: bytes) -> bool:
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    simple_cookies(lines)
    rng = random.Random(data)
    setter = URL(rng.choice(_SETTERS))
    jar = CookieJar(max_cookies=_MAX_COOKIES, max_cookies_per_domain=4, max_cookie_bytes=_MAX_BYTES, clock=lambda: _NOW)
    jar.update_from_response(lines, setter)
    assert len(jar) <= _MAX_COOKIES
    host = (setter.raw_host or "").lower()
    stored = list(jar)
    for cookie in stored:
        assert cookie.name
        assert not set("=;") & set(cookie.name)
        assert ";" not in cookie.value
        assert _UNFIT(cookie.name + cookie.value) is None
        assert len((cookie.name + cookie.value).encode("utf-8", "surrogatepass")) <= _MAX_BYTES
        assert domain_match(host, cookie.domain), f"{cookie} set by {host}"
        assert not cookie.is_expired(_NOW)
        assert not cookie.secure or setter.scheme == "https"
    for stranger in _STRANGERS:
        assert jar.cookie_header(URL(stranger)) == "", f"{stored} sent to {stranger}"
    sent = jar.cookie_header(setter)
    expected = [f"{c.name}={c.value}" for c in stored if path_match(setter.raw_path, c.path)]
    assert sorted(sent) == sorted("; ".join(expected))
    jar.update_from_response(lines, setter)
    assert len(list(jar)) == len(stored) or len(lines) > 4, "set twice is set once"
    return bool(stored)


TARGET = Target("set_cookie", _generate, _check, _TOKENS)
