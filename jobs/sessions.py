"""From settings to a session of the client, for whoever fetches as a run does. Not here: what is fetched, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Final

from fetchd.client import BaseConnector, ClientSession, TCPConnector, Timeout, UnixConnector, client_context

from .exceptions import SettingsError
from .manners import Manners
from .resolving import RunResolver
from .settings import RunSettings

__all__ = ["open_session"]

# Idle connections are worth keeping for hosts that come round again, as far as descriptors go.
_SOCKETS_PER_SLOT: Final = 2


@asynccontextmanager
async def open_session(settings: RunSettings, manners: Manners | None = None) -> AsyncIterator[ClientSession]:
    """Yield a session that asks for identity and decodes nothing; with its end its connections are closed.

    Args:
        settings: What it is made from.
        manners: Asked before what follows from a request; None for nobody in particular.

    Raises:
        SettingsError: The certificates cannot be loaded, or a field cannot be sent.
    """
    if manners is None:
        manners = Manners()
    with closing(RunResolver({}, manners.note_unanswered)) as resolver:
        async with _session(settings, manners, _connector(settings, resolver)) as session:
            yield session


def _session(settings: RunSettings, manners: Manners, connector: BaseConnector) -> ClientSession:
    headers = [("Accept-Encoding", "identity"), *settings.headers]
    if settings.user_agent is not None:
        headers.append(("User-Agent", settings.user_agent))
    try:
        return ClientSession(
            connector=connector,
            headers=headers,
            auto_decompress=False,
            max_body_bytes=settings.max_bytes,
            before_redirect=manners.before_redirect,
            trace_configs=manners.traces(),
            timeout=Timeout(
                connect=settings.connect_timeout,
                first_byte=settings.first_byte_timeout,
                idle_read=settings.idle_timeout,
                idle_write=settings.idle_timeout,
            ),
        )
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


def _connector(settings: RunSettings, resolver: RunResolver) -> BaseConnector:
    limit = settings.concurrency * _SOCKETS_PER_SLOT
    verify = False if settings.insecure else None
    try:
        context = None if settings.cacert is None else client_context(settings.cacert)
    except OSError as exc:
        raise SettingsError(f"cannot load certificates from {settings.cacert}: {exc}") from exc
    if settings.unix_socket is not None:
        return UnixConnector(str(settings.unix_socket), limit=limit, verify_ssl=verify, ssl_context=context)
    # What redirections lead to is no business of the scheduler's, so a host's sockets are counted here as well.
    return TCPConnector(
        limit=limit, limit_per_host=settings.per_host, verify_ssl=verify, ssl_context=context, resolver=resolver
    )
