"""What ended is put on disk and in the ledger, in an order that a kill or a full disk at any step cannot spoil."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fetchd.jobs import recorder as recorder_module
from fetchd.jobs.exceptions import CollisionError, LedgerError, LocalFailureError, PolicyError
from fetchd.jobs.ledger import Ledger, LedgerReader, Row, State
from fetchd.jobs.ledger_recovery import recover
from fetchd.jobs.recorder import SLOW_CALL_S, Entry, Recorder
from fetchd.jobs.sinks import Folder
from tests.support.runs import files_below

TEMPLATE = "{host}/{path}"
FULL = LocalFailureError("disk", errno.ENOSPC)


def derive(url: str) -> str:
    """A name template: the URL without its scheme."""
    return url.partition("://")[2]


class Steps:
    """The calls that were made, by name, and the one that fails.

    Attributes:
        log: Each call as one word or more: ``write a``, ``commit 2 finishing``, ``publish a``.
        fail_at: Number of the call that raises `error`, from 1; 0 for none.
        fails_after: Whether it does its work before it raises.
        error: What it raises.
    """

    def __init__(self, fail_at: int = 0, *, fails_after: bool = False, error: Exception = FULL) -> None:
        self.log: list[str] = []
        self.fail_at = fail_at
        self.fails_after = fails_after
        self.error = error
        self.threads: set[str] = set()

    def do(self, what: str, work: Callable[[], None]) -> None:
        """Note the call and make it, or fail."""
        self.log.append(what)
        self.threads.add(threading.current_thread().name)
        fails = len(self.log) == self.fail_at
        if fails and not self.fails_after:
            raise self.error
        work()
        if fails:
            raise self.error


class WatchedFolder(Folder):
    """A folder whose writing calls are steps."""

    steps: Steps

    def write_part(self, path: str, data: bytes, *, modified: float | None = None) -> None:
        """See ``Folder``."""
        self.steps.do(f"write {path[2:]}", lambda: super(WatchedFolder, self).write_part(path, data, modified=modified))

    def publish(self, path: str, name: str | None = None) -> None:
        """See ``Folder``."""
        self.steps.do(f"publish {path[2:]}", lambda: super(WatchedFolder, self).publish(path, name))

    def sync_part(self, path: str) -> None:
        """See ``Folder``."""
        self.steps.do(f"sync {path[2:]}", lambda: super(WatchedFolder, self).sync_part(path))

    def sync_folders(self, paths: Iterable[str]) -> None:
        """See ``Folder``."""
        taken = list(paths)
        names = "+".join(path[2:] for path in taken)
        self.steps.do(f"sync folders of {names}", lambda: super(WatchedFolder, self).sync_folders(taken))


class WatchedLedger(Ledger):
    """A ledger whose commits are steps."""

    steps: Steps

    def commit(self, rows: list[Row], done: list[int] | tuple[int, ...] = ()) -> None:  # type: ignore[override]
        """See ``Ledger``."""
        states = "+".join(row.state.name.lower() for row in rows)
        what = f"commit {states or 'nothing'}, {len(done)} done"
        self.steps.do(what, lambda: super(WatchedLedger, self).commit(rows, done))


class Desk:
    """A recorder at work in a folder, and what it told.

    Attributes:
        told: By name, what went wrong with the item, None for nothing.
        rooms: How often there was room again.
        running: The recorder's task, where `desk` started it.
    """

    running: asyncio.Task[None]

    def __init__(self, ledger: Ledger, folder: Folder, *, survives_power_loss: bool = False) -> None:
        self.told: dict[str, PolicyError | None] = {}
        self.rooms = 0
        self.ledger = ledger
        self.recorder = Recorder(ledger, folder, self._on_room, survives_power_loss=survives_power_loss)
        self.rows: dict[str, Row] = {}

    def _on_room(self) -> None:
        self.rooms += 1

    def put(self, name: str, data: bytes | None = b"content", state: State = State.FINISHING) -> Row:
        """Hand over an item that ended."""
        size = len(data) if data is not None else 0
        row = self.rows[name] = Row(f"http://h/{name}", f"h/{name}", state, size=size, status=200)
        self.recorder.put(Entry(row, data, 1_000_000_000.0, lambda problem: self.told.update({name: problem})))
        return row

    def put_and_hear(self, name: str) -> asyncio.Future[PolicyError | None]:
        """Hand over an item to be gone on with; the future ends when it is recorded."""
        recorded: asyncio.Future[PolicyError | None] = asyncio.get_running_loop().create_future()
        row = Row(f"http://h/{name}", f"h/{name}", State.PARTIAL)
        self.recorder.put(Entry(row, None, None, recorded.set_result))
        return recorded


@asynccontextmanager
async def desk(root: Path, steps: Steps | None = None, *, survives_power_loss: bool = False) -> AsyncIterator[Desk]:
    """A recorder in the folder *root*, closed in order at the end."""
    with WatchedFolder(root) as folder, WatchedLedger.open(root, template=TEMPLATE, derive=derive) as ledger:
        assert isinstance(ledger, WatchedLedger)
        folder.steps = ledger.steps = Steps()
        recover(ledger, folder)
        ledger.begin_run("list.txt", 1000.0)
        folder.steps = ledger.steps = steps or Steps()
        at_work = Desk(ledger, folder, survives_power_loss=survives_power_loss)
        at_work.running = asyncio.create_task(at_work.recorder.run())
        try:
            yield at_work
        finally:
            at_work.recorder.close()
            await asyncio.wait((at_work.running,))
        at_work.running.result()


def states_of(root: Path) -> dict[str, State]:
    """The state of each item in the ledger of *root*."""
    with LedgerReader.open_readonly(root, derive=derive) as ledger:
        return {row.path[2:]: row.state for state in State for row in ledger.iterate(state)}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "BATCH_ITEMS", 2)
    monkeypatch.setattr(recorder_module, "GATHER_S", 0.0)


# The order


async def test_bodies_are_written_then_committed_then_named_and_marked_done_with_the_next_batch(tmp_path: Path) -> None:
    """The promise of the ledger rests on this order (see its docstring)."""
    steps = Steps()
    async with desk(tmp_path, steps) as at_work:
        for name in "abc":
            at_work.put(name)
    assert steps.log == [
        "write a",
        "write b",
        "commit finishing+finishing, 0 done",
        "publish a",
        "publish b",
        "write c",
        "commit finishing, 2 done",
        "publish c",
        "commit nothing, 1 done",
    ]
    assert at_work.told == dict.fromkeys("abc")
    assert states_of(tmp_path) == dict.fromkeys("abc", State.DONE)
    assert files_below(tmp_path) == {f"h/{name}": b"content" for name in "abc"}
    assert (tmp_path / "h" / "a").stat().st_mtime == 1_000_000_000


async def test_to_survive_a_loss_of_power_each_step_is_on_the_medium_before_the_next(tmp_path: Path) -> None:
    """Files, then the rows that tell of them, then names and folders, then done; and only then are callers told."""
    steps = Steps()
    async with desk(tmp_path, steps, survives_power_loss=True) as at_work:
        for name in "abc":
            at_work.put(name)
        at_work.put("d", None, State.FAILED)
        for entry in at_work.recorder._pending:
            entry.on_recorded = lambda _, log=steps.log: log.append("told")  # type: ignore[misc]
    assert steps.log == [
        *("write a", "write b", "sync a", "sync b", "commit finishing+finishing, 0 done"),
        *("publish a", "publish b", "sync folders of a+b", "commit nothing, 2 done", "told", "told"),
        *("write c", "sync c", "commit finishing+failed, 0 done"),
        *("publish c", "sync folders of c", "commit nothing, 1 done", "told", "told"),
    ]
    assert steps.threads == {"fetchd-recorder_0"}


async def test_what_is_synced_are_the_files_and_every_folder_above_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's own calls, in turn; the ledger's are SQLite's, under ``synchronous = FULL``."""
    calls: list[str] = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        calls.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    with (
        Folder(tmp_path) as folder,
        Ledger.open(tmp_path, template=TEMPLATE, derive=derive, survives_power_loss=True) as ledger,
    ):
        assert ledger._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert calls == [".fetchd", ".", ".."]
        calls.clear()
        ledger.begin_run("list.txt", 1000.0)
        at_work = Desk(ledger, folder, survives_power_loss=True)
        for path in ("h/x/y/a", "h/x/b", "a"):
            row = Row(f"http://{path}", path, State.FINISHING, size=1)
            at_work.recorder.put(Entry(row, b"x", None, lambda _: None))
        at_work.recorder.close()
        await at_work.recorder.run()
        # Batches are of two here: each folder once a batch, the deepest first.
        first = ["h/x/y/a.part", "h/x/b.part", "h/x/y", "h/x", "h", "."]
        assert calls == [*first, "a.part", "."]
        calls.clear()
        recover(ledger, folder, survives_power_loss=True)
        assert calls == ["."]
    assert at_work.recorder.failure is None


async def test_octets_that_the_medium_refused_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed fsync says that pages are lost, once; so the ``.part`` file goes with them."""

    def broken(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with desk(tmp_path, survives_power_loss=True) as at_work:
        monkeypatch.setattr(os, "fsync", broken)
        at_work.put("a")
        await asyncio.wait((at_work.running,))
    assert isinstance(at_work.recorder.failure, LocalFailureError)
    assert at_work.recorder.failure.errno == errno.EIO
    assert files_below(tmp_path) == {}
    assert states_of(tmp_path) == {}


async def test_callers_are_told_when_the_file_has_its_name(tmp_path: Path) -> None:
    """Not earlier: what is told to be done is on disk."""
    async with desk(tmp_path) as at_work:
        row = Row("http://h/a", "h/a", State.FINISHING, size=1)
        seen: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        entry = Entry(row, b"x", None, lambda _: seen.set_result((tmp_path / "h" / "a").exists()))
        at_work.recorder.put(entry)
        assert await seen
    assert row.row == 1


async def test_a_body_that_is_in_its_part_file_only_gets_its_name(tmp_path: Path) -> None:
    """Large bodies were written by the transfer."""
    steps = Steps()
    async with desk(tmp_path, steps) as at_work:
        (tmp_path / "h").mkdir()
        (tmp_path / "h" / "a.part").write_bytes(b"large")
        at_work.put("a", None).size = 5
    assert steps.log == ["commit finishing, 0 done", "publish a", "commit nothing, 1 done"]
    assert files_below(tmp_path) == {"h/a": b"large"}


@pytest.mark.parametrize("state", [State.FAILED, State.PARTIAL])
async def test_an_end_without_a_file_is_only_committed(tmp_path: Path, state: State) -> None:
    """Nothing is renamed, nothing is marked done."""
    steps = Steps()
    async with desk(tmp_path, steps) as at_work:
        at_work.put("a", None, state)
    assert steps.log == [f"commit {state.name.lower()}, 0 done"]
    assert at_work.told == {"a": None}
    assert states_of(tmp_path) == {"a": state}


@pytest.mark.parametrize("is_slow", [False, True])
async def test_nothing_runs_beside_another_call_whether_the_disk_is_slow_or_not(tmp_path: Path, is_slow: bool) -> None:
    """The ledger and the folder know no locks. A prompt disk is used in the loop, a slow one by the one worker."""
    steps = Steps()
    async with desk(tmp_path, steps) as at_work:
        if is_slow:
            await at_work.recorder.call(time.sleep, 2 * SLOW_CALL_S)
        inside = 0

        def alone() -> str:
            nonlocal inside
            inside += 1
            assert inside == 1
            os.sched_yield()
            inside -= 1
            return threading.current_thread().name

        for number in range(20):
            at_work.put(str(number))
        names = await asyncio.gather(*(at_work.recorder.call(alone) for _ in range(20)))
    assert {*names, *steps.threads} == {names[0]}
    assert names[0].startswith("fetchd-recorder" if is_slow else "MainThread")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetchd-recorder")]


async def test_a_call_waits_for_the_worker_when_one_is_under_way(tmp_path: Path) -> None:
    """A disk that is prompt again takes no call in the loop while the worker is still inside the ledger."""
    log: list[str] = []
    async with desk(tmp_path) as at_work:
        recorder = at_work.recorder
        await recorder.call(time.sleep, 2 * SLOW_CALL_S)

        def slowly() -> None:
            time.sleep(SLOW_CALL_S)
            log.append("slow")

        slow = asyncio.ensure_future(recorder.call(slowly))
        await asyncio.sleep(0)
        recorder._slow_until = 0.0
        await recorder.call(log.append, "next")
        await slow
    assert log == ["slow", "next"]


async def test_a_call_waits_for_one_whose_caller_was_cancelled(tmp_path: Path) -> None:
    """The worker does not know of the cancellation: it is still inside the ledger."""
    inside, log = threading.Event(), list[str]()

    def slow() -> None:
        inside.set()
        time.sleep(SLOW_CALL_S)
        log.append("slow")

    async with desk(tmp_path) as at_work:
        recorder = at_work.recorder
        recorder._slow_until = time.monotonic() + 60
        cancelled = asyncio.ensure_future(recorder.call(slow))
        while not inside.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait((cancelled,))
        recorder._slow_until = 0.0
        await recorder.call(log.append, "next")
    assert log == ["slow", "next"]


async def test_what_a_call_raises_is_the_callers(tmp_path: Path) -> None:
    """It ends nothing else."""
    async with desk(tmp_path) as at_work:
        with pytest.raises(ZeroDivisionError):
            await at_work.recorder.call(divmod, 1, 0)
        at_work.put("a")
    assert at_work.told == {"a": None}


# One item's own problems


@pytest.mark.parametrize(
    ("step", "left"),
    [("write b", {}), ("publish b", {"h/b.part": b"content"})],
)
async def test_a_policy_problem_fails_that_item_alone(tmp_path: Path, step: str, left: dict[str, bytes]) -> None:
    """Whether it shows when the body is written or when it gets its name; its ``.part`` goes if it can."""
    refused = PolicyError("h/b", "a symbolic link stands in its way")
    order = ["write a", "write b", "commit", "publish a", "publish b"]
    async with desk(tmp_path, Steps(order.index(step) + 1, error=refused)) as at_work:
        for name in "abc":
            at_work.put(name)
    assert at_work.told == {"a": None, "b": refused, "c": None}
    assert states_of(tmp_path) == {"a": State.DONE, "b": State.FAILED, "c": State.DONE}
    assert files_below(tmp_path) == {"h/a": b"content", "h/c": b"content"}
    assert (at_work.rows["b"].failure_class, at_work.rows["b"].size) == ("policy", 0)
    assert at_work.recorder.failure is None


async def test_a_folder_where_the_file_must_go_fails_that_item_alone(tmp_path: Path) -> None:
    """As it happens on a real disk: seen only by the rename."""
    (tmp_path / "h" / "b" / "inside").mkdir(parents=True)
    async with desk(tmp_path) as at_work:
        for name in "abc":
            at_work.put(name)
    assert isinstance(at_work.told.pop("b"), CollisionError)
    assert at_work.told == {"a": None, "c": None}
    assert files_below(tmp_path) == {"h/a": b"content", "h/c": b"content"}


async def test_a_part_file_that_cannot_be_removed_after_that_is_left(tmp_path: Path) -> None:
    """The failure that is told is the first one."""

    class Stubborn(WatchedFolder):
        def remove_part(self, path: str) -> None:
            raise LocalFailureError(path, errno.EACCES)

    with Stubborn(tmp_path) as folder, Ledger.open(tmp_path, template=TEMPLATE, derive=derive) as ledger:
        folder.steps = Steps(2, error=PolicyError("h/a", "in its way"))
        ledger.begin_run("list.txt", 1000.0)
        at_work = Desk(ledger, folder)
        at_work.put("a")
        at_work.recorder.close()
        await at_work.recorder.run()
    assert str(at_work.told["a"]) == "will not write h/a: in its way"
    assert files_below(tmp_path) == {"h/a.part": b"content"}


# This machine's problems


@pytest.mark.parametrize("power", [False, True], ids=["process", "power"])
@pytest.mark.parametrize("fails_after", [False, True])
async def test_a_failure_at_any_step_loses_nothing_and_leaves_nothing_wrong(
    tmp_path: Path, fails_after: bool, power: bool
) -> None:
    """The n-th call fails for n = 1, 2, 3 ... until none does; then all is done again, without what is done.

    Whatever the step: no name has a wrong file, what the ledger calls done is there, who was told is not taken back.
    """
    names = "abcde"
    for n in itertools.count(1):
        root = tmp_path / str(n)
        async with desk(root, Steps(n, fails_after=fails_after), survives_power_loss=power) as at_work:
            for name in names:
                at_work.put(name)
        files, states = files_below(root), states_of(root)
        whole = {path[2:] for path, content in files.items() if not path.endswith(".part")}
        assert set(files.values()) <= {b"content"}
        assert {name for name, state in states.items() if state is State.DONE} <= whole
        assert set(at_work.told) <= whole
        if at_work.recorder.failure is None:
            break
        assert at_work.recorder.failure is FULL
        async with desk(root) as again:  # recovery completes what was finishing
            states = states_of(root)
            assert set(at_work.told) | whole <= {name for name, state in states.items() if state is State.DONE}
            for name in names:
                if states.get(name) is not State.DONE:
                    again.put(name)
        assert states_of(root) == dict.fromkeys(names, State.DONE)
        assert files_below(root) == {f"h/{name}": b"content" for name in names}
    # Writes, commits, renames, the last mark, and the time without a failure; or 5 files, 3 folders and 3 marks.
    assert n == 5 + 3 + 5 + 1 + 1 + (5 + 3 + 3 - 1 if power else 0)


async def test_a_real_full_disk_ends_recording(tmp_path: Path) -> None:
    """``/dev/full`` in the place of a body: the system's own error comes out."""

    class Full(Folder):
        def write_part(self, path: str, data: bytes, *, modified: float | None = None) -> None:
            with open("/dev/full", "wb", buffering=0) as full:
                try:
                    full.write(data)
                except OSError as exc:
                    raise self.failure(path, exc) from exc

    with Full(tmp_path) as folder, Ledger.open(tmp_path, template=TEMPLATE, derive=derive) as ledger:
        at_work = Desk(ledger, folder)
        at_work.put("a")
        await at_work.recorder.run()
    failure = at_work.recorder.failure
    assert isinstance(failure, LocalFailureError)
    assert failure.errno == errno.ENOSPC


async def test_after_a_failure_nobody_waits_and_nothing_is_called(tmp_path: Path) -> None:
    """Who waits for room goes on and sees that the run ends; calls raise what ended recording."""
    broken = LedgerError("ledger", "damaged")
    steps = Steps(3, error=broken)
    async with desk(tmp_path, steps) as at_work:
        for number in range(recorder_module.MAX_PENDING_ITEMS):
            at_work.put(str(number))
        assert not at_work.recorder.has_room
        await at_work.recorder.wait_for_room()
        await asyncio.wait((at_work.running,))
        with pytest.raises(LedgerError) as caught:
            await at_work.recorder.call(int)
        assert caught.value is broken
        at_work.put("late")
    assert at_work.told == {}
    assert len(steps.log) == 3


async def test_what_a_caller_raises_when_it_is_told_ends_recording(tmp_path: Path) -> None:
    """It comes out of ``run``, the worker is gone, and what was committed stays."""

    def refuse(_: PolicyError | None) -> None:
        raise ZeroDivisionError

    with Folder(tmp_path) as folder, Ledger.open(tmp_path, template=TEMPLATE, derive=derive) as ledger:
        at_work = Desk(ledger, folder)
        at_work.recorder.put(Entry(Row("http://h/a", "h/a", State.FINISHING, size=1), b"x", None, refuse))
        with pytest.raises(ZeroDivisionError):
            await at_work.recorder.run()
    assert states_of(tmp_path) == {"a": State.DONE}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetchd-recorder")]


# Bounds


async def test_room_ends_with_so_many_items_and_comes_back_once(tmp_path: Path) -> None:
    """Who is told of it can go on at once."""
    async with desk(tmp_path) as at_work:
        for number in range(recorder_module.MAX_PENDING_ITEMS):
            assert at_work.recorder.has_room
            at_work.put(str(number), None, State.FAILED)
        assert not at_work.recorder.has_room
        await at_work.recorder.wait_for_room()
        assert at_work.recorder.has_room
        assert at_work.rooms == 1
    assert len(at_work.told) == recorder_module.MAX_PENDING_ITEMS
    assert at_work.rooms == 1


async def test_room_ends_with_so_many_octets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small bodies wait in memory."""
    monkeypatch.setattr(recorder_module, "MAX_PENDING_BYTES", 100)
    async with desk(tmp_path) as at_work:
        at_work.put("a", b"x" * 99)
        assert at_work.recorder.has_room
        at_work.put("b", b"x")
        assert not at_work.recorder.has_room
        await at_work.recorder.wait_for_room()
    assert at_work.told == {"a": None, "b": None}


async def test_who_waits_is_not_kept_waiting_for_a_whole_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt writes no octet before the ledger knows how to go on with it; that is soon when it says so."""
    monkeypatch.setattr(recorder_module, "BATCH_ITEMS", 100)
    monkeypatch.setattr(recorder_module, "GATHER_S", 3600.0)
    async with desk(tmp_path) as at_work:
        for name in ("first", "second"):
            at_work.put(f"before {name}")
            recorded = at_work.put_and_hear(name)
            await asyncio.sleep(0)
            assert not recorded.done()
            at_work.recorder.hasten()
            at_work.recorder.hasten()
            await asyncio.wait_for(recorded, 20)


async def test_who_waits_is_in_the_next_batch_where_one_does_not_hold_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second batch follows the first, and the one after is gathered for as ever."""
    monkeypatch.setattr(recorder_module, "GATHER_S", 3600.0)
    monkeypatch.setattr(recorder_module, "AWAITED_S", 0.0)
    async with desk(tmp_path) as at_work:
        for name in "ab":
            at_work.put(name)
        recorded = at_work.put_and_hear("c")
        at_work.recorder.hasten()
        await asyncio.wait_for(recorded, 20)
        late = at_work.put_and_hear("d")
        for _ in range(20):
            await asyncio.sleep(0)
        assert not late.done()


async def test_no_batch_is_larger_than_its_bound(tmp_path: Path) -> None:
    """However much has gathered: what a kill undoes is bounded."""
    steps = Steps()
    async with desk(tmp_path, steps) as at_work:
        for number in range(7):
            at_work.put(str(number), None, State.FAILED)
    assert [line.count("failed") for line in steps.log] == [2, 2, 2, 1]


# Ends


async def test_closing_records_what_was_put_and_no_thread_is_left(tmp_path: Path, no_leaked_fds: None) -> None:
    """Also when nothing ever was."""
    threads = set(threading.enumerate())
    async with desk(tmp_path / "none"):
        pass
    async with desk(tmp_path / "some") as at_work:
        at_work.put("a")
        at_work.recorder.close()
        at_work.put("b")
    assert at_work.told == {"a": None, "b": None}
    assert states_of(tmp_path / "some") == {"a": State.DONE, "b": State.DONE}
    assert set(threading.enumerate()) <= threads


@pytest.mark.parametrize("is_slow", [False, True])
async def test_cancelled_at_any_turn_it_leaves_no_thread_and_nothing_half_done(tmp_path: Path, is_slow: bool) -> None:
    """The batch under way is brought to its end by the worker; recovery completes the rest."""
    for turns in itertools.count():
        root = tmp_path / str(turns)
        with Folder(root) as folder, Ledger.open(root, template=TEMPLATE, derive=derive) as ledger:
            ledger.begin_run("list.txt", 1000.0)
            at_work = Desk(ledger, folder)
            at_work.recorder._slow_until = time.monotonic() + 60 if is_slow else 0.0
            for name in "abc":
                at_work.put(name)
            at_work.recorder.close()
            running = asyncio.create_task(at_work.recorder.run())
            for _ in range(turns):
                await asyncio.sleep(0)
                await asyncio.sleep(0.0005)  # the worker has its turns as well
            was_cancelled = running.cancel()
            await asyncio.wait((running,))
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetchd-recorder")]
        files = files_below(root)
        assert {name for name, state in states_of(root).items() if state is State.DONE} <= {p[2:] for p in files}
        with Folder(root) as folder, Ledger.open(root, template=TEMPLATE, derive=derive) as ledger:
            assert recover(ledger, folder).lost == 0
        assert set(at_work.told) <= {name for name, state in states_of(root).items() if state is State.DONE}
        if not was_cancelled:
            break
    assert turns > 0
