"""Row ``ledger``: what the ledger costs a run, and what it costs to survive a loss of power.

The ledger's share shows where all else is cheapest, many small files on a memory file system. The run without it is a
script that keeps rows from being looked up and written: the command has no such option. Syncing shows on the machine's
disk alone, and differs with the disk: no target.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from ..machine import file_system_of
from ..process import Measurement
from ..rounds import (
    Bench,
    Contender,
    Figures,
    Samples,
    disturbance,
    expect_exit,
    process_figures,
    run_rounds,
    shown_command,
)
from ..site import SMALL_BYTES
from ..table import RowResult, compare, number, printed
from .files import DISK, PAGE_BYTES, verify
from .programs import fetchd_run, missing_fetchd_run

FILES, QUICK_FILES = 20_000, 2_000
DISK_FILES, QUICK_DISK_FILES = 2_000, 200
WITHOUT = "benchmarks.clients.run_without_ledger"


def run(bench: Bench) -> RowResult:
    """Measure the row."""
    count, disk_count = (QUICK_FILES, QUICK_DISK_FILES) if bench.quick else (FILES, DISK_FILES)
    urls = [bench.nginx.url + path for path in bench.site.make_small(count)]
    with tempfile.TemporaryDirectory(prefix="fetchd-bench-", dir=DISK, ignore_cleanup_errors=True) as folder:
        memory, disk = bench.scratch / "ledger", Path(folder) / "ledger"
        contenders = [
            _contender(bench, "fetchd run", memory, urls),
            _contender(bench, "without a ledger", memory, urls),
            _contender(bench, "fetchd run, disk", disk, urls[:disk_count]),
            _contender(bench, "--durability power, disk", disk, urls[:disk_count], "--durability", "power"),
        ]
        samples = run_rounds(bench, contenders)
    shutil.rmtree(bench.scratch / "ledger", ignore_errors=True)
    return _result(bench, samples, count, disk_count)


def _contender(bench: Bench, name: str, output: Path, urls: list[str], *options: str) -> Contender:
    manifest = bench.scratch / f"ledger-{len(urls)}.txt"
    manifest.write_text("".join(f"{url}\n" for url in urls), encoding="ascii")
    command = fetchd_run(manifest, output, *options)
    if name == "without a ledger":
        command = [sys.executable, "-m", WITHOUT, *command[1:]]

    def prepare() -> None:
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()

    def figures(measured: Measurement) -> Figures:
        expect_exit(measured, 0)
        verify(output, len(urls), SMALL_BYTES)
        return process_figures(measured)

    return Contender(
        name=name,
        command=command,
        figures=figures,
        prepare=prepare,
        writes=len(urls) * PAGE_BYTES,
        missing=missing_fetchd_run(),
    )


def _result(bench: Bench, samples: list[Samples], count: int, disk_count: int) -> RowResult:
    where = f"{count:,} to memory, {disk_count:,} to {file_system_of(DISK)}"
    result = RowResult(
        key="ledger",
        title=f"What keeping account costs: files of 1 KiB, {where}",
        header=("run", "seconds, min", "median", "CPU s, min", "median"),
        samples=samples,
        notes=disturbance(samples),
    )
    for sample in samples:
        result.commands.append((sample.contender.name, shown_command(bench, sample.contender.command)))
        if sample.usable:
            cells = [take(figure) for figure in ("wall_s", "cpu_s") for take in (sample.least, sample.median)]
            result.lines.append([sample.contender.name, *map(number, cells)])
        else:
            result.notes.append(f"{sample.contender.name}: {sample.failure}")
    ours, without, disk, power = samples
    result.targets += [
        printed("seconds, with the ledger over without", compare(ours, without, "wall_s")),
        printed("CPU, with the ledger over without", compare(ours, without, "cpu_s")),
        printed("seconds, --durability power over process, on disk", compare(power, disk, "wall_s")),
        printed("CPU, --durability power over process, on disk", compare(power, disk, "cpu_s")),
    ]
    return result
