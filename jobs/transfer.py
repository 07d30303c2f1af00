"""One attempt at one item: request, what the answer means, content to memory or to the ``.part`` file, its length.

Lives here: the order of the steps of an attempt. Not here: what a failure means (``failures.py``), what an answer to
a resumed request means (``resume.py``), when a file gets its name (``recorder.py``), who is tried when
(``scheduler.py``).

A body that is known to be small stays in memory and is written later with others of its kind; a larger one that has
come whole with its head is written at once. Any other body goes to its ``.part`` file straight from the socket.
Before its first octet the ledger has what is needed to go on with it: the old octets are gone, then the new validator
is recorded, then writing begins, so that a kill at any moment leaves no validator beside octets of another
representation. Where there was a validator and the new body has none, or is small, the ledger is told to forget it in
the same place of that order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from fetchd.client import BodyTooLargeError, ClientError, ClientResponse, ClientSession, RequestOptions

from .attempts import AttemptFailedError, Fetched, status_failure
from .bandwidth import Bandwidth
from .checks import Check, Checks
from .exceptions import JobError
from .failures import Failure, FailureClass, classify, was_unasked
from .httpdates import parse_http_date
from .items import Item
from .manners import Manners
from .mirrors import fields_for
from .resume import Decision, ResumePoint, Step, is_coded, resume_decision, resume_fields, validator_of
from .segmented import ChangedError, SegmentedBody
from .segments import LEAST_BYTES, SegmentMap, Spare
from .sinks import BAD_SUFFIX, Folder
from .targets import without_userinfo

__all__ = ["SMALL_BODY_BYTES", "Transfer"]

SMALL_BODY_BYTES: Final = 65_536
"""Octets up to which a body of known length is read into memory: at 64 attempts under way 4 MiB in all."""

PARTIAL_ROW_BYTES: Final = 1_048_576
"""Octets beyond which it pays to have the ledger remember how to go on with a body after a kill."""

MAX_WITHOUT_RANGES: Final = 10_000
"""Hosts that are remembered for having given no range of a body that was to be shared."""


class Transfer:
    """Makes attempts for a run.

    Args:
        session: Asks for identity and decodes nothing, unless *decodes*.
        folder: Where ``.part`` files are; used in the loop's thread alone.
        note_partial: Has the ledger remember an item's ``resume``, None too; returns when it does.
        timeout: Seconds for one attempt; None is no bound.
        checks: Gives what a content is held to.
        name_file: Says where the file of an item goes when its response is here; None when that is known before.
        keeps_validators: Whether ETag and Last-Modified are handed on, for the ledger.
        bandwidth: Says how quickly content is taken; None for as quickly as it comes.
        decodes: Whether *session* removes content codings: the length that is told is then not that of the file.
        segments: Connections that may share a large body.
        spare: Gives slots to those beyond the first; None for none.
        manners: Asked before a request that an attempt makes beyond its first, and for the bounds of a host that has
            not answered yet; None for nobody in particular.

    Attributes:
        conditions: Fields to ask with for what has changed, by item; 304 is a failure like any other here.
        attempt: Fetches an item once; see ``_attempt`` for what follows from it.
    """

    def __init__(
        self,
        session: ClientSession,
        folder: Folder,
        note_partial: Callable[[Item], Awaitable[None]],
        timeout: float | None,
        checks: Checks,
        manners: Manners | None = None,
        *,
        bandwidth: Bandwidth | None = None,
        keeps_validators: bool = False,
        decodes: bool = False,
        segments: int = 1,
        spare: Spare | None = None,
        name_file: Callable[[Item, ClientResponse], str | None] | None = None,
    ) -> None:
        if manners is None:
            manners = Manners()
        self._session = session
        self._first_contact = manners.bounded(session.timeout)
        self._folder = folder
        self._note_partial = note_partial
        self._timeout = timeout
        self._checks = checks
        self._name_file = name_file
        self._keeps_validators = keeps_validators
        self.conditions: dict[Item, dict[str, str]] = {}
        self._manners = manners
        self._bandwidth = bandwidth
        self._decodes = decodes
        self._segments = segments
        self._spare = spare
        self._without_ranges: set[str] = set()
        self._shared_bodies: set[SegmentedBody] = set()
        # Hot path: one coroutine between a slot and the client.
        self.attempt: Callable[[Item], Awaitable[Fetched]] = self._attempt if timeout is None else self._attempt_in_time
        if bandwidth is not None:
            self.attempt = partial(_paid, self.attempt, bandwidth)
        self._received = 0  # by attempts that are through with their content
        self._writing: dict[int, int] = {}  # descriptors being written -> where their attempts began

    @property
    def received(self) -> int:
        """Octets of content that came so far, those of attempts under way and of failed ones included.

        The files tell of those under way: their octets need not pass through Python.
        """
        writing = sum(os.fstat(fd).st_size - begin for fd, begin in self._writing.items())
        return self._received + writing + sum(body.received for body in self._shared_bodies)

    async def _attempt(self, item: Item, seen_status: list[int] | None = None) -> Fetched:
        """Fetch *item* once, going on from ``item.resume`` if it is set. Sets ``item.resume`` for the next attempt.

        Raises:
            AttemptFailedError: Whatever was wrong with the answer or on the way to it.
            JobError: The folder refuses (LocalFailureError ends the run, PolicyError the item).
        """
        status: int | None = None
        if item.resume is not None and _is_of_another_mirror(item):
            _start_over(item)
        if item.resume is not None and item.resume.missing:
            return await self._go_on_in_segments(item, item.resume)
        point = item.resume if item.resume is not None and item.resume.offset else None
        try:
            while True:
                context: AbstractAsyncContextManager[ClientResponse]
                # Hot path: nothing of its own.
                if point is None and item.extras is None and item.host_answered and not self.conditions:
                    context = self._session.get(item.url)
                else:
                    context = self._request(item, point)
                async with context as response:
                    status = response.status
                    if seen_status is not None:
                        seen_status[:] = (status,)
                    if status == 200 and point is None:
                        check = self._checks.of(item.url, item.extras, response)
                        # Hot path: most items.
                        if check is None and response.is_complete and item.resume is None and item.extras is None:
                            data = await response.read()
                            self._received += len(data)
                            return self._written(item, self._result(item, response, len(data), data, None))
                        return await self._take_whole(item, response, check)
                    decision = self._decide(point, response)
                    if decision.step is Step.APPEND and point is not None:
                        return await self._append(item, response, point, decision.total)
                    if decision.step is Step.RESTART:
                        check = self._checks.of(item.url, item.extras, response)
                        return await self._take_whole(item, response, check)
                    if decision.step is Step.COMPLETE and point is not None:
                        return await self._take_as_it_is(item, response, point)
                # What is here is of no use any more. Ask for the whole at once: nothing was wrong with the host.
                _start_over(item)
                point = status = None
                if seen_status is not None:
                    seen_status.clear()
                await self._manners.next_request(item.host)
        except ClientError as exc:
            if isinstance(exc, BodyTooLargeError):
                _start_over(item)  # the rest alone might be small enough
            raise AttemptFailedError(self._failure(item, exc, status)) from exc

    def _failure(self, item: Item, exc: ClientError, status: int | None) -> Failure:
        """What an error of the client means, with what only this attempt knows."""
        failure_class, is_redirected = classify(exc), bool(exc.history)
        is_first_hop = failure_class is FailureClass.TIMEOUT_CONNECT and not is_redirected
        if is_first_hop and self._manners.was_unanswered(item.host):
            return Failure(FailureClass.DNS, f"{exc}: no name server answered", unasked=True)
        return Failure(failure_class, str(exc), status, redirected=is_redirected, unasked=was_unasked(exc))

    def _request(self, item: Item, point: ResumePoint | None) -> AbstractAsyncContextManager[ClientResponse]:
        """The request of an item that is gone on with, whose manifest says more than its URL, or whose host is new."""
        fields = list((self.conditions.get(item, {}) if point is None else resume_fields(point)).items())
        method, url = "GET", item.url
        if item.extras is not None:
            method, url = item.extras.method, _url_of(item)
            fields = [*fields_for(item.url, url, item.extras.headers), *fields]
        options: RequestOptions = {"headers": fields} if fields else {}
        if not item.host_answered:
            options["timeout"] = self._first_contact
        return self._session.request(method, url, **options)

    async def _attempt_in_time(self, item: Item) -> Fetched:
        """The same, within ``timeout``."""
        status: list[int] = []
        scope = asyncio.timeout(self._timeout)
        try:
            async with scope:
                return await self._attempt(item, status)
        except TimeoutError as exc:
            if not scope.expired():
                raise
            message = f"the attempt took longer than {self._timeout:g} s"
            failure = Failure(FailureClass.TIMEOUT_TOTAL, message, status[0] if status else None)
            raise AttemptFailedError(failure) from exc

    def _decide(self, point: ResumePoint | None, response: ClientResponse) -> Decision:
        """What to do with an answer that is not simply the whole.

        Raises:
            AttemptFailedError: It is a failure whatever was asked for.
        """
        status = response.status
        decision = resume_decision(point, status, response.headers)
        if decision.step is not Step.REFUSE:
            return decision
        if point is not None and status in (206, 412, 416):
            return decision
        if 200 <= status <= 299:
            raise AttemptFailedError(Failure(FailureClass.PROTOCOL, decision.reason, status))
        raise AttemptFailedError(status_failure(response))

    async def _take_as_it_is(self, item: Item, response: ClientResponse, point: ResumePoint) -> Fetched:
        """All octets are in the ``.part`` file."""
        digest = None
        check = self._checks.of(item.url, item.extras, response)
        if check is not None:
            fd = self._folder.open_part(item.path, resume=True)
            try:
                await check.read(fd, point.offset)
            finally:
                os.close(fd)
            digest = self._conclude(item, check, response.status)
        fetched = self._result(item, response, point.offset, None, digest)
        fetched.modified = None  # that of a 416, if any, is not the file's
        return fetched

    def _conclude(self, item: Item, check: Check, status: int, data: bytes | None = None) -> str | None:
        """Return the digest for the ledger.

        Raises:
            AttemptFailedError: The content, *data* or what is in the ``.part`` file, is not what was expected. It is
                set aside, for who wants to know what came in its place, until a later attempt is right.
        """
        problem = check.mismatch()
        if not problem:
            if check.expected:
                self._folder.remove_part(item.path + BAD_SUFFIX)
            return check.digest
        if data is None:
            self._folder.set_aside(item.path)
        else:
            self._folder.write_part(item.path + BAD_SUFFIX, data)
        _start_over(item)
        raise AttemptFailedError(Failure(FailureClass.CHECKSUM, problem, status))

    async def _take_whole(self, item: Item, response: ClientResponse, check: Check | None) -> Fetched:
        length = None if self._decodes and is_coded(response.headers) else response.content_length
        _check_size(item, length, response.status)
        if response.is_complete or (length is not None and length <= SMALL_BODY_BYTES):
            _start_over(item)
            data = await response.read()
            self._received += len(data)
            _check_size(item, len(data), response.status)
            digest = None
            if check is not None:
                check.take(data)
                digest = self._conclude(item, check, response.status, data)
            if item.resume is not None:
                self._folder.remove_part(item.path)
                item.resume = None
                await self._note_partial(item)
            return self._written(item, self._result(item, response, len(data), data, digest))
        head_at = asyncio.get_running_loop().time()
        validator = self._shareable(item, response, length)
        if validator is not None and length is not None:
            item.resume = ResumePoint(0, validator, length, without_userinfo(str(response.url)), ((0, length),))
            fetched = await self._share(item, response, item.resume)
            fetched.head_at = head_at
            return fetched
        fd = self._folder.open_part(item.path)
        fetched = await self._stream(item, response, fd, 0, length, check)
        fetched.head_at = head_at
        return fetched

    async def _append(self, item: Item, response: ClientResponse, point: ResumePoint, total: int | None) -> Fetched:
        _check_size(item, total, response.status)
        fd = self._folder.open_part(item.path, resume=True)
        if os.fstat(fd).st_size < point.offset:
            os.close(fd)
            _start_over(item)
            message = f"the .part file is shorter than the {point.offset} octets it had; it is fetched anew"
            raise AttemptFailedError(Failure(FailureClass.TRUNCATED, message, response.status))
        check = self._checks.of(item.url, item.extras, response)
        return await self._stream(item, response, fd, point.offset, total, check)

    async def _stream(
        self, item: Item, response: ClientResponse, fd: int, offset: int, total: int | None, check: Check | None
    ) -> Fetched:
        """Write the content to *fd* from *offset* on. Whatever happens, ``item.resume`` says what can be gone on with.

        What cannot be gone on with is removed.
        """
        is_whole = False
        try:
            if offset == 0:
                await self._remember(item, response, total)
            size = offset
            try:
                os.ftruncate(fd, offset)
                self._writing[fd] = offset
                if check is None:
                    await response.save(fd, offset=offset, pace=self._bandwidth)
                else:
                    await check.save(response, fd, offset, self._bandwidth)
            except ClientError:
                raise
            except OSError as exc:
                raise self._folder.failure(item.path, exc) from exc
            finally:
                size = os.fstat(fd).st_size
                self._received += size - self._writing.pop(fd, size)
                if item.resume is not None:
                    item.resume = ResumePoint(size, item.resume.validator, total, item.resume.final_url)
            if total is not None and size != total:
                message = f"incomplete content: the server sent less than asked for, {size} of {total} octets are here"
                raise AttemptFailedError(Failure(FailureClass.TRUNCATED, message, response.status))
            _check_size(item, size, response.status)
            digest = None if check is None else self._conclude(item, check, response.status)
            fetched = self._result(item, response, size, None, digest)
            if fetched.modified is not None:
                os.utime(fd, (fetched.modified, fetched.modified))
            is_whole = True
            return fetched
        finally:
            os.close(fd)
            if not is_whole and item.resume is None:
                with contextlib.suppress(JobError):
                    self._folder.remove_part(item.path)

    def _shareable(self, item: Item, response: ClientResponse, length: int | None) -> str | None:
        """The validator of a body that several connections may share; None for one that they may not."""
        if self._segments < 2 or length is None or length < 2 * LEAST_BYTES or item.method != "GET":
            return None
        if item.host in self._without_ranges:
            return None
        return validator_of(response.headers)

    async def _go_on_in_segments(self, item: Item, point: ResumePoint) -> Fetched:
        """Fetch what is missing of a body that several connections have begun."""
        try:
            return await self._share(item, None, point)
        except ClientError as exc:
            raise AttemptFailedError(self._failure(item, exc, None)) from exc

    async def _share(self, item: Item, first: ClientResponse | None, point: ResumePoint) -> Fetched:
        """Fetch what is missing by as many connections as there are slots for; *first* is an answer with the whole.

        Whatever happens, ``item.resume`` says what is missing.
        """
        assert point.total is not None, "a map has a length"
        shared = SegmentMap(point.total, point.missing)

        async def note() -> None:
            item.resume = point._replace(missing=shared.missing)
            await self._note_partial(item)

        body = SegmentedBody(
            shared,
            point,
            ask=partial(self._ask_for_range, item),
            open_file=partial(self._folder.open_part, item.path, resume=True),
            before_request=partial(self._manners.next_request, item.host),
            note=note,
            pace=self._bandwidth,
            spare=self._spare,
            host=item.host,
            connections=self._segments,
        )
        self._shared_bodies.add(body)
        try:
            if first is not None:
                if item.extras is not None and item.extras.sources is not None:
                    item.extras.sources.part_from = item.extras.sources.current
                # Before the file has its length: octets that are not there must never be taken for some that are.
                await note()
                self._lay_out(item, point.total)
            await body.fetch(first)
        except ChangedError as exc:
            body.can_share = False
            _start_over(item)
            message = f"it is fetched anew: {exc.reason}"
            raise AttemptFailedError(Failure(FailureClass.TRUNCATED, message, exc.status)) from exc
        except ClientError:
            raise
        except OSError as exc:
            raise self._folder.failure(item.path, exc) from exc
        finally:
            self._shared_bodies.discard(body)
            self._received += body.received
            if not body.can_share and len(self._without_ranges) < MAX_WITHOUT_RANGES:
                self._without_ranges.add(item.host)
            if item.resume is not None and item.resume.missing:
                item.resume = point._replace(missing=shared.missing)
        return await self._conclude_shared(item, body.answer or first, point.total)

    def _lay_out(self, item: Item, total: int) -> None:
        fd = self._folder.open_part(item.path)
        try:
            os.ftruncate(fd, total)
        finally:
            os.close(fd)

    def _ask_for_range(self, item: Item, fields: dict[str, str]) -> AbstractAsyncContextManager[ClientResponse]:
        given = [] if item.extras is None else fields_for(item.url, _url_of(item), item.extras.headers)
        return self._session.get(_url_of(item), headers=[*given, *fields.items()])

    async def _conclude_shared(self, item: Item, answer: ClientResponse | None, total: int) -> Fetched:
        """All octets are in the ``.part`` file."""
        assert answer is not None, "octets came with it"
        _check_size(item, total, answer.status)
        digest, check = None, self._checks.of(item.url, item.extras, answer)
        if check is not None:
            fd = self._folder.open_part(item.path, resume=True)
            try:
                await check.read(fd, total)
            finally:
                os.close(fd)
            digest = self._conclude(item, check, answer.status)
        fetched = self._result(item, answer, total, None, digest)
        if fetched.modified is not None:
            self._folder.set_modified(item.path, fetched.modified)
        return fetched

    def _result(
        self, item: Item, response: ClientResponse, size: int, data: bytes | None, digest: str | None
    ) -> Fetched:
        # Hot path: with the attribute test, 0.2 us.
        fetched = Fetched(size, data, response.status, _final_url(item, response), _modified(response), digest)
        if self._name_file is not None:
            fetched.file = self._name_file(item, response)
        if self._keeps_validators and response.status in (200, 206):
            fetched.etag = response.headers.get("ETag")
            fetched.last_modified = response.headers.get("Last-Modified")
        return fetched

    def _written(self, item: Item, fetched: Fetched) -> Fetched:
        """Write content that came at once and is not small, while the processor has it: 7 % less for 100 KiB."""
        data = fetched.data
        if data is not None and len(data) > SMALL_BODY_BYTES:
            self._folder.write_part(item.path, data, modified=fetched.modified)
            fetched.data = None
        return fetched

    async def _remember(self, item: Item, response: ClientResponse, total: int | None) -> None:
        validator = validator_of(response.headers) if item.method == "GET" else None
        is_replacing = item.resume is not None
        item.resume = None
        if validator is not None:
            item.resume = ResumePoint(0, validator, total, without_userinfo(str(response.url)))
            if item.extras is not None and item.extras.sources is not None:
                item.extras.sources.part_from = item.extras.sources.current
        pays = validator is not None and (total is None or total > PARTIAL_ROW_BYTES)
        if pays or is_replacing:
            await self._note_partial(item)


async def _paid(attempt: Callable[[Item], Awaitable[Fetched]], bandwidth: Bandwidth, item: Item) -> Fetched:
    """An attempt whose content, when it came at once, is paid for afterwards."""
    fetched = await attempt(item)
    if fetched.data is not None:
        fetched.head_at = asyncio.get_running_loop().time()
        await bandwidth.settle(len(fetched.data))
    return fetched


def _start_over(item: Item) -> None:
    """Have the next request ask for the whole; ``item.resume`` goes on telling that the ledger may have a validator."""
    if item.resume is not None:
        item.resume = item.resume._replace(offset=0, missing=())


def _url_of(item: Item) -> str:
    """The URL that is asked: the item's own, or a mirror."""
    return item.url if item.extras is None or item.extras.sources is None else item.extras.sources.current


def _is_of_another_mirror(item: Item) -> bool:
    """Whether the octets that are here came from another URL than is asked, and nothing holds them together.

    A validator is one resource's (RFC 9110 section 8.8.1). With a digest, octets that do not belong together are seen.
    """
    extras = item.extras
    if extras is None or extras.sources is None or extras.digests:
        return False
    return extras.sources.part_from != extras.sources.current


def _check_size(item: Item, size: int | None, status: int) -> None:
    """See that the content has the length that the manifest says; a length that is not known yet passes.

    Raises:
        AttemptFailedError: It has not. What is here of it is not gone on with.
    """
    expected = None if item.extras is None else item.extras.size
    if expected is None or size is None or size == expected:
        return
    _start_over(item)
    message = f"{size} octets; the manifest says {expected}"
    raise AttemptFailedError(Failure(FailureClass.SIZE, message, status))


def _final_url(item: Item, response: ClientResponse) -> str | None:
    if not response.history and (item.extras is None or _url_of(item) == item.url):
        return None
    return without_userinfo(str(response.url))


def _modified(response: ClientResponse) -> float | None:
    """Last-Modified in seconds since 1970 (RFC 9110 section 8.8.2); None when absent, nonsense or before 1970."""
    value = response.raw_field(b"Last-Modified")
    seconds = None if value is None else parse_http_date(value.decode("latin-1"))
    return seconds if seconds is not None and seconds >= 0 else None
