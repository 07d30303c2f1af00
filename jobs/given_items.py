"""Items that a program gives, in the place of a manifest: an iterable, or an asynchronous one, read as it is needed.

An item is a URL, or what a line of JSON would say of it by the same names: ``{"url": ..., "name": ..., "sha256": ...}``
(see ``manifests.fields``). What cannot be used is an outcome of its own, as a bad line is.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from itertools import islice
from types import TracebackType
from typing import Any, Self

from .manifests import BadLine, Batch, DetailedLine, Line
from .manifests.fields import line_of
from .manifests.lines import BATCH_LINES, shown

__all__ = ["Given", "GivenItems", "Items"]

Given = str | Mapping[str, Any]
"""A URL, or a URL and what else there is to say of it."""


Items = Iterable[Given] | AsyncIterable[Given]


class GivenItems:
    """Batches of what is given, in the manner of a ``manifests.ManifestSource``. Use it with ``async with``.

    Args:
        items: An iterable is taken from in the loop, some hundreds at a time; of an asynchronous one each is admitted
            as it comes.
    """

    def __init__(self, items: Items) -> None:
        self._number = 0
        self._coming: AsyncIterator[Given] | None = None
        self._there: Iterator[Given] = iter(())
        if isinstance(items, AsyncIterable):
            self._coming = aiter(items)
        else:
            self._there = iter(items)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        """Return the next batch."""
        if self._coming is not None:
            return [self._line(await anext(self._coming))]
        batch: Batch = [self._line(given) for given in islice(self._there, BATCH_LINES)]
        if not batch:
            raise StopAsyncIteration
        return batch

    def _line(self, given: Given) -> Line | DetailedLine | BadLine:
        self._number += 1
        if isinstance(given, str):
            return Line(self._number, given.strip())
        try:
            return line_of(self._number, given)
        except ValueError as exc:
            return BadLine(self._number, shown(str(given.get("url", ""))), str(exc))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close a generator that was not read to its end, so that it can let go of what it holds."""
        source: Any = self._there if self._coming is None else self._coming
        close = getattr(source, "aclose", None) or getattr(source, "close", None)
        if close is None:
            return
        with contextlib.suppress(RuntimeError):  # it is running: the cancellation that brought us here reaches it
            closing = close()
            if closing is not None:
                await closing
