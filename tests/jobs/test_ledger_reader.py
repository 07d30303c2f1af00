"""Looking at a ledger: how many items are where, which failed, and each row of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetchd.jobs.exceptions import LedgerError
from fetchd.jobs.ledger import Ledger, LedgerReader, Row, RunRecord, State
from tests.support.open_fds import open_fds

TEMPLATE = "{host}/{path}"


def derive(url: str) -> str:
    """A name template: the URL without its scheme."""
    return url.partition("://")[2]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger in its first run; it leaves no descriptor behind."""
    before = open_fds()
    with Ledger.open(tmp_path, template=TEMPLATE, derive=derive) as opened:
        opened.begin_run("list.txt", 1000.0)
        yield opened
    assert open_fds() == before


def rows(state: State, *names: str, failure_class: str = "") -> list[Row]:
    """Rows of one state."""
    return [Row(f"http://h/{name}", f"h/{name}", state, failure_class=failure_class) for name in names]


def test_items_are_counted_by_state_and_failures_by_class(ledger: Ledger) -> None:
    """Every state is there, with 0 where there is none."""
    assert ledger.counts() == dict.fromkeys(State, 0)
    done = rows(State.FINISHING, "a", "b", "c")
    ledger.commit(done)
    ledger.commit(
        [
            *rows(State.FINISHING, "d"),
            *rows(State.PARTIAL, "e", "f"),
            *rows(State.FAILED, "g", "h", failure_class="dns"),
            *rows(State.FAILED, "i", failure_class="connect"),
            *rows(State.FAILED, "j", failure_class="tls"),
        ],
        done=[row.row for row in done],
    )
    assert ledger.counts() == {State.FINISHING: 1, State.DONE: 3, State.PARTIAL: 2, State.FAILED: 4}
    assert list(ledger.failure_counts().items()) == [("dns", 2), ("connect", 1), ("tls", 1)]


@pytest.mark.parametrize("state", State)
def test_rows_of_a_state_come_in_order_a_page_at_a_time(
    ledger: Ledger, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that was kept of them; memory is a page, whatever their number."""
    monkeypatch.setattr("fetchd.jobs.ledger_reader._PAGE", 3)
    names = [str(n) for n in range(10)]
    written = [row for name in names for other in State for row in rows(other, f"{other.name}/{name}")]
    for row in written:
        row.started = 1005.0
    ledger.commit(written)
    read = list(ledger.iterate(state))
    assert [(row.url, row.path) for row in read] == [
        (f"http://h/{state.name}/{name}", f"h/{state.name}/{name}") for name in names
    ]
    assert [row.row for row in read] == [row.row for row in written if row.state is state]
    assert {(row.started, row.run) for row in read} == {(1005.0, 1)}


def test_times_count_from_the_run_that_touched_the_row(ledger: Ledger) -> None:
    """The ledger keeps them as distances."""
    for begun in (2000.0, 3000.0):
        ledger.begin_run("list.txt", begun)
        ledger.commit([Row("http://h/a", f"h/{begun}", State.FAILED, derived=False, started=begun + 7)])
    assert [row.started for row in ledger.iterate(State.FAILED)] == [2007.0, 3007.0]


def test_a_row_of_a_run_that_is_not_recorded_is_read_all_the_same(tmp_path: Path) -> None:
    """Somebody has emptied the table of runs: times are lost, items are not."""
    with Ledger.open(tmp_path, template=TEMPLATE, derive=derive) as ledger:
        ledger.begin_run("list.txt", 1000.0)
        ledger.commit([Row("http://h/a", "h/a", State.FAILED, started=1005.0)])
        path = ledger.path
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("DELETE FROM runs")
    connection.close()
    with LedgerReader.open_readonly(tmp_path, derive=derive) as reader:
        assert [row.started for row in reader.iterate(State.FAILED)] == [5.0]
        assert reader.last_run() is None


def test_the_last_run_is_known_while_it_goes_on_and_after(ledger: Ledger) -> None:
    """Its manifest without credentials, its summary when it has ended."""
    run = ledger.begin_run("http://me:secret@h/list.txt", 2000.0)
    assert ledger.last_run() == RunRecord(run, "http://h/list.txt", 2000.0, None, {})
    ledger.end_run(2010.0, {"done": 3})
    assert ledger.last_run() == RunRecord(run, "http://h/list.txt", 2000.0, 2010.0, {"done": 3})


def test_a_reader_sees_what_the_run_beside_it_has_committed(ledger: Ledger, tmp_path: Path) -> None:
    """Without a lock, and without holding up the run."""
    with LedgerReader.open_readonly(tmp_path, derive=derive) as reader:
        for count in range(1, 4):
            ledger.commit(rows(State.FAILED, str(count)))
            assert reader.counts()[State.FAILED] == count
        read = reader.iterate(State.FAILED)
        first = next(read)
        ledger.commit(rows(State.FAILED, "4"))
        assert [first.url, *(row.url for row in read)] == [f"http://h/{n}" for n in range(1, 5)]


def test_a_reader_cannot_write(ledger: Ledger, tmp_path: Path) -> None:
    """The file is opened for reading only."""
    with LedgerReader.open_readonly(tmp_path, derive=derive) as reader:
        assert not hasattr(reader, "commit")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.execute("DELETE FROM items")


def test_a_folder_without_a_ledger_is_told(tmp_path: Path) -> None:
    """And stays as it is."""
    with pytest.raises(LedgerError, match="there is none in this folder"):
        LedgerReader.open_readonly(tmp_path, derive=derive)
    assert list(tmp_path.iterdir()) == []


def test_rows_that_are_not_done_are_found_by_their_index(ledger: Ledger) -> None:
    """Among ten million finished items."""
    from fetchd.jobs import ledger_reader

    for statement in (
        ledger_reader._OPEN,
        "SELECT 1 FROM items WHERE state <> 1 AND state = ? AND id > ? LIMIT ?",
    ):
        plan = ledger._connection.execute(f"EXPLAIN QUERY PLAN {statement}", (0, 0, 1)).fetchall()
        assert "INDEX open_items" in plan[0][3]


def test_the_view_spells_out_what_a_row_means(ledger: Ledger) -> None:
    """For who looks at the file with another tool."""
    ledger.begin_run("list.txt", 1_700_000_000.0)
    done = Row("http://h/a", "h/a", State.DONE, size=5, status=200, started=1_700_000_001.0, seconds=0.25)
    failed = Row("http://h/b", "x", State.FAILED, derived=False, status=404, attempts=2, line=9)
    failed.failure_class, failed.message, failed.final_url = "http-4xx", "gone", "http://g/b"
    ledger.commit([done, failed])
    cursor = ledger._connection.execute("SELECT * FROM report")
    names = [column[0] for column in cursor.description]
    first, second = (dict(zip(names, row, strict=True)) for row in cursor.fetchall())
    said = {name: value for name, value in first.items() if value is not None}
    assert said == {
        "id": 1,
        "url": "http://h/a",
        "final_url": "http://h/a",
        "state": "done",
        "status": 200,
        "size": 5,
        "attempts": 1,
        "started": "2023-11-14 22:13:21",
        "seconds": 0.25,
        "method": "GET",
        "run": 2,
    }
    kept = ("explicit_path", "final_url", "state", "status", "class", "message", "attempts", "line")
    assert [second[name] for name in kept] == ["x", "http://g/b", "failed", 404, "http-4xx", "gone", 2, 9]
