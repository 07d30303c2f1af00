"""``Pace``: who says how quickly content is taken from the socket. A leaf: the seam alone.

What decides is the caller's. A session knows no rate of its own: what is to be bounded is what all transfers of a
program do together, and only the program knows them all.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Pace"]


class Pace(Protocol):
    """Asked before content is taken from a socket, and told of what was taken."""

    def ready(self) -> int:
        """How many octets may be taken now; 0 for none, ``turn`` waits then."""

    async def turn(self) -> int:
        """Wait until octets may be taken; how many. Between this and ``spend`` nothing is awaited."""

    def spend(self, count: int) -> None:
        """*count* octets were taken, be it more or less than was said."""
