"""What one host can take: slots, gate and breaker, with the clock in the test's hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs import hosts
from fetchd.jobs.failures import Failure, FailureClass
from fetchd.jobs.hosts import BreakerState, HostBudget

REFUSED = Failure(FailureClass.CONNECT, "refused")
UNASKED = Failure(FailureClass.DNS, "the name server does not answer", unasked=True)
CLOSED, PROBING, DEAD = BreakerState.CLOSED, BreakerState.PROBING, BreakerState.DEAD


def longest() -> float:
    """The random number that makes every jittered wait as long as it can be."""
    return 1.0


def a_host(limit: int = 6, *, has_answered: bool = False, rng: Callable[[], float] = longest) -> HostBudget:
    """A host whose first request was started at 0."""
    return HostBudget(limit, since=0.0, has_answered=has_answered, rng=rng)


def failing_until(budget: HostBudget, end: float) -> list[float]:
    """Let each attempt fail at once, the first three together; return when the probes were sent."""
    for _ in range(3):
        budget.failed(0.0, REFUSED)
    probes: list[float] = []
    while budget.blocked_until <= end and budget.state is not DEAD:
        probes.append(budget.blocked_until)
        budget.failed(budget.blocked_until, REFUSED)
    return probes


# --- the breaker


def test_two_faults_are_no_trouble() -> None:
    """They happen to a healthy host."""
    budget = a_host()
    budget.failed(0.0, REFUSED)
    budget.failed(0.0, REFUSED)
    assert budget.state is CLOSED
    assert budget.may_start(0.0, 0)


def test_the_third_fault_in_a_row_opens_the_breaker() -> None:
    """From then on one request at a time, and not at once."""
    budget = a_host()
    for _ in range(3):
        budget.failed(5.0, REFUSED)
    assert budget.state is PROBING
    assert (budget.slots, budget.blocked_until) == (1, 5.5)
    assert not budget.may_start(5.4, 0)
    assert budget.may_start(5.5, 0)
    assert not budget.may_start(5.5, 1)


def test_an_answer_between_faults_starts_the_count_again() -> None:
    """Only faults in a row count."""
    budget = a_host()
    for _ in range(10):
        budget.failed(0.0, REFUSED)
        budget.failed(0.0, REFUSED)
        budget.answered(0.0)
    assert budget.state is CLOSED


def test_probes_wait_twice_as_long_each_time_and_the_last_is_sent_when_the_host_would_be_hopeless() -> None:
    """0.5, 1, 2, 4 s, and at 8 s it is decided: within the 10 s that are promised."""
    budget = a_host()
    assert failing_until(budget, 100.0) == [0.5, 1.5, 3.5, 7.5, 8.0]
    assert budget.state is DEAD


def test_the_wait_between_probes_ends_at_half_a_minute() -> None:
    """A host that has answered is looked for over five minutes; then it is dead."""
    budget = a_host(has_answered=True)
    probes = failing_until(budget, 1000.0)
    assert probes[:8] == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5]
    assert probes[-1] == 300.0
    assert budget.state is DEAD


def test_jitter_takes_up_to_half_of_a_wait() -> None:
    """Hosts that fell together are not probed together."""
    budget = a_host(rng=lambda: 0.0)
    assert failing_until(budget, 2.0) == [0.25, 0.75, 1.75]


def test_requests_that_were_under_way_do_not_put_off_the_probe() -> None:
    """Six fail together: one wait, not four doublings."""
    budget = a_host()
    for _ in range(6):
        budget.failed(0.0, REFUSED)
    assert budget.blocked_until == 0.5


def test_a_host_that_swallows_packets_is_dead_with_the_first_timeout() -> None:
    """Counted from the start of its first request: no second round."""
    budget = a_host()
    assert hosts.first_contact(6) == 8.0
    budget.failed(8.0, REFUSED)
    assert budget.state is DEAD


def test_with_one_slot_two_attempts_share_the_time() -> None:
    """One page that hangs is no dead host."""
    budget = a_host(limit=1)
    assert hosts.first_contact(1) == 4.0
    budget.failed(4.0, REFUSED)
    assert budget.state is CLOSED
    budget.failed(8.0, REFUSED)
    assert budget.state is DEAD
    late = a_host(limit=1)
    late.failed(20.0, REFUSED)
    assert late.state is CLOSED


def test_faults_alone_do_not_make_a_host_dead() -> None:
    """A short outage fails many requests in an instant."""
    budget = a_host()
    for _ in range(1000):
        budget.failed(7.9, REFUSED)
    assert budget.state is PROBING


def test_name_servers_that_fail_say_nothing_of_the_host() -> None:
    """It is looked for as long as one that has answered; a name that is none is decided at once."""
    budget = a_host()
    for now in (5.0, 10.0, 20.0, 299.0):
        budget.failed(now, UNASKED)
    assert budget.state is PROBING
    budget.failed(300.0, UNASKED)
    assert budget.state is DEAD
    nameless = a_host()
    nameless.failed(8.0, UNASKED._replace(unasked=False))
    assert nameless.state is DEAD


def test_a_host_that_answered_has_five_minutes_from_its_first_fault() -> None:
    """Not from its first request, however long ago that was."""
    budget = a_host()
    budget.answered(1.0)
    for now in (1000.0, 1000.0, 1000.0, 1299.0):
        budget.failed(now, REFUSED)
        assert budget.state is not DEAD
    budget.failed(1300.0, REFUSED)
    assert budget.state is DEAD


@pytest.mark.parametrize("state", [CLOSED, PROBING, DEAD])
@pytest.mark.parametrize("sign", ["answered", "throttled"])
def test_one_answer_closes_the_breaker(state: BreakerState, sign: str) -> None:
    """Whatever it was: the host is there."""
    budget = a_host()
    faults, now = {CLOSED: (1, 1.0), PROBING: (3, 1.0), DEAD: (1, 30.0)}[state]
    for _ in range(faults):
        budget.failed(now, REFUSED)
    assert budget.state is state
    if sign == "answered":
        budget.answered(31.0)
        assert budget.may_start(31.0, 0)
    else:
        budget.throttled(31.0, 5.0)
        assert not budget.may_start(31.0, 0)
    assert budget.state is CLOSED
    assert budget.has_answered


def test_a_dead_host_gets_a_probe_every_half_minute() -> None:
    """If there is an item to probe it with."""
    budget = a_host()
    for _ in range(4):
        budget.failed(30.0, REFUSED)
    assert not budget.may_start(59.9, 0)
    assert budget.may_start(60.0, 0)
    assert not budget.may_start(60.0, 1)
    budget.failed(61.0, REFUSED)
    assert budget.state is DEAD
    assert budget.blocked_until == 91.0


def test_the_last_fault_is_remembered() -> None:
    """It is what the items of a dead host fail with."""
    budget = a_host()
    assert budget.last_failure is None
    budget.failed(0.0, REFUSED)
    assert budget.last_failure is REFUSED


def test_the_table_has_an_answer_for_every_pair_that_can_happen() -> None:
    """And none for those that cannot: the count of faults only grows until an answer comes."""
    pairs = {(state, event) for state in BreakerState for event in hosts._Event}
    assert pairs - set(hosts._TRANSITIONS) == {
        (PROBING, hosts._Event.FAILED),
        (DEAD, hosts._Event.FAILED),
        (DEAD, hosts._Event.FAILING),
    }


# --- the gate


def test_retry_after_gates_the_host() -> None:
    """Nothing starts before, whatever slots are free."""
    budget = a_host()
    budget.throttled(10.0, 30.0)
    assert budget.blocked_until == 40.0
    assert not budget.may_start(39.9, 0)
    assert budget.may_start(40.0, 0)


def test_an_earlier_gate_does_not_open_a_later_one() -> None:
    """The strictest holds."""
    budget = a_host()
    budget.gate(40.0)
    budget.gate(20.0)
    assert budget.blocked_until == 40.0


def test_without_retry_after_the_gate_doubles_up_to_a_minute() -> None:
    """Each round that is throttled waits longer than the last."""
    budget = a_host()
    now, waits = 0.0, []
    for _ in range(8):
        budget.throttled(now, None)
        waits.append(budget.blocked_until - now)
        now = budget.blocked_until
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_refusals_of_requests_under_way_do_not_double_the_gate() -> None:
    """One overload is one reason to wait; but a longer Retry-After among them holds."""
    budget = a_host()
    for _ in range(6):
        budget.throttled(0.0, None)
    assert budget.blocked_until == 1.0
    budget.throttled(0.5, 3.0)
    assert budget.blocked_until == 3.5


def test_a_server_that_always_says_zero_is_not_hammered() -> None:
    """Retry-After is a floor, not a leave to go on."""
    budget = a_host()
    budget.throttled(0.0, 0.0)
    budget.throttled(1.0, 0.0)
    assert budget.blocked_until == 3.0


def test_an_answer_after_the_gate_ends_the_doubling_and_one_before_it_does_not() -> None:
    """What was asked before the gate proves nothing of after."""
    budget = a_host()
    budget.throttled(0.0, None)
    budget.answered(0.5)
    budget.throttled(1.0, None)
    assert budget.blocked_until == 3.0
    budget.answered(3.0)
    budget.throttled(4.0, None)
    assert budget.blocked_until == 5.0


# --- slots


def test_a_host_begins_with_all_its_slots() -> None:
    """Until something speaks against it."""
    assert a_host(6).slots == 6


def test_trouble_halves_the_slots_but_one_remains() -> None:
    """Multiplicative decrease."""
    budget = a_host(6)
    seen = []
    for now in range(5):
        budget.throttled(float(now), None)
        seen.append(budget.slots)
    assert seen == [3, 1, 1, 1, 1]


def test_one_overload_halves_the_slots_once() -> None:
    """Though it refuses many requests."""
    budget = a_host(64)
    for _ in range(64):
        budget.throttled(0.0, None)
    assert budget.slots == 32


def test_answers_give_slots_back_one_by_one() -> None:
    """Additive increase: a slot for each round of answers, never more than the limit."""
    budget = a_host(4)
    budget.throttled(0.0, None)
    seen = []
    for _ in range(12):
        budget.answered(10.0)
        seen.append(budget.slots)
    assert seen == [2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4]


def test_a_host_has_recovered_when_nothing_is_left_of_its_trouble() -> None:
    """Then it is as good as a new one and is forgotten."""
    budget = a_host(2)
    assert budget.has_recovered(0.0)
    budget.throttled(0.0, 5.0)
    assert not budget.has_recovered(0.0)
    budget.answered(6.0)
    assert budget.slots == 2
    assert budget.has_recovered(6.0)


@pytest.mark.parametrize("trouble", ["fault", "gate", "slots", "dead"])
def test_each_trouble_alone_keeps_a_host_remembered(trouble: str) -> None:
    """Fault, gate, lost slots, breaker."""
    budget = a_host(64)
    if trouble == "fault":
        budget = a_host(1)
        budget.failed(0.0, REFUSED)
    elif trouble == "gate":
        budget.gate(60.0)
    elif trouble == "slots":
        budget.throttled(0.0, None)
        budget.answered(40.0)
    else:
        for _ in range(4):
            budget.failed(30.0, REFUSED)
    assert not budget.has_recovered(40.0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["answered", "failed", "throttled", "gated"]),
        st.floats(0.0, 100.0),
        st.floats(0.0, 3600.0),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 8), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_whatever_happens_the_limits_hold_and_time_lets_something_start(
    steps: list[tuple[str, float, float]], limit: int, has_answered: bool, random: float
) -> None:
    """Slots stay between 1 and the limit; no wait is longer than what was asked for, or a minute."""
    budget = a_host(limit, has_answered=has_answered, rng=lambda: random)
    now = longest_asked = 0.0
    for step, pause, asked in steps:
        now += pause
        if step == "answered":
            budget.answered(now)
        elif step == "failed":
            budget.failed(now, REFUSED)
        elif step == "throttled":
            longest_asked = max(longest_asked, now + asked)
            budget.throttled(now, asked)
        else:
            longest_asked = max(longest_asked, now + asked)
            budget.gate(now + asked)
        assert 1 <= budget.slots <= limit
        assert budget.blocked_until <= max(longest_asked, now + 60.0)
        assert budget.may_start(max(now, budget.blocked_until), 0)
        assert not budget.may_start(max(now, budget.blocked_until), limit)


def test_its_repr_shows_how_it_stands() -> None:
    """For logs and debuggers."""
    budget = a_host()
    for _ in range(3):
        budget.failed(0.0, REFUSED)
    assert repr(budget) == "<HostBudget probing, 1 of 6 slots, 3 faults>"


# --- latency


def test_slow_answers_halve_the_slots_when_even_the_fastest_of_a_round_is_slow() -> None:
    """Six at a time take three seconds each: the host has a queue."""
    budget = a_host()
    for now in range(11):
        budget.answered(float(now), 3.0)
    assert budget.slots == 6
    budget.answered(11.0, 3.0)
    assert budget.slots == 3
    assert not budget.has_recovered(11.0)


def test_a_quick_answer_among_slow_ones_is_no_congestion() -> None:
    """Some pages take long: that is no reason to ask for less."""
    budget = a_host()
    for now in range(60):
        budget.answered(float(now), 0.1 if now % 5 == 0 else 3.0)
    assert budget.slots == 6
    budget.answered(60.0, 0.1)
    assert budget.has_recovered(60.0)


def test_slots_are_earned_back_when_answers_are_quick_again() -> None:
    """By each quick answer a part of one; slow ones earn nothing."""
    budget = a_host()
    for _ in range(12):
        budget.answered(0.0, 3.0)
    assert budget.slots == 3
    for _ in range(6):
        budget.answered(1.0, 3.0)  # to what was asked before
    assert budget.slots == 3
    for _ in range(20):
        budget.answered(2.0, 0.2)
    assert budget.slots == 6
    assert budget.has_recovered(2.0)
