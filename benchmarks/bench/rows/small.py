"""Row ``small``: GET of 1 KiB on 64 kept-alive connections, by libraries."""

from __future__ import annotations

from ..rounds import Bench, Contender, Samples, disturbance, run_rounds, shown_command
from ..site import SMALL_BYTES
from ..table import RowResult, at_least, at_most, compare, median_of, number, ratio
from .libraries import Script, contender
from .programs import PARALLEL

REQUESTS, QUICK_REQUESTS = 60_000, 10_000
# One URL again and again is what the target is stated for; many URLs show what caches by URL hide.
SPREAD = 1_000
MEMORY_LIMIT_MIB = 80
AIOHTTP_RATIO = 4.0


SCRIPTS = (
    Script("fetchd.client on uvloop", "get_fetchd", ("uvloop",)),
    Script("aiohttp on uvloop", "get_aiohttp", ("uvloop", "aiohttp")),
    Script("pycurl multi", "get_pycurl", ("pycurl",)),
    Script("pyreqwest on uvloop", "get_pyreqwest", ("uvloop", "pyreqwest")),
    Script("bare floor: socket + add_reader + httptools", "get_floor", ("uvloop", "httptools")),
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


def _contender(script: Script, url: str, count: int, *, spread: int) -> Contender:
    arguments = [url, "--connections", str(PARALLEL), "--count", str(count), "--spread", str(spread)]
    label = "" if spread == 1 else f", {spread:,} URLs"
    return contender(script, arguments, requests=count, octets=count * SMALL_BYTES, label=label)


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
