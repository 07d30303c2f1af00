"""Large bodies by several connections: what is asked for, by whom, and what is there after anything has happened."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import random
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fetchd.jobs import segmented
from fetchd.jobs.failures import Failure, FailureClass
from fetchd.jobs.ledger import State
from fetchd.jobs.limits import Limits
from fetchd.jobs.resume import ResumePoint
from fetchd.jobs.segments import SegmentMap
from tests.crawler.command import running
from tests.support.raw_server import RawConnection, Request, raw_server, response
from tests.support.runs import files_below, prepare, rows_of, run_lines

pytestmark = [pytest.mark.usefixtures("no_leaked_fds"), pytest.mark.slow]

MIB = 1 << 20
BODY = random.Random(9).randbytes(12 * MIB + 777)
OTHER = random.Random(10).randbytes(12 * MIB + 777)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmented, "LOOK_S", 0.01)
    monkeypatch.setattr(segmented, "NOTE_S", 0.02)
    monkeypatch.setattr("random.random", lambda: 0.0)


class Ranges:
    """A server of one body that knows ranges, slow enough for helpers to come.

    Attributes:
        body, etag: What it has; may be changed.
        asked: Range of each request, None for the whole.
        sent: Octets of content that were sent, over all.
        before: May answer in its place.
        half: Set when half of a body was sent.
    """

    def __init__(self, *, pause: float = 0.004, before: Callable[[Request, int], bytes | None] | None = None) -> None:
        self.body = BODY
        self.etag = '"one"'
        self.asked: list[tuple[int, int] | None] = []
        self.sent = 0
        self.open = self.most = 0
        self._pause = pause
        self._before = before
        self.half = asyncio.Event()

    async def script(self, conn: RawConnection) -> None:
        """For ``raw_server``."""
        async for asked in conn:
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.fields.get("Range", ""))
            given = None if found is None else (int(found[1]), int(found[2] or len(self.body) - 1))
            self.asked.append(given)
            instead = self._before(asked, len(self.asked)) if self._before is not None else None
            if instead is not None:
                await conn.send(instead)
                return
            is_range = given is not None and asked.fields.get("If-Range") == self.etag
            start, end = given if is_range and given is not None else (0, len(self.body) - 1)
            fields = [("ETag", self.etag), ("Accept-Ranges", "bytes")]
            if is_range:
                fields.append(("Content-Range", f"bytes {start}-{end}/{len(self.body)}"))
            content = self.body[start : end + 1]
            head = response(206 if is_range else 200, content, fields)[: -len(content)]
            self.open += 1
            self.most = max(self.most, self.open)
            try:
                await conn.send(head)
                for at in range(0, len(content), 1 << 17):
                    await conn.send(content[at : at + (1 << 17)])
                    self.sent += len(content[at : at + (1 << 17)])
                    if self.sent >= 6 * MIB:
                        self.half.set()
                    await asyncio.sleep(self._pause)
            finally:
                self.open -= 1


def content_of(folder: Path) -> bytes:
    """The one file that there is."""
    [content] = files_below(folder / "out").values()
    return content


async def test_several_connections_share_a_large_body(tmp_path: Path) -> None:
    """As many as were asked for, each octet once but for what was under way when a range was stolen."""
    site = Ranges()
    async with raw_server(site.script) as server:
        ran = await run_lines(tmp_path, [server.url("/a")], segments=4)
    assert ran.summary.done == 1
    assert content_of(tmp_path) == BODY
    assert site.asked[0] is None
    assert len(site.asked) >= 4
    assert site.most == 4
    assert ran.summary.bytes >= len(BODY)
    assert ran.summary.bytes < len(BODY) + 2 * MIB


async def test_without_being_asked_one_connection_has_it_all(tmp_path: Path) -> None:
    """The default."""
    site = Ranges(pause=0)
    async with raw_server(site.script) as server:
        await run_lines(tmp_path, [server.url("/a")])
    assert site.asked == [None]


@pytest.mark.parametrize("settings", [{"per_host": 2}, {"concurrency": 2}])
async def test_never_more_than_the_slots_there_are(tmp_path: Path, settings: Any) -> None:
    """Of the host, and of the run."""
    site = Ranges()
    async with raw_server(site.script) as server:
        await run_lines(tmp_path, [server.url("/a")], segments=8, **settings)
    assert content_of(tmp_path) == BODY
    assert site.most == 2


async def test_items_that_wait_come_before_helpers(tmp_path: Path) -> None:
    """A slot that an item could have is not lent."""
    site = Ranges(pause=0.002)
    async with raw_server(site.script) as server:
        ran = await run_lines(tmp_path, [server.url(f"/{n}") for n in range(4)], segments=8, per_host=2)
    assert ran.summary.done == 4
    assert site.most == 2
    assert site.asked[:2] == [None, None]
    assert {hashlib.sha256(content).digest() for content in files_below(tmp_path / "out").values()} == {
        hashlib.sha256(BODY).digest()
    }


@pytest.mark.parametrize("why", ["no ranges", "weak", "small", "coded"])
async def test_what_cannot_be_shared_is_not(tmp_path: Path, why: str) -> None:
    """No strong validator, a body that is small or coded; a server that passes over Range is soon found out."""
    site = Ranges(pause=0.002)
    if why == "weak":
        site.etag = 'W/"one"'
    elif why == "small":
        site.body = BODY[: 2 * MIB - 1]

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            site.asked.append(None)
            fields = [("ETag", site.etag)]
            if why == "coded":
                fields.append(("Content-Encoding", "x-own"))
            whole = response(200, site.body, fields)
            for at in range(0, len(whole), 1 << 18):
                await conn.send(whole[at : at + (1 << 18)])
                await asyncio.sleep(0.004)
            assert asked.method == "GET"

    async with raw_server(script) as server:
        ran = await run_lines(tmp_path, [server.url("/a")], segments=4)
    assert ran.summary.done == 1
    assert content_of(tmp_path) == site.body
    assert len(site.asked) <= (4 if why == "no ranges" else 1)


async def test_a_helper_that_fails_gives_its_range_back(tmp_path: Path) -> None:
    """The attempt goes on, and is none the worse."""

    def before(asked: Request, number: int) -> bytes | None:
        return b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n" if number in (2, 3) else None

    site = Ranges(before=before)
    async with raw_server(site.script) as server:
        ran = await run_lines(tmp_path, [server.url("/a")], segments=3)
    assert (ran.summary.done, len(ran.retries)) == (1, 0)
    assert content_of(tmp_path) == BODY


async def test_a_source_that_changes_is_never_mixed(tmp_path: Path) -> None:
    """The answer that had begun has the whole of what it began with; helpers see the change, and there are no more."""
    site = Ranges()

    def before(asked: Request, number: int) -> bytes | None:
        if number == 2:
            site.body, site.etag = OTHER, '"two"'
        return None

    site._before = before
    async with raw_server(site.script) as server:
        ran = await run_lines(tmp_path, [server.url("/a")], segments=3)
    assert (ran.summary.done, len(ran.retries)) == (1, 0)
    assert content_of(tmp_path) == BODY
    assert len(site.asked) <= 4


async def test_servers_behind_one_name_that_do_not_agree_cost_a_request_or_two(tmp_path: Path) -> None:
    """Each has an ETag of its own: one connection fetches it all, as it would without segments."""
    site = Ranges(pause=0.002)
    numbers = itertools.count()

    async def script(conn: RawConnection) -> None:
        site.etag = f'"{next(numbers)}"'
        await site.script(conn)

    async with raw_server(script) as server:
        ran = await run_lines(tmp_path, [server.url("/a"), server.url("/b")], segments=4, retries=0, per_host=3)
    assert (ran.summary.done, len(ran.retries)) == (2, 0)
    assert len(site.asked) <= 5


async def test_a_helper_that_is_told_to_wait_has_the_host_wait(tmp_path: Path) -> None:
    """Retry-After gates the host, whoever was told."""
    times: list[float] = []

    def before(asked: Request, number: int) -> bytes | None:
        times.append(asyncio.get_running_loop().time())
        return response(503, b"", [("Retry-After", "1")]) if number == 2 else None

    site = Ranges(before=before)
    async with raw_server(site.script) as server:
        ran = await run_lines(tmp_path, [server.url("/a")], segments=3)
    assert ran.summary.done == 1
    assert content_of(tmp_path) == BODY
    refused_at = times[1]
    assert not [at for at in times if 0.05 < at - refused_at < 0.9]


async def test_octets_are_counted_as_they_come_and_bounded(tmp_path: Path) -> None:
    """For progress, and for --max-total-bytes."""
    site = Ranges(pause=0.01)
    async with raw_server(site.script) as server:
        run, ran = prepare(tmp_path, [server.url("/a")], segments=3, limits=Limits(max_total_bytes=4 * MIB))
        ran.summary = await run.execute()
        ran.check()
    assert ran.summary.stopped_by == "max-total-bytes"
    assert 4 * MIB <= ran.summary.bytes < 9 * MIB


async def test_further_requests_keep_to_the_rate(tmp_path: Path) -> None:
    """Each range is a request: those of helpers, and those that a helper or the attempt goes on with."""
    times: list[float] = []

    def before(asked: Request, number: int) -> bytes | None:
        times.append(asyncio.get_running_loop().time())
        return None

    site = Ranges(pause=0.02, before=before)
    async with raw_server(site.script) as server:
        limits = Limits(per_host_rate=4.0)
        await run_lines(tmp_path, [server.url("/a")], segments=4, limits=limits)
    assert content_of(tmp_path) == BODY
    assert all(after - first > 0.2 for first, after in itertools.pairwise(times))


async def test_a_server_that_gives_crumbs_of_ranges_is_not_asked_for_ever(tmp_path: Path) -> None:
    """So many short answers an attempt, and no more."""
    site = Ranges(pause=0.01)

    async def stopped() -> None:
        run, ran = prepare(tmp_path, [server.url("/a")], segments=3)
        executing = asyncio.create_task(run.execute())
        await site.half.wait()
        run.stop()
        ran.summary = await executing

    def crumbs(asked: Request, number: int) -> bytes | None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.fields.get("Range", ""))
        if found is None:
            return None
        start = int(found[1])
        fields = [("ETag", '"one"'), ("Content-Range", f"bytes {start}-{start + 1023}/{len(BODY)}")]
        return response(206, BODY[start : start + 1024], fields)

    async with raw_server(site.script) as server:
        await stopped()
        site._before, before = crumbs, len(site.asked)
        ran = await run_lines(tmp_path, [server.url("/a")], segments=1, retries=1)
        assert len(site.asked) - before <= 2 * (segmented.MAX_SHORT + 2)
    assert ran.outcomes[0].failure is not None
    assert ran.outcomes[0].failure.failure_class is FailureClass.TRUNCATED


@pytest.mark.parametrize("lie", ["start", "total", "short"])
async def test_answers_that_are_another_range_are_not_written(tmp_path: Path, lie: str) -> None:
    """Whatever the server makes of a range, the file is right or the item fails."""

    def before(asked: Request, number: int) -> bytes | None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.fields.get("Range", ""))
        if found is None:
            return None
        start, end, total = int(found[1]), int(found[2]), len(BODY)
        if lie == "start":
            start -= 1
        elif lie == "total":
            total += 1
        content = b"" if lie == "short" else OTHER[start : end + 1]
        fields = [("ETag", '"one"'), ("Content-Range", f"bytes {start}-{end}/{total}")]
        return response(206, content, fields)

    site = Ranges(before=before)
    async with raw_server(site.script) as server:
        ran = await run_lines(tmp_path, [server.url("/a")], segments=3, retries=1)
    if ran.summary.done:
        assert content_of(tmp_path) == BODY
    else:
        assert ran.outcomes[0].failure is not None
        assert ran.outcomes[0].failure.failure_class in (FailureClass.TRUNCATED, FailureClass.PROTOCOL)
        assert [name for name in files_below(tmp_path / "out") if not name.endswith(".part")] == []


async def test_a_digest_is_held_to_the_whole(tmp_path: Path) -> None:
    """Of a manifest; one that is wrong sets the file aside."""
    site = Ranges(pause=0.001)
    async with raw_server(site.script) as server:
        for name in ("right", "wrong"):
            (tmp_path / name).mkdir()
        lines = f"url,sha256\n{server.url('/a')},{hashlib.sha256(BODY).hexdigest()}\n"
        ran = await run_lines(tmp_path / "right", lines.encode(), segments=3, format="csv", checksum="sha256")
        assert ran.summary.done == 1
        [row] = rows_of(tmp_path / "right")
        assert row.digest is not None
        lines = f"url,sha256\n{server.url('/a')},{hashlib.sha256(OTHER).hexdigest()}\n"
        ran = await run_lines(tmp_path / "wrong", lines.encode(), segments=3, format="csv", retries=0)
    assert [outcome.failure and outcome.failure.failure_class for outcome in ran.outcomes] == [FailureClass.CHECKSUM]


@pytest.mark.parametrize("again", [1, 4])
async def test_a_run_that_is_stopped_goes_on_with_what_is_missing(tmp_path: Path, again: int) -> None:
    """Whatever number of connections the next run has; nothing of what is there is asked for again."""
    site = Ranges(pause=0.01)
    async with raw_server(site.script) as server:
        run, ran = prepare(tmp_path, [server.url("/a")], segments=4)
        executing = asyncio.create_task(run.execute())
        await site.half.wait()
        run.stop()
        ran.summary = await executing
        [row] = rows_of(tmp_path, [State.PARTIAL])
        missing = sum(end - start for start, end in row.missing)
        assert len(row.missing) > 1
        assert 0 < missing < len(BODY)
        site._pause = 0.0
        ran = await run_lines(tmp_path, [server.url("/a")], segments=again)
        assert ran.summary.done == 1
        assert missing <= ran.summary.bytes <= missing + MIB  # and what was under way when a range was stolen
    assert content_of(tmp_path) == BODY


async def test_what_is_there_of_a_source_that_changed_meanwhile_is_thrown_away(tmp_path: Path) -> None:
    """If-Range says so."""
    site = Ranges(pause=0.01)
    async with raw_server(site.script) as server:
        run, ran = prepare(tmp_path, [server.url("/a")], segments=4)
        executing = asyncio.create_task(run.execute())
        await site.half.wait()
        run.stop()
        ran.summary = await executing
        site.body, site.etag, site._pause = OTHER, '"two"', 0.001
        ran = await run_lines(tmp_path, [server.url("/a")], segments=4)
    assert ran.summary.done == 1
    assert content_of(tmp_path) == OTHER


async def test_a_kill_costs_what_came_since_the_last_note(tmp_path: Path) -> None:
    """The ledger says which octets are there; a file with holes says nothing."""
    site = Ranges(pause=0.15)
    arguments = ("run", tmp_path / "list.txt", "-o", tmp_path / "out", "--segments", "3", "--no-progress")
    async with raw_server(site.script) as server:
        (tmp_path / "list.txt").write_text(server.url("/a") + "\n")
        async with running(*arguments) as process:
            await site.half.wait()
            process.kill(signal.SIGKILL)
            await process.end()
        [part] = (tmp_path / "out").rglob("*.part")
        assert part.stat().st_size == len(BODY)
        [row] = rows_of(tmp_path, [State.PARTIAL])
        missing = sum(end - start for start, end in row.missing)
        assert missing < len(BODY)
        site._pause = 0.0
        ran = await run_lines(tmp_path, [server.url("/a")], segments=3)
    assert ran.summary.done == 1
    assert missing <= ran.summary.bytes <= missing + MIB  # and what was under way when a range was stolen
    assert content_of(tmp_path) == BODY


async def test_the_map_of_another_boot_is_of_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has synced what it speaks of."""
    site = Ranges(pause=0.01)
    async with raw_server(site.script) as server:
        run, ran = prepare(tmp_path, [server.url("/a")], segments=3)
        executing = asyncio.create_task(run.execute())
        await site.half.wait()
        run.stop()
        ran.summary = await executing
        monkeypatch.setattr("fetchd.jobs.ledger.boot_id", lambda: "another")
        site._pause, before = 0.0, len(site.asked)
        ran = await run_lines(tmp_path, [server.url("/a")], segments=3)
        assert site.asked[before] is None
    assert content_of(tmp_path) == BODY


class Lent:
    """Slots that are counted."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.out = 0

    def borrow(self, host: str) -> bool:
        """See ``Spare``."""
        may = self.out < self.slots
        self.out += may
        return may

    def repay(self, host: str) -> None:
        """See ``Spare``."""
        self.out -= 1

    def failed(self, host: str, failure: Failure) -> None:
        """See ``Spare``."""
        raise AssertionError(f"{host}: {failure}")


async def test_a_helper_that_is_cancelled_before_its_first_step_gives_its_slot_back() -> None:
    """Whoever ends the attempt in that very moment."""
    lent = Lent(3)
    entered = asyncio.Event()

    @contextlib.asynccontextmanager
    async def ask(_: dict[str, str]) -> AsyncIterator[Any]:
        entered.set()
        await asyncio.get_running_loop().create_future()
        yield None

    async def note() -> None:
        """Nothing is noted."""

    body = segmented.SegmentedBody(
        SegmentMap(64 * MIB),
        ResumePoint(0, '"one"', 64 * MIB, "http://h/"),
        ask=ask,
        open_file=lambda: os.open(os.devnull, os.O_WRONLY),
        before_request=note,
        note=note,
        pace=None,
        spare=lent,
        host="h:80",
        connections=4,
    )
    fetching = asyncio.ensure_future(body.fetch(None))
    await entered.wait()
    while not lent.out:  # noqa: ASYNC110 -- in the very turn in which it is lent
        await asyncio.sleep(0)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    await asyncio.sleep(0)
    assert lent.out == 0
