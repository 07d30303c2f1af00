"""Plain manifests: a URL a line. Pure: octets in, lines out, however the octets are cut.

Blank lines and lines that begin with ``#`` are no items; blanks around a URL are dropped. A line that cannot be a
URL as it stands (too long, not UTF-8, with NUL) is handed on as a `BadLine`; whether the others are URLs is for
``targets.py`` to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .lines import BATCH_LINES, BLANKS, MAX_LINE_BYTES, BadLine, Batch, Line, decoded, shown, split_lines

__all__ = ["plain_lines"]

_BLANK_OCTETS: Final = BLANKS.encode()


def plain_lines(chunks: Iterable[bytes]) -> Iterator[Batch]:
    """Yield the lines of a manifest as its octets come, in batches of 1 to `BATCH_LINES`.

    Each line is yielded with the chunk that ends it, so a manifest that is typed is read as it is typed. How
    the octets are cut into chunks changes the batches and nothing else.
    """
    for before, lines in split_lines(chunks):
        for start in range(0, len(lines), BATCH_LINES):
            part = lines[start : start + BATCH_LINES]
            batch = _parse_fast(part, before + start) or _parse(part, before + start)
            if batch:
                yield batch


def _parse_fast(lines: list[bytes], before: int) -> Batch | None:
    """Return what `_parse` returns when all of *lines* are short, plain ASCII; else None or an empty list.

    Hot path: half the time of the other (``benchmarks/ledger_cost.py``); the test is made on all at once.
    """
    text = b"\n".join(lines)
    if not text.isascii() or b"\0" in text or len(max(lines, key=len)) > MAX_LINE_BYTES:
        return None
    batch: Batch = []
    for number, line in enumerate(text.decode("ascii").split("\n"), before + 1):
        url = line.strip(BLANKS)
        if url and url[0] != "#":
            batch.append(Line(number, url))
    return batch


def _parse(lines: list[bytes], before: int) -> Batch:
    """Return the items of *lines*, of which the first has the number after *before*."""
    items = (_parse_line(number, line) for number, line in enumerate(lines, before + 1))
    return [item for item in items if item is not None]


def _parse_line(number: int, line: bytes) -> Line | BadLine | None:
    """Return the item of one line, None for a blank one or a comment."""
    start = line[: MAX_LINE_BYTES + 1].lstrip(_BLANK_OCTETS)
    if start.startswith(b"#"):
        return None
    if len(line) > MAX_LINE_BYTES:
        return BadLine(number, shown(start), f"longer than {MAX_LINE_BYTES} octets")
    octets = start.rstrip(_BLANK_OCTETS)
    if not octets:
        return None
    try:
        return Line(number, decoded(octets))
    except ValueError as exc:
        return BadLine(number, shown(octets), str(exc))
