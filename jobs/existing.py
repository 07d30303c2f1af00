"""Items that are done and are looked at once more: ``--existing verify`` and ``update``.

Lives here: the look at the file, the condition of the request, and what says that the file stays. Not here: which items
are looked at (``intake.py``), the request itself (``transfer.py``), what becomes of a file that does not stay: it is
fetched as ever, and replaced when the new one is whole.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping

from fetchd.client.workers import finished

from .attempts import AttemptFailedError, Fetched
from .checksums import Hashes, parse_digest
from .intake import Standing
from .items import Item
from .sinks import Folder
from .transfer import Transfer
from .verifying import hash_file

__all__ = ["KeptError", "Looker", "conditions"]

_NOT_MODIFIED = 304


class KeptError(Exception):
    """The file that is there stays.

    Attributes:
        was_asked: Whether the host said so; else the file did.
    """

    def __init__(self, *, was_asked: bool) -> None:
        self.was_asked = was_asked
        super().__init__()


class Looker:
    """Stands before the attempts of a run and lets through what does not stay.

    Args:
        transfer: Makes the attempts.
        folder: Of the files; used in the loop's thread alone.
        standing: Items that are done, with what is known of their files; what is not in it is let through.
        asks: Whether the host is asked if the content has changed; else the file is hashed.
    """

    def __init__(self, transfer: Transfer, folder: Folder, standing: Mapping[Item, Standing], *, asks: bool) -> None:
        self._transfer = transfer
        self._folder = folder
        self._standing = standing
        self._look: Callable[[Item, Standing], Awaitable[Fetched]] = self._ask if asks else self._hash

    @property
    def received(self) -> int:
        """Octets of content that came so far."""
        return self._transfer.received

    async def attempt(self, item: Item) -> Fetched:
        """Fetch *item* once, if its file does not stay.

        Raises:
            KeptError: It stays.
            AttemptFailedError: As ``Transfer.attempt``, and so are others.
        """
        standing = self._standing.get(item)
        if standing is None:
            return await self._transfer.attempt(item)
        return await self._look(item, standing)

    async def _ask(self, item: Item, standing: Standing) -> Fetched:
        try:
            fd = self._folder.open_finished(standing.place)
        except FileNotFoundError:
            return await self._transfer.attempt(item)
        try:
            modified = os.fstat(fd).st_mtime
        finally:
            os.close(fd)
        self._transfer.conditions[item] = conditions(standing, modified)
        try:
            return await self._transfer.attempt(item)
        except AttemptFailedError as exc:
            if exc.failure.status == _NOT_MODIFIED:
                raise KeptError(was_asked=True) from None
            raise
        finally:
            del self._transfer.conditions[item]

    async def _hash(self, item: Item, standing: Standing) -> Fetched:
        if await self._is_good(item, standing):
            raise KeptError(was_asked=False)
        return await self._transfer.attempt(item)

    async def _is_good(self, item: Item, standing: Standing) -> bool:
        assert standing.digest is not None, "without a digest it is not looked at"
        algorithm, expected = parse_digest(standing.digest)
        try:
            fd = self._folder.open_finished(standing.place)
        except FileNotFoundError:
            return False
        try:
            hashes = Hashes([algorithm])
            await finished(asyncio.get_running_loop().run_in_executor(None, hash_file, fd, hashes))
        finally:
            os.close(fd)
        return not hashes.mismatch([(algorithm, expected)])


def conditions(standing: Standing, modified: float) -> dict[str, str]:
    """Return the fields of a request for what has changed (RFC 9110 sections 13.1.2 and 13.1.3).

    Args:
        standing: Its ETag, a weak one too, is asked with where it was kept.
        modified: Modification time of the file, which is Last-Modified where that was told, else when it was fetched.
    """
    from email.utils import formatdate  # 1 ms, which only runs that ask for what has changed need

    fields = {"If-Modified-Since": formatdate(int(modified), usegmt=True)}
    return fields if standing.etag is None else {"If-None-Match": standing.etag, **fields}
