"""Which descriptors this process holds, and a guard against leaked ones (Linux: ``/proc/self/fd``)."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop

__all__ = ["no_new_fds", "open_fds", "open_sockets"]

# What was closed by the code under test may be given back by the loop a turn or two later; a leak
# is never given back. A second is far beyond any turn.
_GRACE_S = 1.0
_TURN_S = 0.005


def open_fds() -> dict[int, str]:
    """Return every open descriptor and what it leads to (``socket:[inode]``, a path ...)."""
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            found[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
        except FileNotFoundError:
            pass  # the descriptor of the listing itself
    return found


@functools.cache
def _warm_libuv() -> None:
    """Let libuv open the pipe that it keeps until the process ends, from its first loop on."""
    uvloop.new_event_loop().close()


def open_sockets() -> set[str]:
    """Return the sockets this process holds, each as ``socket:[inode]``."""
    return {target for target in open_fds().values() if target.startswith("socket:")}


@asynccontextmanager
async def no_new_fds() -> AsyncIterator[None]:
    """Assert at the end that no descriptor is open which was not open at the start.

    The loop goes on turning for up to a second, so that closings under way can end. Nothing is
    garbage-collected on purpose: a descriptor that only the collector closes is a leak.

    Raises:
        AssertionError: Names each descriptor that is left and what it leads to.
    """
    _warm_libuv()
    before = set(open_fds().items())
    yield
    for _ in range(int(_GRACE_S / _TURN_S)):
        if not set(open_fds().items()) - before:
            break
        await asyncio.sleep(_TURN_S)
    left = sorted(set(open_fds().items()) - before)
    assert not left, f"left open: {', '.join(f'{fd} -> {target}' for fd, target in left)}"
