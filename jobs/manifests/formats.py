"""Which format a manifest has: what was said, else what its first octets say, else its name. And its parser.

Content comes before the name where it leaves no doubt. What tells an aria2 input file from a list of URLs may stand
anywhere in it, so it is looked for in what there is when the first line is complete: of a file that is up to 256 KiB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, get_args

from .aria2 import aria2_lines
from .coded import begun, decompressed
from .expansion import expanded
from .jsonl import json_lines
from .lines import BLANKS, BOM, MAX_LINE_BYTES, BadLine, Batch
from .metalink import metalink_lines
from .parquet import PARQUET_MAGIC, parquet_lines
from .plain import plain_lines
from .problems import UnreadableError
from .tables import csv_lines, header_of, tsv_lines
from .tsv_http_data import TSV_HTTP_DATA, tsv_http_data_lines

__all__ = ["FORMATS", "Format", "format_of", "manifest_lines"]

Format = Literal["plain", "aria2", "csv", "tsv", "tsvhttpdata", "jsonl", "parquet", "metalink"]

FORMATS: Final[tuple[Format, ...]] = get_args(Format)
"""The names of the formats."""

Parse = Callable[[Iterable[bytes]], Iterator[Batch]]

_PARSERS: Final[dict[Format, Parse]] = {
    "plain": plain_lines,
    "aria2": aria2_lines,
    "csv": csv_lines,
    "tsv": tsv_lines,
    "tsvhttpdata": tsv_http_data_lines,
    "jsonl": json_lines,
    "parquet": parquet_lines,
    "metalink": metalink_lines,
}
_ENDINGS: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".meta4": "metalink",
    ".metalink": "metalink",
    ".aria2": "aria2",
}
_COMPRESSIONS: Final = (".gz", ".bz2", ".xz", ".zst")
_BLANK_OCTETS: Final = BLANKS.encode()
_ARIA2: Final = re.compile(rb"^[ \t]+[a-z0-9-]+=|^[a-z]+://[^\t\r\n]*\t[ \t]*[a-z]+://", re.MULTILINE | re.IGNORECASE)
_XML: Final = (b"<?xml", b"<metalink", b"\xff\xfe<\0", b"\xfe\xff\0<")


def manifest_lines(
    chunks: Iterable[bytes], *, name: str = "", format: Format | None = None, expand: bool = False
) -> Iterator[Batch]:
    """Yield the items of a manifest as its octets come.

    What cannot be read any further is a `BadLine` of its own, the last one, when there were items before it.

    Args:
        chunks: Its octets, compressed or not.
        name: What it is called.
        format: What it is; None to tell it by content and name.
        expand: Whether ranges and lists in URLs stand for many, see `expanded`.

    Raises:
        UnreadableError: Nothing of it can be read.
    """
    batches = _read(chunks, name, format)
    last = 0
    try:
        for batch in expanded(batches) if expand else batches:
            last = batch[-1].number
            yield batch
    except UnreadableError as exc:
        if not last:
            raise
        # What was read stays good, and what is missing has to be accounted for.
        yield [BadLine(max(exc.line, last + 1), "", f"{exc.reason}; nothing is read from here on")]


def _read(chunks: Iterable[bytes], name: str, format: Format | None) -> Iterator[Batch]:
    chunks = decompressed(chunks)
    if format is None:
        head, chunks = begun(chunks, lambda head: b"\n" in head or len(head) > MAX_LINE_BYTES)
        format = format_of(head, name)
    return _PARSERS[format](chunks)


def format_of(head: bytes, name: str) -> Format:
    """Return the format of a manifest.

    Args:
        head: Its first line, and whatever else there is.
        name: What it is called, with the ending of its compression or without.
    """
    return _by_content(head.removeprefix(BOM)) or _by_name(name) or ("aria2" if _ARIA2.search(head) else "plain")


def _by_content(head: bytes) -> Format | None:
    start = head.lstrip(_BLANK_OCTETS + b"\n")
    first = head.partition(b"\n")[0].rstrip(b"\r")
    if head.startswith(PARQUET_MAGIC):
        return "parquet"
    if start.startswith(_XML):
        return "metalink"
    if start.startswith((b"{", b'"http')):
        return "jsonl"
    if first.strip() == TSV_HTTP_DATA:
        return "tsvhttpdata"
    if header_of(first, b"\t") is not None and b"\t" in first:
        return "tsv"
    return "csv" if header_of(first, b",") is not None else None


def _by_name(name: str) -> Format | None:
    name = name.lower()
    for ending in _COMPRESSIONS:
        name = name.removesuffix(ending)
    return next((format for ending, format in _ENDINGS.items() if name.endswith(ending)), None)
