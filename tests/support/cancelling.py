"""Cancel a coroutine at its first, second, third ... await, until it gets through.

Where a coroutine can be cancelled is where it is suspended, and that is known only by running it. So it is run
again and again: cancelled at the k-th suspension, for k = 1, 2, 3 ..., until a run ends before its k-th one. What
must hold after every cancelled run is for the caller to assert::

    async for k in cancelled_at_each_await(lambda: fetch(session), Moment.WOKEN):
        assert connector.open_count == connector.idle_count, k

A cancellation that comes while a task waits is the easy case. One that comes when what it waited for has just
happened, and the task was not told yet, is where slots and sockets get lost: there is a moment for each.
What goes on in other tasks meanwhile is not counted in awaits; ``cancelled_in_each_turn`` counts turns of the loop.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from enum import Enum
from typing import Any

__all__ = ["Moment", "cancelled_at_each_await", "cancelled_in_each_turn"]

# A coroutine that is suspended more often than this spins, and would be cancelled for ever.
_MAX_AWAITS = 400
# Each turn up to here is tried; beyond it every twentieth part more, for what waits for threads and clocks.
_ALL_TURNS = 60


class Moment(Enum):
    """When the cancellation comes."""

    WAITING = "waiting"  # what is waited for has not happened
    WOKEN = "woken"  # it has happened, and the task is to be told in this turn of the loop


async def cancelled_at_each_await(
    make: Callable[[], Coroutine[Any, Any, object]], moment: Moment
) -> AsyncIterator[int]:
    """Run ``make()`` cancelled at its k-th await, and yield k, for k = 1, 2, 3 ... until a run gets through.

    Raises:
        AssertionError: A run went on after its cancellation, or there is no end of awaits.
        Exception: What a run failed by, cancelled or not.
    """
    for k in range(1, _MAX_AWAITS):
        run = _Run(make(), k, moment)
        task = asyncio.create_task(run.coroutine())
        await asyncio.wait((task,))
        if not run.is_interrupted:
            task.result()
            return
        if not task.cancelled():
            raise AssertionError(f"cancelled at await {k}, and it went on to give {task.result()!r}")
        yield k
    raise AssertionError(f"not through after {_MAX_AWAITS} awaits")


async def cancelled_in_each_turn(
    make: Callable[[], Coroutine[Any, Any, object]],
) -> AsyncIterator[int]:
    """Run ``make()`` cancelled after k turns of the loop, and yield k, for k = 0, 1, 2 ... until one gets through.

    Raises:
        AssertionError: A run went on after its cancellation.
        Exception: What a run failed by, cancelled or not.
    """
    k = 0
    while True:
        task = asyncio.create_task(make())
        for _ in range(k):
            await asyncio.sleep(0)
        if task.done():
            task.result()
            return
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            raise AssertionError(f"cancelled in turn {k}, and it went on to give {task.result()!r}")
        yield k
        k += 1 + max(0, k - _ALL_TURNS) // 20


class _Run:
    """One run, cancelled at its *at*-th await.

    Attributes:
        is_interrupted: Whether it came so far.
    """

    def __init__(self, coro: Coroutine[Any, Any, object], at: int, moment: Moment) -> None:
        self._coro = coro
        self._left = at
        self._moment = moment
        self.is_interrupted = False

    async def coroutine(self) -> object:
        """What is to be made a task."""
        return await self._steps()

    @types.coroutine
    def _steps(self) -> Generator[Any, Any, object]:
        thrown: BaseException | None = None
        while True:
            try:
                awaited = self._coro.send(None) if thrown is None else self._coro.throw(thrown)
            except StopIteration as stop:
                return stop.value
            self._left -= 1
            if self._left == 0:
                self._interrupt(awaited)
            try:
                yield awaited
                thrown = None
            except BaseException as exc:
                thrown = exc

    def _interrupt(self, awaited: object) -> None:
        task = asyncio.current_task()
        assert task is not None, "run as a task"
        self.is_interrupted = True
        if self._moment is Moment.WOKEN and isinstance(awaited, asyncio.Future):
            # Called before the task's own callback, which is added when the task gets what we yield.
            awaited.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()  # carried out by the task as soon as it gets what we yield
