"""The exact octets of a connection, as a hook of the caller is given them: ``wire=`` of a connector.

Inside of TLS, where there is TLS: what HTTP sends and receives. Who has no hook has no tap, and pays nothing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Final, Literal

from .channel import Channel

__all__ = ["Tap", "WireHook"]

WireHook = Callable[[Literal["out", "in"], int, bytes], object]
"""Given direction, number of the connection in this process, and octets; called in the loop, so it should be quick."""

_NUMBERS: Final = itertools.count(1)


class Tap:
    """Tells a hook of the octets of one connection.

    Args:
        hook: Whom to tell. What it raises goes to the exception handler of the loop and changes nothing.

    Attributes:
        number: Of the connection, counted from 1 over the whole process.
    """

    __slots__ = ("_hook", "number")

    def __init__(self, hook: WireHook) -> None:
        self._hook = hook
        self.number = next(_NUMBERS)

    def attach(self, channel: Channel) -> None:
        """Tell of what goes through *channel* from here on; nothing goes past it any more."""
        receive, send = channel.recv, channel.send

        def recv(limit: int) -> bytes:
            data = receive(limit)
            self.received(data)
            return data

        def send_some(data: bytes | memoryview) -> int:
            count = send(data)
            self.sent(data[:count])
            return count

        channel.recv, channel.send = recv, send_some
        channel.is_tapped = True

    def received(self, data: bytes) -> None:
        """*data* came; b"" is the end and is not told."""
        self._tell("in", data)

    def sent(self, data: bytes | memoryview) -> None:
        """*data* was taken by the system, or by TLS."""
        self._tell("out", bytes(data))

    def _tell(self, direction: Literal["out", "in"], data: bytes) -> None:
        if not data:
            return
        try:
            self._hook(direction, self.number, data)
        except Exception as exc:
            message = "a wire= hook raised; the request goes on"
            asyncio.get_running_loop().call_exception_handler({"message": message, "exception": exc})
