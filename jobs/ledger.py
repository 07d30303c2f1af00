"""What is done: the record of every item of a folder, kept through kills. SQLite, written in batches.

Lives here: writing and looking up. Not here: reading for people (``ledger_reader.py``), the file
(``ledger_schema.py``), what a row holds and means (``ledger_rows.py``), the lock (``ledger_lock.py``), what a
killed run left (``ledger_recovery.py``), what is read before it is asked for (``ledger_ahead.py``), when a batch is
full (the run).

The promise: what is called done is on disk, complete, under its name, after ``kill -9`` at any moment. For it
a batch goes in this order, all of it the caller's:

1. the bodies are written to their ``.part`` files, whole;
2. ``commit(rows)`` with the rows in state finishing: one transaction;
3. the files get their names;
4. ``commit(next_rows, done=ids)``: the rows are marked done within the transaction of the next batch, so that
   it costs no transaction of its own; after the last batch ``commit((), done=ids)``.

Killed before 2, the bodies are fetched again; killed after, the rows are found finishing and are completed or
adopted at the next start, without another request.

Speed: every step of a SQLite statement lets the interpreter's lock go, and in a busy process getting it back
may cost milliseconds. So a batch takes few steps: look-ups return all rows as one JSON text, inserts go by
256, 128 ... 1 rows a statement (powers of two: few statements, each prepared once). No method awaits.

Rows are never deleted and numbers never used twice, so the row number is the item's for good.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Final

from .exceptions import LedgerError, LocalFailureError, SettingsError
from .extras import identity_of
from .ledger_ahead import ReadAlong
from .ledger_lock import LOCK_NAME, FolderLock
from .ledger_place import settle
from .ledger_reader import LedgerReader, RunRecord
from .ledger_rows import (
    POLICY,
    Candidate,
    Collision,
    Derive,
    Entry,
    Row,
    Wanted,
    judge,
    own_row,
    store_row,
    stored_url,
)
from .ledger_schema import (
    LEDGER_FOLDER,
    Slots,
    State,
    boot_id,
    connect,
    ledger_errors,
    prepare,
    read_meta,
)

__all__ = ["Collision", "Entry", "Ledger", "LedgerReader", "Row", "RunRecord", "State", "Wanted"]

_LARGEST_INSERT: Final = 256  # rows a statement; 8 values each stay far below SQLite's 32,766

# One row back, with all that was found: a row each would be a step each. CROSS JOIN fixes the order.
_LOOKUP: Final = """
SELECT json_group_array(json_array(wanted.key, items.id, url, state, run, size, extra))
FROM json_each(?) AS wanted CROSS JOIN slots ON slot = wanted.value CROSS JOIN items ON items.id = item
"""
_AHEAD: Final = """
SELECT json_group_array(json_array(id, url, state, run, size, extra)) FROM items WHERE id BETWEEN ? AND ?
"""
_MARK_DONE: Final = "UPDATE items SET state = 1 WHERE state = 0 AND id IN (SELECT value FROM json_each(?))"
_MARK_BAD: Final = """
UPDATE items SET state = 3, size = 0,
    extra = json_set(coalesce(extra, '{}'), '$.class', wanted.value ->> 0, '$.message', wanted.value ->> 1)
FROM json_each(?) AS wanted WHERE state = 1 AND items.id = CAST(wanted.key AS INTEGER)
"""
_MARK_REPLACED: Final = """
UPDATE items SET state = 3, size = 0,
    extra = json_set(coalesce(extra, '{}'), '$.class', 'policy', '$.message', 'another item has replaced its file')
WHERE id IN (SELECT value FROM json_each(?))
"""
_MARK_LOST: Final = """
UPDATE items SET state = 3, size = 0,
    extra = json_set(coalesce(extra, '{}'), '$.class', 'disk', '$.message', ?)
WHERE state = 0 AND id IN (SELECT value FROM json_each(?))
"""


class Ledger(LedgerReader):
    """The ledger of the one run that works in a folder. All calls from one thread at a time.

    After an error of `commit` nothing of that batch is recorded and the ledger can be used on.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, derive: Derive, lock: FolderLock) -> None:
        super().__init__(connection, path, derive, lock.path)
        self._lock = lock
        with ledger_errors(path):
            self._slots = Slots(bytes.fromhex(read_meta(connection, "salt")))
            self._next: int = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM items").fetchone()[0]
        self._along = ReadAlong(self._ahead, derive)
        self.run = 0  # begin_run sets it
        self._run_started = 0.0
        self._of_this_boot: frozenset[int] = frozenset()  # begin_run sets it

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        template: str,
        derive: Derive,
        survives_power_loss: bool = False,
        elsewhere: Path | None = None,
    ) -> Ledger:
        """Open the ledger of the output folder *folder*, made if it is not there, and lock the folder.

        Args:
            folder: Made with its parents if it is not there.
            template: What the paths follow. It is the folder's for good.
            derive: From a URL without userinfo to the path that *template* gives.
            survives_power_loss: Each commit returns when the medium has it. False: when the kernel has it.
            elsewhere: File for the ledger of a folder that has none yet. None goes by what the folder has, and
                puts a new one into it.

        Raises:
            LedgerLockedError: Another run works in the folder.
            LedgerError: The ledger is damaged, of a newer version, or behind a symbolic link.
            SettingsError: *template* or *elsewhere* is not the one it was begun with, or *folder* is a file.
            LocalFailureError: It cannot be written.
        """
        own_folder = _make_own_folder(folder)
        lock = FolderLock(own_folder / LOCK_NAME)
        opened = False
        try:
            path = settle(folder, elsewhere)
            connection = connect(path)
            try:
                prepare(connection, path, template)
                if survives_power_loss:
                    _sync(connection, path)
                ledger = cls(connection, path, derive, lock)
                opened = True
            finally:
                if not opened:
                    connection.close()
        finally:
            if not opened:
                lock.release()
        return ledger

    def begin_run(self, manifest: str, now: float) -> int:
        """Record that a run begins and return its number; *now* in seconds since 1970. Call it first."""
        boot = boot_id()
        with ledger_errors(self.path):
            cursor = self._connection.execute(
                "INSERT INTO runs(started_at, manifest, boot) VALUES (?, ?, ?)", (now, stored_url(manifest), boot)
            )
            of_this_boot = "SELECT id FROM runs WHERE ? IS NULL OR boot IS NULL OR boot = ?"
            self._of_this_boot = frozenset(run for (run,) in self._connection.execute(of_this_boot, (boot, boot)))
        self.run = cursor.lastrowid or 0
        self._run_started = self._run_starts[self.run] = now
        return self.run

    def end_run(self, now: float, summary: Mapping[str, object]) -> None:
        """Record that the run ended and how; *summary* must be JSON."""
        with ledger_errors(self.path):
            self._connection.execute(
                "UPDATE runs SET ended_at = ?, summary = ? WHERE id = ?", (now, json.dumps(summary), self.run)
            )

    def was_in_this_boot(self, run: int) -> bool:
        """Whether the machine has not been started since *run* began; True too where that cannot be told.

        What a run wrote and did not sync may be missing after a start, though sizes say that it is there. It asks
        nothing of the file: any thread may call it.
        """
        return run in self._of_this_boot

    def next_row(self) -> int:
        """Return a number for a row that is to be written; it is nobody else's.

        Only for who needs the number before the row is written: `commit` gives numbers in the order of its
        rows, which keeps the pages of the file full.
        """
        self._next += 1
        return self._next - 1

    def lookup(self, wanted: Sequence[Wanted]) -> list[Entry | Collision | None]:
        """Say of each item what the ledger knows: its entry, who owns its path, or None for nothing.

        What was looked up or is in flight and not yet committed is not known here: an item read twice before
        its first commit is the caller's to notice.
        """
        found = self._along.known(wanted, self.run)
        rest = [key for key, entry in enumerate(found) if entry is None]
        if rest:
            for at, rows in self._candidates([wanted[key][1] for key in rest]).items():
                url, path, derived = wanted[rest[at]]
                found[rest[at]] = judge((stored_url(url), path, derived), rows, self.run, self._derive)
            self._along.follow(found)
        return found

    def _ahead(self, first: int, count: int) -> list[Candidate]:
        """Return the rows numbered *first* and the *count* - 1 behind it, as far as there are any."""
        with ledger_errors(self.path):
            text: str = self._connection.execute(_AHEAD, (first, first + count - 1)).fetchone()[0]
        return [tuple(row) for row in json.loads(text)]

    def _candidates(self, paths: Sequence[str]) -> dict[int, list[Candidate]]:
        """Return the rows that share the slot of a path, by the index of the path."""
        slots = str(self._slots.of(paths))  # the text of a list of integers is JSON
        with ledger_errors(self.path):
            text: str = self._connection.execute(_LOOKUP, (slots,)).fetchone()[0]
        candidates: dict[int, list[Candidate]] = {}
        for key, *candidate in json.loads(text):
            candidates.setdefault(key, []).append(tuple(candidate))
        return candidates

    def commit(self, rows: Sequence[Row], done: Sequence[int] = ()) -> None:
        """Write *rows* and mark the rows numbered *done* as done, in one transaction.

        A row without a number is new and gets one; a row with a number takes the place of what stood there.
        (What failed as policy gets the number it had in an earlier run: its look-up told of the collision.)
        Rows in *done* that are not finishing stay as they are. When one item comes twice in a batch, give the
        same `Row` twice or only its last state.

        Raises:
            LocalFailureError: The disk is full or fails. Nothing of the batch is recorded.
            LedgerError: The ledger cannot be written for another reason.
        """
        next_row = self._next
        unnumbered = [row for row in rows if row.row == 0]
        written = False
        try:
            self._number_refused([row for row in unnumbered if row.failure_class == POLICY])
            fresh, known = self._sort(rows)
            replaced = [row.replaces for row in rows if row.replaces]
            with ledger_errors(self.path), _Transaction(self._connection):
                if replaced:
                    self._connection.execute(_MARK_REPLACED, (str(replaced),))
                if done:
                    self._connection.execute(_MARK_DONE, (str(list(done)),))
                self._write("INSERT OR FAIL", fresh)
                self._write("INSERT OR REPLACE", known)
            written = True
            self._along.forget({*replaced, *(row.row for row in known)})
        finally:
            if not written:
                self._next = next_row
                for row in unnumbered:
                    row.row = 0

    def _number_refused(self, rows: Sequence[Row]) -> None:
        """Give items that lost their path the row in which they lost it before: one row an item."""
        if not rows:
            return
        candidates = self._candidates([row.path for row in rows])
        new: dict[tuple[str, str], int] = {}
        for key, row in enumerate(rows):
            wanted = (identity_of(stored_url(row.url), row.method), row.path, row.derived)
            row.row = own_row(wanted, candidates.get(key, ()), self._derive)
            if row.row == 0:
                row.row = new.get(wanted[:2]) or new.setdefault(wanted[:2], self.next_row())

    def _sort(self, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        """Number what has no number; return the new rows and those that may be there already."""
        fresh: list[Row] = []
        known: list[Row] = []
        for row in rows:
            row.run = self.run
            if row.row == 0:
                row.row = self.next_row()
                fresh.append(row)
            else:
                known.append(row)
        return fresh, known

    def _write(self, verb: str, rows: Sequence[Row]) -> None:
        """Write *rows* to items and slots; a slot that is there already stays."""
        start = self._run_started
        items: list[object] = []
        slots: list[object] = []
        for row, slot in zip(rows, self._slots.of([row.path for row in rows]), strict=True):
            items += store_row(row, start)
            slots += (slot, row.row)
        self._insert(f"{verb} INTO items VALUES ", items, 8)
        self._insert(f"{verb} INTO slots VALUES ", slots, 2)

    def _insert(self, head: str, values: list[object], width: int) -> None:
        """Run one statement for each power of two in the number of rows, the largest first."""
        at = 0
        while at < len(values):
            count = min(_LARGEST_INSERT, 1 << ((len(values) - at) // width).bit_length() - 1)
            upto = at + count * width
            self._connection.execute(_insert_statement(head, count, width), values[at:upto])
            at = upto

    def mark_lost(self, ids: Iterable[int], message: str) -> None:
        """Make finishing rows failed (class disk, *message*), because their file is not there."""
        lost = list(ids)
        with ledger_errors(self.path):
            self._connection.execute(_MARK_LOST, (message, str(lost)))
        self._along.forget(lost)

    def mark_bad(self, problems: Mapping[int, tuple[str, str]]) -> None:
        """Make rows that are done failed, so that they are fetched again.

        Args:
            problems: Failure class and message by the number of the row.
        """
        with ledger_errors(self.path):
            self._connection.execute(_MARK_BAD, (json.dumps(problems),))
        self._along.forget(problems)

    def note_progress(self, progress: Mapping[str, object]) -> None:
        """Have readers know where the run stands; *progress* must be JSON."""
        with ledger_errors(self.path):
            self._connection.execute("UPDATE runs SET progress = ? WHERE id = ?", (json.dumps(progress), self.run))

    def finishing(self) -> list[Row]:
        """Return the rows that are neither done nor given up: after a kill at most the last batches."""
        return list(self.iterate(State.FINISHING))

    def close(self) -> None:
        """Close the file and let go of the folder. What was committed is kept; nothing else is written."""
        super().close()
        self._lock.release()


def _sync(connection: sqlite3.Connection, path: Path) -> None:
    """Have every commit from now on wait for the medium, and see that the file's own name is on it."""
    with ledger_errors(path):
        # What was written before is made whole in the file, so that the log that follows stands on firm ground.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    own = path.parent
    for folder in (own, own.parent, own.parent.parent):
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as exc:
            raise LocalFailureError(folder, exc.errno) from exc


class _Transaction:
    """All or nothing: BEGIN, then COMMIT, or ROLLBACK after an error."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
        finally:
            # SQLite rolls back by itself when the disk fails, and only then.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


@lru_cache(maxsize=64)
def _insert_statement(head: str, count: int, width: int) -> str:
    """Return *head* followed by places for *count* rows of *width* values."""
    row = f"({', '.join('?' * width)})"
    return head + ", ".join([row] * count)


def _make_own_folder(folder: Path) -> Path:
    """Make the folder that holds ledger and lock, and the output folder above it."""
    path = folder / LEDGER_FOLDER
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as exc:
        where = path if folder.is_dir() else folder
        raise SettingsError(f"{where} is no folder; expected one, or a name that is free") from exc
    except OSError as exc:
        raise LocalFailureError(path, exc.errno) from exc
    if path.is_symlink():
        raise LedgerError(path, "is a symbolic link")
    return path
