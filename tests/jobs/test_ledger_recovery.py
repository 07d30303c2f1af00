"""After a kill at any moment nothing that is called done is missing, and nothing is fetched twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetchd.jobs.exceptions import LocalFailureError
from fetchd.jobs.ledger import Entry, Ledger, Row, State
from fetchd.jobs.ledger_recovery import Recovered, Recovery, recover, recover_decision
from fetchd.jobs.sinks import Folder
from tests.support.local_failures import unprivileged

BATCH = 5


def derive(url: str) -> str:
    """A name template: the URL without its scheme."""
    return url.partition("://")[2]


def open_ledger(folder: Path) -> Ledger:
    """The ledger of *folder*, in a run of its own."""
    ledger = Ledger.open(folder, template="{host}/{path}", derive=derive)
    ledger.begin_run("list.txt", 0.0)
    return ledger


def content_of(number: int) -> bytes:
    """What the server would have sent."""
    return f"{number} ".encode() * (number % 50)


def work(folder: Path, first: int, batches: int) -> Iterator[str]:
    """What a run does with its batches, in its order; yields after each step."""
    ledger, files = open_ledger(folder), Folder(folder)
    recover(ledger, files)
    marks: list[int] = []
    for start in range(first, first + batches * BATCH, BATCH):
        rows = []
        for number in range(start, start + BATCH):
            path = f"h/{number % 3}/{number}"
            files.write_part(path, content_of(number))
            rows.append(Row(f"http://{path}", path, State.FINISHING, size=len(content_of(number))))
            yield "written"
        ledger.commit(rows, done=marks)
        yield "committed"
        for row in rows:
            files.publish(row.path)
            yield "published"
        marks = [row.row for row in rows]
    ledger.commit((), done=marks)
    yield "marked"
    ledger.close()
    files.close()


def check_promise(folder: Path) -> tuple[Recovered, int]:
    """Recover, then see that files and ledger agree; return what was recovered and how many are done."""
    with open_ledger(folder) as ledger, Folder(folder) as files:
        recovered = recover(ledger, files)
        assert recover(ledger, files) == Recovered(0, 0, 0)
        done = {row.path: row.size for row in ledger.iterate(State.DONE)}
        for path, size in done.items():
            content = (folder / path).read_bytes()
            assert content == content_of(int(path.rpartition("/")[2]))
            assert len(content) == size == files.size(path)
        named = {str(path.relative_to(folder)) for path in folder.glob("h/*/*") if path.suffix != ".part"}
        assert named == set(done)
        assert ledger.counts()[State.FINISHING] == ledger.counts()[State.FAILED] == 0
    return recovered, len(done)


# The decision


@pytest.mark.parametrize(
    ("part_size", "final_size", "decision"),
    [
        (5, None, Recovery.RENAME),
        (5, 5, Recovery.RENAME),
        (5, 9, Recovery.RENAME),
        (None, 5, Recovery.ADOPT),
        (None, None, Recovery.FETCH_AGAIN),
        (None, 9, Recovery.FETCH_AGAIN),
        (3, None, Recovery.FETCH_AGAIN),
        (3, 5, Recovery.FETCH_AGAIN),
        (3, 9, Recovery.FETCH_AGAIN),
    ],
)
def test_two_sizes_tell_what_became_of_a_file(
    part_size: int | None, final_size: int | None, decision: Recovery
) -> None:
    """Of 5 octets; a .part that is there was not renamed, so what has the name is older."""
    assert recover_decision(part_size, final_size, 5) is decision


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    """0 octets are not None."""
    assert recover_decision(0, None, 0) is Recovery.RENAME
    assert recover_decision(None, 0, 0) is Recovery.ADOPT
    assert recover_decision(None, None, 0) is Recovery.FETCH_AGAIN


# Kills


def test_a_kill_after_any_step_keeps_the_promise(tmp_path: Path) -> None:
    """Three batches, the disk copied after each step: what a kill at that moment leaves."""
    committed = 0
    for moment, step in enumerate(work(tmp_path / "run", 0, 3)):
        left = tmp_path / str(moment)
        shutil.copytree(tmp_path / "run", left)
        committed += BATCH * (step == "committed")
        recovered, done = check_promise(left)
        assert done == committed
        assert recovered.lost == 0
        shutil.rmtree(left)
    assert committed == 3 * BATCH


_CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.jobs.test_ledger_recovery import work
for step in work(Path(sys.argv[2]), int(sys.argv[3]), 10_000):
    sys.stdout.buffer.write(b"." if step != "committed" else b"C")
    sys.stdout.buffer.flush()
"""


@pytest.mark.slow
def test_kill_9_at_ten_random_moments_of_one_run_keeps_the_promise(tmp_path: Path) -> None:
    """A real process, started again after each kill; what it said to have committed is done."""
    root = str(Path(__file__).parents[2])
    chance = random.Random()
    done = 0
    for kill in range(10):
        command = [sys.executable, "-c", _CHILD, root, str(tmp_path), str(kill * 1_000_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            said = child.stdout.read(chance.randrange(1, 300))
            child.send_signal(signal.SIGKILL)
            said += child.stdout.read()
        assert child.returncode == -signal.SIGKILL
        recovered, now_done = check_promise(tmp_path)
        assert recovered.lost == 0
        assert now_done - done in (BATCH * said.count(b"C"), BATCH * (said.count(b"C") + 1))
        done = now_done
    assert done > 0


# What else may be found


def finishing(folder: Path, *paths: str) -> None:
    """A ledger in which *paths*, of 5 octets, were about to get their names."""
    with open_ledger(folder) as ledger:
        ledger.commit([Row(f"http://{path}", path, State.FINISHING, size=5) for path in paths])


def test_what_is_gone_is_recorded_and_found_by_the_next_look_up(tmp_path: Path) -> None:
    """Somebody removed or changed the files in the meantime: they are fetched again."""
    finishing(tmp_path, "h/gone", "h/short", "h/part", "h/named")
    with Folder(tmp_path) as files, open_ledger(tmp_path) as ledger:
        files.write_part("h/short", b"123")
        files.write_part("h/part", b"12345")
        files.write_part("h/named", b"12345")
        files.publish("h/named")
        assert recover(ledger, files) == Recovered(renamed=1, adopted=1, lost=2)
        failed = {row.path: (row.failure_class, row.message) for row in ledger.iterate(State.FAILED)}
        assert set(failed) == {"h/gone", "h/short"}
        assert set(failed.values()) == {("disk", "the file was gone when the run was started again")}
        [entry] = ledger.lookup([("http://h/gone", "h/gone", True)])
        assert isinstance(entry, Entry)
        assert entry.state is State.FAILED


def test_a_folder_in_the_place_of_the_file_does_not_stop_recovery(tmp_path: Path) -> None:
    """A collision that the run would have reported; the item is tried, and fails, again."""
    finishing(tmp_path, "h/a", "h/b")
    with Folder(tmp_path) as files, open_ledger(tmp_path) as ledger:
        for path in ("h/a/below", "h/a", "h/b"):
            files.write_part(path, b"12345")
        assert recover(ledger, files) == Recovered(renamed=1, adopted=0, lost=1)
        assert files.size("h/b") == 5


def test_a_disk_that_fails_stops_recovery_and_loses_nothing(tmp_path: Path) -> None:
    """With permission given back it completes what it began."""
    finishing(tmp_path, "h/a", "g/b")
    with Folder(tmp_path) as files, open_ledger(tmp_path) as ledger:
        files.write_part("h/a", b"12345")
        files.write_part("g/b", b"12345")
        os.chmod(tmp_path / "g", 0o555)
        with unprivileged(), pytest.raises(LocalFailureError, match="permission denied"):
            recover(ledger, files)
        os.chmod(tmp_path / "g", 0o755)
        recovered = recover(ledger, files)
        assert (recovered.renamed + recovered.adopted, recovered.lost) == (2, 0)
        assert ledger.counts()[State.DONE] == 2
