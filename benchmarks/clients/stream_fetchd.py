"""One body through ``iter_chunked(64 KiB)`` by fetchd.client on uvloop, over TLS."""

from __future__ import annotations

import argparse

import uvloop

from fetchd.client import ClientSession, TCPConnector, client_context

from .loadgen import Meter

PIECE_BYTES = 65_536


async def main(url: str, authority: str) -> str:
    """Open the connection with another request, measure, and return the report."""
    async with ClientSession(connector=TCPConnector(ssl_context=client_context(authority))) as session:
        async with session.head(url):
            pass
        meter = Meter()
        octets = 0
        async with session.get(url) as response:
            async for piece in response.content.iter_chunked(PIECE_BYTES):
                octets += len(piece)
        return meter.report(1, octets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("authority")
    given = parser.parse_args()
    print(uvloop.run(main(given.url, given.authority)))
