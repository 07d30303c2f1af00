"""An item with several URLs: which of them is asked next, and what may be sent there. Sans-IO.

They take turns: after a failure the next one is asked, at once if it was not asked before. One that has failed for good
(404, a dead host) is asked no more. So an item fails when all have, or when its attempts are used up and all were
asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from .targets import parse_target, without_userinfo

__all__ = ["Sources", "fields_for"]

_CREDENTIALS: Final = frozenset(("authorization", "proxy-authorization", "cookie", "host"))


class Sources:
    """The URLs of one item.

    Attributes:
        part_from: The one whose octets are in the ``.part`` file, None when there are none or that is not known.
    """

    __slots__ = ("_unasked", "_urls", "part_from")

    def __init__(self, urls: Iterable[str]) -> None:
        self._urls = deque(urls)  # the first is asked now
        self._unasked = len(self._urls) - 1
        self.part_from: str | None = None

    @property
    def current(self) -> str:
        """The URL that is asked."""
        return self._urls[0]

    @property
    def host(self) -> str:
        """``host:port`` of it, as ``Item.host``."""
        return parse_target(self._urls[0]).host_key

    def next(self, *, for_good: bool) -> bool | None:
        """Go on to the next URL, the current one having failed.

        Args:
            for_good: It need not be asked again.

        Returns:
            True when the next one was not asked before, False when it was, None when there is no other.
        """
        if len(self._urls) == 1:
            return None
        failed = self._urls.popleft()
        if not for_good:
            self._urls.append(failed)
        self._unasked -= 1
        return self._unasked >= 0

    def prefer(self, url: str) -> bool:
        """Begin with *url*, which is written without userinfo; whether it is one of them."""
        found = next((each for each in self._urls if without_userinfo(each) == url), None)
        if found is None:
            return False
        self._urls.remove(found)
        self._urls.appendleft(found)
        return True


def fields_for(url: str, source: str, fields: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return those of an item's request fields that may go to *source*.

    To another origin than that of the item's own *url* no credentials go along, as with a redirection.
    """
    if not fields or source == url or parse_target(source)[:3] == parse_target(url)[:3]:
        return fields
    return tuple((name, value) for name, value in fields if name.lower() not in _CREDENTIALS)
