"""The ledger's file: its tables, its settings, and what SQLite's errors mean to us.

Lives here: schema version 1, how a connection is made, the slot of a path. Not here: what is written
when (``ledger.py``), what a row means (``ledger_rows.py``), who may open it (``ledger_lock.py``).

The file is ``.fetchd/ledger.sqlite3`` below the output folder, or elsewhere (``ledger_place.py``). Any SQLite tool may
read it while a run goes on (write-ahead log); the view ``report`` shows the rows with names and times spelled out.

    meta(key, value)     ``template`` the paths follow, ``salt`` of the slots
    runs(id, started_at, ended_at, manifest,             times in seconds since 1970
         summary, progress,                              JSON: how it ended, and where it stood last
         boot)                                           which start of the machine it ran in, NULL where unknown
    items(id,            row number, in the order in which items were first recorded
          url,           as the manifest has it, without userinfo
          state,         0 finishing, 1 done, 2 partial, 3 failed (`State`)
          run,           the run that last touched it
          size,          octets of the finished file; 0 for the other states
          started,       whole seconds after the run's started_at
          ms,            milliseconds from the start of the first attempt to the end
          extra)         JSON of whatever is not ordinary, NULL when all is (``ledger_rows.py``)
    slots(slot, item)    which rows may have a path: look-ups by path, see `Slots`
    open_items           an index of the rows that are not done, so that none of these has to be searched for

An ordinary item (fetched at the first attempt, no redirect, path derived from its URL) takes 42 to 45 octets
beside its URL (``benchmarks/ledger_cost.py``). The slot stands in a table of its own, because an index on a
column of ``items`` would hold it a second time.

No column is declared NOT NULL and inserts say OR FAIL: either would have SQLite keep a copy of every page
that a statement touches, to undo that statement alone. A failed statement ends our transaction anyway.
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path
from struct import unpack
from typing import Final
from zlib import crc32

from .exceptions import JobError, LedgerError, LocalFailureError, SettingsError

__all__ = [
    "LEDGER_FOLDER",
    "LEDGER_NAME",
    "SCHEMA_VERSION",
    "Slots",
    "State",
    "boot_id",
    "connect",
    "connect_readonly",
    "ledger_errors",
    "prepare",
    "read_meta",
]

LEDGER_FOLDER: Final = ".fetchd"
"""Folder of the ledger below the output folder."""
LEDGER_NAME: Final = "ledger.sqlite3"
SCHEMA_VERSION: Final = 1
"""Stands in the file's ``user_version``."""

_APPLICATION_ID: Final = 0x66746368  # "ftch": file(1) and we tell our files from other databases by it
_BUSY_SECONDS: Final = 10.0  # readers never block us; only recovery and checkpoints wait, for moments
# Holds the upper levels of a ledger of 10^7 items and what is in use; 8 MiB was no faster and is seen in the memory.
_CACHE_KIB: Final = 1_024
# Pages of 4 KiB in the log before they are moved to the file: 16 MiB, four times SQLite's default, because
# the pages in use are then moved a quarter as often. A guess; what it costs is disk.
_CHECKPOINT_PAGES: Final = 4_000
_LOG_LIMIT: Final = 64 << 20  # the log is cut back to this after a long reader made it grow

_BEFORE_ENDING: Final = -5  # endings hold digits too (.mp3); longer ones than .jpeg are rare and do no harm
_NO_DIGITS: Final = bytes(octet for octet in range(256) if not 0x30 <= octet <= 0x39)

_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE runs(id INTEGER PRIMARY KEY, started_at REAL, ended_at REAL, manifest TEXT, summary TEXT,
                  progress TEXT, boot TEXT);
CREATE TABLE items(id INTEGER PRIMARY KEY, url TEXT, state INTEGER, run INTEGER, size INTEGER,
                   started INTEGER, ms INTEGER, extra TEXT);
CREATE TABLE slots(slot INTEGER, item INTEGER, PRIMARY KEY(slot, item)) WITHOUT ROWID;
CREATE INDEX open_items ON items(state) WHERE state <> 1;
CREATE VIEW report AS SELECT
    items.id, url, coalesce(json_extract(extra, '$.final_url'), url) AS final_url,
    coalesce(json_extract(extra, '$.file'), json_extract(extra, '$.path')) AS explicit_path,
    CASE state WHEN 0 THEN 'finishing' WHEN 1 THEN 'done' WHEN 2 THEN 'partial' ELSE 'failed' END AS state,
    coalesce(json_extract(extra, '$.status'), CASE WHEN state < 2 THEN 200 END) AS status,
    json_extract(extra, '$.class') AS class, json_extract(extra, '$.message') AS message, size,
    coalesce(json_extract(extra, '$.attempts'), 1) AS attempts,
    datetime(started_at + started, 'unixepoch') AS started, ms / 1000.0 AS seconds,
    json_extract(extra, '$.digest') AS digest, json_extract(extra, '$.etag') AS etag,
    json_extract(extra, '$.last_modified') AS last_modified, json_extract(extra, '$.line') AS line,
    coalesce(json_extract(extra, '$.method'), 'GET') AS method, run
    FROM items LEFT JOIN runs ON runs.id = run;
PRAGMA user_version = {SCHEMA_VERSION};
PRAGMA application_id = {_APPLICATION_ID};
"""


def boot_id() -> str | None:
    """Return what tells this start of the machine from others; None where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return None


class State(IntEnum):
    """What the ledger knows of an item. The numbers stand in the file: they do not change.

    0 and 1 take no octet in a SQLite row, so the two states of nearly every item are these.
    """

    FINISHING = 0
    """The whole content is in the ``.part`` file, which is about to get its name."""
    DONE = 1
    """The file is complete under its name."""
    PARTIAL = 2
    """A body that is being written, with what is needed to go on with it."""
    FAILED = 3
    """The item ended without a file; what is needed to go on with a cut body may be kept."""


class Slots:
    """Gives each path the number by which a look-up finds its rows.

    The problem: an index of random hashes is touched at random. Each item of a batch changes another page of
    it, 4 KiB that go to the log and later to the file, where the rows themselves take 36 to a page.

    So the slot keeps together what manifests keep together: 10 bits of the folder, 9 of the beginning of the
    name, 28 of the whole path. The beginning is what stands before the last two digits (the ending left out),
    so that a hundred or a thousand neighbours of a series are neighbours here too. A manifest that is sorted
    in whatever way then changes few pages a batch, and a shuffled one is no worse off than with plain hashes
    (``benchmarks/ledger_cost.py`` has both).

    Slots are not unique and need not be: rows are compared by path. The last part is salted, by a number of
    this ledger's own, so that nobody can write a manifest whose paths all share one slot.
    """

    __slots__ = ("_salt",)

    def __init__(self, salt: bytes) -> None:
        self._salt = salt

    def of(self, paths: Sequence[str]) -> list[int]:
        """Return the slots of *paths*, each below 2**47 (six octets in SQLite)."""
        salt = self._salt
        # Hot path: 1.1 us a path.
        names = [path.encode("utf-8", "surrogatepass") for path in paths]
        digests = [blake2b(name, digest_size=4, salt=salt).digest() for name in names]
        return [
            (crc32(name[: name.rfind(b"/")]) & 0x3FF) << 37
            | (crc32(name[:_BEFORE_ENDING].rstrip(_NO_DIGITS)[:-2]) & 0x1FF) << 28
            | whole >> 4
            for name, whole in zip(names, unpack(f">{len(names)}I", b"".join(digests)), strict=True)
        ]


@contextmanager
def ledger_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, for the ledger at *path*.

    Raises:
        LocalFailureError: The disk is full, read-only, or fails.
        LedgerError: The file is damaged, no ledger, or held by another program.
    """
    try:
        yield
    except sqlite3.Error as exc:
        raise _our_error(path, exc) from exc


def _our_error(path: Path, exc: sqlite3.Error) -> JobError:
    """Say what an SQLite error means. Source: https://sqlite.org/rescode.html"""
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    local = {
        sqlite3.SQLITE_FULL: errno.ENOSPC,
        sqlite3.SQLITE_IOERR: errno.EIO,
        sqlite3.SQLITE_READONLY: errno.EROFS,
        sqlite3.SQLITE_CANTOPEN: errno.EACCES,
        sqlite3.SQLITE_PERM: errno.EACCES,
    }
    if code in local:
        return LocalFailureError(path, local[code])
    if code == sqlite3.SQLITE_BUSY:
        return LedgerError(path, f"another program has kept it locked for {_BUSY_SECONDS:g} s")
    if code == sqlite3.SQLITE_NOTADB:
        return LedgerError(path, "the file is no SQLite database")
    return LedgerError(path, str(exc))


def connect(path: Path) -> sqlite3.Connection:
    """Open the file for writing, made if it is not there, readable by its owner only.

    The connection may be used from one thread at a time, whichever that is. Transactions are the caller's.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise LedgerError(path, "is a symbolic link") from exc
        raise LocalFailureError(path, exc.errno) from exc
    with ledger_errors(path):
        connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # A killed process loses nothing: what it wrote is the kernel's. Loss of power may cost all.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT}")
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def connect_readonly(path: Path) -> sqlite3.Connection:
    """Open the file for reading, beside a run that writes it.

    Raises:
        LedgerError: There is no ledger, or it is of a newer version.
    """
    if not path.is_file():
        raise LedgerError(path, "there is none in this folder")
    with ledger_errors(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
        )
    try:
        with ledger_errors(path):
            if _version(connection, path) == 0:
                raise LedgerError(path, "it is empty: the run that began it was ended at once")
    except JobError:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path, template: str) -> None:
    """Make the tables in a new file; check the version and the template of one that has them.

    Raises:
        LedgerError: The file is of a newer version, or is another program's.
        SettingsError: Its paths follow another template.
    """
    with ledger_errors(path):
        if _version(connection, path) == 0:
            # One transaction: a kill leaves either nothing or all of it.
            connection.executescript(_SCHEMA)
            rows = [("template", template), ("salt", secrets.token_hex(blake2b.SALT_SIZE))]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
            connection.execute("COMMIT")
        begun_with = read_meta(connection, "template")
    if begun_with != template:
        raise SettingsError(
            f"{path.parent.parent} was begun with the name template {begun_with!r}, not {template!r}; "
            "use the same or another folder"
        )


def read_meta(connection: sqlite3.Connection, key: str) -> str:
    """Return a value of the table meta, one that `prepare` writes. Call it within `ledger_errors`."""
    row: tuple[str] | None = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    if row is None:
        raise sqlite3.DatabaseError(f"it is damaged: the table meta has no {key}")
    return row[0]


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version, 0 for a file without tables."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != _APPLICATION_ID and (tables or version):
        raise LedgerError(path, "the database belongs to another program")
    if version > SCHEMA_VERSION:
        raise LedgerError(
            path,
            f"written by a newer version (schema {version}; this version knows {SCHEMA_VERSION})",
        )
    return version
