"""Requests are sent together at the end of a turn, and what comes before they are sent is no answer to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from fetchd.client import ClientSession, ServerDisconnectedError, Timeout
from fetchd.client.channel import Channel
from fetchd.client.connection import Connection
from fetchd.client.exchange import Exchange
from fetchd.client.outbox import Outbox, Sender
from tests.support.raw_server import RawConnection, raw_server, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Recording:
    """A sender that tells when it sends."""

    def __init__(self, name: str, told: list[str]) -> None:
        self._name = name
        self._told = told

    def send_begun(self) -> None:
        self._told.append(self._name)


class HeldOutbox(Outbox):
    """An outbox that is flushed by the test."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.held: list[Sender] = []

    def put(self, sender: Sender) -> None:
        self.held.append(sender)

    def flush(self) -> None:
        """Send now."""
        for sender in self.held:
            sender.send_begun()
        self.held.clear()


@contextlib.contextmanager
def begun(outbox: HeldOutbox) -> Iterator[tuple[Connection, Exchange, asyncio.Future[None], socket.socket]]:
    """A connection on which a request was begun and not sent yet, and its peer."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    connection = Connection(loop, Channel(loop, ours), outbox, "key", lambda *_: None, lambda *_: None)
    exchange = Exchange("GET")
    try:
        yield connection, exchange, connection.begin(exchange, HEAD, None, Timeout()), theirs
    finally:
        connection.close()
        theirs.close()


async def test_what_is_begun_in_one_turn_is_sent_in_a_row_behind_it() -> None:
    """In the order in which it was begun, after all that was ready had run."""
    told: list[str] = []
    outbox = Outbox(asyncio.get_running_loop())
    outbox.put(Recording("first", told))
    asyncio.get_running_loop().call_soon(told.append, "another callback of the turn after")
    outbox.put(Recording("second", told))
    assert told == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told == ["first", "second", "another callback of the turn after"]


async def test_a_sender_that_puts_another_is_followed_by_it_a_turn_later() -> None:
    """Nothing is lost, and nothing is sent twice."""
    told: list[str] = []
    outbox = Outbox(asyncio.get_running_loop())

    class Putting(Recording):
        def send_begun(self) -> None:
            super().send_begun()
            outbox.put(Recording("second", told))

    outbox.put(Putting("first", told))
    for _ in range(4):
        await asyncio.sleep(0)
    assert told == ["first", "second"]


async def test_a_request_is_not_on_the_wire_before_it_is_sent() -> None:
    """And is, whole, afterwards."""
    outbox = HeldOutbox()
    with begun(outbox) as (_, exchange, waiter, peer):
        with pytest.raises(BlockingIOError):
            peer.recv(1)
        outbox.flush()
        assert peer.recv(1000) == HEAD
        peer.send(response(body=b"x"))
        await waiter
        assert exchange.whole == b"x"


@pytest.mark.parametrize("octets", [b"", response(body=b"nobody asked")], ids=["end", "response"])
async def test_what_comes_before_the_request_is_sent_is_no_answer_to_it(octets: bytes) -> None:
    """The connection is closed, the request is not sent, and is known not to have been."""
    outbox = HeldOutbox()
    with begun(outbox) as (connection, exchange, waiter, peer):
        peer.send(octets) if octets else peer.shutdown(socket.SHUT_WR)
        with pytest.raises(ServerDisconnectedError):
            await waiter
        assert exchange.is_unsent
        assert connection.is_closed
        outbox.flush()
        with contextlib.suppress(ConnectionResetError):  # octets that nobody took make an end a reset
            assert peer.recv(1000) == b""


async def test_a_request_that_is_given_up_before_it_is_sent_is_not_sent() -> None:
    """Its connection is closed, as for one that is given up later."""
    outbox = HeldOutbox()
    with begun(outbox) as (connection, exchange, waiter, peer):
        waiter.cancel()
        connection.give_up(exchange, waiter)
        outbox.flush()
        assert connection.is_closed
        assert peer.recv(1000) == b""


async def test_a_post_that_was_not_sent_is_sent_by_another_connection() -> None:
    """Not an octet of it had left, so it cannot be done twice."""
    leave = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        asked = await anext(conn)
        await conn.send(response(body=asked.body))
        if conn.number == 0:
            await leave.wait()

    async with raw_server(script) as server, ClientSession() as session:
        await (await session.get(server.url("/first"))).read()
        (connection,) = session.connector._connections
        held = connection._outbox = HeldOutbox()
        posting = asyncio.create_task(_post(session, server.url("/order")))
        while not held.held:  # noqa: ASYNC110 -- the request is begun by another task, in some turns
            await asyncio.sleep(0)
        leave.set()
        assert await posting == b"order"
        held.flush()
        assert [(asked.connection, asked.method) for asked in server.requests] == [(0, "GET"), (1, "POST")]


async def _post(session: ClientSession, url: str) -> bytes:
    async with session.post(url, data=b"order") as reply:
        return await reply.read()
