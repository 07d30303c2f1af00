"""``fetchd status``: where the run in a folder stands, from its ledger, also while a run writes it. Reads only."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fetchd.jobs.exceptions import LedgerError
from fetchd.jobs.ledger import LedgerReader, RunRecord, State

from ..words import duration, number, octets, printable, quoted, rate, reasons
from .exit_codes import ExitCode
from .streams import say

__all__ = ["Standing", "standing_lines", "tell_status"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger of a folder says.

    Attributes:
        folder: The output folder, as it was named.
        counts: Items by state.
        failures: Failed items by failure class.
        last_run: The run that began last; None when there was none.
        process: The run that is at work now; None for none, or where it cannot be told.
    """

    folder: str
    counts: Mapping[State, int]
    failures: Mapping[str, int]
    last_run: RunRecord | None
    process: int | None


def tell_status(folder: str, *, as_json: bool) -> int:
    """Write to standard output where the run in *folder* stands; return the exit code."""
    try:
        with LedgerReader.open_readonly(Path(folder)) as reader:
            standing = Standing(folder, reader.counts(), reader.failure_counts(), reader.last_run(), reader.holder())
    except LedgerError as exc:
        say(f"{exc}; expected the output folder of a run")
        return ExitCode.USAGE
    if as_json:
        print(json.dumps(_as_object(standing)))
    else:
        print("\n".join(standing_lines(standing, time.time())))
    return ExitCode.DONE


def standing_lines(standing: Standing, now: float) -> list[str]:
    """Return it in words; *now* in seconds since 1970."""
    counts, failures = standing.counts, standing.failures
    unfinished = counts[State.PARTIAL] + counts[State.FINISHING]
    lines = [
        f"{printable(standing.folder)}: {number(counts[State.DONE])} done,"
        f" {number(counts[State.FAILED])} failed, {number(unfinished)} unfinished"
    ]
    if failures:
        lines.append(f"failed: {reasons(failures)}")
    run = standing.last_run
    if run is None:
        return [*lines, "no run has begun yet"]
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started_at))
    lines.append(f"run {run.run} of {printable(run.manifest)}, begun {began}, {_how_it_ended(standing, run, now)}")
    if run.ended_at is None and standing.process is not None and run.progress:
        lines += _now_lines(run.progress)
    advice = _advice(standing, run)
    return [*lines, advice] if advice else lines


def _how_it_ended(standing: Standing, run: RunRecord, now: float) -> str:
    if run.ended_at is None:
        ago = f"{duration(max(now - run.started_at, 0.0))} ago"
        return f"{ago}, broken off" if standing.process is None else f"{ago}, at work as process {standing.process}"
    summary = run.summary
    after = f"ended after {duration(max(run.ended_at - run.started_at, 0.0))}"
    stopped = summary.get("local_failure") or summary.get("stopped_by")
    return f"{after}, stopped by {printable(str(stopped))}" if stopped else after


def _now_lines(progress: Mapping[str, Any]) -> list[str]:
    """Where the run stood some two seconds ago: what it has ended, what is under way, and whom it waits for."""
    ended = {name: progress.get(name, 0) for name in ("done", "skipped", "failed", "invalid")}
    told = ", ".join(f"{number(count)} {name}" for name, count in ended.items() if count or name == "done")
    rest = "" if progress.get("manifest_done") else ", the rest unread"
    got, seconds = progress.get("bytes", 0), progress.get("seconds") or 1.0
    lines = [
        f"this run: {number(progress.get('read', 0))} read{rest}; {told}",
        f"now: {number(progress.get('in_flight', 0))} in flight, {number(progress.get('queued', 0))} waiting,"
        f" {number(progress.get('delayed', 0))} to be tried again; {octets(got)}, {rate(got / seconds)}",
    ]
    hosts = ", ".join(f"{printable(host)} ({number(count)})" for host, count in progress.get("slow_hosts", ()))
    if hosts:
        lines.append(f"most wait for {hosts}")
    bound_by = progress.get("bound_by")
    return [*lines, f"bound by {printable(bound_by)}: other slots are empty"] if bound_by else lines


def _advice(standing: Standing, run: RunRecord) -> str:
    summary = run.summary
    if run.ended_at is None and standing.process is not None:
        return ""
    if run.ended_at is None or summary.get("left") or summary.get("unread") or standing.counts[State.PARTIAL]:
        return "next: the same command again goes on where it ended"
    return f"next: fetchd retry {quoted(standing.folder)}" if standing.counts[State.FAILED] else ""


def _as_object(standing: Standing) -> dict[str, Any]:
    """What ``--json`` writes: counts by state, failures by class, the run at work, the last run and its summary."""
    run = standing.last_run
    return {
        "folder": standing.folder,
        "counts": {state.name.lower(): count for state, count in standing.counts.items()},
        "failures": dict(standing.failures),
        "process": standing.process,
        "last_run": None
        if run is None
        else {
            "run": run.run,
            "manifest": run.manifest,
            "started_at": run.started_at,
            "ended_at": run.ended_at,
            "summary": dict(run.summary),
            "progress": dict(run.progress) or None,
        },
    }
