"""From a proxy to a channel: CONNECT (RFC 9110 section 9.3.6), SOCKS5 (RFC 1928) by a library, TLS on top of either.

Failures become the client's own errors here. Cancelling at any await closes what was opened. Not here: which proxy
(``proxies``), who may open a connection (``pool``), how long it may take (``connectors``).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from .auth import BasicAuth
from .channel import Channel, wait_ready
from .dial import open_tls
from .exceptions import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientHttpProxyError,
    ClientProxyConnectionError,
    ServerDisconnectedError,
)
from .exchange import Exchange
from .heads import check_value
from .proxies import Proxy
from .resolver import Resolver
from .tls import TLSChannel, is_truncation
from .tls_socket import TLSSocket
from .trust import TLSSettings
from .urls import Origin
from .watch import Watch, timed
from .wire import Tap

__all__ = ["open_by_proxy"]

Connect = Callable[[str, int], Awaitable[socket.socket]]
Finish = Callable[[socket.socket | TLSSocket], Awaitable[Channel]]

_READ_BYTES: Final = 16_384
_ATTEMPTS: Final = 2  # a CONNECT, and one more with the answer to the challenge of the first


async def open_by_proxy(
    loop: asyncio.AbstractEventLoop,
    proxy: Proxy,
    origin: Origin,
    connect: Connect,
    resolver: Resolver,
    settings: TLSSettings,
    finish: Finish,
    watch: Watch | None = None,
    tap: Tap | None = None,
) -> Channel:
    """Open a channel to *origin* by way of *proxy*; to the proxy itself when that forwards requests to the origin.

    Args:
        loop: The event loop.
        proxy: The proxy.
        origin: Where to.
        connect: Opens a TCP connection to a host and port.
        resolver: Gives the address of *origin* where a SOCKS proxy is not to look it up.
        settings: How TLS is spoken to an https proxy.
        finish: Makes the channel of a socket that leads to the origin, with TLS if that is spoken there.
        watch: Who watches; None for nobody.
        tap: Who is told of what the proxy is asked and says; None for nobody.

    Raises:
        ClientProxyConnectionError: The proxy cannot be reached.
        ClientHttpProxyError: It refused the tunnel.
        ClientConnectorSSLError: A TLS handshake failed, with the proxy or with the origin.
    """
    if proxy.is_socks:
        with timed(watch, "proxy"):
            sock = await _open_socks(proxy, origin, connect, resolver)
        return await finish(sock)
    credentials = None if proxy.auth is None else proxy.auth.authorize("CONNECT", _authority(origin), b"")
    for _ in range(_ATTEMPTS):
        outer = await _reach(loop, proxy, connect, settings, watch)
        if proxy.forwards(origin):
            return TLSChannel(loop, outer) if isinstance(outer, TLSSocket) else Channel(loop, outer)
        try:
            with timed(watch, "proxy"):
                reply = await _connect(loop, outer, proxy, connect_head(proxy, origin, credentials), tap)
        except BaseException:
            outer.close()
            raise
        if 200 <= reply.status < 300:
            return await finish(outer)
        outer.close()
        credentials = _answer(proxy, origin, reply, credentials)
        if credentials is None:
            break
    raise ClientHttpProxyError(
        f"{proxy.shown} for a tunnel to {_authority(origin)}",
        status=reply.status,
        message=reply.reason.decode("latin-1"),
    )


async def _reach(
    loop: asyncio.AbstractEventLoop, proxy: Proxy, connect: Connect, settings: TLSSettings, watch: Watch | None
) -> socket.socket | TLSSocket:
    """A connection to the proxy, in TLS if that is spoken to it."""
    try:
        sock = await connect(proxy.host, proxy.port)
    except ClientConnectorError as exc:
        raise ClientProxyConnectionError(proxy.host, proxy.port, exc.attempts) from exc
    if proxy.scheme != "https":
        return sock
    return await open_tls(loop, sock, settings, proxy.host, proxy.port, watch=watch, phase="proxy")


def _authority(origin: Origin) -> str:
    """Where the tunnel ends, in authority-form (RFC 9112 section 3.2.3)."""
    return f"[{origin.host}]:{origin.port}" if ":" in origin.host else f"{origin.host}:{origin.port}"


def _answer(proxy: Proxy, origin: Origin, reply: Exchange, sent: str | None) -> str | None:
    if reply.status != 407 or proxy.auth is None:
        return None
    challenges = [value.decode("latin-1") for name, value in reply.fields if name.lower() == b"proxy-authenticate"]
    return proxy.auth.answer(challenges, "CONNECT", _authority(origin), b"", sent)


def connect_head(proxy: Proxy, origin: Origin, credentials: str | None) -> bytes:
    """The head of a CONNECT request.

    Args:
        proxy: Gives further fields.
        origin: Where the tunnel is to end.
        credentials: Value of Proxy-Authorization; None for none.
    """
    authority = _authority(origin)
    fields = [("Host", authority), *proxy.fields]
    if credentials is not None:
        fields.append(("Proxy-Authorization", check_value("Proxy-Authorization", credentials)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"CONNECT {authority} HTTP/1.1\r\n{lines}\r\n".encode()


async def _connect(
    loop: asyncio.AbstractEventLoop, sock: socket.socket | TLSSocket, proxy: Proxy, head: bytes, tap: Tap | None
) -> Exchange:
    """Ask for a tunnel; the head of the reply. Octets behind it are refused: the origin speaks second."""
    exchange = Exchange("CONNECT")
    try:
        await _send_all(loop, sock, head, tap)
        while exchange.message is None and exchange.error is None:
            data = await _receive(loop, sock)
            if tap is not None:
                tap.received(data)
            if not data:
                raise ServerDisconnectedError(f"the proxy {proxy.shown} disconnected", exchange.head_octets)
            exchange.receive(data)
    except OSError as exc:
        if not is_truncation(exc):
            raise ClientProxyConnectionError(proxy.host, proxy.port, (exc,)) from exc
        raise ServerDisconnectedError(f"the proxy {proxy.shown} disconnected", exchange.head_octets) from exc
    if exchange.error is not None:
        raise exchange.error
    if exchange.status < 300 and (exchange.received or exchange.has_leftover):
        raise ClientProxyConnectionError(
            proxy.host, proxy.port, (OSError("it sent octets before the tunnel was used"),)
        )
    return exchange


async def _send_all(
    loop: asyncio.AbstractEventLoop, sock: socket.socket | TLSSocket, data: bytes, tap: Tap | None
) -> None:
    while data:
        try:
            count = sock.send(data)
            if tap is not None:
                tap.sent(data[:count])
            data = data[count:]
        except BlockingIOError:
            await wait_ready(loop, sock.fileno(), for_writing=True)


async def _receive(loop: asyncio.AbstractEventLoop, sock: socket.socket | TLSSocket) -> bytes:
    while True:
        try:
            return sock.recv(_READ_BYTES)
        except BlockingIOError:
            await wait_ready(loop, sock.fileno(), for_writing=False)


async def _open_socks(proxy: Proxy, origin: Origin, connect: Connect, resolver: Resolver) -> socket.socket:
    """A connection to *origin* by a SOCKS5 proxy; needs the extra ``socks``."""
    try:
        from python_socks import ProxyError, ProxyType
        from python_socks.async_.asyncio import Proxy as SocksProxy
    except ImportError as exc:
        problem = OSError("SOCKS needs a package that is not installed; pip install 'fetchd[socks]' brings it")
        raise ClientProxyConnectionError(proxy.host, proxy.port, (problem,)) from exc
    login = password = None
    if proxy.auth is not None:
        if not isinstance(proxy.auth, BasicAuth):
            raise ClientProxyConnectionError(
                proxy.host, proxy.port, (OSError("SOCKS knows user and password only; give it BasicAuth"),)
            )
        login, password = proxy.auth.login, proxy.auth.password
    is_remote = proxy.scheme == "socks5h"
    target = origin.host if is_remote else await _first_address(resolver, origin.host, origin.port)
    way = cast(Any, _Way(connect))  # which has what the library asks of another proxy on the way to this one
    socks = SocksProxy(ProxyType.SOCKS5, proxy.host, proxy.port, login, password, rdns=is_remote, forward=way)
    try:
        return await socks.connect(target, origin.port, timeout=_SOCKS_TIMEOUT_S)
    except ClientConnectorError as exc:
        raise ClientProxyConnectionError(proxy.host, proxy.port, exc.attempts) from exc
    except (ProxyError, OSError) as exc:
        problem = exc if isinstance(exc, OSError) else OSError(str(exc))
        raise ClientProxyConnectionError(proxy.host, proxy.port, (problem,)) from exc


class _Way:
    """Connects to a SOCKS proxy as to any other host: every address of it, from the local one, if the policy allows."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def connect(self, dest_host: str, dest_port: int, timeout: float | None) -> socket.socket:
        """A connection to the proxy; the bound is that of the whole."""
        return await self._connect(dest_host, dest_port)


# The library insists on a bound; ours is Timeout.connect, so this one never comes first.
_SOCKS_TIMEOUT_S: Final = 86_400.0


async def _first_address(resolver: Resolver, host: str, port: int) -> str:
    try:
        addresses = await resolver.resolve(host, port, socket.AF_UNSPEC)
    except OSError as exc:
        raise ClientConnectorDNSError(host, port, (exc,)) from exc
    if not addresses:
        raise ClientConnectorDNSError(host, port, (OSError("the name has no address"),))
    return str(addresses[0][4][0])
