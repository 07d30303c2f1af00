"""From lines of a manifest to items that are to be fetched: parsed, named, compared with what is known.

Every line leaves here as exactly one of: an item for the scheduler, or an outcome (invalid, skipped, failed as policy).
Lives here: identity, duplicates, collisions, what an entry of the ledger means for an item. Not here: reading
(``manifests``), the ledger's look-ups (given as values), fetching.

Identity. An item is its method, its URL and its path; the URL without its fragment, which is never sent (RFC 9110
section 7.1), and without userinfo. Two lines with all three the same are one item, the second a duplicate; the same
path otherwise is a collision. What is known of a path: ``claims`` holds what is in memory (waiting, in flight,
ended and not yet recorded), the ledger everything else, so that memory follows the window and not the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .failures import Failure, FailureClass
from .items import Item, Outcome, Result
from .ledger import Collision, Wanted
from .ledger import Entry as LedgerEntry
from .ledger_rows import FINISHED
from .manifests import BadLine, DetailedLine, Line
from .mirrors import Sources
from .naming import name_plain, safe_path
from .resume import ResumePoint
from .settings import Existing, OnCollision
from .targets import parse_target
from .templates import DEFAULT, Naming, Template

__all__ = ["Admitted", "Intake", "Known", "Standing", "derive_path"]

_BY_DEFAULT: Final = Template.parse(DEFAULT)

Known = LedgerEntry | Collision | None
"""What the ledger knows of an item."""

SizeOf = Callable[[str], int | None]
"""Octets of a file below the output folder; None when it is not there."""

_SKIPPED: Final = Result.SKIPPED  # a member of an enumeration takes 50 ns to be found
_DUPLICATE: Final = "duplicate"
_DONE: Final = "done"
_COLLISION: Final = "collision"


def derive_path(url: str) -> str:
    """The path that the default template gives *url*, which is a valid one."""
    return safe_path(parse_target(url))


class Standing(NamedTuple):
    """The file of an item that is done, and is looked at once more.

    Attributes:
        size: Octets, in the ledger and on disk.
        digest: As in ``ledger.Row``.
        etag: As in ``ledger.Row``.
        place: Where the file is.
    """

    size: int
    digest: str | None
    etag: str | None
    place: str


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

    A batch goes through ``parse``, a look-up in the ledger, and ``judge``, which may ask for another look-up under
    another path. One batch at a time; items of earlier ones may be released meanwhile.

    Args:
        on_collision: What happens to an item whose path another one has.
        run: Number of this run in the ledger: its entries are duplicates, earlier ones done or unfinished.
        size_of: Looks at a finished file.
        part_size_of: Looks at a ``.part`` file.
        was_in_this_boot: Whether the machine has not been started since a run began: what was written before, and
            synced by nobody, is not gone on with.
        template: By which items are named that the manifest does not name.
        existing: What happens to an item that is done.
        is_fresh: The folder held no file when the run began: nothing needs to be looked for that we did not write.
        keeps_files: Whether what is done is a file; where it is none the ledger's word has to do.
        trusts_ledger: Whether it has to do in any case: no file of an item that is done is looked for.

    Attributes:
        standing: Items that are done and whose files are to be looked at again, until they are released.
        replaced: The row whose file gives way, by the item that takes its place, until that is released.
        files: Where the file of an item is, where only a response has told; until that is released.
    """

    def __init__(
        self,
        *,
        on_collision: OnCollision,
        run: int,
        size_of: SizeOf,
        part_size_of: SizeOf,
        is_fresh: bool,
        was_in_this_boot: Callable[[int], bool] = lambda _: True,
        template: Naming = _BY_DEFAULT,
        existing: Existing = "keep",
        keeps_files: bool = True,
        trusts_ledger: bool = False,
    ) -> None:
        self._on_collision = on_collision
        self._run = run
        self._size_of = size_of
        self._part_size_of = part_size_of
        self._is_fresh = is_fresh
        self._was_in_this_boot = was_in_this_boot
        self._looks = keeps_files and not trusts_ledger
        self._template = None if template.text == DEFAULT else template
        self._existing = existing
        self.standing: dict[Item, Standing] = {}
        self.replaced: dict[Item, int] = {}
        self.files: dict[Item, str] = {}
        self._claims: dict[str, Item] = {}  # path -> who has it
        self._rivals: dict[Item, Item] = {}  # from parse to judge: who came too late -> who has the path
        self._refused: dict[tuple[str, str], Item] = {}  # identities that lost their path, until that is recorded
        self._numbered: set[Item] = set()  # those of this batch that were given a path of their own

    @property
    def held(self) -> int:
        """Items that are remembered: waiting, in flight, or ended and not yet recorded."""
        return len(self._claims) + len(self._rivals) + len(self._refused)

    def release(self, item: Item) -> None:
        """The item's end is recorded: the ledger knows it from here on."""
        if self.standing:
            self.standing.pop(item, None)
        if self.replaced:
            self.replaced.pop(item, None)
        if self.files:
            self.files.pop(item, None)
        if self._claims.get(item.path) is item:
            del self._claims[item.path]
        elif self._refused and self._refused.get(_identity(item)) is item:
            del self._refused[_identity(item)]

    def parse(self, lines: Iterable[Line | DetailedLine | BadLine], admitted: Admitted) -> list[Item]:
        """Give the lines that are items, to be looked up in the ledger; those that are none go to *admitted*."""
        items: list[Item] = []
        self._numbered.clear()
        for line in lines:
            if isinstance(line, BadLine):
                item = Item(line.text, line.number)
                admitted.outcomes.append(_invalid(item, line.reason))
                continue
            try:
                item = self._plain_item(line) or _item(line, self._template)
            except ValueError as exc:
                admitted.outcomes.append(_invalid(Item(line.url, line.number), str(exc)))
                continue
            self._claim(item)
            items.append(item)
        return items

    def _plain_item(self, line: Line | DetailedLine) -> Item | None:
        """Return the item of a line that says no more than an ordinary URL, None for any other. Hot path.

        Raises:
            ValueError: It is no URL.
        """
        if self._template is not None or isinstance(line, DetailedLine):
            return None
        named = name_plain(line.url)
        return None if named is None else Item(line.url, line.number, None, *named)

    def _claim(self, item: Item) -> None:
        """Take the item's path, or note who has it. What that means is judged when the ledger was asked."""
        holder = self._claims.setdefault(item.path, item)
        if holder is not item:
            self._rivals[item] = holder

    def wanted(self, items: Sequence[Item]) -> list[Wanted]:
        """What to look up in the ledger for *items*."""
        return [(_looked_up(item), item.path, item.name is None) for item in items]

    def judge(self, items: Sequence[Item], known: Sequence[Known], admitted: Admitted) -> list[Item]:
        """Sort *items* by what the ledger knows of each; gives those that must be looked up again under a new path."""
        again: list[Item] = []
        for item, entry in zip(items, known, strict=True):
            rival = self._rivals.pop(item, None) if self._rivals else None
            if isinstance(entry, Collision):
                self._judge_collision(item, entry, admitted, again)
            elif rival is not None and not self._outlived(item, entry):
                self._judge_late(item, entry, self._claims.get(item.path, rival), admitted, again)
            elif entry is None:
                self._judge_new(item, admitted, again)
            else:
                self._judge_known(item, entry, admitted, again)
        return again

    def _judge_collision(self, item: Item, entry: Collision, admitted: Admitted, again: list[Item]) -> None:
        own = entry.own
        if own is not None:
            item.row = own.row
        if own is not None and own.run == self._run:
            self._skip(item, _DUPLICATE, admitted)
        elif self._on_collision == "replace" and own is None and _gives_way(entry, self._run):
            self.replaced[item] = entry.row
            admitted.items.append(item)
        else:
            self._collide(item, entry.url, admitted, again)

    def _outlived(self, item: Item, entry: LedgerEntry | None) -> bool:
        """Whether an item that came too late has the path after all: the one before it has lost it to this very item.

        So it is when the ledger has the path as this item's. An item without entry never gets it this way: who was
        before it may be through and recorded since the look-up.
        """
        return entry is not None and self._claims.setdefault(item.path, item) is item

    def _judge_late(
        self, item: Item, entry: LedgerEntry | None, rival: Item, admitted: Admitted, again: list[Item]
    ) -> None:
        """Judge an item that came too late: *rival* has the path."""
        if entry is not None:
            item.row = entry.row
        if _identity(item) == _identity(rival) or (entry is not None and entry.run == self._run):
            admitted.outcomes.append(Outcome(item, _SKIPPED, reason=_DUPLICATE))
        else:
            self._collide(item, rival.shown_url, admitted, again)

    def _judge_new(self, item: Item, admitted: Admitted, again: list[Item]) -> None:
        if not self._is_fresh and self._on_collision != "replace" and self._size_of(item.path) is not None:
            self._collide(item, "a file that this folder's ledger does not know", admitted, again)
        else:
            admitted.items.append(item)

    def _judge_known(self, item: Item, entry: LedgerEntry, admitted: Admitted, again: list[Item]) -> None:
        item.row = entry.row
        if entry.file is not None:
            self.files[item] = entry.file
        is_finished = entry.state in FINISHED
        if entry.run == self._run:
            self._skip(item, _DUPLICATE, admitted)
        elif is_finished and (not self._looks or self._size_of(entry.file or item.path) == entry.size):
            self._judge_done(item, entry, admitted)
        elif entry.failure_class == FailureClass.POLICY:
            self._judge_new(item, admitted, again)  # what stood in its way may have gone, or stand there still
        else:
            item.resume = None if is_finished else self._resume_point(item, entry)
            if item.extras is not None and item.resume is not None:
                _begin_where_it_ended(item, item.resume)
            admitted.items.append(item)

    def _judge_done(self, item: Item, entry: LedgerEntry, admitted: Admitted) -> None:
        existing = self._existing
        if existing == "keep" or (existing == "verify" and entry.digest is None):
            self._skip(item, _DONE, admitted)
            return
        if existing != "replace":
            self.standing[item] = Standing(entry.size, entry.digest, entry.etag, entry.file or item.path)
        admitted.items.append(item)

    def _collide(self, item: Item, owner: str, admitted: Admitted, again: list[Item]) -> None:
        self.release(item)
        if self._on_collision == "number" and item not in self._numbered:
            _number(item)
            self._numbered.add(item)
            self._claim(item)
            again.append(item)
        elif self._on_collision == "skip":
            admitted.outcomes.append(Outcome(item, _SKIPPED, reason=_COLLISION))
        elif self._refused.setdefault(_identity(item), item) is not item:
            admitted.outcomes.append(Outcome(item, _SKIPPED, reason=_DUPLICATE))
        else:
            message = f"its place {item.path} is taken by {owner}; --on-collision number keeps both"
            admitted.outcomes.append(Outcome(item, Result.FAILED, Failure(FailureClass.POLICY, message)))

    def _skip(self, item: Item, reason: str, admitted: Admitted) -> None:
        self.release(item)
        admitted.outcomes.append(Outcome(item, _SKIPPED, reason=reason))

    def _resume_point(self, item: Item, entry: LedgerEntry) -> ResumePoint | None:
        """Where to go on, from what the ledger kept and the octets that are on disk.

        At offset 0, with nothing to go on from, it still says that the ledger has a validator, which must be gone
        from there before the ``.part`` file gets octets of perhaps another representation.
        """
        if entry.validator is None:
            return None
        offset = self._part_size_of(item.path) or 0
        if entry.missing:
            # The file has its whole length, with holes: it says nothing of what is there, the ledger does.
            is_there = offset == entry.total and self._was_in_this_boot(entry.run)
            missing = entry.missing if is_there else ()
            return ResumePoint(0, entry.validator, entry.total, entry.final_url or item.shown_url, missing)
        if (entry.total is not None and offset > entry.total) or not self._was_in_this_boot(entry.run):
            offset = 0
        return ResumePoint(offset, entry.validator, entry.total, entry.final_url or item.shown_url)


def _gives_way(owner: Collision, run: int) -> bool:
    """Whether the file of *owner* may be replaced: it is whole, and from an earlier run than *run*.

    Of what is not whole a later run could go on with octets that are another item's by then.
    """
    return owner.run != run and owner.state in FINISHED


def _identity(item: Item) -> tuple[str, str]:
    """What makes two lines one item."""
    return item.path, item.identity


def _looked_up(item: Item) -> str:
    """What the ledger compares; it takes userinfo off by itself."""
    return item.url if item.extras is None else item.identity


def _item(line: Line | DetailedLine, template: Naming | None) -> Item:
    """Return the item of a line, named by *template* (None: the default one) where it does not say its name itself.

    Raises:
        ValueError: It is no URL, its output name is unsafe, or a mirror is no URL.
    """
    target, url = parse_target(line.url), line.url.partition("#")[0]
    name, extras = (line.name, line.extras) if isinstance(line, DetailedLine) else (None, None)
    if extras is not None and extras.mirrors:
        for mirror in extras.mirrors:
            _check_mirror(mirror)
        extras.sources = Sources((url, *extras.mirrors))
    if isinstance(line, DetailedLine) and line.path is not None:
        path = name = line.path
    elif template is None:
        path = safe_path(target, name)
    elif name is not None:
        path = template.path_named(target, name)
    else:
        path = template.path(target, url, row=line.number, columns={} if extras is None else extras.columns)
        name = None if template.follows_url else path
    return Item(url, line.number, name, target.scheme, target.host_key, path, extras=extras)


def _begin_where_it_ended(item: Item, point: ResumePoint) -> None:
    """Have the mirror asked first whose octets are here."""
    sources = None if item.extras is None else item.extras.sources
    if sources is not None and sources.prefer(point.final_url):
        sources.part_from = sources.current
        item.host = sources.host


def _check_mirror(mirror: str) -> None:
    try:
        parse_target(mirror)
    except ValueError as exc:
        raise ValueError(f"mirror: {exc}") from None


def _invalid(item: Item, reason: str) -> Outcome:
    return Outcome(item, Result.INVALID, Failure(FailureClass.INVALID, reason))


def _number(item: Item) -> None:
    """Give *item* a path of its own that follows from its key, so that it is the same in every run."""
    stem, dot, ending = item.path.rpartition(".")
    if not dot or "/" in ending or stem.endswith("/") or not stem:
        stem, ending = item.path, ""
    item.path = f"{stem}~{item.key[:4].hex()}{dot if ending else ''}{ending}"
    item.name = item.path
    item.row = 0
