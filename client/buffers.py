"""``Buffer``: octets between one who makes them and one who reads them. It never waits for a socket and does no I/O.

Lives here: water marks, who is woken, where chunks ended. Not here: what a reader sees of it (``streams``).
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from typing import Final

from .limits import LOW_WATER_BYTES

__all__ = ["Buffer"]

# Ends of chunks that are noted before it is looked which of them are passed.
_CHUNK_ENDS: Final = 1024


class ChunkEnds:
    """Where the chunks of a transfer coding end that a reader has before it; a number of eight octets each.

    Nobody may ever ask, so what the reader has passed is thrown away as more is added.
    """

    __slots__ = ("_limit", "_places")

    def __init__(self) -> None:
        self._places = array("Q")
        self._limit = _CHUNK_ENDS

    def add(self, place: int, passed: int) -> None:
        """Note *place*, behind all before; the reader has taken *passed* octets."""
        places = self._places
        if len(places) >= self._limit:
            del places[: bisect_left(places, passed)]
            self._limit = max(_CHUNK_ENDS, 2 * len(places))
        if not places or places[-1] < place:
            places.append(place)

    def join(self, start: int, end: int) -> None:
        """Forget the places between *start* and *end*, behind which there are none."""
        places = self._places
        is_end = bool(places) and places[-1] == end
        del places[bisect_right(places, start) :]
        if is_end and end > start:
            places.append(end)

    def next(self, after: int) -> int | None:
        """The first place behind *after*; None when there is none."""
        at = bisect_right(self._places, after)
        return self._places[at] if at < len(self._places) else None


class Buffer:
    """Octets fed and not yet taken, the end or the failure of the stream, and who waits for either.

    Attributes:
        chunks: What is held, oldest first; of the first one only what stands from ``offset`` on.
        offset: Octets of the first chunk that were taken; always inside it.
        size: Octets held.
        total: Octets that were ever fed.
        is_eof: No more will be fed.
        exception: Why the stream broke; raised to the reader once what is held has been taken.
        on_drain: Called when a reader has taken the buffer to the low-water mark; set by a feeder that has paused.
        collecting: A reader takes all there is to the end: feeders need not pause and need not wake it before that.
    """

    # Hot path: class attributes until they change, one of these is made for every response.
    size = 0
    total = 0
    offset = 0
    _ends: ChunkEnds | None = None
    is_eof = False
    exception: BaseException | None = None
    waiter: asyncio.Future[None] | None = None
    on_drain: Callable[[], None] | None = None
    collecting = False

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()

    def feed(self, data: bytes) -> None:
        """Add *data*, which must not be empty."""
        self.chunks.append(data)
        self.size += len(data)
        self.total += len(data)
        if self.waiter is not None and not self.collecting:
            self.wake()

    def end_chunk(self) -> None:
        """What was fed last ended a chunk of the transfer coding."""
        if self._ends is None:
            self._ends = ChunkEnds()
        self._ends.add(self.total, self.total - self.size)

    def next_end(self, after: int) -> int | None:
        """The octet, counted from the first that was fed, at which the next chunk behind *after* ends, if it has."""
        return None if self._ends is None else self._ends.next(after)

    def feed_from(self, data: bytes, start: int) -> None:
        """Add the octets of *data* from *start* on, at least one, to a buffer that is new; they are not copied."""
        self.chunks.append(data)
        self.offset = start
        self.size = self.total = len(data) - start

    def feed_eof(self) -> None:
        """Say that no more will come."""
        self.is_eof = True
        self.on_drain = None
        if self.waiter is not None:
            self.wake()

    def fail(self, exc: BaseException) -> None:
        """Break the stream: readers get what is held, then *exc*."""
        if self.is_eof or self.exception is not None:
            return
        self.exception = exc
        self.on_drain = None
        if self.waiter is not None:
            self.wake()

    def wake(self) -> None:
        """Wake the reader, if one waits."""
        # Until it runs the reader keeps its place: a second one that came in between would take what woke it.
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    @property
    def is_over(self) -> bool:
        """Whether reading gives no further octet: the end or a failure, with nothing held."""
        return not self.size and (self.is_eof or self.exception is not None)

    async def wait(self) -> None:
        """Wait until something was fed, the end or a failure; at once if there is something already."""
        if self.is_eof or self.exception is not None or (self.size and not self.collecting):
            return
        await self.wait_signal()

    async def wait_signal(self) -> None:
        """Wait for the next ``wake``, whatever is there already."""
        self.refuse_second_reader()
        self.waiter = asyncio.get_running_loop().create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    def refuse_second_reader(self) -> None:
        """Raise RuntimeError when a task waits to read: what another one took would be missing there."""
        if self.waiter is not None:
            raise RuntimeError("two tasks read from one stream at the same time")

    def take_all(self) -> bytes:
        """Everything held, as one object; b"" when nothing is."""
        chunks = self.chunks
        if len(chunks) == 1:
            data = chunks[0][self.offset :]
        elif self.offset:
            first = memoryview(chunks.popleft())[self.offset :]  # without a copy of its own
            data = b"".join((first, *chunks))
        else:
            data = b"".join(chunks)
        self.offset = 0
        chunks.clear()
        self.size = 0
        self._drained()
        return data

    def take(self, limit: int) -> bytes:
        """At most *limit* octets of what is held, without joining chunks; b"" when nothing is."""
        if not self.chunks:
            return b""
        # A chunk is left where it is until its last octet is taken: to cut it each time would be quadratic.
        data = self.chunks[0]
        start, end = self.offset, self.offset + limit
        if end < len(data):
            self.offset = end
            data = data[start:end]
        else:
            self.chunks.popleft()
            self.offset = 0
            if start:
                data = data[start:]
        self.size -= len(data)
        self._drained()
        return data

    @property
    def first_size(self) -> int:
        """Octets held of the first chunk."""
        return len(self.chunks[0]) - self.offset

    def find(self, separator: bytes, seam: bytes) -> int:
        """How many octets of the first chunk there are up to and with *separator*; 0 when it is not there.

        Args:
            separator: What is looked for; it may have begun before this chunk.
            seam: The octets that stood before the chunk, fewer than *separator* has.
        """
        data, start = self.chunks[0], self.offset
        if seam:
            place = (seam + data[start : start + len(separator) - 1]).find(separator)
            if place >= 0:
                return place + len(separator) - len(seam)
        place = data.find(separator, start)
        return place + len(separator) - start if place >= 0 else 0

    def join_newest(self, count: int) -> None:
        """Make the *count* octets that were fed last, and that nobody has begun to take, one chunk."""
        if self._ends is not None:
            self._ends.join(self.total - count, self.total)
        parts: list[bytes] = []
        while count > 0:
            parts.append(self.chunks.pop())
            count -= len(parts[-1])
        if parts:
            parts.reverse()
            self.chunks.append(b"".join(parts))

    def unread(self, data: bytes) -> None:
        """Put back *data*, which was taken last."""
        if data:
            if self.offset:
                self.chunks[0] = self.chunks[0][self.offset :]
                self.offset = 0
            self.chunks.appendleft(data)
            self.size += len(data)

    def _drained(self) -> None:
        if self.on_drain is not None and self.size <= LOW_WATER_BYTES:
            on_drain, self.on_drain = self.on_drain, None
            on_drain()

    async def collect(self) -> bytes:
        """Read to the end and give the whole; raise what broke the stream."""
        self.refuse_second_reader()
        self.collecting = True
        try:
            if self.on_drain is not None:
                # The feeder had paused for a reader that would come piece by piece; this one takes all.
                on_drain, self.on_drain = self.on_drain, None
                on_drain()
            while not self.is_eof and self.exception is None:
                await self.wait()
        finally:
            self.collecting = False
        if self.exception is not None:
            raise self.exception
        return self.take_all()
