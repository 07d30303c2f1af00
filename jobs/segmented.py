"""One body by several connections: who fetches what is in ``segments``, here are the requests and the file.

    the attempt itself    takes a range, then the next, until nothing is missing; what ends it ends the attempt
    helpers               the same, each with a slot that nobody else wants; what ends one only gives its range back

All ask by Range and If-Range (RFC 9110 sections 13.1.5 and 14.2), but for the first answer, whose content is taken from
its beginning. A helper's answer that is not exactly its range of the same representation ends all help: where the first
answer is still coming it has the whole, and all else began with another one. Only where there is nothing to finish with
does the attempt end as changed, and the next begins anew, by one connection.
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
from .failures import Failure, FailureClass, classify
from .resume import ResumePoint, Step, resume_decision, resume_fields
from .segments import Segment, SegmentMap, Spare

__all__ = ["ChangedError", "SegmentedBody"]

LOOK_S: Final = 0.2
"""Seconds between two looks for a slot that a helper could have."""
NOTE_S: Final = 1.0
"""Seconds between two notes of what is missing: what a kill costs."""
PAUSE_S: Final = 5.0
"""Seconds without a new helper after one has failed: its server has enough, or the way to it has."""
MAX_SHORT: Final = 20
"""Answers of one attempt that may end before their range does."""
_STEP_BYTES: Final = 1 << 18


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
        before_request: Waits until a request may be sent beyond the one that the attempt began with.
        note: Has the ledger remember what is missing.
        pace: Says how quickly content is taken; None for as quickly as it comes.
        spare: Gives slots to helpers; None for none.
        host: Whose they are.
        connections: Most of them, the attempt's own included.

    Attributes:
        received: Octets that came.
        can_share: Whether no answer has shown that it is no use to share: the server knows no ranges, or has others.
        answer: The first answer of which octets were taken; None before.
    """

    def __init__(
        self,
        shared: SegmentMap,
        point: ResumePoint,
        *,
        ask: Callable[[dict[str, str]], AbstractAsyncContextManager[ClientResponse]],
        open_file: Callable[[], int],
        before_request: Callable[[], Awaitable[None]],
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
        self._before_request = before_request
        self._note = note
        self._pace = pace
        self._spare = spare
        self._host = host
        self._connections = connections
        self._helpers: set[asyncio.Task[None]] = set()
        self._no_help_before = 0.0
        self.can_share = True
        self._short = 0
        self._refusal: AttemptFailedError | None = None  # the last, of a host that said when to come again
        self.received = 0
        self.answer: ClientResponse | None = None

    async def fetch(self, first: ClientResponse | None) -> None:
        """Fetch all that is missing.

        Args:
            first: An answer that is the whole, nothing of it read; None to begin by asking.

        Raises:
            ChangedError: What is here is of no use any more, or what is missing of it cannot be had.
            AttemptFailedError: An answer that cannot be used now.
            ClientError: What broke the attempt's own connection.
            OSError: The file cannot take it.
        """
        loop = asyncio.get_running_loop()
        is_paid = first is None  # the attempt's own request is counted already
        looking = asyncio.ensure_future(self._look())
        try:
            while True:
                refusal = self._refusal if first is None and loop.time() < self._no_help_before else None
                segment = None if refusal is not None else self._shared.take()
                if segment is not None:
                    await self._take(segment, first, is_paid=is_paid)
                    first, is_paid = None, False
                elif self._helpers:
                    await asyncio.wait(self._helpers, return_when=asyncio.FIRST_COMPLETED)
                elif refusal is not None and self._shared.missing:
                    raise refusal  # the run waits for the host, and holds no slot meanwhile
                else:
                    return
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
            and self.can_share
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
                is_held_up = asyncio.get_running_loop().time() < self._no_help_before
                segment = None if is_held_up else self._shared.take()
        except ChangedError:
            self.can_share = False
        except AttemptFailedError as exc:
            self._pause_help(exc.failure)
        except ClientError as exc:
            self._pause_help(Failure(classify(exc), str(exc)))
        except (JobError, OSError):
            self.can_share = False  # the attempt itself will meet the same, and tell

    def _pause_help(self, failure: Failure) -> None:
        """A helper has failed: its host's account is told, as of any request."""
        self._no_help_before = asyncio.get_running_loop().time() + max(PAUSE_S, failure.retry_after or 0.0)
        if failure.retry_after:
            self._refusal = AttemptFailedError(failure)
        if self._spare is not None:
            self._spare.failed(self._host, failure)

    async def _take(self, segment: Segment, first: ClientResponse | None, *, is_paid: bool = False) -> None:
        """Fetch *segment*, or what is left of it when others have stolen from it."""
        began_at = segment.at
        fd = -1
        try:
            fd = self._open_file()
            if first is not None:
                await self._save(first, fd, segment)
                return
            if not is_paid:
                await self._before_request()
            point = self._point._replace(offset=segment.at)
            fields = {**resume_fields(point), "Range": f"bytes={segment.at}-{segment.end - 1}"}
            async with self._ask(fields) as response:
                self._check(response, point)
                await self._save(response, fd, segment)
            self._judge_short(segment, began_at, response.status)
        finally:
            if fd >= 0:
                os.close(fd)
            self._shared.finish(segment)

    def _judge_short(self, segment: Segment, began_at: int, status: int) -> None:
        """See that an answer was worth its request.

        Raises:
            AttemptFailedError: It gave nothing, or too many have ended before their range did.
        """
        if not segment.left:
            return
        self._short += 1
        if segment.at == began_at or self._short > MAX_SHORT:
            message = f"the server sends less than was asked for, of octets {began_at} to {segment.end - 1}"
            raise AttemptFailedError(Failure(FailureClass.TRUNCATED, message, status))

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
        if decision.step is Step.RESTART or response.status in (206, 412, 416):
            raise ChangedError(decision.reason or "the server sent something else", response.status)
        raise AttemptFailedError(status_failure(response))
