"""Items again that failed, from what the ledger keeps of them: the lines of ``fetchd retry``.

Lives here: what of a manifest's item is kept in a failed row, and the batches made of such rows. Not here: reading
manifests (``manifests``), what becomes of a line (``intake.py``), which finds the row again by its path.

What is kept is what the manifest said, but for its request fields and the passwords in its URLs: they may be secrets,
and come again from the command.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from .extras import Extras
from .ledger import LedgerReader, Row, State
from .manifests import Batch, DetailedLine
from .targets import without_userinfo

__all__ = ["FailedItems", "details_of", "extras_of"]

_BATCH: Final = 512


class FailedItems:
    """The failed items of a folder, in the manner of a ``manifests.ManifestSource``. Use it with ``async with``.

    Args:
        folder: Of an earlier run.
        classes: Failure classes to take; empty for all of them.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
    """

    def __init__(self, folder: Path, classes: Collection[str]) -> None:
        # Of its own, because a run uses its ledger in one thread at a time.
        self._reader = LedgerReader.open_readonly(folder)
        self._classes = frozenset(classes)
        self._rows = self._reader.iterate(State.FAILED)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        """Return the next batch. It reads here and now, some milliseconds."""
        batch: Batch = []
        for row in self._wanted():
            batch.append(_line_of(row))
            if len(batch) == _BATCH:
                break
        if not batch:
            raise StopAsyncIteration
        return batch

    def _wanted(self) -> Iterator[Row]:
        return (row for row in self._rows if not self._classes or row.failure_class in self._classes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()


def _line_of(row: Row) -> DetailedLine:
    """Return the line of which a row was made; a path that does not follow from the URL comes along."""
    path = None if row.derived else row.path
    return DetailedLine(row.line, row.url, None, extras_of(row.details, row.method), path)


def details_of(extras: Extras) -> dict[str, Any] | None:
    """Return what a failed row keeps of *extras*, as JSON; None for nothing."""
    kept = {
        "size": extras.size,
        "digests": [[name, octets.hex()] for name, octets in extras.digests] or None,
        "mirrors": [without_userinfo(url) for url in extras.mirrors] or None,
        "priority": extras.priority or None,
    }
    return {name: value for name, value in kept.items() if value is not None} or None


def extras_of(details: Mapping[str, Any] | None, method: str = "GET") -> Extras | None:
    """Return what `details_of` was given, as far as it is kept; None for an item of which nothing is said."""
    if details is None:
        return None if method == "GET" else Extras(method=method)
    return Extras(
        method=method,
        size=details.get("size"),
        digests=tuple((name, bytes.fromhex(digits)) for name, digits in details.get("digests", ())),
        mirrors=tuple(details.get("mirrors", ())),
        priority=details.get("priority", 0),
    )
