"""Which item starts next: scenario in, timeline out, and the laws under random events."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fetchd.jobs import scheduler as scheduler_module
from fetchd.jobs.extras import Extras
from fetchd.jobs.failures import Failure, FailureClass, verdict
from fetchd.jobs.items import Item
from fetchd.jobs.rates import Rates
from fetchd.jobs.scheduler import Scheduler

REFUSED = Failure(FailureClass.CONNECT, "refused")
CONNECT_TIMEOUT = Failure(FailureClass.TIMEOUT_CONNECT, "connecting took longer than 30 s")
NOT_FOUND = Failure(FailureClass.HTTP_4XX, "404", 404)
BROKEN = Failure(FailureClass.TRUNCATED, "cut off", 200)


def throttled(seconds: float | None) -> Failure:
    """A 429, with Retry-After or without."""
    return Failure(FailureClass.HTTP_429, "429", 429, seconds)


def items(host: str, count: int, start: int = 0) -> list[Item]:
    """Some items of one host."""
    return [Item(f"http://{host}/{line}", line, host=host) for line in range(start, start + count)]


def a_scheduler(
    concurrency: int = 64, per_host: int = 6, window: int = 100_000, rates: Rates | None = None
) -> Scheduler:
    """A scheduler whose jittered waits are as long as they can be."""
    return Scheduler(concurrency, per_host, window=window, rates=rates, rng=lambda: 1.0)


def start_all(scheduler: Scheduler, now: float) -> list[Item]:
    """Start what may start now."""
    return list(iter(lambda: scheduler.next(now), None))


Answer = Callable[[Item, float], tuple[float, Failure | None]]
"""How a host answers: item and time of the start; seconds it takes, and the failure if it is one."""


def at_once_in(seconds: float) -> Answer:
    """Every host answers well after *seconds*."""
    return lambda item, now: (seconds, None)


@dataclass
class World:
    """A run without a network: reads on demand, starts what may start, lets time pass to the next event.

    Failures are retried by the rules of a run: counted ones four times, others twenty times.
    """

    scheduler: Scheduler
    answer: Answer
    delay: float = 1.0
    now: float = 0.0
    started: list[tuple[float, Item]] = field(default_factory=list)
    done: list[tuple[float, Item]] = field(default_factory=list)
    failed: list[tuple[float, Item, Failure]] = field(default_factory=list)
    busy: list[tuple[float, int]] = field(default_factory=list)
    since: dict[Item, float] = field(default_factory=dict)
    most_waiting: int = 0

    def run(self, manifest: Iterable[Item], until: float = 1e6) -> None:
        """Run *manifest* to its end, or to the time *until*."""
        lines, flying = iter(manifest), list[tuple[float, int, Item, Failure | None]]()
        serial = itertools.count()
        while self.now <= until:
            self.read(lines)
            while (item := self.next_item(lines)) is not None:
                self.started.append((self.now, item))
                self.since[item] = self.now
                seconds, failure = self.answer(item, self.now)
                heapq.heappush(flying, (self.now + seconds, next(serial), item, failure))
                self.read(lines)
            self.failed += [(self.now, item, failure) for item, failure in self.scheduler.take_given_up()]
            self.busy.append((self.now, self.scheduler.in_flight))
            times = [time for time in (self.scheduler.wake_at(), flying[0][0] if flying else None) if time is not None]
            if not times:
                return
            self.now = max(self.now, min(times))
            while flying and flying[0][0] <= self.now:
                _, _, item, failure = heapq.heappop(flying)
                self.finish(item, failure)

    def next_item(self, lines: Iterator[Item]) -> Item | None:
        """The next item to start; when there is none, more of the manifest may hold one."""
        item = self.scheduler.next(self.now)
        while item is None and self.scheduler.wants_more and (more := next(lines, None)) is not None:
            self.scheduler.add(more, self.now)
            item = self.scheduler.next(self.now)
        return item

    def read(self, lines: Iterator[Item]) -> None:
        """Read as much of the manifest as the scheduler asks for."""
        while self.scheduler.wants_more and (item := next(lines, None)) is not None:
            self.scheduler.add(item, self.now)
        self.most_waiting = max(self.most_waiting, self.scheduler.queued + self.scheduler.delayed)

    def finish(self, item: Item, failure: Failure | None) -> None:
        """End an attempt: done, retried or failed."""
        if failure is None:
            self.scheduler.done(item, self.now, None, self.now - self.since[item])
            self.done.append((self.now, item))
            return
        found = verdict(failure)
        item.attempts += found.counts
        item.throttles += not found.counts
        if found.retry and item.attempts <= 4 and item.throttles <= 20:
            self.scheduler.retry(item, self.now, failure, self.delay)
        else:
            self.scheduler.done(item, self.now, failure)
            self.failed.append((self.now, item, failure))

    def starts_of(self, host: str) -> list[float]:
        """When items of *host* were started."""
        return [time for time, item in self.started if item.host == host]


# --- order


def test_items_of_one_host_start_in_order() -> None:
    """FIFO in a host."""
    world = World(a_scheduler(concurrency=8, per_host=3), at_once_in(1.0))
    world.run(items("a", 50))
    assert [item.line for _, item in world.started] == list(range(50))


def test_hosts_are_served_in_turn() -> None:
    """One of each host, then the second of each: the host with most items has no more than its turn."""
    scheduler = a_scheduler(concurrency=6, per_host=6)
    for item in items("a", 100) + items("b", 2) + items("c", 100):
        scheduler.add(item, 0.0)
    assert [item.host for item in start_all(scheduler, 0.0)] == ["a", "b", "c", "a", "b", "c"]


def test_a_freed_slot_goes_to_the_host_whose_turn_it_is_not_to_the_one_that_freed_it() -> None:
    """Else the first hosts would keep all slots until they are through."""
    scheduler = a_scheduler(concurrency=2, per_host=2)
    for item in items("a", 10) + items("b", 10) + items("c", 10):
        scheduler.add(item, 0.0)
    first, second = start_all(scheduler, 0.0)
    assert (first.host, second.host) == ("a", "b")
    scheduler.done(first, 1.0)
    assert [item.host for item in start_all(scheduler, 1.0)] == ["c"]


def test_the_caps_hold() -> None:
    """At most concurrency in all, at most per_host of one host."""
    scheduler = a_scheduler(concurrency=10, per_host=4)
    for item in items("a", 10) + items("b", 10) + items("c", 10):
        scheduler.add(item, 0.0)
    started = start_all(scheduler, 0.0)
    assert len(started) == scheduler.in_flight == 10
    assert max(Counter(item.host for item in started).values()) == 4
    assert scheduler.queued == 20


# --- rates


def test_the_rate_for_all_spaces_the_starts() -> None:
    """Hosts in turn, one start every half second, whoever has free slots."""
    world = World(a_scheduler(rates=Rates(2.0)), at_once_in(0.1))
    world.run(items("a", 3) + items("b", 2))
    assert [(now, item.host) for now, item in world.started] == [
        (0.0, "a"),
        (0.5, "b"),
        (1.0, "a"),
        (1.5, "b"),
        (2.0, "a"),
    ]


def test_the_rate_of_a_host_holds_up_that_host_alone() -> None:
    """Each starts its own once a second; two slots are enough for ten hosts."""
    world = World(a_scheduler(concurrency=2, rates=Rates(per_host=1.0)), at_once_in(0.05))
    world.run([item for number in range(10) for item in items(f"h{number}", 3)])
    assert len(world.done) == 30
    for number in range(10):
        times = world.starts_of(f"h{number}")
        assert all(after - before > 0.999 for before, after in itertools.pairwise(times))
    assert world.now < 3.0


def test_slots_hold_where_the_rate_would_allow_more() -> None:
    """A slow host: one at a time, though a request a second would be allowed."""
    world = World(a_scheduler(per_host=1, rates=Rates(per_host=1.0)), at_once_in(3.0))
    world.run(items("a", 3))
    assert world.starts_of("a") == [0.0, 3.0, 6.0]


def test_a_retry_is_counted_like_a_first_attempt() -> None:
    """It is due at once, and waits for the rate all the same."""
    answers = iter([(0.1, BROKEN), (0.1, None), (0.1, None)])
    world = World(a_scheduler(rates=Rates(per_host=1.0)), lambda item, now: next(answers), delay=0.0)
    world.run(items("a", 2))
    assert world.starts_of("a") == [0.0, 1.0, 2.0]


def test_a_rated_host_is_not_woken_before_its_time() -> None:
    """Nothing may start, and the scheduler says when something may: no turning in circles."""
    scheduler = a_scheduler(rates=Rates(10.0, 1.0))
    for item in items("a", 3):
        scheduler.add(item, 0.0)
    assert len(start_all(scheduler, 0.0)) == 1
    assert scheduler.wake_at() == pytest.approx(0.1)  # what is in the ring is looked at when a token is there
    assert start_all(scheduler, 0.1) == []
    assert scheduler.wake_at() == 1.0


def test_what_a_host_is_owed_elsewhere_counts() -> None:
    """A redirection to it was counted in the rates: its own items wait for it."""
    rates = Rates(per_host=1.0)
    scheduler = a_scheduler(rates=rates)
    for item in items("a", 2):
        scheduler.add(item, 0.0)
    rates.take("a", 0.0)
    assert start_all(scheduler, 0.0) == []
    assert scheduler.wake_at() == 1.0
    assert len(start_all(scheduler, 1.0)) == 1


# --- fairness


def test_a_manifest_sorted_by_host_keeps_all_slots_busy() -> None:
    """40 hosts with 50 items each, one after the other, two at a time: hosts ahead are read in time."""
    world = World(a_scheduler(concurrency=20, per_host=2), at_once_in(1.0))
    world.run(itertools.chain.from_iterable(items(f"h{number}", 50) for number in range(40)))
    assert len(world.done) == 2000
    assert all(count == 20 for now, count in world.busy if now < 90.0)
    assert world.now <= 110.0  # 100 s if every slot were busy to the last


def test_a_slow_host_holds_up_nobody() -> None:
    """It keeps its own slots busy, and no more."""

    def answer(item: Item, now: float) -> tuple[float, Failure | None]:
        return (100.0 if item.host == "slow" else 1.0), None

    world = World(a_scheduler(concurrency=20, per_host=2), answer)
    world.run(items("slow", 6) + [item for number in range(30) for item in items(f"h{number}", 30)])
    others = [now for now, item in world.done if item.host != "slow"]
    assert len(others) == 900
    assert max(others) <= 900 / 18 + 12
    assert max(now for now, _ in world.done) <= 400.0  # 300 s, and once it is tried whether one at a time is quicker


def test_a_dead_host_holds_up_nobody_and_is_given_up_within_ten_seconds() -> None:
    """Its items fail together; the others take as long as without it."""

    def answer(item: Item, now: float) -> tuple[float, Failure | None]:
        return (0.01, REFUSED) if item.host == "dead" else (1.0, None)

    world = World(a_scheduler(concurrency=20, per_host=2), answer)
    world.run(items("dead", 500) + [item for number in range(30) for item in items(f"h{number}", 30)])
    assert len(world.done) == 900
    assert max(now for now, _ in world.done) <= 900 / 18 + 2
    assert {item.host for _, item, _ in world.failed} == {"dead"}
    assert len(world.failed) == 500
    assert max(now for now, _, _ in world.failed) < 10.0
    assert len(world.starts_of("dead")) < 15  # a handful of probes, not 500 attempts


def test_a_host_that_swallows_packets_is_given_up_with_its_first_timeouts() -> None:
    """Every connection times out after 30 s: no second round of timeouts."""
    world = World(a_scheduler(concurrency=20, per_host=6), lambda item, now: (30.0, CONNECT_TIMEOUT))
    world.run(items("hole", 500))
    assert len(world.failed) == 500
    assert world.now == 30.0
    assert len(world.started) == 6


def test_a_dead_host_with_one_item_is_given_up_as_soon() -> None:
    """The probes go on without the item's own delays."""
    world = World(a_scheduler(), lambda item, now: (0.0, REFUSED), delay=1.5)
    world.run(items("dead", 1))
    assert [now for now, _, _ in world.failed] == [8.0]


def test_items_of_a_dead_host_say_why_they_were_not_attempted() -> None:
    """With the class of what the host did."""
    world = World(a_scheduler(per_host=2), lambda item, now: (8.0, CONNECT_TIMEOUT))
    world.run(items("hole", 9))
    by_line = {item.line: failure for _, item, failure in world.failed}
    assert by_line[8].failure_class is FailureClass.TIMEOUT_CONNECT
    assert by_line[8].message == ("not attempted: the host does not answer (connecting took longer than 30 s)")
    assert {failure.message for failure in by_line.values()} == {
        by_line[8].message,
        CONNECT_TIMEOUT.message,
    }


def test_a_host_that_comes_back_goes_on() -> None:
    """An outage of 60 s of a host that had answered costs no item."""

    def answer(item: Item, now: float) -> tuple[float, Failure | None]:
        return (0.1, REFUSED) if 5.0 <= now < 65.0 else (0.1, None)

    world = World(a_scheduler(concurrency=20, per_host=2), answer)
    world.run(items("h", 300))
    assert len(world.done) == 300
    assert world.failed == []
    assert len([now for now in world.starts_of("h") if 5.0 <= now < 65.0]) < 12


def test_late_items_of_a_dead_host_fail_at_once_but_for_a_probe_every_half_minute() -> None:
    """And the probe that is answered brings the host back."""
    scheduler = a_scheduler()
    world = World(scheduler, lambda item, now: (30.0, CONNECT_TIMEOUT))
    world.run(items("h", 6))
    assert (len(world.failed), world.now) == (6, 30.0)

    late = items("h", 3, start=10)
    scheduler.add(late[0], 59.0)
    assert [item for item, _ in scheduler.take_given_up()] == [late[0]]
    scheduler.add(late[1], 60.0)
    scheduler.add(late[2], 60.0)
    assert [item for item, _ in scheduler.take_given_up()] == [late[2]]
    assert start_all(scheduler, 60.0) == [late[1]]
    scheduler.retry(late[1], 90.0, CONNECT_TIMEOUT, 1.0)
    assert scheduler.take_given_up() == [(late[1], CONNECT_TIMEOUT)]
    assert (scheduler.queued, scheduler.delayed, scheduler.in_flight) == (0, 0, 0)

    last = items("h", 2, start=20)
    scheduler.add(last[0], 120.0)
    assert start_all(scheduler, 120.0) == [last[0]]
    scheduler.done(last[0], 121.0)
    scheduler.add(last[1], 121.0)
    assert start_all(scheduler, 121.0) == [last[1]]


def test_a_probe_that_fails_lets_another_item_probe() -> None:
    """One URL that makes the server hang must not keep the host's other items waiting."""
    hang = Failure(FailureClass.TIMEOUT_FIRST_BYTE, "waiting for the response head took longer than 1 s")

    def answer(item: Item, now: float) -> tuple[float, Failure | None]:
        return (1.0, hang) if item.line < 3 else (0.1, None)

    world = World(a_scheduler(per_host=3), answer)
    world.run(items("h", 20))
    assert len(world.done) == 17
    assert min(now for now, _ in world.done) == 1.6  # the first probe, 0.5 s after three hung
    assert {item.line for _, item, _ in world.failed} == {0, 1, 2}


# --- throttling


def test_retry_after_gates_the_whole_host_and_no_other() -> None:
    """429 with 30 s: nothing of that host starts before, and the item comes first afterwards."""
    scheduler = a_scheduler(per_host=2)
    for item in items("a", 5) + items("b", 5):
        scheduler.add(item, 0.0)
    started = start_all(scheduler, 0.0)
    assert [item.host for item in started] == ["a", "b", "a", "b"]
    scheduler.retry(started[0], 1.0, throttled(30.0), 30.0)
    scheduler.done(started[2], 1.0)
    scheduler.done(started[1], 1.0)
    assert [item.host for item in start_all(scheduler, 30.9)] == ["b"]
    assert scheduler.wake_at() == 31.0
    assert start_all(scheduler, 31.0)[0] is started[0]


def test_a_throttled_host_begins_again_with_half_its_slots() -> None:
    """And earns them back."""
    scheduler = a_scheduler(per_host=4)
    for item in items("a", 100):
        scheduler.add(item, 0.0)
    for item in start_all(scheduler, 0.0):
        scheduler.retry(item, 0.0, throttled(5.0), 5.0)
    flying, widths = start_all(scheduler, 5.0), []
    for now in range(6, 18):
        widths.append(len(flying))
        for item in flying:
            scheduler.done(item, float(now))
        flying = start_all(scheduler, float(now))
    assert widths == [2, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4]


def test_a_throttling_server_is_asked_no_more_than_it_allows() -> None:
    """A host that takes ten requests in any ten seconds: all items come, none is used up."""
    served: list[float] = []

    def answer(item: Item, now: float) -> tuple[float, Failure | None]:
        if item.host != "limited":
            return 1.0, None
        if len([time for time in served if time > now - 10.0]) >= 10:
            return 0.1, throttled(10.0)
        served.append(now)
        return 0.1, None

    world = World(a_scheduler(concurrency=20, per_host=6), answer, delay=10.0)
    world.run(items("limited", 100) + items("other", 100))
    assert len(world.done) == 200
    assert world.failed == []
    refused = len(world.starts_of("limited")) - 100
    assert refused <= 60


def test_retry_after_of_an_answer_that_is_no_failure_gates_the_host_too() -> None:
    """A redirection may carry it (RFC 9110 section 10.2.3)."""
    scheduler = a_scheduler()
    for item in items("a", 2):
        scheduler.add(item, 0.0)
    scheduler.gate_host("a", 10.0, 0.0)
    assert start_all(scheduler, 9.9) == []
    assert scheduler.wake_at() == 10.0
    assert len(start_all(scheduler, 10.0)) == 2


@pytest.mark.parametrize(("failure_class", "status"), [(FailureClass.HTTP_5XX, 500), (FailureClass.REDIRECT, 302)])
def test_retry_after_of_any_failure_gates_the_host(failure_class: FailureClass, status: int) -> None:
    """Also where the class alone would not slow the host."""
    scheduler = a_scheduler(per_host=1)
    for item in items("a", 2):
        scheduler.add(item, 0.0)
    (first,) = start_all(scheduler, 0.0)
    scheduler.done(first, 1.0, Failure(failure_class, "later", status, 30.0))
    assert start_all(scheduler, 30.9) == []
    assert len(start_all(scheduler, 31.0)) == 1


def test_a_host_without_items_can_be_gated() -> None:
    """Items that come for it later wait."""
    scheduler = a_scheduler()
    scheduler.gate_host("a", 10.0, 0.0)
    scheduler.gate_host("a", 12.0, 0.0)
    scheduler.add(items("a", 1)[0], 1.0)
    assert start_all(scheduler, 11.0) == []
    assert len(start_all(scheduler, 12.0)) == 1


def test_a_shorter_gate_does_not_wake_what_a_longer_one_holds() -> None:
    """A host gated twice starts at the later time; one released by an answer starts at once."""
    scheduler = a_scheduler()
    for item in items("a", 2):
        scheduler.add(item, 0.0)
    scheduler.gate_host("a", 5.0, 0.0)
    scheduler.gate_host("a", 20.0, 1.0)
    assert start_all(scheduler, 5.0) == []
    assert scheduler.wake_at() == 20.0
    assert len(start_all(scheduler, 20.0)) == 2


# --- retries


def test_a_retried_item_waits_its_delay_and_then_comes_first() -> None:
    """While it waits, its slot serves others."""
    scheduler = a_scheduler(concurrency=1)
    for item in items("a", 4):
        scheduler.add(item, 0.0)
    first = scheduler.next(0.0)
    assert first is not None
    scheduler.retry(first, 1.0, BROKEN, 5.0)
    assert (scheduler.queued, scheduler.delayed, scheduler.in_flight) == (3, 1, 0)
    second = scheduler.next(1.0)
    assert second is not None
    assert second.line == 1
    assert scheduler.wake_at() == 6.0
    scheduler.done(second, 6.0)
    assert scheduler.next(6.0) is first


def test_a_retry_without_delay_may_start_at_once() -> None:
    """Delay 0 is now, also for the only item."""
    scheduler = a_scheduler()
    (item,) = items("a", 1)
    scheduler.add(item, 0.0)
    assert scheduler.next(0.0) is item
    scheduler.retry(item, 3.0, BROKEN, 0.0)
    assert scheduler.wake_at() == 3.0
    assert scheduler.next(3.0) is item


def test_a_postponed_item_comes_behind_those_that_wait() -> None:
    """Its slot serves them first; it was not attempted, so nothing is held against its host."""
    scheduler = a_scheduler(concurrency=1)
    for item in items("a", 3):
        scheduler.add(item, 0.0)
    first = scheduler.next(0.0)
    assert first is not None
    scheduler.postpone(first, 1.0)
    assert (scheduler.queued, scheduler.delayed, scheduler.in_flight) == (3, 0, 0)
    started = []
    while (item_ := scheduler.next(1.0)) is not None:
        started.append(item_.line)
        scheduler.done(item_, 1.0)
    assert started == [1, 2, first.line]
    assert not scheduler.queued


def test_items_of_a_host_start_by_their_priority_and_then_in_order() -> None:
    """Those without are between those above and those below 0; hosts take turns as ever."""
    scheduler = a_scheduler(concurrency=1)
    priorities = [0, -1, 2, 0, 1, 2, -1]
    for item, priority in zip(items("a", 7), priorities, strict=True):
        item.extras = Extras(priority=priority) if priority else None
        scheduler.add(item, 0.0)
    [other] = items("b", 1)
    scheduler.add(other, 0.0)
    started: list[int | str] = []
    while (item_ := scheduler.next(0.0)) is not None:
        started.append(item_.line if item_ is not other else "b")
        scheduler.done(item_, 0.0)
    assert started == [2, "b", 5, 4, 0, 3, 1, 6]
    assert not scheduler.queued


def test_items_of_any_priority_are_given_up_with_their_host() -> None:
    """None is forgotten."""
    scheduler = a_scheduler(per_host=1)
    for item, priority in zip(items("a", 5), [1, 0, -1, 0, 7], strict=True):
        item.extras = Extras(priority=priority)
        scheduler.add(item, 0.0)
    given_up: list[tuple[Item, Failure]] = []
    ended: list[int] = []
    now = 0.0
    while scheduler.queued or scheduler.in_flight or scheduler.delayed:
        started = scheduler.next(now)
        if started is not None:
            scheduler.done(started, now, REFUSED)
            ended.append(started.line)
        given_up += scheduler.take_given_up()
        now += 1.0
    assert now < 100
    assert sorted([*ended, *(item.line for item, _ in given_up)]) == [0, 1, 2, 3, 4]


def test_failures_of_items_are_not_held_against_the_host() -> None:
    """A thousand 404 do not slow it down."""
    world = World(a_scheduler(per_host=6), lambda item, now: (1.0, NOT_FOUND))
    world.run(items("a", 60))
    assert len(world.failed) == 60
    assert world.now == 10.0


@pytest.mark.parametrize(
    ("failure", "is_slowed"),
    [
        (Failure(FailureClass.TIMEOUT_TOTAL, "too long"), True),
        (Failure(FailureClass.TIMEOUT_TOTAL, "too long", 200), False),
        (Failure(FailureClass.POLICY, "a symbolic link"), False),
    ],
)
def test_a_total_timeout_speaks_against_a_host_that_never_answered(failure: Failure, is_slowed: bool) -> None:
    """A response head that came in time, or a failure of ours, does not."""
    scheduler = a_scheduler(per_host=6)
    for item in items("a", 30):
        scheduler.add(item, 0.0)
    for item in start_all(scheduler, 0.0):
        scheduler.retry(item, 5.0, failure, 1.0)
    assert len(start_all(scheduler, 6.0)) == (1 if is_slowed else 6)


def test_a_total_timeout_is_no_sign_for_a_host_that_answers() -> None:
    """Its other items prove that it works."""
    scheduler = a_scheduler(per_host=6)
    for item in items("a", 30):
        scheduler.add(item, 0.0)
    started = start_all(scheduler, 0.0)
    scheduler.done(started.pop(), 1.0)
    for item in started:
        scheduler.retry(item, 5.0, Failure(FailureClass.TIMEOUT_TOTAL, "too long"), 1.0)
    assert len(start_all(scheduler, 6.0)) == 6


def test_an_attempt_that_is_broken_off_gives_its_slot_back() -> None:
    """And says nothing of the host."""
    scheduler = a_scheduler(concurrency=1)
    for item in items("a", 2):
        scheduler.add(item, 0.0)
    first = scheduler.next(0.0)
    assert first is not None
    scheduler.release(first, 1.0)
    assert (scheduler.queued, scheduler.in_flight) == (1, 0)
    second = scheduler.next(1.0)
    assert second is not None
    assert second.line == 1
    assert not second.host_answered


# --- reading on demand


def test_a_mixed_manifest_is_read_little_ahead_of_what_is_started() -> None:
    """Twice the slots, however long the manifest."""
    world = World(a_scheduler(concurrency=20, per_host=2), at_once_in(1.0))
    mixed = (Item("http://x/", line, host=f"h{line % 50}") for line in range(5000))
    world.run(mixed)
    assert len(world.done) == 5000
    assert world.most_waiting <= 2 * 20 + 20


def test_one_host_that_may_take_all_slots_is_read_little_ahead() -> None:
    """A list of one host on a local network is not read into memory."""
    world = World(a_scheduler(concurrency=20, per_host=20), at_once_in(1.0))
    world.run(items("h", 5000))
    assert world.most_waiting <= 2 * 20 + 1
    assert world.now == 250.0


def test_one_host_that_may_not_fills_the_window_and_is_named() -> None:
    """Others might follow, so it is read on to the window's end, and no further."""
    scheduler = a_scheduler(concurrency=20, per_host=2, window=1000)
    world = World(scheduler, at_once_in(1.0))
    assert scheduler.bound_by() is None
    world.run(itertools.chain(items("other", 3), items("big", 5000)), until=50.0)
    assert world.most_waiting == 1000
    world.read(iter(items("big", 5000)))
    assert scheduler.bound_by() == "big"
    assert scheduler.longest_queues(5) == [("big", 1000)]


def test_a_window_that_is_full_of_items_under_way_binds_nobody() -> None:
    """An odd setting, but no error."""
    scheduler = a_scheduler(window=0)
    assert not scheduler.wants_more
    assert scheduler.bound_by() is None


def test_items_of_a_host_that_may_not_start_are_no_supply() -> None:
    """While one host is gated, others are read; when it opens, it counts again."""
    scheduler = a_scheduler(concurrency=2, per_host=10)
    for item in items("a", 10):
        scheduler.add(item, 0.0)
    assert not scheduler.wants_more
    scheduler.gate_host("a", 10.0, 0.0)
    assert scheduler.wants_more
    start_all(scheduler, 10.0)
    assert not scheduler.wants_more


# --- memory


def test_a_host_that_has_nothing_is_forgotten() -> None:
    """After ten thousand hosts there is nothing left of them."""
    scheduler = a_scheduler()
    for number in range(10_000):
        (item,) = items(f"h{number}", 1)
        scheduler.add(item, 0.0)
        assert scheduler.next(0.0) is item
        scheduler.done(item, 0.0)
    assert scheduler.host_count == 0
    assert repr(scheduler) == "<Scheduler 0 queued, 0 delayed, 0 in flight, 0 hosts>"


def test_the_trouble_of_a_host_is_remembered_when_its_items_are_gone() -> None:
    """It is still dead when the next of its items comes."""
    scheduler = a_scheduler()
    World(scheduler, lambda item, now: (30.0, CONNECT_TIMEOUT)).run(items("hole", 6))
    assert scheduler.host_count == 0
    (late,) = items("hole", 1)
    scheduler.add(late, 31.0)
    assert [item for item, _ in scheduler.take_given_up()] == [late]
    assert scheduler.host_count == 0


def test_only_so_many_hosts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest trouble is forgotten first."""
    monkeypatch.setattr(scheduler_module, "MAX_REMEMBERED_HOSTS", 10)
    scheduler = a_scheduler()
    for number in range(20):
        scheduler.gate_host(f"h{number}", 1000.0, 0.0)
    assert len(scheduler._remembered) == 10
    for item in items("h0", 1) + items("h19", 1):
        scheduler.add(item, 0.0)
    assert [item.host for item in start_all(scheduler, 0.0)] == ["h0"]


def test_wakes_that_no_longer_count_do_not_pile_up() -> None:
    """Hosts that die while an item of theirs waits for a far time leave nothing behind."""
    scheduler = a_scheduler()
    for number in range(500):
        for item in items(f"h{number}", 5):
            scheduler.add(item, 0.0)
        first, *others = start_all(scheduler, 0.0)
        scheduler.retry(first, 0.0, BROKEN, 3000.0)
        for item, now in zip(others, (30.0, 30.0, 30.0, 330.0), strict=True):
            scheduler.done(item, now, CONNECT_TIMEOUT)
        assert [item for item, _ in scheduler.take_given_up()] == [first]
    assert scheduler.host_count == 0
    assert len(scheduler._wakes) <= 64 + 2
    assert scheduler.wake_at() is None


def test_the_place_in_the_ring_of_a_host_that_died_does_no_harm_to_its_later_items() -> None:
    """The host was dropped while its turn was still to come; it has begun anew since."""
    scheduler = a_scheduler(concurrency=4, per_host=6)
    for item in items("a", 8):
        scheduler.add(item, 0.0)
    for item in start_all(scheduler, 0.0):
        scheduler.done(item, 30.0, CONNECT_TIMEOUT)
    assert len(scheduler.take_given_up()) == 4
    assert scheduler.host_count == 0
    (late,) = items("a", 1, start=10)
    scheduler.add(late, 60.0)
    assert start_all(scheduler, 60.0) == [late]
    assert (scheduler.host_count, scheduler.in_flight) == (1, 1)


def test_an_item_is_told_whether_its_host_is_known_to_answer() -> None:
    """For the bound on the first contact; an answer is remembered when the host has no items any more."""
    scheduler = a_scheduler(per_host=2)

    def next_of(host: str, line: int, now: float) -> Item:
        (item,) = items(host, 1, line)
        scheduler.add(item, now)
        assert scheduler.next(now) is item
        return item

    first, second = next_of("a", 0, 0.0), next_of("a", 1, 0.0)
    assert (first.host_answered, second.host_answered) == (False, False)
    scheduler.done(first, 1.0)
    third = next_of("a", 2, 1.0)
    assert third.host_answered
    scheduler.done(third, 2.0)
    scheduler.done(second, 2.0, throttled(1.0))
    assert scheduler.host_count == 0
    fourth = next_of("a", 3, 100.0)
    assert fourth.host_answered
    scheduler.done(fourth, 200.0)
    assert scheduler.host_count == 0
    assert next_of("a", 4, 300.0).host_answered
    assert not next_of("b", 0, 300.0).host_answered


def test_a_host_that_answers_slowly_gets_fewer_slots_until_it_is_quicker() -> None:
    """It serves one after the other, half a second each: with six at a time each waits three."""
    free_at = 0.0

    def answer(item: Item, now: float) -> tuple[float, Failure | None]:
        nonlocal free_at
        free_at = max(free_at, now) + 0.5
        return free_at - now, None

    world = World(a_scheduler(per_host=6), answer)
    world.run(items("serial", 200))
    assert len(world.done) == 200
    assert world.now == pytest.approx(100.0, abs=1.0)  # it is asked for less, and loses nothing by it
    under_way = [count for now, count in world.busy if 20.0 < now < 95.0]
    assert sum(under_way) / len(under_way) < 3.5


def test_a_host_that_is_always_slow_keeps_its_slots() -> None:
    """Two seconds each however many are under way: asking for less is tried once, and given up."""
    world = World(a_scheduler(per_host=6), at_once_in(2.0))
    world.run(items("far", 600))
    assert world.now < 600 / 6 * 2.0 * 1.1


def test_a_dead_host_behind_redirections_is_not_held_against_the_items_own() -> None:
    """The item's attempts end, the host's other items go on."""

    def answer(item: Item, now: float) -> tuple[float, Failure | None]:
        return (0.1, REFUSED._replace(redirected=True)) if item.line < 20 else (0.1, None)

    world = World(a_scheduler(per_host=2), answer, delay=0.0)
    world.run(items("a", 40))
    assert len(world.done) == 20
    assert {failure.message for _, _, failure in world.failed} == {"refused"}
    assert len(world.started) == 20 * 5 + 20


def test_an_item_that_was_never_started_cannot_end() -> None:
    """A fault of the caller is loud."""
    with pytest.raises(KeyError):
        a_scheduler().done(items("a", 1)[0], 0.0)


# --- laws

HOSTS = ["a", "b", "c", "d"]
FAILURES = st.sampled_from(
    [
        REFUSED,
        CONNECT_TIMEOUT,
        NOT_FOUND,
        BROKEN,
        throttled(None),
        throttled(0.0),
        throttled(20.0),
        Failure(FailureClass.TIMEOUT_TOTAL, "too long"),
        Failure(FailureClass.POLICY, "a symbolic link"),
    ]
)


class AnyOrderOfEvents(RuleBasedStateMachine):
    """Random events; after each of them the laws hold, and in the end everything has come out once."""

    @initialize(concurrency=st.integers(1, 6), per_host=st.integers(1, 4), random=st.floats(0, 0.99))
    def begin(self, concurrency: int, per_host: int, random: float) -> None:
        """Choose the caps."""
        self.concurrency, self.per_host = concurrency, per_host
        self.scheduler = Scheduler(concurrency, per_host, window=20, rng=lambda: random)
        self.now = 0.0
        self.waiting: set[Item] = set()
        self.flying: list[Item] = []
        self.ended: set[Item] = set()
        self.line = 0

    @rule(host=st.sampled_from(HOSTS), count=st.integers(1, 5))
    def add(self, host: str, count: int) -> None:
        """Read some lines of one host."""
        for item in items(host, count, self.line):
            self.waiting.add(item)
            self.scheduler.add(item, self.now)
        self.line += count

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 10.0, 40.0, 400.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(count=st.integers(1, 8))
    def start(self, count: int) -> None:
        """Start some of what may start."""
        for _ in range(count):
            item = self.scheduler.next(self.now)
            if item is None:
                return
            self.waiting.remove(item)
            self.flying.append(item)

    def land(self, index: int) -> Item:
        """Take one of the items under way."""
        return self.flying.pop(index % len(self.flying))

    @precondition(lambda self: self.flying)
    @rule(index=st.integers(0, 20), failure=st.none() | FAILURES)
    def finish(self, index: int, failure: Failure | None) -> None:
        """An item ends, well or not."""
        item = self.land(index)
        self.ended.add(item)
        self.scheduler.done(item, self.now, failure)

    @precondition(lambda self: self.flying)
    @rule(
        index=st.integers(0, 20),
        failure=FAILURES,
        delay=st.sampled_from([0.0, 0.5, 30.0]),
        all_of_them=st.booleans(),
    )
    def fail(self, index: int, failure: Failure, delay: float, all_of_them: bool) -> None:
        """One attempt fails, or all of them together; they are tried again."""
        for _ in range(len(self.flying) if all_of_them else 1):
            item = self.land(index)
            self.waiting.add(item)
            self.scheduler.retry(item, self.now, failure, delay)

    @precondition(lambda self: self.flying)
    @rule(index=st.integers(0, 20))
    def break_off(self, index: int) -> None:
        """An attempt is broken off."""
        item = self.land(index)
        self.ended.add(item)
        self.scheduler.release(item, self.now)

    @rule(host=st.sampled_from(HOSTS), seconds=st.sampled_from([0.0, 5.0, 100.0]))
    def gate(self, host: str, seconds: float) -> None:
        """A host asks to be left alone."""
        self.scheduler.gate_host(host, self.now + seconds, self.now)

    @rule()
    def take_given_up(self) -> None:
        """What is given up was waiting, and comes out once."""
        for item, failure in self.scheduler.take_given_up():
            self.waiting.remove(item)
            self.ended.add(item)
            assert failure.message

    @invariant()
    def caps_are_never_exceeded(self) -> None:
        """Neither in all nor for a host."""
        assert self.scheduler.in_flight == len(self.flying) <= self.concurrency
        assert all(count <= self.per_host for count in Counter(item.host for item in self.flying).values())

    @invariant()
    def every_item_is_in_one_place(self) -> None:
        """Queued, delayed or given up and not yet taken: nothing is lost or doubled."""
        scheduler = self.scheduler
        assert scheduler.queued + scheduler.delayed + len(scheduler._given_up) == len(self.waiting)

    @invariant()
    def the_sums_are_the_sums_of_the_lanes(self) -> None:
        """What is kept up step by step is what counting anew gives."""
        scheduler, lanes = self.scheduler, list(self.scheduler._lanes.values())
        assert scheduler.queued == sum(lane.queued for lane in lanes)
        assert scheduler.delayed == sum(len(lane.delayed or ()) for lane in lanes)
        assert scheduler._supply == sum(min(lane.queued, lane.depth) for lane in lanes)
        assert all(lane.queued == len(lane.front) + len(lane.back) for lane in lanes)
        assert all(lane.waiting or lane.active for lane in lanes)

    @invariant()
    def nothing_waits_for_ever(self) -> None:
        """With nothing under way, an item that waits may start now, or at a time that is known."""
        scheduler = self.scheduler
        if not self.flying and (scheduler.queued or scheduler.delayed):
            may_start = any(lane.may_start(self.now) and lane.is_ready for lane in scheduler._lanes.values())
            assert may_start or scheduler.wake_at() is not None

    def teardown(self) -> None:
        """Let everything succeed: every item that was added has come out exactly once."""
        if not hasattr(self, "scheduler"):
            return
        for _ in range(10_000):
            self.start(100)
            while self.flying:
                self.finish(0, None)
            self.take_given_up()
            if not self.waiting:
                break
            wake = self.scheduler.wake_at()
            self.now = max(self.now, wake) if wake is not None else self.now
        assert not self.waiting
        assert len(self.ended) == self.line
        assert self.scheduler.host_count == 0


@pytest.mark.slow
def test_laws_hold_under_any_order_of_events() -> None:
    """Hypothesis chooses the events; the invariants and the teardown above are the laws."""
    run_state_machine_as_test(
        AnyOrderOfEvents,
        settings=settings(max_examples=150, stateful_step_count=40, deadline=None),
    )
