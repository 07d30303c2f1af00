"""``make bench``: fetchd beside its peers against nginx, every target with its ratio.

    .venv/bin/python benchmarks/run.py [--rows small,files,large] [--rounds 5] [--quick] [--keep]

A full run (all rows, not quick) is kept in ``benchmarks/runs/`` as dated Markdown and JSON.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

# A script's own folder is on the path, the repository is not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench.machine import REPOSITORY, assign_cores, describe, scratch_folder
from benchmarks.bench.nginx import Nginx
from benchmarks.bench.process import BenchmarkError
from benchmarks.bench.report import keep, render_summary
from benchmarks.bench.rounds import Bench
from benchmarks.bench.rows import bodies, files, handoff, imports, large, ledger, memory, mirror, small, stream
from benchmarks.bench.site import Site
from benchmarks.bench.table import RowResult, render

ROWS: dict[str, Callable[[Bench], RowResult]] = {
    "small": small.run,
    "bodies": bodies.run,
    "stream": stream.run,
    "mirror": mirror.run,
    "handoff": handoff.run,
    "imports": imports.run,
    "files": files.run,
    "files100k": files.run_middle,
    "files1m": files.run_larger,
    "disk": files.run_on_disk,
    "ledger": ledger.run,
    "large": large.run,
    "memory": memory.run,
}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="rows to run, separated by commas")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds after the warm-up (default 5)")
    parser.add_argument("--quick", action="store_true", help="one round, little work, no warm-up: a first look")
    parser.add_argument("--keep", action="store_true", help="keep the output of a part of the rows as well")
    given = parser.parse_args()
    given.rows = [name.strip() for name in given.rows.split(",") if name.strip()]
    unknown = sorted(set(given.rows) - set(ROWS))
    if unknown or not given.rows:
        parser.error(f"unknown row {', '.join(unknown) or 'none'}; there are {', '.join(ROWS)}")
    return given


def say(line: str) -> None:
    """Tell progress on standard error."""
    print(line, file=sys.stderr, flush=True)


def run_rows(given: argparse.Namespace, scratch: Path) -> tuple[list[tuple[str, str]], list[RowResult]]:
    """Start the server, run the rows in turn, and return the machine's description and the results."""
    cores = assign_cores()
    # The harness shares the server's core, so that its own work does not fall on the program measured.
    os.sched_setaffinity(0, {cores.server})
    machine = describe(cores, scratch)
    site, server_folder = Site(scratch / "site"), scratch / "nginx"
    server_folder.mkdir()
    results: list[RowResult] = []
    with Nginx(site.root, server_folder, cores.server) as nginx:
        for name in given.rows:
            say(f"row {name}")
            bench = Bench(
                cores=cores,
                scratch=scratch,
                site=site,
                nginx=nginx,
                rounds=1 if given.quick else given.rounds,
                quick=given.quick,
                say=say,
                earlier=[sample for result in results for sample in result.samples],
            )
            results.append(ROWS[name](bench))
            print(render(results[-1]), flush=True)
    return machine, results


def main() -> int:
    """Run the benchmark; 0 when it ran, whatever the figures, 2 when it could not."""
    given = parse_arguments()
    scratch = scratch_folder()
    try:
        machine, results = run_rows(given, scratch)
    except BenchmarkError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(render_summary(machine, results))
    if given.keep or (set(given.rows) == set(ROWS) and not given.quick):
        kept = keep(machine, results, 1 if given.quick else given.rounds)
        say(f"kept as {kept.relative_to(REPOSITORY)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
