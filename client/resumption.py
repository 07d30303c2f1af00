"""TLS sessions to be resumed: the second connection of a route spares the certificates and, in TLS 1.2, a round trip.

Theory of operation. What a session can be resumed by comes with the handshake in TLS 1.2 (RFC 5246 section 7.3, RFC
5077), but after it in TLS 1.3 (RFC 8446 section 4.6.1), with or behind the first response. So it is taken as late as
can be: from a connection of the route that is open when another one is made, or from one when it is closed.

A session stands for the verification that was done when it began. Hence it is kept for its route, whose key holds all
that decided it (origin, context, pin, name), and is offered to no other. A ticket may be used more than once, by which
who listens on the way can tell that the connections are one client's (RFC 8446 appendix C.4); so can he by addresses.
"""

from __future__ import annotations

import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Protocol

__all__ = ["Resumption", "TLSSessions"]

# About 8 KiB each with the certificates. A guess: hosts that are come back to within the hour.
MAX_SESSIONS: Final = 256
# RFC 8446 section 4.6.1 allows seven days; RFC 5077 leaves it to the server. Servers change keys daily or sooner.
MAX_AGE_S: Final = 3600.0


class Holder(Protocol):
    """An open connection that speaks TLS."""

    def tls_session(self) -> ssl.SSLSession | None: ...


class TLSSessions:
    """The sessions of a connector: at most 256, the one not used longest goes first.

    Args:
        max_sessions: How many are kept of connections that are closed.
        clock: Monotonic seconds.
    """

    def __init__(self, *, max_sessions: int = MAX_SESSIONS, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_sessions = max_sessions
        self._clock = clock
        self._open: dict[Hashable, Holder] = {}  # the connection of each route that was opened last, if it is open
        self._kept: OrderedDict[Hashable, tuple[ssl.SSLSession, float]] = OrderedDict()  # session, good until

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, key: Hashable) -> Resumption:
        """The sessions of one route."""
        return Resumption(self, key)

    def clear(self) -> None:
        """Forget all."""
        self._open.clear()
        self._kept.clear()


class Resumption:
    """What a connection of one route does about sessions."""

    __slots__ = ("_key", "_sessions")

    def __init__(self, sessions: TLSSessions, key: Hashable) -> None:
        self._sessions = sessions
        self._key = key

    def offer(self) -> ssl.SSLSession | None:
        """A session for a new connection; None when there is none."""
        sessions, key = self._sessions, self._key
        holder = sessions._open.get(key)
        session = None if holder is None else holder.tls_session()
        if session is not None and _is_resumable(session):
            return session
        session, good_until = sessions._kept.get(key, (None, 0.0))
        if session is None or good_until > sessions._clock():
            return session
        del sessions._kept[key]
        return None

    def opened(self, holder: Holder) -> None:
        """A connection of the route is open; tell ``closing`` before it is not."""
        self._sessions._open[self._key] = holder

    def closing(self, holder: Holder) -> None:
        """The connection is going to be closed: keep what it has."""
        sessions, key = self._sessions, self._key
        if sessions._open.get(key) is holder:
            del sessions._open[key]
        session = holder.tls_session()
        if session is None or not _is_resumable(session):
            return
        lifetime = session.ticket_lifetime_hint or session.timeout
        sessions._kept[key] = (session, sessions._clock() + min(lifetime, MAX_AGE_S))
        sessions._kept.move_to_end(key)
        while len(sessions._kept) > sessions._max_sessions:
            sessions._kept.popitem(last=False)

    def forget(self) -> None:
        """A handshake failed: whatever was offered is not offered again."""
        self._sessions._kept.pop(self._key, None)


def _is_resumable(session: ssl.SSLSession) -> bool:
    return session.has_ticket or bool(session.id)
