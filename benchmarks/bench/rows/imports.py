"""Row ``imports``: processor time of importing a client, the interpreter's own start subtracted."""

from __future__ import annotations

import sys

from ..process import Measurement
from ..rounds import Bench, Contender, Figures, Samples, disturbance, expect_exit, run_rounds, shown_command
from ..table import RowResult, Seen, at_most, number
from .programs import missing_fetchd_client, missing_modules

# A run takes a tenth of a second, so there can be many; the median of five would still wander.
RUNS, QUICK_RUNS = 40, 8
RATIO = 1.0
MODULES = "fetchd.client", "aiohttp", "pyreqwest.client"


def run(bench: Bench) -> RowResult:
    """Measure the row."""
    contenders = [_contender("the interpreter alone", "pass", "")]
    for module in MODULES:
        missing = missing_fetchd_client() if module == MODULES[0] else missing_modules(module.partition(".")[0])
        contenders.append(_contender(module, f"import {module}", missing))
    samples = run_rounds(bench, contenders, QUICK_RUNS if bench.quick else RUNS)
    return _result(bench, samples)


def _contender(name: str, program: str, missing: str) -> Contender:
    return Contender(name=name, command=[sys.executable, "-c", program], figures=_figures, missing=missing)


def _figures(measured: Measurement) -> Figures:
    expect_exit(measured, 0)
    return {"cpu_ms": measured.cpu * 1000, "peak_mib": measured.peak_kib / 1024}


def _result(bench: Bench, samples: list[Samples]) -> RowResult:
    result = RowResult(
        key="imports",
        title="Importing a client, in a process of its own",
        header=("module", "CPU ms, min", "median", "of it the import", "VmHWM MiB"),
        samples=samples,
        notes=disturbance(samples),
    )
    bare = samples[0]
    for sample in samples:
        result.commands.append((sample.contender.name, shown_command(bench, sample.contender.command)))
        if not sample.usable:
            result.notes.append(f"{sample.contender.name}: {sample.failure}")
            continue
        spent = _spent(sample, bare)
        result.lines.append(
            [
                sample.contender.name,
                number(sample.least("cpu_ms")),
                number(sample.median("cpu_ms")),
                number(spent.median if spent else None),
                number(sample.most("peak_mib")),
            ]
        )
    ours, theirs = _spent(samples[1], bare), _spent(samples[2], bare)
    seen = None if ours is None or theirs is None else Seen(ours.median / theirs.median, ours.least / theirs.least)
    text = f"CPU of the import, fetchd.client over aiohttp, at most {RATIO:g}"
    result.targets.append(at_most(text, seen, RATIO))
    return result


def _spent(sample: Samples, bare: Samples) -> Seen | None:
    """Milliseconds beyond those of the interpreter; None when not measured."""
    if sample is bare or not (sample.usable and bare.usable):
        return None
    return Seen(sample.median("cpu_ms") - bare.median("cpu_ms"), sample.least("cpu_ms") - bare.least("cpu_ms"))
