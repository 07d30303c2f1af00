"""From settings to a session of the client, for whoever fetches as a run does. Not here: what is fetched, and when."""

from __future__ import annotations

from typing import Final

from fetchd.client import BaseConnector, ClientSession, TCPConnector, Timeout, UnixConnector, client_context

from .exceptions import SettingsError
from .settings import RunSettings

__all__ = ["open_session"]

# Idle connections are worth keeping for hosts that come round again, as far as descriptors go.
_SOCKETS_PER_SLOT: Final = 2


def open_session(settings: RunSettings) -> ClientSession:
    """Return a session that asks for identity and decodes nothing, and owns its connector. Call it in the loop.

    Raises:
        SettingsError: The certificates cannot be loaded, or a field cannot be sent.
    """
    headers = [("Accept-Encoding", "identity"), *settings.headers]
    if settings.user_agent is not None:
        headers.append(("User-Agent", settings.user_agent))
    connector = _connector(settings)
    try:
        return ClientSession(
            connector=connector,
            headers=headers,
            auto_decompress=False,
            max_body_bytes=settings.max_bytes,
            timeout=Timeout(
                connect=settings.connect_timeout,
                first_byte=settings.first_byte_timeout,
                idle_read=settings.idle_timeout,
                idle_write=settings.idle_timeout,
            ),
        )
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


def _connector(settings: RunSettings) -> BaseConnector:
    limit = settings.concurrency * _SOCKETS_PER_SLOT
    verify = False if settings.insecure else None
    try:
        context = None if settings.cacert is None else client_context(settings.cacert)
    except OSError as exc:
        raise SettingsError(f"cannot load certificates from {settings.cacert}: {exc}") from exc
    if settings.unix_socket is not None:
        return UnixConnector(str(settings.unix_socket), limit=limit, verify_ssl=verify, ssl_context=context)
    return TCPConnector(limit=limit, verify_ssl=verify, ssl_context=context)
