"""The ledger's file: made at once or not at all, ours or refused, and errors a person understands."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.exceptions import LedgerError, LocalFailureError, SettingsError
from fetchd.jobs.ledger_schema import (
    SCHEMA_VERSION,
    Slots,
    State,
    connect,
    connect_readonly,
    ledger_errors,
    prepare,
    read_meta,
)
from tests.support.open_fds import open_fds


def make(path: Path, template: str = "{host}/{path}") -> sqlite3.Connection:
    """A ledger's file with its tables."""
    connection = connect(path)
    prepare(connection, path, template)
    return connection


def test_a_new_file_gets_its_tables_and_an_old_one_keeps_them(tmp_path: Path) -> None:
    """The template and the salt are the folder's for good."""
    path = tmp_path / "ledger"
    connection = make(path)
    salt = read_meta(connection, "salt")
    connection.close()
    again = make(path)
    assert (read_meta(again, "salt"), read_meta(again, "template")) == (salt, "{host}/{path}")
    again.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_its_side_files_are_the_owner_s_alone_too(tmp_path: Path) -> None:
    """They hold the same URLs."""
    connection = make(tmp_path / "ledger")
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) == 3
    connection.close()


def test_a_kill_while_the_tables_are_made_leaves_a_new_file(tmp_path: Path) -> None:
    """They are one transaction: a file without them is begun again."""
    path = tmp_path / "ledger"
    connect(path).close()
    with pytest.raises(LedgerError, match="it is empty"):
        connect_readonly(path)
    make(path).close()
    connect_readonly(path).close()


def test_another_template_is_refused(tmp_path: Path) -> None:
    """The paths in the folder would no longer follow from their URLs."""
    path = tmp_path / "out" / ".fetchd" / "ledger"
    path.parent.mkdir(parents=True)
    make(path).close()
    connection = connect(path)
    with pytest.raises(SettingsError, match=r"out was begun with the name template '\{host\}/\{path\}', not '\{row\}'"):
        prepare(connection, path, "{row}")
    connection.close()


def open_and_prepare(path: Path) -> None:
    """What a run does with its ledger's file."""
    connection = connect(path)
    try:
        prepare(connection, path, "{host}/{path}")
    finally:
        connection.close()


@pytest.mark.parametrize("open_it", [open_and_prepare, connect_readonly])
@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["PRAGMA user_version = 2"], "newer version \\(schema 2; this version knows 1\\)"),
        (["PRAGMA application_id = 7"], "belongs to another program"),
        (["PRAGMA application_id = 7", "PRAGMA user_version = 0"], "belongs to another program"),
    ],
)
def test_a_file_that_is_not_ours_to_write_is_refused(
    tmp_path: Path, statements: list[str], reason: str, open_it: Callable[[Path], object]
) -> None:
    """Another program's database, or one that a later version has changed."""
    path = tmp_path / "ledger"
    connection = make(path)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    before = open_fds()
    with pytest.raises(LedgerError, match=reason):
        open_it(path)
    assert open_fds() == before
    assert SCHEMA_VERSION == 1


@pytest.mark.parametrize("open_it", [connect, connect_readonly])
def test_a_file_that_is_no_database_is_told(tmp_path: Path, open_it: Callable[[Path], object]) -> None:
    """And left as it is."""
    path = tmp_path / "ledger"
    path.write_bytes(b"something else" * 1000)
    before = open_fds()
    with pytest.raises(LedgerError, match="the file is no SQLite database"):
        open_it(path)
    assert path.read_bytes() == b"something else" * 1000
    assert open_fds() == before


def test_a_file_behind_a_link_is_not_written(tmp_path: Path) -> None:
    """Who planted it would have us write elsewhere."""
    (tmp_path / "ledger").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match="is a symbolic link"):
        connect(tmp_path / "ledger")
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_cannot_be_made_is_a_failure_of_the_machine() -> None:
    """/proc takes no files, not even from root."""
    with pytest.raises(LocalFailureError, match="/proc/fetchd-test"):
        connect(Path("/proc/fetchd-test"))


def test_reading_where_there_is_none_is_told(tmp_path: Path) -> None:
    """And makes none."""
    with pytest.raises(LedgerError, match="there is none in this folder"):
        connect_readonly(tmp_path / "ledger")
    assert list(tmp_path.iterdir()) == []


def test_any_name_of_a_folder_will_do(tmp_path: Path) -> None:
    """Reading goes by a URI, in which some characters mean something."""
    folder = tmp_path / "a b?c#d%41"
    folder.mkdir()
    make(folder / "ledger").close()
    connect_readonly(folder / "ledger").close()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, errno.ENOSPC),
        (sqlite3.SQLITE_IOERR, errno.EIO),
        (sqlite3.SQLITE_IOERR_WRITE, errno.EIO),
        (sqlite3.SQLITE_READONLY_DBMOVED, errno.EROFS),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, errno.EACCES),
        (sqlite3.SQLITE_PERM, errno.EACCES),
        (sqlite3.SQLITE_BUSY, "another program has kept it locked for 10 s"),
        (sqlite3.SQLITE_BUSY_RECOVERY, "another program has kept it locked for 10 s"),
        (sqlite3.SQLITE_NOTADB, "the file is no SQLite database"),
        (sqlite3.SQLITE_CORRUPT, "the words of SQLite"),
    ],
)
def test_what_sqlite_says_is_told_as_what_it_means(tmp_path: Path, code: int, expected: int | str) -> None:
    """Errors of the disk end the run in order; the others are the ledger's."""
    error = sqlite3.OperationalError("the words of SQLite")
    error.sqlite_errorcode = code
    with pytest.raises((LocalFailureError, LedgerError)) as raised, ledger_errors(tmp_path):
        raise error
    assert raised.value.__cause__ is error
    if isinstance(raised.value, LocalFailureError):
        assert raised.value.errno == expected
    elif isinstance(raised.value, LedgerError):
        assert raised.value.reason == expected


def test_an_error_of_our_use_of_sqlite_is_told_too(tmp_path: Path) -> None:
    """A closed ledger, say; such errors have no code."""
    connection = make(tmp_path / "ledger")
    connection.close()
    with pytest.raises(LedgerError, match="closed"), ledger_errors(tmp_path):
        connection.execute("SELECT 1")


def test_a_file_that_lacks_what_was_written_at_its_beginning_is_damaged(tmp_path: Path) -> None:
    """Somebody has been at work with another tool."""
    connection = make(tmp_path / "ledger")
    connection.execute("DELETE FROM meta")
    with pytest.raises(LedgerError, match="damaged: the table meta has no salt"), ledger_errors(tmp_path):
        read_meta(connection, "salt")
    connection.close()


# Slots

_PATHS = st.lists(st.text(max_size=40), max_size=20)


@given(_PATHS, st.binary(min_size=16, max_size=16))
def test_a_slot_depends_on_its_path_alone(paths: list[str], salt: bytes) -> None:
    """Whatever stands beside it, and it fits into six octets of SQLite."""
    slots = Slots(salt).of(paths)
    assert slots == [slot for path in paths for slot in Slots(salt).of([path])]
    assert all(0 <= slot < 2**47 for slot in slots)


def test_slots_of_different_ledgers_differ() -> None:
    """So that nobody can look for paths that share one."""
    paths = [f"h/{n}" for n in range(100)]
    first, second = Slots(b"1" * 16).of(paths), Slots(b"2" * 16).of(paths)
    assert not set(first) & set(second)


def test_paths_of_one_folder_have_few_slots_in_common_and_stand_together() -> None:
    """28 bits tell a hundred thousand neighbours apart, but for some; the rest of the slot is the same."""
    slots = Slots(b"1" * 16).of([f"host/folder/image-{n:07d}.jpg" for n in range(100_000)])
    assert len(set(slots)) > 99_900
    assert len({slot >> 37 for slot in slots}) == 1
    assert len({slot >> 28 for slot in slots[:1000]}) == 1


def test_the_states_stand_in_files_and_do_not_change() -> None:
    """Their numbers are part of the schema."""
    assert {state.name: state.value for state in State} == {
        "FINISHING": 0,
        "DONE": 1,
        "PARTIAL": 2,
        "FAILED": 3,
    }
