"""What is fetched and how it ended: `Item`, `Outcome` and the words for an end. Values only.

An item's live state (queued, delayed, in flight) is the scheduler's and its lasting state the ledger's;
an Item carries what both need and decides nothing. `Failure` and its classes are defined in ``failures.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from .extras import Extras, identity_of, item_key
from .failures import Failure, FailureClass
from .resume import ResumePoint
from .targets import without_userinfo

__all__ = ["Extras", "Failure", "FailureClass", "Item", "Outcome", "Result"]


class Result(StrEnum):
    """How an item ended; the words of summaries and reports."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    INVALID = "invalid"


@dataclass(slots=True, eq=False, repr=False)
class Item:
    """One URL of a manifest and where it goes. Compared by identity; mutable where said.

    A slotted object of about 120 octets, because a window holds 100,000 of them.

    Attributes:
        url: The URL exactly as the manifest has it, but for blanks around it and its fragment.
        line: Line in the manifest, from 1; it informs, it does not identify.
        name: Output name the manifest gives, relative to the output folder; None when it gives none.
        scheme: ``http`` or ``https``; empty until the URL was looked at.
        host: ``host:port`` in lower case, the scheme's default port filled in; empty until then.
        path: Safe path below the output folder; empty until it was named.
        attempts: Mutable. Attempts that failed and count.
        throttles: Mutable. Attempts that failed and do not count (see ``failures.Verdict.counts``).
        row: Mutable. Row of the ledger, 0 while there is none.
        host_answered: Mutable. Whether the host was known to answer when the attempt at hand was started.
        resume: Mutable. Where the body goes on. None to fetch it whole; so too at offset 0, where it says that the
            ledger may still have a validator for the octets that are to be replaced.
        extras: What else the manifest says of it; None for most items, of which it says nothing else.
    """

    url: str
    line: int
    name: str | None = None
    scheme: str = ""
    host: str = ""
    path: str = ""
    attempts: int = 0
    throttles: int = 0
    row: int = 0
    host_answered: bool = False
    resume: ResumePoint | None = None
    extras: Extras | None = None

    @property
    def shown_url(self) -> str:
        """The URL for messages, logs and reports: without userinfo."""
        return without_userinfo(self.url)

    @property
    def method(self) -> str:
        """Of its requests."""
        return "GET" if self.extras is None else self.extras.method

    @property
    def key(self) -> bytes:
        """What it is known by, see `item_key`."""
        return item_key(self.url, self.name, self.method)

    @property
    def identity(self) -> str:
        """What tells it from another item of the same path: its URL as shown, the method before it if not GET."""
        return self.shown_url if self.extras is None else identity_of(self.shown_url, self.extras.method)

    def __repr__(self) -> str:
        return f"<Item line {self.line}: {self.shown_url}>"


class Outcome(NamedTuple):
    """How one item ended.

    Attributes:
        item: The item.
        result: How it ended.
        failure: The last failure, when *result* is FAILED or INVALID.
        size: Octets of the finished file, 0 when there is none.
        seconds: From the start of the first attempt to the end, 0 when there was none.
        status: Status code of the last response, None when there was none.
        final_url: Where redirections led, when that differs from the item's URL; without userinfo.
        etag: The response's ETag as sent, None when it had none.
        last_modified: The response's Last-Modified as sent, None when it had none.
        reason: Why it was skipped: ``done`` (in an earlier run), ``duplicate``, ``collision`` or ``kept``; else empty.
        digest: Of the finished file, as the ledger has it (``sha256:...``); None when nobody asked for one.
    """

    item: Item
    result: Result
    failure: Failure | None = None
    size: int = 0
    seconds: float = 0.0
    status: int | None = None
    final_url: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    reason: str = ""
    digest: str | None = None
