"""Requests are sent together at the end of a turn of the loop, not each as it is made.

The problem: a server that has nothing to do sleeps, and the first octets that reach it wake it. On a virtual machine
the wake-up of another core is paid by the sender, 10 us of a send that takes 4. A client that makes a request, works
for the next 50 us on the response to another one, makes the next request and so on wakes a fast server every time.

So the connections that have a request to send are gathered, and one callback sends them all in a row: the first one
wakes the server, the others find it at work. 64 GETs of 1 KiB at a time cost 26 us each instead of 30 (nginx on the
other core). A request that is alone is sent a turn later, which costs it one question to the system for events, 1 us.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

__all__ = ["Outbox", "Sender"]


class Sender(Protocol):
    """What has a request to send."""

    def send_begun(self) -> None: ...


class Outbox:
    """The requests of a connector that are to be sent in this turn of its loop.

    Args:
        loop: The event loop.
    """

    __slots__ = ("_loop", "_senders")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._senders: list[Sender] = []

    def put(self, sender: Sender) -> None:
        """Have *sender* send when everything that is ready now has run."""
        self._senders.append(sender)
        if len(self._senders) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        senders, self._senders = self._senders, []
        for sender in senders:
            sender.send_begun()
