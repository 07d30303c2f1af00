"""Names to addresses for a run: those given by hand, then the system's; and who is told of look-ups without answer.

A look-up that is not answered looks from outside like a host that does not answer: connecting takes too long. It says
nothing of the host, though, and happens to all hosts at once, so it is told apart here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from fetchd.client import AddrInfo, CachingResolver, Resolver, ThreadedResolver

__all__ = ["RunResolver"]


class RunResolver:
    """A ``Resolver`` for the connector of a run. Close it after that.

    Args:
        given: Addresses by ``host:port``, in place of what the system says.
        note_unanswered: Called with a host (name and port) whose look-up was broken off.
        inner: Asked for all other names, through a cache; None for the system.
    """

    def __init__(
        self, given: Mapping[str, Sequence[str]], note_unanswered: Callable[[str], None], inner: Resolver | None = None
    ) -> None:
        self._given = given
        self._note_unanswered = note_unanswered
        self._cache = CachingResolver(ThreadedResolver() if inner is None else inner)

    async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
        """See ``Resolver``."""
        key = f"{host}:{port}"
        addresses = self._given.get(key)
        if addresses is not None:
            return [info for address in addresses for info in await self._cache.resolve(address, port, family)]
        try:
            return await self._cache.resolve(host, port, family)
        except asyncio.CancelledError:
            self._note_unanswered(key)
            raise

    def close(self) -> None:
        """Break off what is being looked up."""
        self._cache.close()
