"""What the client scripts share: their arguments, the clock, the JSON line they end with.

Each script is one library in one process: ``get_x.py URL --connections 64 --count 60000``. It warms
up, then asks *count* times over *connections* kept-alive connections and prints one JSON object:
requests, body_bytes, wall_s and cpu_s (this process, user + system, all threads) of the measured part.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

# Connections are opened, the interpreter has specialised its code, caches are filled.
WARM_UP_REQUESTS = 2_000


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask for: the URLs in turn, over how many connections, how often; *content* to POST, none for GET."""

    urls: list[str]
    connections: int
    count: int
    content: bytes | None

    def turns(self, count: int) -> Iterator[str]:
        """Yield *count* URLs, each in turn; shared by all workers of a run."""
        return itertools.islice(itertools.cycle(self.urls), count)


def parse_load() -> Load:
    """Read the command line; with ``--spread N`` the URL is a template filled with 0 .. N-1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--spread", type=int, default=1)
    parser.add_argument("--post", type=int, metavar="OCTETS")
    given = parser.parse_args()
    urls = [given.url] if given.spread == 1 else [given.url.format(n) for n in range(given.spread)]
    return Load(urls, given.connections, given.count, None if given.post is None else bytes(given.post))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@dataclass(slots=True)
class Meter:
    """Counts from its making on."""

    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=_cpu_seconds)

    def report(self, requests: int, body_bytes: int) -> str:
        """Return the JSON line for what was done since the meter was made."""
        wall, cpu = time.perf_counter() - self.wall, _cpu_seconds() - self.cpu
        told = {"requests": requests, "body_bytes": body_bytes, "wall_s": wall, "cpu_s": cpu}
        return json.dumps(told)
