"""``report.py``: a row an item, the same in each format."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fetchd.jobs import report
from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.ledger import Row, State
from fetchd.jobs.report import COLUMNS, Format, format_of, record, write_report

STARTED = 1_700_000_000.0
ROWS = [
    Row("http://h/a", "h/a", State.DONE, size=3, status=200, digest="crc32:00000000", started=STARTED, seconds=0.25),
    Row(
        "http://h/b?key=secret",
        "h/b@00000000",
        State.FAILED,
        failure_class="policy",
        message="its place is taken by http://h/b?key=secret; more",
        final_url="http://g/é?x=1#f",
        attempts=5,
    ),
]


def read(octets: bytes, format: Format) -> list[dict[str, Any]]:
    """The records of a report."""
    if format == "jsonl":
        return [json.loads(line) for line in octets.splitlines()]
    if format == "csv":
        return list(csv.DictReader(io.StringIO(octets.decode())))
    parquet = pytest.importorskip("pyarrow.parquet")
    return list(parquet.read_table(io.BytesIO(octets)).to_pylist())


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_each_format_has_all_columns_in_their_order(format: Format) -> None:
    """And the values, as far as the format has types."""
    if format == "parquet":
        pytest.importorskip("pyarrow")
    file = io.BytesIO()
    assert write_report(ROWS, file, format) == 2
    first, second = read(file.getvalue(), format)
    assert tuple(first) == tuple(second) == COLUMNS
    assert first["url"] == first["final_url"] == "http://h/a"
    assert second["final_url"] == "http://g/é?x=1#f"
    assert [str(row["attempts"]) for row in (first, second)] == ["1", "5"]
    assert float(first["seconds"]) == 0.25
    assert (first["digest"], first["state"], second["state"]) == ("crc32:00000000", "done", "failed")
    when = datetime.fromtimestamp(STARTED, UTC)
    assert first["started"] == (when if format == "parquet" else "2023-11-14T22:13:20Z")
    assert not second["started"]
    assert not first["class"]


def test_a_report_is_never_in_memory_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of Parquet are bounded, and together they have every row."""
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(report, "_GROUP", 2)
    file = io.BytesIO()
    assert write_report(iter(ROWS * 3), file, "parquet") == 6
    assert parquet.ParquetFile(file).num_row_groups == 3


def test_queries_are_left_out_when_asked() -> None:
    """In URLs and in messages, which may have URLs in them; what is known of them stays in the path's hash."""
    found = record(ROWS[1], redact=True)
    assert found["url"] == "http://h/b?..."
    assert found["final_url"] == "http://g/é?...#f"
    assert found["message"] == "its place is taken by http://h/b?...; more"
    assert record(ROWS[0], redact=True) == record(ROWS[0])


@pytest.mark.parametrize(("name", "format"), [("a.jsonl", "jsonl"), ("b.CSV", "csv"), ("x/c.parquet", "parquet")])
def test_the_ending_of_a_file_tells_its_format(name: str, format: str) -> None:
    """However it is written."""
    assert format_of(name) == format


def test_another_ending_is_refused() -> None:
    """With what is expected."""
    with pytest.raises(SettingsError, match=r"a\.txt ends in none of \.jsonl, \.csv, \.parquet"):
        format_of("a.txt")


def test_parquet_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(SettingsError, match=r"fetchd\[parquet\]"):
        write_report(ROWS, io.BytesIO(), "parquet")
