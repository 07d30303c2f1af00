"""JSON lines: an object a line, its members as in ``fields.py``; a line that is text in quotes is a URL. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .fields import line_of, parse_json
from .lines import BATCH_LINES, BLANKS, BadLine, Batch, DetailedLine, Line, decoded, shown, split_lines

__all__ = ["json_lines"]

_BLANK_OCTETS: Final = BLANKS.encode()


def json_lines(chunks: Iterable[bytes]) -> Iterator[Batch]:
    """Yield the items of a manifest as its octets come; blank lines are passed over."""
    for before, lines in split_lines(chunks):
        for start in range(0, len(lines), BATCH_LINES):
            part = enumerate(lines[start : start + BATCH_LINES], before + start + 1)
            batch: Batch = [_parse(number, line) for number, line in part if line.strip(_BLANK_OCTETS)]
            if batch:
                yield batch


def _parse(number: int, line: bytes) -> Line | DetailedLine | BadLine:
    try:
        value = parse_json(decoded(line))
        if isinstance(value, str):
            value = {"url": value}
        if not isinstance(value, dict):
            raise ValueError("expected an object with a url")
        return line_of(number, value)
    except ValueError as exc:
        return BadLine(number, shown(line.strip(_BLANK_OCTETS)), str(exc))
