"""Plain manifests: a URL a line. Pure: octets in, lines out, however the octets are cut.

Blank lines and lines that begin with ``#`` are no items. Lines end in LF or CR LF; a byte-order mark before
the first one and blanks around a URL are dropped. A line that cannot be a URL as it stands (too long, not
UTF-8, with NUL) is handed on as a `BadLine`; whether the others are URLs is for ``targets.py`` to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ..targets import without_userinfo

__all__ = ["BATCH_LINES", "MAX_LINE_BYTES", "MAX_SHOWN", "BadLine", "Batch", "Line", "plain_lines"]

MAX_LINE_BYTES: Final = 65_536
"""Octets before the LF, a CR included. As ``targets.MAX_URL_LENGTH``: longer is no URL but a mistake."""

BATCH_LINES: Final = 512
"""Most lines a batch: enough to make the hand-over between threads cheap, few enough to be quick."""

MAX_SHOWN: Final = 200
"""Characters of a bad line that are shown."""

_BLANKS: Final = " \t\r\v\f"
_BLANK_OCTETS: Final = _BLANKS.encode()
_BOM: Final = b"\xef\xbb\xbf"
# What is looked at of a bad line: 200 characters of UTF-8 are no more than this.
_EXCERPT_OCTETS: Final = 4 * MAX_SHOWN
_OPEN_AUTHORITY: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*$")


class Line(NamedTuple):
    """A line that may be a URL: its number in the file, from 1, and the text without blanks around it."""

    number: int
    url: str


class BadLine(NamedTuple):
    """A line that cannot be used.

    Attributes:
        number: Its number in the file, from 1.
        text: Its beginning, fit to be shown: at most `MAX_SHOWN` characters, none invisible, no userinfo.
        reason: What is wrong, one phrase.
    """

    number: int
    text: str
    reason: str


Batch = list[Line | BadLine]


def plain_lines(chunks: Iterable[bytes]) -> Iterator[Batch]:
    """Yield the lines of a manifest as its octets come, in batches of 1 to `BATCH_LINES`.

    Each line is yielded with the chunk that ends it, so a manifest that is typed is read as it is typed. How
    the octets are cut into chunks changes the batches and nothing else. Memory: one chunk, its lines, and
    `MAX_LINE_BYTES` of a line that has not ended.
    """
    number = 0
    rest = bytearray()  # of a line that has not ended; one octet over the limit stands for all that follow
    for chunk in chunks:
        block, newline, tail = chunk.rpartition(b"\n")
        if newline:
            lines = (bytes(rest) + block).split(b"\n")
            yield from _batches(lines, number)
            number += len(lines)
            rest.clear()
        rest += tail
        del rest[MAX_LINE_BYTES + 1 :]
    if rest:
        yield from _batches([bytes(rest)], number)


def _batches(lines: list[bytes], before: int) -> Iterator[Batch]:
    """Yield the items of *lines*, of which the first has the number after *before*."""
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
        url = line.strip(_BLANKS)
        if url and url[0] != "#":
            batch.append(Line(number, url))
    return batch


def _parse(lines: list[bytes], before: int) -> Batch:
    """Return the items of *lines*, of which the first has the number after *before*."""
    batch: Batch = []
    for number, line in enumerate(lines, before + 1):
        if number == 1:
            line = line.removeprefix(_BOM)
        item = _parse_line(number, line)
        if item is not None:
            batch.append(item)
    return batch


def _parse_line(number: int, line: bytes) -> Line | BadLine | None:
    """Return the item of one line, None for a blank one or a comment."""
    start = line[: MAX_LINE_BYTES + 1].lstrip(_BLANK_OCTETS)
    if start.startswith(b"#"):
        return None
    if len(line) > MAX_LINE_BYTES:
        return BadLine(number, _shown(start), f"longer than {MAX_LINE_BYTES} octets")
    octets = start.rstrip(_BLANK_OCTETS)
    if not octets:
        return None
    if b"\0" in octets:
        return BadLine(number, _shown(octets), "NUL in the line; expected UTF-8 text (is it UTF-16?)")
    try:
        return Line(number, octets.decode())
    except UnicodeDecodeError as exc:
        return BadLine(number, _shown(octets), f"not UTF-8 at octet {exc.start + 1}; expected UTF-8 text")


def _shown(octets: bytes) -> str:
    """Return the beginning of a bad line as it can be shown."""
    text = octets[:_EXCERPT_OCTETS].decode(errors="backslashreplace")
    # Cut within the authority, so a password may stand there whose "@" is not in sight.
    cut = len(octets) > _EXCERPT_OCTETS and _OPEN_AUTHORITY.match(text)
    text = f"{cut[1] or ''}//..." if cut else without_userinfo(text)
    visible = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return "".join(visible)[:MAX_SHOWN]
