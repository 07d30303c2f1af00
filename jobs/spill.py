"""Lines of a manifest that wait on disk, in order for each host, because memory has enough of their hosts.

One file without a name, appended to by chunks of lines; what is in memory is where each host's chunks are, and the
lines that are not written yet. When nothing waits any more the file is cut to nothing; until then what was taken leaves
a hole, so that the bound is one of all that was written since.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from .manifests import Batch, DetailedLine, Line

__all__ = ["CHUNK_LINES", "LIMIT_BYTES", "Spill"]

LIMIT_BYTES: Final = 1 << 30
"""Most octets that are written, by default."""
CHUNK_LINES: Final = 512
"""Lines of one host that are written, and taken, at a time."""
MAX_HELD: Final = 20_000
"""Lines of all hosts together that are held to be written: then all are, however few each host has."""


class _Queue:
    """The lines of one host: chunks on disk, then those that are held."""

    __slots__ = ("chunks", "held")

    def __init__(self) -> None:
        self.chunks: list[tuple[int, int]] = []  # offset and length, oldest last
        self.held: list[Line | DetailedLine] = []


class Spill:
    """Lines by host, first in, first out.

    Args:
        folder: Where the file is made, when it is needed first.
        limit: Octets that may be written.

    Attributes:
        lines: How many wait.
        failure: What the disk said when it could not take more; None while it could.
    """

    def __init__(self, folder: Path, limit: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit = limit
        self._file: IO[bytes] | None = None
        self._end = 0
        self._held = 0
        self._queues: OrderedDict[str, _Queue] = OrderedDict()
        self.lines = 0
        self.failure: OSError | None = None

    @property
    def has_room(self) -> bool:
        """Whether more lines should be put here. ``put`` never refuses."""
        return self.failure is None and self._end < self._limit

    @property
    def hosts(self) -> Iterator[str]:
        """Those of which lines wait, the one that was taken from last at the end."""
        return iter(self._queues)

    def __contains__(self, host: str) -> bool:
        return host in self._queues

    def put(self, host: str, line: Line | DetailedLine) -> None:
        """Keep *line* behind those of its host that are here."""
        queue = self._queues.get(host)
        if queue is None:
            queue = self._queues[host] = _Queue()
        queue.held.append(line)
        self.lines += 1
        self._held += 1
        if self.failure is not None:
            return
        if len(queue.held) >= CHUNK_LINES:
            self._write(queue)
        elif self._held >= MAX_HELD:
            for each in self._queues.values():
                self._write(each)

    def take(self, host: str) -> Batch:
        """The oldest lines of *host*, of which some are here."""
        queue = self._queues[host]
        taken: list[Line | DetailedLine]
        if queue.chunks:
            offset, length = queue.chunks.pop(0)
            assert self._file is not None, "there are chunks"
            taken = pickle.loads(os.pread(self._file.fileno(), length, offset))  # our own: the file has no name
        else:
            taken, queue.held = queue.held, []
            self._held -= len(taken)
        self.lines -= len(taken)
        if queue.chunks or queue.held:
            self._queues.move_to_end(host)
        else:
            del self._queues[host]
        if not self._queues and self._file is not None:
            self._end = 0
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), 0)
        return list(taken)

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()

    def _write(self, queue: _Queue) -> None:
        """Write what is held of one host; where the disk does not take it, it stays in memory."""
        if not queue.held or self.failure is not None:
            return
        octets = pickle.dumps(queue.held, pickle.HIGHEST_PROTOCOL)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 -- closed by close
            written = 0
            while written < len(octets):
                written += os.pwrite(self._file.fileno(), octets[written:], self._end + written)
        except OSError as exc:
            self.failure = exc
            return
        queue.chunks.append((self._end, len(octets)))
        self._end += len(octets)
        self._held -= len(queue.held)
        queue.held = []
