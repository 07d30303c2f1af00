"""One URL that stands for many: ``[001-100]``, ``[a-f]``, ``[0-100:10]`` and ``{one,two}``, as curl writes them. Pure.

The last place turns fastest. All that a line becomes has that line's number. Brackets without a range (an IPv6 address)
and braces without a comma stay as they are. URLs are made one by one, so a range may be as long as it likes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final

from .lines import BATCH_LINES, BadLine, Batch, DetailedLine, Line, shown

__all__ = ["MAX_PLACES", "expanded", "urls_of"]

MAX_PLACES: Final = 10
"""Ranges and lists in one URL."""

_PLACE: Final = re.compile(
    r"\[(?:([0-9]{1,18})-([0-9]{1,18})|([a-z])-([a-z])|([A-Z])-([A-Z]))(?::([0-9]{1,18}))?\]|\{([^{}]*,[^{}]*)\}"
)


_Place = Callable[[], Iterable[str]]
"""Gives what stands in one place, again and again."""


def expanded(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield *batches* with the lines that stand for many taken apart, none longer than `BATCH_LINES`."""
    for batch in batches:
        lines = (made for line in batch for made in _of_line(line))
        while part := list(islice(lines, BATCH_LINES)):
            yield part


def _of_line(line: Line | DetailedLine | BadLine) -> Iterator[Line | DetailedLine | BadLine]:
    if isinstance(line, BadLine) or _PLACE.search(line.url) is None:
        yield line
        return
    try:
        if isinstance(line, DetailedLine) and _is_of_one(line):
            raise ValueError("a URL that stands for many cannot have one name, size, digest or list of mirrors")
        urls = urls_of(line.url)
    except ValueError as exc:
        yield BadLine(line.number, shown(line.url), str(exc))
        return
    for url in urls:
        yield line._replace(url=url)


def _is_of_one(line: DetailedLine) -> bool:
    """Whether something is said that can be true of one file only."""
    extras = line.extras
    if line.name is not None or extras is None:
        return line.name is not None
    return extras.size is not None or bool(extras.digests or extras.mirrors)


def urls_of(url: str) -> Iterator[str]:
    """Return all that *url* stands for; itself alone when it has no range and no list.

    Raises:
        ValueError: A range that ends before it begins, a step of 0, or too many places.
    """
    literals: list[str] = []
    places: list[_Place] = []
    at = 0
    for match in _PLACE.finditer(url):
        literals.append(url[at : match.start()])
        places.append(_place(match))
        at = match.end()
    if len(places) > MAX_PLACES:
        raise ValueError(f"{len(places)} ranges and lists; expected at most {MAX_PLACES}")
    return _joined([*literals, url[at:]], places, "")


def _joined(literals: Sequence[str], places: Sequence[_Place], before: str) -> Iterator[str]:
    """Yield every text that *places* between *literals* give, *before* in front of it."""
    before += literals[0]
    if not places:
        yield before
        return
    for value in places[0]():
        yield from _joined(literals[1:], places[1:], before + value)


def _place(match: re.Match[str]) -> _Place:
    first, last, step = match[1] or match[3] or match[5], match[2] or match[4] or match[6], int(match[7] or 1)
    if first is None:
        return partial(match[8].split, ",")
    begin, end = (int(first), int(last)) if match[1] else (ord(first), ord(last))
    if end < begin or not step:
        raise ValueError(f"range {match[0]}; expected one that goes up")
    numbers = range(begin, end + 1, step)
    if not match[1]:
        return partial(map, chr, numbers)
    width = len(first) if first.startswith("0") else 0
    return lambda: (str(number).zfill(width) for number in numbers)
