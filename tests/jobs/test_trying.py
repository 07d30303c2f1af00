"""What follows from a failed attempt: which count, when they are used up, which URL is asked next."""

from __future__ import annotations

from fetchd.jobs.events import ItemRetried
from fetchd.jobs.extras import Extras
from fetchd.jobs.failures import Failure, FailureClass
from fetchd.jobs.items import Item
from fetchd.jobs.mirrors import Sources
from fetchd.jobs.scheduler import Scheduler
from fetchd.jobs.trying import MAX_FREE_RETRIES, MAX_FREE_S, Trying

CUT = Failure(FailureClass.TRUNCATED, "cut")
ABSENT = Failure(FailureClass.HTTP_4XX, "404", 404)
BUSY = Failure(FailureClass.HTTP_429, "429", 429)


class AtWork:
    """One item, tried as often as it may be; the clock stands still but for what is waited for."""

    def __init__(self, retries: int, *urls: str) -> None:
        self.scheduler = Scheduler(4, 4, window=100)
        self.told: list[ItemRetried] = []
        self.trying = Trying(retries, self.scheduler, self.told.append)
        self.item = Item("http://a/x", 1, None, "http", "a:80", "a/x")
        if urls:
            self.item.extras = Extras()
            self.item.extras.sources = Sources(("http://a/x", *urls))
        self.now = 0.0
        self.scheduler.add(self.item, self.now)
        self.start()

    def start(self) -> None:
        """Wait until the item may start."""
        while (item := self.scheduler.next(self.now)) is None:
            wake = self.scheduler.wake_at()
            assert wake is not None, "it waits for nothing"
            self.now = wake
        assert item is self.item

    def tries_until_it_fails(self, failure: Failure) -> int:
        """How many attempts fail with *failure* before it is not tried again."""
        tries = 1
        while self.trying.again(self.item, failure, self.now):
            self.start()
            tries += 1
        return tries


def test_an_item_is_tried_once_and_as_often_again_as_was_asked_for() -> None:
    work = AtWork(3)
    assert work.tries_until_it_fails(CUT) == 4
    assert [event.failure for event in work.told] == [CUT] * 3


def test_what_has_no_sense_is_not_tried_again() -> None:
    assert AtWork(3).tries_until_it_fails(ABSENT) == 1
    work = AtWork(3)
    assert not work.trying.again(work.item, CUT, 0.0, is_final=True)
    assert work.scheduler.in_flight == 1, "who asked still has the slot"


def test_a_throttling_host_uses_up_no_tries_but_not_for_ever() -> None:
    work = AtWork(0)
    tries = work.tries_until_it_fails(BUSY)
    assert work.item.attempts == 0
    assert tries == MAX_FREE_RETRIES + 1


def test_free_retries_end_an_hour_after_the_first() -> None:
    work = AtWork(0)
    assert work.trying.again(work.item, BUSY, work.now)
    work.start()
    assert not work.trying.again(work.item, BUSY, MAX_FREE_S)


def test_an_item_that_has_ended_is_forgotten() -> None:
    work = AtWork(0)
    assert work.trying.again(work.item, BUSY, work.now)
    work.start()
    work.trying.forget(work.item)
    assert work.trying.again(work.item, BUSY, MAX_FREE_S), "the hour begins anew"


def test_another_url_is_asked_at_once_and_the_first_one_not_again_when_it_has_nothing() -> None:
    work = AtWork(3, "http://b/x")
    assert work.trying.again(work.item, ABSENT, 0.0)
    assert (work.item.host, work.told[0].delay) == ("b:80", 0.0)
    work.start()
    assert not work.trying.again(work.item, ABSENT, work.now)


def test_another_url_is_of_no_use_where_the_destination_has_failed() -> None:
    work = AtWork(3, "http://b/x")
    assert not work.trying.again(work.item, ABSENT._replace(of_sink=True), 0.0)
    assert work.item.host == "a:80"


def test_a_dead_host_sends_an_item_to_its_other_url_if_it_has_one() -> None:
    work = AtWork(3, "http://b/x")
    work.scheduler.done(work.item, 0.0, CUT)
    assert work.trying.elsewhere(work.item, 0.0)
    assert work.item.host == "b:80"
    work.start()
    work.scheduler.done(work.item, work.now, CUT)
    assert not work.trying.elsewhere(work.item, work.now)
    assert not AtWork(3).trying.elsewhere(AtWork(3).item, 0.0)
