"""Row ``stream``: one body of 1 GiB over TLS through ``iter_chunked(64 KiB)``, by libraries."""

from __future__ import annotations

from ..rounds import Bench, Contender, Samples, disturbance, run_rounds, shown_command
from ..site import LARGE_BLOCK
from ..table import RowResult, at_most, compare, median_of, number, ratio
from .libraries import Script, contender

STREAM_BYTES, QUICK_STREAM_BYTES = 1024 * LARGE_BLOCK, 128 * LARGE_BLOCK
AIOHTTP_RATIO = 0.65

SCRIPTS = (
    Script("fetchd.client on uvloop", "stream_fetchd", ("uvloop",)),
    Script("aiohttp on uvloop", "stream_aiohttp", ("uvloop", "aiohttp")),
)


def run(bench: Bench) -> RowResult:
    """Measure the row."""
    size = QUICK_STREAM_BYTES if bench.quick else STREAM_BYTES
    path = bench.site.make_large(size)
    samples = run_rounds(bench, [_contender(bench, script, path, size) for script in SCRIPTS])
    (bench.site.root / path[1:]).unlink()
    return _result(bench, samples, size)


def _contender(bench: Bench, script: Script, path: str, size: int) -> Contender:
    if bench.nginx.tls_url is None:
        missing = "trustme is not installed, so there is no certificate"
        return Contender(name=script.name, command=[], figures=lambda measured: {}, missing=missing)
    return contender(script, [f"{bench.nginx.tls_url}{path}", str(bench.nginx.ca)], requests=1, octets=size)


def _result(bench: Bench, samples: list[Samples], size: int) -> RowResult:
    result = RowResult(
        key="stream",
        title=f"One body of {size // LARGE_BLOCK:,} MiB over TLS in pieces of 64 KiB",
        header=("client", "CPU s, min", "median", "seconds, min", "median", "VmHWM MiB", "CPU: times fetchd's"),
        samples=samples,
        notes=disturbance(samples),
    )
    for sample in samples:
        result.commands.append((sample.contender.name, shown_command(bench, sample.contender.command)))
        if not sample.usable:
            result.notes.append(f"{sample.contender.name}: {sample.failure}")
            continue
        result.lines.append(
            [
                sample.contender.name,
                number(sample.least("cpu_s")),
                number(sample.median("cpu_s")),
                number(sample.least("wall_s")),
                number(sample.median("wall_s")),
                number(sample.most("peak_mib")),
                number(ratio(median_of(sample, "cpu_s"), median_of(samples[0], "cpu_s"))),
            ]
        )
    text = f"CPU of the body, fetchd.client over aiohttp on uvloop, at most {AIOHTTP_RATIO:g}"
    result.targets.append(at_most(text, compare(samples[0], samples[1], "cpu_s"), AIOHTTP_RATIO))
    return result
