"""Row ``mirror``: downloads chained into uploads, from the server into its own WebDAV.

One body of 1 GiB, plain and from TLS, and 2,000 of 100 KiB on 16 connections. The libraries count their own processor
time, without start-up; that of ``curl | curl`` is the difference to the same command on an empty file.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
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
from ..site import LARGE_BLOCK, same_content
from ..table import RowResult, Seen, at_most, compare, number
from .libraries import Script, contender
from .programs import missing_program

LARGE_BYTES, QUICK_LARGE_BYTES = 1024 * LARGE_BLOCK, 128 * LARGE_BLOCK
BODIES, QUICK_BODIES, BODY_BYTES = 2_000, 400, 100 * 1024
CONNECTIONS = 16
EMPTY = "/empty.bin"
CURL_RATIO = 0.35
AIOHTTP_RATIOS = {"plain": 0.3, "TLS": 0.7, "100 KiB": 1 / 3}

SCRIPTS = (
    Script("fetchd.client on uvloop", "mirror_fetchd", ("uvloop",)),
    Script("aiohttp on uvloop", "mirror_aiohttp", ("uvloop", "aiohttp")),
)


def run(bench: Bench) -> RowResult:
    """Measure the row."""
    size, count = (QUICK_LARGE_BYTES, QUICK_BODIES) if bench.quick else (LARGE_BYTES, BODIES)
    path = bench.site.make_large(size)
    (bench.site.root / "hundred.bin").write_bytes(bytes(BODY_BYTES))
    contenders = [_large(bench, script, path, size, secure=secure) for secure in (False, True) for script in SCRIPTS]
    contenders += [_many(bench, script, count) for script in SCRIPTS]
    contenders += [_curl(bench, one, secure=secure) for secure in (False, True) for one in (path, EMPTY)]
    samples = run_rounds(bench, contenders)
    shutil.rmtree(bench.site.root / "in", ignore_errors=True)
    (bench.site.root / path[1:]).unlink()
    return _result(bench, samples, size, count)


def _cleared(bench: Bench) -> Callable[[], None]:
    def prepare() -> None:
        shutil.rmtree(bench.site.root / "in", ignore_errors=True)
        (bench.site.root / "in").mkdir()

    return prepare


def _large(bench: Bench, script: Script, path: str, size: int, *, secure: bool) -> Contender:
    label = ", TLS" if secure else ""
    origin = bench.nginx.tls_url if secure else bench.nginx.url
    if origin is None:
        return _without_certificate(script.name + label)
    arguments = [f"{origin}{path}", f"{bench.nginx.url}/in"]
    if secure:
        arguments += ["--authority", str(bench.nginx.ca)]
    made = contender(script, arguments, requests=1, octets=size, label=label)
    return _writing(bench, made, bench.site.root / path[1:], size)


def _many(bench: Bench, script: Script, count: int) -> Contender:
    url = f"{bench.nginx.url}/hundred.bin"
    arguments = [url, f"{bench.nginx.url}/in", "--count", str(count), "--connections", str(CONNECTIONS)]
    made = contender(
        script, arguments, requests=count, octets=count * BODY_BYTES, label=f", {count:,} bodies of 100 KiB"
    )
    return _writing(bench, made, bench.site.root / "hundred.bin", count * BODY_BYTES)


def _writing(bench: Bench, made: Contender, source: Path, writes: int) -> Contender:
    """*made*, which also has to leave what was sent."""

    def figures(measured: Measurement) -> Figures:
        found = made.figures(measured)
        _check(bench.site.root / "in" / "0", source)
        return found

    return Contender(
        name=made.name,
        command=made.command,
        figures=figures,
        prepare=_cleared(bench),
        writes=writes,
        missing=made.missing,
    )


def _curl(bench: Bench, path: str, *, secure: bool) -> Contender:
    label = f"curl to curl{', TLS' if secure else ''}{', empty file' if path == EMPTY else ''}"
    origin = bench.nginx.tls_url if secure else bench.nginx.url
    if origin is None:
        return _without_certificate(label)
    authority = f"--cacert {bench.nginx.ca} " if secure else ""
    source = bench.site.root / path[1:]

    def figures(measured: Measurement) -> Figures:
        expect_exit(measured, 0)
        _check(bench.site.root / "in" / "0", source)
        return process_figures(measured)

    return Contender(
        name=label,
        command=["sh", "-c", f"curl -sf {authority}{origin}{path} | curl -sf -T - {bench.nginx.url}/in/0"],
        figures=figures,
        prepare=_cleared(bench),
        writes=source.stat().st_size,
        missing=missing_program("curl"),
    )


def _without_certificate(name: str) -> Contender:
    missing = "trustme is not installed, so there is no certificate"
    return Contender(name=name, command=[], figures=lambda measured: {}, missing=missing)


def _check(sent: Path, source: Path) -> None:
    if not sent.is_file() or not same_content(sent, source):
        raise BenchmarkError(f"{sent.name} does not hold what was sent")


def _net(full: Samples, empty: Samples) -> Seen | None:
    """CPU seconds that the body cost, start-up subtracted."""
    if not (full.usable and empty.usable):
        return None
    return Seen(full.median("cpu_s") - empty.median("cpu_s"), full.least("cpu_s") - empty.least("cpu_s"))


def _result(bench: Bench, samples: list[Samples], size: int, count: int) -> RowResult:
    result = RowResult(
        key="mirror",
        title=f"A body of {size // LARGE_BLOCK:,} MiB, and {count:,} of 100 KiB, from one server into another",
        header=("program", "CPU s of the bodies, min", "median", "seconds, min", "median", "VmHWM MiB"),
        samples=samples,
        notes=disturbance(samples),
    )
    libraries, curls = samples[:6], samples[6:]
    nets = [None] * 6 + [_net(*curls[at : at + 2]) if at % 2 == 0 else None for at in range(4)]
    for sample, net in zip(samples, nets, strict=True):
        result.commands.append((sample.contender.name, shown_command(bench, sample.contender.command)))
        if not sample.usable:
            result.notes.append(f"{sample.contender.name}: {sample.failure}")
            continue
        if sample in curls and net is None:
            continue
        result.lines.append(
            [
                sample.contender.name,
                number(sample.least("cpu_s") if net is None else net.least),
                number(sample.median("cpu_s") if net is None else net.median),
                number(sample.least("wall_s")),
                number(sample.median("wall_s")),
                number(sample.most("peak_mib")),
            ]
        )
    plain = nets[6]
    ours = libraries[0]
    seen = None
    if plain is not None and ours.usable:
        seen = Seen(ours.median("cpu_s") / plain.median, ours.least("cpu_s") / plain.least)
    result.targets.append(
        at_most(f"CPU, fetchd.client over curl to curl, plain, at most {CURL_RATIO:g}", seen, CURL_RATIO)
    )
    for at, (what, bound) in zip((0, 2, 4), AIOHTTP_RATIOS.items(), strict=True):
        text = f"CPU, fetchd.client over aiohttp, {what}, at most {bound:.2g}"
        result.targets.append(at_most(text, compare(libraries[at], libraries[at + 1], "cpu_s"), bound))
    return result
