# Invariant: a response, fed whole, by the octet or cut anywhere, is accepted with the same events or refused with
# a ClientError; what is accepted has a framing that nobody can read in two ways, and means the same when written anew.
"""Response heads: status line, field lines, interim responses, what ends the content (RFC 9112 sections 4 to 6)."""

from __future__ import annotations

import random

from ..engine import Target
from ..exchanges import Told, alike, tell

__all__ = ["TARGET", "generate"]

_STATUS_LINES = (
    *(b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK", b"HTTP/1.1 404 Not \xc3\xa9"),
    *(b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 301 Moved", b"HTTP/1.1 999 x"),
    *(b"HTTP/1.1 101 Switching Protocols", b"HTTP/2.0 200 OK", b"HTTP/1.1 200", b"HTTP/0.9 200 OK"),
)
_FIELDS = (
    *(b"Server: x", b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"Content-Type: text/html; charset=utf-8", b'ETag: "x"'),
    *(b"Set-Cookie: a=b; Path=/", b"Connection: keep-alive", b"Connection: close", b"Connection: Upgrade, x"),
    *(
        b"Upgrade: h2c",
        b"Content-Encoding: gzip",
        b"Keep-Alive: timeout=5, max=100",
        b"Location: /x",
        b"X:",
        b"X:\t y ",
    ),
    *(b"Trailer: T", b"Proxy-Connection: keep-alive", b"Content-Range: bytes 0-4/5"),
)
_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"
_TOKENS = (
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 C\r\n\r\n",
        b"\0",
        b"\xff",
    ),
    *(b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"Content-Length: +5\r\n", b"Content-Length: -1\r\n"),
    *(
        b"Content-Length: 1_0\r\n",
        b"Content-Length: 5, 5\r\n",
        "Content-Length: ٣\r\n".encode(),
        b"content-length:5\r\n",
    ),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
    ),
    *(b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding: identity\r\n"),
    *(
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b" folded\r\n",
        b"X: y\nZ: w\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
    ),
)


def generate(rng: random.Random) -> bytes:
    """A response with some fields, and content as its framing asks for it; the framing may contradict itself."""
    content = rng.choice((b"", b"x", b"hello", b"hello, world", rng.randbytes(40)))
    fields = rng.sample(_FIELDS, rng.randint(0, 5))
    framing = rng.random()
    if framing < 0.5:
        fields.append(b"Content-Length: %d" % len(content))
    elif framing < 0.8:
        fields.append(b"Transfer-Encoding: chunked")
        content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if content else b"0\r\n\r\n"
    rng.shuffle(fields)
    interims = b"".join(rng.choices(_INTERIM, k=rng.choice((0, 0, 0, 1, 3))))
    return b"".join([interims, b"\r\n".join([rng.choice(_STATUS_LINES), *fields]), b"\r\n\r\n", content])


def _check(data: bytes) -> bool:
    by_get, _ = told = [alike(data, method) for method in ("GET", "HEAD")]
    for each in told:
        if each.is_ended:
            _check_framing(each)
    if by_get.is_ended:
        _check_written_anew(by_get)
    return by_get.is_ended


def _check_framing(told: Told) -> None:
    """RFC 9112 section 6.3: one decimal length, or chunked alone, never both."""
    lengths = [value for name, value in told.fields if name.lower() == b"content-length"]
    codings = [value for name, value in told.fields if name.lower() == b"transfer-encoding"]
    assert len(lengths) + len(codings) <= 1 or told.status in (204, 304) or not told.content, told.fields
    assert all(value.strip(b" \t").isdigit() for value in lengths), lengths


def _check_written_anew(told: Told) -> None:
    framing = b"content-length", b"transfer-encoding"
    fields = [(name, value) for name, value in told.fields if name.lower() not in framing]
    lines = [b"HTTP/1.1 %d %b" % (told.status, told.reason), *(b"%b: %b" % field for field in fields)]
    if told.status not in (204, 304):
        lines.append(b"Content-Length: %d" % len(told.content))
    again = tell([b"\r\n".join([*lines, b"", b""]) + told.content])
    assert again.is_ended, again
    assert (again.status, again.reason, again.content) == (told.status, told.reason, told.content)
    assert [field for field in again.fields if field[0].lower() not in framing] == fields


TARGET = Target("heads", generate, _check, _TOKENS)
