"""``BaseConnector``: policy and pool together, whatever a connection is opened by.

A connector gives connections to sessions and takes them back. Every slot that is taken has an owner at every moment:
the coroutine that opens it (which gives it back in its handler), the exchange that uses it, or the pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from ssl import SSLContext
from types import TracebackType
from typing import Final, Self

from .budget import OUT_OF_DESCRIPTORS, open_files_limit, socket_budget
from .channel import Channel
from .connection import Connection
from .cookies import CookieJar
from .dial import (
    open_channel,
)
from .exceptions import (
    ClientConnectorError,
    ConnectionTimeoutError,
    DescriptorLimitError,
    PoolTimeoutError,
    ServerTimeoutError,
    SessionClosedError,
    TotalTimeoutError,
)
from .memory import keep_freed_memory
from .outbox import Outbox
from .pool import Grant, Pool
from .proxies import Proxy
from .resumption import TLSSessions
from .routes import Route
from .timeouts import Timeout
from .tls_socket import TLSSocket
from .trust import SSL, Fingerprint, TLSSettings, TLSWishes, trust_of
from .urls import Origin
from .watch import timed
from .wire import Tap, WireHook

__all__ = ["BaseConnector"]

# The loop tells of what has come by an idle connection when it looks next, and a callback that keeps it busy may take
# long: the end, or a response that nobody has asked for and that the next request would take for its own. So the
# system is asked before reuse; not where the connection was in use a moment ago, because asking costs 2 us of a GET's
# 20, and what can come in so short a time can as well come behind the question. A turn of the loop that serves 64
# connections takes 2 ms, and the loop's clock stands still meanwhile.
_JUST_USED_S: Final = 0.01


class _Waiter:
    """A request that waits for a slot: remembers what it was granted, even when its task is being cancelled."""

    __slots__ = ("future", "granted")

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future
        self.granted: Connection | Grant | None = None

    def grant(self, what: Connection | Grant) -> None:
        """Called by the pool, once."""
        self.granted = what
        self.wake()

    def wake(self) -> None:
        """End the wait; without a grant it means that the connector was closed."""
        if not self.future.done():
            self.future.set_result(None)


class BaseConnector:
    """What all connectors share: limits, keeping alive, TLS policy, closing.

    A connector belongs to the event loop on which it is first used. It is an asynchronous context manager.

    Args:
        limit: Open sockets in all (being connected, in use, idle); 0 is no bound of the connector's own. Default 100.
            Never more than half of what RLIMIT_NOFILE lets the process open when the connector is first used.
        limit_per_host: Open sockets for one origin (scheme, host, port); 0, the default, is no bound.
        keepalive_timeout: Seconds an idle connection is kept; default 15. One whose server says less (Keep-Alive:
            timeout, max) is not used again in the last second of that, nor for more requests.
        force_close: Close each connection after its response; default False.
        ssl: Whom TLS trusts: True verifies against the system's roots, TLS 1.2 or above; False trusts any certificate;
            an ``ssl.SSLContext`` says it all; a ``Fingerprint`` pins one certificate in place of verification. None,
            the default, is True.
        verify_ssl: The same as ``ssl``, for True and False.
        ssl_context: The same as ``ssl``, for a context.
        pins: The certificates that single servers must show, by ``host:port`` in lower case (``[::1]:443``), in the
            place of ``ssl``; what a request asks for outweighs them. None, the default, is none.
        share_cookies: Whether what one ``request()`` with this connector is told by Set-Cookie is sent with the next.
            A session has a jar of its own whatever this says. Default False.
        wire: Called in the loop with direction (``"out"`` or ``"in"``), number of the connection in this process and
            octets, for all that its connections send and receive: what is inside of TLS, credentials included, CONNECT
            and its answer too, the handshake of SOCKS not. It takes the short ways from socket to file away. What it
            raises goes to the exception handler of the loop. Default None.

    Raises:
        ValueError: Two of ``ssl``, ``verify_ssl`` and ``ssl_context`` together, or a negative limit.

    Attributes:
        cookie_jar: Where shared cookies are; None unless ``share_cookies``.
        goes_direct: Whether requests go straight to where they lead unless they say otherwise.
        obeys_environment: Whether a proxy that the environment names may be put on the way.
    """

    goes_direct = True
    obeys_environment = False

    def __init__(
        self,
        *,
        limit: int = 100,
        limit_per_host: int = 0,
        keepalive_timeout: float = 15.0,
        force_close: bool = False,
        ssl: SSL | None = None,
        verify_ssl: bool | None = None,
        ssl_context: SSLContext | None = None,
        pins: Mapping[str, Fingerprint] | None = None,
        share_cookies: bool = False,
        wire: WireHook | None = None,
    ) -> None:
        trust = trust_of(ssl, verify_ssl, ssl_context)
        if limit < 0 or limit_per_host < 0:
            raise ValueError("limit= and limit_per_host= are 0 (no bound) or above")
        self._connections: set[Connection] = set()  # open ones
        self._discard = _discarder(self._connections)
        self._pool: Pool[Connection] = Pool(limit, limit_per_host, self._discard)
        self._wire = wire
        self._keepalive_timeout = keepalive_timeout
        self._force_close = force_close
        self._tls = TLSSettings(True if trust is None else trust)
        self._pinned = {server: TLSSettings(pin) for server, pin in (pins or {}).items()}
        self._tls_sessions = TLSSessions()
        self._waiters: set[_Waiter] = set()
        self._opening: set[asyncio.Timeout] = set()  # scopes of those that are being opened
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self.cookie_jar: CookieJar | None = CookieJar() if share_cookies else None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._shown_way()}{'closed' if self._closed else self._pool}>"

    def _shown_way(self) -> str:
        """Where its connections go that do not go to origins, and a blank; nothing for others."""
        return ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def open_count(self) -> int:
        """Sockets open now: being connected, in use and idle."""
        return self._pool.open_count

    @property
    def idle_count(self) -> int:
        """Connections kept for a next request."""
        return self._pool.idle_count

    async def close(self) -> None:
        """Close every connection now; requests in progress and waiting ones fail with SessionClosedError."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for waiter in self._waiters:
            waiter.wake()
        for scope in self._opening:
            scope.reschedule(0.0)
        while (connection := self._pool.oldest_idle()) is not None:
            connection.close()
            self._lost(connection)
        for connection in list(self._connections):
            connection.abort(SessionClosedError("the connector was closed"))
        self._tls_sessions.clear()

    # For sessions.

    def route(self, origin: Origin, wishes: TLSWishes | None = None, proxy: Proxy | None = None) -> Route:
        """The way to *origin*; what has the same key may share a connection.

        Args:
            origin: Where to.
            wishes: What the request wants of TLS beside the connector; None for nothing.
            proxy: What the request is to go through; None for what the connector does by itself. Requests that it
                forwards share its connections, whatever their origin; a tunnel is of one origin. Its credentials are a
                part of either key: what was opened with some serves nobody else.

        Raises:
            ValueError: This connector knows no proxies.
        """
        key: Hashable = origin.key
        settings: TLSSettings | None = None
        if origin.is_tls:
            own = self._pinned.get(origin.key.removeprefix("https://"), self._tls) if self._pinned else self._tls
            settings = own if wishes is None else own.with_wishes(wishes)
            if settings != self._tls:
                key = (key, settings)
        if proxy is not None:
            key = proxy if proxy.forwards(origin) else (proxy, key)
        return Route(key, origin, settings, proxy)

    def take_idle(self, key: Hashable) -> Connection | None:
        """An idle connection that goes the way of *key*, at once; None when there is none."""
        while (connection := self._pool.take_idle(key)) is not None:
            if self._may_serve(connection):
                return connection
            self._discard(connection)
            self._pool.freed(key)
        return None

    def _may_serve(self, connection: Connection) -> bool:
        """Whether a connection that was idle, and is not known to be closed, is fit for a request."""
        assert self._loop is not None, "there are connections, so there is a loop"
        idle = self._loop.time() - connection.idle_since
        return idle < connection.keepalive_s and (idle < _JUST_USED_S or connection.is_silent())

    async def acquire(
        self, route: Route, timeout: Timeout, total_at: float | None, *, fresh: bool = False
    ) -> Connection:
        """A connection by *route* that no request uses: waits for a slot in FIFO order, then opens one.

        Args:
            route: Where to, and how.
            timeout: ``pool`` bounds the wait for the slot, ``connect`` the opening.
            total_at: Loop time by which all must be done; None for no bound.
            fresh: Open a new connection even when there is an idle one, or one becomes free.

        Raises:
            SessionClosedError: The connector is closed.
            PoolTimeoutError, ConnectionTimeoutError, TotalTimeoutError: A bound was exceeded.
            ClientConnectorError: No connection could be made.
        """
        if self._closed:
            raise SessionClosedError("the connector is closed")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._outbox = Outbox(self._loop)
            keep_freed_memory()
            budget = socket_budget()
            if budget is not None:
                self._pool.lower_limit(budget)
        pool = self._pool
        grant: Connection | Grant
        grant = pool.replace_idle(route.key) if fresh else pool.take_slot(route.key)
        if grant is Grant.WAIT:
            grant = await self._wait_for_grant(route, timeout, total_at)
        if isinstance(grant, Connection):
            if not fresh and not grant.is_closed and self._may_serve(grant):
                return grant
            self._discard(grant)  # its slot stays ours
        try:
            channel = await self._open(route, timeout, total_at)
        except BaseException:
            pool.freed(route.key)
            raise
        connection = Connection(self._loop, channel, self._outbox, route.key, self._released, self._lost)
        connection.keepalive_s = self._keepalive_timeout
        self._connections.add(connection)
        return connection

    async def _wait_for_grant(self, route: Route, timeout: Timeout, total_at: float | None) -> Connection | Grant:
        assert self._loop is not None, "set by acquire"
        waiter = _Waiter(self._loop.create_future())
        self._pool.enqueue(route.key, waiter)
        self._waiters.add(waiter)
        watch = route.watch
        try:
            if watch is not None:
                await watch.queued_start()
            with timed(watch, "queued"):
                async with _bounded(self._loop, timeout.pool, PoolTimeoutError, timeout, total_at):
                    await waiter.future
            if waiter.granted is None:
                raise SessionClosedError("the connector was closed while a request waited")
            if watch is not None:
                await watch.queued_end()
        except BaseException:
            if waiter.granted is None:
                self._pool.withdraw(route.key, waiter)
            elif isinstance(waiter.granted, Connection):
                self._released(waiter.granted, not waiter.granted.is_closed)
            else:
                self._pool.freed(route.key)
            raise
        finally:
            self._waiters.discard(waiter)
        return waiter.granted

    async def _open(self, route: Route, timeout: Timeout, total_at: float | None) -> Channel:
        assert self._loop is not None, "set by acquire"
        watch = route.watch
        if watch is not None:
            await watch.create_start()
        if self._wire is not None:
            route = route._replace(tap=Tap(self._wire))
        try:
            if not self._closed:
                bounded = _bounded(self._loop, timeout.connect, ConnectionTimeoutError, timeout, total_at)
                async with bounded as scope:
                    self._opening.add(scope)
                    try:
                        channel = await self._dial_by_all_means(self._loop, route)
                    finally:
                        self._opening.discard(scope)
                if route.tap is not None:
                    route.tap.attach(channel)
                if watch is not None:
                    await watch.create_end(channel)
                if not self._closed:
                    return channel
                channel.close()
        except ServerTimeoutError:
            if not self._closed:
                raise
        raise SessionClosedError("the connector was closed while a request connected")

    async def _dial_by_all_means(self, loop: asyncio.AbstractEventLoop, route: Route) -> Channel:
        """Dial; while the process can open no more files, the connection that is idle longest gives way."""
        while True:
            try:
                return await self._dial(loop, route)
            except ClientConnectorError as exc:
                if exc.errno not in OUT_OF_DESCRIPTORS:
                    raise
                oldest = self._pool.oldest_idle()
                if oldest is None:
                    raise DescriptorLimitError(exc.host, exc.port, exc.attempts, open_files_limit()) from exc
                oldest.close()
                self._lost(oldest)

    async def _dial(self, loop: asyncio.AbstractEventLoop, route: Route) -> Channel:
        raise NotImplementedError

    async def _open_channel(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket | TLSSocket, route: Route, port: int | None
    ) -> Channel:
        """The channel to the end of *route* by a socket that leads there."""
        resumption = None if route.tls is None else self._tls_sessions.of(route.key)
        return await open_channel(loop, sock, route.tls, route.origin.host, port, resumption, route.watch)

    def give_back(self, connection: Connection) -> None:
        """Take back a connection by which nothing was sent since ``take_idle`` or ``acquire`` gave it."""
        self._released(connection, not connection.is_closed)

    # For connections.

    def _released(self, connection: Connection, reusable: bool) -> None:
        """An exchange is over; called once for each."""
        if not reusable or connection.served >= connection.max_served or self._force_close or self._closed:
            self._discard(connection)
            self._pool.freed(connection.key)
            return
        assert self._loop is not None, "there is a connection, so there is a loop"
        connection.idle_since = self._loop.time()
        if self._pool.put_idle(connection.key, connection) and self._sweeper is None:
            self._sweeper = self._loop.call_later(self._keepalive_timeout, self._sweep)

    def _lost(self, connection: Connection) -> None:
        """The peer has closed a connection that no exchange has."""
        self._connections.discard(connection)
        # One that was just handed to a waiter is that request's, which will find it closed.
        if self._pool.holds_idle(connection):
            self._pool.remove_idle(connection.key, connection)

    def _sweep(self) -> None:
        """Close what was idle for too long; one timer for the whole pool."""
        assert self._loop is not None, "the timer runs on it"
        self._sweeper = None
        now = self._loop.time()
        while (oldest := self._pool.oldest_idle()) is not None:
            age = now - oldest.idle_since
            if age < self._keepalive_timeout:
                self._sweeper = self._loop.call_later(self._keepalive_timeout - age, self._sweep)
                return
            oldest.close()
            self._lost(oldest)


def _discarder(connections: set[Connection]) -> Callable[[Connection], None]:
    """What closes a connection; no method, for the pool holds it, and would hold the connector that holds the pool."""

    def discard(connection: Connection) -> None:
        connection.close()
        connections.discard(connection)

    return discard


@contextlib.asynccontextmanager
async def _bounded(
    loop: asyncio.AbstractEventLoop,
    bound: float | None,
    error: type[ServerTimeoutError],
    timeout: Timeout,
    total_at: float | None,
) -> AsyncIterator[asyncio.Timeout]:
    """Bound what is awaited inside by *bound* seconds and by *total_at*, and name the one that was exceeded."""
    due = None if bound is None else loop.time() + bound
    if total_at is not None and (due is None or total_at <= due):
        due, bound, error = total_at, timeout.total, TotalTimeoutError
    try:
        async with asyncio.timeout_at(due) as scope:
            yield scope
    except TimeoutError as exc:
        if scope.expired():
            raise error(bound or 0.0) from exc
        raise
