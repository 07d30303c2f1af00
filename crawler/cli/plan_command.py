"""``fetchd plan``: what a manifest holds, in words or as one object of JSON on standard output.

Not here: how it is counted (``fetchd.jobs.plan``).
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any, Final

from fetchd.jobs.exceptions import ManifestError, SettingsError
from fetchd.jobs.plan import Plan, plan

from ..words import failure_line, number, octets, printable
from .event_loop import new_event_loop
from .exit_codes import ExitCode
from .options import RawRun, run_order
from .streams import read_text, say
from .values import parse_count

__all__ = ["plan_lines", "tell_plan"]

_MOST_HOSTS: Final = 5


def tell_plan(raw: RawRun, *, sample: str | None, as_json: bool) -> int:
    """Write to standard output what a manifest holds; return the exit code."""
    try:
        settings = run_order(raw, read_text, os.environ).settings
        asked = 0 if sample is None else _count(sample)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            found = runner.run(plan(settings, sample=asked))
    except (ManifestError, SettingsError) as exc:
        say(str(exc))
        return ExitCode.USAGE
    if as_json:
        print(json.dumps(_as_object(found)))
    else:
        print("\n".join(plan_lines(found)))
    if not found.items and not found.invalid:
        return ExitCode.USAGE
    return ExitCode.SOME_FAILED if found.invalid or found.colliding else ExitCode.DONE


def plan_lines(found: Plan) -> list[str]:
    """Return it in words."""
    lines = [
        f"{number(found.items)} items, {number(found.duplicates)} of them duplicates; {number(found.invalid)} bad lines"
    ]
    if found.sized:
        of_all = "" if found.sized == found.items else f" in the {number(found.sized)} items whose size is said"
        lines.append(f"{octets(found.octets)}{of_all}")
    if found.items > found.sized:
        lines.append(f"{number(found.items - found.sized)} items whose size is not said")
    lines += _sample_lines(found)
    lines += [f"bad: {failure_line(outcome)}" for outcome in found.bad_lines]
    if found.invalid > len(found.bad_lines):
        lines.append(f"bad: {number(found.invalid - len(found.bad_lines))} more")
    lines += [_collision_line(collision) for collision in found.collisions]
    if found.colliding > len(found.collisions):
        lines.append(f"names: {number(found.colliding - len(found.collisions))} more")
    lines.append(f"{number(len(found.hosts))} hosts")
    lines += [f"{printable(host)}: {number(count)} items" for host, count in found.hosts.most_common(_MOST_HOSTS)]
    if found.bound_by is not None:
        lines.append(
            f"{printable(found.bound_by)} binds the run: with {found.per_host} at a time from one host,"
            f" {found.used_slots:.1f} of {found.slots} slots are in use on average"
        )
    return lines


def _count(text: str) -> int:
    try:
        return parse_count(text, 0)
    except ValueError as exc:
        raise SettingsError(f"--sample is {text!r}; {exc}") from exc


def _sample_lines(found: Plan) -> list[str]:
    sample, estimate = found.sample, found.estimate
    if sample is None or estimate is None:
        return []
    told = f"asked {number(sample.asked)} of them: {number(len(sample.sizes))} tell a length"
    told += f", {number(sample.unknown)} are there without one, {number(sample.failed)} failed"
    if not sample.sizes:
        return [told]
    sums = f"about {octets(estimate.likely)} in all, between {octets(estimate.low)} and {octets(estimate.high)}"
    return [told, f"{sums}, but for those without a length" if sample.unknown else sums]


def _collision_line(collision: tuple[str, int, int, bool]) -> str:
    path, first, last, is_folder = collision
    where = f"line {first}" if first == last else f"lines {first} to {last}"
    what = "is a file and a folder" if is_folder else "is the name of several items"
    return f"names: {printable(path)} {what} ({where})"


def _as_object(found: Plan) -> dict[str, Any]:
    return {
        "items": found.items,
        "duplicates": found.duplicates,
        "invalid": found.invalid,
        "colliding": found.colliding,
        "bytes": found.octets,
        "sized": found.sized,
        **_sample_object(found),
        "hosts": dict(found.hosts.most_common()),
        "bound_by": found.bound_by,
        "used_slots": round(found.used_slots, 1),
    }


def _sample_object(found: Plan) -> dict[str, Any]:
    sample, estimate = found.sample, found.estimate
    if sample is None or estimate is None:
        return {"sample": None, "estimate": None}
    counts = {"told": len(sample.sizes), "unknown": sample.unknown, "failed": sample.failed}
    return {"sample": {"asked": sample.asked, **counts}, "estimate": estimate._asdict()}
