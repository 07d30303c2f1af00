"""Memory: a session holds after a hundred times as many requests what it held before, and what is over is freed.

Counted are the blocks that the interpreter has given out and the objects that its collector knows of, after a
collection: one octet string kept for each request is seen as well as one object. The collector is off where things are
to be freed by their last reference alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fetchd.client import (
    BaseConnector,
    ClientConnectorError,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ContentTypeError,
    FirstByteTimeoutError,
    ResponseProtocolError,
    TCPConnector,
    Timeout,
    TooManyRedirects,
    UnixConnector,
)
from tests.support import certs
from tests.support.raw_server import RawConnection, RawServer, raw_server, response

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]


async def origin(conn: RawConnection) -> None:
    """Answers each request by the first segment of its path. Nothing is recorded: the server must not grow either."""
    while True:
        head = await conn.read_until(b"\r\n\r\n")
        method, target, _ = head.split(b" ", 2)
        kind, _, number = target.decode()[1:].partition("/")
        if method in (b"POST", b"PUT"):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert len(await conn.read_exactly(length)) == length
        if kind == "silent":
            await conn.receive()
            return
        await conn.send(_answer(kind, number))
        if kind in ("last", "short", "garbled"):
            return


def _answer(kind: str, number: str) -> bytes:
    own = number.encode()
    if kind == "hop":
        return response(302, b"moved", [("Location", f"/second/{number}"), ("Set-Cookie", f"hop={number}")])
    if kind == "second":
        return response(307, b"moved", [("Location", f"/whole/{number}")])
    if kind == "loop":
        return response(302, b"", [("Location", f"/loop/{number}")])
    if kind == "cookies":
        return response(200, own, [("Set-Cookie", f"c{number}={number}; Path=/{number}"), ("Set-Cookie", "a=b")])
    if kind == "last":
        return response(200, own, [("Connection", "close")])
    if kind == "chunked":
        return response(200, own * 20, framing="chunked")
    if kind == "short":
        return response(200, own + b"no more")[:-5]
    if kind == "slow":
        return response(200, own + b"to come")[:-3]
    if kind == "garbled":
        return b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n" + own
    return response(404 if kind == "missing" else 200, own)


# The uses: each is one or more requests, with a number that makes its URL its own.

Use = Callable[[ClientSession, RawServer, int], Awaitable[None]]


async def keep_alive(session: ClientSession, server: RawServer, number: int) -> None:
    """By one connection, read whole."""
    async with session.get(server.url(f"/whole/{number}")) as reply:
        assert await reply.read() == b"%d" % number


async def stream(session: ClientSession, server: RawServer, number: int) -> None:
    """Chunked, by pieces, with parameters and fields of its own."""
    async with session.get(server.url(f"/chunked/{number}"), params={"n": str(number)}, headers={"X": "y"}) as reply:
        async for _ in reply.content.iter_chunked(9):
            pass


async def post(session: ClientSession, server: RawServer, number: int) -> None:
    """With content."""
    async with session.post(server.url(f"/whole/{number}"), data=b"x" * (number % 999)) as reply:
        await reply.text()


async def new_connections(session: ClientSession, server: RawServer, number: int) -> None:
    """Each by a connection of its own."""
    async with session.get(server.url(f"/last/{number}")) as reply:
        assert await reply.read() == b"%d" % number


async def redirections(session: ClientSession, server: RawServer, number: int) -> None:
    """Three hops, one of which sets a cookie; now and then too many."""
    async with session.get(server.url(f"/hop/{number}")) as reply:
        assert len(reply.history) == 2
    if number % 8 == 0:
        with pytest.raises(TooManyRedirects):
            await session.get(server.url(f"/loop/{number}"), max_redirects=2)


async def cookies(session: ClientSession, server: RawServer, number: int) -> None:
    """A cookie of its own for each request: the jar is bounded."""
    async with session.get(server.url(f"/cookies/{number}")) as reply:
        assert reply.cookies["a"].value == "b"


async def errors(session: ClientSession, server: RawServer, number: int) -> None:
    """Refused, not found, cut short, no HTTP, too late: one after the other."""
    match number % 5:
        case 0:
            with pytest.raises(ClientConnectorError):
                await session.get(f"http://127.0.0.1:9/{number}")  # discard: nobody listens there
        case 1:
            with pytest.raises(ClientResponseError):
                await session.get(server.url(f"/missing/{number}"), raise_for_status=True)
        case 2:
            async with session.get(server.url(f"/short/{number}")) as reply:
                with pytest.raises(ClientPayloadError):
                    await reply.read()
        case 3:
            with pytest.raises(ResponseProtocolError):
                await session.get(server.url(f"/garbled/{number}"))
        case 4:
            with pytest.raises(FirstByteTimeoutError):
                await session.get(server.url(f"/silent/{number}"), timeout=Timeout(first_byte=0.001))


async def cancellations(session: ClientSession, server: RawServer, number: int) -> None:
    """Given up after so many turns of the loop: connecting, waiting, reading, following."""
    kind = ("silent", "last", "hop", "chunked")[number % 4]

    async def run() -> None:
        async with session.get(server.url(f"/{kind}/{number}")) as reply:
            await reply.read()

    task = asyncio.create_task(run())
    for _ in range(number // 4 % 16):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))


USES: list[Use] = [keep_alive, stream, post, new_connections, redirections, cookies, errors, cancellations]


class Held(NamedTuple):
    """What the process holds."""

    blocks: int
    objects: int


async def _held(session: ClientSession, server: RawServer) -> Held:
    await server.until(lambda: server.open_connections == session.connector.open_count)
    gc.collect()
    return Held(sys.getallocatedblocks(), len(gc.get_objects()))


async def _growth(uses: list[Use], few: int, many: int) -> Held:
    """What *many* requests in turn leave more than *few*."""
    numbers = itertools.count(1)
    async with raw_server(origin) as server, ClientSession(connector=TCPConnector(limit=4)) as session:

        async def go_on(upto: int) -> Held:
            for number in itertools.takewhile(lambda n: n <= upto, numbers):
                await uses[number % len(uses)](session, server, number)
            return await _held(session, server)

        before = await go_on(few)
        after = await go_on(many)
    return Held(after.blocks - before.blocks, after.objects - before.objects)


# What comes and goes by itself: caches of the interpreter, timers that were cancelled and are still in the loop's heap,
# the longer numbers of the URLs. A thing kept for each sixth request is beyond it.
_NOISE = 200
_NOISE_OF_MANY = 2_000  # of the long form, where it is a thing kept for each fiftieth request


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
async def test_a_session_holds_no_more_after_ten_times_as_many_requests(use: Use) -> None:
    """150 of a kind, then 1,500."""
    growth = await _growth([use], 150, 1_500)
    assert max(growth) < _NOISE, growth


@pytest.mark.soak
async def test_a_session_holds_no_more_after_a_hundred_times_as_many_requests() -> None:
    """1,000 of all kinds in turn, then 100,000."""
    growth = await _growth(USES, 1_000, 100_000)
    assert max(growth) < _NOISE_OF_MANY, growth


# What is over is freed.


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is not freed by its last reference is not freed at all."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


Refs = list["weakref.ref[Any]"]
End = Callable[[ClientSession, RawServer, Path], Awaitable[Refs]]


def _refs(reply: ClientResponse) -> Refs:
    return [weakref.ref(each) for each in (reply, reply._exchange, *reply.history)]


async def read(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """Read whole, in each form."""
    async with session.get(server.url("/whole/1")) as reply:
        assert (await reply.read(), await reply.text(), await reply.json(content_type=None)) == (b"1", "1", 1)
        assert reply.headers
        assert repr(reply)
        return _refs(reply)


async def read_twice_at_once(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """The second reader is refused, and its failure is let go."""
    async with session.get(server.url("/whole/1")) as reply:
        await asyncio.gather(reply.read(), reply.read(), return_exceptions=True)
        return _refs(reply)


async def streamed(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """To its end, by pieces; the stream is asked for twice."""
    async with session.get(server.url("/chunked/1")) as reply:
        async for _ in reply.content.iter_chunked(3):
            pass
        return [*_refs(reply), weakref.ref(reply.content)]


async def streamed_in_part(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """Left in the middle."""
    async with session.get(server.url("/chunked/1")) as reply:
        assert await reply.content.readexactly(5) == b"11111"
        return [*_refs(reply), weakref.ref(reply.content)]


async def saved(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """To a file."""
    async with session.get(server.url("/chunked/1")) as reply:
        await reply.save(folder / "file")
        return _refs(reply)


async def failed(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """Its content was cut short; a second reading fails alike."""
    async with session.get(server.url("/short/1")) as reply:
        for _ in range(2):
            with pytest.raises(ClientPayloadError):
                await reply.read()
        return _refs(reply)


async def failed_as_a_stream(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """Its content was cut short."""
    async with session.get(server.url("/short/1")) as reply:
        with pytest.raises(ClientPayloadError):
            async for _ in reply.content.iter_any():
                pass
        return [*_refs(reply), weakref.ref(reply.content)]


async def refused(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """Its status, then its type, raised; both failures are let go."""
    async with session.get(server.url("/missing/1")) as reply:
        with pytest.raises(ClientResponseError):
            reply.raise_for_status()
        with pytest.raises(ContentTypeError):
            await reply.json()
        return _refs(reply)


async def followed(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """With all of its history."""
    async with session.get(server.url("/hop/1")) as reply:
        assert len(reply.history) == 2
        return _refs(reply)


async def never_ending(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """Redirections without end: the error carries their responses and goes with them."""
    try:
        await session.get(server.url("/loop/1"), max_redirects=3)
    except TooManyRedirects as exc:
        return [ref for reply in exc.history for ref in _refs(reply)]
    raise AssertionError("they were followed")


async def dropped(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """Unread and not left: it closes its connection and warns, there and then."""
    reply = await session.get(server.url("/slow/1"))
    refs = _refs(reply)
    with pytest.warns(ResourceWarning):
        del reply
    assert session.connector.open_count == 0
    return refs


async def given_up(session: ClientSession, server: RawServer, folder: Path) -> Refs:
    """Reading was cancelled."""
    async with session.get(server.url("/slow/1")) as reply:
        task = asyncio.create_task(reply.read())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
        return [*_refs(reply), weakref.ref(task)]


ENDS: list[End] = [
    read,
    read_twice_at_once,
    streamed,
    streamed_in_part,
    saved,
    failed,
    failed_as_a_stream,
    refused,
    followed,
    never_ending,
    dropped,
    given_up,
]


@contextlib.asynccontextmanager
async def _served(way: str, folder: Path) -> AsyncIterator[tuple[BaseConnector, RawServer]]:
    """A connector, not yet used, and a server that it reaches."""
    if way == "unix":
        path = folder / "socket"
        async with raw_server(origin, unix=path) as server:
            yield UnixConnector(str(path)), server
    elif way == "tls":
        async with raw_server(origin, tls=certs.server_context(certs.TLS_1_3)) as server:
            yield TCPConnector(ssl_context=certs.client_context()), server
    else:
        async with raw_server(origin) as server:
            yield TCPConnector(), server


@pytest.mark.parametrize("way", ["plain", "tls", "unix"])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_what_is_over_is_freed_by_its_last_reference(
    end: End, way: str, tmp_path: Path, no_collector: None
) -> None:
    """First the responses, while the session goes on; then, when it is closed, the session and its connector."""
    async with _served(way, tmp_path) as (connector, server):
        session = ClientSession(connector=connector)
        refs = await end(session, server, tmp_path)
        await asyncio.sleep(0)  # the last callback of a task holds it until the turn is over
        assert [ref() for ref in refs] == [None] * len(refs)
        owners = weakref.ref(session), weakref.ref(connector)
        await session.close()
        del session, connector
        await asyncio.sleep(0)
        assert [ref() for ref in owners] == [None, None]
