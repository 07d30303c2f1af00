"""Contenders of one row, run in interleaved rounds, and the figures of each.

Interleaved means: every round runs each contender once, in the same order, so that a slow minute
of the machine falls on all of them. One warm-up round comes first and is thrown away.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .machine import REPOSITORY, Cores, warm_memory
from .nginx import Nginx
from .process import BenchmarkError, Measurement, measure
from .site import Site

# A process, its libraries and its buffers.
SPARE_MEMORY = 64 * 1024 * 1024

# A program that shares its core loses its caches at every turn: the same work has been seen to take
# twice the processor time. The share is counted in ticks of 10 ms, so short runs cannot be judged.
DISTURBED, SHORTEST_JUDGED = 0.1, 0.5

Figures = dict[str, float]


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a row is given to work with.

    Attributes:
        scratch: Folder for manifests and downloads; the caller empties it at the end.
        rounds: Measured rounds, the warm-up not counted; 0 warm-ups and 1 round when *quick*.
        quick: A look in little time: fewer requests, smaller bodies. Not to be kept.
        say: Where progress is told, a line at a time.
        earlier: What the rows before this one measured.
    """

    cores: Cores
    scratch: Path
    site: Site
    nginx: Nginx
    rounds: int
    quick: bool
    say: Callable[[str], None]
    earlier: Sequence[Samples] = ()

    @property
    def home(self) -> Path:
        """An empty HOME for the programs measured."""
        folder = self.scratch / "home"
        folder.mkdir(exist_ok=True)
        return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One program of a row.

    Attributes:
        name: As the table has it.
        command: What is run, without the pinning.
        figures: Checks the work done and returns the figures of the run; raises BenchmarkError.
        prepare: Called before each run, outside the time measured.
        timeout: Seconds allowed to one run.
        writes: Octets that a run puts into memory or on a memory file system, about; as much memory
            is made ready beforehand.
        missing: Why it cannot be run here; empty when it can.
    """

    name: str
    command: Sequence[str]
    figures: Callable[[Measurement], Figures]
    prepare: Callable[[], None] = _nothing
    timeout: float = 120.0
    writes: int = 0
    missing: str = ""


@dataclass(slots=True)
class Samples:
    """All figures of one contender, one value a measured round.

    Attributes:
        failure: Why there are none, or no more; empty when all is well.
        disturbed: Rounds in which its core was shared, see DISTURBED.
    """

    contender: Contender
    values: dict[str, list[float]] = field(default_factory=dict)
    failure: str = ""
    disturbed: int = 0

    @property
    def usable(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.values) and not self.failure

    def add(self, figures: Figures) -> None:
        """Keep the figures of one more round."""
        for name, value in figures.items():
            self.values.setdefault(name, []).append(value)

    def least(self, name: str) -> float:
        """Return the minimum over the rounds."""
        return min(self.values[name])

    def most(self, name: str) -> float:
        """Return the maximum over the rounds."""
        return max(self.values[name])

    def median(self, name: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.values[name])


def run_rounds(bench: Bench, contenders: Sequence[Contender], rounds: int | None = None) -> list[Samples]:
    """Run *contenders* in interleaved rounds and return their samples, in the same order.

    A contender that is missing or fails is left out from then on and says why; it never ends the
    others.
    """
    samples = [Samples(contender, failure=contender.missing) for contender in contenders]
    wanted = bench.rounds if rounds is None else rounds
    for number in range(0 if not bench.quick and rounds is None else 1, wanted + 1):
        label = f"round {number} of {wanted}" if number else "warm-up"
        for sample in samples:
            if not sample.failure:
                _run_once(bench, sample, label, keep=number > 0)
    return samples


def _run_once(bench: Bench, sample: Samples, label: str, *, keep: bool) -> None:
    contender = sample.contender
    try:
        contender.prepare()
        warm_memory(bench.scratch, contender.writes + SPARE_MEMORY)
        measured = measure(contender.command, core=bench.cores.client, timeout=contender.timeout, home=bench.home)
        figures = contender.figures(measured)
    except BenchmarkError as exc:
        sample.failure = f"failed: {exc}"
        bench.say(f"  {label}: {contender.name}: {exc}")
        return
    disturbed = measured.shared > DISTURBED and measured.wall > SHORTEST_JUDGED
    note = f", core shared {measured.shared:.0%} of it" if disturbed else ""
    bench.say(f"  {label}: {contender.name}: {measured.wall:.2f} s, cpu {measured.cpu:.2f} s{note}")
    if keep:
        sample.add(figures)
        sample.disturbed += disturbed


def disturbance(samples: Sequence[Samples]) -> list[str]:
    """Return a note when other programs took part in the rounds, to be printed with the row."""
    rounds = sum(sample.disturbed for sample in samples)
    if not rounds:
        return []
    return [f"runs that shared the core with other programs: {rounds}; take these figures again when it is quiet"]


def process_figures(measured: Measurement) -> Figures:
    """Return the figures that every run has: wall and processor seconds, peak MiB."""
    return {"wall_s": measured.wall, "cpu_s": measured.cpu, "peak_mib": measured.peak_kib / 1024}


def expect_exit(measured: Measurement, *codes: int) -> None:
    """Raise BenchmarkError unless the program ended with one of *codes*."""
    if measured.exit_code in codes:
        return
    said = (measured.errors.strip() or measured.output.strip() or "no message").splitlines()
    raise BenchmarkError(f"exit code {measured.exit_code}, expected {codes[0]}: {said[-1][:200]}")


def shown_command(bench: Bench, command: Sequence[str]) -> str:
    """Return the command line as it is printed: pinned, with the scratch folder as ``$DIR``."""
    line = " ".join(["taskset", "-c", str(bench.cores.client), *command])
    return line.replace(str(bench.scratch), "$DIR").replace(f"{REPOSITORY}/", "")
