"""Compressed manifests: what they are compressed with is told by their first octets, whatever they are called.

gzip, bzip2 and xz always, zstd with the extra ``codings``. Several streams one behind the other are one. What is
decompressed comes in pieces, so that a bomb takes time and no memory. Pure.

Sources: RFC 1952 (gzip), RFC 8878 (zstd), the .xz file format 1.2.0, bzip2 by its magic.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final, Protocol

from fetchd.client.codings import decoder_for
from fetchd.client.exceptions import ContentCodingError

from .problems import UnreadableError

__all__ = ["begun", "decompressed"]

_PIECE: Final = 64 * 1024
_XZ_MEMORY: Final = 128 << 20  # what xz -9 needs is 65 MiB
_MAGIC: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class _Decompressor(Protocol):
    """What ``bz2`` and ``lzma`` have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def begun(chunks: Iterable[bytes], enough: Callable[[bytes], bool]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first octets, as many as it takes for *enough* to be true of them; and all, from the first on."""
    rest = iter(chunks)
    head = b""
    for chunk in rest:
        head += chunk
        if enough(head):
            break
    return head, chain([head] if head else [], rest)


def decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the octets of a manifest with its compression, if it has one, removed.

    Raises:
        UnreadableError: The compressed data is damaged, cut off, or followed by something else; or the package for
            zstd is not there.
    """
    head, chunks = begun(chunks, _is_enough)
    name = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if name is None:
        yield from chunks
    elif name in ("gzip", "zstd"):
        yield from _by_client(name, chunks)
    elif name == "bzip2":
        yield from _by_library(name, bz2.BZ2Decompressor, chunks)
    else:
        yield from _by_library(name, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), chunks)


def _is_enough(head: bytes) -> bool:
    """Whether *head* tells the compression: no magic number that is longer begins with it."""
    return not any(len(magic) > len(head) and magic.startswith(head) for magic in _MAGIC)


def _by_client(name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress by what the client decodes content with."""
    try:
        decoder = decoder_for(name)
        assert decoder is not None, "both names are codings"
        for chunk in chunks:
            piece = decoder.decode(chunk, _PIECE)
            while piece or decoder.has_pending:
                if piece:
                    yield piece
                piece = decoder.decode(b"", _PIECE) if decoder.has_pending else b""
        decoder.finish()
    except ContentCodingError as exc:
        raise UnreadableError(str(exc)) from exc


def _by_library(name: str, make: Callable[[], _Decompressor], chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress one stream after the other; zero octets between and behind them are padding."""
    stream: _Decompressor | None = None
    for chunk in chunks:
        data = chunk
        while data or (stream is not None and not stream.needs_input and not stream.eof):
            if stream is None:
                data = data.lstrip(b"\0")
                stream = make() if data else None
                continue
            try:
                piece = stream.decompress(data, _PIECE)
            except (OSError, ValueError, lzma.LZMAError, EOFError) as exc:
                raise UnreadableError(f"{name} content is broken: {str(exc).lower()}") from exc
            data = b""
            if piece:
                yield piece
            if stream.eof:
                data, stream = stream.unused_data, None
    if stream is not None:
        raise UnreadableError(f"{name} content is cut off, before the end of its coding")
