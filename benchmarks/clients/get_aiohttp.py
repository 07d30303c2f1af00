"""GET, or POST with ``--post``, by aiohttp on uvloop, as its documentation shows it: default jar, default headers."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator

import uvloop
from aiohttp import ClientSession

from .loadgen import WARM_UP_REQUESTS, Load, Meter, parse_load


async def worker(session: ClientSession, urls: Iterator[str], content: bytes | None) -> tuple[int, int]:
    """Ask for one URL after the other; return (requests, octets)."""
    ask = session.get if content is None else functools.partial(session.post, data=content)
    requests = octets = 0
    for url in urls:
        async with ask(url) as response:
            octets += len(await response.read())
        requests += 1
    return requests, octets


async def drive(session: ClientSession, load: Load, count: int) -> tuple[int, int]:
    """Share *count* requests among the workers; return (requests, octets)."""
    urls = load.turns(count)
    totals = await asyncio.gather(*(worker(session, urls, load.content) for _ in range(load.connections)))
    return sum(done for done, _ in totals), sum(octets for _, octets in totals)


async def main(load: Load) -> str:
    """Warm up, measure, and return the report."""
    async with ClientSession() as session:
        await drive(session, load, WARM_UP_REQUESTS)
        meter = Meter()
        return meter.report(*await drive(session, load, load.count))


if __name__ == "__main__":
    print(uvloop.run(main(parse_load())))
