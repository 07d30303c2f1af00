"""A run from manifest to summary: ties intake, scheduler, transfers and recorder together.

    manifest -> [intake] -> scheduler -> attempts (one task a slot) -> recorder -> ledger, files
                               ^------------- retry ----------'

Lives here: who is woken when, what follows from an attempt's end, how a run ends early. Not here: every decision that
can be made from values (``intake``, ``scheduler``, ``failures``, ``resume``).

How much is in memory: what the scheduler wants (twice the slots, unless hosts bind it), what is in flight, and what the
recorder holds; a slot does not start its next item while the recorder is behind, and no line is read that the scheduler
does not want.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

from fetchd.client import ClientSession

from .bandwidth import Bandwidth
from .checks import Checks, read_sidecar
from .events import (
    Event,
    ItemFinished,
    ItemRetried,
    ItemStarted,
    Progress,
    RunFinished,
    RunStarted,
    Snapshot,
    Summary,
)
from .exceptions import JobError, LocalFailureError, PolicyError
from .existing import KeptError, Looker
from .failures import Failure, FailureClass, HostSign, Verdict, classify, retry_delay, verdict
from .hosts import first_contact
from .intake import Admitted, Intake
from .items import Item, Outcome, Result
from .ledger import Ledger, Row, State
from .ledger_recovery import recover
from .ledger_schema import LEDGER_FOLDER
from .manifests import Batch, ManifestSource
from .manners import Manners
from .placing import Placer, file_namer
from .rates import Rates
from .read_ahead import ReadAhead
from .recorder import Entry, Recorder
from .remote_manifests import manifest_of
from .retrying import FailedItems, details_of
from .scheduler import Scheduler, SpareSlots
from .sessions import open_session
from .settings import RunSettings
from .sinks import Folder
from .spill import Spill
from .templates import Naming, Template, derive_by
from .transfer import AttemptFailedError, Attempts, Fetched, Transfer

__all__ = ["Keeping", "OnEvent", "Run", "run"]

# Free retries of an item whose host asks for less (429, 503 ...) or cannot be reached, before it fails after all.
MAX_FREE_RETRIES: Final = 20
# Seconds after the first of them: who asks for an hour twenty times is not waited for until tomorrow.
MAX_FREE_S: Final = 3600.0
# Seconds between two Progress events.
PROGRESS_S: Final = 0.5
# Seconds between two looks that the ledger keeps, for who asks how the run stands.
NOTE_S: Final = 2.0
# Seconds between two looks at what has come and how long it took, if that is limited.
LIMITS_S: Final = 0.05

# What stands in the ledger in the place of a manifest, when a run is over what failed.
RETRY: Final = "what failed"

OnEvent = Callable[[Event], None]


class Keeping(NamedTuple):
    """What becomes of a body, for the parts of a run that need not know more of it.

    Attributes:
        naming: Gives items their paths.
        keeps_files: Whether a path is that of a file, which can be looked for.
        ended: State of an item whose body came whole: FINISHING where a file is to get its name.
    """

    naming: Naming
    keeps_files: bool = True
    ended: State = State.FINISHING


async def run(settings: RunSettings, on_event: OnEvent | None = None) -> Summary:
    """Fetch every item of a manifest and say how it went. Started again with the same folder, it goes on.

    Args:
        settings: What to do.
        on_event: Called with each event as it happens, in the loop's thread; it must not block.

    Raises:
        ManifestError: The manifest cannot be read.
        SettingsError: The settings do not fit the folder, or the certificates cannot be loaded.
        LedgerError: The ledger cannot be used; LedgerLockedError: another run works in the folder.
        LocalFailureError: The folder cannot be made. Later, a full disk ends the run with a summary that says so.
    """
    return await Run(settings, on_event).execute()


class Run:
    """One run; for callers who want to stop it. ``execute`` once.

    Args:
        settings: What to do.
        on_event: Called with each event as it happens, in the loop's thread; it must not block. None for nobody.
        tell_all: False leaves out the events of items that start, are done or are skipped: 5 us of each item's 70.
    """

    def __init__(self, settings: RunSettings, on_event: OnEvent | None = None, *, tell_all: bool = True) -> None:
        self._settings = settings
        self._on_event = on_event
        self._on_each = on_event if tell_all else None
        self._done = 0
        self._counts: Counter[Result] = Counter()  # of all other results
        self._failures: Counter[FailureClass] = Counter()
        self._skips: Counter[str] = Counter()
        self._given_up = 0  # items that failed, recorded or not yet
        self._read = 0
        self._started_at = 0.0
        self._is_paused = False
        self._stopped_by: str | None = None
        self._local_failure: str | None = None
        self._fault: BaseException | None = None  # what ended the run and should not happen
        self._ahead: ReadAhead | None = None  # until it begins
        self._manifest_done = False  # all of it was admitted
        self._bound: Counter[str] = Counter()  # tenths of seconds for which a host kept slots empty
        self._free_since: dict[Item, float] = {}  # when an item failed for the first time without its being counted
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
        if self._stopped_by is None:
            self._stopped_by = reason
            self._end_early()

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
        scheduler = self._scheduler
        return Snapshot(
            read=self._read,
            done=self._done,
            skipped=self._counts[Result.SKIPPED],
            failed=self._counts[Result.FAILED],
            invalid=self._counts[Result.INVALID],
            in_flight=scheduler.in_flight,
            queued=scheduler.queued,
            delayed=scheduler.delayed,
            bytes=self._bytes,
            manifest_done=self._ahead is not None and self._ahead.has_ended,
            bound_by=scheduler.bound_by(is_all_read=self._manifest_done),
            slow_hosts=tuple(scheduler.longest_queues(3)),
        )

    @property
    def _bytes(self) -> int:
        return 0 if self._transfer is None else self._transfer.received

    async def execute(self) -> Summary:
        """Do the run; see ``run``."""
        settings = self._settings
        syncs = settings.durability == "power"
        self._loop = asyncio.get_running_loop()
        self._started_at = time.monotonic()
        sidecar = None if settings.checksums is None else read_sidecar(settings.checksums)
        self._checks = Checks(settings.checksum, sidecar, decodes=settings.decode)
        async with open_session(settings, self._manners) as session, self._open_source(session) as source:
            folder = Folder(settings.output)
            try:
                with (
                    Folder(settings.output) as recorder_folder,
                    Ledger.open(
                        settings.output,
                        template=self._keeping.naming.text,
                        derive=derive_by(self._keeping.naming.text),
                        survives_power_loss=syncs,
                    ) as ledger,
                ):
                    recover(ledger, folder, survives_power_loss=syncs)
                    return await self._execute(source, session, folder, ledger, recorder_folder)
            finally:
                folder.close()

    def _open_source(self, session: ClientSession) -> AbstractAsyncContextManager[ManifestSource | FailedItems]:
        settings = self._settings
        if settings.retry is not None:
            return FailedItems(settings.output, settings.retry)
        return manifest_of(settings, session)

    async def _execute(
        self,
        source: ManifestSource | FailedItems,
        session: ClientSession,
        folder: Folder,
        ledger: Ledger,
        recorder_folder: Folder,
    ) -> Summary:
        settings = self._settings
        ledger.begin_run(settings.manifest if settings.retry is None else RETRY, time.time())
        syncs = settings.durability == "power"
        keeping = self._keeping
        is_named_later = isinstance(keeping.naming, Template) and keeping.naming.needs_head
        placer = Placer(recorder_folder, numbers=settings.on_collision == "number") if is_named_later else None
        self._recorder = Recorder(ledger, recorder_folder, self._pump, survives_power_loss=syncs, placer=placer)
        self._intake = Intake(
            was_in_this_boot=ledger.was_in_this_boot,
            template=keeping.naming,
            existing=settings.existing,
            on_collision=settings.on_collision,
            run=ledger.run,
            size_of=folder.size,
            part_size_of=folder.part_size,
            is_fresh=not keeping.keeps_files or folder.is_empty(),
            keeps_files=keeping.keeps_files,
            trusts_ledger=settings.trust_ledger,
        )
        self._transfer = self._make_transfer(session, folder)
        self._attempt = self._transfer.attempt
        self._emit(RunStarted(settings.output))
        recording = asyncio.create_task(self._recorder.run())
        recording.add_done_callback(self._recorder_ended)
        progress = asyncio.create_task(self._tell_progress(ledger))
        progress.add_done_callback(self._note_fault)
        watching = asyncio.create_task(self._watch_limits())
        watching.add_done_callback(self._note_fault)
        self._reader = asyncio.create_task(self._read_manifest(source, ledger))
        self._reader.add_done_callback(self._note_fault)
        try:
            await self._is_over.wait()
        finally:
            await self._end(recording, progress, watching)
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
            await _wait_out(tasks)
        finally:
            self._recorder.close()
            await _wait_out({recording})

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

    async def _read_manifest(self, source: ManifestSource | FailedItems, ledger: Ledger) -> None:
        with contextlib.closing(Spill(self._settings.output / LEDGER_FOLDER)) as spill:
            ahead = self._ahead = ReadAhead(aiter(source), spill, self._scheduler, self._settings.window)
            try:
                while not ahead.is_through():
                    batch = await ahead.next()
                    self._read = ahead.read
                    await self._admit(batch, ledger)
                    self._pump()
                    while not (ahead.is_through() or (ahead.may_go_on and self._recorder.has_room)):
                        self._wants_more.clear()
                        await self._wants_more.wait()
                self._manifest_done = True
            except LocalFailureError as exc:
                self._fail_locally(exc)
            self._pump()

    async def _admit(self, batch: Batch, ledger: Ledger) -> None:
        intake, admitted = self._intake, Admitted()
        items = intake.parse(batch, admitted)
        while items:
            known = await self._recorder.call(ledger.lookup, intake.wanted(items))
            items = intake.judge(items, known, admitted)
        now = self._loop.time()
        for item in admitted.items:
            self._scheduler.add(item, now)
        for outcome in admitted.outcomes:
            if outcome.result is Result.FAILED and outcome.failure is not None:
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
        while given_up := scheduler.take_given_up():
            for given, failure in given_up:
                if given.extras is None or not self._has_other_host(given, now):
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
        return self._manifest_done and not (scheduler.queued or scheduler.delayed or scheduler.in_flight)

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
        self._free_since.pop(item, None)
        self._intake.release(item)
        self._finish(Outcome(item, Result.SKIPPED, reason="kept"))

    def _fetched(self, item: Item, fetched: Fetched, started: float, started_at: float) -> None:
        now = self._loop.time()
        self._scheduler.done(item, now, None, (fetched.head_at or now) - started_at)
        if item.throttles:
            self._free_since.pop(item, None)
        row = self._row(item, self._keeping.ended, started)
        row.size, row.status, row.final_url = fetched.size, fetched.status, fetched.final_url
        if fetched.digest is not None:
            row.digest = fetched.digest
        if fetched.file is not None:
            row.file, row.file_before = fetched.file, self._intake.files.get(item)
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
            self._done += 1
            if self._on_each is None:
                return
            status, seconds = fetched.status, row.seconds
            outcome = Outcome(item, Result.DONE, None, fetched.size, seconds, status, fetched.final_url)
            self._on_each(ItemFinished(outcome))

        self._recorder.put(Entry(row, fetched.data, fetched.modified, on_recorded))

    def _attempt_failed(
        self, item: Item, failure: Failure, started: float, *, is_final: bool = False, wait: float | None = None
    ) -> None:
        """Try again, or not: see ``failures.verdict``."""
        now = self._loop.time()
        judged = verdict(failure)
        if judged.counts:
            item.attempts += 1
        else:
            item.throttles += 1
        has_tries = not is_final and self._has_tries_left(item, now)
        # Another source is of no use where the destination has failed.
        may_go = item.extras is not None and not failure.of_sink
        if may_go and self._goes_to_mirror(item, failure, judged, now, has_tries=has_tries):
            return
        if not judged.retry or not has_tries:
            self._scheduler.done(item, now, failure)
            self._record_failure(item, failure, started)
            return
        tries = item.attempts if judged.counts else item.throttles
        delay = wait
        if delay is None:
            delay = retry_delay(tries, failure.retry_after, random.random, base=judged.base_delay)
        self._scheduler.retry(item, now, failure, delay)
        self._emit(ItemRetried(item, failure, delay, now))

    def _goes_to_mirror(self, item: Item, failure: Failure, judged: Verdict, now: float, *, has_tries: bool) -> bool:
        """Have another URL of *item* asked, where it has one and that makes sense; whether it has."""
        sources = None if item.extras is None else item.extras.sources
        if sources is None or judged.sign is HostSign.NONE:
            return False
        is_new = sources.next(for_good=not judged.retry)
        if is_new is None or not (is_new or has_tries):
            return False
        delay = 0.0 if is_new else retry_delay(item.attempts + item.throttles, None, random.random)
        self._scheduler.move(item, sources.host, now, failure, delay)
        self._emit(ItemRetried(item, failure, delay, now))
        return True

    def _has_other_host(self, item: Item, now: float) -> bool:
        """Have another URL of *item* asked, whose host is dead; whether it has one."""
        sources = None if item.extras is None else item.extras.sources
        if sources is None or sources.next(for_good=True) is None:
            return False
        item.host = sources.host
        self._scheduler.add(item, now)
        return True

    def _has_tries_left(self, item: Item, now: float) -> bool:
        if item.attempts > self._settings.retries or item.throttles > MAX_FREE_RETRIES:
            return False
        return not item.throttles or now - self._free_since.setdefault(item, now) < MAX_FREE_S

    def _record_failure(self, item: Item, failure: Failure, started: float) -> None:
        self._free_since.pop(item, None)
        self._given_up += 1
        self._stop_at(self._settings.limits.exceeded(failed=self._given_up))
        row = self._row(item, State.FAILED, started)
        row.status, row.failure_class, row.message = failure.status, failure.failure_class.value, failure.message
        if item.resume is not None and (item.resume.offset or item.resume.missing):
            self._keep_resume(row, item)

        def on_recorded(_: PolicyError | None) -> None:
            item.row = row.row
            self._intake.release(item)
            self._finish(Outcome(item, Result.FAILED, failure, seconds=row.seconds, status=failure.status))

        self._recorder.put(Entry(row, None, None, on_recorded))

    async def _note_partial(self, item: Item) -> None:
        """Have the ledger know how to go on with *item*, or that it cannot be, before its first octet is written."""
        row = self._row(item, State.PARTIAL, time.time())
        if item.resume is not None:
            self._keep_resume(row, item)
        recorded: asyncio.Future[None] = self._loop.create_future()

        def on_recorded(_: PolicyError | None) -> None:
            item.row = row.row
            if not recorded.done():
                recorded.set_result(None)

        self._recorder.put(Entry(row, None, None, on_recorded))
        self._recorder.hasten()
        await recorded

    def _row(self, item: Item, state: State, started: float) -> Row:
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

    def _keep_resume(self, row: Row, item: Item) -> None:
        point = item.resume
        assert point is not None, "called for an item that can be gone on with"
        row.validator, row.total, row.missing = point.validator, point.total, point.missing
        row.final_url = None if point.final_url == item.shown_url else point.final_url

    # Ends.

    def _finish(self, outcome: Outcome) -> None:
        """Account for an item, once."""
        self._counts[outcome.result] += 1
        if outcome.result is Result.FAILED and outcome.failure is not None:
            self._failures[outcome.failure.failure_class] += 1
        elif outcome.result is Result.SKIPPED:
            self._skips[outcome.reason] += 1
        on_event = self._on_event if outcome.failure is not None else self._on_each
        if on_event is not None:
            on_event(ItemFinished(outcome))

    def _stop_at(self, limit: str | None) -> None:
        """End the run when it has reached *limit*; not when all is done anyway."""
        if limit is not None and not (self._is_ending or self._is_through):
            self.stop(limit)

    async def _watch_limits(self) -> None:
        """Look now and then at the limits that no event tells of."""
        limits = self._settings.limits
        while limits.max_time is not None or limits.max_total_bytes is not None:
            seconds = time.monotonic() - self._started_at
            self._stop_at(limits.exceeded(received=self._bytes, seconds=seconds))
            await asyncio.sleep(LIMITS_S)

    def _fail_locally(self, exc: LocalFailureError) -> None:
        if self._local_failure is None:
            self._local_failure = str(exc)
            self.stop("local failure")

    def _recorder_ended(self, recording: asyncio.Task[None]) -> None:
        self._note_fault(recording)
        failure = self._recorder.failure
        if isinstance(failure, LocalFailureError):
            self._fail_locally(failure)
        self._is_over.set()

    def _end_early(self) -> None:
        self._is_over.set()

    async def _tell_progress(self, ledger: Ledger) -> None:
        noted_at = self._started_at
        while True:
            pause = PROGRESS_S if self._on_event is not None else NOTE_S
            await asyncio.sleep(pause)
            snapshot, now = self.snapshot(), time.monotonic()
            if snapshot.bound_by is not None:
                self._bound[snapshot.bound_by] += round(pause * 10)
            self._emit(Progress(snapshot))
            if now - noted_at >= NOTE_S:
                noted_at = now
                with contextlib.suppress(JobError):  # the next batch will tell of a ledger that cannot be written
                    await self._recorder.call(ledger.note_progress, _progress_as_json(snapshot, now - self._started_at))

    def _emit(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)

    def _summary(self) -> Summary:
        ended = self._done + sum(self._counts.values())
        return Summary(
            read=self._read,
            done=self._done,
            skipped=self._counts[Result.SKIPPED],
            failed=self._counts[Result.FAILED],
            invalid=self._counts[Result.INVALID],
            left=self._read - ended,
            unread=self._ahead is None or not self._ahead.has_ended,
            bytes=self._bytes,
            seconds=time.monotonic() - self._started_at,
            failures=dict(self._failures),
            skip_reasons=dict(self._skips),
            stopped_by=self._stopped_by,
            local_failure=self._local_failure,
            bound_by=tuple((host, tenths / 10) for host, tenths in self._bound.most_common(1)),
        )


async def _wait_out(tasks: set[asyncio.Task[None]]) -> None:
    """Wait until *tasks* are done. A cancellation is put off until then: they use what the caller closes next."""
    cancellation: asyncio.CancelledError | None = None
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as exc:
            cancellation = exc
    if cancellation is not None:
        raise cancellation


def _progress_as_json(snapshot: Snapshot, seconds: float) -> dict[str, object]:
    """What readers of the ledger get: the snapshot, seconds since the run began, and the time of day."""
    return {**snapshot._asdict(), "seconds": round(seconds, 3), "at": round(time.time(), 3)}
