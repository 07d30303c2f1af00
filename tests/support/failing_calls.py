"""System calls on files, and commits of SQLite, of which the n-th fails: what a disk does to a whole run.

    with failing("fsync", 3, errno.EIO) as calls:
        ...
    assert calls.count >= 3, "there was no third one"

The calls are those of the real ``os`` and ``sqlite3``, whoever makes them; what does not touch a regular file or a
folder (sockets, pipes) passes uncounted.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest import mock

__all__ = ["KINDS", "Calls", "failing"]

KINDS: Final = ("write", "fsync", "rename", "commit", "prepare")
"""What may fail: octets into a file, a sync, a rename, a ledger's transaction, and what comes before and between."""

_PREPARES: Final = ("open", "mkdir", "utime", "ftruncate", "unlink")
_SQLITE_CODES: Final = {errno.ENOSPC: sqlite3.SQLITE_FULL, errno.EIO: sqlite3.SQLITE_IOERR}
# What writes outside of a transaction is one of its own.
_COMMITS: Final = ("COMMIT", "INSERT", "UPDATE")


class Calls:
    """Counts calls of one kind.

    Attributes:
        count: Calls so far, from whatever thread.
        failed: Whether one has failed.
    """

    def __init__(self, fail_at: int, code: int) -> None:
        self.count = 0
        self._fail_at = fail_at
        self._code = code
        self._lock = threading.Lock()

    @property
    def failed(self) -> bool:
        """Whether the call that was to fail was made."""
        return self.count >= self._fail_at

    def is_next(self) -> bool:
        """Count a call; say whether it is the one that fails."""
        with self._lock:
            self.count += 1
            return self.count == self._fail_at

    def failing(self, call: Callable[..., Any], is_counted: Callable[..., bool]) -> Callable[..., Any]:
        """Return *call* with its failure; calls that are not counted pass."""

        def called(*args: Any, **kwargs: Any) -> Any:
            if is_counted(*args) and self.is_next():
                raise OSError(self._code, os.strerror(self._code))
            return call(*args, **kwargs)

        return called

    def connection(self) -> type[sqlite3.Connection]:
        """Return a class of connections whose transactions are counted."""
        calls = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
                alone = sql == "COMMIT" or not self.in_transaction
                if alone and sql.lstrip().startswith(_COMMITS) and calls.is_next():
                    error = sqlite3.OperationalError(os.strerror(calls._code))
                    error.sqlite_errorcode = _SQLITE_CODES[calls._code]
                    raise error
                return super().execute(sql, *args)

        return Connection


@contextmanager
def failing(kind: str, fail_at: int, code: int) -> Iterator[Calls]:
    """Have the call number *fail_at* of a kind fail, from 1 on, once.

    Args:
        kind: One of `KINDS`.
        fail_at: Its number.
        code: ``errno.ENOSPC`` or ``errno.EIO``.
    """
    calls = Calls(fail_at, code)
    if kind == "commit":
        with mock.patch("sqlite3.connect", _connecting(calls)):
            yield calls
        return
    counted: dict[str, Callable[..., bool]] = {
        "write": {"write": lambda fd, *_: _is_file(fd), "splice": lambda _, to, *__: _is_file(to)},
        "fsync": {"fsync": _always},
        "rename": {"rename": _always},
        "prepare": dict.fromkeys(_PREPARES, _always),
    }[kind]
    with ExitStack() as patches:
        for name, is_counted in counted.items():
            patches.enter_context(mock.patch.object(os, name, calls.failing(getattr(os, name), is_counted)))
        yield calls


def _connecting(calls: Calls) -> Callable[..., sqlite3.Connection]:
    connect, factory = sqlite3.connect, calls.connection()
    return lambda *args, **kwargs: connect(*args, **kwargs, factory=factory)


def _is_file(fd: int) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _always(*_: Any) -> bool:
    return True
