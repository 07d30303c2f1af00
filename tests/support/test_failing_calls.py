"""The n-th call fails, once, and nothing else does."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from .failing_calls import failing


def test_the_nth_write_into_a_file_fails_and_those_into_pipes_are_not_counted(tmp_path: Path) -> None:
    source, sink = os.pipe()
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    with failing("write", 2, errno.ENOSPC) as calls:
        os.write(sink, b"x")
        os.write(fd, b"a")
        with pytest.raises(OSError, match="No space left"):
            os.write(fd, b"b")
        os.write(fd, b"c")
    for each in (source, sink, fd):
        os.close(each)
    assert (calls.count, calls.failed) == (3, True)
    assert (tmp_path / "file").read_bytes() == b"ac"


def test_a_transaction_that_fails_is_not_committed(tmp_path: Path) -> None:
    with failing("commit", 2, errno.EIO) as calls:
        connection = sqlite3.connect(tmp_path / "base", isolation_level=None)
        connection.execute("CREATE TABLE numbers(n)")
        connection.execute("INSERT INTO numbers VALUES (1)")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO numbers VALUES (2)")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("COMMIT")
        connection.execute("ROLLBACK")
        assert connection.execute("SELECT n FROM numbers").fetchall() == [(1,)]
        connection.close()
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_IOERR
    assert calls.failed


def test_what_is_never_called_has_not_failed() -> None:
    with failing("fsync", 1, errno.EIO) as calls:
        assert not calls.failed
    assert calls.count == 0
