"""The content codings br and zstd, by the packages of the extra ``fetchd[codings]``.

Loaded when a response is coded so, or when a session asks what it may offer: most never need the several megabytes of
either. Here: the two engines behind ``SlicingDecoder``. Not here: stacks and bounds (``codings``).

RFC 7932 (br), RFC 8878 (zstd), RFC 9659 (the window of zstd as a content coding).
"""

from __future__ import annotations

import sys
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .codings import SlicingDecoder
from .exceptions import ContentCodingError

if TYPE_CHECKING:
    from collections.abc import Callable

    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor
    else:
        from backports.zstd import ZstdDecompressor

__all__ = ["Brotli", "Zstd", "has_brotli", "has_zstd"]

# RFC 9659 section 3: a window of 8 MiB must be enough for content, so none can ask for gigabytes of memory.
_ZSTD_WINDOW_LOG = 23
# The longest head of a frame (RFC 8878 section 3.1.1.1).
_ZSTD_HEAD = 18
# Asked of brotli, whose bound is the size at which it takes no further block: the first one holds 32 KiB and is all
# that this admits, while 64 KiB would give 96.
_BROTLI_STEP = 16 * 1024


def has_brotli() -> bool:
    """Whether br can be decoded: brotli 1.2 or newer, which has a bound on its output."""
    if find_spec("brotli") is None:
        return False
    import brotli  # type: ignore[import-untyped]  # it has no types

    return hasattr(brotli.Decompressor, "can_accept_more_data")


def has_zstd() -> bool:
    """Whether zstd can be decoded: in the standard library from Python 3.14, before that by backports.zstd."""
    if sys.version_info >= (3, 14):
        return find_spec("_zstd") is not None
    return find_spec("backports") is not None and find_spec("backports.zstd") is not None


def _missing(name: str, package: str) -> ContentCodingError:
    return ContentCodingError(
        f"{name} content needs {package}, which is not installed: pip install 'fetchd[codings]', "
        f"or ask for other codings by Accept-Encoding"
    )


class Brotli(SlicingDecoder):
    """br: one stream, after which nothing may follow.

    Raises:
        ContentCodingError: The package is missing, or too old to bound its output.
    """

    __slots__ = ("_engine", "_error", "_given", "_has_more", "_over")

    name = "br"

    def __init__(self) -> None:
        super().__init__()
        if not has_brotli():
            raise _missing("br", "brotli 1.2 or newer")
        import brotli

        self._engine: Any = brotli.Decompressor()
        self._error: type[Exception] = brotli.error
        self._over = b""  # decoded beyond what was asked for
        self._given = 0  # octets of it that were given out
        self._has_more = False  # the engine may give more without further octets

    @property
    def _is_open(self) -> bool:
        return bool(self._received) and not self._engine.is_finished()

    def _advance(self, room: int) -> bytes:
        if not self._over:
            self._over = self._process()
        end = self._given + room
        piece = self._over[self._given : end]
        self._given = end
        if end >= len(self._over):
            self._over, self._given = b"", 0
        self._is_full = bool(self._over) or self._has_more
        return piece

    def _process(self) -> bytes:
        engine = self._engine
        data = b""
        if not self._has_more:
            data = self._slice()
            if data and engine.is_finished():
                self._fail_trailing()
            self._offset += len(data)
        try:
            decoded: bytes = engine.process(data, output_buffer_limit=_BROTLI_STEP)
        except self._error as exc:
            # What follows the end in the same slice is told by this error too.
            self._fail_broken(exc)
        # That it would take more does not say that it has given all: what reaches the bound may be followed by more.
        has_room = len(decoded) < _BROTLI_STEP and engine.can_accept_more_data()
        self._has_more = not has_room and not engine.is_finished()
        return decoded


class Zstd(SlicingDecoder):
    """zstd: one frame or several, skippable ones too (RFC 8878 section 3.1); after a frame only another may follow.

    A frame that says how long its content is must keep to it: the engine looks at that only when it gets a frame whole.

    Raises:
        ContentCodingError: The package is missing.
    """

    __slots__ = ("_count", "_engine", "_error", "_head", "_info", "_make")

    name = "zstd"

    def __init__(self) -> None:
        super().__init__()
        if not has_zstd():
            raise _missing("zstd", "backports.zstd")
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd

        self._error: type[Exception] = zstd.ZstdError
        self._info: Callable[[bytes], Any] = zstd.get_frame_info  # typed as if it always knew the size
        self._head = b""  # of the frame
        self._count = 0  # octets that it gave
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._make: Callable[[], ZstdDecompressor] = partial(zstd.ZstdDecompressor, options=options)
        self._engine: ZstdDecompressor | None = None  # None before, between and after frames

    @property
    def _is_open(self) -> bool:
        return self._engine is not None

    def _advance(self, room: int) -> bytes:
        engine = self._engine
        if engine is None:
            engine = self._engine = self._make()
            self._fresh = True
            self._head, self._count = b"", 0
        # What the engine has not used of a slice it keeps, and asks for no more until it has.
        data = self._slice() if engine.needs_input else b""
        try:
            piece = engine.decompress(data, room)
        except self._error as exc:
            self._fail_broken(exc)
        self._fresh = False
        self._offset += len(data)
        self._count += len(piece)
        if len(self._head) < _ZSTD_HEAD:
            self._head += data[: _ZSTD_HEAD - len(self._head)]
        if engine.eof:
            self._check_length()
            self._unread(engine.unused_data)
            self._engine = None
            self._is_full = False
        else:
            self._is_full = not engine.needs_input
        return piece

    def _check_length(self) -> None:
        declared = self._info(self._head).decompressed_size
        if declared is not None and declared != self._count:
            raise ContentCodingError(f"zstd content is broken: {self._count} octets in a frame of {declared}")

    def _unread(self, unused: bytes) -> None:
        """Give back what the engine was given and has not used; what it came from may be let go of already."""
        if len(unused) <= self._offset:
            self._offset -= len(unused)
        else:
            self._held = unused + self._held[self._offset :]
            self._offset = 0
