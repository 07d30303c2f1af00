"""``StreamReader``: octets on their way from one who makes them to one who reads them, with flow control.

``Buffer`` is the state between the two: it never waits and never does I/O. ``StreamReader`` is the reading end that
users hold, and for a stream that the caller feeds (an upload made on the go) the writing end as well.
Lives here: water marks, waking, reading aids. Not here: where the octets come from, codings, framing.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from .exceptions import ClientPayloadError, StreamConsumedError
from .limits import HIGH_WATER_BYTES, LOW_WATER_BYTES

__all__ = ["StreamReader"]


# Ends of chunks that are noted before it is looked which of them are passed.
_CHUNK_ENDS: Final = 1024


class Owner(Protocol):
    """Who is told when a stream is dropped or given up before its end (it holds a socket), or its failure is raised."""

    def dropped(self) -> None: ...

    def abandon(self) -> None: ...

    def keep_twin_of_failure(self) -> None: ...


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


class StreamReader:
    """The reading end of a stream of octets, and the writing end of one that the caller feeds.

    Made by the client for the content of a response, or by the caller to feed an upload::

        stream = StreamReader()
        upload = asyncio.create_task(session.put(url, data=stream))
        await stream.write(chunk)  # waits while the upload is behind
        stream.feed_eof()

    One task reads at a time: a second one gets RuntimeError at once. A failure of the source (truncation, timeout,
    reset) is raised by the read that reaches it, after all octets that came before it. A read that is cancelled, or
    meets the failure half-way, leaves the octets it had for the next one.

    Attributes:
        length: Octets that the framing announces (Content-Length, content codings not removed); None when it does not.
    """

    def __init__(
        self, *, length: int | None = None, _buffer: Buffer | None = None, _owner: Owner | None = None
    ) -> None:
        self._buffer = Buffer() if _buffer is None else _buffer
        self._owner = _owner
        self._started = False
        self._room: asyncio.Future[None] | None = None
        self.length = length

    def __del__(self) -> None:
        if self._owner is not None and not self._buffer.is_eof and self._buffer.exception is None:
            self._owner.dropped()

    def __repr__(self) -> str:
        state = "eof" if self._buffer.is_eof else repr(self._buffer.exception) if self._buffer.exception else "open"
        return f"<StreamReader {self._buffer.size} octets held, {state}>"

    # The reading end.

    @property
    def started(self) -> bool:
        """Whether reading has begun."""
        return self._started

    def at_eof(self) -> bool:
        """Whether the end was reached and all octets were taken."""
        return self._buffer.is_eof and not self._buffer.size

    @property
    def is_used_up(self) -> bool:
        """Whether it is the content of a response, and was read to its end."""
        return self._owner is not None and self._started and self.at_eof()

    @property
    def total_bytes(self) -> int:
        """Octets that have come so far, read or not; content codings removed."""
        return self._buffer.total

    def exception(self) -> BaseException | None:
        """What broke the stream; None while it is sound."""
        return self._buffer.exception

    async def _fill(self) -> bool:
        """Wait for octets; False at the end. Raises what broke the stream once nothing is held."""
        self._started = True
        buffer = self._buffer
        if buffer.waiter is not None:
            buffer.refuse_second_reader()
        while not buffer.size and not buffer.is_eof and buffer.exception is None:
            await buffer.wait()
        if buffer.size:
            return True
        self._raise_failure()
        return False

    def _raise_failure(self) -> None:
        """Raise what broke the stream, if anything did."""
        if self._buffer.exception is not None:
            try:
                raise self._buffer.exception
            finally:
                self._let_go_of_failure()

    def _let_go_of_failure(self) -> None:
        if self._owner is not None and self._buffer.exception is not None:
            self._owner.keep_twin_of_failure()

    async def read(self, n: int = -1) -> bytes:
        """Read up to *n* octets, at least one; b"" only at the end. With -1, all to the end.

        Raises:
            ClientPayloadError: The content broke off or cannot be decoded.
            ServerTimeoutError: It took too long.
        """
        if n == 0:
            return b""
        if n < 0:
            self._started = True
            try:
                return await self._buffer.collect()
            finally:
                self._let_go_of_failure()
        return self._buffer.take(n) if await self._fill() else b""

    async def readany(self) -> bytes:
        """Read what is there, at least one octet; b"" only at the end."""
        return self._buffer.take_all() if await self._fill() else b""

    def read_nowait(self, n: int = -1) -> bytes:
        """Take up to *n* octets of what is there, with -1 all of it; b"" when nothing is, at the end or before.

        Raises:
            RuntimeError: A task waits to read.
            What broke the stream, once nothing is held.
        """
        self._started = True
        buffer = self._buffer
        buffer.refuse_second_reader()
        if buffer.size:
            return buffer.take_all() if n < 0 else buffer.take(n) if n else b""
        self._raise_failure()
        return b""

    async def readexactly(self, n: int) -> bytes:
        """Read exactly *n* octets.

        Raises:
            asyncio.IncompleteReadError: The stream ended before; ``partial`` holds what there was.
            ValueError: *n* is negative.
        """
        if n < 0:
            raise ValueError(f"readexactly({n}): expected 0 octets or more")
        parts: list[bytes] = []
        missing = n
        try:
            while missing and await self._fill():
                parts.append(self._buffer.take(missing))
                missing -= len(parts[-1])
        except BaseException:
            self._buffer.unread(b"".join(parts))
            raise
        data = b"".join(parts)
        if missing:
            raise asyncio.IncompleteReadError(data, n)
        return data

    async def readuntil(self, separator: bytes = b"\n", *, limit: int = 65_536) -> bytes:
        """Read up to and with *separator*; what is left at the end of the stream if it does not come.

        Args:
            separator: One octet or more.
            limit: Octets to look through before giving up; default 64 KiB as in asyncio.

        Raises:
            ValueError: *separator* is empty, or did not come within *limit* octets (which stay to be read).
        """
        if not separator:
            raise ValueError("separator must hold at least one octet")
        buffer = self._buffer
        parts: list[bytes] = []
        room, end, seam = limit, 0, b""
        try:
            while not end and await self._fill():
                end = buffer.find(separator, seam)
                if (end or buffer.first_size) > room:
                    raise ValueError(f"no separator within the limit of {limit} octets")
                parts.append(buffer.take(end or buffer.first_size))
                room -= len(parts[-1])
                if len(separator) > 1:
                    seam = (seam + parts[-1])[1 - len(separator) :]
        except BaseException:
            buffer.unread(b"".join(parts))
            raise
        return b"".join(parts)

    async def readline(self) -> bytes:
        """Read up to and with the next line feed, at most 64 KiB; b"" at the end."""
        return await self.readuntil(b"\n")

    async def readinto(self, buffer: bytearray | memoryview) -> int:
        """Read at least one octet into *buffer*; the number read, 0 only at the end."""
        view = memoryview(buffer)
        if not len(view) or not await self._fill():
            return 0
        data = self._buffer.take(len(view))
        view[: len(data)] = data
        return len(data)

    async def iter_chunked(self, n: int) -> AsyncIterator[bytes]:
        """Iterate over pieces of at most *n* octets.

        Raises:
            ValueError: *n* is below 1.
        """
        if n < 1:
            raise ValueError(f"iter_chunked({n}): expected pieces of 1 octet or more")
        while await self._fill():
            yield self._buffer.take(n)

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Iterate over what is there each time."""
        while await self._fill():
            yield self._buffer.take_all()

    async def iter_chunks(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Iterate over what is there each time, each with whether a chunk of the transfer coding ends behind it.

        An end that is known only later comes with b"". Tiny chunks that nobody has taken are made one. Chunks are
        known where the content is chunked and no coding is removed, else all are False. They mean nothing (RFC 9112
        section 7.1): any proxy may cut them anew.
        """
        buffer = self._buffer
        told = buffer.total - buffer.size
        while await self._fill():
            place = buffer.total - buffer.size
            end = buffer.next_end(max(told, place - 1))
            if end == place:
                told = place
                yield b"", True
                end = buffer.next_end(place)
            data = buffer.take(buffer.size if end is None else end - place)
            is_end = place + len(data) == end
            if is_end:
                told = place + len(data)
            yield data, is_end
        if buffer.next_end(max(told, buffer.total - 1)) is not None:
            yield b"", True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over lines, each with its line feed."""
        while line := await self.readline():
            yield line

    # The writing end, for a stream that the caller feeds.

    def feed_data(self, data: bytes | bytearray | memoryview) -> None:
        """Add *data* without waiting; ``write`` is the one that waits while the reader is behind.

        Raises:
            RuntimeError: After ``feed_eof``.
            The failure of the reading side, once there is one: nobody would take what is added.
        """
        self._refuse_foreign_feeder()
        buffer = self._buffer
        if buffer.is_eof:
            raise RuntimeError("feed_data() after feed_eof()")
        if buffer.exception is not None:
            raise buffer.exception
        if data:
            buffer.feed(bytes(data))

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add *data*, then wait while more than 512 KiB are held and the reader does not want the whole.

        Raises:
            RuntimeError: Another task waits in ``write``.
            The failure of the reading side, when the upload that reads this stream has ended with one.
        """
        if self._room is not None:
            raise RuntimeError("two tasks write to one stream at the same time")
        self.feed_data(data)
        buffer = self._buffer
        while buffer.size > HIGH_WATER_BYTES and buffer.exception is None and not buffer.collecting:
            self._room = asyncio.get_running_loop().create_future()
            buffer.on_drain = self._make_room
            try:
                await self._room
            finally:
                self._room = None
        if buffer.exception is not None:
            raise buffer.exception

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def feed_eof(self) -> None:
        """Say that no more will come."""
        self._refuse_foreign_feeder()
        self._buffer.feed_eof()
        self._make_room()

    def set_exception(self, exc: BaseException) -> None:
        """Break the stream: its reader gets what is held, then *exc*; a waiting ``write`` gets *exc*."""
        self._buffer.fail(exc)
        self._make_room()

    def _refuse_foreign_feeder(self) -> None:
        if self._owner is not None:
            raise RuntimeError("this stream is fed by a response, not by the caller")

    def _end_upload(self) -> None:
        """The upload that read this stream is over, and nobody takes the rest: who feeds it must learn of that."""
        if self._owner is not None:
            if self._started:
                self._owner.abandon()
        elif not self.at_eof():
            self.set_exception(ClientPayloadError("the upload that read this stream has ended"))

    def _claim_whole(self) -> None:
        if self._started:
            raise StreamConsumedError("the content was already read as a stream; read() it first or not at all")
        self._started = True
