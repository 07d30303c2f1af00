"""Worker threads that use descriptors: how they are told to end, and waited for whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeVar

__all__ = ["Stop", "finished"]

T = TypeVar("T")


class Stop:
    """Tells a worker to end its batch."""

    def __init__(self) -> None:
        self.is_set = False


async def finished(work: asyncio.Future[T], stop: Stop | None = None) -> T:
    """Wait for a worker, whatever happens: it uses descriptors that will be closed when this returns or raises."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if stop is not None:
            stop.is_set = True
        while not work.done():  # a few ms; a second cancellation changes nothing in that
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((work,))
        raise
