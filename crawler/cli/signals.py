"""SIGINT and SIGTERM: the first asks to stop in order, the second leaves at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

__all__ = ["TwoSignals"]

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)


class TwoSignals:
    """Minds both signals within a ``with`` that runs in the event loop.

    The second leaves by ``os._exit``: threads may hang in a name server that does not answer, or in a disk, and the
    interpreter's own end would wait for them. The ledger is made for being killed.

    Args:
        on_first: Called with the number of the first signal, in the loop.

    Attributes:
        number: The first signal; None while there was none.
    """

    def __init__(self, on_first: Callable[[int], None]) -> None:
        self.number: int | None = None
        self._on_first = on_first

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in _NUMBERS:
            self._loop.add_signal_handler(number, self._received, int(number))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in _NUMBERS:
            self._loop.remove_signal_handler(number)

    def _received(self, number: int) -> None:
        if self.number is not None:
            os._exit(128 + number)
        self.number = number
        self._on_first(number)
