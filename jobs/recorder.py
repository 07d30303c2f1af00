"""What ended is put on disk and in the ledger, in batches, one at a time.

    finished items -> [pending] -> batch: write small bodies to .part, commit finishing, rename -> callers are told
                                         ^ marks the batch before as done in the same transaction

    to survive a loss of power:    write, sync files, commit finishing, rename, sync folders, commit done -> callers

Lives here: the batching, the worker thread, the order of the steps within a batch. Not here: what a row holds
(``ledger``), how a file is made (``sinks``), what becomes of an item that failed (``run``).

Why batches: a commit costs more than a row. Why natural ones: while one is under way the next gathers, so that a busy
run has large batches and a quiet one loses no time.

Where: in the loop while the disk answers promptly, by a worker thread when it does not. Each file takes five system
calls and each of these gives the interpreter's lock away; in a busy process a thread gets it back only when the loop
lets go of it, which made a small file cost half as much again (1.8 against 1.5 s for 20,000 of them). A batch of 256
takes 8 ms. One that takes 50 ms says that the disk is what is waited for: for the next ten seconds batches go to
the worker, and the loop serves its connections. All calls on the ledger and on this folder object come one at a time.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

from .exceptions import LocalFailureError, PolicyError
from .ledger import Ledger, Row, State
from .placing import Placer
from .sinks import Folder

__all__ = ["Entry", "Recorder"]

P = ParamSpec("P")
T = TypeVar("T")

BATCH_ITEMS: Final = 256
"""Items a batch: 8 ms of the loop's time, and one insert statement of the ledger takes as many."""
SLOW_CALL_S: Final = 0.05
"""A call that takes longer shows a disk that keeps the loop waiting."""
SLOW_FOR_S: Final = 10.0
"""How long calls go to the worker after that."""
MAX_PENDING_ITEMS: Final = 1024
MAX_PENDING_BYTES: Final = 8 << 20
"""What may wait for the worker, octets of small bodies: at 64 KiB a body, 128 of them."""
BATCH_BYTES: Final = 4 << 20
"""Octets of small bodies from which on a batch is not waited for: the half of what may be pending."""
GATHER_S: Final = 0.02
"""Seconds a batch that is not full waits for more: nobody notices, and 64 slots on a fast host fill it. Without the
wait after every batch they came by 64, and 20,000 files cost four times the transactions."""
AWAITED_S: Final = 0.002
"""The same where an attempt waits to write its body. With the wait above, 300 bodies of 1.5 MiB over six connections
took 1.45 s, over one 6.5 s; with this one 0.5 and 1.1 s."""


@dataclass(slots=True, eq=False)
class Entry:
    """One item's end on its way to the ledger.

    Attributes:
        row: What is to be recorded; state FINISHING for a file that is to get its name.
        data: Content still to be written to ``.part``; None when it is there, or when there is none.
        modified: Modification time of the file, seconds since 1970; None leaves it.
        on_recorded: Called in the loop when it is recorded, with what went wrong with this item's file or None.
    """

    row: Row
    data: bytes | None
    modified: float | None
    on_recorded: Callable[[PolicyError | None], None]


class Recorder:
    """Takes what ended and records it.

    Args:
        ledger: Open and ours; used through this object only.
        folder: As ``ledger``; another object than the one that the loop uses.
        on_room: Called in the loop when there is room again after there was none.
        survives_power_loss: Nobody is told that an item is done before it is so after a loss of power too: files,
            folders and ledger (which syncs itself, see ``Ledger.open``) are synced, in this order, batch by batch.
        placer: Sees to names that only a response told; None when there are none.

    Attributes:
        failure: What ended recording (LocalFailureError, LedgerError); None while all is well.
    """

    def __init__(
        self,
        ledger: Ledger,
        folder: Folder,
        on_room: Callable[[], None],
        *,
        survives_power_loss: bool = False,
        placer: Placer | None = None,
    ) -> None:
        self._ledger = ledger
        self._folder = folder
        self._on_room = on_room
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="fetchd-recorder")
        self._worker_calls: list[Future[Any]] = []  # the last ones; none before them is under way or queued
        self._placer = placer
        self._syncs = survives_power_loss
        self._slow_until = math.inf if survives_power_loss else 0.0  # monotonic seconds
        self._pending: list[Entry] = []
        self._pending_bytes = 0
        self._renamed: list[int] = []  # rows whose files have their names and that are not marked done yet
        self._news = asyncio.Event()  # something is pending
        self._enough = asyncio.Event()  # and there is no use in waiting for more
        self._room = asyncio.Event()
        self._room.set()
        self._soon: asyncio.TimerHandle | None = None  # sets _enough for who awaits what is pending
        self._is_closing = False
        self.failure: Exception | None = None

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run *function*, which uses the ledger or the folder: here and now, or on the worker while the disk is slow.

        Raises:
            Exception: What *function* raised; ``failure`` when recording has ended with one.
        """
        if self.failure is not None:
            raise self.failure
        if not self._is_worker_busy() and time.monotonic() >= self._slow_until:
            return self._call_here(function, *args, **kwargs)
        call = self._worker.submit(function, *args, **kwargs)
        self._worker_calls.append(call)
        return await asyncio.wrap_future(call)

    def _is_worker_busy(self) -> bool:
        """Whether the worker has anything to do, also for callers that were cancelled: it does not know of that."""
        if self._worker_calls:
            self._worker_calls = [call for call in self._worker_calls if not call.done()]
        return bool(self._worker_calls)

    def _call_here(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        begin = time.monotonic()
        try:
            return function(*args, **kwargs)
        finally:
            end = time.monotonic()
            if end - begin > SLOW_CALL_S:
                self._slow_until = end + SLOW_FOR_S

    def put(self, entry: Entry) -> None:
        """Record *entry* with the next batch. Wait for ``has_room`` before making another."""
        pending = self._pending
        pending.append(entry)
        if entry.data is not None:
            self._pending_bytes += len(entry.data)
        if len(pending) == 1:
            self._news.set()
        elif len(pending) >= BATCH_ITEMS or self._pending_bytes >= BATCH_BYTES:
            self._enough.set()
            if len(pending) >= MAX_PENDING_ITEMS or self._pending_bytes >= MAX_PENDING_BYTES:
                self._room.clear()

    def hasten(self) -> None:
        """Record what was put so far soon: somebody waits for it."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(AWAITED_S, self._enough.set)

    @property
    def has_room(self) -> bool:
        """Whether more may be put without waiting."""
        return self._room.is_set()

    async def wait_for_room(self) -> None:
        """Wait until the worker has caught up."""
        await self._room.wait()

    async def run(self) -> None:
        """Record batch after batch until ``close``; ends with ``failure`` set when the disk or the ledger fails.

        Raises:
            Exception: What a caller's ``on_recorded`` raised.
        """
        try:
            while self.failure is None and not (self._is_closing and not self._pending):
                await self._gather()
                if self._pending:
                    await self._record(self._take_batch())
                    await asyncio.sleep(0)  # the loop's connections come between two batches
        finally:
            self._room.set()  # nobody waits for a worker that has gone
            await self._finish()

    async def _gather(self) -> None:
        """Wait until something is pending, and then a moment for a whole batch."""
        await self._news.wait()
        if self._enough.is_set():
            return
        timer = asyncio.get_running_loop().call_later(GATHER_S, self._enough.set)
        try:
            await self._enough.wait()
        finally:
            timer.cancel()

    def close(self) -> None:
        """Let ``run`` end when all that was put is recorded."""
        self._is_closing = True
        self._news.set()
        self._enough.set()

    def _take_batch(self) -> list[Entry]:
        batch, self._pending = self._pending[:BATCH_ITEMS], self._pending[BATCH_ITEMS:]
        soon, self._soon = self._soon, None
        if soon is not None:
            soon.cancel()
        self._pending_bytes -= sum(len(entry.data or b"") for entry in batch)
        if not self._is_closing:
            if not self._pending:
                self._news.clear()
            is_awaited = soon is not None and self._pending
            if len(self._pending) < BATCH_ITEMS and self._pending_bytes < BATCH_BYTES and not is_awaited:
                self._enough.clear()
        has_room = len(self._pending) < MAX_PENDING_ITEMS and self._pending_bytes < MAX_PENDING_BYTES
        if has_room and not self._room.is_set():
            self._room.set()
            self._on_room()
        return batch

    async def _record(self, batch: Sequence[Entry]) -> None:
        try:
            problems = await self.call(self._settle, batch)
        except Exception as exc:  # kept for the run, which raises it: the worker has nobody else to tell
            self.failure = exc
            return
        for entry, problem in zip(batch, problems, strict=True):
            entry.on_recorded(problem)

    async def _finish(self) -> None:
        """Mark the last files done. Where that fails they are adopted by the next run: they have their names."""
        try:
            if self._renamed and self.failure is None:
                await self.call(self._ledger.commit, (), self._renamed)
        except Exception as exc:
            self.failure = exc
        finally:
            self._worker.shutdown(wait=True)

    # Where the disk is.

    def _settle(self, batch: Sequence[Entry]) -> list[PolicyError | None]:
        """Write, commit, rename, in this order: see ``ledger`` for what a kill at each point leaves."""
        problems = [self._write(entry) for entry in batch]
        if self._placer is not None:
            self._place(batch, problems, self._placer)
        if self._syncs:
            self._sync_parts(batch, problems)
        for entry, problem in zip(batch, problems, strict=True):
            if problem is not None:
                _make_failed(entry.row, problem)
        self._ledger.commit([entry.row for entry in batch], self._renamed)
        self._renamed = []
        for index, entry in enumerate(batch):
            if entry.row.state is State.FINISHING:
                problems[index] = self._publish(entry)
        if self._syncs and self._renamed:
            self._folder.sync_folders(
                entry.row.place
                for entry, problem in zip(batch, problems, strict=True)
                if problem is None and entry.row.state is State.FINISHING
            )
            self._ledger.commit((), self._renamed)
            self._renamed = []
        return problems

    def _place(self, batch: Sequence[Entry], problems: list[PolicyError | None], placer: Placer) -> None:
        chosen: set[str] = set()
        for index, entry in enumerate(batch):
            if entry.row.state is State.FINISHING and problems[index] is None:
                problems[index] = placer.place(entry.row, chosen)
                if problems[index] is not None:
                    self._remove_part(entry.row.path)

    def _sync_parts(self, batch: Sequence[Entry], problems: list[PolicyError | None]) -> None:
        for index, entry in enumerate(batch):
            if entry.row.state is not State.FINISHING or problems[index] is not None:
                continue
            try:
                self._folder.sync_part(entry.row.path)
            except PolicyError as exc:
                problems[index] = exc
            except LocalFailureError:
                # What the kernel could not write it may have dropped: these octets are not gone on with.
                self._remove_part(entry.row.path)
                raise

    def _write(self, entry: Entry) -> PolicyError | None:
        if entry.data is None:
            return None
        try:
            self._folder.write_part(entry.row.path, entry.data, modified=entry.modified)
        except PolicyError as exc:
            return exc
        return None

    def _publish(self, entry: Entry) -> PolicyError | None:
        try:
            self._folder.publish(entry.row.path, entry.row.file)
        except PolicyError as exc:
            _make_failed(entry.row, exc)
            self._ledger.commit([entry.row])
            self._remove_part(entry.row.path)
            return exc
        self._renamed.append(entry.row.row)
        return None

    def _remove_part(self, path: str) -> None:
        try:
            self._folder.remove_part(path)
        except (PolicyError, LocalFailureError):
            return  # a leftover .part is harmless, and the failure that led here is what is told


def _make_failed(row: Row, problem: PolicyError) -> None:
    row.state = State.FAILED
    row.size = 0
    row.failure_class = "policy"
    row.message = str(problem)
    row.validator = row.total = row.file = None
