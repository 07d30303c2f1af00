"""Whole runs against nginx: what comes to disk is what lies in its folder, on each way in."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.ledger import State
from fetchd.jobs.limits import Limits
from tests.support.nginx import Nginx
from tests.support.runs import files_below, prepare, rows_of, run_lines

pytestmark = [pytest.mark.usefixtures("no_leaked_fds"), pytest.mark.slow]

LARGE = random.Random(7).randbytes(3_000_000)


@pytest.fixture
def site(nginx: Nginx) -> dict[str, bytes]:
    """Files of many sizes in the folder of the server, by their names."""
    rng = random.Random(8)
    files = {f"many/{n}.bin": rng.randbytes(size) for n in range(20) for size in [n * n * 700]}
    files |= {"many/empty": b"", "many/large.bin": LARGE, "many/with blank.txt": b"blank"}
    for name, content in files.items():
        (nginx.root / name).parent.mkdir(exist_ok=True)
        (nginx.root / name).write_bytes(content)
        os.utime(nginx.root / name, (1_600_000_000, 1_600_000_000))
    nginx.clear_access_log()
    return files


def lines_of(site: dict[str, bytes], base: str) -> list[str]:
    """A manifest of the whole site below the URL *base*."""
    return [f"{base}/{name.replace(' ', '%20')}" for name in site]


@pytest.mark.parametrize("way", ["plain", "TLS 1.2", "TLS 1.3", "unix"])
async def test_everything_comes_as_it_lies_there(
    nginx: Nginx, site: dict[str, bytes], tmp_path: Path, way: str
) -> None:
    """Contents, times of modification, and nothing asked for twice; the next run asks for nothing at all."""
    base = {
        "plain": nginx.url(""),
        "TLS 1.2": nginx.tls_url("", version="1.2"),
        "TLS 1.3": nginx.tls_url("", version="1.3"),
        "unix": nginx.unix_url(""),
    }[way]
    settings: dict[str, Any] = {"unix_socket": nginx.unix_path} if way == "unix" else {}
    if way.startswith("TLS"):
        settings = {"cacert": nginx.authority}
    ran = await run_lines(tmp_path, lines_of(site, base), **settings)
    assert ran.summary.done == len(site)
    assert ran.summary.bytes == sum(map(len, site.values()))
    [tree] = [path for path in (tmp_path / "out").iterdir() if path.name != ".fetchd"]
    assert files_below(tree) == site
    assert {path.stat().st_mtime for path in tree.rglob("*") if path.is_file()} == {1_600_000_000}
    assert Counter(access.status for access in nginx.access_log(len(site))) == {200: len(site)}
    again = await run_lines(tmp_path, lines_of(site, base), **settings)
    assert again.summary.skip_reasons == {"done": len(site)}
    assert len(nginx.access_log()) == len(site)


async def test_a_certificate_that_nobody_vouches_for_fails_each_item(nginx: Nginx, tmp_path: Path) -> None:
    """As tls; ``insecure`` takes it. A file of certificates that is none is refused before anything is asked."""
    (nginx.root / "one").write_bytes(b"one")
    lines = [nginx.tls_url("/one")]
    assert (await run_lines(tmp_path, lines, retries=0)).results == {1: "failed: tls"}
    assert (await run_lines(tmp_path, lines, insecure=True)).results == {1: "done"}
    running, _ = prepare(tmp_path, lines, cacert=tmp_path / "manifest.txt")
    with pytest.raises(SettingsError, match="cannot load certificates"):
        await running.execute()


@pytest.mark.parametrize("folder", ["few", "close"])
async def test_connections_that_the_server_ends_cost_nothing(
    nginx: Nginx, site: dict[str, bytes], tmp_path: Path, folder: str
) -> None:
    """After each request or after three: every item is fetched once, without a retry."""
    ran = await run_lines(tmp_path, lines_of(site, nginx.url(f"/{folder}")), per_host=4)
    assert (ran.summary.done, ran.retries) == (len(site), [])
    assert len(nginx.access_log(len(site))) == len(site)


async def test_identity_is_asked_for(nginx: Nginx, site: dict[str, bytes], tmp_path: Path) -> None:
    """A server that would compress does not, and the octets are the file's."""
    ran = await run_lines(tmp_path, [nginx.url("/gzip/many/large.bin")])
    assert ran.results == {1: "done"}
    assert list(files_below(tmp_path / "out").values()) == [LARGE]


async def test_redirections_are_followed_and_told(nginx: Nginx, site: dict[str, bytes], tmp_path: Path) -> None:
    """The path is that of the manifest's URL, the ledger has the other one."""
    ran = await run_lines(tmp_path, [nginx.url("/moved/many/1.bin")])
    assert ran.results == {1: "done"}
    [(path, content)] = files_below(tmp_path / "out").items()
    assert (path.partition("/")[2], content) == ("moved/many/1.bin", site["many/1.bin"])
    [row] = rows_of(tmp_path)
    assert row.final_url == nginx.url("/many/1.bin")


@pytest.mark.parametrize(
    ("status", "end", "requests"), [(204, "done", 1), (404, "failed: http-4xx", 1), (500, "failed: http-5xx", 2)]
)
async def test_each_status_has_its_end(
    nginx: Nginx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, end: str, requests: int
) -> None:
    """With one retry."""
    monkeypatch.setattr("random.random", lambda: 0.0)
    nginx.clear_access_log()
    ran = await run_lines(tmp_path, [nginx.url(f"/status/{status}")], retries=1)
    assert ran.results == {1: end}
    assert [access.status for access in nginx.access_log(requests)] == [status] * requests


async def test_a_body_that_is_stopped_goes_on_by_range(nginx: Nginx, site: dict[str, bytes], tmp_path: Path) -> None:
    """nginx's own validators and ranges; the file is the whole one at last."""
    body = LARGE[:1_200_000]  # beyond 1 MiB, and no more than a few seconds of the slow way
    (nginx.root / "slow.bin").write_bytes(body)
    lines = [nginx.url("/slow/slow.bin")]
    running, ran = prepare(tmp_path, lines)
    executing = asyncio.create_task(running.execute())
    while not ran.started or running.snapshot().bytes < 400_000:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    running.stop()
    ran.summary = await executing
    ran.check()
    assert (ran.summary.left, ran.summary.stopped_by) == (1, "signal")
    [row] = rows_of(tmp_path, [State.PARTIAL])
    assert (row.total, bool(row.validator)) == (len(body), True)
    [came] = [len(content) for content in files_below(tmp_path / "out").values()]
    again = await run_lines(tmp_path, lines)
    assert again.results == {1: "done"}
    assert list(files_below(tmp_path / "out").values()) == [body]
    [access] = [access for access in nginx.access_log(2) if access.range]
    assert (access.status, access.range, access.sent) == (206, f"bytes={came}-", len(body) - came)


async def test_a_body_that_has_changed_meanwhile_is_fetched_whole(
    nginx: Nginx, site: dict[str, bytes], tmp_path: Path
) -> None:
    """If-Range has the server decide, in one request."""
    name = nginx.root / "slow.bin"
    name.write_bytes(LARGE)
    lines = [nginx.url("/slow/slow.bin")]
    running, ran = prepare(tmp_path, lines)
    executing = asyncio.create_task(running.execute())
    while not ran.started or running.snapshot().bytes < 200_000:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    running.stop()
    ran.summary = await executing
    name.write_bytes(LARGE[:200_000][::-1])
    os.utime(name, (1_700_000_000, 1_700_000_000))
    assert (await run_lines(tmp_path, lines)).results == {1: "done"}
    assert list(files_below(tmp_path / "out").values()) == [LARGE[:200_000][::-1]]
    [access] = [access for access in nginx.access_log(2) if access.range]
    assert (access.status, access.sent) == (200, 200_000)


@pytest.mark.parametrize("way", ["plain", "TLS"])
async def test_one_body_by_several_connections(nginx: Nginx, tmp_path: Path, way: str) -> None:
    """Ranges of one file, joined to what lies there; asked for at a rate that leaves time to share it."""
    body = random.Random(11).randbytes(6 << 20)
    (nginx.root / "shared.bin").write_bytes(body)
    nginx.clear_access_log()
    url = nginx.url("/shared.bin") if way == "plain" else nginx.tls_url("/shared.bin")
    settings: dict[str, Any] = {} if way == "plain" else {"cacert": nginx.authority}
    ran = await run_lines(tmp_path, [url], segments=3, limits=Limits(bandwidth=6 << 20), **settings)
    assert ran.summary.done == 1
    assert list(files_below(tmp_path / "out").values()) == [body]
    statuses = Counter(access.status for access in nginx.access_log(3))
    assert statuses[206] >= 2
    assert statuses.total() == statuses[206] + statuses[200]
