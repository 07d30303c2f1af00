"""kill -9 at any moment loses nothing and leaves no wrong file: runs in processes of their own, killed and run again.

Two ways of choosing the moment: by the clock, at random from a seed, which hits the inside of system calls and of
SQLite; and by counting, before and after each call that touches the disk, which hits every gap between two steps.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from examples.origin import KIB, MIB, File, Manner, Origin
from fetchd.jobs.ledger import State
from tests.support.runs import rows_of

_ROOT = Path(__file__).parents[2]

# Runs a manifest, on the loop that the command takes; says when it begins. Given a number n and "before" or "after",
# it kills itself at the n-th call that touches the disk and prints nothing more.
_PROGRAM = """
import os, signal, sys
from pathlib import Path
import uvloop
from fetchd.jobs import run as run_module
from fetchd.jobs.events import RunStarted
from fetchd.jobs.settings import RunSettings

manifest, output, fatal, when = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
calls = 0

def deadly(cls, *names):
    def wrap(method):
        def wrapped(*args, **kwargs):
            global calls
            calls += 1
            if calls == fatal and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = method(*args, **kwargs)
            if calls == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        return wrapped
    for name in names:
        setattr(cls, name, wrap(getattr(cls, name)))

if fatal:
    deadly(run_module.Folder, "open_part", "write_part", "publish", "remove_part")
    deadly(run_module.Ledger, "begin_run", "commit", "end_run")

def listen(event):
    if isinstance(event, RunStarted):
        print("started", flush=True)

settings = RunSettings(manifest=manifest, output=output, concurrency=8, per_host=8)
uvloop.run(run_module.run(settings, listen))
print("ended", flush=True)
"""


def files(seed: int, small: int = 240) -> list[File]:
    """Files of every manner: most of them small, some that last long enough to be killed in their middle."""
    rng = random.Random(seed)
    sizes = (0, 1, 1000, KIB, 20_000, 64 * KIB, 64 * KIB + 1, 300_000)
    manners = (Manner.LENGTH, Manner.LENGTH, Manner.LENGTH, Manner.CHUNKED, Manner.TO_EOF)
    table = [File(f"small/{n % 7}/{n}.bin", rng.choice(sizes), rng.choice(manners)) for n in range(small)]
    table += [File(f"paced/{n}.bin", 3 * MIB + n, Manner.PACED, 2 * MIB) for n in range(3)]
    table += [File("large.bin", 5 * MIB), File("dropped.bin", 2 * MIB, Manner.DROPPED)]
    table += [File("chunked.bin", 3 * MIB, Manner.CHUNKED), File("missing.bin", 0, Manner.MISSING)]
    rng.shuffle(table)
    return table


@dataclass
class Trial:
    """One folder, killed and run again until it is finished, and looked at each time.

    Attributes:
        folder: Holds the manifest and ``out``.
        settled: Files that the ledger has called done or finishing: never to be asked for again.
        log_at: How much of the origin's log there was when they were.
        kills: How often a process was really killed.
    """

    folder: Path
    origin: Origin
    settled: set[str] = field(default_factory=set)
    log_at: int = 0
    kills: int = 0

    def __post_init__(self) -> None:
        self.manifest = self.folder / "manifest.txt"
        self.manifest.write_text(self.origin.manifest())
        self.tree = self.folder / "out" / self.origin.url.removeprefix("http://").replace(":", "+")
        self.digests = {name: file.sha256() for name, file in self.origin.files.items()}

    def tabulate(self) -> None:
        """Have the manifest be a table that says size and digest of each file."""
        rows = [f"{self.origin.url}/{name},{file.size},{file.sha256()}" for name, file in self.origin.files.items()]
        self.manifest = self.folder / "manifest.csv.gz"
        self.manifest.write_bytes(gzip.compress("\n".join(["url,size,sha256", *rows]).encode()))

    @asynccontextmanager
    async def process(self, fatal: int = 0, when: str = "before") -> AsyncIterator[asyncio.subprocess.Process]:
        """Run the program on the folder; it is over at the end of the ``async with``."""
        arguments = [str(self.manifest), str(self.folder / "out"), str(fatal), when]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, *arguments, cwd=_ROOT, stdout=asyncio.subprocess.PIPE
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def run_and_kill(self, requests: int, delay: float) -> bool:
        """Kill a run *delay* seconds after *requests* more were answered; whether it was not over before that."""
        fatal_at = len(self.origin.log) + requests

        async def moment() -> None:
            while len(self.origin.log) < fatal_at:  # noqa: ASYNC110 -- the origin tells nobody of what it serves
                await asyncio.sleep(0.002)
            await asyncio.sleep(delay)

        async with self.process() as process:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"started\n"
            waits = asyncio.create_task(moment()), asyncio.create_task(process.wait())
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            waits[0].cancel()
            if process.returncode is None:
                process.kill()
            code = await waits[1]
        assert code in (0, -signal.SIGKILL)
        self.kills += code != 0
        return code != 0

    async def run_to_call(self, fatal: int, when: str) -> bool:
        """Let a run kill itself at its *fatal*-th call on the disk; whether there were so many."""
        async with self.process(fatal, when) as process:
            output, _ = await process.communicate()
        assert process.returncode == (0 if output.endswith(b"ended\n") else -signal.SIGKILL)
        self.kills += process.returncode != 0
        return process.returncode != 0

    async def finish(self) -> None:
        """Run to the end, and look at everything."""
        async with self.process() as process:
            output, _ = await process.communicate()
            assert (process.returncode, output) == (0, b"started\nended\n")
        self.check()
        names = {name for name, file in self.origin.files.items() if file.manner is not Manner.MISSING}
        there = {str(path.relative_to(self.tree)) for path in self.tree.rglob("*") if path.is_file()}
        assert there == names, "something is missing, or a .part is left"
        rows = rows_of(self.folder)
        assert sorted(self._name(row.url) for row in rows) == sorted(self.origin.files)
        assert {self._name(row.url) for row in rows if row.state is not State.DONE} == {"missing.bin"}

    def check(self) -> None:
        """Look at what a kill has left: no wrong file, what is done is there, and nothing settled was asked for."""
        again = {name for name, _, _ in self.origin.log[self.log_at :]} & self.settled
        assert not again, f"settled and asked for again: {again}"
        whole = {
            str(path.relative_to(self.tree)): path
            for path in self.tree.rglob("*")
            if path.is_file() and path.suffix != ".part"
        }
        for name, path in whole.items():
            with path.open("rb") as file:
                assert hashlib.file_digest(file, "sha256").hexdigest() == self.digests[name], f"wrong file: {name}"
        if not (self.folder / "out" / ".fetchd" / "ledger.sqlite3").exists():
            return
        done = {self._name(row.url) for row in rows_of(self.folder, [State.DONE])}
        assert done <= set(whole), "called done, and not there"
        assert self.settled <= done | {self._name(row.url) for row in rows_of(self.folder, [State.FINISHING])}
        self.settled = done | {self._name(row.url) for row in rows_of(self.folder, [State.FINISHING])}
        self.log_at = len(self.origin.log)

    def _name(self, url: str) -> str:
        return url.removeprefix(f"{self.origin.url}/")


async def killed_at_random(folder: Path, seed: int, kills: int, *, table: bool = False) -> Trial:
    """Kill *kills* runs on one folder at random moments, then finish; *table*: the manifest is a compressed table."""
    rng = random.Random(seed)
    async with Origin(files(seed)) as origin:
        trial = Trial(folder, origin)
        if table:
            trial.tabulate()
        for _ in range(kills):
            # By what was answered, not by the clock: a run is slow or quick as the machine is busy or not.
            await trial.run_and_kill(rng.randrange(16), 0.03 * rng.random() ** 2)
            trial.check()
        await trial.finish()
        return trial


async def killed_by_counting(folder: Path, calls: Sequence[int], when: str) -> int:
    """Let runs on folders of their own kill themselves at each of *calls*, then finish; how many were killed."""
    kills = 0
    for fatal in calls:
        (folder / str(fatal)).mkdir()
        async with Origin(files(7, small=12)) as origin:
            trial = Trial(folder / str(fatal), origin)
            killed = await trial.run_to_call(fatal, when)
            trial.check()
            await trial.finish()
            kills += killed
        if not killed:
            break
    return kills


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_killed_five_times_at_random_moments_everything_is_there_once_at_last(tmp_path: Path) -> None:
    """Each kill leaves no wrong file; bodies go on where they were, and what was settled is not asked for again."""
    trial = await killed_at_random(tmp_path, seed=1, kills=5)
    assert trial.kills >= 4
    assert any(status == 206 and start for _, status, start in trial.origin.log)


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_run_over_a_table_is_killed_and_gone_on_with_alike(tmp_path: Path) -> None:
    """Sizes and digests that the manifest says are checked across the kills."""
    trial = await killed_at_random(tmp_path, seed=2, kills=4, table=True)
    assert trial.kills >= 2


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_at_a_step_everything_is_there_once_at_last(tmp_path: Path, when: str) -> None:
    """Before and after a few of the calls that touch the disk; the soak test takes them all."""
    assert await killed_by_counting(tmp_path, [4, 9, 16], when) == 3


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 120))
async def test_killed_a_hundred_times_at_random_moments_everything_is_there_once_at_last(
    tmp_path: Path, seed: int
) -> None:
    """Twenty folders, five kills each."""
    trial = await killed_at_random(tmp_path, seed, kills=5)
    assert trial.kills >= 1


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_at_every_step_everything_is_there_once_at_last(tmp_path: Path, when: str) -> None:
    """The n-th call for n = 1, 2, 3 ... until the run outlives them all."""
    assert await killed_by_counting(tmp_path, range(1, 500), when) > 20
