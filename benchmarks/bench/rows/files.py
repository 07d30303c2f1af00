"""Rows ``files`` and ``disk``: 20,000 files of 1 KiB from a list, by commands, to memory and to the machine's disk.

Every program gets the same URLs in the order of their names and an empty folder, and what it left
there is checked: how many files, how many octets, and the content of a sample. fetchd's figures
hold its ledger. On a memory file system the programs show; on a disk what its users have: aria2c
allocates there as it does unless told otherwise, and nobody syncs.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..machine import file_system_of
from ..process import BenchmarkError, Measurement
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
from ..site import SMALL_BYTES, files_below, number_of, small_content
from ..table import RowResult, at_least, compare, median_of, number, printed, ratio
from .programs import PARALLEL, fetchd_run, missing_fetchd_run, missing_program

FILES, QUICK_FILES = 20_000, 2_000
# What a file of 1 KiB takes of a memory file system.
PAGE_BYTES = 4096
DIGEST_SAMPLE = 500
ARIA2_RATIO = 6.0
# A disk wherever the hierarchy is kept (FHS 3.0 section 5.15); /tmp may be memory.
DISK = Path("/var/tmp")


def run(bench: Bench) -> RowResult:
    """Measure the row ``files``."""
    samples = _measure(bench, bench.scratch / "files", "--file-allocation=none")
    result = _result(bench, samples, "files", "to memory")
    ours, curl, wget2, aria2 = samples
    result.targets += [
        at_least("seconds, wget2 over fetchd run, above 1", compare(wget2, ours, "wall_s"), 1.0),
        at_least(
            f"seconds, aria2c over fetchd run, at least {ARIA2_RATIO:g}",
            compare(aria2, ours, "wall_s"),
            ARIA2_RATIO,
        ),
        printed("seconds, fetchd run over curl -Z", compare(ours, curl, "wall_s")),
    ]
    return result


def run_on_disk(bench: Bench) -> RowResult:
    """Measure the row ``disk``."""
    with tempfile.TemporaryDirectory(prefix="fetchd-bench-", dir=DISK, ignore_cleanup_errors=True) as folder:
        samples = _measure(bench, Path(folder) / "files")
    result = _result(bench, samples, "disk", f"to {file_system_of(DISK)}")
    ours, *peers = samples
    for peer in peers:
        # The file system's share is most of it, and differs threefold from one hour to the next: no target.
        result.targets.append(printed(f"seconds, {peer.contender.name} over fetchd run", compare(peer, ours, "wall_s")))
    return result


def _measure(bench: Bench, output: Path, *aria2_options: str) -> list[Samples]:
    """What each program takes to fill *output*."""
    count = QUICK_FILES if bench.quick else FILES
    urls = [bench.nginx.url + path for path in bench.site.make_small(count)]
    contenders = [
        _contender(name, command, missing, output, count)
        for name, command, missing in _commands(bench.scratch, output, urls, aria2_options)
    ]
    samples = run_rounds(bench, contenders)
    shutil.rmtree(output, ignore_errors=True)
    return samples


def _commands(
    scratch: Path, output: Path, urls: Sequence[str], aria2_options: Sequence[str]
) -> list[tuple[str, list[str], str]]:
    """Return (name, command, why it cannot run); writes the list each program reads."""
    manifest, settings = scratch / "urls.txt", scratch / "curl.cfg"
    manifest.write_text("".join(f"{url}\n" for url in urls), encoding="ascii")
    # curl has no list of URLs; its settings file with a name for each is its own way to say it.
    entries = (f'url = "{url}"\noutput = "{output}/{url.rpartition("/")[2]}"\n' for url in urls)
    settings.write_text("".join(entries), encoding="ascii")
    curl = ["curl", "-sf", "-Z", "--parallel-max", str(PARALLEL), "-K", str(settings)]
    wget2 = ["wget2", "-q", f"--max-threads={PARALLEL}", "-nd", "-P", str(output), "-i", str(manifest)]
    aria2 = ["aria2c", "-q", f"-j{PARALLEL}", *aria2_options, "-d", str(output), "-i", str(manifest)]
    return [
        ("fetchd run", fetchd_run(manifest, output), missing_fetchd_run()),
        ("curl -Z", curl, missing_program("curl")),
        ("wget2", wget2, missing_program("wget2")),
        ("aria2c", aria2, missing_program("aria2c")),
    ]


def _contender(name: str, command: list[str], missing: str, output: Path, count: int) -> Contender:
    def prepare() -> None:
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()

    def figures(measured: Measurement) -> Figures:
        expect_exit(measured, 0)
        _verify(output, count)
        return process_figures(measured)

    return Contender(
        name=name,
        command=command,
        figures=figures,
        prepare=prepare,
        writes=count * PAGE_BYTES,
        missing=missing,
    )


def _verify(output: Path, count: int) -> None:
    """Raise BenchmarkError unless *output* holds *count* files with the octets that were sent."""
    found = sorted(files_below(output))
    octets = sum(path.stat().st_size for path in found)
    if len(found) != count or octets != count * SMALL_BYTES:
        raise BenchmarkError(f"{len(found)} files, {octets} octets; expected {count} of {SMALL_BYTES} octets")
    for path in random.Random(count).sample(found, min(DIGEST_SAMPLE, count)):
        expected = hashlib.sha256(small_content(number_of(path))).digest()
        if hashlib.sha256(path.read_bytes()).digest() != expected:
            raise BenchmarkError(f"{path.name} does not hold what was sent")


def _result(bench: Bench, samples: list[Samples], key: str, where: str) -> RowResult:
    count = QUICK_FILES if bench.quick else FILES
    result = RowResult(
        key=key,
        title=f"{count:,} files of 1 KiB from a list, {where}, {PARALLEL} at once",
        header=("program", "seconds, min", "median", "CPU s, min", "median", "VmHWM MiB",
                "seconds: times fetchd's"),
        samples=samples,
        notes=disturbance(samples),
    )  # fmt: skip
    for sample in samples:
        result.commands.append((sample.contender.name, shown_command(bench, sample.contender.command)))
        if not sample.usable:
            result.notes.append(f"{sample.contender.name}: {sample.failure}")
            continue
        result.lines.append(
            [
                sample.contender.name,
                *_cells(sample),
                number(ratio(median_of(sample, "wall_s"), median_of(samples[0], "wall_s"))),
            ]
        )
    return result


def _cells(sample: Samples) -> list[str]:
    return [
        number(sample.least("wall_s")),
        number(sample.median("wall_s")),
        number(sample.least("cpu_s")),
        number(sample.median("cpu_s")),
        number(sample.most("peak_mib")),
    ]
