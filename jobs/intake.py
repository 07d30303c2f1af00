"""From lines of a manifest to items that are to be fetched: parsed, named, compared with what is known.

Every line leaves here as exactly one of: an item for the scheduler, or an outcome (invalid, skipped, failed as policy).
Lives here: identity, duplicates, collisions, what an entry of the ledger means for an item. Not here: reading
(``manifests``), the ledger's look-ups (given as values), fetching.

Identity. An item is its URL and its path. Two lines with both the same are one item, the second a duplicate; the same
path for different URLs is a collision. What is known of a path: ``claims`` holds what is in memory (waiting, in flight,
ended and not yet recorded), the ledger everything else, so that memory follows the window and not the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from .failures import Failure, FailureClass
from .items import Item, Outcome, Result
from .ledger import Collision, State, Wanted
from .ledger import Entry as LedgerEntry
from .manifests import BadLine, Line
from .naming import safe_path
from .resume import ResumePoint
from .settings import OnCollision
from .targets import parse_target, without_userinfo

__all__ = ["Admitted", "Intake", "Known", "derive_path"]

Known = LedgerEntry | Collision | None
"""What the ledger knows of an item."""

SizeOf = Callable[[str], int | None]
"""Octets of a file below the output folder; None when it is not there."""

_DUPLICATE: Final = "duplicate"
_DONE: Final = "done"
_COLLISION: Final = "collision"


def derive_path(url: str) -> str:
    """The path that the default template gives *url*, which is a valid one."""
    return safe_path(parse_target(url))


@dataclass(slots=True)
class Admitted:
    """What a batch of lines became, in the order of the lines within each list.

    Attributes:
        items: To be fetched, each with its claim on its path.
        outcomes: Of lines that need no fetching.
    """

    items: list[Item] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


class Intake:
    """Admits the lines of one run.

    Args:
        on_collision: What happens to an item whose path another one has.
        run: Number of this run in the ledger: an entry of this run is a duplicate, an earlier one is done or unfinished.
        size_of: Looks at a finished file.
        part_size_of: Looks at a ``.part`` file.
        is_fresh: The folder held no file when the run began: nothing needs to be looked for that we did not write.
    """

    def __init__(
        self,
        *,
        on_collision: OnCollision,
        run: int,
        size_of: SizeOf,
        part_size_of: SizeOf,
        is_fresh: bool,
    ) -> None:
        self._on_collision = on_collision
        self._run = run
        self._size_of = size_of
        self._part_size_of = part_size_of
        self._is_fresh = is_fresh
        self._claims: dict[str, str] = {}  # path -> URL

    def release(self, item: Item) -> None:
        """The item's end is recorded: the ledger knows it from here on."""
        self._claims.pop(item.path, None)

    def parse(self, lines: Iterable[Line | BadLine], admitted: Admitted) -> list[Item]:
        """Give the lines that are items with a path of their own; what else they are goes to *admitted*."""
        items: list[Item] = []
        for line in lines:
            if isinstance(line, BadLine):
                item = Item(line.text, line.number)
                admitted.outcomes.append(_invalid(item, line.reason))
                continue
            try:
                target = parse_target(line.url)
            except ValueError as exc:
                admitted.outcomes.append(_invalid(Item(line.url, line.number), str(exc)))
                continue
            item = Item(line.url, line.number, None, target.scheme, target.host_key, safe_path(target))
            self._claim(item, items, admitted)
        return items

    def _claim(self, item: Item, items: list[Item], admitted: Admitted) -> None:
        owner = self._claims.get(item.path)
        if owner is None:
            self._claims[item.path] = item.url
            items.append(item)
        elif owner == item.url:
            admitted.outcomes.append(Outcome(item, Result.SKIPPED, reason=_DUPLICATE))
        elif self._on_collision == "number" and item.name is None:
            _number(item)
            self._claim(item, items, admitted)
        else:
            admitted.outcomes.append(self._collided(item, owner))

    def wanted(self, items: Sequence[Item]) -> list[Wanted]:
        """What to look up in the ledger for *items*."""
        return [(item.url, item.path, item.name is None) for item in items]

    def judge(self, items: Sequence[Item], known: Sequence[Known], admitted: Admitted) -> list[Item]:
        """Sort *items* by what the ledger knows of each; gives those that must be looked up again under a new path."""
        again: list[Item] = []
        for item, entry in zip(items, known, strict=True):
            if entry is None:
                self._judge_new(item, admitted, again)
            elif isinstance(entry, Collision):
                self._collide(item, without_userinfo(entry.url), admitted, again)
            else:
                self._judge_known(item, entry, admitted)
        return again

    def _judge_new(self, item: Item, admitted: Admitted, again: list[Item]) -> None:
        if not self._is_fresh and self._size_of(item.path) is not None:
            self._collide(item, "a file that this folder's ledger does not know", admitted, again)
        else:
            admitted.items.append(item)

    def _collide(self, item: Item, owner: str, admitted: Admitted, again: list[Item]) -> None:
        self.release(item)
        if self._on_collision != "number" or item.name is not None:
            admitted.outcomes.append(self._collided(item, owner))
            return
        _number(item)
        self._claim(item, again, admitted)

    def _judge_known(self, item: Item, entry: LedgerEntry, admitted: Admitted) -> None:
        item.row = entry.row
        is_finished = entry.state in (State.DONE, State.FINISHING)
        if entry.run == self._run:
            self._skip(item, _DUPLICATE, admitted)
        elif is_finished and self._size_of(item.path) == entry.size:
            self._skip(item, _DONE, admitted)
        else:
            item.resume = None if is_finished else self._resume_point(item, entry)
            admitted.items.append(item)

    def _skip(self, item: Item, reason: str, admitted: Admitted) -> None:
        self.release(item)
        admitted.outcomes.append(Outcome(item, Result.SKIPPED, reason=reason))

    def _resume_point(self, item: Item, entry: LedgerEntry) -> ResumePoint | None:
        """Where to go on, from what the ledger kept and the octets that are on disk."""
        if entry.validator is None:
            return None
        offset = self._part_size_of(item.path)
        if not offset or (entry.total is not None and offset > entry.total):
            return None
        return ResumePoint(offset, entry.validator, entry.total, entry.final_url or item.shown_url)

    def _collided(self, item: Item, owner: str) -> Outcome:
        if self._on_collision == "skip":
            return Outcome(item, Result.SKIPPED, reason=_COLLISION)
        message = f"its file {item.path} belongs to {without_userinfo(owner)}; --on-collision number keeps both"
        return Outcome(item, Result.FAILED, Failure(FailureClass.POLICY, message))


def _invalid(item: Item, reason: str) -> Outcome:
    return Outcome(item, Result.INVALID, Failure(FailureClass.INVALID, reason))


def _number(item: Item) -> None:
    """Give *item* a path of its own that follows from its URL, so that it is the same in every run."""
    stem, dot, ending = item.path.rpartition(".")
    if not dot or "/" in ending or stem.endswith("/") or not stem:
        stem, ending = item.path, ""
    digest = blake2b(without_userinfo(item.url).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    item.path = f"{stem}~{digest}{dot if ending else ''}{ending}"
    item.name = item.path
