"""What a manifest holds, before anything is fetched: items, bad lines, duplicates, colliding names, hosts, octets.

Everything is read, and what is read is kept on disk, in a temporary file of SQLite's, so that memory follows the number
of hosts and not of items. Names are those that a run gives: it is the run's intake that reads the lines.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

from .exceptions import SettingsError
from .intake import Admitted, Intake
from .items import Item, Outcome
from .manifests import Batch
from .remote_manifests import manifest_of
from .sampling import MAX_SAMPLE, Estimate, Reservoir, Sample, ask, estimated
from .sessions import open_session
from .settings import RunSettings
from .templates import Template

__all__ = ["MAX_EXAMPLES", "Collision", "Plan", "plan"]

MAX_EXAMPLES: Final = 5
"""Examples of bad lines and of collisions that are kept."""

_SCHEMA: Final = """
CREATE TABLE items(path INTEGER, key INTEGER, line INTEGER, name TEXT);
CREATE TABLE folders(path INTEGER PRIMARY KEY) WITHOUT ROWID;
"""
_DUPLICATES: Final = "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM items GROUP BY path, key)"
# Of several items with one path the first has it; a path that others have as a folder cannot be a file.
_COLLIDING: Final = """
SELECT name, min(line), max(line), count(DISTINCT key) - 1 AS more, path IN (SELECT path FROM folders) AS is_folder
FROM items GROUP BY path HAVING more > 0 OR is_folder
"""


class Collision(NamedTuple):
    """A name that more than one item has, or that is a folder's for others.

    Attributes:
        path: The name below the output folder.
        first: Line of the first of its items.
        last: Line of the last of them.
        is_folder: Whether other items have names below it.
    """

    path: str
    first: int
    last: int
    is_folder: bool


class Plan(NamedTuple):
    """What a manifest holds.

    Attributes:
        items: Lines that are items, duplicates among them.
        invalid: Lines that are none.
        bad_lines: The first of these, as outcomes.
        duplicates: Items that have come before.
        colliding: Names that cannot be everybody's.
        collisions: The first of these.
        hosts: Items by host (name and port).
        sized: Items of which the manifest says the size.
        octets: Sum of these sizes.
        slots: Items that a run has under way at a time.
        per_host: The same for one host.
        sample: What was found out of some of the items without a size; None when nobody was asked.
    """

    items: int
    invalid: int
    bad_lines: tuple[Outcome, ...]
    duplicates: int
    colliding: int
    collisions: tuple[Collision, ...]
    hosts: Counter[str]
    sized: int
    octets: int
    slots: int
    per_host: int
    sample: Sample | None = None

    @property
    def estimate(self) -> Estimate | None:
        """Octets of all items, those that the manifest says among them; None when nobody was asked."""
        if self.sample is None:
            return None
        rest = estimated(self.sample, self.items - self.sized)
        return Estimate(*(self.octets + each for each in rest))

    @property
    def bound_by(self) -> str | None:
        """The host that the run will wait for in the end: its items take its slots longer than all take all slots.

        None when there is none such.
        """
        if not self.hosts:
            return None
        host, most = self.hosts.most_common(1)[0]
        return host if most / min(self.per_host, self.slots) > self.items / self.slots else None

    @property
    def used_slots(self) -> float:
        """Slots that are in use on average, were every item to take the same time."""
        if not self.hosts:
            return 0.0
        most = self.hosts.most_common(1)[0][1]
        rounds = max(most / min(self.per_host, self.slots), self.items / self.slots)
        return self.items / rounds


async def plan(settings: RunSettings, *, sample: int = 0, rng: random.Random | None = None) -> Plan:
    """Read the manifest of a run to its end and say what it holds. No folder is made.

    Args:
        settings: Those of the run.
        sample: Items of those without a size that are asked for theirs, at most `MAX_SAMPLE`. Default 0: none is.
        rng: Chooses them; None for chance.

    Raises:
        ManifestError: It cannot be read.
        SettingsError: *sample* is out of range.
    """
    if not 0 <= sample <= MAX_SAMPLE:
        raise SettingsError(f"sample is {sample}; expected 0 to {MAX_SAMPLE}")
    chosen = Reservoir(sample, rng or random.Random()) if sample else None
    counting = _Counting(settings, chosen)
    try:
        async with open_session(settings) as session, manifest_of(settings, session) as source:
            async for batch in source:
                counting.add(batch)
        found = counting.result()
        return found if chosen is None else found._replace(sample=await ask(chosen.items, settings))
    finally:
        counting.close()


class _Counting:
    """Counts items as they come."""

    def __init__(self, settings: RunSettings, chosen: Reservoir | None) -> None:
        self._chosen = chosen
        self._settings = settings
        self._template = Template.parse(settings.name)
        self._hosts: Counter[str] = Counter()
        self._bad: list[Outcome] = []
        self._invalid = self._sized = self._octets = 0
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA} BEGIN;")

    def close(self) -> None:
        """Let go of the temporary file."""
        self._database.close()

    def add(self, batch: Batch) -> None:
        """Count the lines of *batch*."""
        admitted = Admitted()
        # An intake for each batch, since it remembers every item that is not recorded.
        intake = Intake(
            on_collision="error",
            run=0,
            size_of=_none,
            part_size_of=_none,
            is_fresh=True,
            template=self._template,
        )
        items = intake.parse(batch, admitted)
        self._invalid += len(admitted.outcomes)
        self._bad += admitted.outcomes[: MAX_EXAMPLES - len(self._bad)]
        self._hosts.update(item.host for item in items)
        for item in items:
            if item.extras is not None and item.extras.size is not None:
                self._sized += 1
                self._octets += item.extras.size
            elif self._chosen is not None:
                self._chosen.add(item)
        self._database.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?)",
            [(_hash(item.path), _key(item), item.line, item.path) for item in items],
        )
        self._add_folders(item.path.rpartition("/")[0] for item in items)

    def _add_folders(self, folders: Iterable[str]) -> None:
        """Note the folders that hold something, and those that hold these."""
        found: set[str] = set()
        for folder in folders:
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
        self._database.executemany("INSERT OR IGNORE INTO folders VALUES (?)", [(_hash(folder),) for folder in found])

    def result(self) -> Plan:
        """Return what was counted."""
        (duplicates,) = self._database.execute(_DUPLICATES).fetchone()
        (colliding,) = self._database.execute(f"SELECT count(*) FROM ({_COLLIDING})").fetchone()
        examples = self._database.execute(f"{_COLLIDING} ORDER BY min(line) LIMIT {MAX_EXAMPLES}").fetchall()
        return Plan(
            items=self._hosts.total(),
            invalid=self._invalid,
            bad_lines=tuple(self._bad),
            duplicates=duplicates,
            colliding=colliding,
            collisions=tuple(
                Collision(name, first, last, bool(is_folder)) for name, first, last, _, is_folder in examples
            ),
            hosts=self._hosts,
            sized=self._sized,
            octets=self._octets,
            slots=self._settings.concurrency,
            per_host=self._settings.per_host,
        )


def _none(_: str) -> None:
    """What a file's size is where there is no folder."""


def _key(item: Item) -> int:
    return int.from_bytes(item.key[:8], "big", signed=True)


def _hash(path: str) -> int:
    digest = blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
