# Invariant: chunked content is accepted in the same way however it comes, or refused with a ClientError; what is
# accepted is what a plain reading of RFC 9112 section 7.1 gives, content, trailers and end.
"""Chunked content with extensions and trailers, beside a reference that reads line by line."""

from __future__ import annotations

import random
import re

from fetchd.client.framing import RawFields

from ..engine import Target
from ..exchanges import alike

__all__ = ["TARGET"]

_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:;[\t -~\x80-\xff]*)?").fullmatch
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)").fullmatch
_EXTENSIONS = b"", b"", b"", b";a", b";a=b", b';a="b;c"', b";a=b;c=d", b";", b";a=", b' ; a = "x\\"y"'
_TRAILERS = b"T: v\r\n", b"Content-Digest: sha-256=:x:\r\n", b"X:\r\n", b"Content-Length: 5\r\n", b"Y: \xe9\r\n"
_TOKENS = (
    *(
        b"\r\n",
        b"0\r\n\r\n",
        b"0\r\n",
        b"\n",
        b"\r",
        b";",
        b" ",
        b"5\r\nhello\r\n",
        b"\0",
        b"0x5",
        b"+5",
        b"-1",
        b"1_0",
    ),
    *(b"5 \r\nhello\r\n", b"5\nhello\n", b"g", b"ffffffffffffffff", b"10000000000000000", b"T: v\r\n", b" folded\r\n"),
    *(b"HTTP/1.1 200 OK\r\n\r\n", b";a=b", b';"', b"00000000"),
)


def _generate(rng: random.Random) -> bytes:
    octets = b""
    for _ in range(rng.randint(0, 6)):
        content = rng.randbytes(rng.choice((1, 2, 15, 16, 17, 300)))
        size = rng.choice((b"%x", b"%X", b"0%x")) % len(content)
        octets += size + rng.choice(_EXTENSIONS) + b"\r\n" + content + b"\r\n"
    trailers = b"".join(rng.choices(_TRAILERS, k=rng.choice((0, 0, 1, 3))))
    return octets + rng.choice((b"0", b"0", b"000")) + rng.choice(_EXTENSIONS) + b"\r\n" + trailers + b"\r\n"


def _reference(data: bytes) -> tuple[bytes, RawFields, int]:
    """Content, trailers and where the message ends, by the plainest reading there is.

    Raises:
        ValueError: No chunked content, or not all of it.
    """
    content, at = b"", 0
    while True:
        end = data.index(b"\r\n", at)
        size = _SIZE_LINE(data[at:end])
        if size is None:
            raise ValueError(f"size line {data[at:end]!r}")
        at, length = end + 2, int(size[1], 16)
        if not length:
            break
        if data[at + length : at + length + 2] != b"\r\n":
            raise ValueError("no line end behind a chunk")
        content += data[at : at + length]
        at += length + 2
    trailers: RawFields = []
    while (end := data.index(b"\r\n", at)) != at:
        field = _TRAILER(data[at:end])
        if field is None:
            raise ValueError(f"trailer {data[at:end]!r}")
        trailers.append((field[1], field[2]))
        at = end + 2
    return content, trailers, at + 2


def _check(data: bytes) -> bool:
    told = alike(_HEAD + data)
    if told.is_ended:
        content, trailers, end = _reference(data)
        assert told.content == content
        assert [(name, value.strip(b" \t")) for name, value in told.trailers] == [
            (name, value.strip(b" \t")) for name, value in trailers
        ]
        assert told.is_reusable == (end == len(data))
    return told.is_ended


TARGET = Target("chunked", _generate, _check, _TOKENS)
