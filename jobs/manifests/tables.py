"""CSV and TSV (RFC 4180, text/csv): the first record names the columns, each further one is an item. Pure.

A field may be in quotes, and then hold the separator, line ends, and quotes written twice. Columns are those of
``fields.py``. A record with more or fewer fields than the first is a bad line. A quote that is never closed is one too,
and reading goes on with the line after it: no more than that line is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

from .fields import line_of
from .lines import BATCH_LINES, BLANKS, MAX_LINE_BYTES, BadLine, Batch, DetailedLine, Line, decoded, shown, split_lines
from .problems import UnreadableError

__all__ = ["csv_lines", "header_of", "table_lines", "tsv_lines"]

_BLANK_OCTETS: Final = BLANKS.encode()


class _Record:
    """A record whose lines come one by one.

    Attributes:
        number: Of its first line.
        lines: Those that came, without their ends.
        is_open: Whether it goes on with the next line, in quotes as it is.
    """

    def __init__(self, number: int, separator: bytes) -> None:
        self.number = number
        self.lines: list[bytes] = []
        self.is_open = False
        self._separator = separator
        self._size = 0

    @property
    def is_too_long(self) -> bool:
        """Whether it has exceeded the bound of a line."""
        return self._size > MAX_LINE_BYTES

    def add(self, line: bytes) -> None:
        """Take the next line."""
        self.lines.append(line)
        self._size += len(line) + 1
        if self.is_open:
            self.is_open = _stays_open(line, self._separator)
        elif b'"' in line:  # else it is not: most lines
            self.is_open = _ends_open(line, self._separator)

    def fields(self) -> list[str]:
        """Its fields.

        Raises:
            ValueError: It is no text, or too long.
        """
        text = decoded(b"\n".join(self.lines).removesuffix(b"\r"))
        separator = self._separator.decode()
        return _split(text, separator) if '"' in text else text.split(separator)


def _ends_open(line: bytes, separator: bytes) -> bool:
    """Whether *line*, which begins a field, ends within quotes."""
    at = 0
    while True:
        if line.startswith(b'"', at):
            end = _closing(line, at + 1)
            if end < 0:
                return True
            at = end
        at = line.find(separator, at) + 1
        if not at:
            return False


def _stays_open(line: bytes, separator: bytes) -> bool:
    """Whether *line*, which begins within quotes, ends within quotes."""
    end = _closing(line, 0)
    if end < 0:
        return True
    at = line.find(separator, end) + 1
    return bool(at) and _ends_open(line[at:], separator)


def _closing(line: bytes, at: int) -> int:
    """Return the place behind the quote that closes the one before *at*; -1 when there is none."""
    while True:
        at = line.find(b'"', at) + 1
        if not at:
            return -1
        if not line.startswith(b'"', at):
            return at
        at += 1


def _split(text: str, separator: str) -> list[str]:
    """Return the fields of a record that has quotes."""
    fields: list[str] = []
    at = 0
    while True:
        field = ""
        if text.startswith('"', at):
            end = at + 1
            while (close := text.find('"', end)) >= 0 and text.startswith('"', close + 1):
                end = close + 2
            close = len(text) if close < 0 else close
            field, at = text[at + 1 : close].replace('""', '"'), min(close + 1, len(text))
        end = text.find(separator, at)
        fields.append(field + text[at : end if end >= 0 else len(text)])
        if end < 0:
            return fields
        at = end + len(separator)


def header_of(line: bytes, separator: bytes) -> list[str] | None:
    """Return the names of the columns if *line* names a column ``url``, else None."""
    record = _Record(1, separator)
    record.add(line)
    try:
        names = [name.strip() for name in record.fields()]
    except ValueError:
        return None
    return names if any(name.lower() == "url" for name in names) else None


def table_lines(chunks: Iterable[bytes], separator: bytes) -> Iterator[Batch]:
    """Yield the items of a table as its octets come; blank lines are passed over.

    Raises:
        UnreadableError: The first record does not name a column ``url``, or one twice.
    """
    names: list[str] | None = None
    for records in _records(chunks, separator):
        if names is None:
            first, *records = records
            names = _names(first)
        for start in range(0, len(records), BATCH_LINES):
            yield [_item(record, names) for record in records[start : start + BATCH_LINES]]


csv_lines = partial(table_lines, separator=b",")
tsv_lines = partial(table_lines, separator=b"\t")


def _records(chunks: Iterable[bytes], separator: bytes) -> Iterator[list[_Record]]:
    """Yield the records as their lines come; of one that is given up, still open, all lines but the first again."""
    record: _Record | None = None
    for before, lines in split_lines(chunks):
        waiting = deque(enumerate(lines, before + 1))
        found: list[_Record] = []
        record = _take(waiting, record, separator, found)
        if found:
            yield found
    while record is not None:
        waiting = _rest_of(record)
        found = [record]
        record = _take(waiting, None, separator, found)
        yield found


def _take(
    waiting: deque[tuple[int, bytes]], record: _Record | None, separator: bytes, found: list[_Record]
) -> _Record | None:
    """Move the records that end in *waiting* to *found*; return the one that goes on."""
    while waiting:
        number, line = waiting.popleft()
        if record is None:
            if not line.strip(_BLANK_OCTETS):
                continue
            record = _Record(number, separator)
        record.add(line)
        if record.is_open and not record.is_too_long:
            continue
        if record.is_open:
            waiting.extendleft(reversed(_rest_of(record)))
        found.append(record)
        record = None
    return record


def _rest_of(record: _Record) -> deque[tuple[int, bytes]]:
    return deque(enumerate(record.lines[1:], record.number + 1))


def _names(record: _Record) -> list[str]:
    try:
        if record.is_open:
            raise ValueError("a quote that is not closed")
        names = [name.strip() for name in record.fields()]
    except ValueError as exc:
        raise UnreadableError(f"the first line cannot name the columns: {exc}") from None
    lower = [name.lower() for name in names]
    if "url" not in lower:
        raise UnreadableError("the first line names no column 'url'")
    twice = next((name for name in lower if lower.count(name) > 1), None)
    if twice is not None:
        raise UnreadableError(f"the first line names the column {shown(twice)!r} twice")
    return names


def _item(record: _Record, names: list[str]) -> Line | DetailedLine | BadLine:
    try:
        if record.is_open:
            raise ValueError(f"a quote that is not closed within {MAX_LINE_BYTES} octets")
        fields = record.fields()
        if len(fields) != len(names):
            raise ValueError(f"{len(fields)} fields; the first line names {len(names)}")
        return line_of(record.number, dict(zip(names, fields, strict=True)))
    except ValueError as exc:
        return BadLine(record.number, shown(record.lines[0].rstrip(b"\r")), str(exc))
