"""What a manifest is read into: lines that say what to fetch, and lines that cannot be used.

Pure. How octets become lines is here too: they end in LF or CR LF; a byte-order mark before the first is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ..extras import Extras
from ..targets import without_userinfo

__all__ = [
    "BATCH_LINES",
    "BLANKS",
    "BOM",
    "MAX_LINE_BYTES",
    "MAX_SHOWN",
    "BadLine",
    "Batch",
    "DetailedLine",
    "Line",
    "decoded",
    "shown",
    "split_lines",
]

MAX_LINE_BYTES: Final = 65_536
"""Octets before the LF, a CR included. As ``targets.MAX_URL_LENGTH``: longer is no URL but a mistake."""

BATCH_LINES: Final = 512
"""Most lines a batch: enough to make the hand-over between threads cheap, few enough to be quick."""

MAX_SHOWN: Final = 200
"""Characters of a bad line that are shown."""

BLANKS: Final = " \t\r\v\f"
"""What may stand around a URL."""

BOM: Final = b"\xef\xbb\xbf"
"""May stand before the first line."""

# What is looked at of a bad line: 200 characters of UTF-8 are no more than this.
_EXCERPT_OCTETS: Final = 4 * MAX_SHOWN
_OPEN_AUTHORITY: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*$")


class Line(NamedTuple):
    """A line that may be a URL: its number in the file, from 1, and the text without blanks around it."""

    number: int
    url: str


class DetailedLine(NamedTuple):
    """An item of which the manifest says more than its URL.

    Attributes:
        number: Of the line it begins in, from 1.
        url: The text that may be a URL, without blanks around it.
        name: Output name; None when none is given.
        extras: All else; None when there is nothing else.
        path: Path below the output folder that a ledger has for it, taken as it is; None to name it as ever.
    """

    number: int
    url: str
    name: str | None
    extras: Extras | None
    path: str | None = None


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


Batch = list[Line | DetailedLine | BadLine]


def split_lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the lines of a manifest as its octets come: how many were before, and the lines without their LF.

    Each line is yielded with the chunk that ends it. Of one that is too long there is more than `MAX_LINE_BYTES`, but
    not always all. Memory: one chunk, its lines, and `MAX_LINE_BYTES` of a line that has not ended.
    """
    number = 0
    rest = bytearray()  # of a line that has not ended; one octet over the limit stands for all that follow
    for chunk in chunks:
        block, newline, tail = chunk.rpartition(b"\n")
        if newline:
            lines = (bytes(rest) + block).split(b"\n")
            if not number:
                lines[0] = lines[0].removeprefix(BOM)
            yield number, lines
            number += len(lines)
            rest.clear()
        rest += tail
        del rest[MAX_LINE_BYTES + len(BOM) + 1 :]
    if rest:
        yield number, [bytes(rest) if number else bytes(rest).removeprefix(BOM)]


def decoded(octets: bytes) -> str:
    """Return the text of a line.

    Raises:
        ValueError: It is too long, not UTF-8, or holds NUL. The message is one phrase.
    """
    if len(octets) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES} octets")
    if b"\0" in octets:
        raise ValueError("NUL in the line; expected UTF-8 text (is it UTF-16?)")
    try:
        return octets.decode()
    except UnicodeDecodeError as exc:
        raise ValueError(f"not UTF-8 at octet {exc.start + 1}; expected UTF-8 text") from None


def shown(line: bytes | str) -> str:
    """Return the beginning of a bad line as it can be shown."""
    octets = line.encode("utf-8", "surrogateescape") if isinstance(line, str) else line
    text = octets[:_EXCERPT_OCTETS].decode(errors="backslashreplace")
    # Cut within the authority, so a password may stand there whose "@" is not in sight.
    cut = len(octets) > _EXCERPT_OCTETS and _OPEN_AUTHORITY.match(text)
    text = f"{cut[1] or ''}//..." if cut else without_userinfo(text)
    visible = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return "".join(visible)[:MAX_SHOWN]
