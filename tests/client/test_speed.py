"""How fast content must come: the windows by themselves, and on the wire."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client import ClientResponse, ClientSession, LowSpeedTimeoutError, Timeout
from fetchd.client.speed import Speedometer
from tests.support.raw_server import RawConnection, raw_server, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

LARGE = bytes(4_000_000)


# The windows


def test_each_window_must_bring_its_share() -> None:
    meter = Speedometer(10, 2.0)
    assert meter.go(100.0) == 102.0
    assert meter.missed(102.0, 20) is None
    assert meter.go(102.0) == 104.0
    assert meter.missed(104.0, 39) == 19


def test_a_window_that_is_not_over_misses_nothing() -> None:
    meter = Speedometer(10, 2.0)
    meter.go(100.0)
    assert meter.missed(101.9, 0) is None
    assert meter.missed(102.0, 0) == 0


def test_time_in_which_the_reader_is_behind_does_not_count() -> None:
    meter = Speedometer(10, 2.0)
    meter.go(100.0)
    meter.stop(101.5)
    meter.stop(150.0)
    assert meter.go(200.0) == 200.5
    assert meter.missed(200.4, 0) is None
    assert meter.missed(200.5, 3) == 3


@given(
    rate=st.integers(1, 1000),
    seconds=st.integers(1, 60),
    arrivals=st.lists(st.integers(0, 100_000), min_size=1, max_size=50),
)
def test_what_comes_at_the_rate_or_above_is_never_too_slow(rate: int, seconds: int, arrivals: list[int]) -> None:
    """Whatever the rest of each window looks like; and one octet less in a window is."""
    meter, now, count = Speedometer(rate, seconds), 0.0, 0
    for more in arrivals:
        assert meter.go(now) == now + seconds
        now += seconds
        count += rate * seconds + more
        assert meter.missed(now, count) is None
    meter.go(now)
    assert meter.missed(now + seconds, count + rate * seconds - 1) == rate * seconds - 1


# On the wire


async def drip(conn: RawConnection) -> None:
    """An octet each 20 ms: never idle, and never done."""
    async for _ in conn:
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(1000):
            await conn.send(b"x")
            await asyncio.sleep(0.02)


async def read(reply: ClientResponse, folder: Path) -> None:
    """Whole."""
    await reply.read()


async def stream(reply: ClientResponse, folder: Path) -> None:
    """As it comes."""
    async for _ in reply.content.iter_any():
        pass


async def save(reply: ClientResponse, folder: Path) -> None:
    """Past Python."""
    await reply.save(folder / "file")


@pytest.mark.parametrize("way", [read, stream, save])
async def test_a_server_that_drips_is_left(
    way: Callable[[ClientResponse, Path], Awaitable[None]], tmp_path: Path
) -> None:
    """No idle bound would ever end this."""
    timeout = Timeout(idle_read=5, low_speed=(1000, 0.3))
    async with raw_server(drip) as server, ClientSession(timeout=timeout) as session:
        began = time.monotonic()
        reply = await session.get(server.url())
        with pytest.raises(LowSpeedTimeoutError) as caught:
            await way(reply, tmp_path)
        assert 0.25 < time.monotonic() - began < 5
        assert (caught.value.rate, caught.value.seconds) == (1000, 0.3)
        assert caught.value.received < 300
        assert session.connector.open_count == 0


async def test_a_reader_that_is_slow_itself_is_no_slow_server() -> None:
    """The server has sent what it could; the time in which nobody reads does not count."""

    async def script(conn: RawConnection) -> None:
        async for _ in conn:
            await conn.send(response(body=LARGE))

    timeout = Timeout(low_speed=(1_000_000, 0.2))
    async with raw_server(script) as server, ClientSession(timeout=timeout) as session:
        reply = await session.get(server.url())
        await asyncio.sleep(0.7)
        assert await reply.read() == LARGE


async def test_a_quick_response_leaves_no_timer() -> None:
    """It would hold the response until it fires."""

    async def script(conn: RawConnection) -> None:
        async for _ in conn:
            await conn.send(response(body=b"x"))

    async with raw_server(script) as server, ClientSession(timeout=Timeout(low_speed=(1, 3600))) as session:
        reply = await session.get(server.url())
        await reply.read()
        gone = weakref.ref(reply._exchange)
        gc.disable()
        try:
            del reply
            assert gone() is None
        finally:
            gc.enable()
