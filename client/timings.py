"""How long each phase of a request took: ``Timings``, and the ``Stopwatch`` that fills them in. Pure: given a clock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["Phase", "Stopwatch", "Timings"]

Phase = Literal["queued", "dns", "connect", "proxy", "tls"]


@dataclass(slots=True)
class Timings:
    """Seconds that the phases of one request took; None for what did not take place, or not yet.

    Each response of a redirection has its own. The phases do not overlap; what lies between them is the program's own
    work, and that of handlers.

    Attributes:
        queued: The wait for a slot of the connector.
        dns: The look-up of the name, of the proxy's where there is one; next to nothing from the cache, None for an
            address.
        connect: From the first attempt until TCP, or the Unix socket, is connected.
        proxy: TLS to an https proxy, and until the tunnel is open; all of it for SOCKS.
        tls: The handshake with the origin.
        sent: From the connection at hand to the last octet of the request given to the system.
        first_byte: From there to the first octet of a response, an interim one included; 0 where it came before.
        total: From the beginning of ``queued`` to the last octet of the response, or to its failure.
    """

    queued: float | None = None
    dns: float | None = None
    connect: float | None = None
    proxy: float | None = None
    tls: float | None = None
    sent: float | None = None
    first_byte: float | None = None
    total: float | None = None


class Stopwatch:
    """Takes the times of one request on one way: made when it begins.

    Args:
        clock: Monotonic seconds.
    """

    __slots__ = ("_began_at", "_clock", "_sending_at", "_sent_at", "timings")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_at = self._sending_at = clock()
        self._sent_at: float | None = None
        self.timings = Timings()

    @contextlib.contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Add what is done inside to *name*, however it ends."""
        began_at = self._clock()
        try:
            yield
        finally:
            before: float | None = getattr(self.timings, name)
            setattr(self.timings, name, (before or 0.0) + self._clock() - began_at)

    def sending(self) -> None:
        """There is a connection, and the request is about to be sent by it; again when it is sent by another one."""
        self._sending_at = self._clock()
        self._sent_at = self.timings.sent = self.timings.first_byte = self.timings.total = None

    def sent(self) -> None:
        """The request is with the system to its last octet."""
        if self._sent_at is None:
            self._sent_at = self._clock()
            self.timings.sent = self._sent_at - self._sending_at

    def received(self) -> None:
        """Something came."""
        if self.timings.first_byte is None:
            self.timings.first_byte = 0.0 if self._sent_at is None else self._clock() - self._sent_at

    def ended(self) -> None:
        """The message is complete, or has failed."""
        self.timings.total = self._clock() - self._began_at
