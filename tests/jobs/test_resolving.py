"""Names by hand, by the system, and not at all in time."""

from __future__ import annotations

import asyncio
import socket

import pytest

from fetchd.client import AddrInfo
from fetchd.jobs.resolving import RunResolver


class Names:
    """A resolver that knows one address, and hangs for one name."""

    async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
        """See ``Resolver``."""
        if host == "hanging.test":
            await asyncio.Event().wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.9", port))]


def resolver(unanswered: list[str], **given: tuple[str, ...]) -> RunResolver:
    """A resolver over ``Names``."""
    return RunResolver(given, unanswered.append, Names())


async def addresses(found: RunResolver, host: str, port: int) -> list[str]:
    """What *host* resolves to."""
    return [str(info[4][0]) for info in await found.resolve(host, port, socket.AF_UNSPEC)]


async def test_names_given_by_hand_are_asked_of_nobody() -> None:
    """With their port only; several addresses in their order."""
    found = RunResolver({"a.test:80": ("127.0.0.3", "::1")}, lambda host: None, Names())
    assert await addresses(found, "a.test", 80) == ["127.0.0.3", "::1"]
    assert await addresses(found, "a.test", 81) == ["127.0.0.9"]
    assert await addresses(found, "b.test", 80) == ["127.0.0.9"]
    found.close()


async def test_a_look_up_that_is_broken_off_is_told() -> None:
    """By host and port; one that is answered is not."""
    told: list[str] = []
    found = resolver(told)
    await addresses(found, "a.test", 80)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(addresses(found, "hanging.test", 8080), 0.01)
    assert told == ["hanging.test:8080"]
    found.close()
    await asyncio.sleep(0)
