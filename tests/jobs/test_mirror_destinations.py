"""The hosts that are sent to: places, gates and breakers of their own."""

from __future__ import annotations

import asyncio

import pytest

from fetchd.jobs.attempts import AttemptFailedError
from fetchd.jobs.failures import Failure, FailureClass, HostSign, verdict
from fetchd.jobs.mirror import destinations
from fetchd.jobs.mirror.destinations import Destinations

DOWN = Failure(FailureClass.CONNECT, "refused", of_sink=True)
BUSY = Failure(FailureClass.HTTP_5XX, "status 503", 503, 30.0, of_sink=True)


class Clock:
    """Time that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


async def test_no_more_than_the_limit_are_let_in_and_in_order(clock: Clock) -> None:
    hosts, entered = Destinations(2, clock), list[int]()

    async def enter(number: int) -> None:
        await hosts.enter("a:80")
        entered.append(number)

    tasks = [asyncio.create_task(enter(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert entered == [0, 1]
    await hosts.enter("b:80")  # another host has places of its own
    hosts.leave("a:80", None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert entered == [0, 1, 2]
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(2):
        hosts.leave("a:80", None)
    hosts.leave("b:80", None)
    assert not hosts._lanes


async def test_a_place_given_to_one_that_is_cancelled_goes_to_the_next(clock: Clock) -> None:
    hosts = Destinations(1, clock)
    await hosts.enter("a:80")
    first, second = (asyncio.create_task(hosts.enter("a:80")) for _ in range(2))
    await asyncio.sleep(0)
    hosts.leave("a:80", None)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await asyncio.wait_for(second, 5)


async def test_the_last_who_waits_gets_the_place_of_the_last_who_leaves(clock: Clock) -> None:
    """Between its waking and its look nobody is there, and the host is not forgotten all the same."""
    hosts = Destinations(1, clock)
    await hosts.enter("a:80")
    waiting = asyncio.create_task(hosts.enter("a:80"))
    await asyncio.sleep(0)
    hosts.leave("a:80", None)
    await waiting
    hosts.leave("a:80", None)
    assert not hosts._lanes


async def test_a_place_is_waited_for_a_moment_only(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Who waits holds a slot of its source's host: put off, it comes again when others have had their turn."""
    monkeypatch.setattr(destinations, "PATIENCE_S", 0.02)
    hosts = Destinations(1, clock)
    await hosts.enter("a:80")
    for _ in range(2):
        with pytest.raises(AttemptFailedError, match="not sent to now") as caught:
            await hosts.enter("a:80")
        assert caught.value.delay == 0
    hosts.leave("a:80", None)
    await hosts.enter("a:80")
    hosts.leave("a:80", None)
    assert not hosts._lanes


async def test_retry_after_gates_the_host_and_puts_items_off(clock: Clock) -> None:
    """Those that wait too: they give their slots back instead of holding them for half a minute."""
    hosts = Destinations(1, clock)
    await hosts.enter("a:80")
    waiting = asyncio.create_task(hosts.enter("a:80"))
    await asyncio.sleep(0)
    hosts.leave("a:80", BUSY)
    for attempt in (waiting, hosts.enter("a:80")):
        with pytest.raises(AttemptFailedError) as caught:
            await attempt
        assert caught.value.delay is not None
        assert 30.0 <= caught.value.delay <= 34.0
    await hosts.enter("b:80")
    clock.now += 31.0
    await hosts.enter("a:80")


async def test_a_dead_host_fails_items_at_once(clock: Clock) -> None:
    """Never reached, over 9 s: the same bound as for hosts that are fetched from."""
    hosts = Destinations(6, clock)
    for _ in range(30):
        try:
            await hosts.enter("a:80")
        except AttemptFailedError as exc:
            if exc.is_final:
                break
            clock.now += exc.delay or 0.0
        else:
            clock.now += 1.0
            hosts.leave("a:80", DOWN)
    else:
        pytest.fail("the host was never given up")
    assert clock.now <= 100.0 + 15.0
    with pytest.raises(AttemptFailedError, match="does not answer") as caught:
        await hosts.enter("a:80")
    assert caught.value.failure.failure_class is FailureClass.CONNECT


async def test_what_the_source_fails_with_says_nothing_of_the_destination(clock: Clock) -> None:
    hosts = Destinations(1, clock)
    for _ in range(10):
        await hosts.enter("a:80")
        hosts.leave("a:80", DOWN._replace(of_sink=False))
    assert not hosts._lanes


def test_what_the_destination_fails_with_says_nothing_of_the_source() -> None:
    """Retried and counted by the same table."""
    for failure in (DOWN, BUSY):
        ours, theirs = verdict(failure), verdict(failure._replace(of_sink=False))
        assert ours.sign is HostSign.NONE
        assert ours._replace(sign=theirs.sign) == theirs
