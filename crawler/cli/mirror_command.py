"""``fetchd mirror``: a run whose bodies go to another server; what is said about it, and the exit code, are a run's."""

from __future__ import annotations

import asyncio
import os

from fetchd.jobs.exceptions import ManifestError, SettingsError
from fetchd.jobs.mirror import MirrorJob, MirrorSettings
from fetchd.jobs.mirror.plan import planned

from ..words import printable
from .descriptors import allow_descriptors
from .event_loop import new_event_loop
from .exit_codes import ExitCode
from .mirror_options import RawMirror, mirror_order
from .run_command import conduct
from .streams import read_text, say

__all__ = ["mirror_manifest"]


def mirror_manifest(raw: RawMirror) -> int:
    """Do what ``fetchd mirror`` was asked for; return the exit code."""
    try:
        order = mirror_order(raw, read_text, os.environ)
        allow_descriptors(2 * order.settings.run.concurrency)  # a socket on either side
    except SettingsError as exc:
        say(str(exc))
        return ExitCode.USAGE
    if order.is_dry:
        return _tell_plan(order.settings)
    is_told = order.run.tells_all
    return conduct(order.run, lambda on_event: MirrorJob(order.settings, on_event, tell_all=is_told), "mirror")


def _tell_plan(settings: MirrorSettings) -> int:
    """Write what would be sent where: source, tab, destination, a line each."""
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            items, bad = runner.run(_write_plan(settings))
    except (ManifestError, SettingsError) as exc:
        say(str(exc))
        return ExitCode.USAGE
    if not items and not bad:
        say("no items; expected a URL a line")
        return ExitCode.USAGE
    return ExitCode.SOME_FAILED if bad else ExitCode.DONE


async def _write_plan(settings: MirrorSettings) -> tuple[int, int]:
    items = bad = 0
    async for plan in planned(settings):
        if plan.destination is None:
            bad += 1
            say(printable(f"line {plan.line}: {plan.problem}"))
        else:
            items += 1
            print(f"{plan.url}\t{plan.destination}")
    return items, bad
