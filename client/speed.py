"""How fast content must come (``Timeout.low_speed``), by windows; time in which the reader is behind is left out.

``Speedometer`` decides and is pure; ``SpeedWatch`` gives it the clock. Most requests have neither.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .exceptions import LowSpeedTimeoutError

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = ["SpeedWatch", "Speedometer"]


class Speedometer:
    """Octets that come in windows of equal length; each window must bring its share.

    Args:
        rate: Octets a second that must come on average of a window.
        seconds: Length of a window. Only time between ``go`` and ``stop`` counts.
    """

    def __init__(self, rate: float, seconds: float) -> None:
        self.rate = rate
        self.seconds = seconds
        self._count = 0  # octets that had come when the window began
        self._passed = 0.0  # of the window, up to the last stop
        self._since: float | None = None

    def go(self, now: float) -> float:
        """Let the time count from *now* on, unless it does already; when the window will be over."""
        if self._since is None:
            self._since = now
        return self._since + self.seconds - self._passed

    def stop(self, now: float) -> None:
        """Let the time stand still."""
        if self._since is not None:
            self._passed += now - self._since
            self._since = None

    def missed(self, now: float, count: int) -> int | None:
        """How many octets the window that is over at *now* has brought, if they are too few; else the next one begins.

        Args:
            now: The time; while the window is not over it misses nothing.
            count: Octets that have come in all.
        """
        self.stop(now)
        self._since = now
        if self._passed < self.seconds:
            return None
        came, self._count, self._passed = count - self._count, count, 0.0
        return came if came < self.rate * self.seconds else None


class SpeedWatch:
    """Fails an exchange whose content comes too slowly.

    Args:
        loop: The event loop.
        exchange: Its head is complete.
        rate: Octets a second.
        seconds: Over which the average is taken.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, exchange: Exchange, rate: float, seconds: float) -> None:
        self._loop = loop
        self._exchange = exchange
        self._meter = Speedometer(rate, seconds)
        self._timer: asyncio.TimerHandle | None = None
        self.go()

    def go(self) -> None:
        """The reader wants more: the time counts."""
        if self._timer is None:
            self._timer = self._loop.call_at(self._meter.go(self._loop.time()), self._look)

    def stop(self) -> None:
        """The reader is behind, or nothing more will come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._meter.stop(self._loop.time())

    def _look(self) -> None:
        self._timer = None
        came = self._meter.missed(self._loop.time(), self._exchange.received)
        if came is None:
            self.go()
        else:
            self._exchange.fail(LowSpeedTimeoutError(self._meter.seconds, self._meter.rate, came))
