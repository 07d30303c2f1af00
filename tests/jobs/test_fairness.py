"""A manifest sorted by host, over hosts good and bad: nobody waits for the bad ones, and they are decided in time.

Hosts on addresses of loopback: one that is silent, one that refuses, one that is slow, one that throttles, and six or
more good ones. A live host with so many slots needs a time that can be reckoned; the longest of these is the bound of
the whole run, whatever the other hosts do.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fetchd.jobs.events import Event, ItemFinished, ItemStarted
from tests.support.raw_server import RawConnection, Request, response
from tests.support.runs import Ran, prepare
from tests.support.sites import PageScript, Site

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

GOOD = response(200, b"good")
BUSY = response(429, b"", [("Retry-After", "1")], reason="Too Many Requests")
PER_HOST = 6
DECIDED_S = 10.0


async def good(conn: RawConnection, _: Request) -> None:
    """Answer in 20 ms."""
    await asyncio.sleep(0.02)
    await conn.send(GOOD)


@dataclass
class Slow:
    """Answers each request after *seconds*."""

    seconds: float

    async def __call__(self, conn: RawConnection, _: Request) -> None:
        await asyncio.sleep(self.seconds)
        await conn.send(GOOD)


@dataclass
class Throttling:
    """Serves *burst* requests, and then asks to be left alone for a second.

    Attributes:
        refused: Requests that came all the same.
    """

    burst: int
    refused: int = 0
    _served: int = 0
    _closed_until: float = field(default=0.0)

    async def __call__(self, conn: RawConnection, _: Request) -> None:
        now = time.monotonic()
        if now < self._closed_until:
            self.refused += 1
            await conn.send(BUSY)
            return
        self._served += 1
        if self._served % self.burst == 0:
            self._closed_until = now + 1.0
        await asyncio.sleep(0.02)
        await conn.send(GOOD)


@contextlib.contextmanager
def silent_port(host: str) -> Iterator[int]:
    """A port of *host* that takes a connection or two and says nothing; further ones are not even taken."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        listener.listen(1)
        yield int(listener.getsockname()[1])


@contextlib.contextmanager
def refusing_port(host: str) -> Iterator[int]:
    """A port of *host* that nobody listens at, and that nobody else is given."""
    with socket.socket() as holder:
        holder.bind((host, 0))
        yield int(holder.getsockname()[1])


@dataclass
class Clocked:
    """When things happened to each host.

    Attributes:
        started: Its first attempt.
        ended: Its last item's end.
    """

    ran: Ran
    started: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)

    def note(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, ItemStarted):
            self.started.setdefault(event.item.host, time.monotonic())
        elif isinstance(event, ItemFinished):
            self.ended[event.outcome.item.host] = time.monotonic()

    def seconds(self, host: str) -> float:
        """From the first attempt at *host* to the end of its last item."""
        return self.ended[host] - self.started[host]


async def fairness(
    tmp_path: Path, lines_each: int, slow: int, throttled: int, slow_s: float, hosts: int = 10
) -> tuple[float, float]:
    """Run over all *hosts* and check each; return the time it took and the bound that the live hosts give."""
    throttling, others = Throttling(burst=throttled // 5), range(15, 11 + hosts)
    pages: dict[int, PageScript] = {13: Slow(slow_s), 14: throttling, **dict.fromkeys(others, good)}
    counts = {11: lines_each, 12: lines_each, 13: slow, 14: throttled, **dict.fromkeys(others, lines_each)}
    async with AsyncExitStack() as stack:
        ports = {
            11: stack.enter_context(silent_port("127.0.0.11")),
            12: stack.enter_context(refusing_port("127.0.0.12")),
        }
        for number, page in pages.items():
            server = await stack.enter_async_context(Site(default=page).serve(f"127.0.0.{number}"))
            ports[number] = server.port
        keys = {number: f"127.0.0.{number}:{port}" for number, port in ports.items()}
        lines = [f"http://{keys[number]}/{line}" for number in sorted(keys) for line in range(counts[number])]
        run, ran = prepare(tmp_path, lines, concurrency=64, per_host=PER_HOST)
        clocked = Clocked(ran)
        ran.then = clocked.note
        began = time.monotonic()
        ran.summary = await run.execute()
        took = time.monotonic() - began
    ran.check()
    by_host = Counter((outcome.item.host, str(outcome.result)) for outcome in ran.outcomes)
    assert by_host == {
        (keys[number], "failed" if number in (11, 12) else "done"): count for number, count in counts.items()
    }
    for number in (11, 12):
        assert clocked.seconds(keys[number]) <= DECIDED_S, f"{keys[number]} was decided late"
    assert throttling.refused < throttled / 4  # it is heeded: a request or so for each free slot of that moment
    return took, slow * slow_s / PER_HOST


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_manifest_sorted_by_host_takes_no_longer_than_its_live_hosts_do(tmp_path: Path) -> None:
    """The slow host needs 12 s whatever is done; so does the run, within three tenths."""
    took, bound = await fairness(tmp_path, lines_each=200, slow=120, throttled=150, slow_s=0.6)
    assert took <= 1.3 * bound


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_fifty_thousand_lines_sorted_by_host_take_no_longer_than_their_live_hosts_do(tmp_path: Path) -> None:
    """Fifty hosts, a thousand lines each."""
    took, bound = await fairness(tmp_path, lines_each=1_000, slow=1_000, throttled=1_000, slow_s=0.36, hosts=50)
    assert took <= 1.3 * bound
