"""``cli/status_command.py``: where the run in a folder stands."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fetchd.crawler.cli.status_command import Standing, standing_lines, tell_status
from fetchd.jobs.intake import derive_path
from fetchd.jobs.ledger import Ledger, Row, RunRecord, State

NOW = 1_700_000_000.0
STARTED = NOW - 3600


def record(ended_at: float | None = NOW - 3590, **summary: Any) -> RunRecord:
    """A run of list.txt that began an hour ago."""
    return RunRecord(3, "list.txt", STARTED, ended_at, summary)


def standing(run: RunRecord | None, process: int | None = None, **counts: int) -> Standing:
    """What a ledger with *counts* says."""
    by_state = {state: counts.get(state.name.lower(), 0) for state in State}
    failures = {"connect": 2, "http-4xx": 1} if by_state[State.FAILED] else {}
    return Standing("out", by_state, failures, run, process)


@pytest.fixture
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", time.gmtime)


@pytest.mark.usefixtures("_utc")
def test_a_run_that_is_through_is_told_in_words() -> None:
    """Counts, failure classes, the run, and the next step."""
    assert standing_lines(standing(record(), done=1500, failed=3), NOW) == [
        "out: 1,500 done, 3 failed, 0 unfinished",
        "failed: 2 connect, 1 http-4xx",
        "run 3 of list.txt, begun 2023-11-14 21:13:20, ended after 10 s",
        "next: fetchd retry out",
    ]


@pytest.mark.parametrize(
    ("run", "counts", "told", "advice"),
    [
        (record(), {"done": 5}, "ended after 10 s", None),
        (record(None), {"done": 5}, "1 h 00 min ago, broken off", "goes on where it ended"),
        (record(left=3), {"done": 5}, "ended after 10 s", "goes on where it ended"),
        (record(unread=True), {"done": 5}, "ended after 10 s", "goes on where it ended"),
        (record(stopped_by="signal"), {"partial": 1}, "stopped by signal", "goes on where it ended"),
        (record(local_failure="disk full"), {"done": 1}, "stopped by disk full", None),
        (record(), {"finishing": 2, "done": 1}, "ended after 10 s", None),
    ],
)
@pytest.mark.usefixtures("_utc")
def test_how_the_last_run_ended_decides_what_is_next(
    run: RunRecord, counts: dict[str, int], told: str, advice: str | None
) -> None:
    """A run that has not ended, and that nobody is at work on, was killed."""
    lines = standing_lines(standing(run, **counts), NOW)
    assert lines[1].endswith(told)
    assert (lines[2].endswith(advice) if advice else len(lines) == 2) is True


@pytest.mark.usefixtures("_utc")
def test_a_run_that_is_at_work_is_left_alone() -> None:
    """Nothing is to be done but wait."""
    assert standing_lines(standing(record(None), 4711, done=5, partial=1), NOW) == [
        "out: 5 done, 0 failed, 1 unfinished",
        "run 3 of list.txt, begun 2023-11-14 21:13:20, 1 h 00 min ago, at work as process 4711",
    ]


@pytest.mark.usefixtures("_utc")
def test_a_run_that_is_at_work_tells_where_it_stands() -> None:
    """As of its last note in the ledger: what has ended, what is under way, the hosts that most items wait for."""
    progress = {
        "read": 1500,
        "done": 900,
        "failed": 2,
        "in_flight": 64,
        "queued": 500,
        "delayed": 3,
        "bytes": 20 << 20,
        "seconds": 10.0,
        "slow_hosts": [["a.example:443", 480]],
    }
    lines = standing_lines(standing(record(None)._replace(progress=progress), 4711, done=5), NOW)
    assert lines[2:] == [
        "this run: 1,500 read, the rest unread; 900 done, 2 failed",
        "now: 64 in flight, 500 waiting, 3 to be tried again; 20.0 MiB, 2.0 MiB/s",
        "most wait for a.example:443 (480)",
    ]
    killed = standing_lines(standing(record(None)._replace(progress=progress), done=5), NOW)
    assert "broken off" in killed[1]
    assert "now" not in killed[2]


def test_a_folder_without_a_run_says_so() -> None:
    """A ledger that was made and not used."""
    assert standing_lines(standing(None), NOW) == ["out: 0 done, 0 failed, 0 unfinished", "no run has begun yet"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which a run is at work: its ledger is open."""
    with Ledger.open(tmp_path, template="{host}/{path}", derive=derive_path) as ledger:
        ledger.begin_run("list.txt", NOW)
        ledger.commit([Row("http://h/a", "h/a", State.FINISHING, size=3)])
        ledger.commit(
            [
                Row("http://h/b", "h/b", State.FAILED, failure_class="http-4xx", message="status 404"),
                Row("http://h/c", "h/c", State.PARTIAL, validator='"x"'),
            ],
            done=[1],
        )
        yield tmp_path


def test_the_ledger_is_read_while_a_run_writes_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No lock is taken, and the answer is data: on standard output."""
    assert tell_status(str(folder), as_json=False) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{folder}: 1 done, 1 failed, 1 unfinished\nfailed: 1 http-4xx\n")
    assert captured.out.endswith(f", at work as process {os.getpid()}\n")
    assert captured.err == ""


def test_status_as_json_has_counts_failures_and_the_last_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object."""
    assert tell_status(str(folder), as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "folder": str(folder),
        "counts": {"finishing": 0, "done": 1, "partial": 1, "failed": 1},
        "failures": {"http-4xx": 1},
        "process": os.getpid(),
        "last_run": {
            "run": 1,
            "manifest": "list.txt",
            "started_at": NOW,
            "ended_at": None,
            "summary": {},
            "progress": None,
        },
    }


def test_a_ledger_without_a_run_has_none_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Null, not an empty object."""
    Ledger.open(tmp_path, template="{host}/{path}", derive=derive_path).close()
    tell_status(str(tmp_path), as_json=True)
    assert json.loads(capsys.readouterr().out)["last_run"] is None


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_ledger_is_a_mistake_of_the_caller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Exit code 2 and what is expected."""
    assert tell_status(str(tmp_path / name), as_json=False) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fetchd: cannot use ledger ")
    assert captured.err.endswith("; expected the output folder of a run\n")
