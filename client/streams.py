"""``StreamReader``: octets on their way from one who makes them to one who reads them, with flow control.

It is the reading end of a ``Buffer`` that users hold, and for a stream that the caller feeds (an upload made on the go)
the writing end as well. Not here: where the octets come from, codings, framing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from .buffers import Buffer
from .exceptions import ClientPayloadError, StreamConsumedError
from .limits import COALESCE_BYTES, HIGH_WATER_BYTES

__all__ = ["StreamReader"]


class Owner(Protocol):
    """Who is told when a stream is dropped or given up before its end (it holds a socket), or its failure is raised."""

    def dropped(self) -> None: ...

    def abandon(self) -> None: ...

    def keep_twin_of_failure(self) -> None: ...


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
        """Whether it was read to its end."""
        return self._started and self.at_eof()

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

    @property
    def _is_small_and_whole(self) -> bool:
        """Whether all of it is here, unread, and little enough to travel with the head of a request."""
        buffer = self._buffer
        return not self._started and buffer.is_eof and buffer.exception is None and buffer.size <= COALESCE_BYTES

    def _take_whole(self) -> bytes:
        self._started = True
        return self._buffer.take_all()

    def _claim_whole(self) -> None:
        if self._started:
            raise StreamConsumedError("the content was already read as a stream; read() it first or not at all")
        self._started = True
