"""Sending again, within one attempt, what need not be fetched again for it: a part in memory, a spooled body."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from ..attempts import AttemptFailedError
from ..failures import retry_delay, verdict

__all__ = ["Again"]

MAX_FREE: Final = 20
"""Times that it is sent again because the destination asks for less, or cannot be reached."""
WAITS: Final = (0.1, 20.0)
"""Seconds: bounds of the first and of the longest wait."""


class Again:
    """How often one thing is sent again.

    Args:
        spend: Takes one of the item's tries; False when there is none.
        sleep: Waits for some seconds.
    """

    def __init__(self, spend: Callable[[], bool], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._spend = spend
        self._sleep = sleep
        self._free = self._spent = 0

    async def after(self, exc: AttemptFailedError) -> None:
        """Wait until it may be sent again.

        Args:
            exc: What it failed with.

        Raises:
            AttemptFailedError: *exc*, when it may not.
        """
        failure = exc.failure
        judged = verdict(failure._replace(of_sink=False))
        self._free += not judged.counts
        may = failure.of_sink and judged.retry and not exc.is_final and self._free <= MAX_FREE
        if not may or (judged.counts and not self._spend()):
            raise exc
        self._spent += 1
        base, cap = WAITS
        await self._sleep(retry_delay(self._spent, failure.retry_after, random.random, base=base, cap=cap))
