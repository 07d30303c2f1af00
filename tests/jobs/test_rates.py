"""How often requests may be sent, with the clock in the test's hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.rates import Rates


def sent_by(rates: Rates, hosts: list[str], waits: list[float]) -> list[float]:
    """When requests to *hosts* are sent, each asked for when the one before was sent and its wait is over."""
    now, times = 0.0, []
    for host, wait in zip(hosts, waits, strict=True):
        now = rates.take(host, now + wait)
        times.append(now)
    return times


def test_without_rates_nothing_waits() -> None:
    """Both are None: now is always the time."""
    rates = Rates()
    assert sent_by(rates, ["a", "b", "a"], [0.0, 0.0, 0.0]) == [0.0, 0.0, 0.0]
    assert rates.ready_at < 0.0
    assert rates.host_ready_at("a") < 0.0
    assert len(rates) == 0


def test_a_slow_rate_keeps_requests_apart() -> None:
    """One a second, however long nothing was asked for before: what was not used is gone."""
    assert sent_by(Rates(1.0), ["a", "b", "c"], [100.0, 0.0, 0.5]) == [100.0, 101.0, 102.0]


def test_the_rate_of_a_host_is_no_other_hosts() -> None:
    """Each has its bucket."""
    rates = Rates(per_host=2.0)
    assert [rates.take(host, 0.0) for host in ("a", "b", "a", "b", "a")] == [0.0, 0.0, 0.5, 0.5, 1.0]
    assert (rates.host_ready_at("a"), rates.host_ready_at("b")) == (1.5, 1.0)
    assert rates.host_ready_at("c") < 0.0


def test_the_stricter_of_both_rates_holds() -> None:
    """A request for which its host has a token waits for one of all, and the other way round."""
    rates = Rates(4.0, 2.0)
    assert [rates.take(host, 0.0) for host in ("a", "a", "b")] == [0.0, 0.5, 0.75]


def test_a_quick_rate_makes_up_for_a_timer_that_was_late() -> None:
    """A thousand a second: 50 at most at once, then one a millisecond."""
    rates = Rates(1000.0)
    times = [rates.take("a", 10.0) for _ in range(60)]
    assert times[:50] == [10.0] * 50
    assert 10.0 < times[50] < times[51]
    assert abs(times[59] - 10.010) < 1e-6


def test_an_early_request_has_its_turn_and_those_after_it_wait() -> None:
    """Who must send, such as a redirection, is told when; the bucket owes it."""
    rates = Rates(per_host=1.0)
    assert [rates.take("a", 0.0) for _ in range(4)] == [0.0, 1.0, 2.0, 3.0]
    assert rates.host_ready_at("a") == 4.0


def test_memory_follows_the_last_interval_not_the_hosts() -> None:
    """A hundred thousand hosts, a request each: those whose buckets are full are dropped."""
    rates = Rates(per_host=10.0)
    for number in range(100_000):
        rates.take(f"h{number}", number * 0.001)
    assert len(rates) < 2_100


@given(
    rate=st.sampled_from([0.5, 3.0, 20.0, 21.0, 400.0]),
    asked=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.0, 2.0)), min_size=1, max_size=60),
)
def test_no_stretch_of_time_has_more_requests_than_the_rate_allows(rate: float, asked: list[tuple[str, float]]) -> None:
    """rate * t and a bucketful, for all requests and for each host."""
    rates = Rates(per_host=rate)
    hosts, waits = [host for host, _ in asked], [wait for _, wait in asked]
    times = sent_by(rates, hosts, waits)
    bucketful = max(1.0, rate / 20.0)
    for host in "abc":
        own = [time for time, name in zip(times, hosts, strict=True) if name == host]
        for first in range(len(own)):
            for last in range(first, len(own)):
                assert last - first + 1 <= rate * (own[last] - own[first]) + bucketful + 1e-6
