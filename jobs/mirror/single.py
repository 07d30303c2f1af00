"""One body mirrored by a call: attempts and what follows from each, as in a run, without a ledger."""

from __future__ import annotations

import asyncio
import contextlib
import random

from fetchd.client import ClientSession

from ..attempts import AttemptFailedError
from ..checks import Checks
from ..exceptions import JobError
from ..failures import Failure, retry_delay, verdict
from .delivery import Deliverer, Mirrored
from .digests import DIGEST
from .passage import Meter
from .s3 import S3, S3_SCHEME, S3Store
from .settings import Delivery
from .source import Asking

__all__ = ["MirrorError", "mirror"]

_FREE_TRIES = 20


class MirrorError(JobError):
    """The body could not be mirrored.

    Attributes:
        failure: The last one; ``failure.of_sink`` says whether it was the destination's.
    """

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.message)


async def mirror(
    source_url: str,
    destination_url: str,
    delivery: Delivery | None = None,
    *,
    checksum: str | None = None,
    retries: int = 4,
    source: ClientSession | None = None,
    destination: ClientSession | None = None,
) -> Mirrored:
    """Fetch *source_url* and send it to *destination_url*, chained: no disk, one buffer of memory.

    A source that drops in mid-stream is asked to go on (Range and If-Range, RFC 9110 section 13.1.5) and feeds the
    same request; a destination that drops gets the whole again.

    Args:
        source_url: Absolute, http or https.
        destination_url: The same, or ``s3://bucket/key``.
        delivery: How; None for a PUT and nothing else.
        checksum: Hash the body on the way by this algorithm (``sha256``; see ``checksums``) although nobody tells what
            to expect; None, the default, hashes only by what the source tells, or by sha256 for ``send_digest``.
        retries: Attempts after the first for failures that may pass; 20 more for hosts that cannot be reached or ask
            for less. Default 4.
        source: Session for the source, with ``auto_decompress=False`` and without Accept-Encoding; None for one of
            its own.
        destination: Session for the destination; None for one of its own.

    Raises:
        MirrorError: It could not be done.
        JobError: A copy or a spooled body cannot be written, or the store of an ``s3://`` URL cannot be used.
        ValueError: A URL, field or proxy cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        if source is None:
            fields = {"Accept-Encoding": "identity"}
            source = await stack.enter_async_context(ClientSession(headers=fields, auto_decompress=False))
        if destination is None:
            destination = await stack.enter_async_context(ClientSession())
        delivery, store = delivery or Delivery(), None
        if delivery.send_digest:
            checksum = checksum or DIGEST
        if destination_url.startswith(S3_SCHEME):
            store = S3Store(destination_url, delivery.s3 or S3())
            destination_url = store.place
        deliverer = stack.enter_context(
            contextlib.closing(Deliverer(source, destination, delivery, Checks(checksum), store=store))
        )
        tries = _Tries(retries)
        asking = Asking(source_url, tries.may_reopen, tries.spend)
        while True:
            try:
                return await deliverer.deliver(asking, destination_url, Meter())
            except AttemptFailedError as exc:
                await asyncio.sleep(tries.delay_after(exc.failure))


class _Tries:
    """How often it is tried again."""

    def __init__(self, retries: int) -> None:
        self._left = retries
        self._free_left = _FREE_TRIES
        self._spent = 0

    async def may_reopen(self) -> bool:
        """Take a try for a source that has dropped."""
        return self.spend()

    def spend(self) -> bool:
        """Take a try, if there is one."""
        self._left -= 1
        return self._left >= 0

    def delay_after(self, failure: Failure) -> float:
        """Seconds until the next attempt.

        Raises:
            MirrorError: There is none.
        """
        judged = verdict(failure)
        if judged.counts:
            may = self.spend()
        else:
            self._free_left -= 1
            may = self._free_left >= 0
        if not (judged.retry and may):
            raise MirrorError(failure)
        self._spent += 1
        return retry_delay(self._spent, failure.retry_after, random.random, base=judged.base_delay)
