"""``--log-file``: what happened, with the time, whatever was shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fetchd.crawler.cli.log_file import LogFile
from fetchd.jobs.exceptions import LocalFailureError
from tests.crawler.command import fetchd
from tests.support.raw_server import response
from tests.support.sites import Site

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


def lines_of(path: Path) -> list[str]:
    """The lines without their times, each of which is checked."""
    lines = path.read_text().splitlines()
    assert all(STAMP.match(line) for line in lines), lines
    return [STAMP.sub("", line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("voice", ["-q", "-v"])
async def test_a_run_leaves_its_account(tmp_path: Path, voice: str) -> None:
    """Beginning, what was tried again, what failed, the summary; with -v what went well, too. Appended to."""
    site = Site({"/a": response(200, b"a"), "/b": [response(500), response(404)]})
    async with site.serve() as server:
        (tmp_path / "list.txt").write_text(f"http://me:secret@127.0.0.1:{server.port}/a\n{server.url('/b')}\n")
        arguments = ("list.txt", "--log-file", "log", "--no-progress", "--retries", "1", voice)
        ran = await fetchd("run", *arguments, cwd=tmp_path)
        assert ran.code == 1
        lines = lines_of(tmp_path / "log")
        assert lines[0] == "fetchd run list.txt begins"
        assert any(re.fullmatch(r"again in \S+ s: \S+/b: status 500.*", line) for line in lines)
        assert any(re.fullmatch(r"http-4xx: \S+/b \(line 2\): status 404.*", line) for line in lines)
        assert any(line.startswith("done: ") for line in lines) == (voice == "-v")
        assert any(line == "2 items read = 1 done + 1 failed" for line in lines)
        assert "secret" not in (tmp_path / "log").read_text()
        before = len(lines)
        await fetchd("run", *arguments, cwd=tmp_path)
    assert len(lines_of(tmp_path / "log")) > before


@pytest.mark.slow
async def test_what_ends_a_run_before_it_begins_is_in_it(tmp_path: Path) -> None:
    """A manifest that is not there."""
    ran = await fetchd("run", "no.txt", "--log-file", "log", cwd=tmp_path)
    assert ran.code == 2
    assert lines_of(tmp_path / "log")[-1] == "cannot read manifest no.txt: no such file or directory"
    ran = await fetchd("run", "no.txt", "--log-file", "no/log", cwd=tmp_path)
    assert ran.code == 3
    assert "no/log" in ran.lines[0]


def test_lines_are_one_line_each_and_have_the_time_to_the_millisecond(tmp_path: Path) -> None:
    """In UTC, whatever is in the text."""
    log = LogFile(tmp_path / "log", lambda _: None, now=lambda: 1_600_000_000.0625)
    log.write("two\nlines\x1b[31m")
    log.close()
    assert (tmp_path / "log").read_text() == "2020-09-13T12:26:40.062Z two\\nlines\\x1b[31m\n"


def test_a_log_that_cannot_be_written_is_told_once_and_ends_nothing() -> None:
    """The disk may be full, and the run goes on as long as its own folder is not."""
    told: list[str] = []
    log = LogFile(Path("/dev/full"), told.append)
    log.write("one")
    log.write("two")
    log.close()
    assert told == ["cannot write /dev/full: no space left on device; going on without"]


def test_a_log_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """Before anything is done."""
    with pytest.raises(LocalFailureError):
        LogFile(tmp_path / "no" / "log", lambda _: None)


@pytest.mark.slow
async def test_a_host_that_is_left_alone_is_named(tmp_path: Path) -> None:
    """With how long, and what it said; so is one in the lines of --json."""
    site = Site({"/a": [response(429, fields=[("Retry-After", "1")]), response(200, b"a")]})
    async with site.serve() as server:
        (tmp_path / "list.txt").write_text(f"{server.url('/a')}\n")
        ran = await fetchd("run", "list.txt", "--log-file", "log", "--json", cwd=tmp_path)
        assert ran.code == 0
        where = f"127.0.0.1:{server.port}"
    assert any(
        line.startswith(f"host {where} is left alone for ") and ": status 429" in line
        for line in lines_of(tmp_path / "log")
    )
    (told,) = [event for line in ran.out.splitlines() if (event := json.loads(line))["event"] == "host"]
    assert (told["host"], told["standing"]) == (where, "waits")
    assert 0.9 <= told["wait"] <= 1.1
