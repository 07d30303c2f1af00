"""A run from manifest to summary: ties intake, scheduler, transfers and recorder together.

    manifest -> [intake] -> scheduler -> attempts (one task a slot) -> recorder -> ledger, files
                               ^------------- retry ----------'

Lives here: who is woken when, where an attempt's end is told, how a run ends early. Not here: every decision that can
be made from values (``intake``, ``scheduler``, ``trying``, ``failures``, ``resume``).

How much is in memory: what the scheduler wants (twice the slots, unless hosts bind it), what is in flight, and what the
recorder holds; a slot does not start its next item while the recorder is behind, and no line is read that the scheduler
does not want.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from fetchd.client import ClientSession

from .attempts import AttemptFailedError, Attempts, Fetched
from .bandwidth import Bandwidth
from .checks import Checks, read_sidecar
from .counts import Counts
from .events import (
    Event,
    ItemFinished,
    ItemStarted,
    Progress,
    RunFinished,
    RunStarted,
    Snapshot,
    Summary,
)
from .exceptions import LocalFailureError, PolicyError
from .existing import KeptError, Looker
from .failures import Failure, FailureClass, classify
from .feeding import Feeder, LineSource, open_source, source_name
from .given_items import Items
from .hosts import first_contact
from .item_rows import failed_row, fetched_row, partial_row
from .items import Item, Outcome, Result
from .keeping import Keeping
from .ledger import Ledger
from .ledger_recovery import recover
from .ledger_schema import LEDGER_FOLDER
from .manners import Manners
from .placing import file_namer
from .rates import Rates
from .recorder import Entry, Recorder
from .scheduler import Scheduler
from .sessions import open_session
from .settings import RunSettings
from .sinks import Folder
from .spare import SpareSlots
from .templates import Template, derive_by
from .transfer import Transfer
from .trying import Trying
from .waiting import wait_out
from .watching import tell_progress, watch_limits

__all__ = ["OnEvent", "Run", "run"]

OnEvent = Callable[[Event], None]


async def run(settings: RunSettings, on_event: OnEvent | None = None, *, items: Items | None = None) -> Summary:
    """Fetch every item of a manifest, or of *items*, and say how it went. Started again on the same folder, it goes on.

    Args:
        settings: What to do.
        on_event: Called with each event as it happens, in the loop's thread; it must not block.
        items: What to fetch, in the place of a manifest: URLs, or mappings as lines of JSON have them (see
            ``given_items``); an iterable or an asynchronous one, taken from as items are needed. None for the manifest.

    Raises:
        ManifestError: The manifest cannot be read.
        SettingsError: The settings do not fit the folder, or the certificates cannot be loaded.
        LedgerError: The ledger cannot be used; LedgerLockedError: another run works in the folder.
        LocalFailureError: The folder cannot be made. Later, a full disk ends the run with a summary that says so.
    """
    return await Run(settings, on_event, items=items).execute()


class Run:
    """One run; for callers who want to stop it. ``execute`` once.

    Args:
        settings: What to do.
        on_event: Called with each event as it happens, in the loop's thread; it must not block. None for nobody.
        tell_all: False leaves out the events of items that start, are done or are skipped: 5 us of each item's 70.
        items: As for ``run``.
    """

    def __init__(
        self,
        settings: RunSettings,
        on_event: OnEvent | None = None,
        *,
        tell_all: bool = True,
        items: Items | None = None,
    ) -> None:
        self._settings = settings
        self._given = items
        self._on_event = on_event
        self._on_each = on_event if tell_all else None
        self._counts = Counts()
        self._is_paused = False
        self._fault: BaseException | None = None  # what ended the run and should not happen
        self._transfer: Attempts | None = None  # until it begins
        self._keeping = Keeping(Template.parse(settings.name))
        self._keeps_validators = settings.keep_validators or settings.existing == "update"
        self._slots: set[asyncio.Task[None]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._wants_more = asyncio.Event()
        self._is_over = asyncio.Event()
        limits = settings.limits
        is_rated = limits.rate is not None or limits.per_host_rate is not None
        rates = Rates(limits.rate, limits.per_host_rate) if is_rated else None
        contact = first_contact(settings.per_host) if settings.first_contact is None else settings.first_contact
        self._manners = Manners(self._gate, rates, contact)
        self._scheduler = Scheduler(settings.concurrency, settings.per_host, window=settings.window, rates=rates)
        self._trying = Trying(settings.retries, self._scheduler, self._emit)

    # For other kinds of runs.

    def _make_transfer(self, session: ClientSession, folder: Folder) -> Attempts:
        settings = self._settings
        template = Template.parse(settings.name)
        transfer = Transfer(
            session,
            folder,
            self._note_partial,
            settings.timeout,
            self._checks,
            self._manners,
            bandwidth=None if settings.limits.bandwidth is None else Bandwidth(settings.limits.bandwidth),
            decodes=settings.decode,
            segments=settings.segments,
            spare=SpareSlots(self._scheduler, self._loop.time, self._pump),
            keeps_validators=self._keeps_validators,
            name_file=file_namer(template) if template.needs_head else None,
        )
        if settings.existing in ("verify", "update"):
            return Looker(transfer, folder, self._intake.standing, asks=settings.existing == "update")
        return transfer

    # For callers.

    def stop(self, reason: str = "signal") -> None:
        """Start nothing more, let go of what is in flight (what came of it is kept), and end in order."""
        if self._counts.stopped_by is None:
            self._counts.stopped_by = reason
            self._is_over.set()

    def pause(self) -> None:
        """Start nothing more until ``resume``; what is in flight goes on. Nothing happens when it is paused already."""
        self._is_paused = True

    def resume(self) -> None:
        """Go on after ``pause``."""
        if self._is_paused:
            self._is_paused = False
            self._pump()

    def snapshot(self) -> Snapshot:
        """Where the run stands now."""
        return self._counts.snapshot(self._scheduler, self._bytes)

    @property
    def _bytes(self) -> int:
        return 0 if self._transfer is None else self._transfer.received

    async def execute(self) -> Summary:
        """Do the run; see ``run``."""
        settings = self._settings
        syncs = settings.durability == "power"
        self._loop = asyncio.get_running_loop()
        self._counts.started_at = time.monotonic()
        sidecar = None if settings.checksums is None else read_sidecar(settings.checksums)
        self._checks = Checks(settings.checksum, sidecar, decodes=settings.decode)
        opened = open_session(settings, self._manners)
        async with opened as session, open_source(settings, session, self._given) as source:
            folder = Folder(settings.output)
            try:
                with (
                    Folder(settings.output) as recorder_folder,
                    Ledger.open(
                        settings.output,
                        template=self._keeping.naming.text,
                        derive=derive_by(self._keeping.naming.text),
                        survives_power_loss=syncs,
                        elsewhere=settings.ledger,
                    ) as ledger,
                ):
                    recover(ledger, folder, survives_power_loss=syncs)
                    return await self._execute(source, session, folder, ledger, recorder_folder)
            finally:
                folder.close()

    async def _execute(
        self,
        source: LineSource,
        session: ClientSession,
        folder: Folder,
        ledger: Ledger,
        recorder_folder: Folder,
    ) -> Summary:
        settings = self._settings
        ledger.begin_run(source_name(settings, self._given), time.time())
        syncs = settings.durability == "power"
        keeping = self._keeping
        placer = keeping.placer(settings, recorder_folder)
        self._recorder = Recorder(ledger, recorder_folder, self._pump, survives_power_loss=syncs, placer=placer)
        self._intake = keeping.intake(settings, ledger, folder)
        self._transfer = self._make_transfer(session, folder)
        self._attempt = self._transfer.attempt
        self._emit(RunStarted(settings.output))
        recording = asyncio.create_task(self._recorder.run())
        recording.add_done_callback(self._recorder_ended)
        progress = tell_progress(self._counts, self.snapshot, self._recorder, ledger, self._on_event)
        limits = watch_limits(settings.limits, self._counts, lambda: self._bytes, self._stop_at)
        watchers = [asyncio.create_task(progress), asyncio.create_task(limits)]
        self._reader = asyncio.create_task(self._read_manifest(source, ledger))
        for task in (*watchers, self._reader):
            task.add_done_callback(self._note_fault)
        try:
            await self._is_over.wait()
        finally:
            await self._end(recording, *watchers)
        self._raise_unexpected()
        summary = self._record_end(ledger)
        self._emit(Progress(self.snapshot()))
        self._emit(RunFinished(summary))
        return summary

    async def _end(self, recording: asyncio.Task[None], *watchers: asyncio.Task[None]) -> None:
        """Let everything come to its end, whatever brought us here; nothing that is recorded is lost."""
        self._is_over.set()  # a cancellation may have brought us here: nothing starts any more
        if self._wake is not None:
            self._wake.cancel()
        for watcher in watchers:
            watcher.cancel()
        tasks = {*watchers, *self._slots}
        if self._reader is not None:
            self._reader.cancel()
            tasks.add(self._reader)
        for task in self._slots:
            task.cancel()
        try:
            await wait_out(tasks)
        finally:
            self._recorder.close()
            await wait_out({recording})

    def _note_fault(self, task: asyncio.Task[None]) -> None:
        """End the run when one of its tasks has ended by what should not happen; `execute` raises it."""
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            self._fault = self._fault or fault
            self._is_over.set()

    def _raise_unexpected(self) -> None:
        """Raise what ended the run and is no failure of this machine: the manifest's, the ledger's, a fault of ours."""
        if self._fault is not None:
            raise self._fault
        failure = self._recorder.failure
        if failure is not None and not isinstance(failure, LocalFailureError):
            raise failure

    def _record_end(self, ledger: Ledger) -> Summary:
        """Tell the ledger how the run ended, as far as the disk lets it."""
        summary = self._summary()
        if self._recorder.failure is not None:
            return summary
        try:
            ledger.end_run(time.time(), summary.as_object())
        except LocalFailureError as exc:
            self._fail_locally(exc)
            return self._summary()
        return summary

    # The manifest.

    async def _read_manifest(self, source: LineSource, ledger: Ledger) -> None:
        feeder = Feeder(
            self._intake,
            ledger,
            self._recorder,
            self._scheduler,
            self._counts,
            wants_more=self._wants_more,
            on_outcome=self._ended_unfetched,
            on_fed=self._pump,
        )
        try:
            await feeder.run(source, self._settings.output / LEDGER_FOLDER, self._settings.window)
        except LocalFailureError as exc:
            self._fail_locally(exc)
            self._pump()

    def _ended_unfetched(self, outcome: Outcome) -> None:
        if outcome.failure is not None and outcome.result is Result.FAILED:
            self._record_failure(outcome.item, outcome.failure, 0.0)
        else:
            self._finish(outcome)

    # Slots.

    def _pump(self) -> None:
        """Start what may start, and see whether the run is over. Called whenever something has changed."""
        if self._is_ending:
            return
        now = self._loop.time()
        scheduler = self._scheduler
        for change in scheduler.take_news():
            self._emit(change)
        while given_up := scheduler.take_given_up():
            for given, failure in given_up:
                if given.extras is None or not self._trying.elsewhere(given, now):
                    self._record_failure(given, failure, 0.0)
        while self._recorder.has_room and not self._is_paused and (item := scheduler.next(now)) is not None:
            slot = self._loop.create_task(self._work(item))
            self._slots.add(slot)
            slot.add_done_callback(self._slot_ended)
        self._set_wake(scheduler.wake_at(), now)
        if scheduler.is_short and self._recorder.has_room:
            self._wants_more.set()
        if self._is_through:
            self._is_over.set()

    @property
    def _is_through(self) -> bool:
        """Whether nothing is left to be fetched."""
        scheduler = self._scheduler
        return self._counts.is_all_admitted and not (scheduler.queued or scheduler.delayed or scheduler.in_flight)

    @property
    def _is_ending(self) -> bool:
        return self._is_over.is_set()

    def _set_wake(self, at: float | None, now: float) -> None:
        """Be called again when time alone can let something start; what is due now comes a turn of the loop later."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if at is not None:
            self._wake = self._loop.call_at(max(at, now + 0.001), self._pump)

    def _gate(self, host: str, seconds: float) -> None:
        now = self._loop.time()
        self._scheduler.gate_host(host, now + seconds, now)

    def _slot_ended(self, slot: asyncio.Task[None]) -> None:
        self._slots.discard(slot)
        self._note_fault(slot)
        self._pump()

    async def _work(self, item: Item | None) -> None:
        """One slot: item after item, until nothing may start."""
        scheduler, recorder, loop, attempt = self._scheduler, self._recorder, self._loop, self._attempt
        now = loop.time()
        while item is not None:
            started = time.time()
            if self._on_each is not None:
                self._on_each(ItemStarted(item))
            try:
                fetched = await attempt(item)
            except asyncio.CancelledError:
                scheduler.release(item, loop.time())
                raise
            except Exception as exc:  # the item boundary: one item never ends a run
                self._not_fetched(item, exc, started)
            else:
                self._fetched(item, fetched, started, now)
            if not recorder.has_room:
                await recorder.wait_for_room()
            if self._is_ending or self._is_paused:
                return
            now = loop.time()
            item = scheduler.next(now)
            if item is not None and scheduler.is_short:
                self._wants_more.set()

    def _not_fetched(self, item: Item, exc: Exception, started: float) -> None:
        """An attempt has ended without a body: say what that means, for the item or for the run."""
        if isinstance(exc, AttemptFailedError):
            if exc.delay == 0:
                self._scheduler.postpone(item, self._loop.time())
            elif exc.delay is not None:
                self._scheduler.retry(item, self._loop.time(), exc.failure, exc.delay)
            else:
                self._attempt_failed(item, exc.failure, started, is_final=exc.is_final, wait=exc.wait)
        elif isinstance(exc, KeptError):
            self._kept(item, exc)
        elif isinstance(exc, LocalFailureError):
            self._scheduler.release(item, self._loop.time())
            self._fail_locally(exc)
        elif isinstance(exc, PolicyError):
            self._attempt_failed(item, Failure(FailureClass.POLICY, str(exc)), started)
        else:
            self._attempt_failed(item, Failure(classify(exc), f"{type(exc).__name__}: {exc}"), started)

    def _kept(self, item: Item, exc: KeptError) -> None:
        """The file of an item that is done was looked at, and stays."""
        now = self._loop.time()
        if exc.was_asked:
            self._scheduler.done(item, now)
        else:
            self._scheduler.release(item, now)
        self._trying.forget(item)
        self._intake.release(item)
        self._finish(Outcome(item, Result.SKIPPED, reason="kept"))

    def _fetched(self, item: Item, fetched: Fetched, started: float, started_at: float) -> None:
        now = self._loop.time()
        self._scheduler.done(item, now, None, (fetched.head_at or now) - started_at)
        if item.throttles:
            self._trying.forget(item)
        row = fetched_row(item, fetched, self._keeping.ended, started)
        if fetched.file is not None:
            row.file_before = self._intake.files.get(item)
        if self._keeps_validators:
            row.etag, row.last_modified = fetched.etag, fetched.last_modified
        if self._intake.replaced:
            row.replaces = self._intake.replaced.get(item, 0)

        def on_recorded(problem: PolicyError | None) -> None:
            item.row = row.row
            self._intake.release(item)
            item.path = row.place
            if problem is not None:
                failure = Failure(FailureClass.POLICY, str(problem), fetched.status)
                self._finish(Outcome(item, Result.FAILED, failure, seconds=row.seconds, status=fetched.status))
                return
            if fetched.skipped:
                self._finish(Outcome(item, Result.SKIPPED, seconds=row.seconds, reason=fetched.skipped))
                return
            self._counts.done += 1
            if self._on_each is None:
                return
            status, seconds = fetched.status, row.seconds
            outcome = Outcome(
                item, Result.DONE, None, fetched.size, seconds, status, fetched.final_url, digest=row.digest
            )
            self._on_each(ItemFinished(outcome))

        self._recorder.put(Entry(row, fetched.data, fetched.modified, on_recorded))

    def _attempt_failed(
        self, item: Item, failure: Failure, started: float, *, is_final: bool = False, wait: float | None = None
    ) -> None:
        """Try again, or not: see ``Trying.again``."""
        now = self._loop.time()
        if not self._trying.again(item, failure, now, is_final=is_final, wait=wait):
            self._scheduler.done(item, now, failure)
            self._record_failure(item, failure, started)

    def _record_failure(self, item: Item, failure: Failure, started: float) -> None:
        self._trying.forget(item)
        self._counts.given_up += 1
        self._stop_at(self._settings.limits.exceeded(failed=self._counts.given_up))
        row = failed_row(item, failure, started)

        def on_recorded(_: PolicyError | None) -> None:
            item.row = row.row
            self._intake.release(item)
            self._finish(Outcome(item, Result.FAILED, failure, seconds=row.seconds, status=failure.status))

        self._recorder.put(Entry(row, None, None, on_recorded))

    async def _note_partial(self, item: Item) -> None:
        """Have the ledger know how to go on with *item*, or that it cannot be, before its first octet is written."""
        row = partial_row(item)
        recorded: asyncio.Future[None] = self._loop.create_future()

        def on_recorded(_: PolicyError | None) -> None:
            item.row = row.row
            if not recorded.done():
                recorded.set_result(None)

        self._recorder.put(Entry(row, None, None, on_recorded))
        self._recorder.hasten()
        await recorded

    # Ends.

    def _finish(self, outcome: Outcome) -> None:
        """Account for an item, once."""
        self._counts.finish(outcome)
        on_event = self._on_event if outcome.failure is not None else self._on_each
        if on_event is not None:
            on_event(ItemFinished(outcome))

    def _stop_at(self, limit: str | None) -> None:
        """End the run when it has reached *limit*; not when all is done anyway."""
        if limit is not None and not (self._is_ending or self._is_through):
            self.stop(limit)

    def _fail_locally(self, exc: LocalFailureError) -> None:
        if self._counts.local_failure is None:
            self._counts.local_failure = str(exc)
            self.stop("local failure")

    def _recorder_ended(self, recording: asyncio.Task[None]) -> None:
        self._note_fault(recording)
        failure = self._recorder.failure
        if isinstance(failure, LocalFailureError):
            self._fail_locally(failure)
        self._is_over.set()

    def _emit(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)

    def _summary(self) -> Summary:
        return self._counts.summary(self._bytes, time.monotonic())
