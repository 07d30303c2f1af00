"""Which octets of a body are fetched by whom, when several connections share it. Pure.

    free      ranges that nobody fetches
    active    ranges that are being fetched, each with the place it has come to
    done      all else

Who has nothing to do takes a free range; where there is none it takes the second half of what is left of the longest
active one (it steals: how quick a connection is nobody knows beforehand). Every octet is in one of the three at all
times, whatever ends when; what is in the ledger is ``missing``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from .failures import Failure

__all__ = ["ALIGN_BYTES", "LEAST_BYTES", "Ranges", "Segment", "SegmentMap", "Spare"]

Ranges = tuple[tuple[int, int], ...]
"""Ranges of octets, each from its first to the one behind its last."""

LEAST_BYTES: Final = 1 << 20
"""A range shorter than this is left to who has it: a connection costs a round trip, which is worth as much."""
ALIGN_BYTES: Final = 1 << 16
"""Ranges are divided at multiples of this, so that two connections seldom write to one page."""


class Segment:
    """A range that is being fetched.

    Attributes:
        at: The octet that comes next.
        end: The one behind the last; moves down when a part is stolen.
    """

    __slots__ = ("at", "end")

    def __init__(self, at: int, end: int) -> None:
        self.at = at
        self.end = end

    @property
    def left(self) -> int:
        """Octets to come."""
        return max(0, self.end - self.at)

    def advance(self, count: int) -> None:
        """*count* octets were written; they may be more than were left, when what came at once was not cut."""
        self.at += count

    def __repr__(self) -> str:
        return f"<Segment {self.at}-{self.end}>"


class SegmentMap:
    """The map of one body.

    Args:
        total: Its length in octets.
        missing: What is to be fetched; None for all of it.
        least: See `LEAST_BYTES`.
    """

    def __init__(self, total: int, missing: Iterable[tuple[int, int]] | None = None, least: int = LEAST_BYTES) -> None:
        self.total = total
        self._least = least
        self._free = [(start, end) for start, end in (((0, total),) if missing is None else missing) if start < end]
        self._active: set[Segment] = set()

    @property
    def missing(self) -> Ranges:
        """All that is not written, in order, without the seams between what is fetched by several."""
        ranges = sorted([*self._free, *((segment.at, segment.end) for segment in self._active if segment.left)])
        joined: list[tuple[int, int]] = []
        for start, end in ranges:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((start, end))
        return tuple(joined)

    @property
    def active(self) -> int:
        """Ranges that are being fetched."""
        return len(self._active)

    @property
    def can_share(self) -> bool:
        """Whether there is something to do for one more."""
        return bool(self._free) or any(segment.left >= 2 * self._least for segment in self._active)

    def take(self) -> Segment | None:
        """A range for one more: the longest that is free, else half of the longest; None when nothing is worth it."""
        if self._free:
            start, end = max(self._free, key=lambda each: each[1] - each[0])
            self._free.remove((start, end))
            return self._begin(start, end)
        longest = max(self._active, key=lambda segment: segment.left, default=None)
        if longest is None or longest.left < 2 * self._least:
            return None
        middle = longest.at + longest.left // 2
        if self._least > ALIGN_BYTES:  # so that half is more than what it is moved by
            middle += -middle % ALIGN_BYTES
        end, longest.end = longest.end, middle
        return self._begin(middle, end)

    def _begin(self, start: int, end: int) -> Segment:
        segment = Segment(start, end)
        self._active.add(segment)
        return segment

    def finish(self, segment: Segment) -> None:
        """Nobody fetches *segment* any more, whether or not it came to its end.

        What is left goes to who comes to it anyway: one whose answer may go on beyond what was stolen from it.
        """
        self._active.discard(segment)
        if not segment.left:
            return
        before = next((each for each in self._active if each.end == segment.at and each.left), None)
        if before is not None:
            before.end = segment.end
        else:
            self._free.append((segment.at, segment.end))

    def __repr__(self) -> str:
        return f"<SegmentMap of {self.total}: {self.active} active, {self._free} free>"


class Spare(Protocol):
    """Slots that nobody else wants now."""

    def borrow(self, host: str) -> bool:
        """Take one for a connection to *host*; whether there is one."""

    def repay(self, host: str) -> None:
        """Give one back."""

    def failed(self, host: str, failure: Failure) -> None:
        """Note how a connection that has one has failed."""
