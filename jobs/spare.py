"""Slots of a scheduler that no item wants, lent to further connections of a large body."""

from __future__ import annotations

from collections.abc import Callable

from .failures import Failure
from .scheduler import Scheduler

__all__ = ["SpareSlots"]


class SpareSlots:
    """Lends slots of a scheduler; the face of ``segmented.Spare``.

    Args:
        scheduler: Whose slots they are.
        clock: Monotonic seconds.
        on_repaid: Called when one was given back, which an item may want.
    """

    def __init__(self, scheduler: Scheduler, clock: Callable[[], float], on_repaid: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._on_repaid = on_repaid

    def borrow(self, host: str) -> bool:
        """See ``Scheduler.borrow``."""
        return self._scheduler.borrow(host, self._clock())

    def repay(self, host: str) -> None:
        """See ``Scheduler.repay``."""
        self._scheduler.repay(host, self._clock())
        self._on_repaid()

    def failed(self, host: str, failure: Failure) -> None:
        """See ``Scheduler.note``."""
        self._scheduler.note(host, failure, self._clock())
