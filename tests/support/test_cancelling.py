"""The helper that cancels at each await finds each of them, and each of the two moments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.support.cancelling import Moment, cancelled_at_each_await, cancelled_in_each_turn

both_moments = pytest.mark.parametrize("moment", list(Moment), ids=lambda moment: moment.value)


def scenario(seen: list[str], futures: list[asyncio.Future[str]]) -> Callable[[], Coroutine[Any, Any, None]]:
    """Three awaits: a turn, a future that is resolved soon, a child task."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        seen.append("begun")
        await asyncio.sleep(0)
        seen.append("first")
        future = loop.create_future()
        futures.append(future)
        loop.call_later(0, lambda: None if future.done() else future.set_result("answer"))
        await future
        seen.append("second")
        await loop.create_task(asyncio.sleep(0))
        seen.append("third")

    return run


@both_moments
async def test_every_await_is_cancelled_once_in_order(moment: Moment) -> None:
    """The k-th run comes to its k-th await and not further; the last gets through."""
    seen: list[str] = []
    ks = []
    async for k in cancelled_at_each_await(scenario(seen, []), moment):
        ks.append((k, seen.copy()))
        seen.clear()
    assert ks == [(1, ["begun"]), (2, ["begun", "first"]), (3, ["begun", "first", "second"])]
    assert seen == ["begun", "first", "second", "third"]


@pytest.mark.parametrize(
    ("moment", "happened"), [(Moment.WAITING, False), (Moment.WOKEN, True)], ids=["waiting", "woken"]
)
async def test_the_moments_differ_in_whether_it_has_happened(moment: Moment, happened: bool) -> None:
    """Cancelled while waiting, the future is cancelled too; cancelled when woken, it has its result."""
    futures: list[asyncio.Future[str]] = []
    async for k in cancelled_at_each_await(scenario([], futures), moment):
        if k == 2:
            assert futures[-1].cancelled() is not happened


async def test_turns_are_counted_from_before_the_first() -> None:
    """A task cancelled before its first step never begins."""
    seen: list[str] = []
    begun = []
    async for _ in cancelled_in_each_turn(scenario(seen, [])):
        begun.append(len(seen))
        seen.clear()
    assert begun[:2] == [0, 1]
    assert begun == sorted(begun)
    assert seen == ["begun", "first", "second", "third"]


async def _swallows() -> str:
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return "went on"
    return "was not cancelled"


async def test_a_swallowed_cancellation_is_an_error() -> None:
    """Whoever catches CancelledError and goes on is found out."""
    with pytest.raises(AssertionError, match="'went on'"):
        async for _ in cancelled_at_each_await(_swallows, Moment.WAITING):
            pass
    with pytest.raises(AssertionError, match="'went on'"):
        async for _ in cancelled_in_each_turn(_swallows):
            pass


@both_moments
async def test_a_failure_of_a_run_is_raised(moment: Moment) -> None:
    """Cancelled or not: a cleanup that fails is what is looked for."""

    async def run() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            raise KeyError("in the cleanup")

    with pytest.raises(KeyError):
        async for _ in cancelled_at_each_await(run, moment):
            pass


async def test_a_coroutine_without_end_is_an_error() -> None:
    """It would be cancelled for ever."""

    async def spin() -> None:
        while True:  # noqa: ASYNC110 -- nothing is waited for
            await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="not through"):
        async for _ in cancelled_at_each_await(spin, Moment.WAITING):
            pass
