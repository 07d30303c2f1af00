"""A manifest that is a URL: read as it comes, gone on with after a break, and never taken for shorter than it is."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest

from fetchd.jobs.events import Summary
from fetchd.jobs.exceptions import ManifestError
from fetchd.jobs.plan import plan
from fetchd.jobs.run import Run, run
from fetchd.jobs.settings import RunSettings
from tests.support.raw_server import RawConnection, RawServer, Request, raw_server, response
from tests.support.runs import files_below
from tests.support.sites import Page, Site, broken_off

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

ETAG = ("ETag", '"v1"')
FILE = response(200, b"content")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff takes no time."""
    monkeypatch.setattr("random.random", lambda: 0.0)


async def run_from(server: RawServer, folder: Path, **settings: Any) -> Summary:
    """Run over ``/list`` of *server*."""
    return await run(RunSettings(manifest=server.url("/list"), output=folder / "out", **{"retries": 1, **settings}))


async def test_a_manifest_is_fetched_with_the_fields_of_the_run(tmp_path: Path) -> None:
    """Its bound on bodies is for items; its format is told by the content."""
    asked: list[Request] = []
    site = Site(default=FILE)
    async with site.serve() as server:

        async def listed(conn: RawConnection, request: Request) -> None:
            asked.append(request)
            table = "url,name\n" + "".join(f"{server.url(f'/{n}')},x/{n}\n" for n in range(500))
            await conn.send(response(200, gzip.compress(table.encode())))

        site.pages["/list"] = listed
        summary = await run_from(server, tmp_path, headers=(("X-Key", "1"),), max_bytes=100)
        found = await plan(RunSettings(manifest=server.url("/list")))
    assert (summary.read, summary.done, summary.unread) == (500, 500, False)
    assert asked[0].fields["X-Key"] == "1"
    assert len(files_below(tmp_path / "out")) == 500
    assert found.items == 500


async def test_items_start_while_the_manifest_still_comes(tmp_path: Path) -> None:
    site = Site(default=FILE)
    first_done = asyncio.Event()
    async with site.serve() as server:

        async def item(conn: RawConnection, _: Request) -> None:
            first_done.set()
            await conn.send(FILE)

        async def listed(conn: RawConnection, _: Request) -> None:
            lines = [f"{server.url('/1')}\n".encode(), f"{server.url('/2')}\n".encode()]
            await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % sum(map(len, lines)) + lines[0])
            await first_done.wait()
            await conn.send(lines[1])

        site.pages |= {"/1": item, "/list": listed}
        assert (await run_from(server, tmp_path)).done == 2


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (response(404, reason="Not Found"), "status 404 Not Found"),
        ([response(503, reason="Busy")], "status 503 Busy"),
        (broken_off(response(200, b"http://127.0.0.1:1/abc\n")[:-4]), "incomplete|closed|ended"),
    ],
)
async def test_a_manifest_that_does_not_come_ends_the_run(tmp_path: Path, page: Page, reason: str) -> None:
    """Without its half line, which would be another URL, and without its password in the message."""
    site = Site({"/list": page})
    async with site.serve() as server:
        manifest = server.url("/list").replace("http://", "http://me:secret@")
        with pytest.raises(ManifestError, match=reason) as caught:
            await run(RunSettings(manifest=manifest, output=tmp_path / "out", retries=1))
    assert "secret" not in str(caught.value)


async def test_what_is_no_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no host"):
        await run(RunSettings(manifest="http:///list", output=tmp_path / "out"))


@pytest.mark.parametrize("change", [None, "another", "the whole"])
async def test_a_manifest_that_breaks_off_is_gone_on_with_if_it_is_still_the_same(
    tmp_path: Path, change: str | None
) -> None:
    """By Range and If-Range; else what was read before is done, and the run ends in an error."""
    site = Site(default=FILE)
    async with site.serve() as server:
        lines = "".join(f"{server.url(f'/{n}')}\n" for n in range(100)).encode()
        whole = response(200, lines, [ETAG])
        asked: list[Request] = []

        async def listed(conn: RawConnection, request: Request) -> None:
            asked.append(request)
            if len(asked) == 1:
                await broken_off(whole[:-1000])(conn, request)
            start = len(lines) - 1000
            etag = ETAG if change is None else ("ETag", '"v2"')
            fields = [etag, ("Content-Range", f"bytes {start}-{len(lines) - 1}/{len(lines)}")]
            await conn.send(whole if change == "the whole" else response(206, lines[start:], fields))

        site.pages["/list"] = listed
        if change is None:
            assert (await run_from(server, tmp_path)).done == 100
        else:
            with pytest.raises(ManifestError, match="cannot be gone on with"):
                await run_from(server, tmp_path)
    assert asked[1].fields["Range"] == f"bytes={len(lines) - 1000}-"
    assert asked[1].fields["If-Range"] == '"v1"'


async def test_a_manifest_waits_while_the_run_wants_no_lines(tmp_path: Path) -> None:
    """A slow item holds the reading back, longer than the idle timeout allows for silence; nothing is lost."""
    site = Site(default=FILE)
    async with site.serve() as server, raw_server(site.script) as other:

        async def slow(conn: RawConnection, _: Request) -> None:
            await asyncio.sleep(1)
            await conn.send(FILE)

        lines = "".join(f"{server.url(f'/{n}')}\n" for n in range(40_000)).encode()
        site.pages["/0"] = slow
        site.pages["/list"] = response(200, lines, [ETAG])
        settings = RunSettings(
            manifest=other.url("/list"), output=tmp_path / "out", concurrency=1, per_host=1, idle_timeout=0.5, retries=0
        )
        running = Run(settings)
        task = asyncio.create_task(running.execute())
        while running.snapshot().done < 50:
            await asyncio.sleep(0.05)
            if task.done():
                break
        running.stop()
        summary = await task
    assert summary.done >= 50
    assert summary.unread
