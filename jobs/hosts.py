"""What one host can take: how many requests at a time, from when on, and whether it is there at all.

Sans-IO: it is told what happened and when (``now``, monotonic seconds), and answers what may start. Which
item starts is the scheduler's; what a failure means is ``failures.verdict``. A host in good health has no
`HostBudget`: the scheduler makes one when something goes wrong and drops it when all is well again.

Three things limit a host, and the strictest holds:

*Slots.* At most ``--per-host`` requests at a time. Each sign of trouble halves them (at most once a second,
since one overload fails many requests at once), each answer adds 1/slots: additive increase, multiplicative
decrease, between 1 and the limit. The rule of TCP, for its reason: it is fair, and finds the load by itself.
Signs of trouble are faults, throttling, and answers that take long because too much is asked (``latency.py``).

*The gate.* After 429 or 503 nothing starts until Retry-After has passed; without one, 1 s doubling to 60 s.

*The breaker.* A host that only fails must cost neither time nor slots, and a short outage must not fail a
hundred thousand items. So after three faults in a row one request at a time looks whether it is back, after
0.5 s doubling to 30 s; when it has failed long enough, it is given up.

    state     event                                                 next
    closed    answered                                              closed
    closed    failed: a fault, not the third in a row               closed
    closed    failing: the third fault in a row or a further one    probing
    closed    hopeless: failing for long (below)                    dead
    probing   answered                                              closed
    probing   failing                                               probing
    probing   hopeless                                              dead
    dead      answered                                              closed
    dead      hopeless                                              dead

Hopeless is a fault when a host has never answered for 8 s, counted from the start of its first request, which is
given that long and no longer (`first_contact`); where there is but one slot, it takes a second fault, for one page that
hangs is no dead host. One that has answered in this run is hopeless after 300 s of nothing but faults, four at least;
so is one whose name could not be asked for, since name servers that fail say nothing of it. A dead host still gets a
probe every 30 s if an item is there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum
from typing import Final

from .failures import Failure
from .latency import SLOW_S, LatencyWatch, Load

__all__ = ["DEAD_AFTER", "BreakerState", "HostBudget", "first_contact"]

PROBE_AFTER: Final = 3
"""Faults in a row. Two happen to a healthy host whose keep-alive connections end together."""
HOPELESS_AFTER: Final = 4
"""Faults in a row before a host that has answered can be dead: one probe at least was sent alone."""
DEAD_AFTER: Final = 8.0
"""Seconds without any answer, ever. Below 10 s, the bound that is promised, by what the last probe takes to fail."""
DEAD_AFTER_ANSWERS: Final = 300.0
"""Seconds of nothing but faults for a host that has answered: a restart or a failover takes minutes."""
DEAD_PROBE_INTERVAL: Final = 30.0
"""Seconds between probes of a dead host, if items come for it."""
PROBE_WAITS: Final = (0.5, 30.0)
"""Seconds: the first and the longest wait between two probes."""
THROTTLE_WAITS: Final = (1.0, 60.0)
"""Seconds: the first and the longest gate of a throttling host that does not say how long."""
CUT_INTERVAL: Final = 1.0
"""Seconds: slots are halved at most this often. A guess at a few round trips."""

_NEVER: Final = float("-inf")


def first_contact(limit: int) -> float:
    """Return the seconds that a host which never answered is given to connect, and as many for an answer.

    Whoever is silent for so long is dead, unless there is but one slot: then two attempts share the time.

    Args:
        limit: Most requests at a time, 1 or more.
    """
    return DEAD_AFTER if limit > 1 else DEAD_AFTER / 2.0


class BreakerState(Enum):
    """Whether requests go to a host."""

    CLOSED = "closed"
    PROBING = "probing"
    DEAD = "dead"


class _Event(Enum):
    """What the breaker is told."""

    ANSWERED = "answered"
    FAILED = "failed"
    FAILING = "failing"
    HOPELESS = "hopeless"


# The table of the module's docstring. A missing pair cannot happen, and is a loud KeyError if it does.
_TRANSITIONS: Final = {
    (BreakerState.CLOSED, _Event.ANSWERED): BreakerState.CLOSED,
    (BreakerState.CLOSED, _Event.FAILED): BreakerState.CLOSED,
    (BreakerState.CLOSED, _Event.FAILING): BreakerState.PROBING,
    (BreakerState.CLOSED, _Event.HOPELESS): BreakerState.DEAD,
    (BreakerState.PROBING, _Event.ANSWERED): BreakerState.CLOSED,
    (BreakerState.PROBING, _Event.FAILING): BreakerState.PROBING,
    (BreakerState.PROBING, _Event.HOPELESS): BreakerState.DEAD,
    (BreakerState.DEAD, _Event.ANSWERED): BreakerState.CLOSED,
    (BreakerState.DEAD, _Event.HOPELESS): BreakerState.DEAD,
}


class HostBudget:
    """The limits of one host, and what is remembered of its trouble. Not thread-safe.

    Attributes:
        state: The breaker's state; read-only for callers.
        last_failure: The last fault of the host, None while there was none.
        has_answered: Whether the host has ever answered in this run.
    """

    __slots__ = (
        "_cap",
        "_cut_at",
        "_failing_since",
        "_faults",
        "_gate_until",
        "_latency",
        "_limit",
        "_probe_at",
        "_probe_wait",
        "_rng",
        "_throttles",
        "has_answered",
        "last_failure",
        "state",
    )

    def __init__(
        self,
        limit: int,
        *,
        since: float,
        has_answered: bool = False,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """Begin with a host to which nothing has happened yet.

        Args:
            limit: Most requests at a time, 1 or more.
            since: When the first request to the host was started.
            has_answered: Whether it has answered already.
            rng: Gives a number in [0, 1), for jitter.
        """
        self.state = BreakerState.CLOSED
        self.last_failure: Failure | None = None
        self.has_answered = has_answered
        self._limit = limit
        self._rng = rng
        self._cap = float(limit)  # what additive increase and multiplicative decrease work on
        self._cut_at = _NEVER
        self._latency: LatencyWatch | None = None  # from a slow answer on, while there is something to watch
        self._faults = 0  # in a row
        self._failing_since = since
        self._probe_at = _NEVER
        self._probe_wait = 0.0  # the last wait, before jitter; 0 while the breaker is closed
        self._throttles = 0  # gates in a row
        self._gate_until = _NEVER

    @property
    def slots(self) -> int:
        """How many requests may be under way at a time."""
        return int(self._cap) if self.state is BreakerState.CLOSED else 1

    @property
    def gate_until(self) -> float:
        """Before when nothing may start because the host asked for that; a time that has passed means now."""
        return self._gate_until

    @property
    def blocked_until(self) -> float:
        """When something may start again; a time that has passed means now."""
        return max(self._gate_until, self._probe_at)

    def may_start(self, now: float, active: int) -> bool:
        """Whether a request may start while *active* others are under way."""
        return active < self.slots and now >= self.blocked_until

    def has_recovered(self, now: float) -> bool:
        """Whether nothing of the trouble is left, so that this object says no more than a new one."""
        return (
            self.state is BreakerState.CLOSED
            and self._faults == 0
            and self._throttles == 0
            and self._latency is None
            and self._cap >= self._limit
            and now >= self._gate_until
        )

    def answered(self, now: float, latency: float = 0.0) -> None:
        """Note that the host answered a request, whatever the answer was worth.

        Args:
            now: The time.
            latency: Seconds from the start of the attempt to the head of the answer; 0 where that is not known.
        """
        self._close()
        if now >= self._gate_until:  # answers to what was asked before the gate prove nothing
            self._throttles = 0
        load = Load.FINE
        if latency > SLOW_S or self._latency is not None:
            load = self._load(latency)
        if load is Load.FINE:
            self._cap = min(float(self._limit), self._cap + 1.0 / self._cap)
        elif load is Load.CONGESTED:
            self._cut(now)

    def _load(self, latency: float) -> Load:
        """Say what *latency* means, and stop watching when there is nothing left to watch."""
        if self._latency is None:
            self._latency = LatencyWatch()
        load = self._latency.answered(latency, self.slots)
        if self._latency.is_over:
            self._latency = None
        return load

    def failed(self, now: float, failure: Failure) -> None:
        """Note a fault of the host: not reached, or no answer."""
        if self._faults == 0 and self.has_answered:
            self._failing_since = now
        self._faults += 1
        self.last_failure = failure
        self._cut(now)
        self.state = _TRANSITIONS[self.state, self._event(now)]
        if self.state is BreakerState.DEAD:
            self._probe_at = now + DEAD_PROBE_INTERVAL
        elif self.state is BreakerState.PROBING and now >= self._probe_at:
            # Requests that were under way already when the breaker opened fail before the probe is due,
            # and do not put it off.
            self._put_off_probe(now)

    def throttled(self, now: float, retry_after: float | None) -> None:
        """Note that the host answered and asks for less, for *retry_after* seconds if it says so."""
        self._close()
        self._cut(now)
        wait = retry_after or 0.0
        if now >= self._gate_until:
            wait = max(wait, self._jitter(_doubled(THROTTLE_WAITS, self._throttles)))
            self._throttles += 1
        self.gate(now + wait)

    def gate(self, until: float) -> None:
        """Let nothing start before *until*; an earlier time than the one that holds changes nothing."""
        self._gate_until = max(self._gate_until, until)

    def _event(self, now: float) -> _Event:
        """Say what the fault that was just counted means for the breaker."""
        if self._faults >= self._hopeless_after and now >= self._hopeless_at:
            return _Event.HOPELESS
        return _Event.FAILING if self._faults >= PROBE_AFTER else _Event.FAILED

    @property
    def _is_given_time(self) -> bool:
        """Whether there is reason to believe in the host, or nothing to judge it by."""
        return self.has_answered or (self.last_failure is not None and self.last_failure.unasked)

    @property
    def _hopeless_after(self) -> int:
        """Faults in a row before the host can be dead."""
        if self._is_given_time:
            return HOPELESS_AFTER
        return 1 if self._limit > 1 else 2

    @property
    def _hopeless_at(self) -> float:
        """When a host that does nothing but fail is dead."""
        return self._failing_since + (DEAD_AFTER_ANSWERS if self._is_given_time else DEAD_AFTER)

    def _close(self) -> None:
        """Close the breaker: the host answers."""
        self.state = _TRANSITIONS[self.state, _Event.ANSWERED]
        self.has_answered = True
        self._faults = 0
        self._probe_at = _NEVER
        self._probe_wait = 0.0

    def _put_off_probe(self, now: float) -> None:
        """Set the time of the next probe; one is always sent when the host would be hopeless."""
        first, longest = PROBE_WAITS
        self._probe_wait = min(longest, self._probe_wait * 2.0) or first
        self._probe_at = now + self._jitter(self._probe_wait)
        if now < self._hopeless_at < self._probe_at:
            self._probe_at = self._hopeless_at

    def _cut(self, now: float) -> None:
        """Halve the slots."""
        if now - self._cut_at >= CUT_INTERVAL:
            self._cut_at = now
            self._cap = max(1.0, self._cap / 2.0)

    def _jitter(self, seconds: float) -> float:
        """Return between half of *seconds* and all of them: many hosts behind one failure come back apart."""
        return seconds * (0.5 + 0.5 * self._rng())

    def __repr__(self) -> str:
        return f"<HostBudget {self.state.value}, {self.slots} of {self._limit} slots, {self._faults} faults>"


def _doubled(bounds: tuple[float, float], times: int) -> float:
    """Return the first of *bounds* doubled *times* times, at most the second."""
    first, longest = bounds
    return min(longest, first * 2.0 ** min(times, 30))
