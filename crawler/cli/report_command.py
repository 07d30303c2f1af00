"""``fetchd report``: a row for each item of a folder's ledger, also while a run writes it. Reads only."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Final, get_args

from fetchd.jobs.exceptions import LedgerError, SettingsError
from fetchd.jobs.ledger import LedgerReader
from fetchd.jobs.report import Format, format_of, write_report

from .exit_codes import ExitCode
from .streams import say

__all__ = ["report_format", "tell_report"]

_STDOUT: Final = "-"


def tell_report(folder: str, *, format: str | None, output: str | None, redact: bool) -> int:
    """Write the report of the run in *folder*; return the exit code.

    Args:
        folder: The output folder of a run.
        format: Name of a `Format`; None takes it from the ending of *output*, else ``jsonl``.
        output: File to be written, replacing it; None and ``-`` are standard output.
        redact: Leave out the queries of URLs.
    """
    to_file = output is not None and output != _STDOUT
    try:
        chosen = report_format(format, output if to_file else None)
        if chosen == "parquet" and not to_file and sys.stdout.isatty():
            raise SettingsError("a report in Parquet is no text; expected --output FILE, or a pipe")
        with LedgerReader.open_readonly(Path(folder)) as reader, _opened(output, to_file) as file:
            write_report(reader.every(), file, chosen, redact=redact)
    except LedgerError as exc:
        say(f"{exc}; expected the output folder of a run")
        return ExitCode.USAGE
    except SettingsError as exc:
        say(str(exc))
        return ExitCode.USAGE
    except BrokenPipeError:
        raise
    except OSError as exc:
        say(f"cannot write {output}: {(exc.strerror or str(exc)).lower()}")
        return ExitCode.LOCAL_FAILURE
    return ExitCode.DONE


def report_format(format: str | None, output: str | None) -> Format:
    """Return which format is meant.

    Raises:
        SettingsError: There is none of that name.
    """
    if format is None:
        return "jsonl" if output is None else format_of(output)
    for known in get_args(Format):
        if format == known:
            return known  # type: ignore[no-any-return]
    raise SettingsError(f"--format is {format!r}; expected one of {', '.join(get_args(Format))}")


def _opened(output: str | None, to_file: bool) -> AbstractContextManager[IO[bytes]]:
    if to_file and output is not None:
        return open(output, "wb")
    return nullcontext(sys.stdout.buffer)
