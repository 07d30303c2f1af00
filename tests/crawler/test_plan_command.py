"""``fetchd plan``: the real command; what it says and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fetchd.crawler.cli.exit_codes import ExitCode
from tests.crawler.command import fetchd
from tests.support.sites import Site

pytestmark = pytest.mark.slow


async def test_a_manifest_is_told_of_in_words(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        "url,size\n"
        + "".join(f"http://a/{n},10\n" for n in range(20))
        + "http://b/1,\nhttp://b/1,\nnonsense,\nhttp://a/0/x,1\n"
    )
    ran = await fetchd("plan", tmp_path / "list.csv", "-j", "8", "--per-host", "2")
    assert ran.code == ExitCode.SOME_FAILED
    assert ran.out.decode().splitlines() == [
        "23 items, 1 of them duplicates; 1 bad lines",
        "201 B in the 21 items whose size is said",
        "2 items whose size is not said",
        "bad: nonsense (line 24): no scheme; expected a URL that begins with http:// or https://",
        "names: a/0 is a file and a folder (line 2)",
        "2 hosts",
        "a:80: 21 items",
        "b:80: 2 items",
        "a:80 binds the run: with 2 at a time from one host, 2.2 of 8 slots are in use on average",
    ]


async def test_an_object_of_json_and_the_exit_codes(tmp_path: Path) -> None:
    """0 where all is well, from standard input too; 2 for what cannot be read or is empty."""
    ran = await fetchd("plan", "-", "--json", "--expand", stdin=b"http://h/[1-3]\n")
    assert ran.code == ExitCode.DONE
    assert json.loads(ran.out)["hosts"] == {"h:80": 3}
    assert (await fetchd("plan", "-", stdin=b"")).code == ExitCode.USAGE
    ran = await fetchd("plan", tmp_path / "none.txt")
    assert (ran.code, ran.out) == (ExitCode.USAGE, b"")
    assert "cannot read manifest" in ran.err


async def test_a_sample_is_told_with_its_range(tmp_path: Path) -> None:
    """In words, and as JSON; the fields of a request go along."""
    site = Site(default=b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n")
    async with site.serve() as server:
        (tmp_path / "list.txt").write_text("".join(server.url(f"/{n}\n") for n in range(30)))
        ran = await fetchd("plan", tmp_path / "list.txt", "--sample", "10", "--header", "X-Key: 1")
        assert ran.code == ExitCode.DONE
        assert ran.out.decode().splitlines()[1:4] == [
            "30 items whose size is not said",
            "asked 10 of them: 10 tell a length, 0 are there without one, 0 failed",
            "about 30.0 KiB in all, between 30.0 KiB and 30.0 KiB",
        ]
        assert {request.fields["X-Key"] for request in server.requests} == {"1"}
        found = json.loads((await fetchd("plan", tmp_path / "list.txt", "--sample", "10", "--json")).out)
    assert found["sample"] == {"asked": 10, "told": 10, "unknown": 0, "failed": 0}
    assert found["estimate"] == {"low": 30_720, "likely": 30_720, "high": 30_720}
    ran = await fetchd("plan", tmp_path / "list.txt", "--sample", "many")
    assert (ran.code, ran.lines[0].startswith("--sample is 'many'; expected")) == (ExitCode.USAGE, True)
