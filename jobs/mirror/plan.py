"""What a mirror would do, without a request: each line of the manifest and where it would be sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from ..manifests import BadLine
from ..remote_manifests import manifest_of
from ..sessions import open_session
from ..targets import parse_target, without_userinfo
from .settings import MirrorSettings, store_of
from .template import UrlTemplate

__all__ = ["Planned", "planned"]


class Planned(NamedTuple):
    """One line of the manifest.

    Attributes:
        line: Its number, from 1.
        url: What stands there, without userinfo.
        destination: Where it would be sent; None when it is no item.
        problem: Why it is none; empty when it is one.
    """

    line: int
    url: str
    destination: str | None
    problem: str = ""


async def planned(settings: MirrorSettings) -> AsyncIterator[Planned]:
    """Read the manifest and tell of each line.

    Raises:
        ManifestError: It cannot be read.
        SettingsError: What is needed to fetch a manifest that is a URL, or the store, cannot be used.
    """
    store = store_of(settings)
    template = UrlTemplate(settings.to if store is None else store.place)
    async with open_session(settings.run) as session, manifest_of(settings.run, session) as source:
        async for batch in source:
            for line in batch:
                if isinstance(line, BadLine):
                    yield Planned(line.number, line.text, None, line.reason)
                    continue
                url, name = line.url.partition("#")[0], getattr(line, "name", None)
                try:
                    yield Planned(line.number, without_userinfo(url), template.url_for(parse_target(url), name))
                except ValueError as exc:
                    yield Planned(line.number, without_userinfo(url), None, str(exc))
