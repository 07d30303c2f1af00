"""Expect: 100-continue (RFC 9110 section 10.1.1): content is sent when it is wanted, or when nothing is said."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fetchd.client import ClientSession, connection, request
from tests.support.cancelling import Moment, cancelled_at_each_await
from tests.support.raw_server import RawConnection, raw_server, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LARGE = bytes(range(256)) * 4096


async def pieces() -> AsyncIterator[bytes]:
    """Content of a length that is not told."""
    yield b"one "
    yield b"two"


BODIES: dict[str, tuple[Any, bytes]] = {
    "octets": (b"content", b"content"),
    "large": (LARGE, LARGE),
    "pieces": (pieces, b"one two"),
}
bodies = pytest.mark.parametrize(("data", "sent"), BODIES.values(), ids=BODIES)


async def asks_first(conn: RawConnection) -> None:
    """Says 100 before it reads any content; what came before that is a fault."""
    while True:
        try:
            asked = await conn.read_request(body=False)
        except (ConnectionError, EOFError):
            return
        assert asked.fields["Expect"].lower() == "100-continue"
        assert not conn._buffer, "content came before it was wanted"
        await conn.send(CONTINUE)
        content, _ = await conn.read_body(asked)
        await conn.send(response(body=content))


@bodies
async def test_content_is_sent_when_the_server_wants_it(
    data: Any, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not an octet before the 100; the connection serves the next request."""
    monkeypatch.setattr(connection, "CONTINUE_S", 60.0)
    async with raw_server(asks_first) as server, ClientSession() as session:
        for _ in range(2):
            body = data() if callable(data) else data
            async with session.post(server.url(), data=body, expect100=True) as reply:
                assert await reply.read() == sent
        assert server.accepted == 1


async def test_the_field_set_by_hand_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """In any case of letters."""
    monkeypatch.setattr(connection, "CONTINUE_S", 60.0)
    fields = {"EXPECT": "100-Continue"}
    async with (
        raw_server(asks_first) as server,
        ClientSession() as session,
        session.put(server.url(), data=b"x", headers=fields) as reply,
    ):
        assert await reply.read() == b"x"


async def test_a_server_that_says_nothing_gets_the_content_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old servers know nothing of it."""
    monkeypatch.setattr(connection, "CONTINUE_S", 0.02)

    async def silent(conn: RawConnection) -> None:
        async for asked in conn:
            await conn.send(response(body=asked.body))

    async with (
        raw_server(silent) as server,
        ClientSession() as session,
        session.post(server.url(), data=b"content", expect100=True) as reply,
    ):
        assert await reply.read() == b"content"


@bodies
async def test_a_final_response_means_that_the_content_is_not_sent(data: Any, sent: bytes) -> None:
    """401, 413 ...: it is returned, and the connection, of which nobody knows what comes next, is closed."""
    rest = b"?"

    async def refuse(conn: RawConnection) -> None:
        nonlocal rest
        await conn.read_request(body=False)
        await conn.send(response(413, b"too large"))
        with contextlib.suppress(ConnectionError):
            rest = await conn.read_eof()

    async with raw_server(refuse) as server, ClientSession() as session:
        async with session.post(server.url(), data=data() if callable(data) else data, expect100=True) as reply:
            assert (reply.status, await reply.read()) == (413, b"too large")
        assert session.connector.open_count == 0
        await server.until(lambda: server.open_connections == 0)
    assert rest == b""


@bodies
async def test_so_does_a_success_whose_content_is_still_to_come(
    data: Any, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server has answered without it does not want, however long the answer takes."""
    monkeypatch.setattr(connection, "CONTINUE_S", 0.02)
    rest = b"?"

    async def content_with(conn: RawConnection) -> None:
        nonlocal rest
        await conn.read_request(body=False)
        await conn.send(response(200, b"known")[:-2])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                rest = await conn.receive()
        await conn.send(b"wn")
        with contextlib.suppress(ConnectionError):
            rest += await conn.read_eof()

    async with raw_server(content_with) as server, ClientSession() as session:
        async with session.put(server.url(), data=data() if callable(data) else data, expect100=True) as reply:
            assert (reply.status, await reply.read()) == (200, b"known")
        assert session.connector.open_count == 0
        await server.until(lambda: server.open_connections == 0)
    assert rest == b"?"


@bodies
async def test_a_server_that_knows_no_expectation_is_asked_without(data: Any, sent: bytes) -> None:
    """417, once; the content had not been begun, so it need not be one that can be sent again."""

    async def picky(conn: RawConnection) -> None:
        while True:
            try:
                asked = await conn.read_request(body=False)
            except (ConnectionError, EOFError):
                return
            if "Expect" in asked.fields:
                await conn.send(response(417, b""))
                return
            content, _ = await conn.read_body(asked)
            await conn.send(response(body=content))

    async with raw_server(picky) as server, ClientSession() as session:
        async with session.post(server.url(), data=data() if callable(data) else data, expect100=True) as reply:
            assert (reply.status, await reply.read()) == (200, sent)
        assert [("Expect" in asked.fields) for asked in server.requests] == [True, False]


async def test_without_content_nothing_is_asked() -> None:
    """A client must not send the field without content."""

    async def echo(conn: RawConnection) -> None:
        async for asked in conn:
            await conn.send(response(body=str("Expect" in asked.fields).encode()))

    async with raw_server(echo) as server:
        for options in ({}, {"data": b""}):
            async with request("post", server.url(), expect100=True, **options) as reply:  # type: ignore[arg-type]
                assert await reply.text() == "False"


@pytest.mark.parametrize("moment", Moment)
async def test_cancelled_while_it_waits_a_request_leaves_nothing(moment: Moment) -> None:
    """At each await, the one for the 100 among them."""
    async with raw_server(asks_first) as server:

        async def post() -> None:
            session = ClientSession()
            async with session, session.post(server.url(), data=LARGE, expect100=True) as reply:
                assert await reply.read() == LARGE

        async for _ in cancelled_at_each_await(post, moment):
            pass
