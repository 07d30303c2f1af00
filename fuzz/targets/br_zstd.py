# Invariant: content in br or zstd, alone or in a stack, gives the same octets however it comes and however little is
# asked for at a time, or a ContentCodingError or BodyTooLargeError; what is accepted is what the packages make of it.
"""br and zstd, beside their own packages. Input: the codings, a line feed, the coded content."""

from __future__ import annotations

import gzip
import random
import sys
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]  # it has no types

from ..engine import Target, pieces
from .codings import decoded

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["TARGET"]

_STEPS = 1 << 16, 1000
_SKIPPABLE = b"\x50\x2a\x4d\x18\x03\0\0\0abc"  # RFC 8878 section 3.1.2


def _br(plain: bytes) -> bytes:
    coded: bytes = brotli.compress(plain, quality=3)
    return coded


def _zstd(plain: bytes) -> bytes:
    return zstd.compress(plain, 1)


_CODERS: dict[str, tuple[Callable[[bytes], bytes], ...]] = {
    "br": (_br, _br, lambda plain: _br(plain) + b"behind"),
    "zstd": (_zstd, lambda plain: _zstd(plain) + _zstd(b"and more"), lambda plain: _SKIPPABLE + _zstd(plain)),
    "gzip": (lambda plain: gzip.compress(plain, mtime=0),),
}
_REFERENCES: dict[str, Callable[[bytes], bytes]] = {"br": brotli.decompress, "zstd": zstd.decompress}
_TOKENS = (
    *(_br(b""), _br(b"x"), _zstd(b""), _zstd(b"x"), _SKIPPABLE, b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\xc0\xff"),
    *(b"br, ", b"zstd, ", b"gzip, ", b"\n", b"\0" * 64, b"\x06", b"\x3b", b"\xff" * 4),
)


def _generate(rng: random.Random) -> bytes:
    names = [rng.choice(("br", "zstd")), *rng.choices(list(_CODERS), k=rng.choice((0, 0, 1, 2)))]
    data = rng.choice((b"", b"hello", rng.randbytes(200), bytes(90_000), b"the same words over and over, " * 30))
    for name in names:
        data = rng.choice(_CODERS[name])(data)
    return ", ".join(names).encode() + b"\n" + data


def _check(data: bytes) -> bool:
    line, _, coded = data.partition(b"\n")
    names = line.decode("latin-1")
    first, *others = [decoded(names, parts, step) for parts in pieces(coded) for step in _STEPS]
    assert all(other == first for other in others), "the same octets, cut otherwise, mean something else"
    reference = _REFERENCES.get(names.strip().lower())
    if first is not None and coded and reference is not None:
        assert first == reference(coded)
    return first is not None


TARGET = Target("br_zstd", _generate, _check, _TOKENS)
