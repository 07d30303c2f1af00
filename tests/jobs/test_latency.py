"""Whether a host is slow because of us: latencies in, a judgement out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.latency import SLOW_S, LatencyWatch, Load

FINE, SLOW, CONGESTED = Load.FINE, Load.SLOW, Load.CONGESTED


def told(watch: LatencyWatch, latencies: list[float], slots: int) -> list[Load]:
    """What is said of each answer."""
    return [watch.answered(latency, slots) for latency in latencies]


def test_a_round_is_two_answers_a_slot_and_its_fastest_counts() -> None:
    """Four at least."""
    assert told(LatencyWatch(), [3.0] * 6, 3) == [SLOW] * 5 + [CONGESTED]
    assert told(LatencyWatch(), [3.0] * 5 + [0.9], 3) == [SLOW] * 5 + [FINE]
    assert told(LatencyWatch(), [3.0] * 4, 2)[-1] is CONGESTED


def test_a_quick_answer_ends_the_watch() -> None:
    """The host is as quick as any."""
    watch = LatencyWatch()
    assert told(watch, [3.0, 0.2], 6) == [SLOW, FINE]
    assert watch.is_over


def test_answers_under_way_tell_how_it_was_and_the_next_round_whether_it_helped() -> None:
    """Half as many take half as long: once more."""
    watch = LatencyWatch()
    told(watch, [3.0] * 12, 6)
    assert told(watch, [3.0] * 6, 3) == [SLOW] * 6
    assert told(watch, [1.5] * 6, 3)[-1] is CONGESTED


def test_where_fewer_are_no_quicker_that_is_the_pace_of_the_host() -> None:
    """It is no sign of trouble any more, until it takes twice as long again."""
    watch = LatencyWatch()
    told(watch, [3.0] * 12, 6)
    told(watch, [3.0] * 6, 3)
    assert told(watch, [3.0] * 6, 3)[-1] is FINE
    assert told(watch, [5.9] * 12, 6) == [FINE] * 12
    assert told(watch, [6.1] * 12, 6)[-1] is CONGESTED
    assert not watch.is_over


def test_one_slot_cannot_be_halved() -> None:
    """What it takes then is its pace."""
    watch = LatencyWatch()
    assert CONGESTED not in told(watch, [9.0] * 20, 1)


def test_the_pace_follows_down() -> None:
    """A host that gets quicker is held to that."""
    watch = LatencyWatch()
    told(watch, [9.0] * 4, 1)
    assert told(watch, [2.0] * 4, 1) == [FINE] * 4
    assert told(watch, [5.0] * 4, 1)[:3] == [SLOW] * 3
    assert told(watch, [0.1] * 8, 1) == [FINE] * 8
    assert watch.is_over


@given(st.lists(st.floats(0.0, SLOW_S), max_size=60), st.integers(1, 8))
def test_nothing_under_a_second_is_slow(latencies: list[float], slots: int) -> None:
    """Whatever the host did before."""
    assert set(told(LatencyWatch(), latencies, slots)) <= {FINE}
