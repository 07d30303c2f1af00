"""What follows from a failed attempt: once more, elsewhere, or never.

Lives here: how often an item is tried, and at which of its URLs. Not here: what a failure means (``failures.verdict``),
when its host may be asked again (``scheduler``), what becomes of an item that has failed for good (``run``).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from .events import ItemRetried
from .failures import Failure, HostSign, Verdict, retry_delay, verdict
from .items import Item
from .scheduler import Scheduler

__all__ = ["MAX_FREE_RETRIES", "MAX_FREE_S", "Trying"]

MAX_FREE_RETRIES: Final = 20
"""Free retries of an item whose host asks for less (429, 503 ...) or cannot be reached, before it fails after all."""

MAX_FREE_S: Final = 3600.0
"""Seconds after the first of them: who asks for an hour twenty times is not waited for until tomorrow."""


class Trying:
    """The tries of a run's items.

    Args:
        retries: Tries of an item after its first, of those that count.
        scheduler: Gets back the items that are tried again.
        on_retry: Called with each of them.
    """

    def __init__(self, retries: int, scheduler: Scheduler, on_retry: Callable[[ItemRetried], None]) -> None:
        self._retries = retries
        self._scheduler = scheduler
        self._on_retry = on_retry
        self._free_since: dict[Item, float] = {}  # when an item failed for the first time without its being counted

    def forget(self, item: Item) -> None:
        """The item has ended."""
        self._free_since.pop(item, None)

    def again(
        self, item: Item, failure: Failure, now: float, *, is_final: bool = False, wait: float | None = None
    ) -> bool:
        """Count a failed attempt and give *item* back to the scheduler, if it is to be tried again; whether it is.

        Args:
            item: Under way until now; it still is when it is not tried again.
            failure: How the attempt failed.
            now: The time.
            is_final: It makes no sense to ask the same URL again.
            wait: Seconds until then; None for the backoff of ``failures.retry_delay``.
        """
        judged = verdict(failure)
        if judged.counts:
            item.attempts += 1
        else:
            item.throttles += 1
        has_tries = not is_final and self._has_tries_left(item, now)
        # Another source is of no use where the destination has failed.
        may_go = item.extras is not None and not failure.of_sink
        if may_go and self._goes_to_mirror(item, failure, judged, now, has_tries=has_tries):
            return True
        if not judged.retry or not has_tries:
            return False
        tries = item.attempts if judged.counts else item.throttles
        delay = wait
        if delay is None:
            delay = retry_delay(tries, failure.retry_after, random.random, base=judged.base_delay)
        self._scheduler.retry(item, now, failure, delay)
        self._on_retry(ItemRetried(item, failure, delay, now))
        return True

    def elsewhere(self, item: Item, now: float) -> bool:
        """Have another URL of *item* asked, whose host is dead; whether it has one."""
        sources = None if item.extras is None else item.extras.sources
        if sources is None or sources.next(for_good=True) is None:
            return False
        item.host = sources.host
        self._scheduler.add(item, now)
        return True

    def _goes_to_mirror(self, item: Item, failure: Failure, judged: Verdict, now: float, *, has_tries: bool) -> bool:
        """Have another URL of *item* asked, where it has one and that makes sense; whether it has."""
        sources = None if item.extras is None else item.extras.sources
        if sources is None or judged.sign is HostSign.NONE:
            return False
        is_new = sources.next(for_good=not judged.retry)
        if is_new is None or not (is_new or has_tries):
            return False
        delay = 0.0 if is_new else retry_delay(item.attempts + item.throttles, None, random.random)
        self._scheduler.move(item, sources.host, now, failure, delay)
        self._on_retry(ItemRetried(item, failure, delay, now))
        return True

    def _has_tries_left(self, item: Item, now: float) -> bool:
        if item.attempts > self._retries or item.throttles > MAX_FREE_RETRIES:
            return False
        return not item.throttles or now - self._free_since.setdefault(item, now) < MAX_FREE_S
