"""Where ``fetchd get`` puts a body: a file that gets its name when it is whole, or standard output.

Both make one attempt at a time and go on from where the last one broke off, if the server proves that it still has
the same representation (``fetchd.jobs.resume``). What was written to a descriptor cannot be taken back, so there a body
that cannot be gone on with is lost; a file is begun anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import stat
import time
from pathlib import Path
from typing import Protocol

from fetchd.client import ClientError, ClientResponse, ClientSession
from fetchd.jobs.attempts import AttemptFailedError
from fetchd.jobs.checks import Checks
from fetchd.jobs.exceptions import JobError, LocalFailureError
from fetchd.jobs.failures import Failure, FailureClass, classify, classify_status, parse_retry_after
from fetchd.jobs.items import Item
from fetchd.jobs.resume import ResumePoint, Step, resume_decision, resume_fields, validator_of
from fetchd.jobs.sinks import Folder
from fetchd.jobs.targets import without_userinfo
from fetchd.jobs.transfer import Transfer

__all__ = ["Destination", "FileDestination", "StreamDestination"]


class Destination(Protocol):
    """Takes one body, over as many attempts as the caller makes."""

    @property
    def can_go_on(self) -> bool:
        """Whether another attempt makes sense after one that failed."""

    async def attempt(self) -> None:
        """Fetch what is missing.

        Raises:
            AttemptFailedError: The network or the server failed.
            JobError: This machine refuses what came.
            BrokenPipeError: The reader of the descriptor has left.
        """

    def discard(self) -> None:
        """Remove what cannot be used."""


class FileDestination:
    """The file *path*: ``.part`` beside it, then the name. A file that has the name is replaced.

    Args:
        session: Asks for identity and decodes nothing.
        url: What to fetch.
        path: In a folder that exists.
        timeout: Seconds for one attempt; None is no bound.
        decodes: Whether *session* removes content codings.

    Raises:
        JobError: The folder cannot be used.
    """

    can_go_on = True

    def __init__(
        self, session: ClientSession, url: str, path: Path, timeout: float | None, *, decodes: bool = False
    ) -> None:
        self._folder = Folder(path.parent)
        self._item = Item(url, 0, path=path.name)
        checks = Checks(decodes=decodes)
        self._transfer = Transfer(session, self._folder, _remember_nothing, timeout, checks, decodes=decodes)
        self._is_published = False

    async def attempt(self) -> None:
        """See ``Destination``."""
        fetched = await self._transfer.attempt(self._item)
        if fetched.data is not None:
            self._folder.write_part(self._item.path, fetched.data, modified=fetched.modified)
        self._folder.publish(self._item.path)
        self._is_published = True

    def discard(self) -> None:
        """See ``Destination``. Nothing remembers how to go on with a ``.part`` once we have ended."""
        if not self._is_published:
            with contextlib.suppress(JobError):
                self._folder.remove_part(self._item.path)
        self._folder.close()


async def _remember_nothing(_: Item) -> None:
    """There is no ledger: what is needed to go on lives as long as the command."""


class StreamDestination:
    """An open descriptor: standard output, or a device or pipe that was named.

    Args:
        session: Asks for identity and decodes nothing.
        url: What to fetch.
        fd: Open for writing; neither closed nor cut.
        timeout: Seconds for one attempt; None is no bound.
        name: What *fd* is called in messages.
    """

    def __init__(
        self, session: ClientSession, url: str, fd: int, timeout: float | None, *, name: str = "standard output"
    ) -> None:
        self._session = session
        self._url = url
        self._fd = fd
        self._timeout = timeout
        self._name = name
        self._written = 0
        self._validator: str | None = None
        self._total: int | None = None
        self._status: int | None = None

    @property
    def can_go_on(self) -> bool:
        """See ``Destination``."""
        return not self._written or self._validator is not None

    def discard(self) -> None:
        """See ``Destination``. What was written is out of our hands."""

    async def attempt(self) -> None:
        """See ``Destination``."""
        self._status = None
        try:
            async with asyncio.timeout(self._timeout) as scope:
                await self._fetch()
        except ClientError as exc:
            raise AttemptFailedError(Failure(classify(exc), str(exc), self._status)) from exc
        except TimeoutError as exc:
            if not scope.expired():
                raise
            message = f"the attempt took longer than {self._timeout:g} s"
            raise AttemptFailedError(Failure(FailureClass.TIMEOUT_TOTAL, message, self._status)) from exc

    async def _fetch(self) -> None:
        point = None
        if self._written and self._validator is not None:
            point = ResumePoint(self._written, self._validator, self._total, without_userinfo(self._url))
        fields = {} if point is None else resume_fields(point)
        async with self._session.get(self._url, headers=fields) as response:
            self._status = response.status
            decision = resume_decision(point, response.status, response.headers)
            if decision.step is Step.COMPLETE:
                return
            if decision.step is not (Step.RESTART if point is None else Step.APPEND):
                raise AttemptFailedError(self._refusal(response, decision.reason))
            if point is None:
                # Of a content that is decoded on the way neither holds: it has no validator, and another length.
                self._validator, self._total = validator_of(response.headers), response.content.length
            await self._pour(response)
        if self._total is not None and self._written != self._total:
            message = f"incomplete content: {self._written} of {self._total} octets came"
            raise AttemptFailedError(Failure(FailureClass.TRUNCATED, message, response.status))

    def _refusal(self, response: ClientResponse, reason: str) -> Failure:
        """What an answer means that has no content for us."""
        status = response.status
        if self._written and (200 <= status <= 299 or status in (412, 416)):
            self._validator = None
            message = f"the content broke off after {self._written} octets and cannot be gone on with: {reason}"
            return Failure(FailureClass.TRUNCATED, message, status)
        failure_class = classify_status(status)
        if failure_class is None:
            return Failure(FailureClass.PROTOCOL, reason, status)
        retry_after = response.headers.get("Retry-After")
        seconds = None if retry_after is None else parse_retry_after(retry_after, time.time())
        return Failure(failure_class, f"status {status} {response.reason}".rstrip(), status, seconds)

    async def _pour(self, response: ClientResponse) -> None:
        if _has_position(self._fd):
            before = os.lseek(self._fd, 0, os.SEEK_CUR)
            try:
                await response.save(self._fd)
            except ClientError:
                raise
            except OSError as exc:
                raise LocalFailureError(self._name, exc.errno) from exc
            finally:
                self._written += os.lseek(self._fd, 0, os.SEEK_CUR) - before
            return
        loop = asyncio.get_running_loop()
        async for data in response.content.iter_any():
            # In a thread, because the reader of a pipe may take its time, and the loop minds timeouts and signals.
            await loop.run_in_executor(None, _write, self._fd, data, self._name)
            self._written += len(data)


def _has_position(fd: int) -> bool:
    """Whether *fd* is a file whose position tells how much was written: not one that is opened to append to."""
    return stat.S_ISREG(os.fstat(fd).st_mode) and not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND


def _write(fd: int, data: bytes, name: str) -> None:
    """Write all of *data*, waiting where a descriptor that does not block takes no more."""
    view = memoryview(data)
    try:
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                select.select([], [fd], [])
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise LocalFailureError(name, exc.errno) from exc
