"""Connectors: policy, pool and dialling together. ``TCPConnector`` and ``UnixConnector``.

A connector gives connections to sessions and takes them back. Every slot that is taken has an owner at every moment:
the coroutine that opens it (which gives it back in its handler), the exchange that uses it, or the pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator, Callable, Hashable
from functools import partial
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypedDict

from .addresses import AddressPolicy
from .budget import OUT_OF_DESCRIPTORS, open_files_limit, socket_budget
from .channel import Channel
from .connection import Connection
from .cookies import CookieJar
from .dial import (
    CONNECTION_ATTEMPT_DELAY_S,
    DialSettings,
    SocketFactory,
    connect_tcp,
    connect_unix,
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
from .framing import idle_seconds
from .memory import keep_freed_memory
from .outbox import Outbox
from .pool import Grant, Pool
from .proxies import Proxy
from .resolver import AddrInfo, CachingResolver, Resolver, ThreadedResolver, literal_address
from .resumption import TLSSessions
from .routes import Route
from .timeouts import Timeout
from .trust import SSL, TLSSettings, TLSWishes, trust_of
from .urls import Origin
from .watch import Watch, timed
from .wire import Tap, WireHook

if TYPE_CHECKING:
    pass

__all__ = ["BaseConnector", "TCPConnector", "TCPOptions", "UnixConnector"]

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
            timeout) is not used again in the last second of that.
        force_close: Close each connection after its response; default False.
        ssl: Whom TLS trusts: True verifies against the system's roots, TLS 1.2 or above; False trusts any certificate;
            an ``ssl.SSLContext`` says it all; a ``Fingerprint`` pins one certificate in place of verification. None,
            the default, is True.
        verify_ssl: The same as ``ssl``, for True and False.
        ssl_context: The same as ``ssl``, for a context.
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
            settings = self._tls if wishes is None else self._tls.with_wishes(wishes)
            if settings != self._tls:
                key = (key, settings)
        if proxy is not None:
            key = proxy if proxy.forwards(origin) else (proxy, key)
        return Route(key, origin, settings, proxy)

    def take_idle(self, key: Hashable) -> Connection | None:
        """An idle connection that goes the way of *key*, at once; None when there is none."""
        while (connection := self._pool.take_idle(key)) is not None:
            assert self._loop is not None, "there are connections, so there is a loop"
            idle = self._loop.time() - connection.idle_since
            if idle < connection.keepalive_s and (idle < _JUST_USED_S or connection.is_silent()):
                return connection
            self._discard(connection)
            self._pool.freed(key)
        return None

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
            just_used = self._loop.time() - grant.idle_since < _JUST_USED_S
            if not fresh and not grant.is_closed and (just_used or grant.is_silent()):
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

    def heed(self, connection: Connection, keep_alive: bytes | None) -> None:
        """Keep *connection* idle no longer than its server does, as its first response told by Keep-Alive.

        Hot path: the first response of a connection alone is looked at, and none that has served before. A server says
        the same each time (Apache) or nothing (nginx); what is left of ``max`` it says by ``Connection: close``.
        """
        if keep_alive is not None:
            seconds = idle_seconds(keep_alive)
            if seconds is not None and seconds < connection.keepalive_s:
                connection.keepalive_s = seconds

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
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, route: Route, port: int | None
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
        if not reusable or self._force_close or self._closed:
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


class TCPOptions(TypedDict, total=False):
    """What a ``TCPConnector`` may be given; see there."""

    limit: int
    limit_per_host: int
    keepalive_timeout: float
    force_close: bool
    ssl: SSL | None
    verify_ssl: bool | None
    ssl_context: SSLContext | None
    share_cookies: bool
    resolver: Resolver | None
    use_dns_cache: bool
    ttl_dns_cache: float | None
    family: int
    local_addr: tuple[str, int] | None
    interface: str | None
    socket_factory: SocketFactory | None
    happy_eyeballs_delay: float | None
    allow_address: AddressPolicy | None
    wire: WireHook | None


class TCPConnector(BaseConnector):
    """Connections over TCP, pooled and kept alive, with TLS for https.

    Args:
        limit, limit_per_host, keepalive_timeout, force_close, ssl, verify_ssl, ssl_context, share_cookies, wire: See
            ``BaseConnector``.
        resolver: Names to addresses; default: getaddrinfo in threads of its own. One of your own is asked as it is:
            put it into a ``CachingResolver`` to have its answers remembered.
        use_dns_cache: Whether the default resolver remembers answers; default True.
        ttl_dns_cache: For how many seconds; default 60. None is for ever.
        family: ``socket.AF_INET`` or ``AF_INET6`` to use only these addresses; default both.
        local_addr: Address and port that connections come from; port 0 leaves that to the system. Default None.
        interface: Name of the network interface that they go out by (Linux, SO_BINDTODEVICE). Default None.
        socket_factory: Makes the sockets, given family, type, protocol, name and address; default plain ones.
        happy_eyeballs_delay: Seconds before the next address is tried beside the one before; default 0.25
            (RFC 8305 section 5); None tries them one after the other.
        allow_address: Told the address and port that are about to be connected to, on each hop, says whether they may
            be; see ``is_public_address``. Behind a proxy the address is the proxy's. Default None: all may.

    Raises:
        ValueError: As ``BaseConnector``; ``local_addr`` is no address, ``ttl_dns_cache`` is below 0.
    """

    obeys_environment = True

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
        share_cookies: bool = False,
        resolver: Resolver | None = None,
        use_dns_cache: bool = True,
        ttl_dns_cache: float | None = 60.0,
        family: int = socket.AF_UNSPEC,
        local_addr: tuple[str, int] | None = None,
        interface: str | None = None,
        socket_factory: SocketFactory | None = None,
        happy_eyeballs_delay: float | None = CONNECTION_ATTEMPT_DELAY_S,
        allow_address: AddressPolicy | None = None,
        wire: WireHook | None = None,
    ) -> None:
        super().__init__(
            limit=limit,
            limit_per_host=limit_per_host,
            keepalive_timeout=keepalive_timeout,
            force_close=force_close,
            ssl=ssl,
            verify_ssl=verify_ssl,
            ssl_context=ssl_context,
            share_cookies=share_cookies,
            wire=wire,
        )
        if ttl_dns_cache is not None and not ttl_dns_cache >= 0:
            raise ValueError(f"ttl_dns_cache={ttl_dns_cache!r}: expected seconds, 0 or above, or None for ever")
        self._own_resolver: CachingResolver | None = None
        if resolver is None:
            resolver = ThreadedResolver()
            if use_dns_cache:
                ttl = math.inf if ttl_dns_cache is None else ttl_dns_cache
                resolver = self._own_resolver = CachingResolver(resolver, ttl=ttl)
        self._resolver = resolver
        self._dial_settings = DialSettings(
            family,
            happy_eyeballs_delay,
            None if local_addr is None else _local_address(*local_addr),
            interface,
            socket_factory,
            allow_address,
        )

    async def close(self) -> None:
        """See ``BaseConnector.close``; look-ups of the connector's own resolver are cancelled."""
        await super().close()
        if self._own_resolver is not None:
            self._own_resolver.close()

    async def _dial(self, loop: asyncio.AbstractEventLoop, route: Route) -> Channel:
        origin, proxy = route.origin, route.proxy
        if proxy is None:
            sock = await self._connect(origin.host, origin.port, route.watch)
            return await self._open_channel(loop, sock, route, origin.port)
        from .tunnel import open_by_proxy  # for who has a proxy

        return await open_by_proxy(
            loop,
            proxy,
            origin,
            partial(self._connect, watch=route.watch),
            self._resolver,
            TLSSettings() if self._tls.pin else self._tls,  # a pin is for origins
            lambda sock: self._open_channel(loop, sock, route, origin.port),
            route.watch,
            route.tap,
        )

    async def _connect(self, host: str, port: int, watch: Watch | None) -> socket.socket:
        return await connect_tcp(asyncio.get_running_loop(), self._resolver, host, port, self._dial_settings, watch)


def _local_address(host: str, port: int) -> AddrInfo:
    found = literal_address(host, port)
    if found is None:
        raise ValueError(f"local_addr={(host, port)!r}: expected an address of this machine and a port")
    return found


class UnixConnector(BaseConnector):
    """Connections to one Unix socket, whatever host the URL names; the host still goes into the Host field.

    Args:
        path: The socket.
        limit, limit_per_host, keepalive_timeout, force_close, ssl, verify_ssl, ssl_context, share_cookies, wire: See
            ``BaseConnector``.
    """

    def __init__(
        self,
        path: str,
        *,
        limit: int = 100,
        limit_per_host: int = 0,
        keepalive_timeout: float = 15.0,
        force_close: bool = False,
        ssl: SSL | None = None,
        verify_ssl: bool | None = None,
        ssl_context: SSLContext | None = None,
        share_cookies: bool = False,
        wire: WireHook | None = None,
    ) -> None:
        super().__init__(
            limit=limit,
            limit_per_host=limit_per_host,
            keepalive_timeout=keepalive_timeout,
            force_close=force_close,
            ssl=ssl,
            verify_ssl=verify_ssl,
            ssl_context=ssl_context,
            share_cookies=share_cookies,
            wire=wire,
        )
        self.path = path

    def _shown_way(self) -> str:
        return f"{self.path} "

    async def _dial(self, loop: asyncio.AbstractEventLoop, route: Route) -> Channel:
        with timed(route.watch, "connect"):
            sock = await connect_unix(self.path)
        return await self._open_channel(loop, sock, route, None)

    def route(self, origin: Origin, wishes: TLSWishes | None = None, proxy: Proxy | None = None) -> Route:
        """See ``BaseConnector.route``."""
        if proxy is not None:
            raise ValueError(f"a UnixConnector knows no proxies, and {proxy.shown} was given; use TCPConnector")
        return super().route(origin, wishes)
