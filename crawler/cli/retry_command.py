"""``fetchd retry``: what failed in a folder again, from its ledger; the rest is a run like any other."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from fetchd.jobs.exceptions import LedgerError, SettingsError
from fetchd.jobs.failures import FailureClass
from fetchd.jobs.ledger import LedgerReader
from fetchd.jobs.templates import ASKED

from ..words import printable
from .exit_codes import ExitCode
from .options import RawRun, run_order
from .run_command import run_ordered
from .streams import read_text, say

__all__ = ["retry_folder"]


def retry_folder(raw: RawRun, classes: tuple[str, ...]) -> int:
    """Fetch again what failed in the folder ``raw.output``; return the exit code.

    Args:
        raw: Options as for a run; the manifest and the template of names are the folder's.
        classes: Failure classes to take; empty for all of them.
    """
    try:
        wanted = frozenset(_failure_class(name) for name in classes)
        with LedgerReader.open_readonly(Path(raw.output or "")) as reader:
            failures = reader.failure_counts()
            template = reader.template
        raw = replace(raw, spider=True) if template == ASKED else replace(raw, name=template)
        order = run_order(raw, read_text, os.environ)
    except LedgerError as exc:
        say(f"{exc}; expected the output folder of a run")
        return ExitCode.USAGE
    except SettingsError as exc:
        say(str(exc))
        return ExitCode.USAGE
    if not (set(failures) & wanted if wanted else failures):
        say(f"nothing of {printable(raw.output or '')} failed{' as ' if classes else ''}{', '.join(classes)}")
        return ExitCode.DONE
    return run_ordered(order._replace(settings=replace(order.settings, retry=wanted)))


def _failure_class(name: str) -> str:
    try:
        return FailureClass(name).value
    except ValueError:
        known = ", ".join(FailureClass)
        raise SettingsError(f"--class is {name!r}; expected one of {known}") from None
