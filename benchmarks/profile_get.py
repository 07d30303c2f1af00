"""Profile the small GET row of fetchd.client: where the microseconds of one request go.

    .venv/bin/python benchmarks/profile_get.py [--count 20000] [--top 40] [--sort tottime] [--url URL]

Starts an nginx of its own unless a URL is given. First a plain run, for the true cost, then the
same under cProfile, which makes calls look dearer than they are: read it for the order of things
and the call counts per request, never for the cost itself.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import json
import os
import pstats
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import uvloop

# A script's own folder is on the path, the repository is not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench.machine import assign_cores, scratch_folder
from benchmarks.bench.nginx import Nginx
from benchmarks.bench.site import Site
from benchmarks.clients.get_fetchd import main as get_all
from benchmarks.clients.loadgen import Load


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="what to get; default a 1 KiB file of an nginx started for it")
    parser.add_argument("--count", type=int, default=20_000, help="requests (default 20000)")
    parser.add_argument("--connections", type=int, default=64, help="at once (default 64)")
    parser.add_argument("--top", type=int, default=40, help="functions to list (default 40)")
    parser.add_argument("--sort", default="tottime", help="tottime, cumtime or ncalls (default tottime)")
    return parser.parse_args()


@contextlib.contextmanager
def served_url(given: str | None) -> Iterator[str]:
    """Yield the URL to get, with a server behind it; this process moves to the client's core."""
    cores = assign_cores()
    os.sched_setaffinity(0, {cores.client})
    if given is not None:
        yield given
        return
    scratch = scratch_folder()
    try:
        site = Site(scratch / "site")
        path = site.make_small(1)[0]
        with Nginx(site.root, scratch, cores.server) as nginx:
            yield nginx.url + path
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main() -> int:
    """Run plain, run profiled, print both."""
    given = parse_arguments()
    with served_url(given.url) as url:
        load = Load([url], given.connections, given.count, None)
        told = json.loads(uvloop.run(get_all(load)))
        profile = cProfile.Profile()
        profile.runcall(uvloop.run, get_all(load))
    per_request = told["cpu_s"] / given.count * 1e6
    rate = given.count / told["wall_s"]
    print(f"without the profiler: {per_request:.1f} us of CPU a request, {rate:,.0f} requests/s")
    print("with it (the warm-up of 2,000 requests is in the counts):")
    pstats.Stats(profile).strip_dirs().sort_stats(given.sort).print_stats(given.top)
    return 0


if __name__ == "__main__":
    sys.exit(main())
