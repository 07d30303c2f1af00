"""``cli/report_command.py`` and ``cli/verify_command.py``: what is told of a folder, and with which code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetchd.crawler.cli.app import main
from fetchd.jobs.checksums import spelled
from fetchd.jobs.intake import derive_path
from fetchd.jobs.ledger import Ledger, LedgerReader, Row, State

DIGEST = spelled(("sha256", hashlib.sha256(b"octets").digest()))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A folder with two files that are done, one of them with a digest, and one item that failed; locked."""
    with Ledger.open(tmp_path, template="{host}/{path}", derive=derive_path) as ledger:
        ledger.begin_run("list.txt", 1_700_000_000.0)
        rows = [
            Row("http://h/a?key=1", "h/a@x", State.FINISHING, derived=False, size=6, digest=DIGEST),
            Row("http://h/b", "h/b", State.FINISHING, size=6),
            Row("http://h/c", "h/c", State.FAILED, failure_class="http-4xx", status=404),
        ]
        ledger.commit(rows)
        ledger.commit((), done=[1, 2])
        (tmp_path / "h").mkdir()
        for name in ("a@x", "b"):
            (tmp_path / "h" / name).write_bytes(b"octets")
        yield ledger


@pytest.fixture
def folder(ledger: Ledger, tmp_path: Path) -> str:
    """The same, nobody at work in it."""
    ledger.close()
    return str(tmp_path)


def told(capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    """Standard output, and the lines of standard error without our name."""
    captured = capsys.readouterr()
    return captured.out, [line.removeprefix("fetchd: ") for line in captured.err.splitlines()]


@pytest.mark.usefixtures("ledger")
def test_a_report_is_had_while_a_run_is_at_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON lines unless another format is asked for."""
    assert main(["report", str(tmp_path), "--redact"]) == 0
    out, err = told(capsys)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["url"], row["state"]) for row in rows] == [
        ("http://h/a?...", "done"),
        ("http://h/b", "done"),
        ("http://h/c", "failed"),
    ]
    assert err == []


def test_a_report_goes_to_a_file_by_its_ending(folder: str, tmp_path: Path) -> None:
    """No format need be named."""
    assert main(["report", folder, "-o", str(tmp_path / "r.csv")]) == 0
    assert (tmp_path / "r.csv").read_text().startswith("url,final_url,path,state,")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--format", "xml"], 2, "--format is 'xml'; expected one of jsonl, csv, parquet"),
        (["-o", "r.txt"], 2, "r.txt ends in none of"),
        (["-o", "nowhere/r.csv"], 3, "cannot write nowhere/r.csv: no such file or directory"),
    ],
)
def test_a_report_that_cannot_be_is_one_line(
    folder: str, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    """With what was expected."""
    assert main(["report", folder, *arguments]) == code
    _, [line] = told(capsys)
    assert line.startswith(message)


def test_files_that_are_as_they_should_be(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what it compared."""
    assert main(["verify", folder]) == 0
    assert told(capsys) == ("", ["2 files compared: 1 by digest, 1 by size only", "all are as the ledger says"])


def test_a_file_that_changed_is_told_and_put_back(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only when it is asked for; then the next run finds it failed."""
    (tmp_path / "h" / "a@x").write_bytes(b"0ctets")
    (tmp_path / "h" / "b").write_bytes(b"oct")
    assert main(["verify", folder, "-j", "1"]) == 1
    out, err = told(capsys)
    assert out.splitlines()[1] == "h/b: 3 octets; expected 6"
    assert err[1:] == ["bad: 1 checksum, 1 size", "--requeue has them fetched again"]
    assert main(["verify", folder, "--requeue", "--json"]) == 1
    out, _ = told(capsys)
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["bad", "bad", "verified"]
    with LedgerReader.open_readonly(tmp_path, derive=derive_path) as reader:
        rows = {row.url: row for row in reader.iterate(State.FAILED)}
        assert reader.counts()[State.DONE] == 0
    assert rows["http://h/a?key=1"].failure_class == "checksum"
    assert rows["http://h/a?key=1"].path == "h/a@x"
    assert (rows["http://h/b"].failure_class, rows["http://h/b"].size) == ("size", 0)


@pytest.mark.usefixtures("ledger")
def test_nothing_is_put_back_under_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To look is allowed, to change is not."""
    assert main(["verify", str(tmp_path)]) == 0
    assert main(["verify", str(tmp_path), "--requeue"]) == 2
    assert "is working in this folder" in told(capsys)[1][-1]


@pytest.mark.parametrize("command", ["report", "verify"])
def test_a_folder_without_a_ledger_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Code 2."""
    assert main([command, str(tmp_path)]) == 2
    assert told(capsys)[1][0].endswith("; expected the output folder of a run")


def test_threads_are_a_number(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One or more."""
    assert main(["verify", folder, "-j", "0"]) == 2
    assert told(capsys)[1] == ["--jobs is '0'; expected a whole number, 1 or more"]
