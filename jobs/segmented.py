"""One body by several connections: who fetches what is in ``segments``, here are the requests and the file.

    the attempt itself    takes a range, then the next, until nothing is missing; what ends it ends the attempt
    helpers               the same, each with a slot that nobody else wants; what ends one only gives its range back

All ask by Range and If-Range (RFC 9110 sections 13.1.5 and 14.2), but for the first answer, whose content is taken from
its beginning. An answer that is not exactly the range of the same representation ends the attempt, and the next begins
anew; one that is the whole of the same shows a server that knows no ranges, which is then not helped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from fetchd.client import ClientError, ClientResponse, Pace

from .attempts import AttemptFailedError, status_failure
from .exceptions import JobError
from .failures import Failure, FailureClass
from .resume import ResumePoint, Step, resume_decision, resume_fields, validator_of
from .segments import Segment, SegmentMap, Spare

__all__ = ["ChangedError", "SegmentedBody"]

LOOK_S: Final = 0.2
"""Seconds between two looks for a slot that a helper could have."""
NOTE_S: Final = 1.0
"""Seconds between two notes of what is missing: what a kill costs."""
PAUSE_S: Final = 5.0
"""Seconds without a new helper after one has failed: its server has enough, or the way to it has."""
_STEP_BYTES: Final = 1 << 20


class ChangedError(Exception):
    """The source has another representation than the one of which octets are here, or does not give the rest of it."""

    def __init__(self, reason: str, status: int) -> None:
        self.reason = reason
        self.status = status
        super().__init__(reason)


class _EnoughError(Exception):
    """The range was taken to its end, and the answer goes on."""


class _RangePace:
    """Takes content of a range and no more, as quickly as *pace* lets it; see ``Pace``."""

    def __init__(self, segment: Segment, pace: Pace | None, received: Callable[[int], None]) -> None:
        self._segment = segment
        self._pace = pace
        self._received = received

    def _within(self, limit: int) -> int:
        if not self._segment.left:
            raise _EnoughError
        return min(limit, self._segment.left, _STEP_BYTES)

    def ready(self) -> int:
        """See ``Pace``."""
        return self._within(_STEP_BYTES if self._pace is None else self._pace.ready())

    async def turn(self) -> int:
        """See ``Pace``."""
        return self._within(_STEP_BYTES if self._pace is None else await self._pace.turn())

    def spend(self, count: int) -> None:
        """See ``Pace``."""
        self._segment.advance(count)
        self._received(count)
        if self._pace is not None:
            self._pace.spend(count)


class SegmentedBody:
    """The work on one body.

    Args:
        shared: What is missing.
        point: The representation: validator, length, where it is.
        ask: Sends a request with these fields more.
        open_file: Opens the file, which has its whole length already, for writing.
        note: Has the ledger remember what is missing.
        pace: Says how quickly content is taken; None for as quickly as it comes.
        spare: Gives slots to helpers; None for none.
        host: Whose they are.
        connections: Most of them, the attempt's own included.

    Attributes:
        received: Octets that came.
        knows_ranges: Whether no answer has shown that the server knows none.
        answer: The first answer of which octets were taken; None before.
    """

    def __init__(
        self,
        shared: SegmentMap,
        point: ResumePoint,
        *,
        ask: Callable[[dict[str, str]], AbstractAsyncContextManager[ClientResponse]],
        open_file: Callable[[], int],
        note: Callable[[], Awaitable[None]],
        pace: Pace | None,
        spare: Spare | None,
        host: str,
        connections: int,
    ) -> None:
        self._shared = shared
        self._point = point
        self._ask = ask
        self._open_file = open_file
        self._note = note
        self._pace = pace
        self._spare = spare
        self._host = host
        self._connections = connections
        self._helpers: set[asyncio.Task[None]] = set()
        self._no_help_before = 0.0
        self.knows_ranges = True
        self._changed: ChangedError | None = None
        self._began_whole = False
        self.received = 0
        self.answer: ClientResponse | None = None

    async def fetch(self, first: ClientResponse | None) -> None:
        """Fetch all that is missing.

        Args:
            first: An answer that is the whole, nothing of it read; None to begin by asking.

        Raises:
            ChangedError: What is here is of no use any more.
            AttemptFailedError: An answer that cannot be used now.
            ClientError: What broke the attempt's own connection.
            OSError: The file cannot take it.
        """
        self._began_whole = first is not None
        looking = asyncio.ensure_future(self._look())
        try:
            while True:
                segment = self._shared.take()
                if segment is not None:
                    await self._take(segment, first)
                    first = None
                elif self._helpers:
                    await asyncio.wait(self._helpers, return_when=asyncio.FIRST_COMPLETED)
                else:
                    return
                if self._changed is not None:
                    raise self._changed
        finally:
            looking.cancel()
            for helper in self._helpers:
                helper.cancel()
            await asyncio.gather(looking, *self._helpers, return_exceptions=True)

    async def _look(self) -> None:
        """Find help now and then, and have the ledger know how far it is."""
        loop = asyncio.get_running_loop()
        noted_at = loop.time()
        while True:
            self._find_help(loop.time())
            await asyncio.sleep(LOOK_S)
            if loop.time() - noted_at >= NOTE_S:
                noted_at = loop.time()
                await self._note()

    def _find_help(self, now: float) -> None:
        spare = self._spare
        while (
            spare is not None
            and self.knows_ranges
            and self._shared.active < self._connections
            and now >= self._no_help_before
            and self._shared.can_share
            and spare.borrow(self._host)
        ):
            segment = self._shared.take()
            if segment is None:
                spare.repay(self._host)
                return
            helper = asyncio.ensure_future(self._help(segment))
            self._helpers.add(helper)
            # Not at the helper's own end: one that is cancelled before its first step has none.
            helper.add_done_callback(partial(self._helper_ended, spare))

    def _helper_ended(self, spare: Spare, helper: asyncio.Task[None]) -> None:
        self._helpers.discard(helper)
        spare.repay(self._host)

    async def _help(self, segment: Segment | None) -> None:
        """Take range after range, as long as that goes well."""
        try:
            while segment is not None:
                await self._take(segment, None)
                segment = self._shared.take()
        except ChangedError as exc:
            self._changed = exc
        except (AttemptFailedError, ClientError, JobError, OSError):
            self._no_help_before = asyncio.get_running_loop().time() + PAUSE_S

    async def _take(self, segment: Segment, first: ClientResponse | None) -> None:
        """Fetch *segment*, or what is left of it when others have stolen from it."""
        began_at = segment.at
        fd = -1
        try:
            fd = self._open_file()
            if first is not None:
                await self._save(first, fd, segment)
                return
            point = self._point._replace(offset=segment.at)
            fields = {**resume_fields(point), "Range": f"bytes={segment.at}-{segment.end - 1}"}
            async with self._ask(fields) as response:
                self._check(response, point)
                await self._save(response, fd, segment)
            if segment.left and segment.at == began_at:
                message = f"the server sent nothing of octets {segment.at} to {segment.end - 1}"
                raise AttemptFailedError(Failure(FailureClass.TRUNCATED, message, response.status))
        finally:
            if fd >= 0:
                os.close(fd)
            self._shared.finish(segment)

    async def _save(self, response: ClientResponse, fd: int, segment: Segment) -> None:
        if self.answer is None:
            self.answer = response
        pace = _RangePace(segment, self._pace, self._came)
        with contextlib.suppress(_EnoughError):
            await response.save(fd, offset=segment.at, pace=pace)

    def _came(self, count: int) -> None:
        self.received += count

    def _check(self, response: ClientResponse, point: ResumePoint) -> None:
        """See that an answer is the range that was asked for.

        Raises:
            ChangedError: It is one of another representation, or there are no ranges of it.
            AttemptFailedError: It is a failure.
        """
        decision = resume_decision(point, response.status, response.headers)
        if decision.step is Step.APPEND:
            return
        is_same = decision.step is Step.RESTART and validator_of(response.headers) == point.validator
        if is_same and self._began_whole:
            self.knows_ranges = False
            raise AttemptFailedError(Failure(FailureClass.PROTOCOL, "the server knows no ranges", response.status))
        if decision.step is Step.RESTART or response.status in (206, 412, 416):
            raise ChangedError(decision.reason or "the server sent something else", response.status)
        raise AttemptFailedError(status_failure(response))
