"""One body as it comes from its source, over as many responses as that takes.

A source that drops is asked for the rest by Range and If-Range, and what comes is fed on; an answer that is not
exactly the rest of the same representation ends the attempt (``resume.resume_decision``). Not here: where the octets
go (``delivery``).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Final, NamedTuple, Self

from fetchd.client import ClientError, ClientResponse, ClientSession, RequestOptions, StreamReader, Timeout

from ..attempts import AttemptFailedError, status_failure
from ..extras import Extras
from ..failures import Failure, FailureClass, classify, retry_delay, was_unasked
from ..mirrors import fields_for
from ..resume import ResumePoint, Step, resume_decision, resume_fields, validator_of
from ..targets import without_userinfo

__all__ = ["Asking", "Source", "source_failure"]

REOPEN_WAITS: Final = (0.1, 5.0)
"""Seconds: bounds of the first and of the longest wait before a source is reopened. Short, for an upload waits."""


class Asking(NamedTuple):
    """How a source is asked for.

    Attributes:
        url: Of the source.
        may_reopen: Waits until it may be asked once more; False when there is no further try.
        spend: Takes one of the item's tries for something else; False when there is none.
        extras: What the manifest says of the request, None for nothing.
        timeout: Bounds of the first request; None for those of the session.
        item_url: Of the item, whose mirror *url* may be; None when it is the item's own.
    """

    url: str
    may_reopen: Callable[[], Awaitable[bool]]
    spend: Callable[[], bool]
    extras: Extras | None = None
    timeout: Timeout | None = None
    item_url: str | None = None

    def ask(self, session: ClientSession, fields: Mapping[str, str] | None = None) -> Awaitable[ClientResponse]:
        """Send the request, with *fields* if it is not the first."""
        method, given = "GET", list((fields or {}).items())
        if self.extras is not None:
            method = self.extras.method
            given = [*fields_for(self.item_url or self.url, self.url, self.extras.headers), *given]
        options: RequestOptions = {"headers": given} if given else {}
        if self.timeout is not None and fields is None:
            options["timeout"] = self.timeout
        return session.request(method, self.url, **options)


def source_failure(exc: ClientError, status: int | None = None) -> Failure:
    """What *exc* means that a request to a source has met."""
    return Failure(classify(exc), str(exc), status, redirected=bool(exc.history), unasked=was_unasked(exc))


class Source:
    """An open source: ``async with await Source.open(...)``.

    Args:
        session: Asks for identity and decodes nothing.
        asking: How it was asked for.
        response: Its answer, whose content was not read.
        sleep: Waits for some seconds.

    Attributes:
        length: Octets of the body; None when it is not told.
        status, headers: Of the answer.
        response: The answer itself, the first one.
        final_url: Where redirections led; None when that is *url*.
        content: Of the answer, or of the one that it goes on with.
        reopened: Offsets from which it was asked for again.
    """

    def __init__(
        self,
        session: ClientSession,
        asking: Asking,
        response: ClientResponse,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._session = session
        self._asking = asking
        self._response = response
        self._sleep = sleep
        self._validator = validator_of(response.headers) if response.method == "GET" else None
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.response = response
        self.final_url = without_userinfo(str(response.url)) if response.history else None
        self.content = response.content
        self.length = self.content.length
        self.reopened: list[int] = []

    @classmethod
    async def open(cls, session: ClientSession, asking: Asking) -> Source:
        """Ask for it.

        Raises:
            AttemptFailedError: It cannot be had.
        """
        try:
            response = await asking.ask(session)
        except ClientError as exc:
            raise AttemptFailedError(source_failure(exc)) from exc
        decision = resume_decision(None, response.status, response.headers)
        if decision.step is Step.RESTART:
            return cls(session, asking, response)
        async with response:
            if 200 <= response.status <= 299:
                raise AttemptFailedError(Failure(FailureClass.PROTOCOL, decision.reason, response.status))
            raise AttemptFailedError(status_failure(response))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._response.release()

    def is_at_end(self) -> bool:
        """Whether all of the body was taken."""
        return self.content.at_eof()

    async def go_on(self, taken: int, failure: ClientError) -> StreamReader:
        """The content from octet *taken* on, now that it has broken off by *failure*.

        Raises:
            AttemptFailedError: It cannot be had, or is no longer the same.
        """
        self._response.close()
        broken = source_failure(failure, self.status)
        validator = self._validator
        tries = 0
        while validator is not None and await self._asking.may_reopen():
            tries += 1
            await self._sleep(retry_delay(tries, None, random.random, base=REOPEN_WAITS[0], cap=REOPEN_WAITS[1]))
            self.reopened.append(taken)
            rest = await self._ask(ResumePoint(taken, validator, self.length, self._asking.url))
            if rest is not None:
                return rest
        raise AttemptFailedError(broken) from failure

    async def _ask(self, point: ResumePoint) -> StreamReader | None:
        """The rest; None when it cannot be had now.

        Raises:
            AttemptFailedError: The source has changed.
        """
        try:
            response = await self._asking.ask(self._session, resume_fields(point))
        except ClientError:
            return None
        decision = resume_decision(point, response.status, response.headers)
        missing = None if self.length is None else self.length - point.offset
        if decision.step is Step.APPEND and response.content.length in (None, missing):
            self._response, self.content = response, response.content
            return self.content
        response.close()
        if response.status in (200, 206, 412, 416):
            why = decision.reason or "less than the rest came"
            message = f"the source is no longer what the upload began with: {why}"
            raise AttemptFailedError(Failure(FailureClass.TRUNCATED, message, response.status))
        return None
