"""Chance for connections: many requests over few of them, begun, held up and cancelled in any order.

A schedule is made of its seed, which every failure tells: which requests there are, by which way (plain, TLS, TLS in a
tunnel), after how many turns of the loop each begins and is cancelled, and how long servers and proxy hold each up.
Whatever the order, each request that is not cancelled gets the answer that bears its own number, and afterwards the
pool, the servers and the loop hold nothing but what is idle.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fetchd.client import (
    ClientHttpProxyError,
    ClientOSError,
    ClientPayloadError,
    ClientSession,
    ServerDisconnectedError,
    TCPConnector,
)
from tests.support import certs
from tests.support.raw_proxy import carry
from tests.support.raw_server import RawConnection, RawServer, raw_server, response

BOTH_LOOPS = True
pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]

_REQUESTS = 40
_TURNS = 120  # in which they begin
_LIMIT, _LIMIT_PER_HOST = 4, 2
_PADDING = 200_000  # of a large content: more than is drained, and more than comes in one turn
_GREETING = b"HTTP/1.1 200 Connection established\r\n\r\n"

KINDS = "small", "chunked", "large", "hop", "far-hop", "last", "post", "cut", "mute"
# What may become of a request that was not cancelled, beside its own answer.
FAILURES: dict[str, tuple[type[Exception], ...]] = {
    "cut": (ClientPayloadError,),
    "mute": (ServerDisconnectedError, ClientOSError),
}


class World:
    """Two origins, a proxy and a session, held up by one chance."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.gates: list[asyncio.Event] = []
        self.plain: RawServer
        self.tls: RawServer
        self.proxy: RawServer
        self.connector: TCPConnector
        self.session: ClientSession
        self.ends: Counter[str] = Counter()

    async def hold_up(self) -> None:
        """Nothing, some turns, or until a gate is opened."""
        choice = self.rng.random()
        if choice < 0.3:
            for _ in range(self.rng.randint(1, 12)):
                await asyncio.sleep(0)
        elif choice < 0.5:
            gate = asyncio.Event()
            self.gates.append(gate)
            await gate.wait()

    def open_a_gate(self) -> None:
        """Let one go on that was held up, whichever."""
        if self.gates:
            self.gates.pop(self.rng.randrange(len(self.gates))).set()

    def open_all_gates(self) -> None:
        """Hold nobody up any more."""
        shut, self.gates = self.gates, _AlwaysOpen()
        for gate in shut:
            gate.set()

    async def origin(self, conn: RawConnection) -> None:
        """Answers each request with its own number, by the kind that its path names."""
        async for asked in conn:
            _, kind, number = asked.target.split("/")
            own = number.encode()
            await self.hold_up()
            if kind == "mute":
                conn.reset() if self.rng.random() < 0.5 else conn.cut()
                return
            if kind in ("hop", "far-hop"):
                location = f"/small/{number}"
                if kind == "far-hop":
                    location = self.tls.url(location, host="127.0.0.1" if conn.tls is None else "localhost")
                await self.send(conn, response(302, b"gone" * 20, [("Location", location)]))
            elif kind == "chunked":
                await self.send(conn, response(200, own + b"," + own * 50, framing="chunked"))
            elif kind == "last":
                await self.send(conn, response(200, own, [("Connection", "close")]))
                return
            elif kind == "cut":
                await self.send(conn, response(200, own + b"," + bytes(90))[:-60])
                return
            else:
                padding = bytes(_PADDING) if kind == "large" else asked.body
                await self.send(conn, response(200, own + b"," + padding))

    async def send(self, conn: RawConnection, data: bytes) -> None:
        """Send *data*, held up once in the middle."""
        at = self.rng.randint(0, min(len(data), 300))
        await conn.send(data[:at])
        await self.hold_up()
        await conn.send(data[at:])

    async def tunnel(self, conn: RawConnection) -> None:
        """Opens a tunnel, or refuses it."""
        asked = await conn.read_request()
        await self.hold_up()
        if self.rng.random() < 0.1:
            await conn.send(response(502, b"not today"))
            return
        await carry(conn, "127.0.0.1", int(asked.target.rpartition(":")[2]), _GREETING)

    async def request(self, kind: str, way: str, number: int, use: str) -> None:
        """One use of the session; what comes must be its own."""
        options: dict[str, Any] = {"proxy": self.proxy.url()} if way == "tunnel" else {}
        url = (self.plain if way == "plain" else self.tls).url(f"/{kind}/{number}")
        if kind == "post":
            options["data"] = b"x" * (number * 997 % 90_000)
        async with self.session.request("POST" if kind == "post" else "GET", url, **options) as reply:
            if use == "leave":
                return
            if use == "begin":
                assert (await reply.content.read(1)) == str(number)[:1].encode()
                return
            content = await reply.read()
            assert content.partition(b",")[0] == str(number).encode(), f"{number} got {content[:40]!r}"
            assert len(content) >= len(options.get("data", b""))

    async def try_request(self, kind: str, way: str, number: int, use: str) -> None:
        """The same, with the failures that its kind and way may have."""
        allowed = FAILURES.get(kind, ())
        if way == "tunnel":
            allowed = (*allowed, ClientHttpProxyError)
        try:
            await self.request(kind, way, number, use)
        except allowed as exc:
            self.ends[type(exc).__name__] += 1
        except asyncio.CancelledError:
            self.ends["cancelled"] += 1
            raise
        else:
            self.ends["answered"] += 1

    async def run(self) -> None:
        """The schedule, turn by turn, until every request has its end."""
        rng = self.rng
        begins = sorted(rng.randrange(_TURNS) for _ in range(_REQUESTS))
        cancels: dict[asyncio.Task[None], int] = {}
        tasks: list[asyncio.Task[None]] = []
        turn = 0
        while len(tasks) < _REQUESTS or not all(task.done() for task in tasks):
            while len(tasks) < _REQUESTS and begins[len(tasks)] <= turn:
                kind, way = rng.choice(KINDS), rng.choice(("plain", "tls", "tunnel"))
                use = rng.choice(("read", "read", "read", "begin", "leave"))
                task = asyncio.create_task(self.try_request(kind, way, len(tasks) + 1000, use))
                if rng.random() < 0.5:
                    cancels[task] = turn + rng.randint(0, 80)
                tasks.append(task)
            for task in [task for task, due in cancels.items() if due <= turn]:
                task.cancel()
                del cancels[task]
            if rng.random() < 0.3:
                self.open_a_gate()
            turn += 1
            # Where only the system has something to do, it is given a moment for it.
            await asyncio.sleep(0 if turn % 50 else 0.001)
        for task in tasks:
            if not task.cancelled() and (fault := task.exception()) is not None:
                raise AssertionError(f"seed {self.seed}") from fault

    async def check(self) -> None:
        """Only what is idle is left, and the next requests are answered right by every way."""
        seen = f"seed {self.seed}: {self.connector!r}"
        assert self.connector.open_count == self.connector.idle_count <= _LIMIT, seen
        pool = self.connector._pool
        assert (pool.waiting_count, len(pool._ring), len(self.connector._waiters)) == (0, 0, 0), seen
        assert len(self.connector._connections) == self.connector.idle_count, seen
        # Each idle connection leads to one origin; what is open beside them was lost by somebody.
        await self._until_origins_have(self.connector.idle_count)
        for number, way in enumerate(("plain", "tls", "tunnel") * 2, 5000):
            await self.request_through(way, number)
        await self.connector.close()
        await self._until_origins_have(0)
        await self.proxy.until(lambda: self.proxy.open_connections == 0)

    async def request_through(self, way: str, number: int) -> None:
        """A small request, tried until the proxy opens a tunnel."""
        while True:
            try:
                return await asyncio.wait_for(self.request("small", way, number, "read"), 10)
            except ClientHttpProxyError:
                assert way == "tunnel", f"seed {self.seed}"

    async def _until_origins_have(self, count: int) -> None:
        def seen() -> int:
            return self.plain.open_connections + self.tls.open_connections

        for _ in range(5_000):
            if seen() == count:
                return
            await asyncio.sleep(0.002)  # what was closed is noticed by the scripts of the servers in turn
        raise AssertionError(f"seed {self.seed}: {seen()} connections at the origins, {count} known")


class _AlwaysOpen(list[asyncio.Event]):
    """Gates at which nobody is held up."""

    def append(self, gate: asyncio.Event) -> None:
        gate.set()


@asynccontextmanager
async def world_of(seed: int) -> AsyncIterator[World]:
    """The servers and the session of a schedule."""
    world = World(seed)
    world.connector = TCPConnector(limit=_LIMIT, limit_per_host=_LIMIT_PER_HOST, ssl_context=certs.client_context())
    async with (
        raw_server(world.origin) as world.plain,
        raw_server(world.origin, tls=certs.server_context(certs.TLS_1_3)) as world.tls,
        raw_server(world.tunnel) as world.proxy,
        ClientSession(connector=world.connector) as world.session,
    ):
        yield world


async def _run(seed: int) -> Counter[str]:
    async with world_of(seed) as world:
        await world.run()
        world.open_all_gates()
        await world.check()
    return world.ends


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_requests_and_cancellations_leaves_only_what_is_idle(seed: int) -> None:
    """And each answer goes to whom it is for."""
    ends = await _run(seed)
    assert ends["answered"] > 0
    assert ends["cancelled"] > 0


@pytest.mark.soak
async def test_minutes_of_any_order_leave_only_what_is_idle() -> None:
    """New seeds in each run; a failure tells its own."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        await _run(random.SystemRandom().randrange(1 << 32))
