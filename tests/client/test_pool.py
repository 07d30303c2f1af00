"""The pool as a plan: who gets which connection, without sockets. Laws by a stateful test, rules by example."""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from collections.abc import Callable
from itertools import groupby
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from fetchd.client.pool import TURN, Grant, Pool


class Conn:
    """A connection to an origin."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.is_closed = False

    def __repr__(self) -> str:
        return f"<Conn {self.key}{' closed' if self.is_closed else ''}>"


class Request:
    """One that waits, and writes down what it was granted."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.granted: Conn | Grant | None = None

    def grant(self, what: Conn | Grant) -> None:
        """See ``Waiter``."""
        assert self.granted is None, "granted once"
        assert what is not Grant.WAIT
        self.granted = what


def close(connection: Conn) -> None:
    """What the connector does with a connection that must go."""
    assert not connection.is_closed
    connection.is_closed = True


def pool_of(limit: int = 0, limit_per_host: int = 0) -> Pool[Conn]:
    return Pool(limit, limit_per_host, close)


def acquire(pool: Pool[Conn], key: str) -> Conn | Request:
    """What a request does: an idle connection, else a slot, else it waits."""
    idle = pool.take_idle(key)
    if idle is not None:
        return idle
    if pool.take_slot(key) is Grant.OPEN:
        return Conn(key)
    waiter = Request(key)
    pool.enqueue(key, waiter)
    return waiter


def opened(pool: Pool[Conn], key: str) -> Conn:
    got = acquire(pool, key)
    assert isinstance(got, Conn)
    return got


def waiting(pool: Pool[Conn], key: str) -> Request:
    got = acquire(pool, key)
    assert isinstance(got, Request)
    return got


# One origin


def test_what_is_free_is_given_in_this_order_idle_then_new_then_in_the_place_of_another() -> None:
    pool = pool_of(limit=2)
    first = opened(pool, "a")
    assert pool.put_idle("a", first)
    assert acquire(pool, "a") is first
    second = opened(pool, "a")
    assert pool.put_idle("a", second)
    assert (pool.open_count, pool.idle_count) == (2, 1)
    assert isinstance(acquire(pool, "b"), Conn)
    assert second.is_closed
    assert isinstance(acquire(pool, "b"), Request)


def test_the_connection_used_last_is_used_first() -> None:
    """It is the one least likely to have been closed by its peer."""
    pool = pool_of()
    connections = [opened(pool, "a") for _ in range(3)]
    for connection in connections:
        assert pool.put_idle("a", connection)
    assert [pool.take_idle("a") for _ in range(4)] == [*reversed(connections), None]
    assert pool.take_idle("b") is None


def test_the_one_idle_longest_of_all_origins_gives_way() -> None:
    pool = pool_of(limit=3)
    a, b, c = (opened(pool, key) for key in "abc")
    for connection in (b, c, a):
        pool.put_idle(connection.key, connection)
    assert pool.oldest_idle() is b
    opened(pool, "d")
    assert [connection.is_closed for connection in (a, b, c)] == [False, True, False]
    assert pool.oldest_idle() is c


def test_an_idle_connection_may_give_way_to_a_new_one_of_its_own_origin() -> None:
    pool = pool_of(limit=1)
    idle = opened(pool, "a")
    pool.put_idle("a", idle)
    assert pool.take_slot("a") is Grant.OPEN
    assert idle.is_closed
    pool.freed("a")
    assert (pool.open_count, pool._origins) == (0, {})


def test_to_ask_and_not_to_wait_leaves_nothing_behind() -> None:
    pool = pool_of(limit=1)
    connection = opened(pool, "a")
    assert pool.take_slot("b") is Grant.WAIT
    assert pool.put_idle("a", connection)
    pool.remove_idle("a", connection)
    assert pool._origins == {}


def test_a_free_connection_goes_straight_to_who_waits_longest() -> None:
    pool = pool_of(limit=1)
    connection = opened(pool, "a")
    waiters = [waiting(pool, "a") for _ in range(3)]
    for waiter in waiters:
        assert waiter.granted is None
        assert pool.put_idle("a", connection)
        assert waiter.granted is connection
    assert pool.waiting_count == 0
    assert pool.put_idle("a", connection)
    assert pool.idle_count == 1


def test_a_free_slot_goes_to_who_waits_longest() -> None:
    pool = pool_of(limit=1)
    opened(pool, "a")
    first, second = waiting(pool, "a"), waiting(pool, "a")
    pool.freed("a")
    assert (first.granted, second.granted) == (Grant.OPEN, None)
    pool.freed("a")
    assert second.granted is Grant.OPEN


def test_nobody_is_overtaken_in_an_origin_at_its_limit() -> None:
    pool = pool_of(limit=10, limit_per_host=1)
    opened(pool, "a")
    first = waiting(pool, "a")
    opened(pool, "b")
    second = waiting(pool, "a")
    pool.freed("a")
    assert (first.granted, second.granted) == (Grant.OPEN, None)


def test_a_new_origin_does_not_overtake_those_that_wait_for_a_slot() -> None:
    pool = pool_of(limit=1)
    opened(pool, "a")
    b, c = waiting(pool, "b"), waiting(pool, "c")
    pool.freed("a")
    assert (b.granted, c.granted) == (Grant.OPEN, None)
    assert waiting(pool, "d").granted is None
    pool.freed("b")
    assert c.granted is Grant.OPEN


def test_a_fresh_connection_takes_the_place_of_an_idle_one() -> None:
    pool = pool_of(limit=1)
    idle = opened(pool, "a")
    assert pool.replace_idle("b") is Grant.WAIT
    pool.put_idle("a", idle)
    assert pool.replace_idle("a") is Grant.OPEN
    assert idle.is_closed
    assert (pool.open_count, pool.idle_count) == (1, 0)
    assert pool.replace_idle("a") is Grant.WAIT


def test_an_idle_connection_that_was_lost_frees_its_slot() -> None:
    pool = pool_of(limit=2, limit_per_host=1)
    a, b = opened(pool, "a"), opened(pool, "b")
    pool.put_idle("a", a)
    assert pool.holds_idle(a)
    assert not pool.holds_idle(b)
    waiter = waiting(pool, "b")
    pool.remove_idle("a", a)
    assert not pool.holds_idle(a)
    assert waiter.granted is None, "its origin is at its own limit"
    assert pool.open_count == 1
    assert pool.oldest_idle() is None


def test_without_limits_nobody_waits_and_nothing_gives_way() -> None:
    pool = pool_of()
    connections = [opened(pool, "a") for _ in range(1000)]
    for connection in connections:
        assert pool.put_idle("a", connection)
    assert pool.idle_count == pool.open_count == 1000


# Who waits may leave


def test_one_who_leaves_is_not_granted_anything() -> None:
    pool = pool_of(limit=1)
    connection = opened(pool, "a")
    first, second, third = waiting(pool, "b"), waiting(pool, "b"), waiting(pool, "c")
    pool.withdraw("b", first)
    assert pool.waiting_count == 2
    pool.withdraw("b", second)
    pool.freed("a")
    assert connection.key == "a"
    assert [waiter.granted for waiter in (first, second, third)] == [None, None, Grant.OPEN]


def test_one_who_leaves_with_a_slot_gives_it_to_the_next() -> None:
    pool = pool_of(limit=1)
    opened(pool, "a")
    first, second = waiting(pool, "b"), waiting(pool, "c")
    pool.freed("a")
    assert first.granted is Grant.OPEN
    pool.freed("b")
    assert second.granted is Grant.OPEN
    pool.freed("c")
    assert pool.open_count == 0


def test_one_who_leaves_with_a_connection_gives_it_to_the_next() -> None:
    pool = pool_of(limit=1)
    connection = opened(pool, "a")
    first, second = waiting(pool, "a"), waiting(pool, "a")
    pool.put_idle("a", connection)
    assert first.granted is connection
    pool.put_idle("a", connection)
    assert second.granted is connection


# Fairness between origins


def served(pool: Pool[Conn], connection: Conn, rounds: int, backlog: dict[str, int]) -> list[str]:
    """Let every request take one step; *backlog* origins have always so many waiting. Who was served, in order."""
    waiters = OrderedDict[Request, None]()
    for key, count in backlog.items():
        for _ in range(count):
            waiters[waiting(pool, key)] = None
    order = []
    for _ in range(rounds):
        if not pool.put_idle(connection.key, connection):
            assert connection.is_closed
        waiter = next(waiter for waiter in waiters if waiter.granted is not None)
        del waiters[waiter]
        order.append(waiter.key)
        assert waiter.granted is not None
        connection = waiter.granted if isinstance(waiter.granted, Conn) else Conn(waiter.key)
        waiters[waiting(pool, waiter.key)] = None
    return order


def test_an_origin_keeps_a_connection_for_a_turn_while_others_wait() -> None:
    """Then its slot goes on: each origin with work gets the same share, and few connections are made."""
    pool = pool_of(limit=1)
    order = served(pool, opened(pool, "a"), 4 * 3 * (TURN + 1), {"a": 5, "b": 1, "c": 40})
    turns = [(key, len(list(turn))) for key, turn in groupby(order)]
    assert turns == [("a", TURN), *[(key, TURN + 1) for key in "bca" * 3], ("b", TURN + 1), ("c", TURN + 1), ("a", 1)]


def test_an_origin_alone_keeps_its_connection_for_ever() -> None:
    pool = pool_of(limit=1)
    connection = opened(pool, "a")
    assert served(pool, connection, 10 * TURN, {"a": 2}) == ["a"] * 10 * TURN
    assert not connection.is_closed


def test_a_turn_begins_anew_when_others_come() -> None:
    """What an origin served while nobody else waited does not count."""
    pool = pool_of(limit=1)
    connection = opened(pool, "a")
    for _ in range(3 * TURN):
        waiter = waiting(pool, "a")
        pool.put_idle("a", connection)
        assert waiter.granted is connection
    waiter = waiting(pool, "a")
    waiting(pool, "b")
    assert pool.put_idle("a", connection)
    assert waiter.granted is connection


def test_a_connection_that_nobody_of_its_origin_needs_gives_its_slot_to_others() -> None:
    pool = pool_of(limit=1)
    connection = opened(pool, "a")
    waiter = waiting(pool, "b")
    assert not pool.put_idle("a", connection)
    assert connection.is_closed
    assert waiter.granted is Grant.OPEN


def test_free_slots_go_round_the_origins_that_wait() -> None:
    pool = pool_of(limit=6, limit_per_host=2)
    held = [opened(pool, key) for key in "aabbcc"]
    waiters = [waiting(pool, key) for key in "ddddeef"]
    for connection in held:
        pool.freed(connection.key)
    granted = [waiter.key for waiter in waiters if waiter.granted]
    assert sorted(granted) == ["d", "d", "e", "e", "f"], "d is at its own limit with two"
    assert pool.open_count == 5


# Laws


class PoolMachine(RuleBasedStateMachine):
    """Requests come, are served, give back, break and leave in any order; after each step the laws hold."""

    keys = st.sampled_from(["a", "b", "c", "d"])
    connections: Bundle[Conn] = Bundle("connections")
    slots: Bundle[str] = Bundle("slots")

    @initialize(limit=st.integers(0, 5), limit_per_host=st.integers(0, 3))
    def start(self, limit: int, limit_per_host: int) -> None:
        """A pool with limits of all sizes, none included."""
        self.limit, self.limit_per_host = limit, limit_per_host
        self.pool: Pool[Conn] = Pool(limit, limit_per_host, self.discard)
        self.in_use: list[Conn] = []
        self.opening: list[str] = []
        self.idle: list[Conn] = []  # the one idle longest first
        self.queues: dict[str, list[Request]] = {}
        self.may_evict = False

    # What the connector does.

    def discard(self, connection: Conn) -> None:
        """Only what is idle, or was just given back, and only where a slot is needed."""
        assert self.may_evict, "closed for nothing"
        assert self.limit, "there is no limit that could be reached"
        assert self.open_count() == self.limit, "below the limit nothing gives way"
        close(connection)
        if connection in self.idle:
            assert connection is self.idle[0], "the one idle longest"
            self.idle.remove(connection)

    def open_count(self) -> int:
        """Sockets of the model."""
        return len(self.in_use) + len(self.opening) + len(self.idle)

    def collect_grants(self) -> None:
        """Take what waiters were granted, and see that nobody was overtaken."""
        for queue in self.queues.values():
            served = [waiter.granted is not None for waiter in queue]
            assert served == sorted(served, reverse=True), "first come, first served"
            while queue and queue[0].granted is not None:
                waiter = queue.pop(0)
                if isinstance(waiter.granted, Conn):
                    assert waiter.granted.key == waiter.key, "a connection serves its own origin"
                    assert not waiter.granted.is_closed
                    self.in_use.append(waiter.granted)
                else:
                    self.opening.append(waiter.key)

    @rule(key=keys, is_fresh=st.booleans())
    def request(self, key: str, is_fresh: bool) -> None:
        """A request comes."""
        idle = [connection for connection in self.idle if connection.key == key]
        if is_fresh and idle:
            self.idle.remove(idle[-1])
            self.in_use.append(idle[-1])  # the budget is as before when it is discarded
            self.may_evict, limit, self.limit = True, self.limit, self.open_count()
            assert self.pool.replace_idle(key) is Grant.OPEN
            self.may_evict, self.limit = False, limit
            self.in_use.remove(idle[-1])
            assert idle[-1].is_closed
            self.opening.append(key)
            return
        connection = self.pool.take_idle(key)
        if idle:
            assert connection is idle[-1], "the one used last"
            self.idle.remove(connection)
            self.in_use.append(connection)
            return
        assert connection is None
        self.may_evict = True
        grant = self.pool.replace_idle(key) if is_fresh else self.pool.take_slot(key)
        self.may_evict = False
        if grant is Grant.OPEN:
            assert not self.queues.get(key)
            self.opening.append(key)
        else:
            waiter = Request(key)
            self.queues.setdefault(key, []).append(waiter)
            self.pool.enqueue(key, waiter)
        self.collect_grants()

    @precondition(lambda self: self.opening)
    @rule(data=st.data(), succeeds=st.booleans())
    def connect(self, data: st.DataObject, succeeds: bool) -> None:
        """A connection was made, or could not be."""
        key = data.draw(st.sampled_from(self.opening))
        self.opening.remove(key)
        if succeeds:
            self.in_use.append(Conn(key))
        else:
            self.pool.freed(key)
            self.collect_grants()

    @precondition(lambda self: self.in_use)
    @rule(data=st.data(), is_reusable=st.booleans())
    def give_back(self, data: st.DataObject, is_reusable: bool) -> None:
        """A request is over."""
        connection = data.draw(st.sampled_from(self.in_use))
        if is_reusable:
            self.may_evict = True
            handed_on = bool(self.queues.get(connection.key))
            stays = self.pool.put_idle(connection.key, connection)
            self.may_evict = False
            self.in_use.remove(connection)
            assert stays is not connection.is_closed
            if stays and not handed_on:
                self.idle.append(connection)
        else:
            close(connection)
            self.in_use.remove(connection)
            self.pool.freed(connection.key)
        self.collect_grants()

    @precondition(lambda self: self.idle)
    @rule(data=st.data())
    def lose_idle(self, data: st.DataObject) -> None:
        """A peer closes an idle connection."""
        connection = data.draw(st.sampled_from(self.idle))
        self.idle.remove(connection)
        close(connection)
        self.pool.remove_idle(connection.key, connection)
        self.collect_grants()

    @precondition(lambda self: any(self.queues.values()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """A request that waits is cancelled."""
        waiter = data.draw(st.sampled_from([waiter for queue in self.queues.values() for waiter in queue]))
        self.queues[waiter.key].remove(waiter)
        self.pool.withdraw(waiter.key, waiter)
        self.collect_grants()

    # What holds after every step.

    @invariant()
    def counts_agree(self) -> None:
        """The pool counts what there is."""
        if not hasattr(self, "pool"):
            return
        assert self.pool.open_count == self.open_count()
        assert self.pool.idle_count == len(self.idle)
        assert self.pool.waiting_count == sum(map(len, self.queues.values()))
        assert self.pool.oldest_idle() is (self.idle[0] if self.idle else None)
        assert all(self.pool.holds_idle(connection) for connection in self.idle)
        assert not any(self.pool.holds_idle(connection) for connection in self.in_use)

    @invariant()
    def limits_hold(self) -> None:
        """Never more sockets than allowed, in all and for each origin."""
        if not hasattr(self, "pool"):
            return
        assert not self.limit or self.open_count() <= self.limit
        counts = Counter([connection.key for connection in self.in_use + self.idle] + self.opening)
        assert not self.limit_per_host or all(count <= self.limit_per_host for count in counts.values())

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """Who waits does so because a limit is reached and nothing idle could give way."""
        if not hasattr(self, "pool"):
            return
        counts = Counter([connection.key for connection in self.in_use + self.idle] + self.opening)
        for key, queue in self.queues.items():
            is_at_host_limit = self.limit_per_host and counts[key] >= self.limit_per_host
            is_at_limit = self.limit and self.open_count() >= self.limit and not self.idle
            assert not queue or is_at_host_limit or is_at_limit
            assert not queue or not any(connection.key == key for connection in self.idle)

    @invariant()
    def nothing_is_kept_for_nothing(self) -> None:
        """Memory does not grow with the origins seen."""
        if not hasattr(self, "pool"):
            return
        in_play = {connection.key for connection in self.in_use + self.idle}
        in_play |= set(self.opening) | {key for key, queue in self.queues.items() if queue}
        assert set(self.pool._origins) == in_play
        assert len(self.pool._ring) <= len(in_play)

    def teardown(self) -> None:
        """Everyone who waits is served in the end, and then nothing is left."""
        if not hasattr(self, "pool"):
            return
        while self.opening or self.in_use or self.idle or any(self.queues.values()):
            assert self.opening or self.in_use or self.idle, f"nobody serves {self.queues}"
            if self.opening:
                self.in_use.append(Conn(self.opening.pop()))
                continue
            connection = (self.in_use or self.idle)[0]
            if self.in_use:
                self.in_use.remove(connection)
                close(connection)
                self.pool.freed(connection.key)
            else:
                self.idle.remove(connection)
                close(connection)
                self.pool.remove_idle(connection.key, connection)
            self.collect_grants()
        assert not self.pool._origins
        assert not self.pool._ring
        assert (self.pool.open_count, self.pool.idle_count, self.pool.waiting_count) == (0, 0, 0)


TestLawsOfThePool = PoolMachine.TestCase
TestLawsOfThePool.settings = settings(stateful_step_count=40, deadline=None)
TestLawsOfThePool = pytest.mark.slow(TestLawsOfThePool)


# Cost


def lines_run(action: Callable[[], object]) -> int:
    """How many lines of the pool *action* runs."""
    count = 0

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return local

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        return local if frame.f_code.co_filename.endswith("pool.py") else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def steps(waiting_origins: int) -> dict[str, int]:
    """Lines that each operation takes while so many origins wait for a slot."""
    pool = pool_of(limit=2)
    mine, other = opened(pool, "mine"), opened(pool, "other")
    for number in range(waiting_origins):
        waiting(pool, f"origin {number}")
    next_of_mine = waiting(pool, "mine")
    waiter = Request("new")
    return {
        "take_idle": lines_run(lambda: pool.take_idle("new")),
        "take_slot": lines_run(lambda: pool.take_slot("new")),
        "enqueue": lines_run(lambda: pool.enqueue("new", waiter)),
        "withdraw": lines_run(lambda: pool.withdraw("new", waiter)),
        "put_idle, kept": lines_run(lambda: pool.put_idle("mine", mine)),
        "put_idle, passed on": lines_run(lambda: pool.put_idle("other", other)),
        "freed": lines_run(lambda: pool.freed(next_of_mine.key)),
    }


def test_no_operation_costs_more_with_five_thousand_waiting_origins_than_with_ten() -> None:
    """A scan over all that wait would cost 500 times as much."""
    few, many = steps(10), steps(5000)
    assert few == many
    assert max(many.values()) < 60


def test_the_repr_shows_live_state() -> None:
    pool = pool_of(limit=2)
    pool.put_idle("a", opened(pool, "a"))
    opened(pool, "b")
    assert repr(pool) == "<Pool 1 active, 1 idle, 0 waiting>"
    opened(pool, "b")
    waiting(pool, "b")
    assert repr(pool) == "<Pool 2 active, 0 idle, 1 waiting>"
