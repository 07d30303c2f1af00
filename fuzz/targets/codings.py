# Invariant: coded content gives the same octets however it comes and however little is asked for at a time, or
# a ContentCodingError or BodyTooLargeError; no piece is larger than asked for, none is made beyond the bound.
"""gzip, deflate and stacks of them, beside the standard library. Input: the codings, a line feed, the coded content."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Sequence

from fetchd.client.codings import BoundedDecoder, decoder_for
from fetchd.client.exceptions import BodyTooLargeError, ContentCodingError

from ..engine import Target, pieces

__all__ = ["TARGET", "decoded"]

MAX_TOTAL = 1 << 22
_STEPS = 1 << 16, 1000


def _raw_deflate(plain: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(plain) + coder.flush()


def _gzip(plain: bytes) -> bytes:
    return gzip.compress(plain, mtime=0)


_CODERS: dict[str, tuple[Callable[[bytes], bytes], ...]] = {
    "gzip": (_gzip, lambda plain: _gzip(plain) + _gzip(b"and more"), lambda plain: _gzip(plain) + bytes(9)),
    "x-gzip": (_gzip,),
    "deflate": (zlib.compress, _raw_deflate),
    "identity": (bytes,),
}
_TOKENS = (
    *(
        _gzip(b""),
        _gzip(b"x"),
        zlib.compress(b""),
        _raw_deflate(b"x"),
        b"\x1f\x8b\x08\0\0\0\0\0\0\3",
        b"\0" * 64,
        b"\n",
    ),
    *(b"gzip, ", b"deflate, ", b"identity, ", b",", b"br", b"zstd", b"\x1f\x8b\x08\x1f\0\0\0\0\0\3", b"\x78\x9c"),
)


def _generate(rng: random.Random) -> bytes:
    names = rng.choices(list(_CODERS), k=rng.choice((1, 1, 1, 2, 3)))
    data = rng.choice((b"", b"hello", rng.randbytes(200), bytes(5000), b"the same words over and over, " * 30))
    for name in names:
        data = rng.choice(_CODERS[name])(data)
    return ", ".join(names).encode() + b"\n" + data


def decoded(names: str, parts: Sequence[bytes], step: int = _STEPS[0]) -> bytes | None:
    """The content; None when it is refused."""
    try:
        inner = decoder_for(names)
        if inner is None:
            return b"".join(parts)
        decoder = BoundedDecoder(inner, max_total=MAX_TOTAL)
        out = []
        for part in parts:
            out.append(decoder.decode(part, step))
            while decoder.has_pending:
                out.append(decoder.decode(b"", step))
        decoder.finish()
    except (ContentCodingError, BodyTooLargeError):
        return None
    assert max(map(len, out), default=0) <= step
    content = b"".join(out)
    assert len(content) <= MAX_TOTAL
    return content


def _check(data: bytes) -> bool:
    line, _, coded = data.partition(b"\n")
    names = line.decode("latin-1")
    first, *others = [decoded(names, parts, step) for parts in pieces(coded) for step in _STEPS]
    assert all(other == first for other in others), "the same octets, cut otherwise, mean something else"
    if first is not None and coded and names.strip().lower() in ("gzip", "x-gzip"):
        assert first == gzip.decompress(coded)
    return first is not None


TARGET = Target("codings", _generate, _check, _TOKENS)
