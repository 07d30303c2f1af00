"""GET by pyreqwest on uvloop, as its documentation shows it: a client for all, ``build().send()`` for each.

Its requests are made by threads of its own (tokio), whose processor time counts as the process's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import uvloop
from pyreqwest.client import Client, ClientBuilder

from .loadgen import WARM_UP_REQUESTS, Load, Meter, parse_load


async def worker(client: Client, urls: Iterator[str]) -> tuple[int, int]:
    """Ask for one URL after the other; return (requests, octets)."""
    requests = octets = 0
    for url in urls:
        response = await client.get(url).build().send()
        octets += len(await response.bytes())
        requests += 1
    return requests, octets


async def drive(client: Client, load: Load, count: int) -> tuple[int, int]:
    """Share *count* requests among the workers; return (requests, octets)."""
    urls = load.turns(count)
    totals = await asyncio.gather(*(worker(client, urls) for _ in range(load.connections)))
    return sum(done for done, _ in totals), sum(octets for _, octets in totals)


async def main(load: Load) -> str:
    """Warm up, measure, and return the report."""
    async with ClientBuilder().error_for_status(True).build() as client:
        await drive(client, load, WARM_UP_REQUESTS)
        meter = Meter()
        return meter.report(*await drive(client, load, load.count))


if __name__ == "__main__":
    print(uvloop.run(main(parse_load())))
