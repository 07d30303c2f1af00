"""The octets of one attempt on their way: what of them passes through Python, and for what.

    nothing to hash, keep, pace   the content is the request's body as it is: by splice(2) between plain sockets
    a digest, a copy (tee)        content -> hash, file -> a stream that the request reads; one piece is held back until
                                  the digest is known to be right, so that the destination never has a whole wrong body
    spooled                       content -> hash, files -> a file that the request reads

Not here: the request itself (``delivery``), reopening the source (``source``).
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NamedTuple

from fetchd.client import ClientError, ContinuedContent, StreamReader
from fetchd.client.workers import finished

from ..attempts import AttemptFailedError
from ..bandwidth import Bandwidth
from ..checks import Check
from ..checksums import Digest, Hashes
from ..exceptions import LocalFailureError
from ..failures import Failure, FailureClass
from .copies import Copy, write_all
from .source import Source

__all__ = ["Meter", "Parcel", "Passage"]

PIECE_BYTES: Final = 262_144
"""What is hashed, written and handed on at a time."""


@dataclass(slots=True, eq=False)
class Meter:
    """Counts the octets of an attempt as they come.

    Attributes:
        taken: Of those that pass through Python.
        content: Of those that need not, None when there is none.
        head_at: When the head of the source's answer had come, by the loop's clock; 0 before.
    """

    taken: int = 0
    head_at: float = 0.0
    content: ContinuedContent | None = None

    @property
    def octets(self) -> int:
        """How many so far."""
        return self.taken if self.content is None else self.content.delivered


class Parcel(NamedTuple):
    """A body, ready to be sent.

    Attributes:
        data: For the request.
        is_whole: Whether all of it was taken from here.
        rewind: Makes it ready to be sent once more; None for one that cannot be.
    """

    data: ContinuedContent | StreamReader | IO[bytes]
    is_whole: Callable[[], bool]
    rewind: Callable[[], object] | None = None


class Passage:
    """Takes one body from its source.

    Args:
        source: Open.
        check: What the body is held to, and the algorithm of a further digest; None for nothing.
        copy: Gets all octets too; None for none.
        meter: Counts.
        bandwidth: Says how quickly octets are taken; None for as quickly as they come.

    Attributes:
        expected: Digests that the body must have.
    """

    def __init__(
        self, source: Source, check: Check | None, copy: Copy | None, meter: Meter, bandwidth: Bandwidth | None = None
    ) -> None:
        self._source = source
        self.expected: tuple[Digest, ...] = () if check is None else check.expected
        kept = None if check is None else check.kept
        self._hashes = Hashes([*(name for name, _ in self.expected), *([] if kept is None else [kept])])
        self._copy = copy
        self._meter = meter
        self._bandwidth = bandwidth

    def digests(self) -> tuple[Digest, ...]:
        """Of what was taken; empty when nothing is hashed."""
        return tuple(self._hashes.digest(name) for name in sorted(self._hashes.algorithms))

    def mismatch(self, told: Sequence[Digest]) -> str:
        """How what was taken differs from what is *told*; "" when it does not, as far as it was hashed."""
        return self._hashes.mismatch([digest for digest in told if digest[0] in self._hashes.algorithms])

    @contextlib.asynccontextmanager
    async def parcel(self, spool: Path | None) -> AsyncIterator[Parcel]:
        """The body for one request.

        Args:
            spool: Folder for it if its length is not known; None sends it without one.

        Raises:
            AttemptFailedError: The source failed while the body was spooled.
            JobError: It could not be stored.
        """
        source, meter = self._source, self._meter
        if source.length is None and spool is not None:
            with _spool_file(spool) as file:
                await self._read_into(file, spool)
                file.seek(0)
                yield Parcel(file, lambda: file.tell() == meter.taken, lambda: file.seek(0))
        elif not self._hashes.algorithms and self._copy is None and self._bandwidth is None:
            meter.content = ContinuedContent(source.content, source.go_on)
            yield Parcel(meter.content, source.is_at_end)
        else:
            stream = StreamReader(length=source.length)
            feeding = asyncio.ensure_future(self._feed(stream))
            try:
                yield Parcel(stream, stream.at_eof)
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)

    async def _feed(self, stream: StreamReader) -> None:
        """Read the source into *stream*, from which the request reads; what breaks the one breaks the other."""
        try:
            async with contextlib.aclosing(self.pieces()) as pieces:
                async for piece in pieces:
                    await stream.write(piece)
            stream.feed_eof()
        except Exception as exc:  # whatever it is, the request fails with it, and so does the attempt
            stream.set_exception(exc)

    async def _read_into(self, file: IO[bytes], spool: Path) -> None:
        loop = asyncio.get_running_loop()
        async with contextlib.aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                try:
                    await finished(loop.run_in_executor(None, write_all, file.fileno(), piece))
                except OSError as exc:
                    raise LocalFailureError(spool, exc.errno) from exc

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body, hashed and copied; the last piece comes when the digest is known to be right."""
        content, held = self._source.content, b""
        while True:
            try:
                piece = await content.read(PIECE_BYTES)
            except ClientError as exc:
                content = await self._source.go_on(self._meter.taken, exc)
                continue
            if not piece:
                break
            self._meter.taken += len(piece)
            self._hashes.update(piece)
            if self._bandwidth is not None:
                await self._bandwidth.settle(len(piece))
            if self._copy is not None:
                await self._copy.write(piece)
            if held:
                yield held
            held = piece
        wrong = self._hashes.mismatch(self.expected)
        if wrong:
            message = f"the source gave other octets: {wrong}"
            raise AttemptFailedError(Failure(FailureClass.CHECKSUM, message, self._source.status))
        if held:
            yield held


@contextlib.contextmanager
def _spool_file(folder: Path) -> Iterator[IO[bytes]]:
    """A nameless file in *folder*.

    Raises:
        LocalFailureError: There can be none.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 -- closed below
    except OSError as exc:
        raise LocalFailureError(folder, exc.errno) from exc
    with file:
        yield file
