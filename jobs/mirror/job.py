"""A run whose bodies go to another server in the place of a folder.

It is a run in all else: manifest, window, hosts of the sources, retries, ledger, events, summary. What differs stands
here: the path of an item is the URL that it is sent to, so that the ledger finds two items for one destination; what
is done is done when the destination has said so, and there is no file to be looked for.
"""

from __future__ import annotations

import asyncio

from fetchd.client import ClientSession, Timeout

from ..attempts import AttemptFailedError, Fetched
from ..bandwidth import Bandwidth
from ..checksums import spelled
from ..events import Summary
from ..failures import Failure, FailureClass
from ..items import Item
from ..keeping import Keeping
from ..ledger import State
from ..manners import Manners
from ..run import OnEvent, Run
from ..settings import RunSettings
from ..sinks import Folder
from ..targets import parse_target
from .delivery import Deliverer, Mirrored
from .destinations import Destinations
from .passage import Meter
from .sessions import open_destination
from .settings import MirrorSettings, store_of
from .source import Asking
from .template import UrlTemplate

__all__ = ["MirrorJob"]


class MirrorTransfer:
    """Makes attempts for a mirror; the face of ``transfer.Transfer``.

    Args:
        deliverer: Makes each of them.
        destinations: Lets them in.
        settings: Of the run.
        manners: Asked before a source is reopened.
        first_contact: Bounds for a source that has not answered yet.
    """

    def __init__(
        self,
        deliverer: Deliverer,
        destinations: Destinations,
        settings: RunSettings,
        manners: Manners,
        first_contact: Timeout,
    ) -> None:
        self._deliverer = deliverer
        self._destinations = destinations
        self._retries = settings.retries
        self._timeout = settings.timeout
        self._checksum = settings.checksum
        self._manners = manners
        self._first_contact = first_contact
        self._received = 0
        self._meters: set[Meter] = set()

    @property
    def received(self) -> int:
        """Octets that came so far, those of attempts under way and of failed ones included."""
        return self._received + sum(meter.octets for meter in self._meters)

    async def attempt(self, item: Item) -> Fetched:
        """Deliver *item* once.

        Raises:
            AttemptFailedError: Whatever was wrong on either side.
            JobError: A copy cannot be written.
        """
        host = parse_target(item.path).host_key
        begun = asyncio.get_running_loop().time()
        await self._destinations.enter(host)
        try:
            fetched = await self._deliver(item, begun)
        except AttemptFailedError as exc:
            exc.is_final, exc.wait = self._destinations.leave(host, exc.failure)
            raise
        except BaseException:
            self._destinations.leave(host, Failure(FailureClass.POLICY, "broken off"))
            raise
        self._destinations.leave(host, None)
        return fetched

    async def _deliver(self, item: Item, begun: float) -> Fetched:
        meter = Meter()
        self._meters.add(meter)
        entered = asyncio.get_running_loop().time()
        scope = asyncio.timeout(self._timeout)
        try:
            async with scope:
                mirrored = await self._deliverer.deliver(self._asking(item), item.path, meter)
        except TimeoutError as exc:
            if not scope.expired():
                raise
            message = f"the attempt took longer than {self._timeout:g} s"
            raise AttemptFailedError(Failure(FailureClass.TIMEOUT_TOTAL, message)) from exc
        finally:
            self._meters.discard(meter)
            self._received += meter.octets
        digest = _kept(mirrored, self._checksum)
        # As if nobody had waited for a place at the destination: that says nothing of how quick the source is.
        head_at = begun + max(0.0, meter.head_at - entered)
        return Fetched(
            mirrored.size,
            None,
            mirrored.status or 200,
            mirrored.final_url,
            digest=digest,
            head_at=head_at,
            skipped=mirrored.skipped,
        )

    def _asking(self, item: Item) -> Asking:
        """To reopen a source takes one of the item's tries."""

        def spend() -> bool:
            if item.attempts >= self._retries:
                return False
            item.attempts += 1
            return True

        async def may_reopen() -> bool:
            if not spend():
                return False
            await self._manners.next_request(item.host)
            return True

        sources = None if item.extras is None else item.extras.sources
        url = item.url if sources is None else sources.current
        timeout = None if item.host_answered else self._first_contact
        return Asking(url, may_reopen, spend, item.extras, timeout, item.url)


class MirrorJob(Run):
    """Many items mirrored; see ``Run``. ``execute`` once.

    Args:
        settings: What to do.
        on_event: As for ``Run``.
        tell_all: As for ``Run``.
    """

    def __init__(self, settings: MirrorSettings, on_event: OnEvent | None = None, *, tell_all: bool = True) -> None:
        super().__init__(settings.run, on_event, tell_all=tell_all)
        self._mirror = settings
        self._store = store_of(settings)
        place = settings.to if self._store is None else self._store.place
        self._keeping = Keeping(UrlTemplate(place), keeps_files=False, ended=State.DONE)

    async def execute(self) -> Summary:
        """Mirror every item; see ``run``."""
        async with open_destination(self._mirror) as self._sinks:
            self._deliverer: Deliverer | None = None
            try:
                return await super().execute()
            finally:
                if self._deliverer is not None:
                    self._deliverer.close()

    def _make_transfer(self, session: ClientSession, folder: Folder) -> MirrorTransfer:
        run = self._mirror.run
        rate = run.limits.bandwidth
        bandwidth = None if rate is None else Bandwidth(rate)
        delivery = self._mirror.delivery
        self._deliverer = Deliverer(session, self._sinks, delivery, self._checks, bandwidth, self._store)
        destinations = Destinations(self._mirror.per_host or run.per_host, asyncio.get_running_loop().time)
        return MirrorTransfer(self._deliverer, destinations, run, self._manners, self._manners.bounded(session.timeout))


def _kept(mirrored: Mirrored, algorithm: str | None) -> str | None:
    """The digest for the ledger: by *algorithm*, else the first there is."""
    found = dict(mirrored.digests)
    name = algorithm if algorithm in found else next(iter(found), None)
    return None if name is None else spelled((name, found[name]))
