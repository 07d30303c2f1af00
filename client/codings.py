"""Content codings: gzip, deflate, br, zstd and stacks of them, decoded step by step.

Here: from the value of Content-Encoding to a decoder that takes coded octets as they come, gives
decoded octets in pieces of a size the caller names, and says at the end whether the coding is at
its end too. Pure: no I/O, no clock. Not here: who asks for a coding, and what a body that is too
large means for the connection. br and zstd themselves are in ``brotli_zstd``, loaded when a response is coded so.

RFC 9110 section 8.4 (Content-Encoding), RFC 1950 (zlib), RFC 1951 (deflate), RFC 1952 (gzip).

Theory of operation. The naive way, ``zlib.decompress`` of what came, fails four times over: a
small input has an output a thousand times its size; a cut-off stream raises nothing; whatever
stands after the first gzip member is dropped; and ``unconsumed_tail`` and ``unused_data`` are
copies, so handing a large input over again and again is quadratic. Here zlib is shown a small
slice of the input at a time (so its copies are small and the cost is linear), every call has a
bound on its output, and ``finish`` insists on the end.

One step of a stack moves at most ``_STEP`` octets between two stages. Without that a few octets
that inflate to gigabytes of nothing (empty gzip members, zero padding) would keep one call busy
for minutes without a single octet of output for a limit to count. For the same reason a call looks
at no more than ``_SLICES_A_STEP`` slices: a chunk of 256 KiB holds 29,000 empty zstd frames, which
take a fifth of a second.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, NoReturn, Protocol

from .exceptions import BodyTooLargeError, ContentCodingError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "DEFAULT_MAX_RATIO",
    "BoundedDecoder",
    "CountingDecoder",
    "Decoder",
    "SlicingDecoder",
    "accept_encoding",
    "decoder_for",
]

MAX_STACK = 5
"""Codings applied one over the other; curl's bound too. Real servers apply one, seldom two."""

# Deflate yields at most 258 octets for 2 bits (RFC 1951 section 3.2.5: a length and a distance
# code of one bit each), so no single coding exceeds 1032 : 1 and no honest body is refused, not
# even a file of zeros. A bomb of one coding is a matter for ``max_total``; the ratio is there for
# stacks, where the factors multiply (gzip of gzip: a million to one), and for br and zstd, which make a
# hundred MiB of zeros out of 172 and 3,219 octets; who wants such a file sets ``max_total`` instead. Lower
# bounds are in use (Apache httpd inflates 200 : 1 and refuses more), but they refuse sparse files, which are data.
DEFAULT_MAX_RATIO = 1032

# Below this much output a ratio says nothing: the first octets of a body are its densest.
_RATIO_FLOOR = 1 << 20

# Octets shown to a decoder at a time. Its leftover copies are at most this large. Measured from 1 KiB
# to 256 KiB: no difference in throughput, so small enough to be cheap to copy.
_SLICE = 16 * 1024

# The same at the start of a gzip member, where what follows may be the end of a tiny one: 100,000
# empty members would otherwise copy 16 KiB each.
_FIRST_SLICE = 512

# Slices that one call looks at: 2 ms of the dearest kind, empty zstd frames of 8 us each. Slices that give anything are
# bounded by what they give.
_SLICES_A_STEP = 256

# Octets that one step moves between two stages of a stack.
_STEP = 64 * 1024

_GZIP_WBITS = 16 + zlib.MAX_WBITS


class Decoder(Protocol):
    """Removes a content coding, or a stack of them, from octets as they come.

    Use: ``decode(chunk, n)``, then ``decode(b"", n)`` while ``has_pending``, for each chunk of the
    message; ``finish()`` when it has ended. Judge by ``has_pending``, not by an empty result: a
    step may find no octet to give and still have work left.
    """

    @property
    def has_pending(self) -> bool:
        """True when ``decode(b"", n)`` has work to do; it may turn out to yield nothing."""

    def decode(self, data: bytes, max_length: int) -> bytes:
        """Take *data* and return at most *max_length* (at least 1) decoded octets.

        Raises:
            ContentCodingError: The coded data is broken, or goes on after its end. Give up.
        """

    def finish(self) -> None:
        """Assert that the message may end here. Call it once ``has_pending`` is False.

        Content of no octets at all passes: that the message is empty is for its framing to say,
        and servers do announce a coding for a body of length 0.

        Raises:
            ContentCodingError: The coded data is cut off.
            RuntimeError: Decoded content is still pending; a fault of the calling code.
        """


class CountingDecoder(Decoder, Protocol):
    """A decoder that says how much it has made, so that a bound can be set on it."""

    @property
    def produced(self) -> int:
        """Octets decoded so far; in a stack, those of the stage that produced the most."""


class SlicingDecoder(ABC):
    """What all codings share: slices in, bounded pieces out, a strict end.

    Attributes:
        name: Of the coding, for errors.
    """

    __slots__ = ("_fresh", "_held", "_is_full", "_offset", "_produced", "_received")

    name = ""

    def __init__(self) -> None:
        self._held = b""  # the chunk that coded octets not yet used up, if any, are the tail of
        self._offset = 0  # where that tail starts; always inside the chunk between two calls
        self._fresh = False  # the engine has seen no octet yet
        self._is_full = False  # the last piece filled its bound: the engine may hold more without input
        self._received = 0
        self._produced = 0

    @property
    def has_pending(self) -> bool:
        return self._is_full or bool(self._held)

    @property
    def produced(self) -> int:
        return self._produced

    def decode(self, data: bytes, max_length: int) -> bytes:
        if max_length < 1:
            raise ValueError(f"max_length is {max_length}; expected at least 1")
        if data:
            # A caller who drains first, as told, never pays for this join.
            self._held = self._held[self._offset :] + data if self._held else data
            self._offset = 0
            self._received += len(data)
        pieces = []
        room = max_length
        for _ in range(_SLICES_A_STEP):
            if not room or not (self._offset < len(self._held) or self._is_full):
                break
            piece = self._advance(room)
            if piece:
                pieces.append(piece)
                room -= len(piece)
        if self._offset == len(self._held):
            self._held = b""
            self._offset = 0
        self._produced += max_length - room
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def finish(self) -> None:
        if self.has_pending:
            raise RuntimeError("finish() while decoded content is pending; call decode() first")
        if self._is_open:
            raise ContentCodingError(
                f"{self.name} content is cut off after {self._received} octets, before the end of its coding"
            )

    @property
    @abstractmethod
    def _is_open(self) -> bool:
        """Whether a coding has begun that is not at its end."""

    @abstractmethod
    def _advance(self, room: int) -> bytes:
        """Decode one slice, from ``_offset`` on, into at most *room* octets; move ``_offset``, set ``_is_full``."""

    def _slice(self) -> bytes:
        return self._held[self._offset : self._offset + (_FIRST_SLICE if self._fresh else _SLICE)]

    def _fail_broken(self, exc: Exception) -> NoReturn:
        raise ContentCodingError(f"{self.name} content is broken: {exc}") from exc

    def _fail_trailing(self) -> NoReturn:
        raise ContentCodingError(f"{self.name} content goes on after the end of its coding")


class _Inflating(SlicingDecoder):
    """What gzip and deflate share."""

    __slots__ = ("_inflater",)

    def __init__(self) -> None:
        super().__init__()
        self._inflater: zlib._Decompress | None = None  # None before, between and after members

    @property
    def _is_open(self) -> bool:
        return self._inflater is not None

    def _advance(self, room: int) -> bytes:
        inflater = self._inflater
        if inflater is None:
            inflater = self._between_members()
            if inflater is None:
                return b""
        data = self._slice()
        try:
            piece = inflater.decompress(data, room)
        except zlib.error as exc:
            self._fail_broken(exc)
        self._fresh = False
        if inflater.eof:
            self._offset += len(data) - len(inflater.unused_data)
            self._inflater = None
            self._is_full = False
        else:
            self._offset += len(data) - len(inflater.unconsumed_tail)
            self._is_full = len(piece) == room
        return piece

    def _start(self, wbits: int) -> zlib._Decompress:
        self._inflater = zlib.decompressobj(wbits)
        self._fresh = True
        return self._inflater

    @abstractmethod
    def _between_members(self) -> zlib._Decompress | None:
        """Look at the octet at ``_offset``, before or after a member: start one or use the octets up."""


class _Gzip(_Inflating):
    """gzip: one member or several, as RFC 1952 section 2.2 has it; CRC and length are checked.

    Zero octets after the last member are padding, as for gzip(1), and nothing may follow them.
    Anything else after a member that is not another one is an error: gzip(1) warns and browsers
    look away, but for a client whose octets are kept it means that they are not what was sent.
    """

    __slots__ = ("_is_padding", "_members")

    name = "gzip"

    def __init__(self) -> None:
        super().__init__()
        self._members = 0
        self._is_padding = False

    def _between_members(self) -> zlib._Decompress | None:
        if self._members:
            octet = self._held[self._offset]
            if self._is_padding or octet == 0:
                self._skip_padding()
                return None
            if octet != 0x1F:
                self._fail_trailing()
        self._members += 1
        return self._start(_GZIP_WBITS)

    def _skip_padding(self) -> None:
        self._is_padding = True
        padding = self._held[self._offset : self._offset + _SLICE]
        if padding.strip(b"\0"):
            self._fail_trailing()
        self._offset += len(padding)


class _Deflate(_Inflating):
    """deflate: the zlib format, as RFC 9110 section 8.4.1.2 has it, or raw deflate.

    Raw deflate is what some servers send by that name. The first octet tells: in a zlib header
    its low half is 8 (the method) and its top bit 0 (the window); a raw stream has that low half
    only when it starts with a stored block whose padding bits are not zero, which no encoder writes.
    """

    __slots__ = ("_started",)

    name = "deflate"

    def __init__(self) -> None:
        super().__init__()
        self._started = False

    def _between_members(self) -> zlib._Decompress:
        if self._started:
            self._fail_trailing()
        self._started = True
        is_zlib = self._held[self._offset] & 0x8F == 0x08
        return self._start(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


class _Stack:
    """Two decoders, the output of *outer* being the input of *inner*; nests to any depth."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, outer: CountingDecoder, inner: CountingDecoder) -> None:
        self._outer = outer
        self._inner = inner

    @property
    def has_pending(self) -> bool:
        return self._inner.has_pending or self._outer.has_pending

    @property
    def produced(self) -> int:
        return max(self._outer.produced, self._inner.produced)

    def decode(self, data: bytes, max_length: int) -> bytes:
        # The outer stage is asked even when the inner has work: it must take the data. What it
        # gives then waits in the inner stage, at most one step for each chunk of the caller.
        if data or not self._inner.has_pending:
            data = self._outer.decode(data, _STEP)
        return self._inner.decode(data, max_length)

    def finish(self) -> None:
        self._outer.finish()
        self._inner.finish()


class BoundedDecoder:
    """A decoder whose output has a bound, in octets and in proportion to its input.

    Every stage of a stack counts, not only the last: a bomb may inflate in the middle and come out
    small. At most one octet more than the bound is ever decoded by the last stage.

    Args:
        inner: What decodes.
        max_total: Octets of decoded content, None for no bound.
        max_ratio: Decoded octets for each coded one, None for no bound; looked at only once more
            than 1 MiB has been decoded.
    """

    __slots__ = ("_inner", "_max_ratio", "_max_total", "_received")

    def __init__(
        self, inner: CountingDecoder, max_total: int | None = None, max_ratio: int | None = DEFAULT_MAX_RATIO
    ) -> None:
        self._inner = inner
        self._max_total = max_total
        self._max_ratio = max_ratio
        self._received = 0

    @property
    def has_pending(self) -> bool:
        """As of the decoder within."""
        return self._inner.has_pending

    @property
    def produced(self) -> int:
        """As of the decoder within."""
        return self._inner.produced

    def decode(self, data: bytes, max_length: int) -> bytes:
        """As of the decoder within.

        Raises:
            BodyTooLargeError: A bound is exceeded; ``limit`` is the octets or the ratio.
            ContentCodingError: The coded data is broken.
        """
        self._received += len(data)
        if self._max_total is not None:
            max_length = min(max_length, max(1, self._max_total - self._inner.produced + 1))
        piece = self._inner.decode(data, max_length)
        self._check(self._inner.produced)
        return piece

    def finish(self) -> None:
        """As of the decoder within."""
        self._inner.finish()

    def _check(self, produced: int) -> None:
        if self._max_total is not None and produced > self._max_total:
            raise BodyTooLargeError("decoded content", self._max_total)
        if self._max_ratio is None or produced <= _RATIO_FLOOR:
            return
        if produced > self._max_ratio * self._received:
            raise BodyTooLargeError("ratio of decoded to coded content", self._max_ratio)


_CODINGS: dict[str, Callable[[], CountingDecoder]] = {"gzip": _Gzip, "x-gzip": _Gzip, "deflate": _Deflate}

_BY_EXTRA = ("br", "zstd")


@cache
def accept_encoding() -> str:
    """What a request may offer in Accept-Encoding: the codings that can be removed here.

    br and zstd are among them when the packages of the extra ``fetchd[codings]`` are installed. Found once, and zstd
    without loading it.
    """
    from .brotli_zstd import has_brotli, has_zstd

    return "gzip, deflate" + (", br" if has_brotli() else "") + (", zstd" if has_zstd() else "")


def _maker_of(name: str) -> Callable[[], CountingDecoder]:
    if name in _BY_EXTRA:
        from .brotli_zstd import Brotli, Zstd

        return Brotli if name == "br" else Zstd
    make = _CODINGS.get(name)
    if make is None:
        raise ContentCodingError(f"content coding {name[:40]!r} is not known; expected {accept_encoding()}")
    return make


def decoder_for(content_encoding: str) -> CountingDecoder | None:
    """Return a decoder for the value of Content-Encoding, or None when there is nothing to remove.

    Args:
        content_encoding: The whole value; several fields joined by commas in their order, so that
            the bound on the number of codings is over all of them. Case does not matter;
            ``identity`` and empty elements are skipped.

    Raises:
        ContentCodingError: A coding that is not known, whose package is missing, or more than five.

    Source: RFC 9110 section 8.4. The codings are listed in the order in which they were applied,
    so they are removed from the last to the first.
    """
    names = [name for part in content_encoding.split(",") if (name := part.strip(" \t").lower())]
    names = [name for name in names if name != "identity"]
    if len(names) > MAX_STACK:
        raise ContentCodingError(f"{len(names)} content codings; expected at most {MAX_STACK}")
    decoder: CountingDecoder | None = None
    for name in names:
        make = _maker_of(name)
        decoder = make() if decoder is None else _Stack(make(), decoder)
    return decoder
