"""Where a folder's ledger is: in the folder, or, chosen once, in a file elsewhere that the folder names.

For an output folder on a network file system or a slow disk, where SQLite's log does not belong. The folder's own
``.fetchd/ledger.path`` holds the absolute path, so that whoever knows the folder finds the ledger.

The promise: a folder has one ledger for good, and a ledger one folder. A file that is there already is another
folder's, or nobody knows whose; a file that is not there any more may be on a disk that is not mounted, and a new one
in its place would have everything fetched again. Both are errors.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from .exceptions import LedgerError, LocalFailureError, SettingsError
from .ledger_schema import LEDGER_FOLDER, LEDGER_NAME

__all__ = ["POINTER_NAME", "ledger_of", "settle"]

POINTER_NAME: Final = "ledger.path"
"""The file, beside the lock, that names a ledger elsewhere."""


def ledger_of(folder: Path) -> Path:
    """Return where the ledger of the output folder *folder* is, or would be.

    Raises:
        LedgerError: The folder names a file that is not there, or names none.
    """
    own_folder = folder / LEDGER_FOLDER
    pointer = own_folder / POINTER_NAME
    try:
        named = pointer.read_text("utf-8", "surrogateescape").removesuffix("\n")
    except OSError:
        return own_folder / LEDGER_NAME
    path = Path(named)
    if not path.is_absolute() or "\0" in named:
        raise LedgerError(pointer, "does not hold the absolute path of a ledger")
    if not path.is_file():
        raise LedgerError(
            path, f"is not there, and {pointer} names it; expected it back in its place (is its disk mounted?)"
        )
    return path


def settle(folder: Path, wanted: Path | None) -> Path:
    """Return where the ledger of *folder* is, which is *wanted* from now on when the folder has none yet.

    Call it with the folder locked. What is written is synced: the ledger would be nobody's without it.

    Args:
        folder: The output folder; its own folder is there.
        wanted: File for a new ledger; None goes by what the folder has.

    Raises:
        SettingsError: The folder has another ledger, or *wanted* is there already.
        LedgerError: As `ledger_of`.
        LocalFailureError: It cannot be written.
    """
    path = ledger_of(folder)
    if wanted is None:
        return path
    wanted = Path(os.path.abspath(wanted))
    if path.exists():
        if os.path.abspath(path) != os.fspath(wanted):
            raise SettingsError(f"the ledger of {folder} is {path}, not {wanted}; expected that one, or none named")
        return path
    named = os.fspath(wanted)
    if "\n" in named:
        raise SettingsError(f"ledger is {named!r}; expected a name without a line break")
    _claim(wanted)
    pointer = folder / LEDGER_FOLDER / POINTER_NAME
    try:
        _write_synced(pointer, os.fsencode(named) + b"\n")
    except OSError as exc:
        wanted.unlink(missing_ok=True)
        raise LocalFailureError(pointer, exc.errno) from exc
    return wanted


def _claim(path: Path) -> None:
    """Make the empty file *path*, which must not be there: of two folders that name it, one gets it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError as exc:
        raise SettingsError(
            f"ledger is {path}, which is there already and not this folder's; expected a name that is free"
        ) from exc
    except OSError as exc:
        raise LocalFailureError(path, exc.errno) from exc


def _write_synced(path: Path, content: bytes) -> None:
    """Write a new file whole or not at all, also through a loss of power."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
