"""``fetchd plan``: what a manifest holds, in words or as one object of JSON on standard output.

Not here: how it is counted (``fetchd.jobs.plan``).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from fetchd.jobs.exceptions import ManifestError, SettingsError
from fetchd.jobs.plan import Plan, plan

from ..words import failure_line, number, octets, printable
from .event_loop import new_event_loop
from .exit_codes import ExitCode
from .options import RawRun, run_order
from .streams import read_text, say

__all__ = ["plan_lines", "tell_plan"]

_MOST_HOSTS: Final = 5


def tell_plan(raw: RawRun, *, as_json: bool) -> int:
    """Write to standard output what a manifest holds; return the exit code."""
    try:
        settings = run_order(raw, read_text).settings
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            found = runner.run(plan(settings))
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
        "hosts": dict(found.hosts.most_common()),
        "bound_by": found.bound_by,
        "used_slots": round(found.used_slots, 1),
    }
