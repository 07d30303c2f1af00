"""A run as an asynchronous iterator of its outcomes: ``async for outcome in outcomes(settings, items): ...``"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

from .events import Event, ItemFinished
from .given_items import Items
from .items import Outcome
from .run import Run
from .settings import RunSettings

__all__ = ["outcomes"]

MAX_WAITING: Final = 1000
"""Outcomes that nobody has taken yet; from there on the run starts nothing until half of them are."""


async def outcomes(settings: RunSettings, items: Items | None = None) -> AsyncGenerator[Outcome, None]:
    """Run, and give each item's end as it comes; what is slow to take them slows the run.

    Close it (``contextlib.aclosing``) to stop the run early: what is in flight is let go of, the ledger has it.

    Args:
        settings: What to do.
        items: What to fetch, in the place of a manifest; None for that of *settings*.

    Raises:
        JobError: As ``run`` does, behind the last outcome.
    """
    waiting: deque[Outcome] = deque()
    news = asyncio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, ItemFinished):
            waiting.append(event.outcome)
            news.set()
            if len(waiting) >= MAX_WAITING:
                run.pause()

    run = Run(settings, on_event, items=items)
    running = asyncio.ensure_future(run.execute())
    running.add_done_callback(lambda _: news.set())
    try:
        while not running.done() or waiting:
            if not waiting:
                news.clear()
                await news.wait()
                continue
            yield waiting.popleft()
            if len(waiting) == MAX_WAITING // 2:
                run.resume()
        await running
    finally:
        if not running.done():
            run.stop("closed")
            run.resume()
            await asyncio.wait({running})
