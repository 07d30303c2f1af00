"""From a socket to a file by the cheapest way the response allows.

    plain socket, identity content of known length    splice(2): socket -> pipe -> file, no copy in user space (Linux)
    identity content of known length                  recv_into one reused buffer -> write
    all else (chunked, coded, to end of file)         the reader's octets -> write

The second way is portable and is the reference the first is tested against. Regular files only: what is no regular
file (a pipe, a socket, a terminal) may block for as long as its reader likes, and gets the reader's octets as it
takes them.

What is moved where: a step of up to 256 KiB in the loop. When it finds the socket full and more than 1 MiB is to come,
a batch by a worker thread follows, because one splice under dirty-page throttling was seen to take 28 ms and the loop
has other connections to serve. A socket that runs dry goes back to the loop, so that slow peers hold no threads.
While a batch runs the channel is held: closing it, for a deadline or a cancellation, waits until the worker is done
with the descriptor, whose number could belong to another file the moment it is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import select
import stat
import time
from typing import NamedTuple, Protocol

from .channel import Channel, wait_ready
from .connection import Connection
from .exchange import Exchange
from .limits import (
    INLINE_SAVE_BYTES,
    PIPE_BYTES,
    SAVE_BATCH_BYTES,
    SAVE_BATCH_S,
    SAVE_BUFFER_BYTES,
    SAVE_POLL_MS,
)
from .pacing import Pace
from .workers import Stop, finished

__all__ = ["CopyingMover", "FileWriter", "Mover", "SplicingMover", "move_rest"]


class SocketFailedError(Exception):
    """The socket, not the file, failed in a step; ``__cause__`` is the OSError."""


class Mover(Protocol):
    """Moves content from a channel to a file, a step a call."""

    def step(self, limit: int) -> int | None:
        """Move at most *limit* octets: how many, None when the socket is dry, 0 at its end.

        Raises:
            SocketFailedError: The socket broke.
            OSError: The file cannot take it.
        """

    def close(self) -> None:
        """Give back what the mover holds; channel and file are not its own."""


class CopyingMover:
    """``recv_into`` one buffer, then ``write``: any channel, any file."""

    def __init__(self, channel: Channel, fd: int) -> None:
        self._channel = channel
        self._fd = fd
        self._buffer = memoryview(bytearray(SAVE_BUFFER_BYTES))

    def step(self, limit: int) -> int | None:
        """See ``Mover``."""
        try:
            count = self._channel.recv_into(self._buffer[:limit])
        except OSError as exc:
            raise SocketFailedError from exc
        if count:
            write_all(self._fd, self._buffer[:count])
        return count

    def close(self) -> None:
        """Nothing is held."""


class SplicingMover:
    """``splice(2)`` from a plain socket through a pipe to a file.

    Raises:
        OSError: No pipe can be had.
    """

    def __init__(self, channel: Channel, fd: int) -> None:
        self._socket = channel.fd
        self._fd = fd
        self._out, self._in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with contextlib.suppress(OSError):
            # Beyond 64 MiB of pipe buffers a user without privileges gets no larger ones; the 64 KiB it has will do.
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def step(self, limit: int) -> int | None:
        """See ``Mover``."""
        try:
            # The pipe is empty here, so that EAGAIN can only mean that the socket is dry.
            count = os.splice(self._socket, self._in, min(limit, PIPE_BYTES))
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as exc:
            raise SocketFailedError from exc
        left = count
        while left:
            left -= os.splice(self._out, self._fd, left)
        return count

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._out)
        os.close(self._in)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of *data*, however many calls it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class FileWriter:
    """Writes what comes through the reader to an open file, without keeping the loop from its other work.

    Attributes:
        regular_fd: The descriptor of a regular file, which takes all octets in a moment, or fails; None for all else.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._written = 0
        self.regular_fd = fd if stat.S_ISREG(os.fstat(fd).st_mode) else None

    async def write(self, data: bytes) -> None:
        """Write all of *data*.

        Raises:
            OSError: The file cannot take it.
        """
        if self.regular_fd is None:
            await _write_when_ready(self._fd, data)
        elif self._written + len(data) <= INLINE_SAVE_BYTES:
            write_all(self._fd, data)
        else:
            await finished(asyncio.get_running_loop().run_in_executor(None, write_all, self._fd, data))
        self._written += len(data)


async def _write_when_ready(fd: int, data: bytes) -> None:
    """Write to what may block: no more at a time than a pipe is sure to take when it says that it takes something."""
    loop = asyncio.get_running_loop()
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    view = memoryview(data)
    for turn in itertools.count(1):
        if not view:
            return
        if not poller.poll(0):
            await wait_ready(loop, fd, for_writing=True)
        try:
            view = view[os.write(fd, view[: select.PIPE_BUF]) :]
        except BlockingIOError:
            pass  # another writer was faster
        if turn % _WRITES_A_TURN == 0:
            await asyncio.sleep(0)


# Writes of 4 KiB between two looks at the loop's other work: about half a millisecond.
_WRITES_A_TURN = 256


def mover_for(channel: Channel, fd: int) -> Mover:
    """The cheapest mover for this pair, *fd* being a regular file."""
    # Files opened with O_APPEND make splice fail with EINVAL.
    is_fit = not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
    if is_fit and not channel.is_tls and hasattr(os, "splice"):
        with contextlib.suppress(OSError):
            return SplicingMover(channel, fd)
    return CopyingMover(channel, fd)


class Progress(NamedTuple):
    """How far a turn came.

    Attributes:
        moved: Octets, all of them in the file.
        is_dry: The socket had no more.
        is_eof: The socket has ended.
        error: How the socket failed; None when it did not.
    """

    moved: int
    is_dry: bool = False
    is_eof: bool = False
    error: OSError | None = None


async def move_rest(exchange: Exchange, connection: Connection, fd: int, pace: Pace | None = None) -> None:
    """Move what is left of an identity content of known length from the socket to *fd*.

    Args:
        exchange: Its head is complete, and nothing is held in its buffer.
        connection: Which serves it.
        fd: A regular file open for writing; written from its current position. Keep it open until this returns or
            raises.
        pace: Says how quickly; None for as quickly as it comes.

    Raises:
        ClientError: What broke the exchange: truncation, timeout, reset.
        OSError: The file cannot take it.
    """
    channel = connection.lend_channel(exchange.body.wake)
    try:
        with contextlib.closing(mover_for(channel, fd)) as mover:
            if pace is not None:
                await _move_paced(exchange, connection, mover, pace)
            while not exchange.is_over:
                progress = _move(mover, min(exchange.take_over(), SAVE_BUFFER_BYTES))
                _tell(exchange, connection, progress)
                if exchange.is_over:
                    break
                if progress.is_dry:
                    await exchange.body.wait_signal()
                elif exchange.take_over() > INLINE_SAVE_BYTES:
                    connection.suspend()
                    progress = await _batch(exchange, channel, mover)
                    connection.touch()
                    _tell(exchange, connection, progress)
    except BaseException:
        exchange.abandon()
        raise
    if exchange.error is not None:
        raise exchange.error


async def _move_paced(exchange: Exchange, connection: Connection, mover: Mover, pace: Pace) -> None:
    """Move what is left piece by piece, in the loop, and let others have their turn between two pieces."""
    while not exchange.is_over:
        limit = pace.ready()
        if not limit:
            connection.pause(exchange)
            try:
                limit = await pace.turn()
            finally:
                if not exchange.is_over:
                    connection.resume(exchange)
        if exchange.is_over:
            return
        progress = _move(mover, min(exchange.take_over(), limit))
        pace.spend(progress.moved)
        _tell(exchange, connection, progress)
        if progress.is_dry and not exchange.is_over:
            await exchange.body.wait_signal()
        else:
            await asyncio.sleep(0)


def _tell(exchange: Exchange, connection: Connection, progress: Progress) -> None:
    if exchange.is_over:
        return
    if progress.moved:
        connection.touch()
        exchange.moved(progress.moved)
    if exchange.is_over:
        return
    if progress.error is not None:
        connection.failed(exchange, progress.error)
    elif progress.is_eof:
        connection.received_eof(exchange)


def _move(mover: Mover, limit: int) -> Progress:
    """Step until *limit* octets are moved or the socket has no more."""
    moved = 0
    while moved < limit:
        try:
            count = mover.step(limit - moved)
        except SocketFailedError as exc:
            cause = exc.__cause__
            assert isinstance(cause, OSError), "raised from one"
            return Progress(moved, error=cause)
        if count is None:
            return Progress(moved, is_dry=True)
        if not count:
            return Progress(moved, is_eof=True)
        moved += count
    return Progress(moved)


async def _batch(exchange: Exchange, channel: Channel, mover: Mover) -> Progress:
    """Let a worker move what comes, until the socket is dry, 16 MiB are moved, or 50 ms are over."""
    stop = Stop()
    limit = min(exchange.take_over(), SAVE_BATCH_BYTES)
    fd = channel.hold()
    try:
        batch = asyncio.get_running_loop().run_in_executor(None, _work, mover, limit, fd, stop)
        return await finished(batch, stop)
    finally:
        channel.release()


def _work(mover: Mover, limit: int, fd: int, stop: Stop) -> Progress:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    ends_at = time.monotonic() + SAVE_BATCH_S
    moved = 0
    while True:
        progress = _move(mover, min(limit - moved, INLINE_SAVE_BYTES))
        moved += progress.moved
        progress = progress._replace(moved=moved)
        is_over = progress.is_eof or progress.error is not None or moved >= limit
        if is_over or stop.is_set or time.monotonic() >= ends_at:
            return progress
        if progress.is_dry and not poller.poll(SAVE_POLL_MS):
            return progress
