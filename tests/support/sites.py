"""A site of many small pages on the scripted server, for tests of whole runs; it keeps count of what was asked.

    site = Site({"/a": response(200, b"a"), "/b": slow})
    async with site.serve() as server: ...
    assert site.asked == {"/a": 1, "/b": 2}

A page is the octets of its reply, a list of pages (one a request, the last one again and again), or a script of its
own, which is given the connection and the request. What is not a page is 404.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from .raw_server import PeerLeft, RawConnection, RawServer, Request, raw_server, response

__all__ = ["Page", "PageScript", "Site", "broken_off"]

PageScript = Callable[[RawConnection, Request], Awaitable[None]]
Page = bytes | PageScript | Sequence[bytes | PageScript]

_NOT_FOUND = response(404, reason="Not Found")


class Site:
    """Pages by their target.

    Attributes:
        pages: May be changed while it serves.
        asked: Requests by target.
        most_at_once: Most requests that were under way at a time.
    """

    def __init__(self, pages: Mapping[str, Page] | None = None, *, default: Page = _NOT_FOUND) -> None:
        self.pages: dict[str, Page] = dict(pages or {})
        self.asked: Counter[str] = Counter()
        self.most_at_once = 0
        self._default = default
        self._under_way = 0

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[RawServer]:
        """Serve on *port* of *host*; 0 is a free one."""
        async with raw_server(self.script, host=host, port=port) as server:
            yield server

    async def script(self, conn: RawConnection) -> None:
        """Serve one connection; a page's script that closes it ends this too."""
        async for request in conn:
            self.asked[request.target] += 1
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
            try:
                await self._answer(conn, request)
            finally:
                self._under_way -= 1

    async def _answer(self, conn: RawConnection, request: Request) -> None:
        page = self.pages.get(request.target, self._default)
        if not callable(page) and not isinstance(page, bytes):
            page = page[min(self.asked[request.target], len(page)) - 1]
        if callable(page):
            await page(conn, request)
        else:
            await conn.send(page)


def broken_off(reply: bytes, *, reset: bool = False) -> PageScript:
    """Return a page that sends *reply*, which is not whole, and ends the connection, in order or by a reset."""

    async def script(conn: RawConnection, _: Request) -> None:
        await conn.send(reply)
        if reset:
            conn.reset()
        else:
            conn.cut()
        raise PeerLeft("it was the server that left")

    return script
