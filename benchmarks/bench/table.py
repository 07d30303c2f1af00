"""The table: rows of text and verdicts on targets, as Markdown that reads well in a terminal too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from .rounds import Samples

Verdict = Literal["reached", "NOT reached", "not available", "printed"]


@dataclass(frozen=True, slots=True)
class Target:
    """A promise, the ratio seen, and whether it is kept."""

    text: str
    seen: str
    verdict: Verdict


@dataclass(slots=True, kw_only=True)
class RowResult:
    """One row of the benchmark: a table, the targets, and how each figure was come by.

    Attributes:
        key: Short name on the command line.
        title: Heading.
        header, lines: The table; all cells are text.
        targets: What was promised.
        commands: (contender, command line as printed).
        notes: What is missing, what is special.
        samples: The raw figures, kept in the JSON file.
    """

    key: str
    title: str
    header: Sequence[str]
    lines: list[list[str]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    commands: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Seen:
    """A figure a target is about: of the medians, which judge, and of the minima, for comparison."""

    median: float
    least: float

    def __str__(self) -> str:
        return f"{number(self.median)} (minima {number(self.least)})"


def compare(above: Samples, below: Samples, figure: str) -> Seen | None:
    """Return how many times the figure of *below* that of *above* is; None when one has none."""
    medians, minima = (ratio(take(above, figure), take(below, figure)) for take in (median_of, least_of))
    return None if medians is None or minima is None else Seen(medians, minima)


def median_of(sample: Samples, figure: str) -> float | None:
    """Return the median, None when there was no usable run."""
    return sample.median(figure) if sample.usable else None


def least_of(sample: Samples, figure: str) -> float | None:
    """Return the minimum, None when there was no usable run."""
    return sample.least(figure) if sample.usable else None


def at_least(text: str, seen: Seen | float | None, limit: float) -> Target:
    """Judge a figure that must be *limit* or more; None when it was not measured."""
    return _judge(text, seen, seen is not None and _decisive(seen) >= limit)


def at_most(text: str, seen: Seen | float | None, limit: float) -> Target:
    """Judge a figure that must be *limit* or less; None when it was not measured."""
    return _judge(text, seen, seen is not None and _decisive(seen) <= limit)


def printed(text: str, seen: Seen | float | None) -> Target:
    """Show a figure that nothing was promised of."""
    judged = _judge(text, seen, True)
    return judged if seen is None else Target(text, judged.seen, "printed")


def _decisive(seen: Seen | float) -> float:
    return seen.median if isinstance(seen, Seen) else seen


def _judge(text: str, seen: Seen | float | None, kept: bool) -> Target:
    if seen is None:
        return Target(text, "-", "not available")
    written = str(seen) if isinstance(seen, Seen) else number(seen)
    return Target(text, written, "reached" if kept else "NOT reached")


def ratio(above: float | None, below: float | None) -> float | None:
    """Return above / below, None when either is missing or nothing can be divided by."""
    return above / below if above is not None and below else None


def number(value: float | None) -> str:
    """Write a figure with three digits that mean something; "-" for None."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def render(result: RowResult) -> str:
    """Return one row as Markdown."""
    parts = [f"## {result.title}", "", *_table(result.header, result.lines), ""]
    parts += [f"- target: {t.text}: {t.seen}, **{t.verdict}**" for t in result.targets]
    parts += [f"- {note}" for note in result.notes]
    parts += ["", *(f"    {name}: {line}" for name, line in result.commands), ""]
    return "\n".join(parts)


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """The first column is text and starts on the left; the others are figures and end on the right."""
    rows = [header, *lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    written = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        written.append(f"| {' | '.join(cells)} |")
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [written[0], f"| {' | '.join(rule)} |", *written[1:]]
