"""Which connection serves which request: a plan, synchronous, without I/O and without a clock of its own.

Theory of operation
-------------------
Every origin (a *key*) has a stack of idle connections and a queue of waiters. A connection that becomes free is handed
to a waiter directly; nobody is woken to compete for it. Origins that have waiters and may open one more connection
stand in a ring, so that a slot that becomes free goes to each of them in turn.

The naive way, a scan over all waiting origins on every release, costs aiohttp 1.8 us with 10 of them and 824 us with
5,000. Here every operation is O(1) whatever their number.

One budget counts every open socket: being connected, in use, idle. When it is spent and an origin needs a new
connection, the idle one that has waited longest, of whatever origin, gives way.

Fairness. Within an origin, first come first served. Between origins that wait for a slot of a spent budget: an origin
whose connection becomes free keeps it for at most TURN further requests of its own while others wait, then its slot
goes to the next origin of the ring. Passing it on every time would be fairer by a few requests and would make
a connection for every one of them; never passing it on would starve the others for as long as the origin has work.

Who calls: the connector. ``discard`` is called for a connection that must be closed; it must not call back in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

__all__ = ["Grant", "Pool", "Waiter"]

# Requests an origin may serve on a connection while other origins wait for its slot. A connection costs about ten
# requests of 1 KiB on loopback and more over a network, so that at 16 the swap costs less than half of the work.
TURN: Final = 16


class Grant(Enum):
    """What a request got that got no connection."""

    OPEN = "open"  # a slot: the caller makes a new connection and owns the slot until it calls opened() or freed()
    WAIT = "wait"  # nothing yet


C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)


class Waiter(Protocol[C_contra]):
    """A request that waits. ``grant`` is called once, with a connection or ``Grant.OPEN``."""

    def grant(self, what: C_contra | Grant) -> None: ...


class _Origin(Generic[C]):
    """What the pool knows of one key. Forgotten when there is nothing to know."""

    __slots__ = ("idle", "key", "open_count", "turn", "waiters")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.idle: dict[C, None] = {}  # insertion order: popitem() is the one used last
        self.waiters: OrderedDict[Waiter[C], None] = OrderedDict()
        self.open_count = 0  # being connected, in use and idle
        self.turn = 0  # requests served in a row while other origins waited for a slot


class Pool(Generic[C]):
    """Slots for connections and who uses them.

    Args:
        limit: Open sockets in all; 0 is no bound.
        limit_per_host: Open sockets for each key; 0 is no bound.
        discard: Called with a connection that is to be closed because its slot is needed or it is too many.
    """

    def __init__(self, limit: int, limit_per_host: int, discard: Callable[[C], object]) -> None:
        self._limit = limit
        self._limit_per_host = limit_per_host
        self._discard = discard
        self._origins: dict[Hashable, _Origin[C]] = {}
        self._idle: OrderedDict[C, _Origin[C]] = OrderedDict()  # all of them, the one idle longest first
        self._ring: OrderedDict[_Origin[C], None] = OrderedDict()  # runnable origins, the next one first
        self.open_count = 0
        self.waiting_count = 0

    def __repr__(self) -> str:
        active = self.open_count - len(self._idle)
        return f"<Pool {active} active, {len(self._idle)} idle, {self.waiting_count} waiting>"

    @property
    def idle_count(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    def lower_limit(self, limit: int) -> None:
        """Bound the open sockets by *limit* if that is less than what bounds them already."""
        if not self._limit or limit < self._limit:
            self._limit = limit

    # A request comes.

    def take_idle(self, key: Hashable) -> C | None:
        """Take the idle connection of *key* that was used last; None when there is none."""
        origin = self._origins.get(key)
        if origin is None or not origin.idle:
            return None
        connection = origin.idle.popitem()[0]
        del self._idle[connection]
        return connection

    def take_slot(self, key: Hashable) -> Grant:
        """Take a slot for a new connection to *key*: ``OPEN``, or ``WAIT`` when the limits are reached.

        Nobody is overtaken: while others wait for what is asked here, the answer is ``WAIT``.
        """
        origin = self._origins.get(key)
        if origin is not None and (origin.waiters or not self._below_host_limit(origin)):
            return Grant.WAIT
        if not self._has_free_slot() and (self._ring or not self._evict_oldest_idle()):
            return Grant.WAIT
        origin = self._origins.get(key)  # what gave way may have been the last that was known of it
        if origin is None:
            origin = self._origins[key] = _Origin(key)
        origin.open_count += 1
        self.open_count += 1
        return Grant.OPEN

    def replace_idle(self, key: Hashable) -> Grant:
        """Take a slot for a connection known to be fresh, in the place of an idle one of *key* if there is one."""
        connection = self.take_idle(key)
        if connection is None:
            return self.take_slot(key)
        self._discard(connection)
        return Grant.OPEN

    def enqueue(self, key: Hashable, waiter: Waiter[C]) -> None:
        """Let *waiter* wait for *key*, behind those who wait already. Call it after ``WAIT``."""
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = _Origin(key)
        origin.waiters[waiter] = None
        self.waiting_count += 1
        self._mark_runnable(origin)

    def withdraw(self, key: Hashable, waiter: Waiter[C]) -> None:
        """Forget *waiter*, which has been granted nothing."""
        origin = self._origins[key]
        del origin.waiters[waiter]
        self._one_waits_less(origin)
        self._forget_if_empty(origin)

    # A connection becomes free.

    def put_idle(self, key: Hashable, connection: C) -> bool:
        """Give back *connection*, fit for another request. True if it stays open."""
        origin = self._origins[key]
        others_wait = bool(self._ring) and len(self._ring) > (origin in self._ring)
        if others_wait and not self._has_free_slot() and (not origin.waiters or origin.turn >= TURN):
            self._discard(connection)
            self._ring.pop(origin, None)  # it had its turn: others first, even if it stood there before them
            self.freed(key)
            return False
        if origin.waiters:
            origin.turn = origin.turn + 1 if others_wait else 0
            self._next_waiter(origin).grant(connection)
        else:
            origin.idle[connection] = None
            self._idle[connection] = origin
        return True

    def freed(self, key: Hashable) -> None:
        """Give back a slot: its connection was closed, or was never made."""
        origin = self._origins[key]
        origin.open_count -= 1
        origin.turn = 0
        self.open_count -= 1
        self._mark_runnable(origin)
        self._serve_ring()
        self._forget_if_empty(origin)

    def remove_idle(self, key: Hashable, connection: C) -> None:
        """Take out an idle *connection* that was closed (by its peer, or for its age), and free its slot."""
        del self._idle[connection]
        del self._origins[key].idle[connection]
        self.freed(key)

    def holds_idle(self, connection: C) -> bool:
        """Whether *connection* waits here for a request."""
        return connection in self._idle

    def oldest_idle(self) -> C | None:
        """The connection that is idle longest; None when none is."""
        return next(iter(self._idle), None)

    # Inside.

    def _has_free_slot(self) -> bool:
        return not self._limit or self.open_count < self._limit

    def _below_host_limit(self, origin: _Origin[C]) -> bool:
        return not self._limit_per_host or origin.open_count < self._limit_per_host

    def _evict_oldest_idle(self) -> bool:
        if not self._idle:
            return False
        connection, owner = self._idle.popitem(last=False)
        del owner.idle[connection]
        owner.open_count -= 1
        self.open_count -= 1
        self._discard(connection)
        self._forget_if_empty(owner)
        return True

    def _next_waiter(self, origin: _Origin[C]) -> Waiter[C]:
        waiter, _ = origin.waiters.popitem(last=False)
        self._one_waits_less(origin)
        return waiter

    def _one_waits_less(self, origin: _Origin[C]) -> None:
        self.waiting_count -= 1
        if not origin.waiters:
            self._ring.pop(origin, None)

    def _mark_runnable(self, origin: _Origin[C]) -> None:
        """Put *origin* at the end of the ring if it can use a slot and does not stand there yet."""
        if origin.waiters and self._below_host_limit(origin):
            self._ring.setdefault(origin)

    def _serve_ring(self) -> None:
        """Hand free slots to the origins of the ring, one each in turn."""
        while self._ring and self._has_free_slot():
            origin, _ = self._ring.popitem(last=False)
            origin.open_count += 1
            self.open_count += 1
            waiter = self._next_waiter(origin)
            self._mark_runnable(origin)
            waiter.grant(Grant.OPEN)

    def _forget_if_empty(self, origin: _Origin[C]) -> None:
        if not origin.open_count and not origin.waiters:
            self._origins.pop(origin.key, None)
