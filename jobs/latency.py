"""Whether a host is slow because too much is asked of it. Pure: latencies in, a judgement out.

A latency is the time from the start of an attempt to the head of its answer. A high one says little: pages differ,
and some are made with much labour. So answers are looked at in rounds of two for each slot, and the *fastest* of a
round counts: when even that is slow, the host has a queue, and it is ours. Then slots are halved, and the next
round shows whether that was it: if it is no quicker, the host takes this long whatever we do, and its pace is taken
for normal from then on.

    round's fastest                             judgement        and then
    at most twice the normal                    FINE             normal follows down, not below half a second
    above, in a first such round                CONGESTED        slots are halved; answers to what is under way tell
                                                                 how it was before
    above, and a fifth quicker than before      CONGESTED        once more
    above, and no quicker than before           FINE             normal is what it took

Between the ends of rounds a slow answer is SLOW: it earns no slot. Nothing under a second is ever slow, so an ordinary
host costs a comparison an answer.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["SLOW_S", "LatencyWatch", "Load"]

_LEAST_NORMAL: Final = 0.5
SLOW_S: Final = 2.0 * _LEAST_NORMAL
"""Seconds up to which no answer is slow, whatever the host did before."""
_HELPED: Final = 0.8
_LEAST_ROUND: Final = 4


class Load(Enum):
    """What an answer says of the load."""

    FINE = "fine"
    SLOW = "slow"
    CONGESTED = "congested"


class LatencyWatch:
    """The latencies of one host, from its first slow answer on until all is normal again."""

    __slots__ = ("_before", "_count", "_fastest", "_loaded", "_normal", "_until_loaded")

    def __init__(self) -> None:
        self._normal = _LEAST_NORMAL
        self._before: float | None = None  # the fastest under the load that was before slots were halved
        self._loaded = 0  # answers to come to what was sent under that load
        self._until_loaded = 0  # down to here they tell of it: the last ones have shared the host with fewer
        self._count = 0
        self._fastest = float("inf")

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to watch: the host is as quick as any."""
        is_trying = self._loaded or self._before is not None
        return self._normal == _LEAST_NORMAL and not is_trying and self._fastest <= SLOW_S

    def answered(self, latency: float, slots: int) -> Load:
        """Take in one answer.

        Args:
            latency: Seconds it took.
            slots: How many requests may be under way now.
        """
        if self._loaded:
            self._loaded -= 1
            if self._loaded >= self._until_loaded:
                self._before = latency if self._before is None else min(self._before, latency)
            return Load.SLOW
        is_slow = latency > 2.0 * self._normal
        if self._count == 0:
            self._fastest = latency
        self._count += 1
        self._fastest = min(self._fastest, latency)
        if self._count >= max(_LEAST_ROUND, 2 * slots):
            self._count = 0
            return self._judge(slots)
        return Load.SLOW if is_slow else Load.FINE

    def _judge(self, slots: int) -> Load:
        """Judge the round that is over."""
        fastest, before = self._fastest, self._before
        self._before = None
        if fastest <= 2.0 * self._normal:
            self._normal = max(_LEAST_NORMAL, min(self._normal, fastest))
            return Load.FINE
        if slots == 1 or (before is not None and fastest > _HELPED * before):
            self._normal = fastest
            return Load.FINE
        self._loaded, self._until_loaded = slots, slots // 2
        return Load.CONGESTED
