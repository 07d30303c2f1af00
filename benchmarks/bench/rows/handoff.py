"""Row ``handoff``: what it costs to hand a slot from one host to the next while few or many hosts wait.

The pool alone, and whole requests: each opens a connection in a slot that it waited for, so that the work of a request
is the same however many hosts there are.
"""

from __future__ import annotations

from ..rounds import Bench, Contender, Samples, disturbance, run_rounds, shown_command
from ..site import SMALL_BYTES
from ..table import RowResult, at_most, compare, median_of, number, printed, ratio
from .libraries import Script, contender

FEW, MANY = 10, 5_000
POOL_COUNT, QUICK_POOL_COUNT = 1_000_000, 200_000
# Every host asks as often as any other.
REQUESTS, QUICK_REQUESTS = 4 * MANY, MANY
RATIO = 1.5

POOL = Script("fetchd's pool alone", "handoff_pool", ())
FETCHD = Script("fetchd.client on uvloop", "handoff_fetchd", ("uvloop",))
AIOHTTP = Script("aiohttp on uvloop", "handoff_aiohttp", ("uvloop", "aiohttp"))


def run(bench: Bench) -> RowResult:
    """Measure the row."""
    bench.site.make_small(1)
    contenders = [_contender(bench, script, hosts) for script in (POOL, FETCHD, AIOHTTP) for hosts in (FEW, MANY)]
    return _result(bench, run_rounds(bench, contenders))


def _contender(bench: Bench, script: Script, hosts: int) -> Contender:
    if script is POOL:
        count = QUICK_POOL_COUNT if bench.quick else POOL_COUNT
        where, octets = [], 0
    else:
        count = QUICK_REQUESTS if bench.quick else REQUESTS
        where, octets = [str(bench.nginx.port)], count * SMALL_BYTES
    arguments = [*where, "--hosts", str(hosts), "--count", str(count)]
    return contender(script, arguments, requests=count, octets=octets, label=f", {hosts:,} hosts")


def _result(bench: Bench, samples: list[Samples]) -> RowResult:
    result = RowResult(
        key="handoff",
        title=f"Handing a slot from host to host, {FEW} and {MANY:,} of them waiting",
        header=("what", "CPU us each, min", "median", "VmHWM MiB", f"CPU: times that of {FEW} hosts"),
        samples=samples,
        notes=disturbance(samples),
    )
    for place, sample in enumerate(samples):
        result.commands.append((sample.contender.name, shown_command(bench, sample.contender.command)))
        if not sample.usable:
            result.notes.append(f"{sample.contender.name}: {sample.failure}")
            continue
        few = samples[place - place % 2]
        result.lines.append(
            [
                sample.contender.name,
                number(sample.least("cpu_us")),
                number(sample.median("cpu_us")),
                number(sample.most("peak_mib")),
                number(ratio(median_of(sample, "cpu_us"), median_of(few, "cpu_us"))),
            ]
        )
    of_pool, of_fetchd, of_aiohttp = (compare(samples[at + 1], samples[at], "cpu_us") for at in (0, 2, 4))
    hosts = f"{MANY:,} hosts over {FEW}"
    result.targets += [
        at_most(f"CPU per hand-off of the pool, {hosts}, at most {RATIO:g}", of_pool, RATIO),
        at_most(f"CPU per request of fetchd.client, {hosts}, at most {RATIO:g}", of_fetchd, RATIO),
        printed(f"CPU per request of aiohttp, {hosts}", of_aiohttp),
    ]
    return result
