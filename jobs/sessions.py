"""From settings to a session of the client, for whoever fetches as a run does. Not here: what is fetched, and when."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from fetchd.client import (
    BaseConnector,
    ClientSession,
    CookieJar,
    Fingerprint,
    TCPConnector,
    Timeout,
    UnixConnector,
    client_context,
)

from .exceptions import LocalFailureError, SettingsError
from .manners import Manners
from .resolving import RunResolver
from .settings import RunSettings

__all__ = ["open_session"]

# Idle connections are worth keeping for hosts that come round again, as far as descriptors go.
_SOCKETS_PER_SLOT: Final = 2
_FAMILIES: Final = {None: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}


@asynccontextmanager
async def open_session(settings: RunSettings, manners: Manners | None = None) -> AsyncIterator[ClientSession]:
    """Yield a session that asks for identity and decodes nothing; with its end its connections are closed.

    Args:
        settings: What it is made from.
        manners: Asked before what follows from a request; None for nobody in particular.

    Raises:
        SettingsError: A file that is named cannot be read or is none of its kind, or a field cannot be sent.
        LocalFailureError: At the end, when the cookies cannot be written.
    """
    if manners is None:
        manners = Manners()
    network = settings.network
    with closing(RunResolver(network.resolve, manners.note_unanswered)) as resolver:
        jar = _cookies(network.cookies)
        try:
            async with _session(settings, manners, jar, _connector(settings, resolver)) as session:
                yield session
        finally:
            _save_cookies(jar, network.save_cookies)


def _session(settings: RunSettings, manners: Manners, jar: CookieJar, connector: BaseConnector) -> ClientSession:
    network = settings.network
    proxy, variables = network.way
    headers = [*(() if settings.decode else (("Accept-Encoding", "identity"),)), *settings.headers]
    if settings.user_agent is not None:
        headers.append(("User-Agent", settings.user_agent))
    try:
        return ClientSession(
            connector=connector,
            headers=headers,
            cookie_jar=jar,
            auto_decompress=settings.decode,
            max_body_bytes=settings.max_bytes,
            max_decoded_bytes=settings.max_bytes if settings.decode else None,
            auth=network.auth,
            proxy=proxy,
            trust_env=variables,
            max_redirects=network.max_redirects,
            before_redirect=manners.before_redirect,
            trace_configs=manners.traces(),
            timeout=Timeout(
                connect=settings.connect_timeout,
                first_byte=settings.first_byte_timeout,
                idle_read=settings.idle_timeout,
                idle_write=settings.idle_timeout,
                low_speed=network.low_speed,
            ),
        )
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


def _connector(settings: RunSettings, resolver: RunResolver) -> BaseConnector:
    limit = settings.concurrency * _SOCKETS_PER_SLOT
    trust, network = _trust(settings), settings.network
    pins = {server: Fingerprint(pin) for server, pin in network.pins.items()}
    if settings.unix_socket is not None:
        return UnixConnector(str(settings.unix_socket), limit=limit, ssl=trust, pins=pins)
    local_addr, interface = _begin(network.interface)
    # What redirections lead to is no business of the scheduler's, so a host's sockets are counted here as well. Those
    # to a proxy are shared by all hosts.
    is_direct = network.proxy is None and not network.environment
    return TCPConnector(
        limit=limit,
        limit_per_host=settings.per_host if is_direct else 0,
        ssl=trust,
        pins=pins,
        resolver=resolver,
        family=_FAMILIES[network.family],
        local_addr=local_addr,
        interface=interface,
    )


def _trust(settings: RunSettings) -> bool | ssl.SSLContext | Fingerprint | None:
    network = settings.network
    if network.pin is not None:
        return Fingerprint(network.pin)
    if settings.cacert is None and network.cert is None:
        return False if settings.insecure else None
    try:
        context = client_context(settings.cacert, certfile=network.cert, keyfile=network.key)
    except OSError as exc:
        named = [str(path) for path in (settings.cacert, network.cert, network.key) if path is not None]
        raise SettingsError(f"cannot load certificates from {', '.join(named)}: {exc}") from exc
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _begin(interface: str | None) -> tuple[tuple[str, int] | None, str | None]:
    """Return address and interface that connections begin at."""
    if interface is None:
        return None, None
    try:
        return (str(ip_address(interface)), 0), None
    except ValueError:
        return None, interface


def _cookies(path: Path | None) -> CookieJar:
    jar = CookieJar()
    if path is not None:
        try:
            jar.load(path)
        except OSError as exc:
            raise SettingsError(f"cannot read {path}: {(exc.strerror or str(exc)).lower()}") from exc
        except ValueError as exc:
            raise SettingsError(f"no file of cookies: {exc}") from exc
    return jar


def _save_cookies(jar: CookieJar, path: Path | None) -> None:
    if path is not None:
        try:
            jar.save(path)
        except OSError as exc:
            raise LocalFailureError(path, exc.errno) from exc
