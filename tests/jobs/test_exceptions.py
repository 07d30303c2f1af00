"""The error tree of the jobs package: what each error says, carries and descends from."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest

from fetchd.jobs import exceptions
from fetchd.jobs.exceptions import (
    CollisionError,
    JobError,
    LedgerError,
    LedgerLockedError,
    LocalFailureError,
    ManifestError,
    PolicyError,
    SettingsError,
)

MESSAGES: list[tuple[JobError, str]] = [
    (SettingsError("per_host must be 1 or more, not 0"), "per_host must be 1 or more, not 0"),
    (ManifestError("list.txt", "no such file"), "cannot read manifest list.txt: no such file"),
    (ManifestError("-", "not readable"), "cannot read manifest standard input: not readable"),
    (LedgerError(Path("d/ledger"), "no ledger"), "cannot use ledger d/ledger: no ledger"),
    (
        LedgerLockedError("d", 71),
        "cannot use ledger d: another run (process 71) is working in this folder",
    ),
    (LedgerLockedError("d"), "cannot use ledger d: another run is working in this folder"),
    (LocalFailureError(Path("d/x"), errno.ENOSPC), "cannot write d/x: no space left on device"),
    (LocalFailureError("d/x", None), "cannot write d/x: unknown error"),
    (LocalFailureError("d/x", errno.EIO, "the disk is failing"), "cannot write d/x: the disk is failing"),
    (PolicyError("h/a", "a symbolic link"), "will not write h/a: a symbolic link"),
    (CollisionError("h/a", "taken by line 3"), "will not write h/a: taken by line 3"),
]


@pytest.mark.parametrize(("error", "message"), MESSAGES)
def test_each_error_says_which_and_what(error: JobError, message: str) -> None:
    """A message names the thing and what is wrong with it."""
    assert str(error) == message


def test_every_error_descends_from_the_root() -> None:
    """``except JobError`` catches all that the package raises on purpose."""
    for name in exceptions.__all__:
        assert issubclass(getattr(exceptions, name), JobError)


def test_data_are_attributes() -> None:
    """A caller reads fields, it never takes a message apart."""
    full = LocalFailureError("d/x", errno.ENOSPC)
    assert (full.path, full.errno) == ("d/x", errno.ENOSPC)
    locked = LedgerLockedError("d", 71)
    assert (locked.path, locked.pid) == ("d", 71)
    bad = ManifestError("list.txt", "is a folder")
    assert (bad.path, bad.reason) == ("list.txt", "is a folder")


def test_a_settings_error_is_a_value_error() -> None:
    """Who calls the library with a bad value may catch what Python raises for one."""
    assert issubclass(SettingsError, ValueError)


def test_a_collision_concerns_one_item_and_is_no_local_failure() -> None:
    """Only LocalFailureError ends a run."""
    assert issubclass(CollisionError, PolicyError)
    assert not issubclass(CollisionError, LocalFailureError)


def test_errors_survive_pickling() -> None:
    """An error may cross a process or a queue."""
    error = pickle.loads(pickle.dumps(LocalFailureError("d/x", errno.ENOSPC)))
    assert (error.path, error.errno) == ("d/x", errno.ENOSPC)
