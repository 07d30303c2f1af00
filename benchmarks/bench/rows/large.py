"""Row ``large``: one body of 1 GiB to disk, plain, over TLS, and with its SHA-256, by commands.

What counts is the processor time that the body costs: each program is also run on an empty file
(same command, same options), and that start-up is subtracted, on every side. ``cp`` shows what is left when nothing
comes over a network: to write to a memory file system is to allocate its pages.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..nginx import Nginx
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
from ..table import RowResult, Seen, at_most, number, printed
from .programs import fetchd_file, fetchd_run, missing_fetchd_run, missing_program

LARGE_BYTES, QUICK_LARGE_BYTES = 1024 * LARGE_BLOCK, 128 * LARGE_BLOCK
EMPTY = "/empty.bin"
PLAIN_RATIO, TLS_RATIO, SHA256_RATIO = 0.4, 1.1, 1.0

FETCHD, HASHING, CURL_HASHING, COPY = "fetchd run", "fetchd run, sha256", "curl to sha256sum", "cp, no network"
PROGRAMS = (FETCHD, "curl", "wget2", "aria2c")
# Whether over TLS, and who is compared with the first of them.
GROUPS = ((False, (*PROGRAMS, COPY)), (True, PROGRAMS), (False, (HASHING, CURL_HASHING)))


@dataclass(frozen=True, slots=True)
class _Pair:
    """A program on the large file and on the empty one."""

    full: Samples
    empty: Samples

    @property
    def net(self) -> Seen | None:
        """CPU seconds that the body cost, start-up subtracted; None when not measured."""
        if not (self.full.usable and self.empty.usable):
            return None
        return Seen(
            self.full.median("cpu_s") - self.empty.median("cpu_s"),
            self.full.least("cpu_s") - self.empty.least("cpu_s"),
        )

    def times(self, other: _Pair) -> Seen | None:
        """Return how many times what the body cost *other* it cost this one."""
        if self.net is None or other.net is None:
            return None
        return Seen(self.net.median / other.net.median, self.net.least / other.net.least)


def run(bench: Bench) -> RowResult:
    """Measure the row."""
    size = QUICK_LARGE_BYTES if bench.quick else LARGE_BYTES
    path = bench.site.make_large(size)
    contenders = [
        _contender(bench, name, one, secure) for secure, names in GROUPS for name in names for one in (path, EMPTY)
    ]
    samples = run_rounds(bench, contenders)
    shutil.rmtree(bench.scratch / "large", ignore_errors=True)
    (bench.site.root / path[1:]).unlink()
    pairs = iter([_Pair(*samples[start : start + 2]) for start in range(0, len(samples), 2)])
    return _result(bench, [{name: next(pairs) for name in names} for _, names in GROUPS], size)


def _contender(bench: Bench, name: str, path: str, secure: bool) -> Contender:
    output = bench.scratch / "large"
    port = bench.nginx.tls_port if secure else bench.nginx.port
    is_ours = name in (FETCHD, HASHING)
    saved = fetchd_file(output, port, path) if is_ours else output / path[1:]
    source = bench.site.root / path[1:]

    def prepare() -> None:
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()

    def figures(measured: Measurement) -> Figures:
        expect_exit(measured, 0)
        if name == CURL_HASHING:
            if measured.output.split()[:1] != [_sha256(source)]:
                raise BenchmarkError(f"{measured.output[:80]} is not the digest of what was sent")
            return process_figures(measured)
        if not saved.is_file() or not same_content(saved, source):
            raise BenchmarkError(f"{saved.name} does not hold what was sent")
        saved.unlink()
        return process_figures(measured)

    label = f"{name}{', TLS' if secure else ''}{', empty file' if path == EMPTY else ''}"
    origin = bench.nginx.tls_url if secure else bench.nginx.url
    missing = missing_fetchd_run() if is_ours else missing_program(name.split()[0].strip(","))
    if origin is None:
        missing = missing or "trustme is not installed, so there is no certificate"
    command = _command(name, f"{origin}{path}", output, bench, secure=secure)
    return Contender(
        name=label,
        command=command,
        figures=figures,
        prepare=prepare,
        writes=source.stat().st_size,
        missing=missing,
    )


def _command(name: str, url: str, output: Path, bench: Bench, *, secure: bool) -> list[str]:
    file = url.rpartition("/")[2]
    if name == CURL_HASHING:
        return ["sh", "-c", f"curl -sf {url} | sha256sum"]
    if name == COPY:
        return ["cp", str(bench.site.root / file), str(output / file)]
    if name in (FETCHD, HASHING):
        manifest = bench.scratch / f"{'tls' if secure else 'plain'}-{file}.txt"
        manifest.write_text(f"{url}\n", encoding="ascii")
        options = ["--checksum", "sha256"] * (name == HASHING)
        return fetchd_run(manifest, output, *_authority(bench.nginx, "--cacert", secure), *options)
    if name == "curl":
        return ["curl", "-sf", *_authority(bench.nginx, "--cacert", secure), "-o", str(output / file), url]
    if name == "wget2":
        return ["wget2", "-q", *_authority(bench.nginx, "--ca-certificate", secure), "-P", str(output), url]
    options = ["-q", "--file-allocation=none", *_authority(bench.nginx, "--ca-certificate", secure)]
    return ["aria2c", *options, "-d", str(output), url]


def _authority(nginx: Nginx, option: str, secure: bool) -> list[str]:
    return [f"{option}={nginx.ca}"] if secure and "ca-" in option else [option, str(nginx.ca)] * secure


@functools.cache
def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _result(bench: Bench, groups: list[dict[str, _Pair]], size: int) -> RowResult:
    samples = [sample for group in groups for pair in group.values() for sample in (pair.full, pair.empty)]
    result = RowResult(
        key="large",
        title=f"One body of {size // LARGE_BLOCK:,} MiB to disk, one connection",
        header=("program", "CPU s, min", "median", "start-up", "CPU of the body", "seconds, min", "median",
                "VmHWM MiB", "CPU of the body: times fetchd's"),
        samples=samples,
        notes=disturbance(samples),
    )  # fmt: skip
    for group in groups:
        own = next(iter(group.values()))
        for pair in group.values():
            contender = pair.full.contender
            result.commands.append((contender.name, shown_command(bench, contender.command)))
            if pair.net is None:
                result.notes.append(f"{contender.name}: {pair.full.failure or pair.empty.failure}")
                continue
            result.lines.append([contender.name, *_cells(pair), _times(pair, own)])
    result.commands.append(("start-up", f"the same with {EMPTY} in the place of the large file"))
    plain, secure, hashing = groups
    result.targets += [
        at_most(
            f"CPU of the body, fetchd run over curl, plain, at most {PLAIN_RATIO:g}",
            plain[FETCHD].times(plain["curl"]),
            PLAIN_RATIO,
        ),
        # Where this is above the one before, only who writes to no memory file system could reach that.
        printed("CPU of the body, cp within the memory file system over curl", plain[COPY].times(plain["curl"])),
        at_most(
            f"CPU of the body, fetchd run over curl, TLS, at most {TLS_RATIO:g}",
            secure[FETCHD].times(secure["curl"]),
            TLS_RATIO,
        ),
        at_most(
            f"CPU of the body, fetchd run --checksum sha256 over {CURL_HASHING}, at most {SHA256_RATIO:g}",
            hashing[HASHING].times(hashing[CURL_HASHING]),
            SHA256_RATIO,
        ),
    ]
    return result


def _times(pair: _Pair, own: _Pair) -> str:
    seen = pair.times(own)
    return number(seen.median if seen else None)


def _cells(pair: _Pair) -> list[str]:
    return [
        number(pair.full.least("cpu_s")),
        number(pair.full.median("cpu_s")),
        number(pair.empty.median("cpu_s")),
        number(pair.net.median if pair.net else None),
        number(pair.full.least("wall_s")),
        number(pair.full.median("wall_s")),
        number(pair.full.most("peak_mib")),
    ]
