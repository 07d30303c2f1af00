"""How a request reaches its origin: what a connection must agree in to serve the request. A value, pure.

Two requests may share a connection only when their routes have the same key. Whatever changes the way to the origin, or
who is trusted at its end, belongs into the key: a connection must never serve a request that asked for another way.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from .trust import TLSSettings
from .urls import Origin

__all__ = ["Route"]


class Route(NamedTuple):
    """The way to an origin.

    Attributes:
        key: Key of the pool: equal for what may share a connection, and for nothing else.
        origin: Where the way ends.
        tls: How TLS is spoken to the origin; None for plain octets.
    """

    key: Hashable
    origin: Origin
    tls: TLSSettings | None
