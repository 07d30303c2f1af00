"""How many octets a manifest comes to, by asking some of its items: which, how, and what follows for the others.

Asked are those of whose size the manifest says nothing, each as likely as any other, by HEAD and once. Hosts take
turns, within the caps and rates of a run; one that was never reached, or asks for less, is asked no more.

The estimate is the mean of what was asked times the items there are, give or take two standard errors of it: nineteen
times in twenty the sum is within, if no few large files make most of it. What fails counts as nothing, as it will in a
run; so does what is there without a length, which is told beside it.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from .attempts import AttemptFailedError
from .failures import FailureClass
from .hosts import first_contact
from .items import Item
from .manners import Manners
from .rates import Rates
from .sessions import open_session
from .settings import RunSettings
from .spider import Asking

__all__ = ["MAX_SAMPLE", "Estimate", "Reservoir", "Sample", "ask", "estimated"]

MAX_SAMPLE: Final = 10_000
"""Items that are asked at most: the error falls with the root of their number."""
_ASK_S: Final = 10.0  # a head that takes longer is no plan's business
_UNREACHED: Final = frozenset(
    (
        FailureClass.DNS,
        FailureClass.CONNECT,
        FailureClass.TLS,
        FailureClass.TIMEOUT_CONNECT,
        FailureClass.TIMEOUT_FIRST_BYTE,
        FailureClass.TIMEOUT_TOTAL,
    )
)
_LESS_PLEASE: Final = frozenset((429, 503))


class Sample(NamedTuple):
    """What was found out.

    Attributes:
        sizes: Lengths that were told.
        unknown: Items that are there and whose length was not told.
        failed: Items that are not there, or whose host was not reached or asked for less.
    """

    sizes: tuple[int, ...]
    unknown: int
    failed: int

    @property
    def asked(self) -> int:
        """Items of the sample."""
        return len(self.sizes) + self.unknown + self.failed


class Estimate(NamedTuple):
    """Octets of all items, of whose sizes nothing is known.

    Attributes:
        low: Hardly fewer.
        likely: The best guess.
        high: Hardly more.
    """

    low: int
    likely: int
    high: int


class Reservoir:
    """A sample of a stream of unknown length. Source: Vitter, Random Sampling with a Reservoir, algorithm R.

    Args:
        size: Items that are kept at most.
        rng: Chooses.

    Attributes:
        items: Those that are kept.
        seen: Items of the stream so far.
    """

    def __init__(self, size: int, rng: random.Random) -> None:
        self.items: list[Item] = []
        self.seen = 0
        self._size = size
        self._rng = rng

    def add(self, item: Item) -> None:
        """Take the next item of the stream."""
        self.seen += 1
        if len(self.items) < self._size:
            self.items.append(item)
            return
        place = self._rng.randrange(self.seen)
        if place < self._size:
            self.items[place] = item


def estimated(sample: Sample, items: int) -> Estimate:
    """Return what *items*, of which *sample* was taken, come to."""
    asked = sample.asked
    if asked == 0:
        return Estimate(0, 0, 0)
    seen = sum(sample.sizes)
    mean = seen / asked
    if asked == 1:
        spread = math.inf if items > 1 else 0.0
    else:
        squares = math.fsum((size - mean) ** 2 for size in sample.sizes)
        squares += (asked - len(sample.sizes)) * mean**2
        # Of a finite number without putting back: who was asked is no matter of chance any more.
        spread = 2 * items * math.sqrt(squares / (asked - 1) / asked * (1 - asked / items))
    likely = mean * items
    if math.isinf(spread):
        return Estimate(seen, round(likely), round(likely) * 2)
    return Estimate(max(seen, round(likely - spread)), round(likely), round(likely + spread))


async def ask(items: Sequence[Item], settings: RunSettings) -> Sample:
    """Ask each of *items* once for its length.

    Args:
        items: Whom to ask.
        settings: Those of the run: caps, rates, and the way to the hosts.
    """
    rates = Rates(settings.limits.rate, settings.limits.per_host_rate)
    contact = first_contact(settings.per_host) if settings.first_contact is None else settings.first_contact
    manners = Manners(None, rates, contact)
    async with open_session(settings, manners) as session:
        asking = Asking(session, min(settings.timeout or _ASK_S, _ASK_S), manners)
        return await _Round(asking, manners, settings).run(items)


class _Round:
    """One question to each item of a sample."""

    def __init__(self, asking: Asking, manners: Manners, settings: RunSettings) -> None:
        self._asking = asking
        self._manners = manners
        self._per_host = settings.per_host
        self._slots = asyncio.Semaphore(settings.concurrency)  # first come, first served: so hosts take turns
        self._answered: set[str] = set()
        self._sizes: list[int] = []
        self._unknown = self._failed = 0

    async def run(self, items: Iterable[Item]) -> Sample:
        """Ask all of them."""
        by_host: dict[str, deque[Item]] = {}
        for item in items:
            by_host.setdefault(item.host, deque()).append(item)
        async with asyncio.TaskGroup() as group:
            for waiting in by_host.values():
                for _ in range(min(self._per_host, len(waiting))):
                    group.create_task(self._ask_host(waiting))
        return Sample(tuple(self._sizes), self._unknown, self._failed)

    async def _ask_host(self, waiting: deque[Item]) -> None:
        """Ask the items of one host, one after the other; others do so at the same time."""
        while waiting:
            item = waiting.popleft()
            await self._manners.next_request(item.host)
            async with self._slots:
                if not await self._ask_one(item):
                    self._failed += len(waiting)
                    waiting.clear()

    async def _ask_one(self, item: Item) -> bool:
        """Ask *item*; say whether its host may be asked again."""
        try:
            found = await self._asking.ask(item)
        except AttemptFailedError as exc:
            self._failed += 1
            if exc.failure.failure_class in _UNREACHED:
                return item.host in self._answered
            self._answered.add(item.host)
            return exc.failure.status not in _LESS_PLEASE
        self._answered.add(item.host)
        if found.size is None:
            self._unknown += 1
        else:
            self._sizes.append(found.size)
        return True
