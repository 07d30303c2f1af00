"""The error tree of ``fetchd.jobs``. A leaf: it imports nothing of the package.

    JobError
    +-- SettingsError (also ValueError)   the caller: settings that cannot be, or do not fit the folder
    +-- ManifestError                     the caller: the manifest cannot be opened or read
    +-- LedgerError                       the record of what is done cannot be used
    |   +-- LedgerLockedError             another run works in the same folder
    +-- LocalFailureError                 this machine: disk full, no permission; ends the run
    +-- PolicyError                       one item must not be written where it would go
        +-- CollisionError                its place is already taken by something else

Who must act: the caller for the first four, whoever looks after the machine for LocalFailureError.
PolicyError and its child concern one item only: they become that item's outcome and never end a run.
What goes wrong between us and a server is ``fetchd.client``'s to raise; ``failures.py`` classifies both.
"""

from __future__ import annotations

import os

__all__ = [
    "CollisionError",
    "JobError",
    "LedgerError",
    "LedgerLockedError",
    "LocalFailureError",
    "ManifestError",
    "PolicyError",
    "SettingsError",
]


class JobError(Exception):
    """Root of everything the jobs package raises on purpose; catch it to catch them all."""


class SettingsError(JobError, ValueError):
    """Settings that contradict each other, are out of range, or differ from those the folder was begun with.

    The message says which setting, what was seen and what is expected.
    """


class ManifestError(JobError):
    """The manifest as a whole cannot be read; a bad line in it is an outcome, never this error.

    Attributes:
        path: The manifest as it was named; ``-`` is standard input.
        reason: What is wrong, one phrase.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(path, reason)

    def __str__(self) -> str:
        name = "standard input" if self.path == "-" else self.path
        return f"cannot read manifest {name}: {self.reason}"


class LedgerError(JobError):
    """The ledger cannot be used: damaged, of a newer version, or no ledger at all.

    Attributes:
        path: File or folder that was looked at.
        reason: What is wrong, one phrase.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        super().__init__(self.path, reason)

    def __str__(self) -> str:
        return f"cannot use ledger {self.path}: {self.reason}"


class LedgerLockedError(LedgerError):
    """Another run holds the folder. Wait for it to end, or choose another folder.

    Attributes:
        pid: Process id of the holder; None when it could not be told.
    """

    def __init__(self, path: str | os.PathLike[str], pid: int | None = None) -> None:
        self.pid = pid
        holder = "another run" if pid is None else f"another run (process {pid})"
        super().__init__(path, f"{holder} is working in this folder")


class LocalFailureError(JobError):
    """This machine refuses to store what came. Every further item would fail alike, so the run ends in order.

    Free space or permissions, then run the same command again: it goes on where it ended.

    Attributes:
        path: File or folder of the failed operation.
        errno: Error number of the system, None when there was none.
        reason: What is wrong, one phrase.
    """

    def __init__(self, path: str | os.PathLike[str], errno: int | None, reason: str | None = None) -> None:
        self.path = os.fspath(path)
        self.errno = errno
        self.reason = reason or (os.strerror(errno).lower() if errno is not None else "unknown error")
        super().__init__(self.path, errno, self.reason)

    def __str__(self) -> str:
        return f"cannot write {self.path}: {self.reason}"


class PolicyError(JobError):
    """One item must not be written where it would go (a symbolic link in the tree, an unsafe name).

    Attributes:
        path: Path below the output folder.
        reason: What is wrong, one phrase.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        super().__init__(self.path, reason)

    def __str__(self) -> str:
        return f"will not write {self.path}: {self.reason}"


class CollisionError(PolicyError):
    """The item's place is taken: by another item, a foreign file, or a file where a folder must be."""
