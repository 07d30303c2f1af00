"""Rows of the ledger read along with a manifest that comes in the order of the run before. No I/O of its own.

Who starts a run again mostly gives it the same manifest, and rows are numbered nearly in the order in which their
lines were read. So once a look-up has shown that the rows of one batch lie together, those behind them are read in
one go and found by their URL: 1.2 us an item instead of the 2.2 of a look-up by path. What is not found so is looked up
as ever, and where too little is found the reading along ends.

Only what a row read ahead says for certain counts: that the item itself is finished. Such an item keeps its path
whatever else there is (see ``ledger_rows.judge``), so that no other row needs to be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Final

from .ledger_rows import FINISHED, Candidate, Collision, Derive, Entry, Wanted, judge, stored_url

__all__ = ["ReadAlong"]

_LEAST: Final = 64
"""Items of a batch that shows anything: of a smaller one it may be chance that the rows lie together."""
_MOST: Final = 2_048
"""Rows that are held: those of items that wait for their turn in another host's queue end out of order."""


class ReadAlong:
    """Knows rows before they are asked for, or nothing.

    Args:
        read: Returns up to so many rows (second argument) from a number on (first), in order.
        derive: Gives the path of a URL.
    """

    def __init__(self, read: Callable[[int, int], Sequence[Candidate]], derive: Derive) -> None:
        self._read = read
        self._derive = derive
        self._at = 0  # number of the furthest row that an item was found by; 0 while nothing is read along
        self._next = 0  # number of the row that is read next
        self._rows: dict[str, Candidate] = {}  # by their URL, those read last at the end

    def known(self, wanted: Sequence[Wanted], run: int) -> list[Entry | Collision | None]:
        """Return the entries of those of *wanted* that are finished and were read ahead, None for all others."""
        found: list[Entry | Collision | None] = [None] * len(wanted)
        if not self._at:
            return found
        self._fill(2 * len(wanted))
        take, hits = self._rows.pop, 0
        for key, (url, path, derived) in enumerate(wanted):
            url = stored_url(url)
            candidate = take(url, None)
            if candidate is None:
                continue
            entry = judge((url, path, derived), (candidate,), run, self._derive)
            if isinstance(entry, Entry) and entry.state in FINISHED:
                found[key] = entry
                hits += 1
                self._at = max(self._at, entry.row)
        if 2 * hits < len(wanted):
            self._stop()
        return found

    def follow(self, found: Sequence[Entry | Collision | None]) -> None:
        """Read along from here on if the rows that were *found* for one batch lie together."""
        if self._at or len(found) < _LEAST:
            return
        rows = [entry.row for entry in found if isinstance(entry, Entry) and entry.state in FINISHED]
        if 2 * len(rows) > len(found) and max(rows) - min(rows) < 2 * len(found):
            self._at = max(rows)
            self._next = self._at + 1

    def forget(self, rows: Collection[int]) -> None:
        """The rows of these numbers are written anew: what was read of them holds no longer."""
        if self._rows:
            self._rows = {url: row for url, row in self._rows.items() if row[0] not in rows}

    def _fill(self, count: int) -> None:
        """Have the *count* rows behind the furthest one at hand, and those before it that no item was found by."""
        rows = self._rows
        missing = self._at + count + 1 - self._next
        if missing <= 0:
            return
        more = self._read(self._next, missing)
        for row in more:
            rows[row[1]] = row
        if more:
            self._next = more[-1][0] + 1
        for url in list(islice(rows, max(0, len(rows) - _MOST))):
            del rows[url]

    def _stop(self) -> None:
        self._at = 0
        self._rows.clear()
