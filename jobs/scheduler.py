"""Which item starts next: a bounded window of items, fair over hosts. Sans-IO.

It holds the items that were read and are not finished, and says what may start; it does not read, fetch,
wait or count attempts. Time comes in as ``now`` (monotonic seconds). One event loop, one thread.

The problem. A manifest is often sorted by host, one host is often slow, and a plain queue in front of
64 workers then has 64 workers waiting for one host. So each host has a queue of its own here, a *lane*, and
the lanes that can start something stand in one ring that is served in turn:

    lanes     host -> lane: the host's items in order, how many are under way, its HostBudget if in trouble
    ready     ring of lanes that have an item and a free slot (at most one entry a lane)
    wakes     heap of (time, lane): when a gate, a probe or a retry is due; one entry a lane counts

`next` and `done` each touch one lane and one end of the ring, so they cost the same with one host and with
fifty thousand (a hand-off that walks the hosts, as aiohttp's does, took 824 us at 5,000). What happens only
to hosts in trouble goes through `_settle`, which looks at a lane afresh and puts it where it belongs.

What is kept. A lane lives while it has items queued, under way or delayed; then it goes, and with it
everything but the memory of trouble, and that it has answered, of at most 10,000 hosts each. So memory follows
the window, not the number of hosts seen.

How much is read. The caller adds items while `wants_more`: until twice as many items as there are slots
could start one after another, a host counting for at most twice its own slots, and not at all while it is
gated, probed or dead. From a mixed manifest that holds little more than the slots in memory; from one that is
sorted by host it reads on to the next hosts, to the window's end, and beyond with what is put aside (``read_ahead``);
`bound_by` names the host that keeps slots empty all the same.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from .events import HostChanged
from .failures import Failure, HostSign, verdict
from .host_news import Account, account_of, news_of
from .hosts import BreakerState, HostBudget
from .items import Item
from .lanes import NOT_ARMED, Lane
from .latency import SLOW_S
from .rates import Rates

__all__ = ["MAX_REMEMBERED_HOSTS", "Scheduler"]

MAX_REMEMBERED_HOSTS: Final = 10_000
"""Hosts without items whose trouble, or answering, is remembered, oldest forgotten first; some 4 MB."""


class Scheduler:
    """The window of items and the order in which they start. See the module's docstring.

    Each item goes ``add -> next -> done``, with ``retry -> next`` between as often as the caller likes, or
    ``release`` when its attempt was broken off by the caller; or, when its host turns out to be dead, it
    comes out of `take_given_up`. Nothing else leaves, and nothing comes out twice.

    Attributes:
        queued: Items that could start if a slot were free, or their host let them.
        delayed: Items that wait for the time of their next attempt.
        in_flight: Items under way.
    """

    def __init__(
        self,
        concurrency: int,
        per_host: int,
        *,
        window: int = 100_000,
        rates: Rates | None = None,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """Make an empty scheduler.

        Args:
            concurrency: Most items under way at a time, 1 or more.
            per_host: Most items of one host under way at a time, 1 or more.
            window: Items waiting beyond which `wants_more` is False.
            rates: How often items may start; each start is counted there. None for as often as slots allow.
            rng: Gives a number in [0, 1), for the jitter of probes and gates.
        """
        self.queued = 0
        self.delayed = 0
        self.in_flight = 0
        self._concurrency = concurrency
        self._per_host = per_host
        self._window = window
        self._rates = rates
        self._rng = rng
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._wakes: list[tuple[float, int, Lane]] = []
        self._remembered: OrderedDict[str, HostBudget] = OrderedDict()
        self._known: dict[str, None] = {}  # hosts without items and trouble that have answered
        self._given_up: list[tuple[Item, Failure]] = []
        self._news: list[HostChanged] = []
        self._supply = 0  # sum over the lanes of min(queued, depth)
        self._serial = itertools.count()  # breaks ties in heaps, first come first

    # --- what the caller asks

    @property
    def wants_more(self) -> bool:
        """Whether more items should be added, so that slots do not run empty. `add` never refuses."""
        return self.is_short and self.waiting < self._window

    @property
    def is_short(self) -> bool:
        """Whether slots will run empty without more items, of whatever hosts can start some."""
        return self._supply < 2 * self._concurrency

    @property
    def waiting(self) -> int:
        """Items that are held and not under way."""
        return self.queued + self.delayed

    def has_enough(self, host: str, *, least: bool = False) -> bool:
        """Whether *host* has all items that it can use, once it may start some; with *least*, whether it has any."""
        lane = self._lanes.get(host)
        return lane is not None and lane.queued >= (1 if least else lane.depth or 2 * lane.slots)

    @property
    def host_count(self) -> int:
        """Hosts that have items."""
        return len(self._lanes)

    def wake_at(self) -> float | None:
        """Return when time alone may let something start, None for never; call `next` then."""
        wakes = self._wakes
        while wakes and wakes[0][0] != wakes[0][2].armed_at:
            heapq.heappop(wakes)
        wake = wakes[0][0] if wakes else None
        if self._rates is not None and self._ready and self.in_flight < self._concurrency:
            return self._rates.ready_at if wake is None else min(wake, self._rates.ready_at)
        return wake

    def bound_by(self, *, is_all_read: bool = False) -> str | None:
        """Return the host that keeps slots empty, the one that most items wait for; None while none does.

        Args:
            is_all_read: Whether nothing more can be added; else only a window that is full says that hosts are missing.
        """
        is_bound = self.in_flight < self._concurrency if is_all_read else self.waiting >= self._window
        if not is_bound:
            return None
        longest = self.longest_queues(1)
        return longest[0][0] if longest else None

    def longest_queues(self, count: int) -> list[tuple[str, int]]:
        """Return the *count* hosts most items wait for, with the number, most first. Walks all hosts."""
        lanes = heapq.nlargest(count, self._lanes.values(), key=lambda lane: lane.waiting)
        return [(lane.host, lane.waiting) for lane in lanes if lane.waiting]

    def take_given_up(self) -> list[tuple[Item, Failure]]:
        """Return the items given up since the last call because their host is dead, each with its failure."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def take_news(self) -> list[HostChanged]:
        """Return what has changed of hosts since the last call, in order."""
        news = self._news
        if news:
            self._news = []
        return news

    # --- what the caller does

    def add(self, item: Item, now: float) -> None:
        """Put *item* (its ``host`` set) at the end of its host's queue.

        An item of a dead host is given up at once, but for one now and then that goes through as a probe.
        """
        lane = self._lanes.get(item.host)
        if lane is None:
            lane = self._new_lane(item.host)
        if lane.budget is not None:
            self._add_to_troubled(lane, item, now)
            return
        if item.extras is None:
            lane.back.append(item)
        else:
            self._enqueue(lane, item)
        if lane.queued < lane.depth:
            self._supply += 1
        lane.queued += 1
        self.queued += 1
        if not lane.is_ready and lane.active < lane.slots:
            lane.is_ready = True
            self._ready.append(lane)

    def next(self, now: float) -> Item | None:
        """Return the next item to start, which then counts as under way; None when nothing may start now.

        Hosts are served in turn, the items of a host in order.
        """
        if self._wakes and self._wakes[0][0] <= now:
            self._wake(now)
        rates = self._rates
        if self.in_flight >= self._concurrency or (rates is not None and rates.ready_at > now):
            return None
        ready = self._ready
        while ready:
            lane = ready.popleft()
            # Hot path: a lane without trouble that stands in the ring has a free slot, always.
            if not lane.queued or ((lane.budget is not None or rates is not None) and not self._may_start(lane, now)):
                lane.is_ready = False
                self._settle(lane, now)
                continue
            item = lane.pop()
            lane.active += 1
            lane.queued -= 1
            if lane.queued < lane.depth:
                self._supply -= 1
            self.queued -= 1
            self.in_flight += 1
            item.host_answered = lane.has_answered
            if lane.first_start is None:
                lane.first_start = now
            if rates is not None:
                rates.take(lane.host, now)
            if lane.queued and lane.active < lane.slots:
                ready.append(lane)
            else:
                lane.is_ready = False
            return item
        return None

    def done(self, item: Item, now: float, failure: Failure | None = None, latency: float = 0.0) -> None:
        """Take back the slot of *item*, which is finished: well, or for good with *failure*.

        Args:
            item: The item.
            now: The time.
            failure: How it failed, None when it did not.
            latency: Seconds it took from its start to the head of its answer; 0 where that is not known.
        """
        lane = self._lanes[item.host]
        lane.active -= 1
        self.in_flight -= 1
        if failure is not None or lane.budget is not None or latency > SLOW_S:
            self._note(lane, now, failure, latency)
            self._settle(lane, now)
            return
        lane.has_answered = True
        if lane.is_ready:
            return
        if lane.queued:
            lane.is_ready = True
            self._ready.append(lane)
        elif not lane.active and not lane.delayed:
            self._drop(lane)

    def retry(self, item: Item, now: float, failure: Failure, delay: float) -> None:
        """Take back the slot of *item*, whose attempt failed, and keep it for another attempt.

        It comes back *delay* seconds from now before the items that wait, since it is the older one. While
        its host is probed it goes behind them instead, without delay: the host is what is waited for, and
        the next probe should be another item. When its host is dead, it is given up with *failure*.
        """
        lane = self._lanes[item.host]
        lane.active -= 1
        self.in_flight -= 1
        self._note(lane, now, failure)
        state = BreakerState.CLOSED if lane.budget is None else lane.budget.state
        if state is BreakerState.DEAD:
            self._given_up.append((item, failure))
        elif state is BreakerState.PROBING:
            lane.back.append(item)
            self._count(lane, lane.queued + 1, lane.depth)
        else:
            lane.delay(now + delay, next(self._serial), item)
            self.delayed += 1
        self._settle(lane, now)

    def move(self, item: Item, host: str, now: float, failure: Failure, delay: float) -> None:
        """Take back the slot of *item*, whose attempt failed, and keep it for one at *host* in *delay* seconds."""
        self.done(item, now, failure)
        item.host = host
        lane = self._lanes.get(host) or self._new_lane(host)
        if delay <= 0 or lane.budget is not None:
            self.add(item, now)
            return
        lane.delay(now + delay, next(self._serial), item)
        self.delayed += 1
        self._settle(lane, now)

    def release(self, item: Item, now: float) -> None:
        """Take back the slot of *item*, whose attempt the caller broke off: no sign of the host."""
        lane = self._lanes[item.host]
        lane.active -= 1
        self.in_flight -= 1
        self._settle(lane, now)

    def postpone(self, item: Item, now: float) -> None:
        """Take back the slot of *item*, which was not attempted, and put it behind the items of its host that wait."""
        lane = self._lanes[item.host]
        lane.active -= 1
        self.in_flight -= 1
        lane.back.append(item)
        self._count(lane, lane.queued + 1, lane.depth)
        self._settle(lane, now)

    def borrow(self, host: str, now: float) -> bool:
        """Take a slot for one more connection to *host*, if no item could have it; whether there is one.

        Its requests are counted by who sends them.
        """
        lane = self._lanes.get(host)
        if lane is None or lane.queued or self._ready or self.in_flight >= self._concurrency:
            return False
        budget = lane.budget
        may = lane.active < lane.slots if budget is None else budget.may_start(now, lane.active)
        if may:
            lane.active += 1
            self.in_flight += 1
        return may

    def repay(self, host: str, now: float) -> None:
        """Give back what was borrowed."""
        lane = self._lanes[host]
        lane.active -= 1
        self.in_flight -= 1
        self._settle(lane, now)

    def note(self, host: str, failure: Failure, now: float) -> None:
        """Write into the account of *host*, of which something is under way, how a further request has failed."""
        lane = self._lanes[host]
        self._note(lane, now, failure)
        self._settle(lane, now)

    def gate_host(self, host: str, until: float, now: float) -> None:
        """Let nothing of *host* start before *until* (Retry-After on an answer that is no failure)."""
        lane = self._lanes.get(host)
        if lane is None:
            budget = self._remembered.get(host) or HostBudget(
                self._per_host, since=now, has_answered=True, rng=self._rng
            )
            before = account_of(budget)
            budget.gate(until)
            self._remember(host, budget)
            self._tell(host, before, budget, now)
            return
        before = account_of(lane.budget)
        budget = self._budget_of(lane, now)
        budget.gate(until)
        self._tell(host, before, budget, now)
        self._settle(lane, now)

    # --- hosts in trouble

    def _note(self, lane: Lane, now: float, failure: Failure | None, latency: float = 0.0) -> None:
        """Write into the host's account how an attempt ended; give up the lane when the host is dead."""
        before = account_of(lane.budget)
        sign = HostSign.ANSWERED if failure is None else verdict(failure).sign
        if sign is HostSign.SILENT:
            sign = HostSign.NONE if lane.has_answered else HostSign.AT_FAULT
        retry_after = None if failure is None or failure.of_sink else failure.retry_after
        if failure is not None and sign is HostSign.AT_FAULT:
            budget = self._budget_of(lane, now)
            budget.failed(now, failure)
            if budget.state is BreakerState.DEAD:
                self._give_up(lane, failure)
        elif sign is HostSign.THROTTLING:
            self._budget_of(lane, now).throttled(now, retry_after)
        elif sign is HostSign.ANSWERED and (lane.budget is not None or latency > SLOW_S):
            self._budget_of(lane, now).answered(now, latency)
        if retry_after:
            self._budget_of(lane, now).gate(now + retry_after)
        lane.has_answered = lane.has_answered or sign in (HostSign.ANSWERED, HostSign.THROTTLING)
        if lane.budget is not None:
            self._tell(lane.host, before, lane.budget, now, failure)

    def _tell(self, host: str, before: Account, budget: HostBudget, now: float, failure: Failure | None = None) -> None:
        """Keep for `take_news` what has changed."""
        self._news += news_of(host, before, account_of(budget), now, failure)

    def _enqueue(self, lane: Lane, item: Item) -> None:
        """Put *item* where its priority wants it; the caller keeps the counts."""
        priority = 0 if item.extras is None else item.extras.priority
        if priority:
            lane.rank(priority, next(self._serial), item)
        else:
            lane.back.append(item)

    def _add_to_troubled(self, lane: Lane, item: Item, now: float) -> None:
        """Add an item to a lane that has a budget."""
        budget = lane.budget
        assert budget is not None  # the caller has looked
        is_dead = budget.state is BreakerState.DEAD
        if is_dead and (lane.queued or not budget.may_start(now, lane.active)):
            self._given_up.append((item, _not_attempted(item, budget.last_failure)))
        else:
            self._enqueue(lane, item)
            self._count(lane, lane.queued + 1, lane.depth)
        self._settle(lane, now)

    def _give_up(self, lane: Lane, failure: Failure) -> None:
        """Give up all items of *lane* that wait."""
        self.delayed -= lane.waiting - lane.queued
        self._count(lane, 0, 0)
        waiting = lane.take_all()
        self._given_up += [(item, _not_attempted(item, failure)) for item in waiting]

    def _wake(self, now: float) -> None:
        """Look afresh at the lanes whose time has come."""
        wakes = self._wakes
        while wakes and wakes[0][0] <= now:
            when, _, lane = heapq.heappop(wakes)
            if when == lane.armed_at:  # else the lane was dropped, or armed for another time since
                lane.armed_at = NOT_ARMED
                due = lane.take_due(now)
                self.delayed -= due
                self._count(lane, lane.queued + due, lane.depth)
                self._settle(lane, now)

    def _settle(self, lane: Lane, now: float) -> None:
        """Put *lane* where it belongs: into the ring, under a wake, or away."""
        budget = lane.budget
        if budget is not None and budget.has_recovered(now):
            budget = lane.budget = None
        lane.slots = self._per_host if budget is None else budget.slots
        blocked_until = 0.0 if budget is None else budget.blocked_until
        if self._rates is not None:
            blocked_until = max(blocked_until, self._rates.host_ready_at(lane.host))
        is_open = (budget is None or budget.state is BreakerState.CLOSED) and blocked_until <= now
        self._count(lane, lane.queued, 2 * lane.slots if is_open else 0)
        if self._may_start(lane, now):
            if not lane.is_ready:
                lane.is_ready = True
                self._ready.append(lane)
        elif lane.queued and blocked_until > now:
            self._arm(lane, blocked_until)
        if lane.delayed:
            self._arm(lane, lane.delayed[0][0])
        elif not lane.queued and not lane.active:
            self._drop(lane)

    def _may_start(self, lane: Lane, now: float) -> bool:
        """Whether an item of *lane* may start, by its slots, its host's trouble and its host's rate."""
        return lane.may_start(now) and (self._rates is None or self._rates.host_ready_at(lane.host) <= now)

    def _count(self, lane: Lane, queued: int, depth: int) -> None:
        """Set the lane's counts, and the sums over all lanes with them."""
        self._supply += min(queued, depth) - min(lane.queued, lane.depth)
        self.queued += queued - lane.queued
        lane.queued = queued
        lane.depth = depth

    def _arm(self, lane: Lane, when: float) -> None:
        """Make sure that *lane* is looked at when the time is *when*."""
        if when >= lane.armed_at:
            return
        lane.armed_at = when
        heapq.heappush(self._wakes, (when, next(self._serial), lane))
        if len(self._wakes) > 2 * len(self._lanes) + 64:
            # In place: `_wake` may be in the midst of it.
            self._wakes[:] = [wake for wake in self._wakes if wake[0] == wake[2].armed_at]
            heapq.heapify(self._wakes)

    # --- lanes come and go

    def _new_lane(self, host: str) -> Lane:
        """Make a lane, with what is remembered of its host."""
        lane = self._lanes[host] = Lane(host, self._per_host)
        budget = self._remembered.pop(host, None) if self._remembered else None
        if budget is not None:
            lane.budget = budget
            lane.has_answered = budget.has_answered
        elif host in self._known:
            lane.has_answered = True
        return lane

    def _drop(self, lane: Lane) -> None:
        """Forget a lane that has nothing, but not the trouble of its host."""
        if self._lanes.get(lane.host) is not lane:
            return  # emptied and dropped while it stood in the ring; the host may have a new lane
        del self._lanes[lane.host]
        lane.armed_at = NOT_ARMED
        if lane.budget is not None:
            self._remember(lane.host, lane.budget)
        elif lane.has_answered:
            self._known[lane.host] = None
            if len(self._known) > MAX_REMEMBERED_HOSTS:
                del self._known[next(iter(self._known))]

    def _remember(self, host: str, budget: HostBudget) -> None:
        """Keep the account of a host without items, and forget the oldest one too many."""
        self._remembered[host] = budget
        self._remembered.move_to_end(host)
        if len(self._remembered) > MAX_REMEMBERED_HOSTS:
            self._remembered.popitem(last=False)

    def _budget_of(self, lane: Lane, now: float) -> HostBudget:
        """Return the lane's budget, made when it has none."""
        if lane.budget is None:
            since = now if lane.first_start is None else lane.first_start
            lane.budget = HostBudget(self._per_host, since=since, has_answered=lane.has_answered, rng=self._rng)
        return lane.budget

    def __repr__(self) -> str:
        return (
            f"<Scheduler {self.queued} queued, {self.delayed} delayed, {self.in_flight} in flight, "
            f"{len(self._lanes)} hosts>"
        )


def _not_attempted(item: Item, failure: Failure | None) -> Failure:
    """Return the failure of an item that is given up for its host's sake."""
    assert failure is not None  # a host is dead only by failures
    again = " again" if item.attempts or item.throttles else ""
    return Failure(failure.failure_class, f"not attempted{again}: the host does not answer ({failure.message})")
