"""Google's TsvHttpData-1.0, the list of URLs of its Storage Transfer Service: URL, octets, base64 of the MD5. Pure.

    TsvHttpData-1.0
    https://example.org/a.bin<TAB>1357<TAB>wHENa08V36iPYAsOa2JAdw==

Size and digest may be left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .fields import line_of
from .lines import BATCH_LINES, BLANKS, BadLine, Batch, DetailedLine, Line, decoded, shown, split_lines
from .problems import UnreadableError

__all__ = ["TSV_HTTP_DATA", "tsv_http_data_lines"]

TSV_HTTP_DATA: Final = b"TsvHttpData-1.0"
"""The first line."""

_BLANK_OCTETS: Final = BLANKS.encode()
_NAMES: Final = ("url", "size", "md5")


def tsv_http_data_lines(chunks: Iterable[bytes]) -> Iterator[Batch]:
    """Yield the items of a list as its octets come; blank lines are passed over.

    Raises:
        UnreadableError: The first line is another one.
    """
    for before, lines in split_lines(chunks):
        first = 0
        if not before:
            first = 1
            if lines[0].strip(_BLANK_OCTETS) != TSV_HTTP_DATA:
                raise UnreadableError(f"the first line is not {TSV_HTTP_DATA.decode()}")
        for start in range(first, len(lines), BATCH_LINES):
            part = enumerate(lines[start : start + BATCH_LINES], before + start + 1)
            batch: Batch = [_parse(number, line) for number, line in part if line.strip(_BLANK_OCTETS)]
            if batch:
                yield batch


def _parse(number: int, line: bytes) -> Line | DetailedLine | BadLine:
    try:
        fields = [field.strip(BLANKS) for field in decoded(line).split("\t")]
        if len(fields) > len(_NAMES):
            raise ValueError(f"{len(fields)} fields; expected URL, size and MD5")
        return line_of(number, dict(zip(_NAMES, fields, strict=False)))
    except ValueError as exc:
        return BadLine(number, shown(line.strip(_BLANK_OCTETS)), str(exc))
