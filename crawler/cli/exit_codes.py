"""Exit codes of the command: what they are, and which one a run ends with. Pure; the numbers are published."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fetchd.jobs.events import Summary

__all__ = ["ExitCode", "code_of_failures", "exit_code", "signal_code"]


class ExitCode(IntEnum):
    """What a process of ours ends with."""

    DONE = 0
    """Every item is done, in this run or an earlier one."""
    SOME_FAILED = 1
    """Finished, and some items failed or were invalid."""
    USAGE = 2
    """Usage, settings, a folder that cannot be used, an unreadable or empty manifest: nothing was fetched."""
    LOCAL_FAILURE = 3
    """This machine refused to store what came: disk full, no permission."""
    NETWORK_UNUSABLE = 4
    """Every attempted item ended in dns, connect or tls."""
    LIMIT = 5
    """Stopped by one of the limits on the run as a whole, with something left."""
    INTERRUPTED = 130
    """Stopped by SIGINT (128 + 2, as shells count)."""
    TERMINATED = 143
    """Stopped by SIGTERM (128 + 15)."""


# As ``jobs.limits.STOPPING_LIMITS``, which is not imported here: help must not wait for the engine.
_LIMITS: Final = frozenset(("max-failures", "max-total-bytes", "max-time"))
_NETWORK: Final = frozenset(("dns", "connect", "tls"))
_NOT_ATTEMPTED: Final = frozenset(("policy", "invalid"))


def exit_code(summary: Summary, signal_number: int | None = None) -> ExitCode:
    """Return the code of a run that ended with *summary*.

    The first of these that holds: local failure, signal, no items, a limit that left something, network unusable,
    something failed or left, done.
    Policy failures (colliding names) do not count as attempts.

    Args:
        summary: How the run ended.
        signal_number: The signal that stopped it, None when none did.
    """
    if summary.local_failure is not None:
        return ExitCode.LOCAL_FAILURE
    if signal_number is not None:
        return signal_code(signal_number)
    if not summary.read and not summary.unread:
        return ExitCode.USAGE
    if summary.stopped_by in _LIMITS and (summary.left or summary.unread):
        return ExitCode.LIMIT
    code = code_of_failures(summary.failures, summary.done)
    if code is ExitCode.DONE and (summary.failed or summary.invalid or summary.left or summary.unread):
        return ExitCode.SOME_FAILED
    return code


def code_of_failures(classes: Iterable[str], done: int) -> ExitCode:
    """Return the code that follows from the failure classes seen and the number of items fetched."""
    attempted = set(classes) - _NOT_ATTEMPTED
    if attempted and not done and attempted <= _NETWORK:
        return ExitCode.NETWORK_UNUSABLE
    return ExitCode.SOME_FAILED if set(classes) else ExitCode.DONE


def signal_code(number: int) -> ExitCode:
    """Return the code of a process that signal *number* stopped."""
    return ExitCode(128 + number)
