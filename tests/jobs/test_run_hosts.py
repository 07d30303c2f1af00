"""A run over many hosts: each gets what it can take, none holds up the others, and memory follows the slots."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from fetchd.jobs.events import Event, ItemFinished, ItemStarted
from fetchd.jobs.intake import Intake
from fetchd.jobs.items import Item, Outcome
from fetchd.jobs.ledger import Row
from fetchd.jobs.recorder import Entry
from fetchd.jobs.run import Run
from fetchd.jobs.settings import RunSettings
from tests.support.raw_server import PeerLeft, RawConnection, Request, response
from tests.support.runs import prepare, run_lines
from tests.support.sites import Site

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

GOOD = response(200, b"good")
SERVICE_S = (0.01, 0.03)  # what a request takes at the servers: not all the same, or they would all end together


class Fleet:
    """Hosts on addresses of loopback, whose requests take some time.

    Attributes:
        sites: What each host saw.
        under_way: Requests at all hosts together, noted at the beginning of each.
    """

    def __init__(self, count: int) -> None:
        self.sites = [Site(default=self._page) for _ in range(count)]
        self.urls: list[str] = []
        self.under_way: list[int] = []
        self._now = 0
        self._random = random.Random(7)

    async def _page(self, conn: RawConnection, _: Request) -> None:
        self._now += 1
        self.under_way.append(self._now)
        await asyncio.sleep(self._random.uniform(*SERVICE_S))
        self._now -= 1
        await conn.send(GOOD)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Serve on 127.0.0.2, 127.0.0.3 and so on."""
        async with AsyncExitStack() as stack:
            for number, site in enumerate(self.sites, 2):
                host = f"127.0.0.{number}"
                server = await stack.enter_async_context(site.serve(host))
                self.urls.append(server.url("", host=host))
            yield


@pytest.mark.slow
async def test_a_manifest_sorted_by_host_keeps_all_slots_busy(tmp_path: Path) -> None:
    """Eight slots, two a host: from beginning to end all four hosts are at work, none beyond its cap."""
    fleet = Fleet(4)
    async with fleet.serve():
        lines = [f"{url}/{number}" for url in fleet.urls for number in range(40)]
        ran = await run_lines(tmp_path, lines, concurrency=8, per_host=2)
    assert ran.summary.done == 160
    assert [site.most_at_once for site in fleet.sites] == [2, 2, 2, 2]
    middle = fleet.under_way[8:-40]
    assert sum(middle) / len(middle) > 5.5  # host by host it would be 2
    assert max(fleet.under_way) == 8


@pytest.mark.slow
async def test_slots_are_no_more_than_asked_for_however_many_hosts_there_are(tmp_path: Path) -> None:
    """Hosts have room, slots have not."""
    fleet = Fleet(6)
    async with fleet.serve():
        lines = [f"{url}/{number}" for number in range(10) for url in fleet.urls]
        ran = await run_lines(tmp_path, lines, concurrency=3, per_host=2)
    assert ran.summary.done == 60
    assert max(fleet.under_way) == 3


@pytest.mark.slow
async def test_the_cap_of_a_host_holds_for_what_redirections_lead_to_it(tmp_path: Path) -> None:
    """Two hosts send all their items to a third, which has items of its own; it sees no more at a time than its cap."""
    fleet = Fleet(3)
    async with fleet.serve():
        first, second, target = fleet.urls
        moved = response(302, b"", [("Location", f"{target}/there")], reason="Found")
        for site in fleet.sites[:2]:
            site.pages.update({f"/{number}": moved for number in range(30)})
        lines = [f"{url}/{number}" for number in range(30) for url in (first, second, target)]
        ran = await run_lines(tmp_path, lines, per_host=3)
    assert ran.summary.done == 90
    assert fleet.sites[2].most_at_once == 3


async def test_a_name_and_a_port_make_a_host(tmp_path: Path) -> None:
    """Two ports of one address have a cap each."""
    fleet, other = Fleet(1), Fleet(1)
    async with fleet.serve(), other.serve():
        lines = [f"{url}/{number}" for number in range(6) for url in (fleet.urls[0], other.urls[0])]
        await run_lines(tmp_path, lines, per_host=1)
    assert [fleet.sites[0].most_at_once, other.sites[0].most_at_once] == [1, 1]


def _refusing_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
async def test_hosts_that_refuse_or_are_silent_hold_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come first in the manifest; all of the good host is done before the first of them is given up."""
    monkeypatch.setattr("fetchd.jobs.hosts.DEAD_AFTER", 0.6)

    async def silence(conn: RawConnection, _: Request) -> None:
        await conn.read_eof()
        raise PeerLeft

    good, silent = Site(default=GOOD), Site(default=silence)
    async with good.serve() as server, silent.serve("127.0.0.2") as mute:
        port = _refusing_port()
        bad = [f"http://127.0.0.1:{port}/{n}" for n in range(40)]
        bad += [mute.url(f"/{n}", host="127.0.0.2") for n in range(40)]
        lines = [*bad, *(server.url(f"/{n}") for n in range(60))]
        ran = await run_lines(tmp_path, lines, concurrency=16, per_host=4, first_byte_timeout=0.4, retries=2)
    assert Counter(ran.results.values()) == {
        "done": 60,
        "failed: connect": 40,
        "failed: timeout-first-byte": 40,
    }
    first = [outcome.item.line > len(bad) for outcome in ran.outcomes[:60]]
    assert all(first)
    assert sum(silent.asked.values()) < 40
    given_up = [o.failure.message for o in ran.outcomes if o.failure and o.failure.message.startswith("not attempted")]
    assert len(given_up) > 60


@pytest.mark.slow
async def test_a_host_that_comes_back_loses_nothing(tmp_path: Path) -> None:
    """Restarted in mid-run: what was cut off meanwhile is tried again, without using up the item's attempts."""
    loop = asyncio.get_running_loop()
    down_until = 0.0

    async def page(conn: RawConnection, _: Request) -> None:
        nonlocal down_until
        if sum(site.asked.values()) == 5:
            down_until = loop.time() + 0.4
        if loop.time() < down_until:
            conn.cut()
            raise PeerLeft
        await conn.send(GOOD)

    site = Site(default=page)
    async with site.serve() as server:
        ran = await run_lines(tmp_path, [server.url(f"/{n}") for n in range(30)], per_host=2, retries=0)
    assert (ran.summary.done, ran.summary.failed) == (30, 0)
    assert {retry.failure.failure_class for retry in ran.retries} == {"connect"}


# Memory


class Fast404(asyncio.Protocol):
    """A server that answers each request at once by 404, as cheaply as can be."""

    _REPLY = response(404, reason="Not Found")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each head; the client sends them one at a time."""
        self._transport.write(self._REPLY * data.count(b"\r\n\r\n"))


def _alive() -> Counter[str]:
    """How many objects of those that come with each line are alive in this process."""
    kinds = (Item, Outcome, Row, Entry, asyncio.Task)
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in kinds)


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_nothing_grows_with_the_number_of_lines(tmp_path: Path) -> None:
    """20,000 lines that all fail: what is alive follows the slots, the window and the recorder's bound."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Fast404, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    manifest = tmp_path / "manifest.txt"
    manifest.write_text("".join(f"http://127.0.0.1:{port}/{n}\n" for n in range(20_000)))
    seen: list[Counter[str]] = []
    finished = 0
    gc.collect()
    before = _alive()  # what other tests have left

    def listen(event: Event) -> None:
        nonlocal finished
        finished += isinstance(event, ItemFinished)
        if isinstance(event, ItemFinished) and finished % 2_500 == 0:
            seen.append(_alive() - before + Counter(held=intakes[0].held))

    intakes: list[Intake] = []
    settings = RunSettings(manifest=str(manifest), output=tmp_path / "out", concurrency=16, per_host=16)
    running = Run(settings, listen)
    executing = asyncio.create_task(running.execute())
    while not hasattr(running, "_intake"):  # noqa: ASYNC110
        await asyncio.sleep(0)
    intakes.append(running._intake)
    summary = await executing
    server.close()
    await server.wait_closed()
    assert (summary.failed, summary.left) == (20_000, 0)
    # A batch of the manifest at the intake, twice the slots in the scheduler, what the recorder holds.
    bound = 512 + 2 * 16 + 16 + 1024
    for alive in seen:
        assert max(alive["Item"], alive["Outcome"], alive["Row"], alive["Entry"], alive["held"]) <= bound
        assert alive["Task"] <= 64  # slots, and ended ones that wait for the collector
    assert running._intake.held == 0


@pytest.mark.parametrize("window", [1, 50])
async def test_the_window_bounds_what_is_read_of_one_host(tmp_path: Path, window: int) -> None:
    """A host that binds the run: the manifest is read no further than the window and the batch at hand."""
    reached: list[int] = []
    running: Run

    async def page(conn: RawConnection, _: Request) -> None:
        snapshot = running.snapshot()
        reached.append(snapshot.queued + snapshot.in_flight)
        await conn.send(GOOD)

    async with Site(default=page).serve() as server:
        lines = [server.url(f"/{n}") for n in range(2_000)]
        running, ran = prepare(tmp_path, lines, window=window, per_host=1, concurrency=4)

        def listen(event: Event) -> None:
            if isinstance(event, ItemStarted) and len(ran.started) == 600:
                running.stop()

        ran.then = listen
        ran.summary = await running.execute()
    ran.check()
    assert max(reached) <= window + 512 + 1
