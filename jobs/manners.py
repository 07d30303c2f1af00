"""How a run behaves towards hosts in what the client alone knows of: redirections, challenges, repetitions, look-ups.

The scheduler says when an attempt starts, and counts its first request. What follows from that request asks here:

- each further request of an attempt waits until the rates let it go;
- a redirection that says Retry-After gates its host and is not followed before (RFC 9110 section 10.2.3);
- a host that has not answered yet is given less time to;
- a look-up that was not answered in time is no sign of the host.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Final

from fetchd.client import ClientResponse, ClientSession, Timeout, TraceConfig, TraceRequestHeadersSentParams

from .failures import parse_retry_after
from .rates import Rates
from .targets import parse_target

__all__ = ["MAX_REDIRECT_WAIT_S", "Manners"]

MAX_REDIRECT_WAIT_S: Final = 60.0
"""Seconds for which a redirection is held in its slot; its host is gated for as long as it says."""

_MAX_UNANSWERED: Final = 10_000


class Manners:
    """What a session and its transfers ask while a run goes on. Belongs to one loop.

    Args:
        gate: Called with a host (name and port) and seconds for which nothing of it is to start; None for nobody.
        rates: Where requests are counted; None for nowhere.
        first_contact: Seconds that a host which has not answered yet is given to connect, and as many for its first
            answer; None for what all of them are given.
    """

    def __init__(
        self,
        gate: Callable[[str, float], None] | None = None,
        rates: Rates | None = None,
        first_contact: float | None = None,
    ) -> None:
        self._gate = gate
        self._rates = rates
        self._first_contact = first_contact
        self._unanswered: set[str] = set()

    def bounded(self, timeout: Timeout) -> Timeout:
        """Return *timeout* as it is for a host that has not answered yet."""
        seconds = self._first_contact
        if seconds is None:
            return timeout
        connect = seconds if timeout.connect is None else min(seconds, timeout.connect)
        first_byte = seconds if timeout.first_byte is None else min(seconds, timeout.first_byte)
        return replace(timeout, connect=connect, first_byte=first_byte)

    async def next_request(self, host: str) -> None:
        """Count a further request of an attempt, to *host*, and wait for its turn."""
        if self._rates is None:
            return
        now = asyncio.get_running_loop().time()
        delay = self._rates.take(host, now) - now
        if delay > 0:
            await asyncio.sleep(delay)

    async def before_redirect(self, response: ClientResponse) -> None:
        """Heed the Retry-After of a redirection."""
        value = response.headers.get("Retry-After")
        seconds = None if value is None else parse_retry_after(value, time.time())
        if not seconds:
            return
        if self._gate is not None:
            self._gate(parse_target(str(response.url)).host_key, seconds)
        await asyncio.sleep(min(seconds, MAX_REDIRECT_WAIT_S))

    def note_unanswered(self, host: str) -> None:
        """Note that a look-up of *host* was broken off."""
        if len(self._unanswered) < _MAX_UNANSWERED:
            self._unanswered.add(host)

    def was_unanswered(self, host: str) -> bool:
        """Whether a look-up of *host* was broken off since this was last asked."""
        if host not in self._unanswered:
            return False
        self._unanswered.discard(host)
        return True

    def traces(self) -> list[TraceConfig]:
        """Return what makes a session ask before each head that is not the first of its request: nothing unrated."""
        if self._rates is None:
            return []
        config = TraceConfig()
        config.on_request_headers_sent.append(self._about_to_send)
        return [config]

    async def _about_to_send(
        self, _: ClientSession, context: SimpleNamespace, params: TraceRequestHeadersSentParams
    ) -> None:
        if hasattr(context, "has_begun"):
            await self.next_request(parse_target(str(params.url)).host_key)
        context.has_begun = True
