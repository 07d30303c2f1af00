"""What the hosts that are sent to can take: as many uploads at a time, a gate, a breaker each.

The scheduler keeps the hosts that are fetched from, by what attempts tell of them; this keeps the others by the same
rules (``hosts.HostBudget``). Who waits here holds a slot of the source's host meanwhile, which items for other
destinations could use. So nobody waits for long: a moment for a place among the uploads of a host that is well, then
the item is put off and the slot is another's. Where a gate or a probe is waited for the item is put off at once, and
comes again when that is over; where the host is dead it fails at once.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from ..attempts import AttemptFailedError
from ..exceptions import SettingsError
from ..failures import Failure, FailureClass, HostSign, verdict
from ..hosts import BreakerState, HostBudget

__all__ = ["Destinations"]

MAX_REMEMBERED: Final = 10_000
"""Hosts without uploads whose trouble is remembered, oldest forgotten first."""
PATIENCE_S: Final = 1.0
"""Seconds for which a place is waited for; then the item goes behind those that wait."""
_PROBE_S: Final = 0.5
"""Seconds until an item comes again that found a probe under way."""


class _Lane:
    """One host: uploads under way, who waits for a place, and its account when it is in trouble.

    ``woken`` are those that wait no longer and have not looked yet.
    """

    __slots__ = ("active", "budget", "has_answered", "since", "waiting", "woken")

    def __init__(self, since: float) -> None:
        self.active = 0
        self.budget: HostBudget | None = None
        self.has_answered = False
        self.since = since
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.woken = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody uses it, or is about to."""
        return not (self.active or self.waiting or self.woken)


class Destinations:
    """The hosts of the destinations. One event loop, one thread.

    Args:
        limit: Uploads under way at a time to one host, 1 or more.
        clock: Monotonic seconds.
        rng: Gives a number in [0, 1), for jitter.
    """

    def __init__(self, limit: int, clock: Callable[[], float], rng: Callable[[], float] = random.random) -> None:
        if limit < 1:
            raise SettingsError(f"uploads to one host are {limit}; expected 1 or more")
        self._limit = limit
        self._clock = clock
        self._rng = rng
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()

    async def enter(self, host: str) -> None:
        """Wait for a place among the uploads to *host*; ``leave`` gives it back.

        Raises:
            AttemptFailedError: Nothing may be sent there now: put off, or final when the host is dead.
        """
        due = self._clock() + PATIENCE_S
        lane = self._lanes.get(host)
        if lane is None:
            lane = self._lanes[host] = _Lane(self._clock())
            self._forget()
        try:
            while not self._may_start(lane, host):
                await self._wait(lane, host, due)
        except BaseException:
            self._settle(lane, host)
            raise
        lane.active += 1

    async def _wait(self, lane: _Lane, host: str, due: float) -> None:
        """Wait until it is worth another look.

        Raises:
            AttemptFailedError: It was not until *due*.
        """
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.append(place)
        is_broken_off = True
        try:
            await asyncio.wait((place,), timeout=max(0.0, due - self._clock()))
            is_broken_off = False
        finally:
            if not place.done():
                lane.waiting.remove(place)
            else:
                lane.woken -= 1
                if is_broken_off:
                    self._wake(lane)
        if not place.done():
            raise self._put_off(host, 0.0)

    def _settle(self, lane: _Lane, host: str) -> None:
        """Forget a host of which there is nothing to know."""
        if lane.is_idle and lane.budget is None and self._lanes.get(host) is lane:
            del self._lanes[host]

    def _may_start(self, lane: _Lane, host: str) -> bool:
        budget, now = lane.budget, self._clock()
        if budget is None:
            return lane.active < self._limit
        if budget.may_start(now, lane.active):
            return True
        wait = budget.blocked_until - now
        if budget.state is BreakerState.CLOSED and wait <= 0:
            return False  # a place is what is missing
        failure = budget.last_failure
        if budget.state is BreakerState.DEAD:
            assert failure is not None, "a host is dead only by failures"
            message = f"not attempted: the destination does not answer ({failure.message})"
            raise AttemptFailedError(Failure(failure.failure_class, message, of_sink=True), is_final=True)
        raise self._put_off(host, max(wait, _PROBE_S))

    def _put_off(self, host: str, delay: float) -> AttemptFailedError:
        held_up = Failure(FailureClass.CONNECT, f"the destination {host} is not sent to now", of_sink=True)
        return AttemptFailedError(held_up, delay=delay)

    def leave(self, host: str, failure: Failure | None) -> tuple[bool, float | None]:
        """Give a place back.

        Args:
            host: As for ``enter``.
            failure: How the attempt ended; None for well. One of the source tells nothing of this host.

        Returns:
            Of a host that does not answer: whether it is dead, and the seconds until it is asked again, so that items
            come for its probes and it is soon known to be dead or back. False and None else.
        """
        lane = self._lanes[host]
        lane.active -= 1
        if failure is None or failure.of_sink:
            self._note(lane, failure)
        self._wake(lane)
        self._settle(lane, host)
        budget = lane.budget
        if failure is None or not failure.of_sink or budget is None or budget.state is BreakerState.CLOSED:
            return False, None
        return budget.state is BreakerState.DEAD, max(0.0, budget.blocked_until - self._clock())

    def _note(self, lane: _Lane, failure: Failure | None) -> None:
        now = self._clock()
        sign = HostSign.ANSWERED if failure is None else verdict(failure._replace(of_sink=False)).sign
        if sign is HostSign.SILENT:
            sign = HostSign.NONE if lane.has_answered else HostSign.AT_FAULT
        if failure is not None and sign is HostSign.AT_FAULT:
            self._budget_of(lane).failed(now, failure)
        elif failure is not None and sign is HostSign.THROTTLING:
            self._budget_of(lane).throttled(now, failure.retry_after)
        elif sign is HostSign.ANSWERED and lane.budget is not None:
            lane.budget.answered(now)
        if failure is not None and failure.retry_after:
            self._budget_of(lane).gate(now + failure.retry_after)
        lane.has_answered = lane.has_answered or sign in (HostSign.ANSWERED, HostSign.THROTTLING)
        if lane.budget is not None and lane.budget.has_recovered(now):
            lane.budget = None

    def _budget_of(self, lane: _Lane) -> HostBudget:
        if lane.budget is None:
            lane.budget = HostBudget(self._limit, since=lane.since, has_answered=lane.has_answered, rng=self._rng)
        return lane.budget

    def _wake(self, lane: _Lane) -> None:
        """Let the next one look again: all of them, when what they wait for is no longer a place."""
        slots = self._limit if lane.budget is None else lane.budget.slots
        is_open = lane.budget is None or lane.budget.blocked_until <= self._clock()
        count = max(0, slots - lane.active - lane.woken) if is_open else len(lane.waiting)
        while lane.waiting and count:
            place = lane.waiting.popleft()
            place.set_result(None)
            lane.woken += 1
            count -= 1

    def _forget(self) -> None:
        if len(self._lanes) <= MAX_REMEMBERED:
            return
        for host, lane in self._lanes.items():
            if lane.is_idle:
                del self._lanes[host]
                return
