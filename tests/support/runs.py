"""Runs for tests: lines of a manifest in, summary and events out, and the account checked at every end.

A run is never looked at by its summary alone. ``Ran.check`` holds it to what it promises whatever happens: every
item read has one end and no more, the summary adds up, and what it says is what its events said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fetchd.jobs.events import Event, ItemFinished, ItemRetried, ItemStarted, RunFinished, RunStarted, Summary
from fetchd.jobs.intake import derive_path
from fetchd.jobs.items import Outcome
from fetchd.jobs.ledger import LedgerReader, Row, State
from fetchd.jobs.run import Run
from fetchd.jobs.settings import RunSettings

__all__ = ["Ran", "files_below", "prepare", "rows_of", "run_lines"]


@dataclass
class Ran:
    """What a run did, as its listener saw it.

    Attributes:
        summary: What it returned.
        events: All of them, in order.
        then: What else is called with each event, None for nothing; the test sets it.
    """

    summary: Summary = field(default_factory=Summary)
    events: list[Event] = field(default_factory=list)
    then: Callable[[Event], None] | None = None

    def listen(self, event: Event) -> None:
        """Take an event; this is what the run calls."""
        self.events.append(event)
        if self.then is not None:
            self.then(event)

    @property
    def outcomes(self) -> list[Outcome]:
        """How each item ended, in the order in which they did."""
        return [event.outcome for event in self.events if isinstance(event, ItemFinished)]

    @property
    def results(self) -> dict[int, str]:
        """The end of each line by its number: ``done``, ``skipped: duplicate``, ``failed: http-4xx`` ..."""
        return {outcome.item.line: _described(outcome) for outcome in self.outcomes}

    @property
    def retries(self) -> list[ItemRetried]:
        """The attempts that failed and were followed by another one."""
        return [event for event in self.events if isinstance(event, ItemRetried)]

    @property
    def started(self) -> list[str]:
        """The URL of each attempt."""
        return [event.item.url for event in self.events if isinstance(event, ItemStarted)]

    def check(self) -> None:
        """Hold the run to its account.

        Raises:
            AssertionError: An item ended twice, or summary and events contradict each other.
        """
        summary, outcomes = self.summary, self.outcomes
        lines = Counter(outcome.item.line for outcome in outcomes)
        assert not [line for line, count in lines.items() if count > 1], f"ended twice: {lines.most_common(3)}"
        counts = Counter(str(outcome.result) for outcome in outcomes)
        told = {"done": summary.done, "skipped": summary.skipped, "failed": summary.failed, "invalid": summary.invalid}
        assert +counts == +Counter(told)
        assert summary.adds_up, summary
        assert summary.left >= 0, summary
        assert sum(summary.failures.values()) == summary.failed
        assert sum(summary.skip_reasons.values()) == summary.skipped
        assert isinstance(self.events[0], RunStarted)
        assert self.events[-1] == RunFinished(summary)


def _described(outcome: Outcome) -> str:
    detail = outcome.reason if outcome.failure is None else outcome.failure.failure_class.value
    return f"{outcome.result}: {detail}" if detail else outcome.result.value


def prepare(folder: Path, lines: Iterable[str] | bytes, **settings: Any) -> tuple[Run, Ran]:
    """Return a run over *lines*, to be executed by the caller, and where its events will be.

    Args:
        folder: A folder of the test's; the manifest goes into it, and the output to ``folder / "out"``.
        lines: The manifest, its octets or its lines.
        settings: Fields of ``RunSettings`` that differ from the default.
    """
    manifest = folder / "manifest.txt"
    octets = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode()
    manifest.write_bytes(octets)
    ran = Ran()
    chosen: dict[str, Any] = {"manifest": str(manifest), "output": folder / "out", **settings}
    return Run(RunSettings(**chosen), ran.listen), ran


async def run_lines(folder: Path, lines: Iterable[str] | bytes, **settings: Any) -> Ran:
    """Run over *lines* to the end and check the account; arguments as for `prepare`."""
    run, ran = prepare(folder, lines, **settings)
    ran.summary = await run.execute()
    ran.check()
    return ran


def files_below(root: Path) -> dict[str, bytes]:
    """Return every file below *root* with its content; what belongs to fetchd itself is left out."""
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and ".fetchd" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def rows_of(folder: Path, states: Sequence[State] = tuple(State)) -> list[Row]:
    """Return the rows of the ledger of ``folder / "out"`` that are in *states*."""
    with LedgerReader.open_readonly(folder / "out", derive=derive_path) as ledger:
        return [row for state in states for row in ledger.iterate(state)]
