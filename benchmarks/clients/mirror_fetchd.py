"""Downloads chained into uploads by fetchd.client on uvloop."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator

import uvloop

from fetchd.client import ClientSession, TCPConnector, client_context

from .loadgen import Meter


async def main(given: argparse.Namespace) -> str:
    """Open the connections with other requests, measure, and return the report."""
    context = None if given.authority is None else client_context(given.authority)
    async with (
        ClientSession(connector=TCPConnector(ssl_context=context), auto_decompress=False) as sources,
        ClientSession() as sinks,
    ):
        for session, url in ((sources, given.source), (sinks, given.sink)):
            async with session.head(url):
                pass
        numbers = iter(range(given.count))
        meter = Meter()
        work = [_mirror(sources, sinks, given, numbers) for _ in range(given.connections)]
        return meter.report(given.count, sum(await asyncio.gather(*work)))


async def _mirror(sources: ClientSession, sinks: ClientSession, given: argparse.Namespace, left: Iterator[int]) -> int:
    octets = 0
    for number in left:
        async with (
            sources.get(given.source) as source,
            sinks.put(f"{given.sink}/{number}", data=source.content) as answer,
        ):
            answer.raise_for_status()
            octets += source.content.length or 0
    return octets


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("sink")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--authority")
    print(uvloop.run(main(parser.parse_args())))
