"""Requests to many hosts over few slots by fetchd.client on uvloop.

Each one opens a connection in a slot that it waited for. Every host is the same server under another name, as
a resolver of the script's own says.
"""

from __future__ import annotations

import argparse
import asyncio
import socket

import uvloop

from fetchd.client import ClientSession, TCPConnector
from fetchd.client.resolver import AddrInfo

from .loadgen import Meter

SLOTS = 8


class OneServer:
    """Every name is 127.0.0.1."""

    async def resolve(self, host: str, port: int, family: int = 0) -> list[AddrInfo]:
        """See ``Resolver``."""
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]


async def main(port: int, hosts: int, count: int) -> str:
    """Let all hosts ask side by side, *count* requests in all, and return the report."""
    connector = TCPConnector(limit=SLOTS, force_close=True, resolver=OneServer())
    async with ClientSession(connector=connector) as session:

        async def ask(number: int) -> int:
            octets = 0
            for _ in range(count // hosts):
                async with session.get(f"http://h{number}.test:{port}/small/000/000000.bin") as response:
                    octets += len(await response.read())
            return octets

        meter = Meter()
        octets = sum(await asyncio.gather(*map(ask, range(hosts))))
        return meter.report(count // hosts * hosts, octets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--hosts", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    given = parser.parse_args()
    print(uvloop.run(main(given.port, given.hosts, given.count)))
