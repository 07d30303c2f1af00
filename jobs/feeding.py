"""From the manifest into the scheduler: read, admitted, handed over, as far as somebody wants more.

Lives here: the one task that reads. Not here: what is read next (``read_ahead``), what a line becomes (``intake``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from fetchd.client import ClientSession

from .counts import Counts
from .given_items import GivenItems, Items
from .intake import Admitted, Intake
from .items import Outcome
from .ledger import Ledger
from .manifests import Batch, ManifestSource
from .read_ahead import ReadAhead
from .recorder import Recorder
from .remote_manifests import manifest_of
from .retrying import FailedItems
from .scheduler import Scheduler
from .settings import RunSettings
from .spill import Spill

__all__ = ["Feeder", "LineSource", "open_source", "source_name"]

# Stand in the ledger in the place of a manifest.
_RETRY: Final = "what failed"
_GIVEN: Final = "given items"

LineSource = ManifestSource | FailedItems | GivenItems
"""Where a run has its lines from."""


def open_source(
    settings: RunSettings, session: ClientSession, given: Items | None = None
) -> AbstractAsyncContextManager[LineSource]:
    """Return the lines of a run, to be entered: of what is *given*, a manifest's, or those that failed.

    Raises:
        LedgerError: What failed is to be tried again, and the folder has no ledger.
    """
    if given is not None:
        return GivenItems(given)
    if settings.retry is not None:
        return FailedItems(settings.output, settings.retry)
    return manifest_of(settings, session)


def source_name(settings: RunSettings, given: Items | None = None) -> str:
    """Return what the ledger calls the source of a run."""
    if given is not None:
        return _GIVEN
    return settings.manifest if settings.retry is None else _RETRY


class Feeder:
    """Feeds the scheduler of one run.

    Args:
        intake: Sorts the lines.
        ledger: What is known of them.
        recorder: In whose thread the ledger is asked; nothing is read while it is behind.
        scheduler: Gets what is to be fetched.
        counts: Told how much was read.
        wants_more: Set by whoever sees that the scheduler is short, or that there is room again.
        on_outcome: Called with each line that needs no fetching.
        on_fed: Called when there may be something to start, and at the end.
    """

    def __init__(
        self,
        intake: Intake,
        ledger: Ledger,
        recorder: Recorder,
        scheduler: Scheduler,
        counts: Counts,
        *,
        wants_more: asyncio.Event,
        on_outcome: Callable[[Outcome], None],
        on_fed: Callable[[], None],
    ) -> None:
        self._intake = intake
        self._ledger = ledger
        self._recorder = recorder
        self._scheduler = scheduler
        self._counts = counts
        self._wants_more = wants_more
        self._on_outcome = on_outcome
        self._on_fed = on_fed

    async def run(self, source: LineSource, spill_in: Path, window: int) -> None:
        """Feed until all of *source* is admitted.

        Args:
            source: The manifest.
            spill_in: Folder for what is put aside.
            window: Items that may wait in memory.

        Raises:
            LocalFailureError: What was put aside cannot be read.
            ManifestError: The manifest cannot be.
        """
        counts = self._counts
        with contextlib.closing(Spill(spill_in)) as spill:
            ahead = ReadAhead(aiter(source), spill, self._scheduler, window)
            while not ahead.is_through():
                batch = await ahead.next()
                counts.read, counts.is_all_read = ahead.read, ahead.has_ended
                await self._admit(batch)
                self._on_fed()
                while not (ahead.is_through() or (ahead.may_go_on and self._recorder.has_room)):
                    self._wants_more.clear()
                    await self._wants_more.wait()
            counts.is_all_admitted = True
            self._on_fed()

    async def _admit(self, batch: Batch) -> None:
        intake, admitted = self._intake, Admitted()
        items = intake.parse(batch, admitted)
        while items:
            known = await self._recorder.call(self._ledger.lookup, intake.wanted(items))
            items = intake.judge(items, known, admitted)
        now = asyncio.get_running_loop().time()
        for item in admitted.items:
            self._scheduler.add(item, now)
        for outcome in admitted.outcomes:
            self._on_outcome(outcome)
