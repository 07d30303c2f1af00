"""A lane: one host's items in order, and what may start among them."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.hosts import HostBudget
from fetchd.jobs.items import Item
from fetchd.jobs.lanes import Lane


def item(line: int) -> Item:
    """An item that is told from others by its line."""
    return Item("http://h/", line, host="h:80")


def queue(lane: Lane, *lines: int) -> None:
    """Put items at the end of the queue, with the count that the scheduler keeps."""
    lane.back += [item(line) for line in lines]
    lane.queued += len(lines)


@given(st.lists(st.sampled_from(["push", "front", "pop"]), max_size=200))
def test_two_lists_are_one_queue(steps: list[str]) -> None:
    """Whatever the order of pushes and pops, it behaves as a deque does."""
    lane, model = Lane("h:80", 6), deque[Item]()
    for line, step in enumerate(steps):
        new = item(line)
        if step == "push":
            lane.back.append(new)
            model.append(new)
        elif step == "front":
            lane.delay(0.0, line, new)
            assert lane.take_due(0.0) == 1
            model.appendleft(new)
        elif model:
            assert lane.pop() is model.popleft()
    assert lane.take_all() == list(model)


def test_delayed_items_come_before_the_queue_the_earliest_first() -> None:
    """Older items first; what is not due stays."""
    lane = Lane("h:80", 6)
    queue(lane, 10, 11)
    for due, line in ((3.0, 3), (1.0, 1), (2.0, 2), (9.0, 9)):
        lane.delay(due, line, item(line))
    assert lane.take_due(0.5) == 0
    assert lane.take_due(3.0) == 3
    assert [lane.pop().line for _ in range(5)] == [1, 2, 3, 10, 11]
    assert lane.take_due(9.0) == 1


def test_everything_that_waits_can_be_taken_at_once() -> None:
    """The queue in order, then the delayed items as they would be due."""
    lane = Lane("h:80", 6)
    queue(lane, 2, 3)
    lane.pop()
    queue(lane, 4)
    lane.delay(9.0, 0, item(9))
    lane.delay(5.0, 1, item(5))
    assert [found.line for found in lane.take_all()] == [3, 4, 5, 9]
    assert lane.take_all() == []


def test_a_lane_may_start_while_it_has_an_item_and_a_slot() -> None:
    """Without trouble nothing else is asked."""
    lane = Lane("h:80", 2)
    assert not lane.may_start(0.0)
    queue(lane, 1)
    assert lane.may_start(0.0)
    lane.active = 2
    assert not lane.may_start(0.0)


def test_a_lane_with_a_budget_may_start_what_the_budget_lets() -> None:
    """The gate of the host holds for the lane."""
    lane = Lane("h:80", 2)
    queue(lane, 1)
    lane.budget = HostBudget(2, since=0.0)
    lane.budget.gate(5.0)
    assert not lane.may_start(4.9)
    assert lane.may_start(5.0)


def test_its_repr_shows_how_it_stands() -> None:
    """For logs and debuggers."""
    lane = Lane("h:80", 2)
    queue(lane, 1, 2)
    lane.delay(1.0, 0, item(3))
    assert lane.waiting == 3
    assert repr(lane) == "<Lane h:80: 2 queued, 1 delayed, 0 active>"
