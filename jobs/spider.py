"""A run that only asks: every item by HEAD, nothing kept but the ledger.

It is a run in all else: manifest, window, hosts, retries, outcomes, summary. An item is done when its server has said
that it is there; its size is the length that was told, or 0. The path of an item is its own URL, so that the folder of
such a run is never taken for one with files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from fetchd.client import ClientError, ClientResponse, ClientSession, RequestOptions

from .attempts import AttemptFailedError, Fetched, status_failure
from .failures import Failure, FailureClass, classify, was_unasked
from .items import Item
from .keeping import Keeping
from .ledger_schema import State
from .manners import Manners
from .mirrors import fields_for
from .run import OnEvent, Run
from .settings import RunSettings
from .sinks import Folder
from .targets import Target, without_userinfo
from .templates import ASKED

__all__ = ["Asked", "Asking", "SpiderRun"]

# What says that the server does not know HEAD here, not that the resource is not there (RFC 9110 section 15).
_NO_HEAD = frozenset((405, 501))


class Asked(NamedTuple):
    """What a server says of an item that is there.

    Attributes:
        size: The length that was told; None when none was.
        status: Status code of the answer.
        final_url: Where redirections led; None when that is the item's URL.
    """

    size: int | None
    status: int
    final_url: str | None


class _OwnUrl:
    """Names items by their URLs."""

    text = ASKED
    follows_url = True

    def path(self, target: Target, url: str, *, row: int = 0, columns: Mapping[str, str] | None = None) -> str:
        """See ``Naming``."""
        return url

    def path_named(self, target: Target, name: str) -> str:
        """See ``Naming``."""
        return name


class Asking:
    """Makes the attempts; the face of ``transfer.Transfer``. Nothing is received.

    Args:
        session: Asks.
        timeout: Seconds for one attempt; None is no bound.
        manners: Asked before a GET that follows a HEAD, and for the bounds of a host that has not answered yet.
    """

    received = 0

    def __init__(self, session: ClientSession, timeout: float | None, manners: Manners) -> None:
        self._session = session
        self._timeout = timeout
        self._manners = manners
        self._first_contact = manners.bounded(session.timeout)

    async def attempt(self, item: Item) -> Fetched:
        """Ask for *item* once, as `ask` does."""
        found = await self.ask(item)
        return Fetched(found.size or 0, None, found.status, found.final_url)

    async def ask(self, item: Item) -> Asked:
        """Ask for *item* once.

        Raises:
            AttemptFailedError: It is not there, or nobody answers.
        """
        scope = asyncio.timeout(self._timeout)
        try:
            async with scope:
                return await self._ask(item)
        except ClientError as exc:
            failure = Failure(classify(exc), str(exc), redirected=bool(exc.history), unasked=was_unasked(exc))
            raise AttemptFailedError(failure) from exc
        except TimeoutError as exc:
            if not scope.expired():
                raise
            message = f"the attempt took longer than {self._timeout:g} s"
            raise AttemptFailedError(Failure(FailureClass.TIMEOUT_TOTAL, message)) from exc

    async def _ask(self, item: Item) -> Asked:
        method = "HEAD" if item.extras is None or item.extras.method == "GET" else item.extras.method
        response = await self._request(item, method)
        if response.status in _NO_HEAD and method == "HEAD":
            await response.release()
            await self._manners.next_request(item.host)
            response = await self._request(item, "GET")
        size = response.content_length if 200 <= response.status <= 299 else None
        response.close()  # of a GET nobody wants the content, and it may be long
        if size is None and not 200 <= response.status <= 299:
            raise AttemptFailedError(status_failure(response))
        final_url = without_userinfo(str(response.url)) if response.history else None
        return Asked(size, response.status, final_url)

    async def _request(self, item: Item, method: str) -> ClientResponse:
        sources = None if item.extras is None else item.extras.sources
        url = item.url if sources is None else sources.current
        options: RequestOptions = {"allow_redirects": True}
        if item.extras is not None:
            options["headers"] = fields_for(item.url, url, item.extras.headers)
        if not item.host_answered:
            options["timeout"] = self._first_contact
        return await self._session.request(method, url, **options)


class SpiderRun(Run):
    """Every item asked for; see ``Run``. ``execute`` once.

    Args:
        settings: What to do; what is about files means nothing here.
        on_event: As for ``Run``.
        tell_all: As for ``Run``.
    """

    def __init__(self, settings: RunSettings, on_event: OnEvent | None = None, *, tell_all: bool = True) -> None:
        super().__init__(settings, on_event, tell_all=tell_all)
        self._keeping = Keeping(_OwnUrl(), keeps_files=False, ended=State.DONE)

    def _make_transfer(self, session: ClientSession, folder: Folder) -> Asking:
        return Asking(session, self._settings.timeout, self._manners)
