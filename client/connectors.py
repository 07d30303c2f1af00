"""``TCPConnector`` and ``UnixConnector``: how the connections of a ``BaseConnector`` are opened."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Mapping
from functools import partial
from ssl import SSLContext
from typing import TypedDict

from .addresses import AddressPolicy
from .base_connector import BaseConnector
from .channel import Channel
from .dial import (
    CONNECTION_ATTEMPT_DELAY_S,
    DialSettings,
    SocketFactory,
    connect_tcp,
    connect_unix,
)
from .proxies import Proxy
from .resolver import AddrInfo, CachingResolver, Resolver, ThreadedResolver, literal_address
from .routes import Route
from .trust import SSL, Fingerprint, TLSSettings, TLSWishes
from .urls import Origin
from .watch import Watch, timed
from .wire import WireHook

__all__ = ["TCPConnector", "TCPOptions", "UnixConnector"]


class TCPOptions(TypedDict, total=False):
    """What a ``TCPConnector`` may be given; see there."""

    limit: int
    limit_per_host: int
    keepalive_timeout: float
    force_close: bool
    ssl: SSL | None
    verify_ssl: bool | None
    ssl_context: SSLContext | None
    pins: Mapping[str, Fingerprint] | None
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
        limit, limit_per_host, keepalive_timeout, force_close, ssl, verify_ssl, ssl_context, pins, share_cookies, wire:
            See ``BaseConnector``.
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
        pins: Mapping[str, Fingerprint] | None = None,
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
            pins=pins,
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
        limit, limit_per_host, keepalive_timeout, force_close, ssl, verify_ssl, ssl_context, pins, share_cookies, wire:
            See ``BaseConnector``.
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
        pins: Mapping[str, Fingerprint] | None = None,
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
            pins=pins,
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
