"""Cases made from a seed and run one after the other until one breaks the invariant of its target.

A case is made of (target, seed, number) alone, so that a crash can be had again from what is printed; and a target
judges octets alone, so that the input that is printed is enough as well.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .mutation import MAX_OCTETS, mutate

__all__ = ["Crash", "Report", "Target", "case", "corpus", "pieces", "run"]

CORPUS = Path(__file__).parent / "corpus"

# Processor seconds that one case may take. Inputs are 8 KiB and every parser is linear: a thousand times what the
# slowest takes here.
MAX_CASE_S = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """One parser and what must hold for it.

    Attributes:
        name: By which it is called; also the folder of its corpus.
        generate: Makes an input that is sound, or nearly so.
        check: Raises what it likes (AssertionError above all) when the invariant is broken; else says whether the
            parser accepted the input.
        tokens: What means something to the parser.
    """

    name: str
    generate: Callable[[random.Random], bytes]
    check: Callable[[bytes], bool]
    tokens: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a run without a crash has seen."""

    cases: int
    accepted: int

    def __str__(self) -> str:
        return f"{self.cases} cases, {self.accepted} accepted, {self.cases - self.accepted} refused"


class Crash(Exception):
    """An input broke the invariant of its target; ``__cause__`` says how.

    Attributes:
        data: The input.
        number: Which case of the seed it was.
    """

    def __init__(self, target: Target, seed: int, number: int, data: bytes) -> None:
        self.target = target
        self.seed = seed
        self.number = number
        self.data = data
        super().__init__(target.name, seed, number, data)

    def __str__(self) -> str:
        return (
            f"target {self.target.name}, seed {self.seed}, case {self.number}\n"
            f"input: {self.data!r}\n"
            f"cause: {self.__cause__!r}"
        )


@cache
def corpus(name: str) -> tuple[bytes, ...]:
    """The inputs of the folder of target *name*, by the names of their files."""
    return tuple(path.read_bytes() for path in sorted((CORPUS / name).iterdir()))


def case(target: Target, seed: int, number: int) -> bytes:
    """The input of case *number*: one of the corpus or one that the grammar gives, tampered with."""
    rng = random.Random(f"{target.name}/{seed}/{number}")
    data = target.generate(rng) if rng.random() < 0.6 else rng.choice(corpus(target.name))
    if rng.random() < 0.1:  # two of them, one behind the other or inside of it
        at = rng.randint(0, len(data))
        data = data[:at] + rng.choice(corpus(target.name)) + rng.choice((data[at:], b""))
    return mutate(rng, data[:MAX_OCTETS], target.tokens)


def pieces(data: bytes) -> Iterator[list[bytes]]:
    """*data* as it may come: whole, by the octet, and cut three times at places that depend on *data* alone."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    rng = random.Random(data)
    for _ in range(3):
        cuts = sorted(rng.randint(0, len(data)) for _ in range(rng.randint(1, 6)))
        yield [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]


def run(target: Target, seed: int, *, cases: int | None = None, seconds: float | None = None) -> Report:
    """Run cases 0, 1, 2 ... of *seed*.

    Args:
        target: What is tried.
        seed: Any number; the same one gives the same cases.
        cases: How many; None for no bound.
        seconds: For how long; None for no bound. One of the two must be given.

    Raises:
        Crash: The first input that breaks the invariant.
        ValueError: A run without end was asked for.
    """
    if cases is None and seconds is None:
        raise ValueError("a run needs a number of cases or of seconds")
    end = None if seconds is None else time.monotonic() + seconds
    accepted = number = 0
    while number != cases and (end is None or time.monotonic() < end):
        data = case(target, seed, number)
        start = time.process_time()
        try:
            accepted += target.check(data)
            spent = time.process_time() - start
            assert spent < MAX_CASE_S, f"{spent:.1f} s for {len(data)} octets"
        except Exception as exc:
            raise Crash(target, seed, number, data) from exc
        number += 1
    return Report(number, accepted)
