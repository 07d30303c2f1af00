"""docs/ledger.md tells of every table, column and name that is in a ledger, and of none that is not."""

from __future__ import annotations

import inspect
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from fetchd.jobs import ledger_rows, ledger_schema
from fetchd.jobs.ledger import Ledger, Row, State
from fetchd.jobs.ledger_schema import SCHEMA_VERSION, connect_readonly

PAGE = (Path(__file__).parent.parent / "docs" / "ledger.md").read_text()


def rows_below(head: str) -> list[list[str]]:
    """The cells of the table whose first line begins with *head*."""
    table = PAGE.partition(f"| {head}")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def names(cell: str) -> list[str]:
    """What is written as code in a cell."""
    return re.findall(r"`(\w+)`", cell)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger with a row of which everything is out of the ordinary."""
    with Ledger.open(tmp_path, template="{host}/{path}", derive=str) as ledger:
        ledger.begin_run("list.txt", 1000.0)
        row = Row("http://h/a", "other", State.FAILED, derived=False, attempts=3, line=7, status=500, method="POST")
        row.failure_class, row.message, row.final_url = "http-5xx", "status 500", "http://g/"
        row.validator, row.total, row.digest, row.etag, row.last_modified = '"1"', 3, "md5:00", '"1"', "today"
        row.missing = ((0, 1), (2, 3))
        row.file, row.details = "third", {"size": 3}
        ledger.commit([row])
    return ledger


def test_every_table_and_column_is_told(ledger: Ledger) -> None:
    """As SQLite has them."""
    told = defaultdict(set)
    for table, columns, _ in rows_below("table | column | what"):
        told[names(table)[0]].update(names(columns))
    connection = connect_readonly(ledger.path)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    there = {table: {row[1] for row in connection.execute(f"PRAGMA table_info({table})")} for table in tables}
    view = [row[1] for row in connection.execute("PRAGMA table_info(report)")]
    connection.close()
    assert dict(told) == there
    shown = [name for cells in rows_below("column of `report` | what") for name in names(cells[0])]
    assert sorted(shown) == sorted(view)


def test_every_name_in_extra_is_told(ledger: Ledger) -> None:
    """The row of the fixture has them all."""
    connection = connect_readonly(ledger.path)
    [text] = connection.execute("SELECT extra FROM items").fetchone()
    connection.close()
    there = set(json.loads(text))
    source = inspect.getsource(ledger_rows._extra_of)
    assert there == set(re.findall(r'^ +"(\w+)":', source, re.MULTILINE))
    assert {name for cells in rows_below("name in `extra` | what") for name in names(cells[0])} == there


def test_the_numbers_are_those_of_the_code() -> None:
    """Version, application, states."""
    assert f"stands here: {SCHEMA_VERSION}." in PAGE
    assert f"`PRAGMA application_id` is 0x{ledger_schema._APPLICATION_ID:x}." in PAGE
    states = ", ".join(f"{state.value} {state.name.lower()}" for state in State)
    assert states in PAGE


def test_every_query_of_the_page_is_one_that_sqlite_takes(ledger: Ledger) -> None:
    """On a ledger as it is."""
    queries = re.findall(r'^sqlite3 \S+ "(.*)"$', PAGE, re.MULTILINE)
    assert len(queries) >= 3
    connection = connect_readonly(ledger.path)
    for query in queries:
        connection.execute(query).fetchall()
    connection.close()
