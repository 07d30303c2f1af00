"""From an origin to an open channel: resolve, connect (Happy Eyeballs, RFC 8305), TLS handshake.

Failures become the client's own errors here, with everything that was tried. Cancelling at any await closes what was
opened. Not here: who may open a connection (``pool``), how long it may take (``connectors``).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import sys
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, cast

import aiohappyeyeballs

from .addresses import AddressPolicy, allowed_addresses
from .channel import Channel, wait_ready
from .exceptions import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ServerFingerprintMismatch,
)
from .resolver import AddrInfo, Resolver
from .resumption import Resumption
from .timings import Phase
from .tls import TLSChannel
from .tls_socket import TLSSocket
from .trust import TLSSettings
from .watch import Watch, timed

__all__ = [
    "CONNECTION_ATTEMPT_DELAY_S",
    "DialSettings",
    "SocketFactory",
    "connect_tcp",
    "connect_unix",
    "open_channel",
    "open_tls",
]

# RFC 8305 section 5 and 8: the recommended value.
CONNECTION_ATTEMPT_DELAY_S: Final = 0.25
# A Unix socket whose backlog is full refuses with EAGAIN and gives no readiness to wait for; how often to ask again.
_UNIX_RETRY_S: Final = 0.005


# A peer that has vanished without a word is found out after two minutes, where the system's own habit is two hours. A
# guess; it matters only where the bounds of the phases are switched off.
_TCP_KEEPALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
# Linux: the port of a bound socket is chosen when it connects, so that one can serve many destinations; Python 3.12 and
# up have the name.
_IP_BIND_ADDRESS_NO_PORT: Final = 24

SocketFactory = Callable[[AddrInfo], socket.socket]
"""Makes a stream socket for an address (family, type, protocol, name, socket address)."""


class DialSettings(NamedTuple):
    """How TCP connections are made; what ``TCPConnector`` says of each is here in one.

    Attributes:
        family: AF_INET or AF_INET6 to use only these; AF_UNSPEC for both.
        attempt_delay: Seconds before the next address is tried beside the one before (RFC 8305 section 5); None tries
            one after the other.
        local_address: Where connections come from; addresses of the other family are then of no use. None leaves it to
            the system.
        interface: Network interface that connections go out by (Linux); None leaves it to the routes.
        socket_factory: What makes the sockets; None makes plain ones.
        allow_address: Which addresses may be connected to; None allows all.
    """

    family: int = socket.AF_UNSPEC
    attempt_delay: float | None = CONNECTION_ATTEMPT_DELAY_S
    local_address: AddrInfo | None = None
    interface: str | None = None
    socket_factory: SocketFactory | None = None
    allow_address: AddressPolicy | None = None


_DEFAULTS: Final = DialSettings()


async def connect_tcp(
    loop: asyncio.AbstractEventLoop,
    resolver: Resolver,
    host: str,
    port: int,
    settings: DialSettings = _DEFAULTS,
    watch: Watch | None = None,
) -> socket.socket:
    """Open a non-blocking TCP connection to *host*.

    Args:
        loop: The event loop.
        resolver: Gives the addresses.
        host: Name or address.
        port: Port.
        settings: How.
        watch: Who watches; None for nobody.

    Raises:
        ClientConnectorDNSError: The name did not resolve.
        AddressNotAllowedError: It resolved to nothing that the policy allows.
        ClientConnectorError: Every address failed.
    """
    try:
        resolve = resolver.resolve if watch is None else partial(watch.resolve, resolver)
        addresses = await resolve(host, port, settings.family)
    except OSError as exc:
        raise ClientConnectorDNSError(host, port, (exc,)) from exc
    if not addresses:
        raise ClientConnectorDNSError(host, port, (OSError("the name has no address"),))
    if settings.allow_address is not None:
        addresses = allowed_addresses(addresses, settings.allow_address, host, port)
    try:
        with timed(watch, "connect"):
            sock = await aiohappyeyeballs.start_connection(
                addresses,
                local_addr_infos=None if settings.local_address is None else (settings.local_address,),
                happy_eyeballs_delay=settings.attempt_delay,
                loop=loop,
                # Typed for addresses of any kind; it is given those of the list.
                socket_factory=cast("aiohappyeyeballs.SocketFactoryType | None", _socket_maker(settings)),
            )
    except (OSError, RuntimeError) as exc:  # uvloop raises RuntimeError for some addresses
        raise ClientConnectorError(host, port, (exc,)) from exc
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _TCP_KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    except OSError as exc:
        sock.close()
        raise ClientConnectorError(host, port, (exc,)) from exc
    return sock


def _socket_maker(settings: DialSettings) -> SocketFactory | None:
    """What makes the sockets that *settings* ask for; None for plain ones."""
    if settings.local_address is None and settings.interface is None:
        return settings.socket_factory

    def make(info: AddrInfo) -> socket.socket:
        factory = settings.socket_factory
        sock = socket.socket(info[0], info[1], info[2]) if factory is None else factory(info)
        try:
            if settings.interface is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, settings.interface.encode())
            if settings.local_address is not None and not settings.local_address[4][1] and sys.platform == "linux":
                sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        except BaseException:
            sock.close()
            raise
        return sock

    return make


async def connect_unix(path: str) -> socket.socket:
    """Open a non-blocking connection to the Unix socket at *path*.

    Raises:
        ClientConnectorError: There is no socket, or nobody listens.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while (code := sock.connect_ex(path)) == errno.EAGAIN:  # noqa: ASYNC110 -- nothing tells when there is room
            await asyncio.sleep(_UNIX_RETRY_S)
        if code:
            raise OSError(code, os.strerror(code))
    except OSError as exc:
        sock.close()
        raise ClientConnectorError(path, None, (exc,)) from exc
    except BaseException:
        sock.close()
        raise
    return sock


async def open_channel(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket | TLSSocket,
    settings: TLSSettings | None,
    host: str,
    port: int | None,
    resumption: Resumption | None = None,
    watch: Watch | None = None,
) -> Channel:
    """Make a channel of a connected socket, with TLS when *settings* are given. Closes the socket when it fails.

    Args:
        loop: The event loop.
        sock: Connected and non-blocking; owned by the channel from here on.
        settings: How TLS is spoken; None for plain octets.
        host: Name for SNI and for the certificate, unless the settings have another one.
        port: For messages.
        resumption: Sessions of earlier connections; None to resume none.
        watch: Who watches; None for nobody.

    Raises:
        ServerFingerprintMismatch: The certificate is not the one that was pinned; nothing was sent.
        ClientConnectorCertificateError: The certificate was not accepted; nothing was sent.
        ClientConnectorSSLError: The handshake failed otherwise.
    """
    if settings is None:
        return TLSChannel(loop, sock) if isinstance(sock, TLSSocket) else Channel(loop, sock)
    tls = await open_tls(loop, sock, settings, host, port, resumption, watch)
    return TLSChannel(loop, tls, resumption)


async def open_tls(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket | TLSSocket,
    settings: TLSSettings,
    host: str,
    port: int | None,
    resumption: Resumption | None = None,
    watch: Watch | None = None,
    phase: Phase = "tls",
) -> TLSSocket:
    """Speak TLS on a connected socket, or on one that speaks TLS already. Closes the socket when it fails.

    Args and errors are those of ``open_channel``; *phase* is what its time counts as.
    """
    if watch is not None:
        await watch.tls_start(host, port, sock)
    try:
        with timed(watch, phase):
            tls = await _handshake(loop, sock, settings, host, resumption)
    except ssl.SSLCertVerificationError as exc:
        raise ClientConnectorCertificateError(host, port, (exc,)) from exc
    except OSError as exc:
        if resumption is not None:
            resumption.forget()
        raise ClientConnectorSSLError(host, port, (exc,)) from exc
    if settings.pin is not None:
        try:
            settings.pin.check(tls.getpeercert(binary_form=True) or b"", host, port)
        except ServerFingerprintMismatch:
            tls.close()
            raise
    if watch is not None:
        await watch.tls_end(host, port, tls)
    return tls


async def _handshake(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket | TLSSocket,
    settings: TLSSettings,
    host: str,
    resumption: Resumption | None,
) -> TLSSocket:
    name = settings.server_hostname or host.rstrip(".")
    session = None if resumption is None else resumption.offer()
    try:
        if isinstance(sock, socket.socket) and (code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            raise OSError(code, os.strerror(code))
        tls = TLSSocket(sock, settings.context, name, session)
        while True:
            try:
                tls.do_handshake()
                return tls
            except ssl.SSLWantReadError:
                await wait_ready(loop, tls.fileno(), for_writing=False)
            except ssl.SSLWantWriteError:
                await wait_ready(loop, tls.fileno(), for_writing=True)
    except BaseException:
        sock.close()
        raise
