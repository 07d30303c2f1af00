"""What is read along with a manifest changes what a look-up costs, and nothing that it says."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchd.jobs.ledger import Collision, Entry, Ledger, Row, State
from fetchd.jobs.ledger_ahead import ReadAlong
from fetchd.jobs.ledger_rows import Candidate, Wanted, judge, stored_url

BATCH = 64


def derive(url: str) -> str:
    """A name template: the URL without its scheme."""
    return url.partition("://")[2]


def url_of(number: int) -> str:
    """Of the item in line *number*."""
    return f"http://h/{number}"


def wanted(numbers: Sequence[int]) -> list[Wanted]:
    """What is looked up for these lines."""
    return [(url_of(number), f"h/{number}", True) for number in numbers]


def finished(number: int) -> Candidate:
    """The row of the item in line *number*, which has that number too and was done in run 1."""
    return (number, url_of(number), State.DONE, 1, 10, None)


class Rows:
    """Rows of a ledger that notes how it is read."""

    def __init__(self, rows: Sequence[Candidate]) -> None:
        self.rows = rows
        self.reads: list[tuple[int, int]] = []

    def __call__(self, first: int, count: int) -> list[Candidate]:
        self.reads.append((first, count))
        return [row for row in self.rows if first <= row[0] < first + count]


def entries(numbers: Sequence[int]) -> list[Entry]:
    """What a look-up by path has found of rows of finished items."""
    return [Entry(number, State.DONE, 1, 10) for number in numbers]


def hits(found: Sequence[Entry | Collision | None]) -> list[int]:
    """The rows that were known."""
    return [entry.row for entry in found if isinstance(entry, Entry)]


def along(rows: Callable[[int, int], Sequence[Candidate]]) -> ReadAlong:
    """Reads along behind row 64, for it has seen a batch of 64 rows that lie together."""
    reading = ReadAlong(rows, derive)
    reading.follow(entries(range(1, 65)))
    return reading


# When it reads, and what it knows


def test_behind_rows_that_lie_together_the_next_are_known_out_of_order_too() -> None:
    """Each is given once, for the ledger may be written to before the item comes again."""
    rows = Rows([finished(number) for number in range(1, 400)])
    reading = along(rows)
    mixed = [*range(70, 134), *range(65, 70)]
    assert hits(reading.known(wanted(mixed), 2)) == mixed
    assert hits(reading.known(wanted([*range(134, 170), *range(70, 100)]), 2)) == [*range(134, 170)]
    assert rows.reads[0] == (65, 2 * len(mixed))


@pytest.mark.parametrize(
    "found",
    [
        entries(range(1, 64)),  # too few to show anything
        entries(range(1, 640, 10)),  # far apart
        [*entries(range(1, 33)), *[None] * 32],  # half of them are new
        [Entry(number, State.FAILED, 1, 0) for number in range(1, 65)],
        [None] * 64,
    ],
)
def test_other_batches_start_no_reading(found: Sequence[Entry | None]) -> None:
    """Nothing is read, and nothing known."""
    rows = Rows([finished(number) for number in range(1, 400)])
    reading = ReadAlong(rows, derive)
    reading.follow(found)
    assert (hits(reading.known(wanted(range(65, 129)), 2)), rows.reads) == ([], [])


def test_it_ends_with_a_batch_of_which_too_little_is_known() -> None:
    """And begins again behind the next rows that lie together."""
    rows = Rows([finished(number) for number in range(1, 400)])
    reading = along(rows)
    assert hits(reading.known(wanted([65, *range(900, 963)]), 2)) == [65]
    assert hits(reading.known(wanted(range(66, 130)), 2)) == []
    assert len(rows.reads) == 1
    reading.follow(entries(range(66, 130)))
    assert hits(reading.known(wanted(range(130, 194)), 2)) == [*range(130, 194)]


def test_lines_that_are_gone_from_the_manifest_do_not_stop_it() -> None:
    """Their rows are read too, and given up in time: no more than 2,048 are held."""
    rows = Rows([finished(number) for number in range(1, 20_000)])
    reading = along(rows)
    for start in range(65, 15_000, 100):
        kept = [number for number in range(start, start + 100) if number % 3]
        assert hits(reading.known(wanted(kept), 2)) == kept
        assert len(reading._rows) <= 2_048
    assert hits(reading.known(wanted(range(15_000, 15_100)), 2))


def test_only_what_is_finished_and_has_the_very_path_is_known() -> None:
    """Of all else other rows may have to be seen."""
    others: list[Candidate] = [
        (65, url_of(65), State.FAILED, 1, 0, '{"class": "dns"}'),
        (66, url_of(66), State.PARTIAL, 1, 0, '{"validator": "x"}'),
        (67, url_of(67), State.DONE, 1, 10, '{"path": "elsewhere"}'),
        (68, url_of(68), State.DONE, 1, 10, '{"method": "POST"}'),
        (69, url_of(69), State.DONE, 1, 10, '{"digest": "sha256:00"}'),
        (70, url_of(70), State.FINISHING, 2, 10, None),
    ]
    reading = along(Rows([*others, *[finished(number) for number in range(71, 200)]]))
    known = reading.known(wanted(range(65, 129)), 2)
    assert hits(known) == [*range(69, 129)]
    assert known[4] == Entry(69, State.DONE, 1, 10, digest="sha256:00")
    assert known[5] == Entry(70, State.FINISHING, 2, 10)


def test_what_is_written_anew_is_not_known_from_before() -> None:
    """It is found as it stands then, by path."""
    reading = along(Rows([finished(number) for number in range(1, 400)]))
    reading.known(wanted(range(65, 129)), 2)
    reading.forget({129, 131})
    assert hits(reading.known(wanted(range(129, 193)), 2)) == [130, *range(132, 193)]


def test_a_password_in_the_url_changes_nothing() -> None:
    """The ledger has it not."""
    reading = along(Rows([finished(number) for number in range(1, 400)]))
    named = [(f"http://me:secret@h/{number}", f"h/{number}", True) for number in range(65, 129)]
    assert hits(reading.known(named, 2)) == [*range(65, 129)]


# With a ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The ledger of a folder in which 640 items were done by an earlier run, in the order of their lines."""
    with Ledger.open(tmp_path, template="{host}/{path}", derive=derive) as opened:
        opened.begin_run("list.txt", 1000.0)
        opened.commit([row_of(number) for number in range(640)])
        opened.begin_run("list.txt", 2000.0)
        yield opened


def row_of(number: int, state: State = State.DONE, **more: int) -> Row:
    """The row of the item in line *number*."""
    return Row(url_of(number), f"h/{number}", state, size=10, row=more.get("row", 0), replaces=more.get("replaces", 0))


def test_a_manifest_in_the_order_of_its_rows_is_looked_up_by_path_once(ledger: Ledger) -> None:
    """Then its rows are read in one go each batch."""
    statements: list[str] = []
    ledger._connection.set_trace_callback(statements.append)
    for start in range(0, 640, BATCH):
        assert None not in ledger.lookup(wanted(range(start, start + BATCH)))
    assert ["slots" in statement for statement in statements] == [True] + [False] * 9


def by_path(ledger: Ledger, asked: Sequence[Wanted]) -> list[Entry | Collision | None]:
    """What a look-up says that reads nothing along."""
    candidates = ledger._candidates([path for _, path, _ in asked])
    return [
        judge((stored_url(url), path, derived), candidates.get(key, ()), ledger.run, derive)
        for key, (url, path, derived) in enumerate(asked)
    ]


WRITES: dict[str, Callable[[Ledger], None]] = {  # to rows of lines 200 (finishing) and 201 (done)
    "again": lambda ledger: ledger.commit([row_of(200, State.FAILED, row=201)]),
    "replaced": lambda ledger: ledger.commit([Row("http://o/", "h/200", State.DONE, derived=False, replaces=201)]),
    "lost": lambda ledger: ledger.mark_lost([201], "gone"),
    "bad": lambda ledger: ledger.mark_bad({202: ("checksum", "differs")}),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_is_written_to_a_row_that_was_read_is_seen(tmp_path: Path, write: Callable[[Ledger], None]) -> None:
    """Whichever way it is written."""
    with Ledger.open(tmp_path, template="{host}/{path}", derive=derive) as ledger:
        ledger.begin_run("list.txt", 1000.0)
        ledger.commit([row_of(number, State(number % 2)) for number in range(640)])
        ledger.begin_run("list.txt", 2000.0)
        for start in range(0, 192, BATCH):
            ledger.lookup(wanted(range(start, start + BATCH)))
        assert {url_of(200), url_of(201)} <= ledger._along._rows.keys()
        before = by_path(ledger, wanted(range(192, 256)))
        write(ledger)
        asked = wanted(range(192, 256))
        found = ledger.lookup(asked)
        assert found == by_path(ledger, asked) != before


_LINES = st.integers(0, 700)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("again"), st.lists(_LINES, max_size=8)),
        st.tuples(st.just("replace"), st.lists(_LINES, max_size=2)),
        st.tuples(st.just("lose"), st.lists(_LINES, max_size=4)),
        st.tuples(st.just("spoil"), st.lists(_LINES, max_size=4)),
        st.tuples(st.just("skip"), st.lists(_LINES, max_size=40)),
    ),
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=80)
@given(_STEPS, st.integers(1, 200), st.randoms(use_true_random=False))
def test_a_look_up_says_what_one_by_path_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[int]]], stride: int, rng: random.Random
) -> None:
    """Whatever is written between two batches, whatever order lines and rows have, whatever lines are gone."""
    order = list(range(640))
    for start in range(0, 640, stride):  # rows are nearly in order, or not at all
        part = order[start : start + stride]
        rng.shuffle(part)
        order[start : start + stride] = part
    folder = tmp_path_factory.mktemp("law")
    with Ledger.open(folder, template="{host}/{path}", derive=derive) as ledger:
        ledger.begin_run("list.txt", 1000.0)
        ledger.commit([row_of(number, State(number % 2)) for number in order])
        ledger.begin_run("list.txt", 2000.0)
        numbers = {number: row for row, number in enumerate(order, 1)}
        gone: set[int] = set()
        for start in range(0, 704, BATCH):
            asked = wanted([number for number in range(start, start + BATCH) if number not in gone])
            assert ledger.lookup(asked) == by_path(ledger, asked)
            if steps:
                _write(ledger, *steps.pop(), numbers, gone)
        asked = wanted(range(704))
        assert ledger.lookup(asked) == by_path(ledger, asked)


def _write(ledger: Ledger, step: str, lines: list[int], numbers: dict[int, int], gone: set[int]) -> None:
    rows = [numbers[line] for line in dict.fromkeys(lines) if line in numbers]
    if step == "skip":
        gone.update(lines)
    elif step == "lose":
        ledger.mark_lost(rows, "gone")
    elif step == "spoil":
        ledger.mark_bad(dict.fromkeys(rows, ("checksum", "differs")))
    elif step == "again":
        fresh = {line: row_of(line, row=numbers.get(line, 0)) for line in lines}
        ledger.commit(list(fresh.values()))
        numbers.update({line: row.row for line, row in fresh.items()})
    elif rows:
        path = next(f"h/{line}" for line in lines if line in numbers)
        ledger.commit([Row("http://other/", path, State.DONE, derived=False, size=1, replaces=rows[0])])
