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
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fetchd.client import ClientSession, TCPConnector, UnixConnector
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

    def __init__(self, session: ClientSession, connector: TCPConnector | UnixConnector, server: RawServer) -> None:
        self.session = session
        self.connector = connector
        self.server = server
        self._probes = itertools.count()

    async def check(self, when: object) -> None:
        """No slot is lost, and the next request gets its own answer."""
        seen = f"{self.connector!r} after the cancellation at {when}"
        assert self.connector.open_count == self.connector.idle_count, seen
        for _ in range(2):
            path = f"/probe/{next(self._probes)}"
            async with asyncio.timeout(5), self.session.get(self.server.url(path)) as reply:
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
    async with world.session.get(world.server.url("/late/1")) as reply:
        assert await reply.read() == b"/late/1"


async def read_chunked_by_pieces(world: World, folder: Path) -> None:
    """Read chunked content as a stream."""
    async with world.session.get(world.server.url("/chunked")) as reply:
        pieces = [piece async for piece in reply.content.iter_chunked(7)]
    assert b"".join(pieces) == b"/chunked" * 20


async def read_large(world: World, folder: Path) -> None:
    """Read more than the buffers hold, pausing in between."""
    received = 0
    async with world.session.get(world.server.url("/large")) as reply:
        while piece := await reply.content.readany():
            received += len(piece)
            await _turns(3)
    assert received == len(LARGE)


async def save(world: World, folder: Path) -> None:
    """Save a body by the loop and by a worker."""
    async with world.session.get(world.server.url("/large")) as reply:
        assert await reply.save(folder / "saved") == len(LARGE)
    assert (folder / "saved").read_bytes() == LARGE


async def save_chunked(world: World, folder: Path) -> None:
    """Save a body that passes through the reader."""
    async with world.session.get(world.server.url("/chunked")) as reply:
        await reply.save(folder / "saved")
    assert (folder / "saved").read_bytes() == b"/chunked" * 20


async def leave_unread(world: World, folder: Path) -> None:
    """Leave a response whose content is still to come: it is drained."""
    async with world.session.get(world.server.url("/long/unread")):
        pass


async def follow(world: World, folder: Path) -> None:
    """Follow a redirection whose content comes slowly."""
    async with world.session.get(world.server.url("/hop")) as reply:
        assert await reply.text() == "/late/hop"


async def upload(world: World, folder: Path) -> None:
    """Send more than the buffers hold to a peer that is slow to take it."""
    async with world.session.put(world.server.url("/up"), data=UPLOAD) as reply:
        assert await reply.read() == b"/up %d" % len(UPLOAD)


async def upload_file(world: World, folder: Path) -> None:
    """Send a file, read by worker threads."""
    (folder / "file").write_bytes(UPLOAD)
    with (folder / "file").open("rb") as file:
        async with world.session.post(world.server.url("/up"), data=file) as reply:
            assert await reply.read() == b"/up %d" % len(UPLOAD)


async def upload_chunked(world: World, folder: Path) -> None:
    """Send what a generator makes, some of it late."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"piece"
            await _turns(2)

    async with world.session.post(world.server.url("/up"), data=pieces()) as reply:
        assert await reply.read() == b"/up 20"


async def relay(world: World, folder: Path) -> None:
    """Send the content of another response."""
    async with (
        world.session.get(world.server.url("/chunked")) as source,
        world.session.put(world.server.url("/up"), data=source.content) as reply,
    ):
        assert await reply.read() == b"/up 160"


async def wait_for_slot(world: World, folder: Path) -> None:
    """Wait for the one connection that another request has."""
    first = asyncio.create_task(_get(world, "/late/first"))
    await asyncio.sleep(0)
    try:
        assert await _get(world, "/late/second") == b"/late/second"
    finally:
        assert await first == b"/late/first"


async def _get(world: World, path: str) -> bytes:
    async with world.session.get(world.server.url(path)) as reply:
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
]

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
each_tls = pytest.mark.parametrize("tls", [None, certs.TLS_1_2, certs.TLS_1_3], ids=["plain", "tls1.2", "tls1.3"])
both_moments = pytest.mark.parametrize("moment", list(Moment), ids=lambda moment: moment.value)


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
@each_tls
@pytest.mark.parametrize("moment", [*Moment, None], ids=lambda moment: "each-turn" if moment is None else moment.value)
async def test_cancelled_anywhere_a_request_leaves_nothing_behind(
    scenario: Scenario, tls: ssl.TLSVersion | None, moment: Moment | None, tmp_path: Path
) -> None:
    """Whatever it waits for: connect, handshake, sending, head, content, disk, draining, the next hop."""
    server_tls = None if tls is None else certs.server_context(tls)
    connector = TCPConnector(limit=2) if tls is None else TCPConnector(limit=2, ssl_context=certs.client_context())
    async with raw_server(origin, tls=server_tls) as server, ClientSession(connector=connector) as session:
        world = World(session, connector, server)
        assert await _cancel_everywhere(world, scenario, tmp_path, moment) > 0
