"""What is read of a manifest and when; and whole runs over manifests that are sorted by host."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fetchd.jobs.events import Progress
from fetchd.jobs.manifests import BadLine, Batch, Line
from fetchd.jobs.read_ahead import ReadAhead
from fetchd.jobs.spill import Spill
from tests.support.raw_server import RawConnection, raw_server, reply_with, response
from tests.support.runs import prepare, run_lines

pytestmark = pytest.mark.usefixtures("no_leaked_fds")


class Held:
    """What a scheduler would say, set by the test."""

    def __init__(self) -> None:
        self.is_short = True
        self.waiting = 0
        self.queues: Counter[str] = Counter()

    def has_enough(self, host: str, *, least: bool = False) -> bool:
        """See ``Demand``."""
        return self.queues[host] >= (1 if least else 4)


async def batches(*hosts: str) -> AsyncIterator[Batch]:
    """A batch of two lines for each of *hosts*."""
    number = 0
    for host in hosts:
        yield [Line(number := number + 1, f"http://{host}/{number}") for _ in range(2)]


async def test_nothing_is_put_aside_while_little_waits(tmp_path: Path) -> None:
    """However much of one host there is."""
    held, spill = Held(), Spill(tmp_path)
    held.queues["a:80"] = 100
    ahead = ReadAhead(batches("a", "a"), spill, held, window=10)
    assert [len(await ahead.next()) for _ in range(3)] == [2, 2, 0]
    assert ahead.is_through()
    assert (ahead.read, spill.lines) == (4, 0)


async def test_lines_of_a_host_that_has_enough_wait_until_it_has_not(tmp_path: Path) -> None:
    """In order, and behind them all further ones of that host; others go on."""
    held, spill = Held(), Spill(tmp_path)
    held.waiting, held.queues["a:80"] = 5, 4
    ahead = ReadAhead(batches("a", "b", "a", "c"), spill, held, window=10)
    assert await ahead.next() == []
    assert [line.number for line in await ahead.next()] == [3, 4]
    held.waiting = 0
    assert await ahead.next() == []  # of a, behind those that wait
    held.queues["a:80"] = 3
    assert [line.number for line in await ahead.next()] == [1, 2, 5, 6]
    assert [line.number for line in await ahead.next()] == [7, 8]
    assert not ahead.is_through()
    assert await ahead.next() == []
    assert ahead.is_through()
    assert ahead.read == 8


async def test_reading_ends_with_the_window_where_nothing_can_be_put_aside(tmp_path: Path) -> None:
    """And begins again when there is place in it."""
    held, spill = Held(), Spill(tmp_path, limit=0)
    held.waiting = 10
    ahead = ReadAhead(batches("a"), spill, held, window=10)
    assert not ahead.may_go_on
    held.waiting = 9
    assert ahead.may_go_on
    held.is_short = False
    assert not ahead.may_go_on


async def test_bad_lines_and_what_is_no_url_are_told_at_once(tmp_path: Path) -> None:
    """They wait for no host."""
    bad: Batch = [BadLine(1, "x", "why"), Line(2, "no url"), Line(3, "http://a/")]

    async def source() -> AsyncIterator[Batch]:
        yield bad

    held, spill = Held(), Spill(tmp_path)
    held.waiting, held.queues["a:80"] = 9, 9
    ahead = ReadAhead(source(), spill, held, window=10)
    assert await ahead.next() == bad[:2]
    assert spill.lines == 1


async def test_a_slow_host_that_fills_the_window_keeps_no_other_waiting(tmp_path: Path) -> None:
    """Two thousand lines of it stand before the others, and the window has place for two hundred."""
    others_are_done, served = asyncio.Event(), Counter[str]()

    async def slow(conn: RawConnection) -> None:
        async for _ in conn:
            await others_are_done.wait()
            served["slow"] += 1
            await conn.send(response(200, b"s"))

    async def quick(conn: RawConnection) -> None:
        async for _ in conn:
            served["quick"] += 1
            await conn.send(response(200, b"q"))
            if served["quick"] == 300:
                others_are_done.set()

    async with raw_server(slow) as first, raw_server(quick) as second:
        lines = [first.url(f"/{n}") for n in range(2000)] + [second.url(f"/{n}") for n in range(300)]
        run, ran = prepare(tmp_path, lines, window=200)
        bound: set[str | None] = set()

        def then(event: Any) -> None:
            if isinstance(event, Progress):
                bound.add(event.snapshot.bound_by)

        ran.then = then
        ran.summary = await run.execute()
        ran.check()
    assert (ran.summary.done, served) == (2300, {"slow": 2000, "quick": 300})
    assert ran.summary.unread is False
    assert [outcome.item.line for outcome in ran.outcomes if outcome.item.line > 2000]
    assert not list((tmp_path / "out" / ".fetchd").glob("tmp*"))


async def test_a_run_that_is_stopped_counts_what_was_put_aside_as_left(tmp_path: Path) -> None:
    """It was read, and the next run does it."""
    never = asyncio.Event()

    async def stuck(conn: RawConnection) -> None:
        async for _ in conn:
            await never.wait()

    async with raw_server(stuck) as first, raw_server(reply_with(response(200, b"q"))) as second:
        lines = [first.url(f"/{n}") for n in range(1500)] + [second.url(f"/{n}") for n in range(20)]
        run, ran = prepare(tmp_path, lines, window=100)

        def stop_when_others_are_done(_: Any) -> None:
            if run.snapshot().done == 20:
                run.stop()

        ran.then = stop_when_others_are_done
        ran.summary = await run.execute()
        ran.check()
        summary = ran.summary
        assert (summary.read, summary.done, summary.left, summary.unread) == (1520, 20, 1500, False)
        never.set()
        again = await run_lines(tmp_path, lines[1500:])
    assert again.summary.skip_reasons == {"done": 20}


async def test_who_binds_a_run_is_told(tmp_path: Path) -> None:
    """The host whose items are all that is left, while other slots are empty."""
    go_on = asyncio.Event()

    async def slow(conn: RawConnection) -> None:
        async for _ in conn:
            await go_on.wait()
            await conn.send(response(200, b"s"))

    async with raw_server(slow) as server:
        run, ran = prepare(tmp_path, [server.url(f"/{n}") for n in range(30)], concurrency=10, per_host=2)
        bound: list[str | None] = []

        def then(event: Any) -> None:
            if isinstance(event, Progress):
                bound.append(event.snapshot.bound_by)
                go_on.set()

        ran.then = then
        ran.summary = await run.execute()
        host = f"127.0.0.1:{server.port}"
    assert bound[0] == host
    assert ran.summary.bound_by == ((host, 0.5),)
