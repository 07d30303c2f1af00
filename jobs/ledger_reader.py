"""Reading a ledger: how many, which failed, row by row. Also beside the run that writes it.

Lives here: queries that change nothing and need no lock. Not here: writing and look-ups (``ledger.py``),
what a row holds (``ledger_rows.py``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple, Self

from .exceptions import LedgerError, SettingsError
from .ledger_lock import LOCK_NAME, holder_of
from .ledger_place import ledger_of
from .ledger_rows import Derive, Row, StoredRow, load_row
from .ledger_schema import LEDGER_FOLDER, State, connect_readonly, ledger_errors, read_meta
from .templates import derive_by

__all__ = ["LedgerReader", "RunRecord"]

_PAGE: Final = 1_000  # rows a read: a few hundred KB, and no reader holds back the log for long

_COLUMNS: Final = "id, url, state, run, size, started, ms, extra"
# All items under the number of "done", because the pages of slots are a fraction of those of items. One
# statement, so that what a run writes meanwhile is in all of the numbers or in none.
_COUNTS: Final = """
SELECT 1, count(*) FROM slots UNION ALL SELECT state, count(*) FROM items WHERE state <> 1 GROUP BY state
"""
# "state <> 1" is what tells SQLite that the index of open items will do.
_OPEN: Final = f"SELECT {_COLUMNS} FROM items WHERE state <> 1 AND state = ? AND id > ? ORDER BY id LIMIT ?"
_ALL: Final = f"SELECT {_COLUMNS} FROM items WHERE id > ? ORDER BY id LIMIT ?"
_DONE: Final = f"SELECT {_COLUMNS} FROM items WHERE state = ? AND id > ? ORDER BY id LIMIT ?"


class RunRecord(NamedTuple):
    """One run on the folder.

    Attributes:
        run: Its number, from 1.
        manifest: What it read.
        started_at: Seconds since 1970.
        ended_at: The same; None when it goes on or was killed.
        summary: What `Ledger.end_run` was given; empty before.
        progress: What `Ledger.note_progress` was given last; empty before.
    """

    run: int
    manifest: str
    started_at: float
    ended_at: float | None
    summary: Mapping[str, Any]
    progress: Mapping[str, Any] = MappingProxyType({})


class LedgerReader:
    """Reads a folder's ledger, also while a run writes it.

    One thread at a time. Close it, or use ``with``.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, derive: Derive, lock: Path) -> None:
        self.path = path
        self._lock_file = lock
        self._connection = connection
        self._derive = derive
        self._run_starts: dict[int, float] = {}

    @classmethod
    def open_readonly(cls, folder: Path, *, derive: Derive | None = None) -> LedgerReader:
        """Open the ledger of the output folder *folder* to look at it; no lock is taken.

        Args:
            folder: Of a run.
            derive: From a URL without userinfo to its path; None goes by the folder's own template.

        Raises:
            LedgerError: There is none, it is damaged, or of a newer version.
        """
        path = ledger_of(folder)
        connection = connect_readonly(path)
        try:
            lock = folder / LEDGER_FOLDER / LOCK_NAME
            return LedgerReader(connection, path, derive or _derive_of(connection, path), lock)
        except LedgerError:
            connection.close()
            raise

    def counts(self) -> dict[State, int]:
        """Return how many items are in each state."""
        with ledger_errors(self.path):
            counts: dict[int, int] = dict(self._connection.execute(_COUNTS).fetchall())
        total = counts.pop(State.DONE)
        done = total - sum(counts.values())
        return {state: counts.get(state, 0) for state in State} | {State.DONE: done}

    def failure_counts(self) -> dict[str, int]:
        """Return how many items failed by failure class, most first."""
        with ledger_errors(self.path):
            rows: list[tuple[str, int]] = self._connection.execute(
                "SELECT json_extract(extra, '$.class'), count(*) FROM items "
                "WHERE state <> 1 AND state = 3 GROUP BY 1 ORDER BY 2 DESC, 1"
            ).fetchall()
        return dict(rows)

    def iterate(self, state: State) -> Iterator[Row]:
        """Yield the rows in *state*, by number. What is written meanwhile may or may not be among them."""
        statement = _DONE if state is State.DONE else _OPEN
        yield from self._rows(statement, state.value)

    def every(self) -> Iterator[Row]:
        """Yield all rows, as `iterate`."""
        yield from self._rows(_ALL)

    def _rows(self, statement: str, *wanted: int) -> Iterator[Row]:
        after = 0
        while page := self._page(statement, *wanted, after, _PAGE):
            for stored in page:
                yield load_row(stored, self._start_of(stored[3]), self._derive)
            after = page[-1][0]

    def _page(self, statement: str, *values: int) -> list[StoredRow]:
        with ledger_errors(self.path):
            return self._connection.execute(statement, values).fetchall()

    def _start_of(self, run: int) -> float:
        """Return when *run* began, seconds since 1970; 0 for one that is not recorded."""
        if run not in self._run_starts:
            with ledger_errors(self.path):
                found = self._connection.execute("SELECT started_at FROM runs WHERE id = ?", (run,)).fetchone()
            self._run_starts[run] = found[0] if found else 0.0
        return self._run_starts[run]

    def last_run(self) -> RunRecord | None:
        """Return the run that began last, None when there was none."""
        with ledger_errors(self.path):
            found = self._connection.execute(
                "SELECT id, manifest, started_at, ended_at, summary, progress FROM runs ORDER BY id DESC LIMIT 1"
            ).fetchone()
        if found is None:
            return None
        run, manifest, started_at, ended_at, summary, progress = found
        return RunRecord(run, manifest, started_at, ended_at, json.loads(summary or "{}"), json.loads(progress or "{}"))

    @property
    def template(self) -> str:
        """What the paths of the folder follow."""
        with ledger_errors(self.path):
            return read_meta(self._connection, "template")

    def holder(self) -> int | None:
        """Return the process id of the run that works in the folder now; None for none, or where it cannot be told."""
        return holder_of(self._lock_file)

    def close(self) -> None:
        """Close the file. Twice is once."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _derive_of(connection: sqlite3.Connection, path: Path) -> Derive:
    """Return what names the files of the ledger's folder."""
    with ledger_errors(path):
        template = read_meta(connection, "template")
    try:
        return derive_by(template)
    except SettingsError as exc:
        raise LedgerError(path, f"its files are named in a way that this version does not know: {exc}") from exc
