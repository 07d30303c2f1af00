"""What ``repr`` shows: the state of the moment, and no credentials, whatever they were given by."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import (
    BasicAuth,
    BearerAuth,
    ClientPayloadError,
    ClientSession,
    CookieJar,
    DigestAuth,
    FormData,
    ProxyConnector,
    StreamReader,
    TCPConnector,
    TraceConfig,
    UnixConnector,
    request,
)
from tests.support.raw_proxy import http_proxy
from tests.support.raw_server import RawConnection, raw_server, response

pytestmark = pytest.mark.usefixtures("nothing_left")

SECRET = "s3cr3t"


async def test_a_response_shows_how_much_has_come() -> None:
    """Of how much, where that is known; nothing more once all is there."""
    parts = asyncio.Queue[bytes]()

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            length = b"" if asked.target == "/eof" else b"Content-Length: 5\r\n"
            await conn.send(b"HTTP/1.1 200 OK\r\n" + length + b"\r\nab")
            while part := await parts.get():
                await conn.send(part)
            if asked.target != "/":
                return

    async with raw_server(script) as server, ClientSession() as session:
        reply = await session.get(server.url())
        head = f"<ClientResponse GET {server.url()} [200 OK]"
        assert repr(reply) == f"{head} 2 of 5 octets>"
        assert repr(reply.content) == "<StreamReader 2 octets held, open>"
        parts.put_nowait(b"cde")
        parts.put_nowait(b"")
        await reply.content.read()
        assert repr(reply) == f"{head}>"
        assert repr(reply.content) == "<StreamReader 0 octets held, eof>"

        reply = await session.get(server.url("/eof"))
        assert repr(reply).endswith("[200 OK] 2 octets so far>")
        parts.put_nowait(b"")
        await reply.read()

        reply = await session.get(server.url("/broken"))
        parts.put_nowait(b"")
        with pytest.raises(ClientPayloadError):
            await reply.read()
        assert repr(reply).endswith("[200 OK] 2 of 5 octets, failed>")


async def test_session_and_connector_show_what_is_open_and_who_waits() -> None:
    """The session by its connector; a proxy and a path are part of what a connector is."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/wait":
                await conn.read_eof()
                return
            await conn.send(response())

    async with raw_server(script) as server:
        session = ClientSession(connector=TCPConnector(limit=1))
        tasks = [asyncio.create_task(session.get(server.url("/wait"))) for _ in range(2)]
        await server.until(lambda: bool(server.requests))
        assert repr(session) == "<ClientSession <TCPConnector <Pool 1 active, 0 idle, 1 waiting>>>"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await (await session.get(server.url())).read()
        assert repr(session.connector) == "<TCPConnector <Pool 0 active, 1 idle, 0 waiting>>"
        await session.close()
        assert repr(session) == "<ClientSession closed>"
    proxy = ProxyConnector(f"http://me:{SECRET}@h:3128")
    assert repr(proxy) == "<ProxyConnector http://h:3128 <Pool 0 active, 0 idle, 0 waiting>>"
    assert repr(UnixConnector("/run/s")) == "<UnixConnector /run/s <Pool 0 active, 0 idle, 0 waiting>>"


async def test_nothing_that_is_held_shows_credentials(tmp_path: Path) -> None:
    """Whatever is to be had by the public names, and what hangs below it, as a debugger would show it."""
    jar = CookieJar()
    jar.update({"session": SECRET})
    async with raw_server(http_proxy()) as proxy, raw_server(answer) as server:
        connector = ProxyConnector(proxy.url().replace("//", f"//me:{SECRET}@"), proxy_headers={"X-Key": SECRET})
        session = ClientSession(
            connector=connector,
            headers={"Authorization": f"Bearer {SECRET}"},
            cookie_jar=jar,
            trace_configs=[TraceConfig()],
        )
        async with session:
            context = session.get(server.url().replace("//", f"//me:{SECRET}@"), headers={"X-Key": SECRET})
            shown: list[Any] = [context, session, connector, jar, session.timeout]
            reply = await context
            shown += [reply, reply._exchange, reply.request_info, reply.timings, reply.content]
            shown += [*connector._connections, connector._pool, *(c._channel for c in connector._connections)]
            await reply.read()
    shown += [BasicAuth("me", SECRET), BearerAuth(SECRET), DigestAuth("me", SECRET), FormData({"password": SECRET})]
    stream = StreamReader()
    stream.feed_data(SECRET.encode())
    shown += [stream, request("get", f"http://me:{SECRET}@h/")]
    shown[-1].close()
    for value in shown:
        assert SECRET not in repr(value)
        assert not re.search(r"bWU6|Bearer s", repr(value)), value


async def answer(conn: RawConnection) -> None:
    """Answers."""
    async for _ in conn:
        await conn.send(response(body=b"content"))
