"""A lane: the items of one host that wait, in order, and the host's place in the scheduler. Sans-IO.

The scheduler's data structure; it decides nothing but what may start in this lane. Sums over all lanes
are the scheduler's, and so is everything that concerns more than one host.
"""

from __future__ import annotations

import heapq
from typing import Final

from .hosts import HostBudget
from .items import Item

__all__ = ["NOT_ARMED", "Lane"]

NOT_ARMED: Final = float("inf")
"""``Lane.armed_at`` of a lane that waits for no time."""


class Lane:
    """The items of one host.

    The queue is two lists, ``front`` (its beginning, last item first) and ``back`` (its end): both ends in
    constant time, and 200 octets for a host with one item where a deque takes 770. That is 56 MB in a
    window of 100,000 hosts.

    Attributes:
        host: Key of the host.
        front: First part of the queue, reversed: the next item is its last.
        back: Second part of the queue, in order.
        ranked: Heap of (minus the priority, serial, item), for items of another priority than 0; None until there is
            one.
        queued: Items in all three.
        delayed: Heap of (due, serial, item): items that wait for their next attempt; None until there is one.
        active: Items under way.
        slots: How many may be under way at a time.
        depth: How many of the queue count as supply (see the scheduler); 0 while nothing may start.
        is_ready: Whether the lane stands in the ring.
        armed_at: Time of the entry in the heap of wakes that counts, `NOT_ARMED` for none.
        budget: What limits the host; None while it has no trouble.
        has_answered: Whether the host is known to have answered.
        first_start: When its first item was started, None before.
    """

    __slots__ = (
        "active",
        "armed_at",
        "back",
        "budget",
        "delayed",
        "depth",
        "first_start",
        "front",
        "has_answered",
        "host",
        "is_ready",
        "queued",
        "ranked",
        "slots",
    )

    def __init__(self, host: str, slots: int) -> None:
        self.host = host
        self.front: list[Item] = []
        self.back: list[Item] = []
        self.ranked: list[tuple[int, int, Item]] | None = None
        self.queued = 0
        self.delayed: list[tuple[float, int, Item]] | None = None
        self.active = 0
        self.slots = slots
        self.depth = 2 * slots
        self.is_ready = False
        self.armed_at = NOT_ARMED
        self.budget: HostBudget | None = None
        self.has_answered = False
        self.first_start: float | None = None

    @property
    def waiting(self) -> int:
        """Items queued or delayed."""
        return self.queued + len(self.delayed or ())

    def may_start(self, now: float) -> bool:
        """Whether an item of this lane may start."""
        if not self.queued:
            return False
        if self.budget is not None:
            return self.budget.may_start(now, self.active)
        return self.active < self.slots

    def pop(self) -> Item:
        """Take the first item of the queue. Here and below the caller keeps the counts."""
        if self.ranked and (self.ranked[0][0] < 0 or not (self.front or self.back)):
            return heapq.heappop(self.ranked)[2]
        if not self.front:
            self.back.reverse()
            self.front, self.back = self.back, self.front
        return self.front.pop()

    def rank(self, priority: int, serial: int, item: Item) -> None:
        """Keep *item* before the queue for a *priority* above 0, else behind it; of equals the lower *serial* first."""
        if self.ranked is None:
            self.ranked = []
        heapq.heappush(self.ranked, (-priority, serial, item))

    def delay(self, due: float, serial: int, item: Item) -> None:
        """Keep *item* until *due*; of two that are due together the lower *serial* comes first."""
        if self.delayed is None:
            self.delayed = []
        heapq.heappush(self.delayed, (due, serial, item))

    def take_due(self, now: float) -> int:
        """Put the delayed items whose time has come before the queue, the earliest first; return how many."""
        due: list[Item] = []
        while self.delayed and self.delayed[0][0] <= now:
            due.append(heapq.heappop(self.delayed)[2])
        self.front += reversed(due)
        return len(due)

    def take_all(self) -> list[Item]:
        """Take everything that waits: the queue in order, then the delayed items as they would be due."""
        ranked = sorted(self.ranked or ())
        waiting = [item for priority, _, item in ranked if priority < 0]
        waiting += [*reversed(self.front), *self.back]
        waiting += [item for priority, _, item in ranked if priority > 0]
        waiting += [item for _, _, item in sorted(self.delayed or ())]
        self.front, self.back, self.delayed, self.ranked = [], [], None, None
        return waiting

    def __repr__(self) -> str:
        delayed = self.waiting - self.queued
        return f"<Lane {self.host}: {self.queued} queued, {delayed} delayed, {self.active} active>"
