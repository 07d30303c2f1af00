"""Waiting for tasks that use what is closed next."""

from __future__ import annotations

import asyncio

__all__ = ["wait_out"]


async def wait_out(tasks: set[asyncio.Task[None]]) -> None:
    """Wait until *tasks* are done. A cancellation is put off until then: they use what the caller closes next."""
    cancellation: asyncio.CancelledError | None = None
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as exc:
            cancellation = exc
    if cancellation is not None:
        raise cancellation
