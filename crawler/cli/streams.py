"""Standard output and error of the command: one way to say something, and readers that leave.

What is said goes to standard error as ``fetchd: ...``; if nobody can take it, it is lost and nothing else changes.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from ..words import printable

__all__ = ["PROGRAM", "STDOUT", "read_text", "say", "silence_output"]

PROGRAM: Final = "fetchd"
STDOUT: Final = 1


def say(text: str) -> None:
    """Write one line to standard error, as ours."""
    try:
        print(f"{PROGRAM}: {printable(text)}", file=sys.stderr, flush=True)
    except (OSError, ValueError):  # closed, full, or a pipe whose reader left
        return


def silence_output() -> None:
    """Have what is written to standard output from now on lead nowhere: its reader has left, which is no error."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, STDOUT)
    os.close(null)


def read_text(name: str) -> str:
    """Return the content of the file *name*, UTF-8.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not UTF-8.
    """
    with open(name, encoding="utf-8") as file:
        return file.read()
