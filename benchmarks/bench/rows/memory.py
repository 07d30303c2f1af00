"""Row ``memory``: does what ``fetchd run`` holds grow with the length of the manifest?

Manifests of distinct URLs that all answer 404 at once: nothing but manifest, scheduler and ledger
takes part. One run each, no rounds: a peak is a peak. Peaks of the other rows of the same run are
listed beside it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

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
from ..table import RowResult, at_most, number
from .programs import fetchd_run, missing_fetchd_run

LENGTHS, QUICK_LENGTHS = (1_000, 100_000, 1_000_000), (1_000, 100_000)
LIMIT_MIB = 80
# "The same": allocator, batches and SQLite's page cache fill up in the first seconds of a long run, and then stay.
SAME_MIB = 5
# Every item failed: docs/run.md names 1 for a run that is through with items failed.
SOME_FAILED = 1
SECONDS_ALLOWED_PER_ITEM = 0.001


def run(bench: Bench) -> RowResult:
    """Measure the row."""
    lengths = QUICK_LENGTHS if bench.quick else LENGTHS
    samples = run_rounds(bench, [_contender(bench, length) for length in lengths], rounds=1)
    shutil.rmtree(bench.scratch / "memory", ignore_errors=True)
    return _result(bench, samples, lengths)


def _contender(bench: Bench, length: int) -> Contender:
    output, manifest = bench.scratch / "memory", bench.scratch / f"absent-{length}.txt"
    served = 0

    def prepare() -> None:
        nonlocal served
        shutil.rmtree(output, ignore_errors=True)
        _write_manifest(manifest, bench.nginx.url, length)
        served = bench.nginx.requests_served()

    def figures(measured: Measurement) -> Figures:
        expect_exit(measured, SOME_FAILED)
        asked = bench.nginx.requests_served() - served - 1
        if asked < length:
            said = measured.errors.strip().rpartition("\n")[2]
            raise BenchmarkError(f"{asked} requests for {length} lines; {said or 'no message'}")
        manifest.unlink()
        return {**process_figures(measured), "us_per_item": measured.cpu / length * 1e6}

    return Contender(
        name=f"fetchd run, {length:,} lines",
        command=fetchd_run(manifest, output),
        figures=figures,
        prepare=prepare,
        timeout=60 + length * SECONDS_ALLOWED_PER_ITEM,
        missing=missing_fetchd_run(),
    )


def _write_manifest(manifest: Path, origin: str, length: int) -> None:
    with manifest.open("w", encoding="ascii") as file:
        file.writelines(f"{origin}/none/{number:08d}.bin\n" for number in range(length))


def _result(bench: Bench, samples: list[Samples], lengths: tuple[int, ...]) -> RowResult:
    result = RowResult(
        key="memory",
        title="Peak memory: manifests of which every line is a 404; and the rows above",
        header=("run", "VmHWM MiB", "seconds", "CPU us/item"),
        samples=samples,
        notes=disturbance(samples),
    )
    for sample in samples:
        result.commands.append((sample.contender.name, shown_command(bench, sample.contender.command)))
        if sample.usable:
            cells = (sample.most(name) for name in ("peak_mib", "wall_s", "us_per_item"))
            result.lines.append([sample.contender.name, *map(number, cells)])
        else:
            result.notes.append(f"{sample.contender.name}: {sample.failure}")
    earlier = [sample for sample in bench.earlier if sample.contender.name.startswith("fetchd")]
    result.lines += [[f"above: {s.contender.name}", number(_peak(s)), "", ""] for s in earlier]
    peaks = [_peak(sample) for sample in (*samples, *earlier)]
    # A run that is missing might have been the largest.
    largest = None if None in peaks else max(peak for peak in peaks if peak is not None)
    short, long = peaks[0], peaks[len(lengths) - 1]
    same = f"VmHWM in MiB, {lengths[-1]:,} lines above {lengths[0]:,}, at most {SAME_MIB}"
    growth = None if long is None or short is None else long - short
    result.targets += [
        at_most(f"VmHWM in MiB, the largest of the above, below {LIMIT_MIB}", largest, LIMIT_MIB),
        at_most(same, growth, SAME_MIB),
    ]
    return result


def _peak(sample: Samples) -> float | None:
    return sample.most("peak_mib") if sample.usable else None
