"""Open files: as many as the run needs, or a clear word before it begins.

A run that meets the limit in the middle would take it for a failing disk or a failing host. The soft limit is a habit
of shells (1,024) and the process may raise it up to the hard one.
"""

from __future__ import annotations

import resource
from typing import Final

from fetchd.jobs.exceptions import SettingsError

__all__ = ["allow_descriptors", "descriptors_of"]

# Standard streams, loop, ledger and its log, manifest, lock, and two times 128 folders that are kept open.
_FIXED: Final = 320
# A slot: two connections (one idle, for another host), the file, and the two ends of a pipe for splice(2).
_PER_SLOT: Final = 5


def descriptors_of(concurrency: int) -> int:
    """Return how many descriptors a run with *concurrency* slots may hold at a time."""
    return _FIXED + _PER_SLOT * concurrency


def allow_descriptors(concurrency: int) -> None:
    """Raise the soft limit of this process as far as *concurrency* needs it.

    Raises:
        SettingsError: The hard limit is too low.
    """
    needed = descriptors_of(concurrency)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        most = max((hard - _FIXED) // _PER_SLOT, 1)
        raise SettingsError(
            f"--concurrency {concurrency} may need {needed} open files and the system allows {hard};"
            f" expected at most {most} (or raise ulimit -n)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
