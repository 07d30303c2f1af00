"""What happened to each item, as a table: JSON lines, CSV or Parquet, from the rows of a ledger.

Lives here: the columns, how a value is written in each format, what `redact` takes away. Not here: where the rows come
from (``ledger_reader.py``), where the octets go. The rows are never in memory together: a report of a ledger of ten
million items takes what a thousand take.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import IO, Any, Final, Literal, get_args

from .exceptions import SettingsError
from .ledger import Row

__all__ = ["COLUMNS", "Format", "format_of", "record", "write_report"]

Format = Literal["jsonl", "csv", "parquet"]

COLUMNS: Final = (
    "url",
    "final_url",
    "path",
    "state",
    "status",
    "class",
    "message",
    "bytes",
    "digest",
    "attempts",
    "started",
    "seconds",
    "etag",
    "last_modified",
)
"""In the order of the report. ``started`` is UTC; ``seconds`` counts from there to the end of the last attempt."""

_GROUP: Final = 50_000  # rows of a row group: some 10 MB while it is made
_INTEGERS: Final = ("status", "bytes", "attempts")
_QUERY: Final = re.compile(r"\?[^\s#;]*")


def format_of(name: str) -> Format:
    """Return the format that the ending of the file *name* means.

    Raises:
        SettingsError: It means none.
    """
    ending = name.rpartition(".")[2].lower()
    for known in get_args(Format):
        if ending == known:
            return known  # type: ignore[no-any-return]
    raise SettingsError(f"{name} ends in none of .{', .'.join(get_args(Format))}; expected one of them")


def record(row: Row, *, redact: bool = False) -> dict[str, Any]:
    """Return the values of *row* by column, None for what is not known.

    Args:
        row: Of the ledger.
        redact: Leave out the queries of URLs, which may hold keys and signatures: ``?...`` stands for one.
    """
    texts = [row.url, row.final_url or row.url, row.message or None]
    if redact:
        texts = [text and _QUERY.sub("?...", text) for text in texts]
    url, final_url, message = texts
    return {
        "url": url,
        "final_url": final_url,
        "path": row.place,
        "state": row.state.name.lower(),
        "status": row.status,
        "class": row.failure_class or None,
        "message": message,
        "bytes": row.size,
        "digest": row.digest,
        "attempts": row.attempts,
        "started": datetime.fromtimestamp(row.started, UTC) if row.started else None,
        "seconds": row.seconds,
        "etag": row.etag,
        "last_modified": row.last_modified,
    }


def write_report(rows: Iterable[Row], file: IO[bytes], format: Format, *, redact: bool = False) -> int:
    """Write *rows* to *file* and return how many there were.

    Args:
        rows: Of the ledger.
        file: Open for writing; it is not closed.
        format: ``jsonl`` and ``csv`` are UTF-8, ``csv`` with a row of names; ``parquet`` needs pyarrow.
        redact: As in `record`.

    Raises:
        SettingsError: pyarrow is not installed.
        OSError: *file* does not take it.
    """
    records = (record(row, redact=redact) for row in rows)
    if format == "parquet":
        return _write_parquet(records, file)
    count = 0
    write = file.write
    for line in _json_lines(records) if format == "jsonl" else _csv_lines(records):
        write(line)
        count += 1
    return count if format == "jsonl" else count - 1


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """Spell out the time, for formats of text."""
    started = found["started"]
    found["started"] = None if started is None else started.strftime("%Y-%m-%dT%H:%M:%SZ")
    return found


def _json_lines(records: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for found in records:
        yield json.dumps(_plain(found), ensure_ascii=False).encode() + b"\n"


def _csv_lines(records: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for values in itertools.chain([COLUMNS], (_plain(found).values() for found in records)):
        writer.writerow(values)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _write_parquet(records: Iterator[dict[str, Any]], file: IO[bytes]) -> int:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as exc:
        raise SettingsError("a report in Parquet needs pyarrow; expected: pip install 'fetchd[parquet]'") from exc
    types = {name: pa.string() for name in COLUMNS}
    types |= {name: pa.int64() for name in _INTEGERS}
    types |= {"started": pa.timestamp("s", tz="UTC"), "seconds": pa.float64()}
    schema = pa.schema(list(types.items()))
    count = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(itertools.islice(records, _GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count
