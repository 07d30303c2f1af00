"""One run a folder: the lock that a second run meets.

flock(2) on a file of its own: the kernel lets go of it when the holder ends, however it ends, so nothing has
to be cleaned up after a kill. The file stays; the process id in it only serves the message. Deleting it
would let two runs hold two files of the same name.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .exceptions import LedgerError, LedgerLockedError, LocalFailureError

__all__ = ["LOCK_NAME", "FolderLock", "holder_of"]

LOCK_NAME: Final = "lock"
"""The lock file, beside the ledger."""

_HELD: Final = frozenset({errno.EAGAIN, errno.EACCES})
_LONGEST_PID: Final = 20


class FolderLock:
    """Holds the lock file *path* until `release`. Never waits.

    Raises:
        LedgerLockedError: Another run holds it (in this process or another one).
        LedgerError: The file system knows no locks.
        LocalFailureError: The file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise LocalFailureError(path, exc.errno) from exc
        try:
            _lock(fd, path)
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as exc:
            os.close(fd)
            raise LocalFailureError(path, exc.errno) from exc
        except LedgerError:
            os.close(fd)
            raise
        self.path = path
        self._fd: int | None = fd

    def release(self) -> None:
        """Let go. Twice is once."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _lock(fd: int, path: Path) -> None:
    """Take the lock or say why not."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in _HELD:
            raise LedgerLockedError(path.parent, _holder(fd)) from exc
        raise LedgerError(path, f"the file system knows no locks ({exc.strerror})") from exc


def _holder(fd: int) -> int | None:
    """Return the process id in the lock file; None when the holder has not written it yet."""
    text = os.pread(fd, _LONGEST_PID, 0).strip()
    return int(text) if text.isdigit() else None


def holder_of(path: Path) -> int | None:
    """Return the process id of the run that holds the lock file *path*; None for nobody, or where it cannot be told.

    Linux lists the locks. Trying the lock instead would, for that moment, be the run that a beginning one meets.
    """
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks", encoding="ascii") as locks:
            return _holder_among(locks, inode)
    except OSError:
        return None


def _holder_among(locks: Iterable[str], inode: int) -> int | None:
    """Find it in lines such as ``1: FLOCK  ADVISORY  WRITE 4711 fe:00:131090 0 EOF``; see proc_locks(5).

    The device is not compared: some file systems (btrfs, overlays) show another one here than stat(2) does.
    """
    for line in locks:
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
            return int(words[4]) if words[4].isdigit() and words[4] != "0" else None
    return None
