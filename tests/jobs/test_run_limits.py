"""Limits of a run as a whole, measured where they matter: at the servers, and at how the run ends."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fetchd.jobs.limits import Limits
from tests.support.raw_server import RawConnection, Request, response
from tests.support.runs import files_below, run_lines
from tests.support.sites import Site, broken_off

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

GOOD = response(200, b"good")
JITTER_S = 0.1  # between the moment at which a request is sent and that at which the server's clock is read


class Timed:
    """A page that notes when it was asked for.

    Attributes:
        times: Of each request, seconds.
    """

    def __init__(self, reply: bytes = GOOD) -> None:
        self.times: list[float] = []
        self._reply = reply

    async def __call__(self, conn: RawConnection, _: Request) -> None:
        self.times.append(time.monotonic())
        await conn.send(self._reply)


def most_within(times: Sequence[float], seconds: float) -> int:
    """The most requests in any stretch of *seconds*."""
    return max(sum(1 for time in times if start <= time < start + seconds) for start in times)


@pytest.mark.slow
async def test_the_rate_for_all_hosts_is_not_exceeded_at_the_servers(tmp_path: Path) -> None:
    """Two hosts, 40 requests a second together: two in any 50 ms, and not much less than asked for."""
    page = Timed()
    async with Site(default=page).serve() as one, Site(default=page).serve("127.0.0.2") as other:
        lines = [f"{url}{n}" for n in range(20) for url in (one.url("/"), other.url("/", host="127.0.0.2"))]
        ran = await run_lines(tmp_path, lines, limits=Limits(rate=40.0))
    assert ran.summary.done == 40
    assert most_within(page.times, 0.5 - JITTER_S) <= 20 + 2
    assert page.times[-1] - page.times[0] >= 38 / 40 - JITTER_S


@pytest.mark.slow
async def test_the_rate_of_a_host_holds_for_redirections_and_repetitions_too(tmp_path: Path) -> None:
    """A redirection is two requests, a failure two, and what cannot be gone on with is asked for again."""
    page = Timed()
    moved = Timed(response(302, b"", [("Location", "/plain")], reason="Found"))
    failing = Timed(response(500, b"", reason="Internal Server Error"))
    site = Site({"/moved": moved, "/failing": [failing, page]}, default=page)
    async with site.serve() as server:
        lines = [server.url(path) for path in ("/moved", "/failing", "/plain", "/other")]
        ran = await run_lines(tmp_path, lines, limits=Limits(per_host_rate=4.0))
    assert ran.summary.done == 4
    times = sorted([*page.times, *moved.times, *failing.times])
    assert len(times) == 6
    assert min(after - before for before, after in itertools.pairwise(times)) >= 1 / 4 - JITTER_S


@pytest.mark.slow
async def test_an_answer_that_cannot_be_gone_on_with_costs_its_share_of_the_rate(tmp_path: Path) -> None:
    """412 to the rest of a body: the whole is asked for at once, but not before the rate allows it."""
    body, head = bytes(100_000), [("ETag", '"1"')]
    times: list[float] = []

    async def page(conn: RawConnection, request: Request) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            await broken_off(response(200, body, head)[:-10])(conn, request)
        status = 412 if "Range" in request.fields else 200
        await conn.send(response(status, body if status == 200 else b"", head))

    async with Site(default=page).serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a")], limits=Limits(per_host_rate=5.0))
    assert (ran.summary.done, len(times)) == (1, 3)
    assert min(times[1] - times[0], times[2] - times[1]) >= 0.2 - JITTER_S


@pytest.mark.slow
async def test_a_rated_host_holds_up_no_other(tmp_path: Path) -> None:
    """All hosts have the same rate, and what waits takes no slot: ten hosts are ten times as fast as one."""
    sites = [Site(default=Timed()) for _ in range(5)]
    async with (
        sites[0].serve("127.0.0.2") as a,
        sites[1].serve("127.0.0.3") as b,
        sites[2].serve("127.0.0.4") as c,
        sites[3].serve("127.0.0.5") as d,
        sites[4].serve("127.0.0.6") as e,
    ):
        lines = [
            server.url(f"/{n}", host=f"127.0.0.{number}")
            for number, server in enumerate((a, b, c, d, e), 2)
            for n in range(10)
        ]
        began = time.monotonic()
        ran = await run_lines(tmp_path, lines, concurrency=2, limits=Limits(per_host_rate=10.0))
    assert ran.summary.done == 50
    assert time.monotonic() - began < 3.0  # 5 s if they came one host after the other


# How a run ends that has had enough.


async def test_a_run_ends_with_so_many_failures(tmp_path: Path) -> None:
    """What was not asked for is left, and the account adds up."""
    async with Site().serve() as server:
        lines = [server.url(f"/{n}") for n in range(200)]
        ran = await run_lines(tmp_path, lines, concurrency=2, limits=Limits(max_failures=5))
    assert ran.summary.stopped_by == "max-failures"
    assert 5 <= ran.summary.failed <= 6
    assert ran.summary.left + ran.summary.failed == 200


async def test_a_limit_that_is_reached_by_the_last_item_stops_nothing(tmp_path: Path) -> None:
    """All was done that could be done; by then the manifest is known to have ended."""

    async def page(conn: RawConnection, _: Request) -> None:
        await asyncio.sleep(0.3)
        await conn.send(response(404, reason="Not Found"))

    async with Site(default=page).serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a")], limits=Limits(max_failures=1))
    assert (ran.summary.stopped_by, ran.summary.failed, ran.summary.left) == (None, 1, 0)


async def test_a_run_ends_after_its_time_and_keeps_what_came(tmp_path: Path) -> None:
    """A body that dribbles: its ``.part`` stays for the next run."""

    async def dribble(conn: RawConnection, _: Request) -> None:
        await conn.send(response(200, bytes(4 << 20), [("ETag", '"1"')])[: 2 << 20])
        await conn.read_eof()

    async with Site(default=dribble).serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a")], limits=Limits(max_time=0.3))
    assert (ran.summary.stopped_by, ran.summary.left) == ("max-time", 1)
    assert 0.3 <= ran.summary.seconds < 10.0
    [(name, content)] = files_below(tmp_path / "out").items()
    assert name.endswith("a.part")
    assert len(content) > 1 << 20


async def test_a_run_ends_with_so_much_received(tmp_path: Path) -> None:
    """Counted while bodies come, not when they are whole."""

    async def endless(conn: RawConnection, _: Request) -> None:
        await conn.send(response(200, b"")[:-23] + b"Content-Length: 1000000000\r\n\r\n")
        while True:
            await conn.send(bytes(65_536))
            await asyncio.sleep(0)

    async with Site(default=endless).serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a")], limits=Limits(max_total_bytes=1 << 20))
    assert (ran.summary.stopped_by, ran.summary.left) == ("max-total-bytes", 1)
    assert 1 << 20 <= ran.summary.bytes < 1_000_000_000
