"""What the ledger calls done is held to what is on disk: by digest where one is kept, else by size.

Lives here: what is compared, and hashing by several threads at once. Not here: the ledger, what becomes of a file that
is bad (``ledger.mark_bad``), who is told.

Hashing lets the interpreter's lock go, so threads are enough. Files are opened here, one after the other, without
following a link; the threads only read.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from typing import Final, NamedTuple

from .checksums import Digest, Hashes, parse_digest
from .exceptions import LocalFailureError
from .failures import FailureClass
from .ledger import Row
from .sinks import Folder

__all__ = ["Compared", "Verified", "hash_file", "verify"]

_PIECE: Final = 1 << 20  # octets a read: hashing them takes milliseconds, the call nothing beside it
_AHEAD: Final = 4  # files a thread that are open and wait


class Compared(StrEnum):
    """What a file was held to."""

    DIGEST = "digest"
    SIZE = "size"


class Verified(NamedTuple):
    """What became of one file.

    Attributes:
        row: Of the ledger.
        compared: What it was held to. By SIZE too where there is no file, or one of another size.
        failure_class: What is wrong, None when all is well: ``checksum``, ``size`` or ``disk`` (not there).
        problem: The same in a sentence.
    """

    row: Row
    compared: Compared
    failure_class: FailureClass | None = None
    problem: str = ""


def verify(rows: Iterable[Row], folder: Folder, threads: int) -> Iterator[Verified]:
    """Yield what became of each of *rows*, which are done, in their order.

    Args:
        rows: Taken as they are needed.
        folder: The output folder, ours until the end.
        threads: How many files are hashed at a time, at least 1.

    Raises:
        LocalFailureError: A file is there and cannot be read.
    """
    waiting: deque[Verified | tuple[Row, Digest, Future[Digest]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="fetchd-verify") as pool:
        try:
            for row in rows:
                waiting.append(_begin(row, folder, pool))
                if len(waiting) > threads * _AHEAD:
                    yield _end(waiting.popleft(), folder)
            while waiting:
                yield _end(waiting.popleft(), folder)
        finally:
            pool.shutdown(wait=True, cancel_futures=False)  # each closes its descriptor


def _begin(row: Row, folder: Folder, pool: ThreadPoolExecutor) -> Verified | tuple[Row, Digest, Future[Digest]]:
    try:
        fd = folder.open_finished(row.place)
    except FileNotFoundError:
        return Verified(row, Compared.SIZE, FailureClass.DISK, "the file is not there")
    size = os.fstat(fd).st_size
    expected = _digest_of(row)
    if size != row.size or expected is None:
        os.close(fd)
        if size != row.size:
            return Verified(row, Compared.SIZE, FailureClass.SIZE, f"{size} octets; expected {row.size}")
        return Verified(row, Compared.SIZE)
    return row, expected, pool.submit(_hash_and_close, fd, expected[0])


def _digest_of(row: Row) -> Digest | None:
    """Return the digest that the row has; one of an algorithm of a later version is as good as none."""
    try:
        return None if row.digest is None else parse_digest(row.digest)
    except ValueError:
        return None


def _end(found: Verified | tuple[Row, Digest, Future[Digest]], folder: Folder) -> Verified:
    if isinstance(found, Verified):
        return found
    row, expected, future = found
    try:
        seen = future.result()
    except OSError as exc:
        raise LocalFailureError(folder.root / row.place, exc.errno) from exc
    if seen == expected:
        return Verified(row, Compared.DIGEST)
    problem = f"{seen[0]} is {seen[1].hex()}; expected {expected[1].hex()}"
    return Verified(row, Compared.DIGEST, FailureClass.CHECKSUM, problem)


def _hash_and_close(fd: int, algorithm: str) -> Digest:
    try:
        hashes = Hashes([algorithm])
        hash_file(fd, hashes)
        return hashes.digest(algorithm)
    finally:
        os.close(fd)


def hash_file(fd: int, hashes: Hashes, end: int | None = None) -> None:
    """Have *hashes* take the file from where they stand, to *end* or to its end; it blocks, and needs no position."""
    while end is None or hashes.octets < end:
        piece = os.pread(fd, _PIECE if end is None else min(_PIECE, end - hashes.octets), hashes.octets)
        if not piece:
            return
        hashes.update(piece)
