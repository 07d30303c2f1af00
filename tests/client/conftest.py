"""What tests of the client share: the loops they run on, and the proof that they leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import uvloop

from tests.support.open_fds import open_fds

_LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


# Optional: a pytest-asyncio that does not know this hook runs everything on asyncio's own loop.
@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests of a module with ``BOTH_LOOPS = True`` on either loop, all others on asyncio's."""
    module = item.getparent(pytest.Module)
    if module is not None and getattr(module.obj, "BOTH_LOOPS", False):
        return _LOOPS
    return {"asyncio": _LOOPS["asyncio"]}


# What was closed may be given back by the loop a turn or two later; a leak never is.
_GRACE_TURNS = 200
_TURN_S = 0.005


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """The test leaves no descriptor open, no task running, and the loop nothing to complain about."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    tasks, before = asyncio.all_tasks(), open_fds()
    yield
    for _ in range(_GRACE_TURNS):
        # Compared by number: uvloop changes a pair of sockets of its own for another in each run_until_complete().
        if len(open_fds()) <= len(before):
            break
        await asyncio.sleep(_TURN_S)
    now = open_fds()
    assert len(now) <= len(before), f"left open: {set(now.items()) - set(before.items())}"
    left = asyncio.all_tasks() - tasks - {asyncio.current_task()}
    assert not left, f"still running: {left}"
    gc.collect(1)  # a failure that nobody has retrieved is told of when it is collected; it is young
    await asyncio.sleep(0)
    assert not complaints, complaints
