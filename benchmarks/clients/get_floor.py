"""The floor under any asyncio client: raw sockets, ``add_reader`` and httptools, nothing else.

No session, pool, deadline, task or response object: one callback a readable socket, the next
request sent from it. What a client costs beyond this is its own doing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httptools
import uvloop

from .loadgen import WARM_UP_REQUESTS, Load, Meter, parse_load


class Tally:
    """What all connections of one drive have done together."""

    def __init__(self, urls: Iterator[str], finished: asyncio.Future[None]) -> None:
        self.urls = urls
        self.finished = finished
        self.requests = self.octets = self.busy = 0


class Connection:
    """One socket; the parser's callbacks are its methods."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = f"{address[0]}:{address[1]}"
        self.tally: Tally | None = None
        self.body: list[bytes] = []
        loop.add_reader(self.socket.fileno(), self.readable)

    def begin(self, tally: Tally) -> None:
        """Ask for URLs until there are none left."""
        self.tally = tally
        tally.busy += 1
        self.ask(tally)

    def ask(self, tally: Tally) -> None:
        """Send the next request; a fresh parser reads its response."""
        url = next(tally.urls, None)
        if url is None:
            tally.busy -= 1
            if not tally.busy:
                tally.finished.set_result(None)
            return
        self.parser = httptools.HttpResponseParser(self)
        path = url[url.index("/", 8) :]
        head = f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nAccept: */*\r\n\r\n".encode()
        if self.socket.send(head) != len(head):
            raise SystemExit("the kernel took only a part of a request head")

    def readable(self) -> None:
        """Read what there is and hand it to the parser."""
        data = self.socket.recv(65536)
        if not data:
            raise SystemExit("the server closed a connection")
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        self.body.append(data)

    def on_message_complete(self) -> None:
        """Count the response and go on."""
        tally = self.tally
        assert tally is not None  # a response without a request would have failed in the parser
        if self.parser.get_status_code() != 200:
            raise SystemExit(f"status {self.parser.get_status_code()}")
        tally.octets += len(b"".join(self.body))
        tally.requests += 1
        self.body.clear()
        self.ask(tally)


async def drive(connections: list[Connection], urls: Iterator[str]) -> tuple[int, int]:
    """Use every connection until *urls* ends; return (requests, octets)."""
    tally = Tally(urls, asyncio.get_running_loop().create_future())
    for connection in connections:
        connection.begin(tally)
    await tally.finished
    return tally.requests, tally.octets


async def main(load: Load) -> str:
    """Warm up, measure, and return the report."""
    parts = urlsplit(load.urls[0])
    address = (parts.hostname or "", parts.port or 80)
    loop = asyncio.get_running_loop()
    connections = [Connection(loop, address) for _ in range(load.connections)]
    await drive(connections, load.turns(WARM_UP_REQUESTS))
    meter = Meter()
    report = meter.report(*await drive(connections, load.turns(load.count)))
    for connection in connections:
        loop.remove_reader(connection.socket.fileno())
        connection.socket.close()
    return report


if __name__ == "__main__":
    print(uvloop.run(main(parse_load())))
