"""What a killed run left: files that were about to get their names.

A row is finishing from before its file is renamed until after (``ledger.py``), so after a kill each of them
is in one of three cases, and only the sizes on disk tell which.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .exceptions import PolicyError
from .ledger import Ledger, Row
from .sinks import Folder

__all__ = ["Recovered", "Recovery", "recover", "recover_decision"]


class Recovery(Enum):
    """What to do with a row that was finishing."""

    RENAME = "rename"
    """The whole content is in the ``.part`` file: give it its name."""
    ADOPT = "adopt"
    """The file has its name already: only the mark is missing."""
    FETCH_AGAIN = "fetch again"
    """Neither is there, or not with that size: somebody else was at work."""


class Recovered(NamedTuple):
    """How many rows were completed, adopted, and given up."""

    renamed: int
    adopted: int
    lost: int


def recover_decision(part_size: int | None, final_size: int | None, size: int) -> Recovery:
    """Say what became of a file of *size* octets; None stands for no file.

    The ``.part`` file decides first: while it is there the rename has not happened, whatever stands under
    the name is older.
    """
    if part_size == size:
        return Recovery.RENAME
    if part_size is None and final_size == size:
        return Recovery.ADOPT
    return Recovery.FETCH_AGAIN


def recover(ledger: Ledger, folder: Folder, *, survives_power_loss: bool = False) -> Recovered:
    """Complete or adopt all that was finishing. Call it before a run starts anything.

    What cannot be completed is recorded as failed, so that the next look-up has it fetched.

    Args:
        ledger: Ours.
        folder: Of the files.
        survives_power_loss: Names are on the medium before the ledger says so; the content was, when it was finishing.

    Raises:
        LocalFailureError: A file cannot be renamed; call again when the cause is gone.
    """
    rows: dict[Recovery, list[Row]] = {decision: [] for decision in Recovery}
    for row in ledger.finishing():
        rows[_settle(row, folder)].append(row)
    if survives_power_loss:
        folder.sync_folders(row.place for row in rows[Recovery.RENAME] + rows[Recovery.ADOPT])
    renamed, adopted, lost = ([row.row for row in rows[decision]] for decision in Recovery)
    if renamed or adopted:
        ledger.commit((), done=renamed + adopted)
    if lost:
        ledger.mark_lost(lost, "the file was gone when the run was started again")
    return Recovered(len(renamed), len(adopted), len(lost))


def _settle(row: Row, folder: Folder) -> Recovery:
    """Decide on one row, and rename its file if that is the decision and can be done."""
    decision = recover_decision(folder.part_size(row.path), folder.size(row.place), row.size)
    if decision is Recovery.RENAME:
        try:
            folder.publish(row.path, row.place)
        except PolicyError:  # a folder stands where the file must go
            return Recovery.FETCH_AGAIN
    return decision
