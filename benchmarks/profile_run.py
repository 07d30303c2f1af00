"""Profile ``fetchd run`` on many small files: where the microseconds of one item go.

    .venv/bin/python benchmarks/profile_run.py [--count 20000] [--top 40] [--sort tottime] [--absent]

Starts an nginx of its own. First a plain run as a process of its own, for the true cost, then the same
in this process under cProfile, which sees the event loop's thread only (its writers show as waiting)
and makes calls look dearer than they are: read it for the order of things and the calls per item.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

# A script's own folder is on the path, the repository is not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench.machine import Cores, assign_cores, scratch_folder, warm_memory
from benchmarks.bench.nginx import Nginx
from benchmarks.bench.process import measure
from benchmarks.bench.rows.programs import fetchd_run
from benchmarks.bench.site import Site
from fetchd.crawler.cli import main as fetchd

WARM_BYTES = 256 * 1024 * 1024


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="items (default 20000)")
    parser.add_argument("--absent", action="store_true", help="URLs that answer 404 instead of files of 1 KiB")
    parser.add_argument("--top", type=int, default=40, help="functions to list (default 40)")
    parser.add_argument("--sort", default="tottime", help="tottime, cumtime or ncalls (default tottime)")
    return parser.parse_args()


def write_manifest(given: argparse.Namespace, site: Site, origin: str, manifest: Path) -> None:
    """Write the URLs of the run, making the files they name."""
    if given.absent:
        paths: Sequence[str] = [f"/none/{number:08d}.bin" for number in range(given.count)]
    else:
        paths = site.make_small(given.count)
    manifest.write_text("".join(f"{origin}{path}\n" for path in paths), encoding="ascii")


def run_plain(given: argparse.Namespace, cores: Cores, scratch: Path, manifest: Path) -> None:
    """Run once as a process and print what an item cost."""
    warm_memory(scratch, WARM_BYTES)
    taken = measure(fetchd_run(manifest, scratch / "plain"), core=cores.client, timeout=300, home=scratch)
    cost = taken.cpu / given.count * 1e6
    print(f"without the profiler: exit code {taken.exit_code}, {taken.wall:.2f} s, {cost:.1f} us of CPU an item")
    print(f"with start-up and all threads; {taken.peak_kib / 1024:.1f} MiB")


def run_profiled(given: argparse.Namespace, cores: Cores, scratch: Path, manifest: Path) -> None:
    """Run once in this process under cProfile and print the functions."""
    warm_memory(scratch, WARM_BYTES)
    os.sched_setaffinity(0, {cores.client})
    sys.argv = fetchd_run(manifest, scratch / "profiled")
    profile = cProfile.Profile()
    try:
        profile.runcall(fetchd)
    except SystemExit as ended:
        print(f"with it: exit code {ended.code}")
    pstats.Stats(profile).strip_dirs().sort_stats(given.sort).print_stats(given.top)


def main() -> int:
    """Run plain, run profiled, print both."""
    given = parse_arguments()
    cores, scratch = assign_cores(), scratch_folder()
    try:
        site, manifest = Site(scratch / "site"), scratch / "urls.txt"
        with Nginx(site.root, scratch, cores.server) as nginx:
            write_manifest(given, site, nginx.url, manifest)
            run_plain(given, cores, scratch, manifest)
            run_profiled(given, cores, scratch, manifest)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
