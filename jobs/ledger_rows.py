"""A row of the ledger: its values, how they are stored, and what a row found by path means. Pure.

Most items go well: fetched at the first attempt, status 200, no redirect, a path that follows from the URL.
Whatever is not so goes into one JSON text, which is NULL for them: ten empty columns would cost ten octets an
item, and time to bind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from .extras import identity_of
from .ledger_schema import State
from .targets import without_userinfo

__all__ = [
    "FINISHED",
    "POLICY",
    "Candidate",
    "Collision",
    "Derive",
    "Entry",
    "Row",
    "StoredRow",
    "Wanted",
    "entry_of",
    "judge",
    "load_row",
    "own_row",
    "store_row",
    "stored_url",
]

Derive = Callable[[str], str]
"""From a URL as stored (without userinfo) to the path the folder's template gives it."""

Wanted = tuple[str, str, bool]
"""What is looked up: the URL (see `identity_of`), the path, and whether the path is what `Derive` gives for the URL."""

StoredRow = tuple[int, str, int, int, int, int, int, str | None]
"""A row as it stands in the table items, column by column."""

Candidate = tuple[int, str, int, int, int, str | None]
"""A row that a look-up found by its slot: id, url, state, run, size, extra."""

POLICY: Final = "policy"
"""The failure class of an item that lost its path to another one."""


@dataclass(init=False)
class Row:
    """What the ledger is to write, or has read, of one item.

    A row given to ``commit`` belongs to the ledger until that returns.

    Attributes:
        url: As the manifest has it; userinfo is taken off when it is written.
        path: Below the output folder.
        state: Where the item stands.
        file: Where the file is, when that is not *path*: a name that only the response told.
        file_before: The same, before this attempt. Not kept.
        derived: Whether *path* is what the folder's template gives for *url*; then it is not stored.
        row: Number in the ledger; 0 until it was written, then given by ``commit``.
        run: The run that last touched it; ``commit`` sets its own.
        size: Octets of the file; 0 unless finishing or done.
        attempts: How many were made.
        method: Of the request.
        status: Status code of the last response, None when there was none.
        failure_class: Value of the `FailureClass` of the last failure, empty when it went well.
        message: The failure in a sentence.
        final_url: Where redirections led; None when that is *url*.
        validator: What identifies the representation whose octets are in the ``.part`` file; None: no resume.
        total: Length of that representation in octets; None when not known.
        missing: Ranges of it that are not in the ``.part`` file, where several connections write that; empty else.
        digest: Of the file, as ``checksums.spelled`` writes it; None when nobody asked for one.
        etag: Kept when it is set, at the cost of its octets: leave it None unless somebody asked for it.
        last_modified: The same.
        details: What the manifest says of the item beside URL, name and method, as JSON; kept for what failed.
        replaces: Number of the row whose file gives way to this one's; 0 for none. Not kept.
        line: Line of the manifest, kept for what is not done; 0 when there is none.
        started: Start of the first attempt, seconds since 1970; kept to the second.
        seconds: From there to the end; kept to the millisecond.
    """

    url: str
    path: str
    state: State
    derived: bool = True
    row: int = 0
    run: int = 0
    size: int = 0
    attempts: int = 1
    method: str = "GET"
    status: int | None = None
    failure_class: str = ""
    message: str = ""
    final_url: str | None = None
    validator: str | None = None
    total: int | None = None
    missing: tuple[tuple[int, int], ...] = ()
    digest: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    file: str | None = None
    file_before: str | None = None
    details: Mapping[str, Any] | None = None
    replaces: int = 0
    line: int = 0
    started: float = 0.0
    seconds: float = 0.0

    def __init__(
        self,
        url: str,
        path: str,
        state: State,
        *,
        derived: bool = True,
        row: int = 0,
        attempts: int = 1,
        line: int = 0,
        started: float = 0.0,
        seconds: float = 0.0,
        **others: Any,
    ) -> None:
        # Hot path: what most rows never have stays the class's; setting all of them took 1.7 us instead of 0.8.
        self.url = url
        self.path = path
        self.state = state
        self.derived = derived
        self.row = row
        self.attempts = attempts
        self.line = line
        self.started = started
        self.seconds = seconds
        for name, value in others.items():
            if name not in Row.__dataclass_fields__:
                raise TypeError(f"a row has no {name}")
            setattr(self, name, value)

    @property
    def place(self) -> str:
        """Where the file is, below the output folder."""
        return self.file or self.path


@dataclass(slots=True)
class Entry:
    """What a look-up knows of an item that has a row.

    Attributes:
        row: Number in the ledger.
        state: Where the item stands.
        run: The run that last touched it: this one means a duplicate, an earlier one a resumed item.
        size: Octets of the file, when finishing or done.
        attempts: How many were made.
        failure_class: Of the last failure, empty when there was none.
        validator: As in `Row`; None when the body cannot be gone on with.
        total: As in `Row`.
        final_url: As in `Row`.
        digest: As in `Row`.
        etag: As in `Row`.
        file: As in `Row`.
        missing: As in `Row`.
    """

    row: int
    state: State
    run: int
    size: int
    attempts: int = 1
    failure_class: str = ""
    validator: str | None = None
    total: int | None = None
    final_url: str | None = None
    digest: str | None = None
    etag: str | None = None
    file: str | None = None
    missing: tuple[tuple[int, int], ...] = ()


class Collision(NamedTuple):
    """The path belongs to another item of the ledger.

    Attributes:
        row: Number of the owner's row.
        url: The owner's URL.
        state: Where the owner stands.
        own: What is known of the item that was looked up: it has lost the path before. None when it is new.
        run: The run that last touched the owner.
    """

    row: int
    url: str
    state: State
    own: Entry | None = None
    run: int = 0


_STATES: Final = tuple(State)
FINISHED: Final = (State.FINISHING, State.DONE)
"""States in which the content of an item is whole."""


def stored_url(url: str) -> str:
    """Return *url* as the ledger keeps and compares it: without userinfo, and valid UTF-8."""
    if "@" in url:
        url = without_userinfo(url)
    if not url.isascii():
        url = _encodable(url)
    return url


def _encodable(text: str) -> str:
    """Return *text* with lone surrogates (octets that were not UTF-8) spelled out, else unchanged."""
    return text.encode("utf-8", "backslashreplace").decode()


def store_row(row: Row, run_started: float) -> StoredRow:
    """Return the columns of *row*; its times count from *run_started*."""
    return (
        row.row,
        stored_url(row.url),
        row.state.value,
        row.run,
        row.size,
        max(0, int(row.started - run_started)),
        int(row.seconds * 1000),
        _extra_of(row),
    )


def _extra_of(row: Row) -> str | None:
    """Return the JSON of what is not ordinary in *row*, None when all is."""
    # Hot path: the first test is all that happens to most items.
    if (
        row.state <= State.DONE
        and row.derived
        and row.attempts == 1
        and (row.status is None or row.status == 200)
        and row.method == "GET"
        and row.final_url is row.validator is row.file is row.digest is row.etag is row.last_modified is None
    ):
        return None
    finished = row.state in FINISHED
    extra: dict[str, Any] = {
        "path": None if row.derived else row.path,
        "method": None if row.method == "GET" else row.method,
        "attempts": None if row.attempts == 1 else row.attempts,
        "status": None if finished and row.status == 200 else row.status,
        "class": row.failure_class or None,
        "message": row.message or None,
        "final_url": None if row.final_url is None else without_userinfo(row.final_url),
        "validator": row.validator,
        "total": row.total,
        "missing": row.missing or None,
        "digest": row.digest,
        "etag": row.etag,
        "last_modified": row.last_modified,
        "line": None if finished else row.line or None,
        "file": row.file,
        "item": None if finished else row.details,
    }
    kept = {key: value for key, value in extra.items() if value is not None}
    return _encodable(json.dumps(kept, ensure_ascii=False, separators=(",", ":"))) if kept else None


def load_row(stored: StoredRow, run_started: float, derive: Derive) -> Row:
    """Return the row whose columns are *stored*: what `store_row` was given, as far as it is kept."""
    number, url, state, run, size, started, ms, text = stored
    extra: dict[str, Any] = json.loads(text) if text else {}
    path = extra.get("path")
    return Row(
        url=url,
        path=derive(url) if path is None else path,
        state=State(state),
        derived=path is None,
        row=number,
        run=run,
        size=size,
        attempts=extra.get("attempts", 1),
        method=extra.get("method", "GET"),
        status=extra.get("status", 200 if state in FINISHED else None),
        failure_class=extra.get("class", ""),
        message=extra.get("message", ""),
        final_url=extra.get("final_url"),
        validator=extra.get("validator"),
        total=extra.get("total"),
        missing=_ranges(extra.get("missing")),
        digest=extra.get("digest"),
        etag=extra.get("etag"),
        last_modified=extra.get("last_modified"),
        line=extra.get("line", 0),
        details=extra.get("item"),
        file=extra.get("file"),
        started=run_started + started,
        seconds=ms / 1000,
    )


def entry_of(candidate: Candidate) -> Entry:
    """Return what the row *candidate* says of its item."""
    row, _, state, run, size, text = candidate
    if text is None:
        return Entry(row, _STATES[state], run, size)
    extra: dict[str, Any] = json.loads(text)
    return Entry(
        row,
        _STATES[state],
        run,
        size,
        extra.get("attempts", 1),
        extra.get("class", ""),
        extra.get("validator"),
        extra.get("total"),
        extra.get("final_url"),
        extra.get("digest"),
        extra.get("etag"),
        extra.get("file"),
        _ranges(extra.get("missing")),
    )


def _ranges(stored: list[list[int]] | None) -> tuple[tuple[int, int], ...]:
    return tuple((start, end) for start, end in stored or ())


def judge(wanted: Wanted, candidates: Iterable[Candidate], run: int, derive: Derive) -> Entry | Collision | None:
    """Say what the rows found by the slot of a path mean for the item that wants it.

    Only rows of that very path count. The item's own row is its entry. Another item's row is a collision when
    it owns the path: its file is there or about to be, a part of its body is in the ``.part`` file, or it was
    seen in this run (the later item loses, whether or not the earlier one went well). What failed as policy
    owns nothing: it has lost the path itself. An item that is finished keeps its own whatever else there is.

    Args:
        wanted: The item, its URL as `stored_url` returns it.
        candidates: Rows that share its slot.
        run: The run that asks.
        derive: Gives the path of rows that do not store it; called for rows of other URLs only.
    """
    own: Entry | None = None
    owner: Collision | None = None
    for candidate in candidates:
        if not _has_path(candidate, wanted, derive):
            continue
        entry = entry_of(candidate)
        if _identity(candidate) == wanted[0]:
            own = entry
        elif _owns_its_path(entry, run):
            owner = Collision(entry.row, candidate[1], entry.state, run=entry.run)
    if owner is None or (own is not None and own.state in FINISHED):
        return own
    return owner._replace(own=own)


def own_row(wanted: Wanted, candidates: Iterable[Candidate], derive: Derive) -> int:
    """Return the number of the item's own row among the rows of its slot, 0 when it has none."""
    own = (c[0] for c in candidates if _identity(c) == wanted[0] and _has_path(c, wanted, derive))
    return next(own, 0)


def _has_path(candidate: Candidate, wanted: Wanted, derive: Derive) -> bool:
    """Whether the row has the path that is wanted."""
    _, url, _, _, _, text = candidate
    wanted_url, path, derived = wanted
    stored = json.loads(text).get("path") if text else None
    if stored is not None:
        return bool(stored == path)
    # Hot path: paths that both follow from the same URL need not be derived to be the same.
    return (derived and url == wanted_url) or derive(url) == path


def _identity(candidate: Candidate) -> str:
    """What tells the row's item from another one of the same path."""
    url, text = candidate[1], candidate[5]
    return url if text is None else identity_of(url, json.loads(text).get("method", "GET"))


def _owns_its_path(entry: Entry, run: int) -> bool:
    """Whether nobody else may write where this row's item goes."""
    if entry.failure_class == POLICY:
        return False
    return entry.state in FINISHED or entry.validator is not None or entry.run == run
