"""Events: values only; the summary that adds up."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs import events
from fetchd.jobs.events import (
    Event,
    HostChanged,
    HostStanding,
    ItemFinished,
    ItemRetried,
    ItemStarted,
    Progress,
    RunFinished,
    RunStarted,
    Snapshot,
    Summary,
)
from fetchd.jobs.items import Failure, FailureClass, Item, Outcome, Result

COUNT = st.integers(0, 10**9)


@given(COUNT, COUNT, COUNT, COUNT, COUNT)
def test_a_summary_adds_up_when_every_item_is_in_one_place(
    done: int, skipped: int, failed: int, invalid: int, left: int
) -> None:
    """read = done + skipped + failed + invalid + left, and one more or less does not."""
    parts = done + skipped + failed + invalid + left
    for read, adds_up in ((parts, True), (parts + 1, False)):
        summary = Summary(read=read, done=done, skipped=skipped, failed=failed, invalid=invalid, left=left)
        assert summary.adds_up is adds_up


def test_an_empty_run_adds_up() -> None:
    """Nothing read, nothing anywhere."""
    summary = Summary()
    assert summary.adds_up
    assert (summary.stopped_by, summary.local_failure, summary.unread) == (None, None, False)
    assert (dict(summary.failures), dict(summary.skip_reasons)) == ({}, {})


def test_the_counts_that_all_empty_summaries_share_cannot_be_written() -> None:
    """Nobody fills the default of another."""
    with pytest.raises(TypeError):
        Summary().failures[FailureClass.DNS] = 1  # type: ignore[index]  # which is what is tested


ITEM = Item("http://h/a", 1)
EVENTS: list[Event] = [
    RunStarted(Path("downloads")),
    ItemStarted(ITEM),
    ItemRetried(ITEM, Failure(FailureClass.DNS, "cannot resolve h"), 0.5, 12.0),
    ItemFinished(Outcome(ITEM, Result.DONE, size=3)),
    HostChanged("h:80", HostStanding.WAITS, 2.0, "status 429"),
    Progress(Snapshot(read=1, in_flight=1, slow_hosts=(("h:80", 7),))),
    RunFinished(Summary(read=1, done=1)),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_are_frozen_and_slotted(event: Event) -> None:
    """A receiver may keep one; it cannot change what another receiver sees."""
    assert not hasattr(event, "__dict__")
    with pytest.raises(AttributeError):
        setattr(event, event._fields[0], None)


def test_the_union_names_every_event() -> None:
    """A receiver that handles each member of the union has handled everything."""
    assert {type(event) for event in EVENTS} == set(get_args(Event))
    assert {cls.__name__ for cls in get_args(Event)} | {"Event", "HostStanding", "Snapshot", "Summary"} == set(
        events.__all__
    )
