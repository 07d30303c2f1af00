"""One attempt: a body from its source into a request to its destination.

Lives here: the order of the steps, what the destination's answer means, and whose failure a failure is. Not here: what
follows from it (``failures``), the octets on their way (``passage``).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from fetchd.client import ClientError, ClientResponse, ClientSession, FormData, RequestOptions

from ..attempts import AttemptFailedError, status_failure
from ..bandwidth import Bandwidth
from ..checks import Checks
from ..checksums import Digest, head_digests
from ..failures import Failure, FailureClass, classify
from .again import Again
from .copies import Copies, Copy
from .digests import digests_of, field_of, is_same
from .folders import Collections
from .passage import Meter, Parcel, Passage
from .s3 import UNSIGNED, S3Store
from .s3_parts import Parts, judge_answer, part_bytes_of
from .settings import Delivery, SameBy
from .source import Asking, Source, source_failure

__all__ = ["Deliverer", "Mirrored"]

PARTS_FROM: Final = 4
"""Parts that a body must be longer than to be sent in parts to a store; below it is one request, by splice(2)."""
_ANSWER_BYTES: Final = 1_048_576
# Fields of the source's answer that say what the octets are, and are true of them at the destination.
_FORWARDED: Final = ("Content-Type", "Content-Encoding", "Content-Language")


class Mirrored(NamedTuple):
    """What became of one body.

    Attributes:
        size: Octets delivered; 0 when it was skipped.
        status: Status code of the destination's answer; None when nothing was sent.
        skipped: ``present`` (``if_absent``), ``same`` (``skip_same``), or empty.
        digests: Of the octets delivered, algorithm and digest; empty when they were not hashed.
        final_url: Where redirections of the source led; None when that is its URL.
        reopened: Octets that had come each time the source was asked to go on.
    """

    size: int
    status: int | None = None
    skipped: str = ""
    digests: tuple[Digest, ...] = ()
    final_url: str | None = None
    reopened: tuple[int, ...] = ()


class Deliverer:
    """Makes attempts.

    Args:
        sources: The session for the sources; asks for identity and decodes nothing.
        destinations: The session for the destinations.
        delivery: How.
        checks: What the bodies are held to.
        bandwidth: Says how quickly octets are taken; None for as quickly as they come.
        store: What the destinations are in, and signs for them; None for ordinary ones.

    Raises:
        JobError: The folder for copies cannot be had.
    """

    def __init__(
        self,
        sources: ClientSession,
        destinations: ClientSession,
        delivery: Delivery,
        checks: Checks,
        bandwidth: Bandwidth | None = None,
        store: S3Store | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._destinations = destinations
        self._delivery = delivery
        self._checks = checks
        self._bandwidth = bandwidth
        self._collections = Collections(destinations, self._options()) if delivery.mkcol else None
        self._copies = None if delivery.tee is None else Copies(delivery.tee)

    def close(self) -> None:
        """Give back what is held; the sessions are the caller's."""
        if self._copies is not None:
            self._copies.close()

    async def deliver(self, asking: Asking, destination_url: str, meter: Meter) -> Mirrored:
        """Make one attempt.

        Args:
            asking: How the source is asked for.
            destination_url: Where it goes.
            meter: Counts.

        Raises:
            AttemptFailedError: Whatever was wrong on either side; ``failure.of_sink`` says which.
            JobError: A copy cannot be written.
        """
        delivery = self._delivery
        if self._store is not None:
            destination_url = self._store.exact(destination_url)
        source_url, extras = asking.url, asking.extras
        known = () if extras is None else extras.digests
        by = delivery.skip_same
        if by is not None and await self._is_same(by, source_url, destination_url, known):
            return Mirrored(0, skipped="same")
        if self._collections is not None:
            with _sinks_failure():
                await self._collections.make_for(destination_url)
        async with await Source.open(self._sources, asking) as source:
            meter.head_at = asyncio.get_running_loop().time()
            check = self._checks.of(source_url, extras, source.response)
            with self._copy_of(source_url) as copy:
                passage = Passage(source, check, copy, meter, self._bandwidth)
                if self._store is not None and not _is_small(source.length, self._store):
                    mirrored = await self._send_in_parts(source, destination_url, passage, asking, meter)
                else:
                    async with passage.parcel(delivery.spool) as parcel:
                        mirrored = await self._send_all(source, destination_url, passage, parcel, meter, asking)
                if copy is not None and not mirrored.skipped:
                    copy.publish(source.headers)
            return mirrored

    def _copy_of(self, url: str) -> contextlib.AbstractContextManager[Copy | None]:
        return contextlib.nullcontext() if self._copies is None else contextlib.closing(self._copies.begin(url))

    async def _is_same(self, by: SameBy, source_url: str, destination_url: str, known: Iterable[Digest]) -> bool:
        asks = [] if self._store is None else [("x-amz-checksum-mode", "ENABLED")]
        options = await self._signed("HEAD", destination_url, asks)
        with _sinks_failure():
            async with self._destinations.head(destination_url, **options) as there:
                if there.status in (404, 410):
                    return False
                if not there.ok:
                    raise AttemptFailedError(status_failure(there, "the destination: ", of_sink=True))
        try:
            async with self._sources.head(source_url, allow_redirects=True) as here:
                return here.ok and is_same(by, here, there, known)
        except ClientError as exc:
            raise AttemptFailedError(source_failure(exc)) from exc

    async def _send_all(
        self, source: Source, url: str, passage: Passage, parcel: Parcel, meter: Meter, asking: Asking
    ) -> Mirrored:
        """Send a body; one that is stored is sent again when the destination drops, and not fetched again for it."""
        again = Again(asking.spend)
        while True:
            try:
                return await self._send(source, url, passage, parcel, meter)
            except AttemptFailedError as exc:
                if parcel.rewind is None:
                    raise
                await again.after(exc)
                parcel.rewind()

    async def _send(self, source: Source, url: str, passage: Passage, parcel: Parcel, meter: Meter) -> Mirrored:
        data: Any = parcel.data
        fields = [(name, source.headers[name]) for name in _FORWARDED if name in source.headers]
        if self._delivery.field is not None:
            data = _form(self._delivery.field, data, url, source.headers.get("Content-Type"))
            fields = []
        elif value := field_of(passage.expected):
            fields.append(("Repr-Digest", value))
        is_told_later = self._delivery.send_digest and not field_of(passage.expected)
        fields += self._conditions()
        options = await self._signed(self._delivery.method, url, fields, passage.expected)
        options["data"] = data
        if is_told_later:
            options["trailers"] = {"Repr-Digest": lambda: field_of(passage.digests())}
        with _sinks_failure():
            async with self._destinations.request(self._delivery.method, url, **options) as answer:
                if answer.status == 412 and self._delivery.if_absent:
                    return Mirrored(0, answer.status, skipped="present")
                await self._judge(answer, source, passage, parcel, meter)
        return Mirrored(meter.octets, answer.status, "", passage.digests(), source.final_url, tuple(source.reopened))

    async def _send_in_parts(
        self, source: Source, url: str, passage: Passage, asking: Asking, meter: Meter
    ) -> Mirrored:
        store = self._store
        assert store is not None, "parts are a store's"
        fields = [(name, source.headers[name]) for name in _FORWARDED if name in source.headers]
        parts = Parts(self._destinations, store, url, self._options, asking.spend)
        size = part_bytes_of(source.length, store.part_bytes)
        async with contextlib.aclosing(passage.pieces()) as pieces:
            try:
                status, answered = await parts.send(pieces, fields, self._conditions(), size)
            except AttemptFailedError as exc:
                if exc.failure.status == 412 and exc.failure.of_sink and self._delivery.if_absent:
                    return Mirrored(0, 412, skipped="present")
                raise
        self._compare(passage, head_digests(answered, status), status)
        return Mirrored(meter.octets, status, "", passage.digests(), source.final_url, tuple(source.reopened))

    async def _judge(
        self, answer: ClientResponse, source: Source, passage: Passage, parcel: Parcel, meter: Meter
    ) -> None:
        """See what the destination's answer means.

        Raises:
            AttemptFailedError: The body is not there, or not as it was sent.
        """
        status = answer.status
        if not 200 <= status <= 299:
            if self._store is not None:
                await judge_answer(answer)
            raise AttemptFailedError(status_failure(answer, "the destination: ", of_sink=True))
        answered = 0
        while answered < _ANSWER_BYTES and (piece := await answer.content.read(_ANSWER_BYTES)):
            answered += len(piece)  # the upload may go on until the answer is whole, and both are needed to be sure
        if not parcel.is_whole():
            message = (
                f"the destination answered {status} when it had {meter.octets} of {source.length or 'more'} octets"
            )
            raise AttemptFailedError(Failure(FailureClass.PROTOCOL, message, status, of_sink=True))
        self._compare(passage, digests_of(answer), status)

    def _compare(self, passage: Passage, told: Sequence[Digest], status: int) -> None:
        wrong = passage.mismatch(told)
        if wrong:
            message = f"the destination has other octets than were sent: {wrong}"
            raise AttemptFailedError(Failure(FailureClass.CHECKSUM, message, status, of_sink=True))

    def _conditions(self) -> list[tuple[str, str]]:
        return [("If-None-Match", "*")] if self._delivery.if_absent else []

    async def _signed(
        self, method: str, url: str, fields: Sequence[tuple[str, str]] = (), digests: Sequence[Digest] = ()
    ) -> RequestOptions:
        """The options of a request, signed where the destination is a store, which is told the *digests* as well."""
        options, store = self._options(fields), self._store
        if store is None:
            return options
        headers = options.get("headers")
        assert isinstance(headers, list), "made by us"
        sha256 = dict(digests).get("sha256")
        if sha256 is not None:
            headers.append(("x-amz-checksum-sha256", base64.b64encode(sha256).decode()))
        options["headers"] = await store.sign(method, url, headers, UNSIGNED if sha256 is None else sha256.hex())
        return options

    def _options(self, fields: Sequence[tuple[str, str]] = ()) -> RequestOptions:
        """What each request to a destination is given; a field that the caller gives replaces one of *fields*."""
        delivery = self._delivery
        given = {name.lower() for name, _ in delivery.headers}
        ours = [field for field in fields if field[0].lower() not in given]
        # Not followed: what was sent cannot be sent again.
        options: RequestOptions = {"headers": [*ours, *delivery.headers], "allow_redirects": False}
        if delivery.auth is not None:
            options["auth"] = delivery.auth
        if delivery.proxy is not None:
            options["proxy"] = delivery.proxy
        return options


def _is_small(length: int | None, store: S3Store) -> bool:
    """Whether a body is sent by one request: one that a store would lose little of when it breaks off."""
    return length is not None and length <= PARTS_FROM * store.part_bytes


def _form(field: str, data: Any, url: str, content_type: str | None) -> FormData:
    form = FormData()
    name = url.partition("?")[0].rpartition("/")[2] or "file"
    form.add_field(field, data, filename=name, content_type=content_type)
    return form


@contextlib.contextmanager
def _sinks_failure() -> Iterator[None]:
    """What the client raises here is the destination's: what the source fails with has become an AttemptFailedError."""
    try:
        yield
    except ClientError as exc:
        raise AttemptFailedError(Failure(classify(exc), f"the destination: {exc}", of_sink=True)) from exc
