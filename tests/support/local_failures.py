"""Failures of this machine, real ones, for this process alone: no permission, no more room."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["largest_file", "unprivileged"]

_NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's power to pass over permissions; for others nothing changes."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


@contextmanager
def largest_file(octets: int) -> Iterator[None]:
    """The system takes no more than *octets* of any file: a disk that fills up in mid-write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
