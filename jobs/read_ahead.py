"""What is read of a manifest, and when: what the scheduler can use, and lines of hosts that have enough aside.

A manifest that is sorted by host may hold a hundred thousand lines of one slow host before the next host begins. So
when some thousand items wait, lines of hosts that have all they can use go to a `Spill`, and reading goes on to
hosts that have not. They come back, in order, when their host needs them. Nobody waits here for a time or a slot: the
run does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Protocol

from .manifests import BadLine, Batch
from .spill import Spill
from .targets import parse_target

__all__ = ["Demand", "ReadAhead"]

ASIDE_FROM: Final = 2_000
"""Items that wait in memory from which on lines of hosts that have enough are put aside: a MiB of them. The window may
hold more where they are of many hosts."""
_LOOKED_AT: Final = 1000
"""Hosts that wait on disk and are looked at in a row for one that needs its lines."""


class Demand(Protocol):
    """What the scheduler says of what it holds."""

    @property
    def is_short(self) -> bool:
        """Whether slots will run empty."""

    @property
    def waiting(self) -> int:
        """Items that are held and not under way."""

    def has_enough(self, host: str, *, least: bool = False) -> bool:
        """Whether *host* has all the items that it can use; with *least*, whether it has any."""


class ReadAhead:
    """Batches of lines, from a manifest and from what was put aside of it.

    Args:
        source: The manifest.
        spill: For what is put aside.
        demand: Says what is needed.
        window: Items that may wait in memory.

    Attributes:
        read: Items and bad lines read so far, those put aside included.
        has_ended: Whether the manifest was read to its end.
    """

    def __init__(self, source: AsyncIterator[Batch], spill: Spill, demand: Demand, window: int) -> None:
        self._source = source
        self._spill = spill
        self._demand = demand
        self._window = window
        self._aside_from = min(window // 2, ASIDE_FROM)
        self.read = 0
        self.has_ended = False

    def is_through(self) -> bool:
        """Whether everything was given out."""
        return self.has_ended and not self._spill.lines

    @property
    def may_go_on(self) -> bool:
        """Whether ``next`` should be called now."""
        demand = self._demand
        if not demand.is_short:
            return False
        if not self.has_ended and (demand.waiting < self._window or self._spill.has_room):
            return True
        return self._hungry() is not None

    async def next(self) -> Batch:
        """The next lines to be admitted; none when all that were read are put aside, or at the end.

        Raises:
            ManifestError: It cannot be read.
        """
        host = self._hungry()
        if host is not None:
            return self._spill.take(host)
        if self.has_ended:
            return []
        try:
            batch = await anext(self._source)
        except StopAsyncIteration:
            self.has_ended = True
            return []
        self.read += len(batch)
        if not self._spill.lines and self._demand.waiting < self._aside_from:
            return batch
        return self._sifted(batch)

    def _hungry(self) -> str | None:
        """A host that needs lines which are put aside; None when there is none."""
        if not self._spill.lines:
            return None
        for count, host in enumerate(self._spill.hosts):
            if not self._demand.has_enough(host):
                return host
            if count >= _LOOKED_AT:
                break
        return None

    def _sifted(self, batch: Batch) -> Batch:
        """What of *batch* can be used; the rest is put aside, and so is what comes behind it of the same host."""
        spill, demand, kept = self._spill, self._demand, Batch()
        is_full, is_over = demand.waiting >= self._aside_from, demand.waiting >= self._window
        for line in batch:
            if isinstance(line, BadLine):
                kept.append(line)
                continue
            try:
                host = parse_target(line.url).host_key
            except ValueError:  # is told as a bad line when it is admitted
                kept.append(line)
                continue
            if host in spill or (is_full and demand.has_enough(host, least=is_over)):
                spill.put(host, line)
            else:
                kept.append(line)
        return kept
