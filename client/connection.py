"""One connection: a channel, the exchange it serves now, and one deadline.

Reads what comes and feeds it to the exchange; writes the request; watches the idle socket; closes it when anything
is in doubt. Not here: what the octets mean (``exchange``), who may use the connection (``pool``, ``connectors``).

The deadline is one lazily re-armed timer. Moving it costs an assignment: the timer that is set already looks, when it
fires, whether it is still due. Cancelling and setting a timer for every read would cost more than the read.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Callable, Hashable
from functools import partial
from typing import Final

from .bodies import Body, FileBody, StreamBody, Trailed
from .channel import Channel, WriteFailedError
from .exceptions import (
    ClientError,
    ClientOSError,
    ClientPayloadError,
    FirstByteTimeoutError,
    IdleReadTimeoutError,
    IdleWriteTimeoutError,
    IncompleteMessageError,
    ServerDisconnectedError,
    ServerTimeoutError,
    TotalTimeoutError,
)
from .exchange import Exchange
from .framing import keep_alive_terms
from .limits import CONTINUE_S, LARGE_RECV_BYTES, RECV_BYTES
from .outbox import Outbox
from .sendfile import send_file
from .speed import SpeedWatch
from .timeouts import Timeout
from .tls import is_truncation

__all__ = ["Connection"]

# How long a response is awaited after the peer has refused to take more of the request. An early 413 followed by
# a reset could be read 120 times of 120 on loopback; the bound is a guess at a slow network.
_WRITE_FAILED_GRACE_S: Final = 5.0
# Octets sent in one turn of the loop: about a millisecond's worth.
_SEND_TURN_BYTES: Final = 4_194_304
# What a send counts for besides its octets: without it a source of tiny pieces that never waits had the loop for 2 s.
_SEND_COST_BYTES: Final = 4096


class Connection:
    """A connection to one origin.

    Args:
        loop: The event loop.
        channel: The open socket.
        outbox: What has the requests of this loop sent.
        key: Key of the origin in the pool.
        on_released: Called with this connection and whether it may serve another request, once for each exchange.
        on_lost: Called when the peer closes the connection, or sends anything, while no exchange has it.

    Attributes:
        served: Exchanges begun; above 0 the connection is a reused one.
        idle_since: Loop time since when it has served nobody; set by the connector.
        keepalive_s: Seconds it may be idle and be used again; set by the connector, and lowered by the server's
            Keep-Alive.
        max_served: Exchanges it may serve in all; no number to reach unless Keep-Alive gives one.
    """

    __slots__ = (
        "_bound",
        "_channel",
        "_due",
        "_exchange",
        "_is_lent",
        "_loop",
        "_on_lost",
        "_on_released",
        "_outbox",
        "_phase",
        "_recv_bytes",
        "_sent_in_turn",
        "_timeout",
        "_timer",
        "_timer_at",
        "_unsent",
        "_unsent_body",
        "_write_error",
        "idle_since",
        "keepalive_s",
        "key",
        "max_served",
        "served",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: Channel,
        outbox: Outbox,
        key: Hashable,
        on_released: Callable[[Connection, bool], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._outbox = outbox
        self._unsent: bytes | None = None  # a request that was begun and is to be sent in this turn of the loop
        self._unsent_body: Body | None = None
        self._on_released = on_released
        self._on_lost = on_lost
        self._exchange: Exchange | None = None
        self._timeout = _NO_TIMEOUT
        self._phase: type[ServerTimeoutError] = FirstByteTimeoutError
        self._bound = 0.0
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._recv_bytes = RECV_BYTES
        self._is_lent = False
        self._sent_in_turn = 0
        self._write_error: OSError | None = None
        self.key = key
        self.served = 0
        self.idle_since = 0.0
        self.keepalive_s = 0.0
        self.max_served = sys.maxsize
        channel.set_reader(self._readable)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "idle" if self._exchange is None else repr(self._exchange)
        return f"<Connection {self.key} {state}>"

    @property
    def is_closed(self) -> bool:
        """Whether the socket is closed."""
        return self._channel.fd < 0

    @property
    def is_tapped(self) -> bool:
        """Whether somebody looks at all octets, so that no borrower of the channel may move them."""
        return self._channel.is_tapped

    @property
    def is_plain(self) -> bool:
        """Whether octets are on the wire as they are, and nobody looks at them: a system call may move them."""
        return not (self._channel.is_tls or self._channel.is_tapped)

    def is_silent(self) -> bool:
        """Whether the connection, which nobody uses, is fit for a request: open, and nothing has come by it."""
        return self._channel.is_silent()

    def close(self) -> None:
        """Close the socket now; an exchange in progress is not told (``abort`` tells it)."""
        self._channel.close()
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abort(self, exc: ClientError) -> None:
        """Close the socket and let the exchange in progress, if any, fail with *exc*."""
        if self._exchange is not None:
            self._exchange.fail(exc)
        self.close()

    # A request.

    async def perform(self, exchange: Exchange, head: bytes, body: Body | None, timeout: Timeout) -> None:
        """Send a request and wait for the response head.

        When this raises, the connection is closed and given back. After an early final response to a request that
        is not fully sent, see ``settle``.

        Args:
            exchange: A new one.
            head: The request head; the whole request when *body* is None.
            body: Content to be sent behind the head.
            timeout: Bounds of the phases.

        Raises:
            ServerDisconnectedError, ClientOSError: The connection broke before a response head.
            ServerTimeoutError: A bound was exceeded.
            ResponseProtocolError: What came is no HTTP/1.1.
        """
        waiter = self.begin(exchange, head, body, timeout)
        try:
            await waiter
            if exchange.upload is not None:
                await self.settle(exchange)
            if timeout.low_speed is not None and exchange.transport is self:
                exchange.speed = SpeedWatch(self._loop, exchange, *timeout.low_speed)
                if exchange.is_paused:
                    exchange.speed.stop()
        except BaseException:
            self.give_up(exchange, waiter)
            if exchange.upload is not None:
                await self.settle(exchange)
            raise
        finally:
            # The traceback of a failure holds this frame, which must not hold the failure: it would be a cycle.
            del exchange, waiter

    def begin(self, exchange: Exchange, head: bytes, body: Body | None, timeout: Timeout) -> asyncio.Future[None]:
        """Have a request sent in this turn of the loop; the first half of ``perform``, for a caller in a hurry.

        Returns:
            What to wait for: done at the response head, or with what broke the exchange. When the wait is broken off,
            call ``give_up``; when ``exchange.upload`` is set, await ``settle`` in any case.
        """
        self.served += 1
        self._exchange = exchange
        exchange.transport = self
        self._timeout = timeout
        self._unsent = head
        self._unsent_body = body
        self._outbox.put(self)
        waiter = exchange.waiter = self._loop.create_future()
        return waiter

    def send_begun(self) -> None:
        """Send what the socket takes now of the request that was begun. Called by the outbox, once."""
        exchange, head, body = self._exchange, self._unsent, self._unsent_body
        self._unsent = self._unsent_body = None
        if exchange is None or head is None:  # given up meanwhile
            return
        if self._channel.fd < 0:
            self._fail_unsent(exchange)
            return
        try:
            sent = self._channel.send(head)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            self._broken(exchange, exc)
            return
        if body is None and sent == len(head):
            exchange.is_sent = True
            self._arm(self._timeout.first_byte, FirstByteTimeoutError)
        else:
            self._arm(None, IdleWriteTimeoutError)  # the total bound holds while the body's source is slow, too
            exchange.upload = self._loop.create_task(self._upload(exchange, head[sent:], body))

    def _fail_unsent(self, exchange: Exchange) -> None:
        """The peer had ended the connection before the request was sent: any request may be sent by another one."""
        exchange.is_unsent = True
        exchange.fail(ServerDisconnectedError())

    def give_up(self, exchange: Exchange, waiter: asyncio.Future[None]) -> None:
        """Nobody waits for the response any more: what ``begin`` gave was broken off, or has failed."""
        exchange.abandon()
        if waiter.done() and not waiter.cancelled():
            # A failure that came in the turn in which the wait was cancelled would be reported as never retrieved.
            waiter.exception()

    async def settle(self, exchange: Exchange) -> None:
        """See to a request that is still being sent now that its response head, or its failure, is there.

        Sending stops when nobody wants the rest: the exchange is over, the status says that the request was not
        what the server wanted (300 and above, as in Go's net/http), or the content was to wait until the server wants
        it, and it has answered without (RFC 9110 section 10.1.1). Else it goes on, for the server may answer as it
        reads and read as it is read from, and stops with the exchange (RFC 9112 section 9.5).
        """
        upload = exchange.upload
        assert upload is not None, "called for a request that is being sent"
        if not exchange.is_over:
            if not _is_unwanted(exchange):
                return
            upload.cancel()
        await asyncio.wait((upload,))

    async def _upload(self, exchange: Exchange, head: bytes, body: Body | None) -> None:
        try:
            await self._send_all(exchange, head)
            if body is not None:
                if exchange.continued is not None:
                    await self._wait_for_continue(exchange.continued)
                await self._send_content(exchange, body)
        except WriteFailedError as exc:
            cause = exc.__cause__
            assert isinstance(cause, OSError), "raised from one"
            self._write_failed(exchange, cause)
        except asyncio.CancelledError:
            # Ours comes when the exchange is over or refused. Else what the source waited for was cancelled.
            if exchange.message is None or not _is_unwanted(exchange):
                exchange.upload = None
                exchange.fail(ClientPayloadError("the source of the request body was cancelled"))
            raise
        except Exception as exc:  # whatever the caller's source raised is for the caller of the request
            exchange.upload = None  # this very task, which is not to be cancelled for its own failure
            exchange.fail(exc)
        else:
            if not exchange.is_over:
                exchange.is_sent = True
                self._arm_reading(exchange)
        finally:
            exchange.upload = None

    async def _wait_for_continue(self, continued: asyncio.Event) -> None:
        """Wait until the server wants the content; a final response ends the wait by cancelling the upload.

        A server need not say anything, so the content is sent after a while all the same (RFC 9110 section 10.1.1).
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONTINUE_S):
                await continued.wait()
        continued.set()  # from here on the content is under way

    def _write_failed(self, exchange: Exchange, exc: OSError) -> None:
        """The peer takes no more of the request; it may have said why."""
        if exchange.is_over:
            return
        self._write_error = exc.with_traceback(None)
        if exchange.message is None:
            self._arm(_WRITE_FAILED_GRACE_S, FirstByteTimeoutError)
        else:
            self._arm_reading(exchange)

    async def _send_content(self, exchange: Exchange, body: Body) -> None:
        if isinstance(body, FileBody) and body.length and self.is_plain:
            sent = await send_file(self._channel, body, partial(self._wait_writable, exchange))
            if sent is not None:
                exchange.is_sent = sent == body.length
                _check_length(sent, body.length)
                return
        if isinstance(body, StreamBody) and body.length and self.is_plain:
            from .relay import Outlet, relay  # stands above this module, and few requests have such a body

            wait_writable = partial(self._wait_writable, exchange)
            sent = await relay(body, Outlet(self._channel, partial(self._send_all, exchange), wait_writable))
            exchange.is_sent = sent == body.length
            _check_length(sent, body.length)
            return
        async with contextlib.aclosing(body.pieces()) as pieces:
            await self._send_body(exchange, pieces, body.length)
        if body.length is None:
            section = body.trailer_section() if isinstance(body, Trailed) else b""
            await self._send_all(exchange, b"0\r\n%b\r\n" % section)

    async def _send_body(self, exchange: Exchange, pieces: AsyncGenerator[bytes, None], length: int | None) -> None:
        """Send *pieces*, chunked (RFC 9112 section 7.1) when their length is not known before."""
        sent = 0
        exchange.is_sent = length == 0
        async for piece in pieces:
            sent += len(piece)
            if length is None:
                if piece:
                    await self._send_all(exchange, b"%x\r\n%b\r\n" % (len(piece), piece))
                continue
            if sent > length:
                break
            await self._send_all(exchange, piece)
            exchange.is_sent = sent == length  # though the source may need a moment to say that it is at its end
        if length is not None:
            _check_length(sent, length)

    async def _send_all(self, exchange: Exchange, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._sent_in_turn >= _SEND_TURN_BYTES:
                # The peer takes as fast as we send, and the source need not wait either: others want a turn, too.
                # Not behind the last octet, which may be answered before it is known that all are sent.
                self._sent_in_turn = 0
                await asyncio.sleep(0)
            try:
                count = self._channel.send(view)
            except BlockingIOError:
                await self._wait_writable(exchange)
                continue
            except OSError as exc:
                raise WriteFailedError from exc
            view = view[count:]
            self._sent_in_turn += count + _SEND_COST_BYTES

    async def _wait_writable(self, exchange: Exchange) -> None:
        self._sent_in_turn = 0
        self._arm(self._timeout.idle_write, IdleWriteTimeoutError)
        await self._channel.wait_writable()
        if not exchange.is_over:
            self._arm(None, IdleWriteTimeoutError)

    # What comes.

    def _readable(self) -> None:
        exchange = self._exchange
        if exchange is None or self._unsent is not None:
            self._watch_idle()
            return
        try:
            data = self._channel.recv(self._recv_bytes)
        except BlockingIOError:
            return
        except OSError as exc:
            self._broken(exchange, exc)
            return
        if data:
            exchange.receive(data)
            if len(data) == RECV_BYTES == self._recv_bytes and self._exchange is exchange and not exchange.is_paused:
                # More is there, most likely: a body of 100 KiB is whole before its reader wakes.
                self._recv_bytes = LARGE_RECV_BYTES
                self._readable()
            if self._exchange is exchange:
                if exchange.message is not None and not exchange.is_paused:
                    self._arm(self._timeout.idle_read, IdleReadTimeoutError)
                self._channel.hear_of_failure()
        else:
            self.received_eof(exchange)

    def received_eof(self, exchange: Exchange) -> None:
        """The peer has closed its side while *exchange* has the connection."""
        if self._write_error is not None and exchange.message is None:
            self._broken(exchange, self._write_error)
        else:
            exchange.receive_eof()

    def _broken(self, exchange: Exchange, exc: OSError) -> None:
        """The socket failed: tell the exchange what that means for it."""
        if is_truncation(exc):
            exchange.receive_eof(clean=False)
            return
        error: ClientError
        if exchange.message is not None:
            error = IncompleteMessageError(exchange.received, exchange.message.length, str(exc.strerror or exc))
        else:
            cause = self._write_error or exc
            error = ClientOSError(cause.errno, cause.strerror or str(cause))
        # Without its traceback, whose frames hold the exchange: that would be a cycle.
        error.__cause__ = exc.with_traceback(None)
        exchange.fail(error)

    def failed(self, exchange: Exchange, exc: OSError) -> None:
        """A borrower of the channel met *exc*."""
        self._broken(exchange, exc)

    def _watch_idle(self) -> None:
        """Nothing was asked for yet: whatever comes, but for TLS's own messages, ends the connection."""
        try:
            self._channel.recv(1)
        except BlockingIOError:
            return
        except OSError:
            pass
        if self._exchange is not None:
            self._fail_unsent(self._exchange)
            return
        self.close()
        self._on_lost(self)

    # Transport of the exchange.

    def exchange_ended(self, exchange: Exchange, reusable: bool) -> None:
        """The message is complete: close, or make ready for the next request."""
        if exchange.speed is not None:
            exchange.speed.stop()
        self._exchange = None
        self._due = None
        channel = self._channel
        if channel.fd < 0 or not reusable or (channel.is_tls and channel.has_buffered()):
            self.close()
            self._on_released(self, False)
            return
        if exchange.received < RECV_BYTES:
            self._recv_bytes = RECV_BYTES  # else the next response is likely to be as large
        if self._is_lent:
            self._is_lent = False
            self._channel.set_reader(self._readable)
        elif exchange.is_paused:
            self._channel.resume_reading()
        if self.served == 1:
            self._heed(exchange.field(b"Keep-Alive"))
        self._on_released(self, True)

    def _heed(self, keep_alive: bytes | None) -> None:
        """Be used no longer and no oftener than the server means, as its first response told by Keep-Alive.

        Hot path: none is looked at of a connection that has served before. A server gives the same time with each
        response, and a count that goes down by one (Apache), or nothing (nginx).
        """
        if keep_alive is not None:
            seconds, count = keep_alive_terms(keep_alive)
            if seconds is not None:
                self.keepalive_s = min(self.keepalive_s, seconds)
            if count is not None:
                self.max_served = count

    def exchange_failed(self, exchange: Exchange) -> None:
        """The exchange has failed: what is on the wire belongs to nobody."""
        if exchange.speed is not None:
            exchange.speed.stop()
        self._exchange = None
        self.close()
        self._on_released(self, False)

    def pause(self, exchange: Exchange) -> None:
        """The reader is behind: stop receiving, and stop counting idle time."""
        self._channel.pause_reading()
        self._arm(None, IdleReadTimeoutError)
        if exchange.speed is not None:
            exchange.speed.stop()

    def resume(self, exchange: Exchange) -> None:
        """The reader has caught up."""
        self._channel.resume_reading()
        self._arm_reading(exchange)
        if exchange.speed is not None:
            exchange.speed.go()

    def lend_channel(self, on_readable: Callable[[], object]) -> Channel:
        """Let the caller move the content by itself until the exchange ends; *on_readable* replaces the reader."""
        self._is_lent = True
        self._channel.set_reader(on_readable)
        return self._channel

    def touch(self) -> None:
        """A borrower of the channel has received something: the idle time begins anew."""
        if self._exchange is not None:
            self._arm(self._timeout.idle_read, IdleReadTimeoutError)

    def suspend(self) -> None:
        """A borrower of the channel is busy with what it has received: the idle time does not count until ``touch``."""
        self._arm(None, IdleReadTimeoutError)

    # The deadline.

    def _arm_reading(self, exchange: Exchange) -> None:
        if exchange.message is None:
            self._arm(self._timeout.first_byte, FirstByteTimeoutError)
        else:
            self._arm(None if exchange.is_paused else self._timeout.idle_read, IdleReadTimeoutError)

    def _arm(self, bound: float | None, phase: type[ServerTimeoutError]) -> None:
        """Let the exchange fail as *phase* after *bound* seconds from now; None leaves only the total bound."""
        exchange = self._exchange
        total_at = None if exchange is None else exchange.total_at
        due = None if bound is None else self._loop.time() + bound
        if total_at is not None and (due is None or total_at <= due):
            due, phase, bound = total_at, TotalTimeoutError, self._timeout.total
        self._due = due
        if due is None:
            return
        self._phase = phase
        self._bound = bound or 0.0
        if self._timer is None or due < self._timer_at:
            self._set_timer(due)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        due, exchange = self._due, self._exchange
        if due is None or exchange is None:
            return
        if self._loop.time() < due:
            self._set_timer(due)
        elif self._write_error is not None and exchange.message is None:
            self._broken(exchange, self._write_error)
        else:
            exchange.fail(self._phase(self._bound))


def _is_unwanted(exchange: Exchange) -> bool:
    """Whether the response that is there means that the rest of the request is not to be sent; see ``settle``."""
    continued = exchange.continued
    return exchange.status >= 300 or (continued is not None and not continued.is_set())


def _check_length(sent: int, length: int) -> None:
    """Refuse a request body of another length than was announced."""
    if sent != length:
        seen = "more" if sent > length else str(sent)
        raise ClientPayloadError(f"the request body gave {seen} octets, announced were {length}")


_NO_TIMEOUT: Final = Timeout(connect=None, first_byte=None, idle_read=None, idle_write=None)
