"""A request may be cancelled wherever it waits: slots, sockets and the answers of others stay what they were.

Each scenario is one whole use of a session. It is run again and again, cancelled at its first await, its second and
so on, at either moment, and in each turn of the loop; after each the same things are asserted: no slot is lost, the
next request gets its own answer, and at the end no descriptor, task or complaint is left (``nothing_left``).
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fetchd.client import BaseConnector, ClientSession, ServerDisconnectedError, TCPConnector, UnixConnector, request
from fetchd.client.resolver import AddrInfo
from tests.support import certs
from tests.support.cancelling import Moment, cancelled_at_each_await, cancelled_in_each_turn
from tests.support.raw_server import RawConnection, RawServer, Request, raw_server, response

BOTH_LOOPS = True
pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]

LARGE = bytes(range(256)) * 4096 * 3  # 3 MiB: more than what is moved to disk in the loop
UPLOAD = bytes(range(255, -1, -1)) * 4096 * 2


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _send_slowly(conn: RawConnection, data: bytes, pieces: int) -> None:
    """Send *data* in so many pieces, with pauses long enough for the peer to handle each and wait again."""
    step = -(-len(data) // pieces)
    for start in range(0, len(data), step):
        await _turns(6)
        await conn.send(data[start : start + step])


async def _read_slowly(conn: RawConnection, request: Request) -> bytes:
    """The content of *request*, with pauses that let the peer's buffers fill."""
    if "Transfer-Encoding" in request.fields:
        return (await conn.read_body(request))[0]
    pieces = []
    left = int(request.fields["Content-Length"])
    while left:
        await _turns(3)
        pieces.append(await conn.read_exactly(min(left, 200_000)))
        left -= len(pieces[-1])
    return b"".join(pieces)


async def origin(conn: RawConnection) -> None:
    """Answers each request by its path; whatever it is, the answer to it is told from all others."""
    while True:
        request = await conn.read_request(body=False)
        path = request.target
        if request.method in ("PUT", "POST"):
            body = await _read_slowly(conn, request)
            await conn.send(response(body=b"%s %d" % (path.encode(), len(body))))
        elif path.startswith("/late"):
            await _send_slowly(conn, response(body=path.encode()), 3)
        elif path.startswith("/long"):
            await _send_slowly(conn, response(body=path.encode() * 100), 5)
        elif path.startswith("/chunked"):
            await _send_slowly(conn, response(body=path.encode() * 20, framing="chunked"), 5)
        elif path.startswith("/large"):
            await _send_slowly(conn, response(body=LARGE), 7)
        elif path.startswith("/hop"):
            fields = [("Location", "/late/hop"), ("Set-Cookie", "a=b")]
            await _send_slowly(conn, response(302, b"moved on" * 50, fields, reason="Found"), 5)
        else:
            await conn.send(response(body=path.encode()))


class World:
    """A session on a server, and what must hold of both."""

    def __init__(
        self,
        session: ClientSession,
        connector: BaseConnector,
        server: RawServer,
        *,
        host: str | None = None,
    ) -> None:
        self.session = session
        self.connector = connector
        self._server = server
        self._host = host
        self._probes = itertools.count()

    def url(self, path: str) -> str:
        """The URL of *path* on the server."""
        return self._server.url(path, host=self._host)

    async def check(self, when: object) -> None:
        """No slot is lost, and the next request gets its own answer."""
        seen = f"{self.connector!r} after the cancellation at {when}"
        assert self.connector.open_count == self.connector.idle_count, seen
        for _ in range(2):
            path = f"/probe/{next(self._probes)}"
            async with asyncio.timeout(5), self.session.get(self.url(path)) as reply:
                assert await reply.read() == path.encode(), seen


class SlowResolver:
    """Takes its time, then gives an address that refuses and one that answers."""

    def __init__(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.2", 0))
            self._refusing = unused.getsockname()[1]

    async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
        """See ``Resolver``."""
        await _turns(2)
        kind, protocol = socket.SOCK_STREAM, socket.IPPROTO_TCP
        return [
            (socket.AF_INET, kind, protocol, "", ("127.0.0.2", self._refusing)),
            (socket.AF_INET, kind, protocol, "", ("127.0.0.1", port)),
        ]


# The scenarios: each is one use of a session from its beginning to its end.

Scenario = Callable[[World, Path], Awaitable[None]]


async def read(world: World, folder: Path) -> None:
    """Connect, send, wait for the head, read."""
    async with world.session.get(world.url("/late/1")) as reply:
        assert await reply.read() == b"/late/1"


async def read_at_once(world: World, folder: Path) -> None:
    """Connect, send, and read what is there a moment later."""
    assert await _get(world, "/probe") == b"/probe"


async def read_chunked_by_pieces(world: World, folder: Path) -> None:
    """Read chunked content as a stream."""
    async with world.session.get(world.url("/chunked")) as reply:
        pieces = [piece async for piece in reply.content.iter_chunked(7)]
    assert b"".join(pieces) == b"/chunked" * 20


async def read_large(world: World, folder: Path) -> None:
    """Read more than the buffers hold, pausing in between."""
    received = 0
    async with world.session.get(world.url("/large")) as reply:
        while piece := await reply.content.readany():
            received += len(piece)
            await _turns(3)
    assert received == len(LARGE)


async def save(world: World, folder: Path) -> None:
    """Save a body by the loop and by a worker."""
    async with world.session.get(world.url("/large")) as reply:
        assert await reply.save(folder / "saved") == len(LARGE)
    assert (folder / "saved").read_bytes() == LARGE


async def save_chunked(world: World, folder: Path) -> None:
    """Save a body that passes through the reader."""
    async with world.session.get(world.url("/chunked")) as reply:
        await reply.save(folder / "saved")
    assert (folder / "saved").read_bytes() == b"/chunked" * 20


async def leave_unread(world: World, folder: Path) -> None:
    """Leave a response whose content is still to come: it is drained."""
    async with world.session.get(world.url("/long/unread")):
        pass


async def follow(world: World, folder: Path) -> None:
    """Follow a redirection whose content comes slowly."""
    async with world.session.get(world.url("/hop")) as reply:
        assert await reply.text() == "/late/hop"


async def upload(world: World, folder: Path) -> None:
    """Send more than the buffers hold to a peer that is slow to take it."""
    async with world.session.put(world.url("/up"), data=UPLOAD) as reply:
        assert await reply.read() == b"/up %d" % len(UPLOAD)


async def upload_file(world: World, folder: Path) -> None:
    """Send a file, read by worker threads."""
    (folder / "file").write_bytes(UPLOAD)
    with (folder / "file").open("rb") as file:
        async with world.session.post(world.url("/up"), data=file) as reply:
            assert await reply.read() == b"/up %d" % len(UPLOAD)


async def upload_chunked(world: World, folder: Path) -> None:
    """Send what a generator makes, some of it late."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"piece"
            await _turns(2)

    async with world.session.post(world.url("/up"), data=pieces()) as reply:
        assert await reply.read() == b"/up 20"


async def relay(world: World, folder: Path) -> None:
    """Send the content of another response."""
    get, put = world.session.get, world.session.put
    async with get(world.url("/chunked")) as source, put(world.url("/up"), data=source.content) as reply:
        assert await reply.read() == b"/up 160"


async def crowd(world: World, folder: Path) -> None:
    """More requests than connections: some wait for those of the others, and all are cancelled together."""
    paths = [f"/late/{number}" for number in range(5)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_get(world, path)) for path in paths]
    assert [task.result() for task in tasks] == [path.encode() for path in paths]


async def _get(world: World, path: str) -> bytes:
    async with world.session.get(world.url(path)) as reply:
        return await reply.read()


SCENARIOS = [
    read,
    read_chunked_by_pieces,
    read_large,
    save,
    save_chunked,
    leave_unread,
    follow,
    upload,
    upload_file,
    upload_chunked,
    relay,
    crowd,
]

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
each_moment = pytest.mark.parametrize(
    "moment", [*Moment, None], ids=lambda moment: "each-turn" if moment is None else moment.value
)


async def _cancel_everywhere(world: World, scenario: Scenario, folder: Path, moment: Moment | None) -> int:
    """Cancel *scenario* at each await, or in each turn (None); the number of cancellations."""

    async def run() -> None:
        await scenario(world, folder)

    cancelled = 0
    places = cancelled_in_each_turn(run) if moment is None else cancelled_at_each_await(run, moment)
    async for k in places:
        cancelled += 1
        await world.check(k)
    await world.check("the end")
    return cancelled


@each_scenario
@pytest.mark.parametrize("tls", [None, certs.TLS_1_3], ids=["plain", "tls"])
@each_moment
async def test_cancelled_anywhere_a_request_leaves_nothing_behind(
    scenario: Scenario, tls: ssl.TLSVersion | None, moment: Moment | None, tmp_path: Path
) -> None:
    """Whatever it waits for: a slot, sending, the head, content, the disk, draining, the next hop."""
    server_tls = None if tls is None else certs.server_context(tls)
    connector = TCPConnector(limit=2) if tls is None else TCPConnector(limit=2, ssl_context=certs.client_context())
    async with raw_server(origin, tls=server_tls) as server, ClientSession(connector=connector) as session:
        assert await _cancel_everywhere(World(session, connector, server), scenario, tmp_path, moment) > 0


@pytest.mark.parametrize("way", ["address", "name", "unix", "tls1.2", "tls1.3", "own-resolver"])
@each_moment
async def test_cancelled_while_connecting_a_request_leaves_nothing_behind(
    way: str, moment: Moment | None, tmp_path: Path
) -> None:
    """Resolving, each attempt of Happy Eyeballs, the handshake. Nothing is kept, so that each request connects."""
    tls = certs.server_context(certs.TLS_1_2 if way == "tls1.2" else certs.TLS_1_3) if "tls" in way else None
    unix = tmp_path / "socket" if way == "unix" else None
    context = certs.client_context() if tls else None
    connector: TCPConnector | UnixConnector
    if unix is not None:
        connector = UnixConnector(str(unix), force_close=True)
    elif way == "own-resolver":
        connector = TCPConnector(force_close=True)
    else:
        connector = TCPConnector(force_close=True, ssl_context=context, resolver=SlowResolver())
    async with raw_server(origin, tls=tls, unix=unix) as server, ClientSession(connector=connector) as session:
        world = World(session, connector, server, host=None if way == "address" else "localhost")
        cancelled = await _cancel_everywhere(world, read_at_once, tmp_path, moment)
        assert cancelled > (2 if way in ("name", "tls1.2", "tls1.3") else 0)
        # What was cancelled in the server's backlog is seen by the server, if at all, before what comes later.
        await server.until(lambda: server.open_connections == 0)


async def test_a_request_without_connector_leaves_nothing_open(tmp_path: Path) -> None:
    """``request()`` has nobody who would close anything for it."""
    async with raw_server(origin) as server:

        async def run() -> None:
            async with request("get", server.url("/late/1")) as reply:
                assert await reply.read() == b"/late/1"

        for moment in Moment:
            async for _ in cancelled_at_each_await(run, moment):
                pass
        await server.until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 3, 5, 8, 13])
async def test_wait_for_leaves_nothing_behind(milliseconds: int) -> None:
    """A bound from outside, whenever it strikes, leaves the connector fit for use."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target.startswith("/slow"):
                await asyncio.sleep(0.002)
                await conn.send_slowly(response(body=b"late" * 20), step=40, pause=0.002)
            else:
                await conn.send(response(body=asked.target.encode()))

    async with raw_server(script) as server, TCPConnector(limit=1) as connector:

        async def fetch() -> bytes:
            async with request("get", server.url("/slow"), connector=connector) as reply:
                return await reply.read()

        for _ in range(5):
            try:
                assert await asyncio.wait_for(fetch(), milliseconds / 1000) == b"late" * 20
            except TimeoutError:
                pass
            assert connector.open_count == connector.idle_count
            reply = await asyncio.wait_for(request("get", server.url("/own"), connector=connector), 5)
            assert await reply.read() == b"/own"


async def test_wait_for_takes_the_request_itself() -> None:
    """``wait_for(request(...))`` of the guide: a request is a coroutine, and a bound of nearly nothing is kept."""
    async with raw_server(origin) as server, TCPConnector() as connector:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(request("get", server.url("/late/1"), connector=connector), 0.000_001)
        task = asyncio.create_task(request("get", server.url("/late/2"), connector=connector))
        assert await (await task).read() == b"/late/2"
        assert (connector.open_count, connector.idle_count) == (1, 1)


async def test_a_request_cancelled_before_its_first_step_never_begins() -> None:
    """It takes nothing, and nothing is complained about."""
    async with raw_server(origin) as server, ClientSession() as session:
        task = asyncio.create_task(session.get(server.url("/late/1")))
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        assert (session.connector.open_count, server.accepted) == (0, 0)


async def test_a_second_cancellation_during_the_cleanup_loses_nothing(tmp_path: Path) -> None:
    """The worker that writes the file is waited for all the same: it uses descriptors of ours."""
    async with raw_server(origin) as server, ClientSession() as session:

        async def run() -> None:
            async with session.get(server.url("/large")) as reply:
                await reply.save(tmp_path / "saved")

        for turns in range(8, 60, 3):
            task = asyncio.create_task(run())
            await _turns(turns)
            while not task.done():
                task.cancel()
                await asyncio.sleep(0)
            assert session.connector.open_count == session.connector.idle_count


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_a_failure_in_the_turn_of_the_cancellation_is_not_complained_about(reused: bool) -> None:
    """The peer leaves and the request is cancelled at once: the failure has nobody left to hear of it."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/leave":
                return
            await conn.send(response(body=asked.target.encode()))

    async with raw_server(script) as server, ClientSession() as session:
        world = World(session, session.connector, server)

        async def run() -> None:
            if reused:
                await _get(world, "/stay")
            with pytest.raises(ServerDisconnectedError):
                await session.get(server.url("/leave"))

        async for k in cancelled_at_each_await(run, Moment.WOKEN):
            await world.check(k)


async def test_the_source_of_an_upload_is_closed_when_the_request_is_cancelled() -> None:
    """What the caller's generator holds is given back before the cancelled request ends."""
    closed = []

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield bytes(100_000)
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def never_reads(conn: RawConnection) -> None:
        await asyncio.Event().wait()

    async with raw_server(never_reads) as server, ClientSession() as session:
        pieces = source()
        task = asyncio.create_task(session.put(server.url(), data=pieces))
        await server.until(lambda: server.accepted == 1)
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait((task,))
        assert session.connector.open_count == 0
        await pieces.aclose()
        assert closed == [True]
