"""The site serves what it is told and keeps count: tests of a test's tool."""

from __future__ import annotations

import asyncio

import pytest

from .raw_server import RawConnection, Request, response
from .sites import Site, broken_off

pytestmark = pytest.mark.usefixtures("no_leaked_fds")


async def ask(port: int, *targets: str) -> bytes:
    """Ask for each target on one connection and return all that came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.writelines(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode() for target in targets)
    writer.write_eof()
    came = await reader.read()
    writer.close()
    await writer.wait_closed()
    return came


async def test_pages_are_octets_lists_or_scripts_and_all_else_is_missing() -> None:
    """A list gives its last page again and again."""

    async def script(conn: RawConnection, request: Request) -> None:
        await conn.send(response(200, request.target.encode()))

    first, second = response(500), response(200, b"second")
    site = Site({"/octets": first, "/list": [first, second], "/script": script})
    async with site.serve() as server:
        assert await ask(server.port, "/octets", "/script", "/no") == (
            first + response(200, b"/script") + response(404, reason="Not Found")
        )
        assert await ask(server.port, "/list", "/list", "/list") == first + second + second
    assert site.asked == {"/octets": 1, "/script": 1, "/no": 1, "/list": 3}


async def test_requests_under_way_are_counted() -> None:
    """The most that there were at a time, over all connections."""
    all_here = asyncio.Event()

    async def meet(conn: RawConnection, _: Request) -> None:
        if site.most_at_once == 3:
            all_here.set()
        await all_here.wait()
        await conn.send(response(204))

    site = Site(default=meet)
    async with site.serve() as server:
        await asyncio.gather(*(ask(server.port, f"/{n}") for n in range(3)))
        await ask(server.port, "/again")
    assert site.most_at_once == 3


@pytest.mark.parametrize("reset", [False, True])
async def test_a_page_may_break_off(reset: bool) -> None:
    """The connection ends with it, in order or by a reset; the site serves on."""
    site = Site({"/a": broken_off(b"HTTP/1.1 200", reset=reset), "/b": response(204)})
    async with site.serve() as server:
        try:
            assert await ask(server.port, "/a") == b"HTTP/1.1 200"
        except ConnectionResetError:
            assert reset
        assert await ask(server.port, "/b") == response(204)
