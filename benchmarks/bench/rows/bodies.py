"""Row ``bodies``: GET of 100 KiB read whole, and POST of 1 KiB, on 64 kept-alive connections, by libraries."""

from __future__ import annotations

from ..rounds import Bench, Contender, Samples, disturbance, run_rounds, shown_command
from ..table import RowResult, at_least, compare, median_of, number, ratio
from .libraries import Script, contender
from .programs import PARALLEL

REQUESTS, QUICK_REQUESTS = 30_000, 5_000
GET_BYTES, POST_BYTES = 100 * 1024, 1024
AIOHTTP_RATIO = 3.0

SCRIPTS = (
    Script("fetchd.client on uvloop", "get_fetchd", ("uvloop",)),
    Script("aiohttp on uvloop", "get_aiohttp", ("uvloop", "aiohttp")),
)
WORKS = "GET 100 KiB", "POST 1 KiB"


def run(bench: Bench) -> RowResult:
    """Measure the row."""
    count = QUICK_REQUESTS if bench.quick else REQUESTS
    (bench.site.root / "hundred.bin").write_bytes(bytes(GET_BYTES))
    contenders = [_contender(bench, script, work, count) for work in WORKS for script in SCRIPTS]
    return _result(bench, run_rounds(bench, contenders), count)


def _contender(bench: Bench, script: Script, work: str, count: int) -> Contender:
    arguments = ["--connections", str(PARALLEL), "--count", str(count)]
    if work == WORKS[0]:
        arguments = [f"{bench.nginx.url}/hundred.bin", *arguments]
        return contender(script, arguments, requests=count, octets=count * GET_BYTES, label=f", {work}")
    arguments = [f"{bench.nginx.url}/taken", *arguments, "--post", str(POST_BYTES)]
    return contender(script, arguments, requests=count, octets=count * len("taken"), label=f", {work}")


def _result(bench: Bench, samples: list[Samples], count: int) -> RowResult:
    result = RowResult(
        key="bodies",
        title=f"Bodies in and out, {PARALLEL} connections kept alive, {count:,} requests",
        header=("client", "CPU us/request, min", "median", "requests/s, best", "VmHWM MiB", "CPU: times fetchd's"),
        samples=samples,
        notes=disturbance(samples),
    )
    for place, sample in enumerate(samples):
        result.commands.append((sample.contender.name, shown_command(bench, sample.contender.command)))
        if not sample.usable:
            result.notes.append(f"{sample.contender.name}: {sample.failure}")
            continue
        own = samples[place - place % len(SCRIPTS)]
        result.lines.append(
            [
                sample.contender.name,
                number(sample.least("cpu_us")),
                number(sample.median("cpu_us")),
                number(sample.most("requests_per_s")),
                number(sample.most("peak_mib")),
                number(ratio(median_of(sample, "cpu_us"), median_of(own, "cpu_us"))),
            ]
        )
    for work, (ours, theirs) in zip(WORKS, (samples[:2], samples[2:]), strict=True):
        text = f"CPU per {work}, aiohttp on uvloop over fetchd.client, at least {AIOHTTP_RATIO:g}"
        result.targets.append(at_least(text, compare(theirs, ours, "cpu_us"), AIOHTTP_RATIO))
    return result
