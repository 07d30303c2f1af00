"""Content held to what is expected of it while it comes: which digests an item has, and the way by which it is hashed.

Lives here: where the expectations of an item are put together, the octets on their way through hash and file. Not here:
what a digest is and how one is written (``checksums.py``), what follows from a mismatch (``transfer.py``).

An item of which nothing is expected, and whose digest nobody wants, has no `Check` and goes its own way (splice).
Hashing is done in the loop for small pieces; of a large body a worker thread hashes and writes a batch while the loop
gathers the next. The octets that an earlier attempt left on disk are hashed before those that follow: a state that was
kept would have to be proven to be theirs.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Final, Protocol

from fetchd.client import ClientResponse, Pace
from fetchd.client.workers import finished

from .checksums import Digest, Hashes, Sidecar, algorithm_named, head_digests, spelled
from .exceptions import SettingsError
from .resume import is_coded
from .verifying import hash_file

__all__ = ["Check", "Checks", "Expected", "read_sidecar"]

BATCH_BYTES: Final = 1 << 20
"""Octets a batch of a worker: it hashes them in a millisecond or two, and is asked a thousand times a gigabyte."""
INLINE_BYTES: Final = 131_072
"""Octets that are hashed in the loop: 0.1 to 0.3 ms."""

# The strongest first: of the digests that a head tells, one is enough.
_BY_STRENGTH: Final = ("sha512", "sha384", "sha256", "sha224", "blake2b", "sha1", "md5", "crc64nvme", "crc32c", "crc32")
_TELLS_DIGEST: Final = re.compile(rb"(?i)\n(?:repr-digest|content-(?:digest|md5)|x-goog-hash|x-amz-checksum-)")


class Expected(Protocol):
    """What a manifest says of an item, as far as it matters here."""

    @property
    def digests(self) -> tuple[tuple[str, bytes], ...]:
        """Algorithm and digest, of each that is given."""


class Check:
    """One content on its way: what it is held to, and the hashes it goes through.

    Attributes:
        expected: Digests that the whole must have.
        kept: Algorithm of the digest that goes to the ledger; None for none.
    """

    __slots__ = ("_hashes", "expected", "kept")

    def __init__(self, expected: tuple[Digest, ...], kept: str | None) -> None:
        self.expected = expected
        self.kept = kept
        self._hashes = self._new_hashes()

    def _new_hashes(self) -> Hashes:
        return Hashes([*(algorithm for algorithm, _ in self.expected), *([self.kept] if self.kept else ())])

    def take(self, data: bytes) -> None:
        """Take a content that is whole in memory."""
        self._hashes = self._new_hashes()
        self._hashes.update(data)

    async def read(self, fd: int, size: int) -> None:
        """Take the first *size* octets of the file *fd*, off the loop."""
        hashes = self._hashes = self._new_hashes()
        await finished(asyncio.get_running_loop().run_in_executor(None, hash_file, fd, hashes, size))

    async def save(self, response: ClientResponse, fd: int, offset: int, pace: Pace | None = None) -> None:
        """Write the content of *response* to *fd* from *offset* on and take it; what is there before is taken first.

        Whatever happens, what had come is in the file.

        Args:
            response: Where it comes from.
            fd: Open for reading and writing.
            offset: Octets that are there.
            pace: Says how quickly it is taken; None for as quickly as it comes.

        Raises:
            ClientError: The content broke off.
            OSError: The file cannot take it.
        """
        await self.read(fd, offset)
        os.lseek(fd, offset, os.SEEK_SET)
        await _Pipeline(fd, self._hashes).run(response, pace)

    def mismatch(self) -> str:
        """Say how what was taken differs from what is expected, "" when it does not."""
        return self._hashes.mismatch(self.expected)

    @property
    def digest(self) -> str | None:
        """What goes to the ledger; None for nothing."""
        return None if self.kept is None else spelled(self._hashes.digest(self.kept))


class _Pipeline:
    """Gathers the next batch while a worker writes and hashes the one before."""

    def __init__(self, fd: int, hashes: Hashes) -> None:
        self._fd = fd
        self._hashes = hashes
        self._batch: list[bytes] = []
        self._size = 0
        self._work: asyncio.Future[None] | None = None

    async def run(self, response: ClientResponse, pace: Pace | None) -> None:
        """Move the content."""
        try:
            async for piece in response.content.iter_any():
                self._batch.append(piece)
                self._size += len(piece)
                if pace is not None:
                    pace.spend(len(piece))
                    await pace.turn()
                if self._size >= BATCH_BYTES:
                    await self._hand_over()
        finally:
            await self._settle()
            if self._size > INLINE_BYTES:
                await self._hand_over()
                await self._settle()
            elif self._batch:
                self._write(self._take())

    async def _hand_over(self) -> None:
        await self._settle()
        self._work = asyncio.get_running_loop().run_in_executor(None, self._write, self._take())

    async def _settle(self) -> None:
        """Wait for the worker, which has the descriptor."""
        work, self._work = self._work, None
        if work is not None:
            await finished(work)

    def _take(self) -> bytes:
        batch, self._batch, self._size = b"".join(self._batch), [], 0
        return batch

    def _write(self, data: bytes) -> None:
        """Write and hash *data*: in this order, so that what is hashed is there."""
        rest = memoryview(data)
        while rest:
            written = os.write(self._fd, rest)
            self._hashes.update(rest[:written])
            rest = rest[written:]


class Checks:
    """Gives the check of an item, for a run.

    Args:
        algorithm: By which every content is hashed, one of `checksums.ALGORITHMS`; None for none.
        sidecar: Digests by the end of an item's URL; None for none.
        decodes: Whether content codings are removed: what a head tells is of the octets before that (RFC 9530).
    """

    def __init__(self, algorithm: str | None = None, sidecar: Sidecar | None = None, *, decodes: bool = False) -> None:
        self._decodes = decodes
        self._algorithm = algorithm
        self._sidecar = sidecar
        self._asks_all = algorithm is not None or sidecar is not None

    def of(self, url: str, extras: Expected | None, response: ClientResponse) -> Check | None:
        """Return the check of a content that is about to come; None when nothing is expected of it.

        Args:
            url: Of the item.
            extras: What the manifest says of it; None for nothing.
            response: Its head is here.
        """
        # Hot path: most items end here.
        if not self._asks_all and extras is None and not response.has_field_like(_TELLS_DIGEST):
            return None
        expected = _known(() if extras is None else extras.digests)
        if not expected and self._sidecar is not None:
            found = self._sidecar.of(url)
            expected = () if found is None else (found,)
        kept = self._algorithm or (_strongest(expected)[0] if expected else None)
        is_other = self._decodes and is_coded(response.headers)
        if not (expected or is_other) and response.status in (200, 206) and response.has_field_like(_TELLS_DIGEST):
            told = head_digests(response.raw_headers, response.status)
            expected = (_strongest(told),) if told else ()
        return Check(expected, kept) if expected or kept else None


def _known(digests: tuple[tuple[str, bytes], ...]) -> tuple[Digest, ...]:
    """Return those that can be computed, by our names for their algorithms."""
    named = ((algorithm_named(name), octets) for name, octets in digests)
    return tuple((name, octets) for name, octets in named if name is not None)


def _strongest(digests: tuple[Digest, ...] | list[Digest]) -> Digest:
    return min(digests, key=lambda digest: _BY_STRENGTH.index(digest[0]))


def read_sidecar(path: Path) -> Sidecar:
    """Read the digests of the file *path*.

    Raises:
        SettingsError: It cannot be read, or has none.
    """
    try:
        sidecar = Sidecar.parse(path.read_text("utf-8", "surrogateescape"))
    except OSError as exc:
        raise SettingsError(f"cannot read {path}: {(exc.strerror or str(exc)).lower()}") from exc
    if not sidecar.digests:
        raise SettingsError(f"{path} has no digest; expected lines as sha256sum writes them")
    return sidecar
