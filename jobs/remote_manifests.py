"""A manifest that is a URL: fetched by the run's own session, and read as it comes.

    response -> a task of the loop -> pipe -> the thread of ``manifests.source`` -> lines

The pipe is what holds the server back while the run wants no lines. A server may not wait that long; then the rest is
asked for with Range and If-Range, and where the manifest has no strong validator, or is another one by then, reading it
ends in an error. It never ends as if the manifest had ended: half a line would be another URL.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from fetchd.client import ClientError, ClientResponse, ClientSession

from .exceptions import ManifestError
from .failures import Failure, classify, classify_status, retry_delay, verdict
from .manifests import ManifestSource, open_manifest
from .manifests.formats import manifest_lines
from .resume import ResumePoint, Step, resume_decision, resume_fields, validator_of
from .settings import RunSettings
from .targets import parse_target, without_userinfo

__all__ = ["manifest_of"]

_CHUNK: Final = 65_536
_is_url: Final = re.compile(r"https?://", re.IGNORECASE).match


@asynccontextmanager
async def manifest_of(settings: RunSettings, session: ClientSession) -> AsyncIterator[ManifestSource]:
    """Open the manifest of a run, wherever it is; closed at the end of the ``async with``.

    Raises:
        ManifestError: It cannot be opened, or the server does not give it. Iterating raises it when it breaks off.
    """
    manifest, format, expand = settings.manifest, settings.format, settings.expand
    if not _is_url(manifest):
        async with open_manifest(manifest, format=format, expand=expand) as source:
            yield source
        return
    try:
        name = parse_target(manifest).raw_path
    except ValueError as exc:
        raise ManifestError(without_userinfo(manifest), str(exc)) from None
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    feed = _Feed(session, manifest, settings.retries, writer)
    parse = partial(manifest_lines, name=name, format=format, expand=expand)
    source = ManifestSource(reader, without_userinfo(manifest), parse, fault=lambda: feed.failure)
    async with source:
        task = asyncio.create_task(feed.run())
        try:
            await feed.begun.wait()
            if feed.failure is not None:
                raise feed.failure
            yield source
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class _Feed:
    """Fetches a manifest into a pipe.

    Attributes:
        begun: Set when octets will come, or none.
        failure: What it ended by; None while it goes on and when all is there. Set before the pipe is closed.
    """

    def __init__(self, session: ClientSession, url: str, retries: int, pipe: int) -> None:
        self.begun = asyncio.Event()
        self.failure: ManifestError | None = None
        self._session = session
        self._url = url
        self._retries = retries
        self._pipe = pipe
        self._failed = 0  # attempts in a row that brought nothing
        self._offset = 0
        self._point: ResumePoint | None = None

    async def run(self) -> None:
        """Fetch all of it, or say in ``failure`` what went wrong; then close the pipe."""
        try:
            while (failure := await self._attempt()) is not None:
                self._failed += 1
                can_go_on = self._point is not None or not self._offset
                if self._failed > self._retries or not verdict(failure).retry or not can_go_on:
                    self.failure = self._error(failure.message)
                    return
                await asyncio.sleep(retry_delay(self._failed, failure.retry_after, random.random))
        except ManifestError as exc:
            self.failure = exc
        except BrokenPipeError:
            return  # nobody reads any more
        except asyncio.CancelledError:
            self.failure = self._error("given up")
            raise
        finally:
            os.close(self._pipe)
            self.begun.set()

    def _error(self, reason: str) -> ManifestError:
        return ManifestError(without_userinfo(self._url), reason)

    async def _attempt(self) -> Failure | None:
        """Fetch what is missing; return how that failed, None when all is there.

        Raises:
            ManifestError: It cannot be gone on with.
        """
        point = None if self._point is None else self._point._replace(offset=self._offset)
        fields = {} if point is None else resume_fields(point)
        status: int | None = None
        try:
            async with self._session.get(self._url, headers=fields, max_body_bytes=None) as response:
                status = response.status
                if status >= 300 and status != 416:
                    message = f"status {status} {response.reason}".rstrip()
                    failure_class = classify_status(status)
                    assert failure_class is not None, "2xx alone is no failure"
                    return Failure(failure_class, message, status)
                await self._take(response, point)
        except ClientError as exc:
            return Failure(classify(exc), str(exc), status)
        return None

    async def _take(self, response: ClientResponse, point: ResumePoint | None) -> None:
        decision = resume_decision(point, response.status, response.headers)
        if decision.step is Step.COMPLETE:
            return
        if decision.step is Step.REFUSE or (decision.step is Step.RESTART and self._offset):
            raise self._error(f"it cannot be gone on with: {decision.reason or 'the server sent the whole again'}")
        if point is None and (validator := validator_of(response.headers)) is not None:
            self._point = ResumePoint(0, validator, response.content_length, without_userinfo(self._url))
        self.begun.set()
        async for chunk in response.content.iter_chunked(_CHUNK):
            await self._write(chunk)

    async def _write(self, data: bytes) -> None:
        """Put *data* into the pipe, waiting for room."""
        rest = memoryview(data)
        while rest:
            try:
                count = os.write(self._pipe, rest)
            except BlockingIOError:
                await self._room()
                continue
            rest = rest[count:]
            self._offset += count
            self._failed = 0

    async def _room(self) -> None:
        loop = asyncio.get_running_loop()
        has_room = asyncio.Event()
        loop.add_writer(self._pipe, has_room.set)
        try:
            await has_room.wait()
        finally:
            loop.remove_writer(self._pipe)
