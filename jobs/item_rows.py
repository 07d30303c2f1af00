"""What the ledger is told of an item, by how it stands. Values only.

Lives here: from an item to its ``ledger.Row``. Not here: how a row is stored (``ledger_rows``), when (``recorder``).
"""

from __future__ import annotations

import time

from .attempts import Fetched
from .failures import Failure
from .items import Item
from .ledger import Row, State
from .retrying import details_of

__all__ = ["failed_row", "fetched_row", "partial_row"]


def _row_of(item: Item, state: State, started: float) -> Row:
    """Return the row of *item* in *state*; its attempt has ended now.

    Args:
        item: The item.
        state: Where it stands.
        started: When its attempt began, seconds since 1970; 0 when there was none.
    """
    now = time.time()
    row = Row(
        item.url,
        item.path,
        state,
        derived=item.name is None,
        row=item.row,
        attempts=item.attempts + item.throttles + (state <= State.DONE),
        line=item.line,
        started=started or now,
        seconds=now - started if started else 0.0,
    )
    if item.extras is not None:
        row.method = item.extras.method
        if state is State.FAILED:
            row.details = details_of(item.extras)
    return row


def fetched_row(item: Item, fetched: Fetched, state: State, started: float) -> Row:
    """Return the row of *item*, whose body came whole and which is in *state* now."""
    row = _row_of(item, state, started)
    row.size, row.status, row.final_url = fetched.size, fetched.status, fetched.final_url
    row.digest, row.file = fetched.digest, fetched.file
    return row


def failed_row(item: Item, failure: Failure, started: float) -> Row:
    """Return the row of *item*, which has failed for good; what is in its ``.part`` file can be gone on with."""
    row = _row_of(item, State.FAILED, started)
    row.status, row.failure_class, row.message = failure.status, failure.failure_class.value, failure.message
    if item.resume is not None and (item.resume.offset or item.resume.missing):
        _keep_resume(row, item)
    return row


def partial_row(item: Item) -> Row:
    """Return the row of *item* before its first octet is written."""
    row = _row_of(item, State.PARTIAL, time.time())
    if item.resume is not None:
        _keep_resume(row, item)
    return row


def _keep_resume(row: Row, item: Item) -> None:
    point = item.resume
    assert point is not None, "called for an item that can be gone on with"
    row.validator, row.total, row.missing = point.validator, point.total, point.missing
    row.final_url = None if point.final_url == item.shown_url else point.final_url
