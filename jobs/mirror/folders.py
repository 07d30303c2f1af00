"""The collections of a WebDAV server, made before something is put into them (RFC 4918 section 9.3)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from fetchd.client import ClientSession, RequestOptions

from ..attempts import AttemptFailedError, status_failure
from .template import folders_of

__all__ = ["Collections"]

MAX_KNOWN: Final = 10_000
"""Collections that are remembered; one that was forgotten is asked for once more."""

# Made; there already (405 by section 9.3.1; a redirection to itself or a refusal of the root by some servers).
_FINE: Final = frozenset((200, 201, 204, 301, 302, 308, 405))


class Collections:
    """Makes each collection once.

    Args:
        session: Of the destination.
        options: Of each of its requests.
    """

    def __init__(self, session: ClientSession, options: RequestOptions) -> None:
        self._session = session
        self._options = options
        self._known: OrderedDict[str, asyncio.Task[None]] = OrderedDict()

    async def make_for(self, url: str) -> None:
        """Make what *url* lies in.

        Raises:
            ClientError: The destination cannot be reached.
            AttemptFailedError: It refuses.
        """
        folders = folders_of(url)
        # The innermost that is known tells of all around it.
        known = max((at for at, folder in enumerate(folders) if folder in self._known), default=-1)
        for folder in folders[max(known, 0) :]:
            await self._make_once(folder)

    async def _make_once(self, folder: str) -> None:
        making = self._known.get(folder)
        if making is None:
            making = self._known[folder] = asyncio.ensure_future(self._make(folder))
            making.add_done_callback(_retrieve)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        try:
            await asyncio.shield(making)
        except BaseException:
            if making.done() and self._known.get(folder) is making:
                del self._known[folder]
            raise

    async def _make(self, folder: str) -> None:
        async with self._session.request("MKCOL", folder, **self._options) as response:
            if response.status not in _FINE:
                raise AttemptFailedError(status_failure(response, f"the destination's MKCOL {folder}: ", of_sink=True))


def _retrieve(making: asyncio.Task[None]) -> None:
    """Nobody may wait any more for what has failed."""
    if not making.cancelled():
        making.exception()
