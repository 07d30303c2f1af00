"""How many items of a run ended which way: counted once each, and told as values.

Lives here: the account of a run, whatever ends it. Not here: what decides an end (``run``), what is in the ledger.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .events import Snapshot, Summary
from .failures import FailureClass
from .items import Outcome, Result

if TYPE_CHECKING:
    from .scheduler import Scheduler

__all__ = ["Counts"]

_SKIPPED, _FAILED = Result.SKIPPED, Result.FAILED  # a member of an enumeration takes 50 ns to be found


class Counts:
    """The account of one run.

    Attributes:
        read: Items read from the manifest.
        done: Items done; counted by the caller, for most of a run's items end so and need nothing else.
        given_up: Items that failed, recorded or not yet.
        is_all_read: The manifest was read to its end.
        is_all_admitted: And all of it was handed to the scheduler, or has ended.
        stopped_by: As in ``Summary``.
        local_failure: As in ``Summary``.
        started_at: Monotonic seconds.
    """

    def __init__(self) -> None:
        self.read = 0
        self.done = 0
        self.given_up = 0
        self.is_all_read = False
        self.is_all_admitted = False
        self.stopped_by: str | None = None
        self.local_failure: str | None = None
        self.started_at = 0.0
        self._others: Counter[Result] = Counter()  # ends of all other kinds
        self._failures: Counter[FailureClass] = Counter()
        self._skips: Counter[str] = Counter()
        self._bound: Counter[str] = Counter()  # tenths of seconds for which a host kept slots empty

    def finish(self, outcome: Outcome) -> None:
        """Count an item that ended otherwise than done."""
        result = outcome.result
        self._others[result] += 1
        if result is _SKIPPED:
            self._skips[outcome.reason] += 1
        elif result is _FAILED and outcome.failure is not None:
            self._failures[outcome.failure.failure_class] += 1

    def note_bound(self, host: str, seconds: float) -> None:
        """Note that *host* kept slots empty for *seconds*, to the tenth."""
        self._bound[host] += round(seconds * 10)

    def snapshot(self, scheduler: Scheduler, received: int) -> Snapshot:
        """Return where the run stands.

        Args:
            scheduler: Knows what waits and what is under way.
            received: Octets of content.
        """
        others = self._others
        return Snapshot(
            read=self.read,
            done=self.done,
            skipped=others[Result.SKIPPED],
            failed=others[Result.FAILED],
            invalid=others[Result.INVALID],
            in_flight=scheduler.in_flight,
            queued=scheduler.queued,
            delayed=scheduler.delayed,
            bytes=received,
            manifest_done=self.is_all_read,
            bound_by=scheduler.bound_by(is_all_read=self.is_all_admitted),
            slow_hosts=tuple(scheduler.longest_queues(3)),
        )

    def summary(self, received: int, now: float) -> Summary:
        """Return how the run ended; *received* are octets of content, *now* monotonic seconds."""
        others = self._others
        return Summary(
            read=self.read,
            done=self.done,
            skipped=others[Result.SKIPPED],
            failed=others[Result.FAILED],
            invalid=others[Result.INVALID],
            left=self.read - self.done - sum(others.values()),
            unread=not self.is_all_read,
            bytes=received,
            seconds=now - self.started_at,
            failures=dict(self._failures),
            skip_reasons=dict(self._skips),
            stopped_by=self.stopped_by,
            local_failure=self.local_failure,
            bound_by=tuple((host, tenths / 10) for host, tenths in self._bound.most_common(1)),
        )
