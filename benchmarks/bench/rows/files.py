"""Rows ``files``, ``files100k``, ``files1m`` and ``disk``: many files from a list, by commands.

Every program gets the same URLs in the order of their names and an empty folder, and what it left
there is checked: how many files, how many octets, and the content of a sample. fetchd's figures
hold its ledger. On a memory file system the programs show; on a disk what its users have: aria2c
allocates there as it does unless told otherwise, and nobody syncs. Figures are of whole runs, with what
it costs to start Python, 0.12 s.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
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
from ..site import SMALL_BYTES, content_of, files_below, number_of
from ..table import RowResult, Seen, Target, at_least, at_most, compare, median_of, number, printed, ratio
from .programs import PARALLEL, fetchd_run, missing_fetchd_run, missing_program

# What a file takes of a memory file system is whole pages.
PAGE_BYTES = 4096
DIGEST_SAMPLE = 500
CURL_RATIO, WGET2_RATIO, ARIA2_RATIO = 1.6, 3.0, 10.0
ARIA2_MEMORY = 0.1
# A disk wherever the hierarchy is kept (FHS 3.0 section 5.15); /tmp may be memory.
DISK = Path("/var/tmp")


@dataclass(frozen=True, slots=True)
class Work:
    """What a row has fetched.

    Attributes:
        key: Name of the row.
        folder: Where the server has the files.
        files: How many.
        quick: How many in a quick run.
        size: Octets of each.
        words: The size for readers.
    """

    key: str
    folder: str
    files: int
    quick: int
    size: int
    words: str

    def count(self, bench: Bench) -> int:
        """How many files are fetched in this run."""
        return self.quick if bench.quick else self.files


SMALL = Work("files", "small", 20_000, 2_000, SMALL_BYTES, "1 KiB")
MIDDLE = Work("files100k", "middle", 5_000, 500, 100 * 1024, "100 KiB")
LARGER = Work("files1m", "larger", 300, 50, 1024 * 1024, "1 MiB")
DISKED = Work("disk", "small", 20_000, 2_000, SMALL_BYTES, "1 KiB")


def run(bench: Bench) -> RowResult:
    """Measure the row ``files``."""
    samples = _measure(bench, SMALL, bench.scratch / "files", "--file-allocation=none")
    result = _result(bench, SMALL, samples, "to memory")
    ours, curl, wget2, aria2 = samples
    result.targets += [
        at_most(f"seconds, fetchd run over curl -Z, at most {CURL_RATIO:g}", compare(ours, curl, "wall_s"), CURL_RATIO),
        at_least(
            f"seconds, wget2 over fetchd run, at least {WGET2_RATIO:g}", compare(wget2, ours, "wall_s"), WGET2_RATIO
        ),
        at_least(
            f"seconds, aria2c over fetchd run, at least {ARIA2_RATIO:g}",
            compare(aria2, ours, "wall_s"),
            ARIA2_RATIO,
        ),
        # Where these are below the two above, no program that is not quicker than curl reaches those.
        printed("seconds, wget2 over curl -Z", compare(wget2, curl, "wall_s")),
        printed("seconds, aria2c over curl -Z", compare(aria2, curl, "wall_s")),
        at_most(
            f"VmHWM, fetchd run over aria2c, at most {ARIA2_MEMORY:g}", compare(ours, aria2, "peak_mib"), ARIA2_MEMORY
        ),
    ]
    return result


def run_middle(bench: Bench) -> RowResult:
    """Measure the row ``files100k``."""
    return _beside_the_best(bench, MIDDLE)


def run_larger(bench: Bench) -> RowResult:
    """Measure the row ``files1m``."""
    return _beside_the_best(bench, LARGER)


def _beside_the_best(bench: Bench, work: Work) -> RowResult:
    samples = _measure(bench, work, bench.scratch / "files", "--file-allocation=none")
    result = _result(bench, work, samples, "to memory")
    ours, *peers = samples
    result.targets.append(_against_best("seconds", "wall_s", ours, peers))
    result.targets += [
        at_most(f"CPU, fetchd run over {peer.contender.name}, below 1", compare(ours, peer, "cpu_s"), 1.0)
        for peer in peers
    ]
    return result


def _against_best(words: str, figure: str, ours: Samples, peers: Sequence[Samples]) -> Target:
    """At most what the best of *peers* took."""
    able = [peer for peer in peers if peer.usable]
    seen: Seen | None = None
    name = "the best"
    if able and ours.usable:
        best = min(able, key=lambda peer: peer.median(figure))
        seen, name = compare(ours, best, figure), best.contender.name
    return at_most(f"{words}, fetchd run over the fastest peer ({name}), at most 1", seen, 1.0)


def run_on_disk(bench: Bench) -> RowResult:
    """Measure the row ``disk``."""
    with tempfile.TemporaryDirectory(prefix="fetchd-bench-", dir=DISK, ignore_cleanup_errors=True) as folder:
        samples = _measure(bench, DISKED, Path(folder) / "files")
    result = _result(bench, DISKED, samples, f"to {file_system_of(DISK)}")
    ours, *peers = samples
    for peer in peers:
        # The file system's share is most of it, and differs threefold from one hour to the next: no target.
        result.targets.append(printed(f"seconds, {peer.contender.name} over fetchd run", compare(peer, ours, "wall_s")))
    return result


def _measure(bench: Bench, work: Work, output: Path, *aria2_options: str) -> list[Samples]:
    """What each program takes to fill *output*."""
    count = work.count(bench)
    urls = [bench.nginx.url + path for path in bench.site.make_files(work.folder, count, work.size)]
    contenders = [
        _contender(name, command, missing, output, work, count)
        for name, command, missing in _commands(bench.scratch, output, urls, aria2_options)
    ]
    samples = run_rounds(bench, contenders)
    shutil.rmtree(output, ignore_errors=True)
    if work.size > SMALL_BYTES:
        shutil.rmtree(bench.site.root / work.folder)  # half a GiB of memory
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


def _contender(name: str, command: list[str], missing: str, output: Path, work: Work, count: int) -> Contender:
    def prepare() -> None:
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()

    def figures(measured: Measurement) -> Figures:
        expect_exit(measured, 0)
        verify(output, count, work.size)
        return process_figures(measured)

    return Contender(
        name=name,
        command=command,
        figures=figures,
        prepare=prepare,
        writes=count * max(PAGE_BYTES, work.size),
        missing=missing,
    )


def verify(output: Path, count: int, size: int) -> None:
    """Raise BenchmarkError unless *output* holds *count* files of *size* octets, with what was sent."""
    found = sorted(files_below(output))
    octets = sum(path.stat().st_size for path in found)
    if len(found) != count or octets != count * size:
        raise BenchmarkError(f"{len(found)} files, {octets} octets; expected {count} of {size} octets")
    for path in random.Random(count).sample(found, min(DIGEST_SAMPLE, count)):
        expected = hashlib.sha256(content_of(number_of(path), size)).digest()
        if hashlib.sha256(path.read_bytes()).digest() != expected:
            raise BenchmarkError(f"{path.name} does not hold what was sent")


def _result(bench: Bench, work: Work, samples: list[Samples], where: str) -> RowResult:
    result = RowResult(
        key=work.key,
        title=f"{work.count(bench):,} files of {work.words} from a list, {where}, {PARALLEL} at once",
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
