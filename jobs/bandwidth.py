"""How many octets a second a run takes: what was taken is paid for before more is. The account is pure; around it,
transfers wait for their turn, first come, first served.

An account of what is owed, rather than tokens that are handed out: how much a socket gives is known only when it has
given it, and content that comes with a response head has come before anybody could ask.
"""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["Bandwidth", "OctetAccount"]

_CATCH_UP_S: Final = 0.05
_LEAST_PIECE: Final = 4096
_MOST_PIECE: Final = 262_144


class OctetAccount:
    """What was taken and when it is paid for. Pure.

    Args:
        rate: Octets a second, above 0.

    Attributes:
        piece: Octets that are taken at a time: a twentieth of a second's, 4 KiB at least, 256 KiB at most.
        ready_at: When more may be taken; a time that has passed means now.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.piece = int(max(_LEAST_PIECE, min(_MOST_PIECE, rate * _CATCH_UP_S)))
        self.ready_at = float("-inf")

    def spend(self, count: int, now: float) -> None:
        """Note that *count* octets were taken at *now*.

        Time in which nothing was taken is lost but for a twentieth of a second, by which a timer may be late.
        """
        self.ready_at = max(self.ready_at, now - _CATCH_UP_S) + count / self._rate


class Bandwidth:
    """A ``Pace`` for all transfers of a run together. Belongs to one loop.

    Args:
        rate: Octets a second, above 0.
    """

    def __init__(self, rate: float) -> None:
        self._account = OctetAccount(rate)
        self._line = asyncio.Lock()  # the next one waits for the account, the others for him

    def ready(self) -> int:
        """See ``Pace``."""
        now = asyncio.get_running_loop().time()
        return 0 if self._line.locked() or self._account.ready_at > now else self._account.piece

    async def turn(self) -> int:
        """See ``Pace``."""
        loop = asyncio.get_running_loop()
        async with self._line:
            # What others have in memory already may be charged meanwhile; that is for those who come next to wait for.
            await asyncio.sleep(max(0.0, self._account.ready_at - loop.time()))
        return self._account.piece

    def spend(self, count: int) -> None:
        """See ``Pace``."""
        self._account.spend(count, asyncio.get_running_loop().time())

    async def settle(self, count: int) -> None:
        """Note *count* octets that have come already, and wait until they are paid for."""
        self.spend(count)
        if not self.ready():
            await self.turn()
