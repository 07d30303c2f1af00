"""SIGINT and SIGTERM: the first asks to stop in order, the second leaves at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final, Self

__all__ = ["TwoSignals"]

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)


class TwoSignals:
    """Minds both signals within a ``with`` that runs in the event loop, in the main thread.

    The second leaves by ``os._exit``: threads may hang in a name server that does not answer, or in a disk, and the
    interpreter's own end would wait for them. The ledger is made for being killed.

    Handlers of the interpreter, not of the loop: these are called even where the loop is held up by a write to a pipe
    that nobody reads, which is where somebody presses Ctrl-C twice.

    Args:
        on_first: Called with the number of the first signal, in the loop, when that turns.

    Attributes:
        number: The first signal; None while there was none.
    """

    def __init__(self, on_first: Callable[[int], None]) -> None:
        self.number: int | None = None
        self._on_first = on_first

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._before = {number: signal.signal(number, self._received) for number in _NUMBERS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _received(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            os._exit(128 + number)
        self.number = number
        self._loop.call_soon_threadsafe(self._on_first, number)
