"""The whole output of a run: what machine, which rows, a summary of the targets; kept as dated files."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path

from .machine import REPOSITORY
from .table import RowResult, render

RUNS = REPOSITORY / "benchmarks" / "runs"


def render_summary(machine: Sequence[tuple[str, str]], results: Sequence[RowResult]) -> str:
    """Return what machine it was and every target with its verdict, as Markdown."""
    lines = [f"- {name}: {value}" for name, value in machine]
    lines += ["", "| row | target | seen | |", "| --- | --- | ---: | --- |"]
    for result in results:
        lines += [f"| {result.key} | {t.text} | {t.seen} | {t.verdict} |" for t in result.targets]
    return "\n".join(lines) + "\n"


def keep(machine: Sequence[tuple[str, str]], results: Sequence[RowResult], rounds: int) -> Path:
    """Write ``runs/<date>.md`` and ``.json``, return the former; the last run of a day stays."""
    today = datetime.date.today().isoformat()
    RUNS.mkdir(exist_ok=True)
    text = [f"# Benchmarks of {today}, rounds: {rounds}", "", render_summary(machine, results)]
    text += [render(result) for result in results]
    kept = RUNS / f"{today}.md"
    kept.write_text("\n".join(text), encoding="utf-8")
    raw = {"date": today, "rounds": rounds, "machine": dict(machine), "rows": [_raw(r) for r in results]}
    kept.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    return kept


def _raw(result: RowResult) -> dict[str, object]:
    """Everything that was measured, unrounded."""
    commands = dict(result.commands)
    return {
        "row": result.key,
        "title": result.title,
        "targets": [dataclasses.asdict(target) for target in result.targets],
        "contenders": [
            {
                "name": sample.contender.name,
                "command": commands.get(sample.contender.name, ""),
                "failure": sample.failure,
                "values": {name: [round(v, 6) for v in values] for name, values in sample.values.items()},
            }
            for sample in result.samples
        ],
    }
