"""A body sent otherwise than it is given: with a content coding, in chunks although its length is known, with trailers.

Lives here: the engines of ``compress=``, and the body around a body. Not here: codings of a response (``codings``).
Loaded when somebody asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final, Protocol, cast

from .bodies import Body, BytesBody
from .brotli_zstd import has_brotli, has_zstd
from .exceptions import ClientPayloadError
from .heads import check_value, encoded
from .limits import COALESCE_BYTES, COMPRESS_STEP_BYTES

__all__ = ["ReshapedBody", "check_coding", "reshaped"]

Trailers = Mapping[str, Callable[[], str]]

_ZLIB: Final = {"gzip": 31, "deflate": 15}


class _Compressor(Protocol):
    """What makes coded octets of octets."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def check_coding(compress: bool | str | None) -> str | None:
    """The content coding that ``compress=`` asks for; None for none. True is deflate, as in aiohttp.

    Raises:
        ValueError: It is not known, or the package for it is missing.
    """
    if not compress:
        return None
    coding = "deflate" if compress is True else compress.lower()
    if coding in _ZLIB or (coding == "br" and has_brotli()) or (coding == "zstd" and has_zstd()):
        return coding
    if coding in ("br", "zstd"):
        raise ValueError(f"compress={coding!r} needs a package that is missing: pip install 'fetchd[codings]'")
    raise ValueError(f"compress={compress!r}; expected True, 'gzip', 'deflate', 'br' or 'zstd'")


def _compressor(coding: str) -> _Compressor:
    if coding in _ZLIB:
        return zlib.compressobj(wbits=_ZLIB[coding])
    if coding == "br":
        return _Brotli()
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdCompressor
    else:
        from backports.zstd import ZstdCompressor
    return cast(_Compressor, ZstdCompressor())


class _Brotli:
    """brotli's engine behind the names of zlib's."""

    def __init__(self) -> None:
        import brotli  # type: ignore[import-untyped]  # it has no types

        # Its default of 11 makes a quarter of a MiB a second, too slow for what is sent once.
        self._engine: Any = brotli.Compressor(quality=_BROTLI_QUALITY)

    def compress(self, data: bytes, /) -> bytes:
        """See zlib."""
        return cast(bytes, self._engine.process(data))

    def flush(self) -> bytes:
        """See zlib."""
        return cast(bytes, self._engine.finish())


_BROTLI_QUALITY: Final = 5


def reshaped(body: Body, coding: str | None, *, chunked: bool, trailers: Trailers | None = None) -> Body:
    """*body* with the content *coding* (None for none), streamed in chunks, *trailers* behind them (None for none).

    One that is in memory and small is coded at once, unless it is to be *chunked*, and still travels with its head.
    """
    if coding is not None and not chunked and isinstance(body, BytesBody) and body.length <= COALESCE_BYTES:
        return BytesBody(_end(_compressor(coding), body.data), body.content_type)
    return ReshapedBody(body, coding, trailers)


class ReshapedBody:
    """The content of another body, of a length that is not told; replayable if that one is.

    Args:
        body: What is sent.
        coding: One that ``check_coding`` gave; None for none.
        trailers: Fields of the trailer section; None for none.
    """

    length = None

    def __init__(self, body: Body, coding: str | None, trailers: Trailers | None = None) -> None:
        self._body = body
        self._coding = coding
        self._trailers = trailers or {}
        self.content_type = body.content_type

    @property
    def is_replayable(self) -> bool:
        """Whether the other body is."""
        return self._body.is_replayable

    def trailer_section(self) -> bytes:
        """See ``Trailed``. Each value is asked for now; what that raises fails the request."""
        lines = (f"{name}: {check_value(name, make())}\r\n" for name, make in self._trailers.items())
        return encoded("".join(lines))

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The octets as they are sent; what is coded is coded in steps of 64 KiB, however it comes.

        Raises:
            ClientPayloadError: The other body gave more or fewer octets than its length.
        """
        async with contextlib.aclosing(self._measured()) as pieces:
            if self._coding is None:
                async for piece in pieces:
                    yield piece
                return
            engine, held = _compressor(self._coding), bytearray()
            async for piece in pieces:
                for start in range(0, len(piece), COMPRESS_STEP_BYTES):
                    held += piece[start : start + COMPRESS_STEP_BYTES]
                    if len(held) >= COMPRESS_STEP_BYTES:
                        coded = await asyncio.to_thread(engine.compress, bytes(held))
                        held.clear()
                        if coded:
                            yield coded
        yield await asyncio.to_thread(_end, engine, bytes(held))

    async def _measured(self) -> AsyncGenerator[bytes, None]:
        """The pieces of the other body, no more of them than it has announced, and no fewer."""
        given, expected = 0, self._body.length
        async with contextlib.aclosing(self._body.pieces()) as pieces:
            async for piece in pieces:
                given += len(piece)
                if expected is not None and given > expected:
                    break
                yield piece
        if expected is not None and given != expected:
            seen = "more" if given > expected else str(given)
            raise ClientPayloadError(f"the request body gave {seen} octets, announced were {expected}")


def _end(engine: _Compressor, data: bytes) -> bytes:
    return engine.compress(data) + engine.flush()
