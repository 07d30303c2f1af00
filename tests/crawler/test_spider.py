"""``--spider``: every item asked for, nothing kept but the ledger."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fetchd.jobs.ledger import LedgerReader, State
from fetchd.jobs.settings import RunSettings
from fetchd.jobs.spider import SpiderRun
from tests.crawler.command import fetchd
from tests.support.raw_server import RawConnection, raw_server, response
from tests.support.runs import Ran, files_below

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_leaked_fds")]

LARGE = 1 << 30


async def site(conn: RawConnection) -> None:
    """Large is never sent; /no-head knows no HEAD; /moved leads to /large; /missing is missing."""
    async for asked in conn:
        large = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE
        answers = {
            "/large": large,
            "/no-head": response(405) if asked.method == "HEAD" else large,
            "/moved": response(302, fields=[("Location", "/large")]),
        }
        await conn.send(answers.get(asked.target, response(404)))


async def spidered(folder: Path, *urls: str) -> Ran:
    """A run that only asks."""
    (folder / "list.txt").write_text("".join(f"{url}\n" for url in urls))
    ran = Ran()
    settings = RunSettings(manifest=str(folder / "list.txt"), output=folder / "spider", retries=0)
    ran.summary = await SpiderRun(settings, ran.listen).execute()
    ran.check()
    return ran


async def test_what_is_there_is_done_and_nothing_of_it_is_fetched(tmp_path: Path) -> None:
    """By HEAD, and by a GET that is broken off where HEAD is not known; sizes are those that were told."""
    async with raw_server(site) as server:
        names = ("large", "no-head", "moved", "missing")
        ran = await spidered(tmp_path, *(server.url(f"/{name}") for name in names))
        asked = Counter(f"{request.method} {request.target}" for request in server.requests)
    assert ran.results == {1: "done", 2: "done", 3: "done", 4: "failed: http-4xx"}
    assert {outcome.item.line: outcome.size for outcome in ran.outcomes} == {1: LARGE, 2: LARGE, 3: LARGE, 4: 0}
    assert asked == {
        "HEAD /large": 2,
        "HEAD /no-head": 1,
        "GET /no-head": 1,
        "HEAD /moved": 1,
        "HEAD /missing": 1,
    }
    assert files_below(tmp_path / "spider") == {}
    assert ran.summary.bytes == 0
    with LedgerReader.open_readonly(tmp_path / "spider") as reader:
        [moved] = [row for row in reader.iterate(State.DONE) if row.final_url is not None]
    assert moved.final_url == server.url("/large")


async def test_what_was_there_is_not_asked_for_again(tmp_path: Path) -> None:
    """What failed is."""
    async with raw_server(site) as server:
        urls = (server.url("/large"), server.url("/missing"))
        await spidered(tmp_path, *urls)
        ran = await spidered(tmp_path, *urls)
        assert len(server.requests) == 3
    assert ran.summary.skip_reasons == {"done": 1}


async def test_the_folder_of_one_is_no_folder_of_files(tmp_path: Path) -> None:
    """A run with files needs another one, verify says why there is nothing, retry asks again, report tells sizes."""
    async with raw_server(site) as server:
        listed = tmp_path / "list.txt"
        listed.write_text(f"{server.url('/large')}\n{server.url('/missing')}\n")
        quick = ("--no-progress", "--retries", "0")
        ran = await fetchd("run", listed, "--spider", *quick, cwd=tmp_path)
        assert ran.code == 1
        assert ran.lines[0] == "2 items read = 1 done + 1 failed"
        ran = await fetchd("run", listed, "-o", "spider", *quick, cwd=tmp_path)
        assert ran.code == 2
        ran = await fetchd("verify", "spider", cwd=tmp_path)
        assert (ran.code, ran.lines[0]) == (
            2,
            "spider is of a run with --spider, which keeps no files; there is nothing to verify",
        )
        before = len(server.requests)
        ran = await fetchd("retry", "spider", *quick, cwd=tmp_path)
        assert ran.code == 1
        assert [asked.target for asked in server.requests[before:]] == ["/missing"]
        ran = await fetchd("report", "spider", "--format", "csv", cwd=tmp_path)
        assert f",{LARGE}," in ran.out.decode()
    with LedgerReader.open_readonly(tmp_path / "spider") as reader:
        assert reader.counts()[State.DONE] == 1


@pytest.mark.parametrize("option", ["--name", "--checksum", "--on-done", "--checksums"])
async def test_what_is_of_files_does_not_go_with_it(tmp_path: Path, option: str) -> None:
    """Nothing is asked for."""
    ran = await fetchd("run", "list.txt", "--spider", option, "sha256", cwd=tmp_path)
    assert (ran.code, ran.lines) == (2, [f"{option} is of files, and --spider keeps none"])
