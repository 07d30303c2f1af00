"""How many sockets a process may hold open: a share of what the system lets it open."""

from __future__ import annotations

import errno
from typing import Final

__all__ = ["OUT_OF_DESCRIPTORS", "open_files_limit", "socket_budget"]

# The process, or the whole system, can open nothing more.
OUT_OF_DESCRIPTORS: Final = frozenset((errno.EMFILE, errno.ENFILE))
# The other half is for what the sockets are used with: a transfer to disk holds a file, and a pipe where it is moved by
# splice(2); and the program has files of its own.
_SHARE: Final = 2


def open_files_limit() -> int | None:
    """What RLIMIT_NOFILE lets this process open now; None when nothing bounds it."""
    try:
        import resource
    except ImportError:  # no such limit on this system
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def socket_budget() -> int | None:
    """Sockets that a connector opens at most, whatever its ``limit``; None for no bound."""
    limit = open_files_limit()
    return None if limit is None else max(1, limit // _SHARE)
