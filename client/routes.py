"""How a request reaches its origin: what a connection must agree in to serve the request. A value, pure.

Two requests may share a connection only when their routes have the same key. Whatever changes the way to the origin, or
who is trusted at its end, belongs into the key: a connection must never serve a request that asked for another way.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from .proxies import Proxy
from .trust import TLSSettings
from .urls import Origin
from .watch import Watch
from .wire import Tap

__all__ = ["Route"]


class Route(NamedTuple):
    """The way to an origin.

    Attributes:
        key: Key of the pool: equal for what may share a connection, and for nothing else.
        origin: Where the way ends.
        tls: How TLS is spoken to the origin; None for plain octets.
        proxy: What it goes through; None for nothing.
        watch: Who watches the request that goes this way, no part of the way itself; None for nobody.
        tap: Who is told of the octets, from a tunnel's first on; no part of the way either; None for nobody.
    """

    key: Hashable
    origin: Origin
    tls: TLSSettings | None
    proxy: Proxy | None = None
    watch: Watch | None = None
    tap: Tap | None = None

    @property
    def forwarding_proxy(self) -> Proxy | None:
        """The proxy that is sent the request itself, with the whole URL; None for the origin, in a tunnel or not."""
        return self.proxy if self.proxy is not None and self.proxy.forwards(self.origin) else None
