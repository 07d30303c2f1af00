"""``fetchd verify``: are the files still what the ledger says? What is bad can be put back to be fetched.

What is bad goes to standard output, a line each; how many were held to what, and what to do, to standard error.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fetchd.jobs.exceptions import LedgerError, LocalFailureError, SettingsError
from fetchd.jobs.ledger import Ledger, LedgerReader, State
from fetchd.jobs.ledger_recovery import recover
from fetchd.jobs.sinks import Folder
from fetchd.jobs.templates import ASKED, derive_by
from fetchd.jobs.verifying import Compared, Verified, verify

from ..words import number, printable, reasons
from .exit_codes import ExitCode
from .streams import say
from .values import parse_count

__all__ = ["tell_verify", "verdict_lines"]


def tell_verify(folder: str, *, threads: str | None, requeue: bool, as_json: bool) -> int:
    """Compare what is done in *folder* with what is there; return the exit code.

    Args:
        folder: The output folder of a run.
        threads: How many files are hashed at a time, as typed; None is one for each processor.
        requeue: Make what is bad failed, so that the next run fetches it. No run may be at work then.
        as_json: Write an object a line for each file that is bad, and one at the end.
    """
    try:
        count = _threads(threads)
        with _ledger(Path(folder), is_ours=requeue) as ledger, Folder(Path(folder)) as files:
            if isinstance(ledger, Ledger):
                recover(ledger, files)
            compared: Counter[Compared] = Counter()
            bad: dict[int, tuple[str, str]] = {}
            classes: Counter[str] = Counter()
            for found in verify(ledger.iterate(State.DONE), files, count):
                compared[found.compared] += 1
                if found.failure_class is not None:
                    bad[found.row.row] = (str(found.failure_class), found.problem)
                    classes[str(found.failure_class)] += 1
                    _tell_bad(found, as_json)
            if isinstance(ledger, Ledger) and bad:
                ledger.mark_bad(bad)
    except (LedgerError, SettingsError) as exc:
        say(f"{exc}; expected the output folder of a run" if type(exc) is LedgerError else str(exc))
        return ExitCode.USAGE
    except LocalFailureError as exc:
        say(str(exc))
        return ExitCode.LOCAL_FAILURE
    if as_json:
        print(json.dumps(_as_object(compared, classes, is_requeued=requeue)))
    for line in verdict_lines(compared, classes, is_requeued=requeue):
        say(line)
    return ExitCode.SOME_FAILED if bad else ExitCode.DONE


def _threads(text: str | None) -> int:
    if text is None:
        return len(os.sched_getaffinity(0))
    try:
        return parse_count(text, 1)
    except ValueError as exc:
        raise SettingsError(f"--jobs is {text!r}; {exc}") from exc


@contextmanager
def _ledger(folder: Path, *, is_ours: bool) -> Iterator[LedgerReader]:
    """Open the ledger to look at it, or, locked, to write."""
    with LedgerReader.open_readonly(folder) as reader:
        if reader.template.startswith(("http://", "https://")):
            raise SettingsError(f"{folder} is the ledger of a mirror; expected the output folder of a run, with files")
        if reader.template == ASKED:
            raise SettingsError(f"{folder} is of a run with --spider, which keeps no files; there is nothing to verify")
        if not is_ours:
            yield reader
            return
        template = reader.template
    with Ledger.open(folder, template=template, derive=derive_by(template)) as ledger:
        yield ledger


def _tell_bad(found: Verified, as_json: bool) -> None:
    row = found.row
    if as_json:
        bad = {"event": "bad", "url": row.url, "path": row.path, "class": found.failure_class, "message": found.problem}
        print(json.dumps(bad, ensure_ascii=False))
    else:
        print(f"{printable(row.path)}: {found.problem}")


def verdict_lines(compared: Counter[Compared], classes: Counter[str], *, is_requeued: bool) -> list[str]:
    """Return what was compared, what is bad by class, and what is next."""
    total = compared.total()
    by_size = compared[Compared.SIZE]
    parts = [f"{number(compared[Compared.DIGEST])} by digest"] if compared[Compared.DIGEST] else []
    if by_size:
        parts.append(f"{number(by_size)} by size only")
    lines = [f"{number(total)} {'file' if total == 1 else 'files'} compared{': ' if parts else ''}{', '.join(parts)}"]
    if by_size and not compared[Compared.DIGEST]:
        lines[0] += "; --checksum of the run keeps digests to compare"
    if not classes:
        return [*lines, "all are as the ledger says"] if total else lines
    lines.append(f"bad: {reasons(classes)}")
    advice = "the same command as before fetches them again" if is_requeued else "--requeue has them fetched again"
    return [*lines, advice]


def _as_object(compared: Counter[Compared], classes: Counter[str], *, is_requeued: bool) -> dict[str, Any]:
    return {
        "event": "verified",
        "by_digest": compared[Compared.DIGEST],
        "by_size": compared[Compared.SIZE],
        "bad": dict(classes),
        "requeued": classes.total() if is_requeued else 0,
    }
