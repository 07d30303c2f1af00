"""Sessions for the two sides of a mirror, from its settings."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from fetchd.client import ClientSession

from ..sessions import open_session
from .settings import MirrorSettings

__all__ = ["open_destination"]


def open_destination(settings: MirrorSettings) -> AbstractAsyncContextManager[ClientSession]:
    """Return a session for the destinations.

    Of the run it has the bounds in time, the User-Agent, and what of the network is this machine's; everything else,
    credentials above all, is its own.

    Raises:
        SettingsError: When it is entered: the certificates cannot be loaded.
    """
    network = replace(
        settings.run.network,
        proxy=None,
        no_proxy=None,
        cert=None,
        key=None,
        pin=None,
        auth=None,
        cookies=None,
        save_cookies=None,
        low_speed=None,
    )
    own = replace(
        settings.run,
        headers=(),
        max_bytes=None,
        network=network,
        unix_socket=settings.unix_socket,
        cacert=settings.cacert,
        insecure=settings.insecure,
    )
    return open_session(own)
