"""The account of a run: every item read has one end, or is left."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.counts import Counts
from fetchd.jobs.failures import Failure, FailureClass
from fetchd.jobs.items import Item, Outcome, Result
from fetchd.jobs.scheduler import Scheduler

ITEM = Item("http://h/a", 1, None, "http", "h:80", "h/a")
REFUSED = Outcome(ITEM, Result.FAILED, Failure(FailureClass.CONNECT, "refused"))
ABSENT = Outcome(ITEM, Result.FAILED, Failure(FailureClass.HTTP_4XX, "404"))
TWICE = Outcome(ITEM, Result.SKIPPED, reason="duplicate")
NO_URL = Outcome(ITEM, Result.INVALID)


@given(st.lists(st.sampled_from([REFUSED, ABSENT, TWICE, NO_URL])), st.integers(0, 9), st.integers(0, 9))
def test_a_summary_adds_up_whatever_has_ended(ends: Sequence[Outcome], done: int, left: int) -> None:
    counts = Counts()
    counts.read, counts.done = len(ends) + done + left, done
    for outcome in ends:
        counts.finish(outcome)
    summary = counts.summary(0, 0.0)
    assert summary.adds_up
    assert summary.left == left
    assert sum(summary.failures.values()) == summary.failed == ends.count(REFUSED) + ends.count(ABSENT)
    assert sum(summary.skip_reasons.values()) == summary.skipped == ends.count(TWICE)
    assert summary.invalid == ends.count(NO_URL)


def test_what_was_not_read_to_its_end_is_called_unread() -> None:
    counts = Counts()
    assert counts.summary(0, 0.0).unread
    counts.is_all_read = True
    assert not counts.summary(0, 0.0).unread


def test_a_summary_names_the_host_that_kept_slots_empty_longest() -> None:
    counts = Counts()
    assert counts.summary(0, 0.0).bound_by == ()
    for host, seconds in (("a:80", 0.5), ("b:80", 2.0), ("a:80", 0.5)):
        counts.note_bound(host, seconds)
    assert counts.summary(0, 0.0).bound_by == (("b:80", 2.0),)


def test_a_host_binds_a_run_that_has_nothing_more_to_add_and_slots_to_spare() -> None:
    scheduler, counts = Scheduler(2, 1, window=100), Counts()
    for number in range(2):
        scheduler.add(Item(f"http://h/{number}", number, None, "http", "h:80", f"h/{number}"), 0.0)
    assert scheduler.next(0.0) is not None
    assert counts.snapshot(scheduler, 7).bound_by is None
    counts.is_all_admitted = True
    snapshot = counts.snapshot(scheduler, 7)
    assert snapshot.bound_by == "h:80"
    assert (snapshot.in_flight, snapshot.queued, snapshot.bytes) == (1, 1, 7)
    assert snapshot.slow_hosts == (("h:80", 1),)
