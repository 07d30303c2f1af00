"""One run over all the hosts that nobody wants: each misbehaves in its way, and each line is accounted for.

What a single failure leads to is in ``test_run_failures``; here they come together, and none spoils another.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fetchd.client import AddrInfo
from fetchd.jobs.network import Network
from tests.support.raw_server import PeerLeft, RawConnection, RawServer, Request, response
from tests.support.runs import files_below, rows_of, run_lines
from tests.support.sites import Page, Site, broken_off

pytestmark = [pytest.mark.usefixtures("no_leaked_fds"), pytest.mark.slow]

GOOD = response(200, b"good")
OLD = random.Random(1).randbytes(1_500_000)
NEW = random.Random(2).randbytes(1_500_000)
HALF = len(OLD) // 2
DATE = ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")


def versioned(content: bytes, tag: str, start: int = 0) -> bytes:
    """A reply with *content* under its ETag, the rest of it from *start* on."""
    fields = [("ETag", tag), DATE]
    if start == 0:
        return response(200, content, fields)
    extent = ("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    return response(206, content[start:], [*fields, extent])


async def drip(conn: RawConnection, _: Request) -> None:
    """Octet by octet, a few a second: slower than anybody would wait for, and never silent."""
    await conn.send(response(200, bytes(10_000))[:-10_000])
    await conn.send_slowly(bytes(10_000), step=1, pause=0.02)


async def trickle(conn: RawConnection, _: Request) -> None:
    """In small pieces, but on the whole quick enough."""
    await conn.send_slowly(response(200, b"trickle" * 100), step=50, pause=0.002)


class Mortal:
    """A host that dies while it is being asked, refuses connections, and comes back on the same port.

    Attributes:
        site: What it serves; it counts over all its lives.
        died: How often.
    """

    def __init__(self, lives: int) -> None:
        self.site = Site(default=self._page)
        self.died = 0
        self._lives = lives
        self._dying = asyncio.Event()
        self._left = 0

    async def _page(self, conn: RawConnection, _: Request) -> None:
        self._left -= 1
        if self._left <= 0 and self.died < self._lives:
            self._dying.set()
            conn.reset()
            raise PeerLeft("the host died")
        await conn.send(GOOD)

    async def live(self, host: str, port: int) -> None:
        """Die after ten answers, and stay away for a moment; at last, live on."""
        while True:
            self._left = 10
            self._dying.clear()
            async with self.site.serve(host, port):
                await self._dying.wait()
            self.died += 1
            await asyncio.sleep(0.15)


def throttling(refusals: int) -> Page:
    """A page that says 429, then 503, and at last gives what it has."""
    again = ("Retry-After", "1")
    return [*([response(429, b"", [again]), response(503)] * refusals), GOOD]


async def test_one_run_over_all_of_them_accounts_for_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead and back, throttling, dripping, lying about length, changing in mid-body; and one that is well."""
    monkeypatch.setattr("fetchd.jobs.hosts.THROTTLE_WAITS", (0.01, 0.02))
    monkeypatch.setattr("random.random", lambda: 0.1)
    mortal = Mortal(lives=3)
    with socket.create_server(("127.0.0.2", 0)) as free:
        port = free.getsockname()[1]
    sites = {
        "127.0.0.3": Site({"/a": throttling(1), "/b": GOOD}),
        "127.0.0.4": Site({"/drip": drip, "/trickle": trickle}),
        "127.0.0.5": Site(
            {
                "/longer": broken_off(response(200, bytes(500))[:-100]),
                "/longer-once": [broken_off(response(200, bytes(500))[:-100]), response(200, bytes(500))],
                "/shorter": broken_off(response(200, b"good") + b"and more than it said"),
            }
        ),
        "127.0.0.6": Site(
            {
                # Broken off; then another representation, as a part and as a whole; then that breaks off, too.
                "/part": [
                    broken_off(versioned(OLD, '"1"')[:-HALF]),
                    versioned(NEW, '"2"', HALF),
                    versioned(NEW, '"2"'),
                ],
                "/whole": [broken_off(versioned(OLD, '"1"')[:-HALF]), versioned(NEW, '"2"')],
                "/twice": [
                    broken_off(versioned(OLD, '"1"')[:-HALF]),
                    broken_off(versioned(NEW, '"2"')[:-HALF]),
                    versioned(NEW, '"2"', HALF),
                ],
            }
        ),
        "127.0.0.7": Site(default=GOOD),
    }
    async with AsyncExitStack() as stack:
        servers: dict[str, RawServer] = {
            host: await stack.enter_async_context(site.serve(host)) for host, site in sites.items()
        }
        life = asyncio.create_task(mortal.live("127.0.0.2", port))
        urls = [f"http://127.0.0.2:{port}/{n}" for n in range(60)]
        urls += [servers[host].url(path, host=host) for host, site in sites.items() for path in site.pages]
        urls += [servers["127.0.0.7"].url(f"/{n}", host="127.0.0.7") for n in range(60)]
        try:
            ran = await run_lines(tmp_path, urls, retries=3, network=Network(low_speed=(2000.0, 0.3)))
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
    assert mortal.died == 3
    ends = {url.partition("://")[2]: ran.results[line] for line, url in enumerate(urls, 1)}
    failed = {key.partition("/")[2]: end for key, end in ends.items() if end != "done"}
    assert failed == {"drip": "failed: low-speed", "longer": "failed: truncated"}
    contents = Counter(files_below(tmp_path / "out").values())
    assert contents == {b"good": 60 + 2 + 1 + 60, b"trickle" * 100: 1, bytes(500): 1, NEW: 3}
    assert len(rows_of(tmp_path)) == len(urls)
    assert sites["127.0.0.5"].asked["/longer"] == 4
    assert sites["127.0.0.7"].asked.total() == 60


class Forgetful:
    """A resolver that cannot be asked for a while; then it knows some names.

    Attributes:
        asked: Look-ups by name.
    """

    def __init__(self, failures: int) -> None:
        self.asked: Counter[str] = Counter()
        self._failures = failures

    async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
        """See ``Resolver``."""
        self.asked[host] += 1
        if self.asked[host] <= self._failures:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host.startswith("nobody"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


async def test_names_that_do_not_resolve_for_a_while_cost_the_items_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are requeued, without an attempt that counts, and done when the name server is back."""
    monkeypatch.setattr("random.random", lambda: 0.0)
    monkeypatch.setattr("fetchd.jobs.hosts.PROBE_WAITS", (0.02, 0.1))
    monkeypatch.setattr("fetchd.jobs.hosts.DEAD_AFTER", 0.5)
    resolver = Forgetful(failures=6)
    monkeypatch.setattr("fetchd.jobs.resolving.ThreadedResolver", lambda: resolver)
    async with Site(default=GOOD).serve() as server:
        lines = [server.url(f"/{n}", host=f"{name}.test") for name in ("one", "two", "nobody") for n in range(20)]
        ran = await run_lines(tmp_path, lines, retries=0)
    assert ran.results == {**dict.fromkeys(range(1, 41), "done"), **dict.fromkeys(range(41, 61), "failed: dns")}
    assert {str(retry.failure.failure_class) for retry in ran.retries} == {"dns"}
    assert resolver.asked["one.test"] > 6
