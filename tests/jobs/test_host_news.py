"""What is told of a host: its changes, once each."""

from __future__ import annotations

import math

import pytest

from fetchd.jobs.events import HostChanged, HostStanding
from fetchd.jobs.failures import Failure, FailureClass
from fetchd.jobs.host_news import UNTROUBLED, Account, account_of, news_of
from fetchd.jobs.hosts import BreakerState, HostBudget
from fetchd.jobs.items import Item
from fetchd.jobs.scheduler import Scheduler

CLOSED, PROBING, DEAD = BreakerState
NEVER = -math.inf
REFUSED = Failure(FailureClass.CONNECT, "refused")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (Account(CLOSED, NEVER), Account(CLOSED, NEVER), []),
        (Account(CLOSED, NEVER), Account(PROBING, NEVER), [(HostStanding.FAILS, 0.0)]),
        (Account(PROBING, NEVER), Account(PROBING, NEVER), []),
        (Account(PROBING, NEVER), Account(DEAD, NEVER), [(HostStanding.DEAD, 0.0)]),
        (Account(DEAD, NEVER), Account(CLOSED, NEVER), [(HostStanding.ANSWERS, 0.0)]),
        (Account(CLOSED, NEVER), Account(CLOSED, 100.25), [(HostStanding.WAITS, 0.25)]),
        (Account(CLOSED, 99.0), Account(CLOSED, 100.25), [(HostStanding.WAITS, 0.25)]),  # the first is over
        (Account(CLOSED, 120.0), Account(CLOSED, 121.0), []),
        (Account(CLOSED, 120.0), Account(CLOSED, 121.5), [(HostStanding.WAITS, 21.5)]),
        (Account(CLOSED, 120.0), Account(CLOSED, 120.0), []),
        (Account(CLOSED, NEVER), Account(CLOSED, 99.0), []),  # Retry-After: 0
        (Account(DEAD, NEVER), Account(CLOSED, 130.0), [(HostStanding.ANSWERS, 0.0), (HostStanding.WAITS, 30.0)]),
    ],
)
def test_a_change_is_told_and_nothing_else(
    before: Account, after: Account, told: list[tuple[HostStanding, float]]
) -> None:
    """At 100 s; with the failure that told."""
    news = news_of("h:80", before, after, 100.0, REFUSED)
    assert news == [HostChanged("h:80", standing, wait, "refused") for standing, wait in told]


def test_a_host_without_a_budget_is_untroubled_and_a_new_budget_says_no_more() -> None:
    """So that making one is no news."""
    assert account_of(None) == UNTROUBLED == account_of(HostBudget(6, since=0.0))


def test_a_host_goes_and_comes_back_and_each_step_is_told_once() -> None:
    """Faults, probes that fail, the end, and an answer at last; what was taken does not come again."""
    scheduler = Scheduler(8, 4, rng=lambda: 1.0)
    told = []
    now = 0.0
    for line in range(400):
        scheduler.add(Item(f"http://h/{line}", line, host="h:80"), now)
        if (item := scheduler.next(now)) is not None:
            answers = now > 60.0
            scheduler.done(item, now, None if answers else REFUSED)
        scheduler.take_given_up()
        told += [(change.standing, change.message) for change in scheduler.take_news()]
        now += 0.25
    assert told == [
        (HostStanding.FAILS, "refused"),
        (HostStanding.DEAD, "refused"),
        (HostStanding.ANSWERS, ""),
    ]


def test_many_answers_that_ask_for_the_same_pause_are_told_once() -> None:
    """Of those under way when it began; a further pause is news again."""
    scheduler = Scheduler(8, 4, rng=lambda: 1.0)
    for line in range(8):
        scheduler.add(Item(f"http://h/{line}", line, host="h:80"), 0.0)
    busy = Failure(FailureClass.HTTP_429, "status 429", 429, 30.0)
    for number, item in enumerate([scheduler.next(0.0) for _ in range(4)]):
        assert item is not None
        scheduler.done(item, 0.2 * number, busy)
    assert scheduler.take_news() == [HostChanged("h:80", HostStanding.WAITS, 30.0, "status 429")]
    again = scheduler.next(31.0)
    assert again is not None
    scheduler.done(again, 31.0, busy)
    assert [change.wait for change in scheduler.take_news()] == [30.0]


@pytest.mark.parametrize("has_items", [False, True])
def test_a_pause_asked_for_by_an_answer_that_is_no_failure_is_told(has_items: bool) -> None:
    """Retry-After of a redirection, whose host may have no items."""
    scheduler = Scheduler(8, 4)
    if has_items:
        scheduler.add(Item("http://h/1", 1, host="h:80"), 0.0)
    scheduler.gate_host("h:80", 5.0, 0.0)
    assert scheduler.take_news() == [HostChanged("h:80", HostStanding.WAITS, 5.0)]
