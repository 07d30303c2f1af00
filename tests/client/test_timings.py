"""Timings: what the stopwatch makes of a course of events, and which phases real requests have."""

from __future__ import annotations

import asyncio
from dataclasses import fields

import pytest

from fetchd.client import ClientPayloadError, ClientSession, ProxyConnector, TCPConnector, Timings, TraceConfig
from fetchd.client.timings import Stopwatch
from tests.support import certs
from tests.support.raw_proxy import http_proxy
from tests.support.raw_server import RawConnection, raw_server, reply_with, response

pytestmark = pytest.mark.usefixtures("nothing_left")


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def passed(timings: Timings | None) -> set[str]:
    """Names of the phases that took place."""
    assert timings is not None
    taken = {field.name: getattr(timings, field.name) for field in fields(timings)}
    assert all(value >= 0 for value in taken.values() if value is not None)
    return {name for name, value in taken.items() if value is not None}


async def answer(conn: RawConnection) -> None:
    """/a leads to /b; everything else answers with content."""
    async for asked in conn:
        if asked.target == "/a":
            await conn.send(response(302, fields=[("Location", "/b")]))
        else:
            await conn.send(response(body=b"content"))


def test_phases_are_measured_one_after_the_other() -> None:
    """From the connection at hand to the request sent, from there to the first octet, and all of it."""
    clock = Clock()
    watch = Stopwatch(clock)
    with watch.phase("dns"):
        clock.now += 1
    clock.now += 10  # work of the program's own belongs to no phase
    with watch.phase("connect"):
        clock.now += 2
    watch.sending()
    clock.now += 3
    watch.sent()
    clock.now += 4
    watch.received()
    clock.now += 5
    watch.received()
    watch.ended()
    assert watch.timings == Timings(dns=1, connect=2, sent=3, first_byte=4, total=25)


def test_a_phase_that_comes_again_or_fails_is_added() -> None:
    """A proxy that is asked a second time, with credentials; an address that could not be connected to."""
    clock = Clock()
    watch = Stopwatch(clock)
    with watch.phase("proxy"):
        clock.now += 1

    def refused() -> None:
        with watch.phase("proxy"):
            clock.now += 2
            raise OSError("refused")

    with pytest.raises(OSError, match="refused"):
        refused()
    assert watch.timings.proxy == 3


def test_a_request_that_is_sent_again_counts_from_there() -> None:
    """The first connection was closed by its server: only the total knows of it."""
    clock = Clock()
    watch = Stopwatch(clock)
    watch.sending()
    watch.sent()
    clock.now += 1
    watch.ended()
    watch.sending()
    assert watch.timings == Timings()
    clock.now += 1
    watch.sent()
    clock.now += 1
    watch.received()
    watch.ended()
    assert watch.timings == Timings(sent=1, first_byte=1, total=3)


def test_an_answer_that_comes_before_the_request_is_sent_took_no_time() -> None:
    """An early one, to an upload."""
    clock = Clock()
    watch = Stopwatch(clock)
    watch.sending()
    clock.now += 1
    watch.received()
    clock.now += 1
    watch.sent()
    assert (watch.timings.first_byte, watch.timings.sent) == (0, 2)


async def test_a_new_connection_has_its_phases_and_a_reused_one_has_not() -> None:
    """None for what did not take place."""
    async with raw_server(answer) as server, ClientSession(timings=True) as session:
        first = await session.get(server.url(host="localhost"))
        await first.read()
        again = await session.get(server.url(host="localhost"))
        await again.read()
    assert passed(first.timings) == {"dns", "connect", "sent", "first_byte", "total"}
    assert passed(again.timings) == {"sent", "first_byte", "total"}


async def test_the_total_is_there_when_the_content_is() -> None:
    """It ends with the last octet, and includes the wait for the first."""
    go_on = asyncio.Event()

    async def slow(conn: RawConnection) -> None:
        async for _ in conn:
            await asyncio.sleep(0.05)
            await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
            await go_on.wait()
            await conn.send(b"b")

    async with raw_server(slow) as server, ClientSession(timings=True) as session:
        reply = await session.get(server.url())
        assert passed(reply.timings) == {"connect", "sent", "first_byte"}
        assert reply.timings is not None
        assert (reply.timings.first_byte or 0) >= 0.045
        go_on.set()
        await reply.read()
        assert passed(reply.timings) == {"connect", "sent", "first_byte", "total"}


@pytest.mark.parametrize("tls_proxy", [False, True])
async def test_tls_and_the_proxy_are_told_apart(tls_proxy: bool) -> None:
    """TLS with an https proxy counts as the proxy's."""
    context = certs.server_context() if tls_proxy else None
    async with raw_server(http_proxy(), tls=context) as proxy:
        connector = ProxyConnector(proxy.url(), ssl_context=certs.client_context())
        async with ClientSession(connector=connector, timings=True) as session:
            async with raw_server(answer, tls=certs.server_context()) as server:
                tunnelled = await session.get(server.url())
            async with raw_server(answer) as server:
                forwarded = await session.get(server.url())
    ordinary = {"connect", "sent", "first_byte", "total"}
    assert passed(tunnelled.timings) == ordinary | {"proxy", "tls"}
    assert passed(forwarded.timings) == ordinary | ({"proxy"} if tls_proxy else set())


async def test_the_wait_for_a_slot_is_measured() -> None:
    """From the request to the slot."""
    released = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/held":
                await released.wait()
            await conn.send(response())

    connector = TCPConnector(limit=1)
    async with raw_server(script) as server, ClientSession(connector=connector, timings=True) as session:
        held = asyncio.create_task(session.get(server.url("/held")))
        await server.until(lambda: bool(server.requests))
        waiting = asyncio.create_task(session.get(server.url("/next")))
        await asyncio.sleep(0.05)
        released.set()
        await held
        reply = await waiting
    assert passed(reply.timings) == {"queued", "sent", "first_byte", "total"}
    assert reply.timings is not None
    assert (reply.timings.queued or 0) >= 0.045


async def test_each_response_of_a_redirection_has_its_own() -> None:
    """The second one finds the connection open."""
    async with raw_server(answer) as server, ClientSession(timings=True) as session:
        reply = await session.get(server.url("/a"))
    assert passed(reply.history[0].timings) >= {"connect", "first_byte", "total"}
    assert passed(reply.timings) == {"sent", "first_byte", "total"}


async def test_content_that_breaks_off_has_a_total() -> None:
    """Until then."""
    script = reply_with(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", close=True)
    async with raw_server(script) as server, ClientSession(timings=True) as session:
        reply = await session.get(server.url())
        with pytest.raises(ClientPayloadError):
            await reply.read()
    assert "total" in passed(reply.timings)


async def test_nobody_is_timed_who_does_not_ask() -> None:
    """A session with traces has what they need of it all the same."""
    async with (
        raw_server(answer) as server,
        ClientSession() as plain,
        ClientSession(trace_configs=[TraceConfig()]) as s,
    ):
        assert (await plain.get(server.url())).timings is None
        assert "total" in passed((await s.get(server.url())).timings)
