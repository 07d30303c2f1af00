"""Manifests: from a file or standard input to lines that say what to fetch.

`open_manifest` chooses the reader: a parser for each format (``formats.py`` says which), over ``source.py``, which does
the reading. What a URL is, is not known here (``targets.py``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial

from .formats import FORMATS, Format, manifest_lines
from .lines import MAX_LINE_BYTES, BadLine, Batch, DetailedLine, Line
from .parquet import PARQUET_MAGIC, parquet_rows
from .plain import plain_lines
from .source import STANDARD_INPUT, ManifestSource

__all__ = [
    "FORMATS",
    "MAX_LINE_BYTES",
    "STANDARD_INPUT",
    "BadLine",
    "Batch",
    "DetailedLine",
    "Format",
    "Line",
    "ManifestSource",
    "open_manifest",
    "plain_lines",
]


def open_manifest(manifest: str, *, format: Format | None = None, expand: bool = False) -> ManifestSource:
    """Open a manifest.

    Args:
        manifest: Path of a file or named pipe, compressed or not; ``-`` is standard input.
        format: What it is; None tells it by content and name.
        expand: Whether ``[001-100]`` and ``{a,b}`` in a URL stand for many URLs.

    Raises:
        ManifestError: It cannot be opened, or is a folder.
    """
    if format in (None, "parquet") and not expand and _is_parquet_file(manifest):
        return ManifestSource.open(manifest, partial(_rows_of_file, manifest))
    return ManifestSource.open(manifest, partial(manifest_lines, name=manifest, format=format, expand=expand))


def _is_parquet_file(manifest: str) -> bool:
    """Whether *manifest* is a file that can be read in place; if it cannot be opened, that is told later."""
    if not manifest.endswith(".parquet") or not os.path.isfile(manifest):
        return False
    try:
        with open(manifest, "rb") as file:
            return file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    except OSError:
        return False


def _rows_of_file(path: str, _: Iterable[bytes]) -> Iterator[Batch]:
    with open(path, "rb") as file:
        yield from parquet_rows(file)
