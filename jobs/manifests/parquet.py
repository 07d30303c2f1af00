"""Parquet: a row an item, its columns as in ``fields.py``; with the extra ``parquet``, which is pyarrow.

A Parquet file tells at its end what is where, so it is read from a file: its own, or one that takes what comes from a
pipe, a compressed file or the network. Rows are read some hundreds at a time; in memory are a row group's pages.
Rows count from 1, as lines do. Nested columns that are not known are passed over.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

from ..checksums import algorithm_named
from .fields import KNOWN, line_of
from .lines import BATCH_LINES, BadLine, Batch, DetailedLine, Line, shown
from .problems import UnreadableError

__all__ = ["PARQUET_MAGIC", "parquet_lines", "parquet_rows"]

PARQUET_MAGIC: Final = b"PAR1"
"""What a Parquet file begins and ends with."""


def parquet_lines(chunks: Iterable[bytes]) -> Iterator[Batch]:
    """Yield the rows of a Parquet file that comes as octets, when all of it is here.

    Raises:
        UnreadableError: See `parquet_rows`.
        OSError: It cannot be kept in the folder for temporary files.
    """
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(_Chunks(chunks), file)
        yield from parquet_rows(file)


class _Chunks:
    """Chunks as something to be read, each as it is."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)

    def read(self, _: int = -1) -> bytes:
        """Return the next chunk, empty at the end."""
        return next((chunk for chunk in self._chunks if chunk), b"")


def parquet_rows(file: IO[bytes]) -> Iterator[Batch]:
    """Yield the rows of *file*, which can be read at any place.

    Raises:
        UnreadableError: pyarrow is not installed, or the file is no Parquet, is damaged or has no column ``url``.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UnreadableError("Parquet needs pyarrow; install fetchd[parquet]") from None
    number = 0
    try:
        source = parquet.ParquetFile(file)
        columns = _columns(source.schema_arrow)
        for rows in source.iter_batches(batch_size=BATCH_LINES, columns=columns, use_threads=False):
            yield [_item(number, row) for number, row in enumerate(rows.to_pylist(), number + 1)]
            number += rows.num_rows
    except (pa.ArrowException, OSError) as exc:
        raise UnreadableError(f"Parquet: {str(exc).partition(chr(10))[0]}", number + 1) from exc


def _columns(schema: Any) -> list[str]:
    """The columns that are read: those that are known, and those whose values are no lists or objects."""
    names = [field.name for field in schema if _is_known(field.name) or field.type.num_fields == 0]
    if not any(name.strip().lower() == "url" for name in names):
        raise UnreadableError("there is no column 'url'")
    return names


def _is_known(name: str) -> bool:
    return name.strip().lower() in KNOWN or algorithm_named(name) is not None


def _item(number: int, row: dict[str, Any]) -> Line | DetailedLine | BadLine:
    try:
        return line_of(number, row)
    except ValueError as exc:
        return BadLine(number, shown(str(row.get("url", ""))), str(exc))
