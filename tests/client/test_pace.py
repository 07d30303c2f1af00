"""``save(pace=)``: somebody says how quickly content is taken, whatever way it goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fetchd.client import ClientSession, IdleReadTimeoutError, TCPConnector, Timeout
from tests.support.certs import client_context, server_context
from tests.support.raw_server import RawConnection, raw_server, reply_with, response

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

BODY = bytes(range(256)) * 12_000


class Counting:
    """Lets so much be taken at a time, after *pause* seconds, and counts.

    Attributes:
        spent: Octets of each time.
        turns: How often somebody waited.
    """

    def __init__(self, piece: int, pause: float = 0.0) -> None:
        self.spent: list[int] = []
        self.turns = 0
        self._piece = piece
        self._pause = pause

    def ready(self) -> int:
        """See ``Pace``."""
        return 0

    async def turn(self) -> int:
        """See ``Pace``."""
        self.turns += 1
        await asyncio.sleep(self._pause)
        return self._piece

    def spend(self, count: int) -> None:
        """See ``Pace``."""
        self.spent.append(count)


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
async def test_every_octet_is_told_and_none_is_lost(tmp_path: Path, framing: str, is_tls: bool) -> None:
    """By splice, by a buffer, by the parser; those that came with the head too."""
    pace = Counting(200_000)
    script = reply_with(response(200, BODY, framing=framing), close=framing == "eof")
    connector = TCPConnector(ssl=client_context() if is_tls else None)
    async with (
        raw_server(script, tls=server_context() if is_tls else None) as server,
        ClientSession(connector=connector) as session,
        session.get(server.url()) as answer,
    ):
        assert await answer.save(tmp_path / "file", pace=pace) == len(BODY)
    assert (tmp_path / "file").read_bytes() == BODY
    assert sum(pace.spent) == len(BODY)
    assert pace.turns > 0


async def test_no_more_is_taken_at_a_time_than_was_said(tmp_path: Path) -> None:
    """Of what goes straight from the socket; what came with the head was there already."""
    pace = Counting(10_000)
    async with (
        raw_server(reply_with(response(200, BODY))) as server,
        ClientSession() as session,
        session.get(server.url()) as answer,
    ):
        await answer.save(tmp_path / "file", pace=pace)
    assert max(pace.spent[1:]) <= 10_000


async def test_while_nothing_may_be_taken_the_idle_time_does_not_count(tmp_path: Path) -> None:
    """It is not the server that is slow; but for it the time counts as ever."""

    async def script(conn: RawConnection) -> None:
        async for request in conn:
            await conn.send(response(200, BODY)[: None if request.target == "/whole" else -10])
            if request.target != "/whole":
                await conn.read_eof()
                return

    timeout = Timeout(idle_read=0.15)
    async with raw_server(script) as server, ClientSession(timeout=timeout) as session:
        async with session.get(server.url("/whole")) as answer:
            assert await answer.save(tmp_path / "file", pace=Counting(2_000_000, 0.4)) == len(BODY)
        async with session.get(server.url("/cut")) as answer:
            with pytest.raises(IdleReadTimeoutError):
                await answer.save(tmp_path / "file", pace=Counting(2_000_000, 0.0))


async def test_a_save_that_is_cancelled_while_it_waits_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither a reader on the socket nor a connection."""
    async with raw_server(reply_with(response(200, BODY))) as server, ClientSession() as session:
        answer = await session.get(server.url())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer.save(tmp_path / "file", pace=Counting(1000, 5.0)), 0.5)
        assert session.connector.open_count == 0
