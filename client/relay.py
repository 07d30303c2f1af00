"""From one connection to another past the reader: the content of a response that is the body of a request.

    identity content of known length, to a plain socket
        from a plain socket     socket -> pipe -> socket by splice(2), no copy in user space
        from TLS                decrypted into one piece of memory, and sent from there
    all else                    the reader's octets -> send

The last way is portable and is the reference the others are tested against. What had come before the request could be
sent goes that way.

All of it happens in the loop: neither end is a disk, so no call waits for anything. (A worker thread that waits for
both sockets by poll(2) wakes for less each time, and took twice the processor's time.) The source is not read from
while the other side is behind, so a pipe is all that is held between the two.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from .bodies import StreamBody
from .channel import Channel, WriteFailedError
from .connection import Connection
from .exceptions import ClientError
from .exchange import Exchange
from .framing import Framing
from .limits import RELAY_PIPE_BYTES, RELAY_TURN_BYTES, SAVE_BUFFER_BYTES
from .streams import StreamReader

__all__ = ["relay"]


class Outlet(NamedTuple):
    """Where the octets go.

    Attributes:
        channel: A plain one.
        send: Sends all of what it is given.
        wait_writable: Waits until the channel may take more.
    """

    channel: Channel
    send: Callable[[bytes], Awaitable[None]]
    wait_writable: Callable[[], Awaitable[None]]


async def relay(body: StreamBody, outlet: Outlet) -> int:
    """Send *body*, whose length is known, by the cheapest way that each of its streams allows.

    Returns:
        Octets that the streams gave: what was sent, or more than was announced and not sent.

    Raises:
        WriteFailedError: The socket takes no more.
        ClientError: What broke the content, and it does not go on.
    """
    stream: StreamReader | None = body.begin()
    surplus = 0
    while stream is not None:
        failure: ClientError | None = None
        try:
            surplus = await _pass_on(stream, body, outlet)
        except ClientError as exc:
            failure = exc
        finally:
            stream._end_upload()
        stream = None if failure is None else await body.go_on(failure)
    return body.delivered + surplus


async def _pass_on(stream: StreamReader, body: StreamBody, outlet: Outlet) -> int:
    """Send what *stream* gives, to its end; how many octets it gave that are too many."""
    announced = body.length or 0
    while True:
        source = _source_of(stream, announced - body.delivered)
        vessel = None if source is None else _vessel(source[1])
        if source is not None and vessel is not None:
            stream._started = True
            with contextlib.closing(vessel):
                await _move(*source, vessel, body, outlet)
            return 0
        piece = await stream.read(SAVE_BUFFER_BYTES)
        if not piece or body.delivered + len(piece) > announced:
            return len(piece)
        await outlet.send(piece)
        body.sent(len(piece))


def _source_of(stream: StreamReader, expected: int) -> tuple[Exchange, Connection] | None:
    """Where the rest of *stream* comes from, if it may be moved past the reader and nothing is held there."""
    exchange = stream._owner
    if type(stream) is not StreamReader or stream._buffer.size or not isinstance(exchange, Exchange):
        return None
    message, connection = exchange.message, exchange.transport
    is_fit = (
        message is not None
        and message.framing is Framing.LENGTH
        and not exchange.is_decoded
        and exchange.is_sent
        and exchange.take_over() == expected
        and isinstance(connection, Connection)
        and not connection.is_tapped
    )
    if not is_fit:
        return None
    assert isinstance(connection, Connection), "just looked"
    return exchange, connection


class _Vessel(Protocol):
    """What octets are in between two sockets."""

    @property
    def held(self) -> int:
        """How many."""

    def fill(self, channel: Channel, limit: int) -> int | None:
        """Take from *channel* while nothing is held: octets, None when it is dry, 0 at its end."""

    def drain(self, channel: Channel) -> int:
        """Give to *channel*: octets, 0 when it takes no more now.

        Raises:
            WriteFailedError: It broke.
        """

    def close(self) -> None:
        """Let go of it."""


class _Memory:
    """One piece of memory, which octets are decrypted into and sent from."""

    def __init__(self) -> None:
        self._space = memoryview(bytearray(SAVE_BUFFER_BYTES))
        self._rest = self._space[:0]

    @property
    def held(self) -> int:
        """See ``_Vessel``."""
        return len(self._rest)

    def fill(self, channel: Channel, limit: int) -> int | None:
        """See ``_Vessel``."""
        count = channel.recv_into(self._space[:limit])
        self._rest = self._space[: count or 0]
        return count

    def drain(self, channel: Channel) -> int:
        """See ``_Vessel``."""
        try:
            count = channel.send(self._rest)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as exc:
            raise WriteFailedError from exc
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """See ``_Vessel``."""
        self._rest.release()
        self._space.release()


class _Pipe:
    """A pipe between two plain sockets."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.held = 0
        with contextlib.suppress(OSError):
            # Beyond 64 MiB of pipe buffers a user without privileges gets no larger ones; the 64 KiB it has will do.
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, RELAY_PIPE_BYTES)

    def fill(self, channel: Channel, limit: int) -> int | None:
        """See ``_Vessel``."""
        try:
            # The pipe is empty, so that EAGAIN can only mean that the socket is dry.
            self.held = os.splice(channel.fd, self._in, min(limit, RELAY_PIPE_BYTES))
        except (BlockingIOError, InterruptedError):
            return None
        return self.held

    def drain(self, channel: Channel) -> int:
        """See ``_Vessel``."""
        if channel.is_closed:
            raise WriteFailedError from OSError(errno.EBADF, "the connection is closed")
        try:
            count = os.splice(self._out, channel.fd, self.held)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as exc:
            raise WriteFailedError from exc
        self.held -= count
        return count

    def close(self) -> None:
        """See ``_Vessel``."""
        os.close(self._out)
        os.close(self._in)


def _vessel(source: Connection) -> _Vessel | None:
    """What moves octets from *source*; None when there is no splice(2), or the process may have no more descriptors."""
    if not source.is_plain:
        return _Memory()
    try:
        return _Pipe() if hasattr(os, "splice") else None
    except OSError:
        return None


async def _move(exchange: Exchange, connection: Connection, vessel: _Vessel, body: StreamBody, outlet: Outlet) -> None:
    """Move what is left of a content of known length.

    Raises:
        ClientError: What broke it: truncation, timeout, reset.
        WriteFailedError: The other side takes no more.
    """
    channel = connection.lend_channel(exchange.body.wake)
    turn = 0
    while not exchange.is_over:
        try:
            count = vessel.fill(channel, exchange.take_over())
        except OSError as exc:
            connection.failed(exchange, exc)
            break
        if count is None:
            turn = 0
            channel.resume_reading()
            await exchange.body.wait_signal()
            continue
        if not count:
            connection.received_eof(exchange)
            break
        await _empty(vessel, exchange, connection, channel, body, outlet)
        if not exchange.is_over:
            connection.touch()
            exchange.moved(count)
        turn += count
        if turn >= RELAY_TURN_BYTES:
            turn = 0
            await asyncio.sleep(0)
    if exchange.error is not None:
        raise exchange.error


async def _empty(
    vessel: _Vessel, exchange: Exchange, connection: Connection, channel: Channel, body: StreamBody, outlet: Outlet
) -> None:
    """Give all that *vessel* holds to the other side, however long that takes.

    Nobody reads from the source meanwhile, nor before it is seen to be dry: to take a reader off and put it on again
    costs as much as to move some ten thousand octets.
    """
    while vessel.held:
        count = vessel.drain(outlet.channel)
        body.sent(count)
        if not count:
            connection.suspend()
            if exchange.speed is not None:
                exchange.speed.stop()
            channel.pause_reading()
            await outlet.wait_writable()
    if exchange.speed is not None and not exchange.is_over:
        exchange.speed.go()
