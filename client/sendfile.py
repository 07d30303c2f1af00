"""From a file to a socket without a copy in user space: sendfile(2), for plain sockets and regular files.

A file may be on a disk that is slow, and sendfile(2) waits for it: batches are made by a worker thread, up to 16 MiB or
50 ms each, and a socket that takes no more goes back to the loop. As in ``saving`` the channel is held during a batch,
so that its descriptor is not closed, and its number another's, while the worker uses it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from .bodies import FileBody
from .channel import Channel, WriteFailedError
from .limits import SAVE_BATCH_BYTES, SAVE_BATCH_S, SAVE_POLL_MS, SENDFILE_STEP_BYTES
from .workers import Stop, finished

__all__ = ["send_file"]

# What a file system says that has no sendfile(2).
_UNFIT: Final = frozenset((errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP))
# What cannot be the socket's failure: the disk's, and that of a file on a server that has lost it.
_OF_THE_FILE: Final = frozenset((errno.EIO, errno.ESTALE))


class _Batch(NamedTuple):
    """How far a batch came.

    Attributes:
        sent: Octets.
        is_full: The socket takes no more now.
        is_eof: The file has ended.
        error: What sendfile(2) has failed with; None when it did not.
    """

    sent: int
    is_full: bool = False
    is_eof: bool = False
    error: OSError | None = None


async def send_file(channel: Channel, body: FileBody, wait_writable: Callable[[], Awaitable[None]]) -> int | None:
    """Send the file of *body* from where it was to begin, as many octets as were announced; it then stands behind them.

    Args:
        channel: A plain one.
        body: Its length is known.
        wait_writable: Waits until the channel may take more.

    Returns:
        Octets sent, fewer than announced when the file has ended before; None, and nothing sent, when it must be read.

    Raises:
        WriteFailedError: The socket takes no more.
        OSError: The file cannot be read.
    """
    fd = body.lend()
    if fd is None:
        return None
    try:
        sent = await _send(channel, fd, body.start, body.length or 0, wait_writable)
    finally:
        os.close(fd)
    if sent is not None:
        body.passed(sent)
    return sent


async def _send(
    channel: Channel, fd: int, start: int, count: int, wait_writable: Callable[[], Awaitable[None]]
) -> int | None:
    sent = 0
    while sent < count:
        batch = await _in_thread(channel, fd, start + sent, count - sent)
        sent += batch.sent
        if batch.error is not None:
            if not sent and batch.error.errno in _UNFIT:
                return None
            if batch.error.errno in _OF_THE_FILE:
                raise batch.error
            raise WriteFailedError from batch.error
        if batch.is_eof:
            break
        if batch.is_full:
            await wait_writable()
        elif sent < count:
            await _look_round()
    return sent


async def _look_round() -> None:
    """Let the loop hear of an early answer: one turn finds the socket readable, the next has read it."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def _in_thread(channel: Channel, fd: int, start: int, count: int) -> _Batch:
    if channel.is_closed:
        return _Batch(0, error=OSError(errno.EBADF, "the connection is closed"))
    stop, was_reading = Stop(), channel.is_reading
    # Nothing is received meanwhile: the answer to a request that is sent could come before it is known that it is.
    socket = channel.hold()
    try:
        work = asyncio.get_running_loop().run_in_executor(None, _work, socket, fd, start, count, stop)
        return await finished(work, stop)
    finally:
        channel.release()
        if not was_reading:
            channel.pause_reading()


def _work(socket: int, fd: int, start: int, count: int, stop: Stop) -> _Batch:
    poller = select.poll()
    poller.register(socket, select.POLLOUT)
    ends_at = time.monotonic() + SAVE_BATCH_S
    sent, count = 0, min(count, SAVE_BATCH_BYTES)
    while sent < count and not stop.is_set and time.monotonic() < ends_at:
        try:
            step = os.sendfile(socket, fd, start + sent, min(count - sent, SENDFILE_STEP_BYTES))
        except (BlockingIOError, InterruptedError):
            if not poller.poll(SAVE_POLL_MS):
                return _Batch(sent, is_full=True)
            continue
        except OSError as exc:
            return _Batch(sent, error=exc)
        if not step:
            return _Batch(sent, is_eof=True)
        sent += step
    return _Batch(sent)
