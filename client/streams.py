"""``StreamReader``: octets on their way from one who makes them to one who reads them, with flow control.

``Buffer`` is the state between the two: it never waits and never does I/O. ``StreamReader`` is the reading end that
users hold, and for a stream that the caller feeds (an upload made on the go) the writing end as well.
Lives here: water marks, waking, reading aids. Not here: where the octets come from, codings, framing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from .exceptions import StreamConsumedError
from .limits import HIGH_WATER_BYTES, LOW_WATER_BYTES, SAVE_BUFFER_BYTES

__all__ = ["StreamReader"]


class Owner(Protocol):
    """Who must be told when a stream is dropped before its end (it holds a socket)."""

    def dropped(self) -> None: ...


class Buffer:
    """Octets fed and not yet taken, the end or the failure of the stream, and who waits for either.

    Attributes:
        size: Octets held.
        is_eof: No more will be fed.
        exception: Why the stream broke; raised to the reader once what is held has been taken.
        on_drain: Called when a reader has taken the buffer to the low-water mark; set by a feeder that has paused.
        collecting: A reader takes all there is to the end: feeders need not pause and need not wake it before that.
    """

    # Hot path: class attributes until they change, one of these is made for every response.
    size = 0
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
        if self.waiter is not None and not self.collecting:
            self.wake()

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
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

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
        if self.waiter is not None:
            raise RuntimeError("two tasks read from one stream at the same time")
        self.waiter = asyncio.get_running_loop().create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    def take_all(self) -> bytes:
        """Everything held, as one object; b"" when nothing is."""
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.size = 0
        self._drained()
        return data

    def take(self, limit: int) -> bytes:
        """At most *limit* octets of what is held, without joining chunks; b"" when nothing is."""
        if not self.chunks:
            return b""
        data = self.chunks.popleft()
        if len(data) > limit:
            self.chunks.appendleft(data[limit:])
            data = data[:limit]
        self.size -= len(data)
        self._drained()
        return data

    def _drained(self) -> None:
        if self.on_drain is not None and self.size <= LOW_WATER_BYTES:
            on_drain, self.on_drain = self.on_drain, None
            on_drain()

    async def collect(self) -> bytes:
        """Read to the end and give the whole; raise what broke the stream."""
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
    """The reading end of a stream of octets.

    Made by the client for the content of a response, or by the caller to feed an upload::

        stream = StreamReader()
        upload = asyncio.create_task(session.put(url, data=stream))
        await stream.write(chunk)  # waits while the upload is behind
        stream.feed_eof()

    One task reads at a time: a second one gets RuntimeError at once. A failure of the source (truncation, timeout,
    reset) is raised by the read that reaches it, after all octets that came before it.

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
        state = (
            "eof"
            if self._buffer.is_eof
            else repr(self._buffer.exception)
            if self._buffer.exception
            else "open"
        )
        return f"<StreamReader {self._buffer.size} octets held, {state}>"

    # The reading end.

    @property
    def started(self) -> bool:
        """Whether reading has begun."""
        return self._started

    def at_eof(self) -> bool:
        """Whether the end was reached and all octets were taken."""
        return self._buffer.is_eof and not self._buffer.size

    def exception(self) -> BaseException | None:
        """What broke the stream; None while it is sound."""
        return self._buffer.exception

    async def _fill(self) -> bool:
        """Wait for octets; False at the end. Raises what broke the stream once nothing is held."""
        self._started = True
        buffer = self._buffer
        if not buffer.size:
            await buffer.wait()
        if buffer.size:
            return True
        if buffer.exception is not None:
            raise buffer.exception
        return False

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
            return await self._buffer.collect()
        return self._buffer.take(n) if await self._fill() else b""

    async def readany(self) -> bytes:
        """Read what is there, at least one octet; b"" only at the end."""
        return self._buffer.take_all() if await self._fill() else b""

    async def readexactly(self, n: int) -> bytes:
        """Read exactly *n* octets.

        Raises:
            asyncio.IncompleteReadError: The stream ended before; ``partial`` holds what there was.
        """
        parts: list[bytes] = []
        missing = n
        while missing:
            if not await self._fill():
                partial = b"".join(parts)
                raise asyncio.IncompleteReadError(partial, n)
            parts.append(self._buffer.take(missing))
            missing -= len(parts[-1])
        return b"".join(parts)

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
        held = bytearray()
        searched = 0
        while await self._fill():
            held += self._buffer.take_all()
            place = held.find(separator, max(0, searched - len(separator) + 1))
            searched = len(held)
            if place >= 0:
                end = place + len(separator)
                if end <= limit:
                    self._unread(bytes(held[end:]))
                    return bytes(held[:end])
            if len(held) > limit:
                self._unread(bytes(held))
                raise ValueError(f"no separator within the limit of {limit} octets")
        return bytes(held)

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
        """Iterate over pieces of at most *n* octets."""
        while await self._fill():
            yield self._buffer.take(n)

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Iterate over what is there each time."""
        while await self._fill():
            yield self._buffer.take_all()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over lines, each with its line feed."""
        while line := await self.readline():
            yield line

    def _unread(self, data: bytes) -> None:
        if data:
            self._buffer.chunks.appendleft(data)
            self._buffer.size += len(data)

    # The writing end, for a stream that the caller feeds.

    def feed_data(self, data: bytes) -> None:
        """Add *data* without waiting; ``write`` is the one that waits while the reader is behind.

        Raises:
            RuntimeError: After ``feed_eof``.
        """
        self._refuse_foreign_feeder()
        if self._buffer.is_eof:
            raise RuntimeError("feed_data() after feed_eof()")
        if data:
            self._buffer.feed(bytes(data))

    async def write(self, data: bytes) -> None:
        """Add *data*, then wait while more than 512 KiB are held.

        Raises:
            The failure of the reading side, when the upload that reads this stream has ended with one.
        """
        self.feed_data(data)
        buffer = self._buffer
        while buffer.size > HIGH_WATER_BYTES and buffer.exception is None:
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

    def set_exception(self, exc: BaseException) -> None:
        """Break the stream: its reader gets what is held, then *exc*; a waiting ``write`` gets *exc*."""
        self._buffer.fail(exc)
        self._make_room()

    def _refuse_foreign_feeder(self) -> None:
        if self._owner is not None:
            raise RuntimeError("this stream is fed by a response, not by the caller")

    async def _as_upload(self) -> AsyncIterator[bytes]:
        """The stream as the body of an upload: pieces as they come, none above 256 KiB."""
        while await self._fill():
            yield self._buffer.take(SAVE_BUFFER_BYTES)

    def _claim_whole(self) -> None:
        if self._started:
            raise StreamConsumedError(
                "the content was already read as a stream; read() it first or not at all"
            )
        self._started = True
