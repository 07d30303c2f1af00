"""Row ``small``: GET of 1 KiB on 64 kept-alive connections, by libraries.

Each library is a script of ``clients/`` run as a process of its own. Processor time is the
process's own count between the first measured request and the last: imports, event loop and
connection set-up are before it, on every side.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from ..process import BenchmarkError, Measurement
from ..rounds import Bench, Contender, Figures, Samples, disturbance, expect_exit, run_rounds, shown_command
from ..site import SMALL_BYTES
from ..table import RowResult, at_least, at_most, compare, median_of, number, ratio
from .programs import PARALLEL, missing_fetchd_client, missing_modules

REQUESTS, QUICK_REQUESTS = 60_000, 10_000
# One URL again and again is what the target is stated for; many URLs show what caches by URL hide.
SPREAD = 1_000
MEMORY_LIMIT_MIB = 80
AIOHTTP_RATIO = 4.0


@dataclass(frozen=True, slots=True)
class _Script:
    """A module of ``benchmarks.clients`` and what it imports."""

    name: str
    module: str
    imports: tuple[str, ...]


SCRIPTS = (
    _Script("fetchd.client on uvloop", "get_fetchd", ("uvloop",)),
    _Script("aiohttp on uvloop", "get_aiohttp", ("uvloop", "aiohttp")),
    _Script("pycurl multi", "get_pycurl", ("pycurl",)),
    _Script("bare floor: socket + add_reader + httptools", "get_floor", ("uvloop", "httptools")),
)
SPREAD_SCRIPTS = SCRIPTS[:2]


def run(bench: Bench) -> RowResult:
    """Measure the row."""
    count = QUICK_REQUESTS if bench.quick else REQUESTS
    bench.site.make_small(SPREAD)
    url = f"{bench.nginx.url}/small/000/000000.bin"
    spread_url = f"{bench.nginx.url}/small/000/{{:06d}}.bin"
    contenders = [_contender(script, url, count, spread=1) for script in SCRIPTS]
    contenders += [_contender(script, spread_url, count, spread=SPREAD) for script in SPREAD_SCRIPTS]
    samples = run_rounds(bench, contenders)
    return _result(bench, samples, count)


def _contender(script: _Script, url: str, count: int, *, spread: int) -> Contender:
    missing = missing_modules(*script.imports)
    if script.module == "get_fetchd":
        missing = missing or missing_fetchd_client()
    command = [sys.executable, "-m", f"benchmarks.clients.{script.module}", url]
    command += ["--connections", str(PARALLEL), "--count", str(count), "--spread", str(spread)]
    return Contender(
        name=script.name if spread == 1 else f"{script.name}, {spread:,} URLs",
        command=command,
        figures=lambda measured: _figures(measured, count),
        missing=missing,
    )


def _figures(measured: Measurement, count: int) -> Figures:
    expect_exit(measured, 0)
    try:
        told = json.loads(measured.output)
    except ValueError as exc:
        raise BenchmarkError(f"no JSON in {measured.output[-200:]!r}") from exc
    if told["requests"] != count or told["body_bytes"] != count * SMALL_BYTES:
        raise BenchmarkError(f"{told['requests']} requests, {told['body_bytes']} octets; expected {count}")
    return {
        "cpu_us": told["cpu_s"] / count * 1e6,
        "wall_s": told["wall_s"],
        "requests_per_s": count / told["wall_s"],
        "peak_mib": measured.peak_kib / 1024,
    }


def _result(bench: Bench, samples: list[Samples], count: int) -> RowResult:
    result = RowResult(
        key="small",
        title=f"GET of 1 KiB, {PARALLEL} connections kept alive, {count:,} requests",
        header=(
            "client", "CPU us/request, min", "median", "requests/s, best", "median", "VmHWM MiB",
            "CPU: times fetchd's",
        ),
        samples=samples,
        notes=disturbance(samples),
    )  # fmt: skip
    for sample in samples:
        result.commands.append((sample.contender.name, shown_command(bench, sample.contender.command)))
        if not sample.usable:
            result.notes.append(f"{sample.contender.name}: {sample.failure}")
            continue
        own = samples[len(SCRIPTS)] if "URLs" in sample.contender.name else samples[0]
        result.lines.append(
            [
                sample.contender.name,
                *_cells(sample),
                number(ratio(median_of(sample, "cpu_us"), median_of(own, "cpu_us"))),
            ]
        )
    text = f"CPU per request, aiohttp on uvloop over fetchd.client, at least {AIOHTTP_RATIO:g}"
    result.targets.append(at_least(text, compare(samples[1], samples[0], "cpu_us"), AIOHTTP_RATIO))
    peak = samples[0].most("peak_mib") if samples[0].usable else None
    result.targets.append(at_most(f"VmHWM in MiB, below {MEMORY_LIMIT_MIB}", peak, MEMORY_LIMIT_MIB))
    return result


def _cells(sample: Samples) -> list[str]:
    return [
        number(sample.least("cpu_us")),
        number(sample.median("cpu_us")),
        number(sample.most("requests_per_s")),
        number(sample.median("requests_per_s")),
        number(sample.most("peak_mib")),
    ]
