"""A row of the ledger: what is kept of it, and what it means for who wants its path."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.ledger_rows import (
    Candidate,
    Collision,
    Entry,
    Row,
    entry_of,
    judge,
    load_row,
    own_row,
    store_row,
    stored_url,
)
from fetchd.jobs.ledger_schema import State

RUN, EARLIER = 7, 6
URL = "http://h/a"
PATH = "h/a"


def derive(url: str) -> str:
    """A name template: the URL without its scheme."""
    return url.partition("://")[2]


# What is kept


def test_an_ordinary_item_has_nothing_beside_its_columns() -> None:
    """Most items are so: their extra text is NULL."""
    row = Row(URL, PATH, State.DONE, row=3, run=2, size=10, status=200, line=9, started=105.7, seconds=1.2345)
    assert store_row(row, 100.0) == (3, URL, 1, 2, 10, 5, 1234, None)


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({"derived": False, "path": "x"}, {"path": "x"}),
        ({"attempts": 2}, {"attempts": 2}),
        ({"status": 206}, {"status": 206}),
        ({"final_url": "http://me:secret@g/a"}, {"final_url": "http://g/a"}),
        ({"etag": '"e"'}, {"etag": '"e"'}),
        (
            {"last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"},
            {"last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"},
        ),
        ({"validator": '"v"', "total": 5}, {"validator": '"v"', "total": 5}),
        ({"state": State.FAILED, "status": None}, None),
        (
            {"state": State.FAILED, "status": 404, "failure_class": "http-4xx", "message": "404", "line": 9},
            {"status": 404, "class": "http-4xx", "message": "404", "line": 9},
        ),
        (
            {"state": State.FAILED, "status": 200, "failure_class": "truncated"},
            {"status": 200, "class": "truncated"},
        ),
    ],
)
def test_what_is_not_ordinary_is_kept_as_json(changes: dict[str, object], extra: dict[str, object] | None) -> None:
    """By names that any reader understands, without credentials."""
    row = dataclasses.replace(Row(URL, PATH, State.DONE, status=200), **changes)  # type: ignore[arg-type]  # by name
    text = store_row(row, 0.0)[-1]
    assert (json.loads(text) if text else None) == extra


_TEXT = st.text(max_size=10)
_OPTIONAL = st.none() | _TEXT.filter(bool)
_ROWS = st.builds(
    Row,
    url=st.sampled_from(["http://h/a", "http://h/é", "http://h/b?x"]),
    path=_TEXT,
    state=st.sampled_from(State),
    derived=st.booleans(),
    row=st.integers(1, 2**40),
    run=st.integers(1, 1000),
    size=st.integers(0, 2**60),
    attempts=st.integers(1, 30),
    status=st.none() | st.integers(100, 599),
    failure_class=_TEXT,
    message=_TEXT,
    final_url=_OPTIONAL,
    validator=_OPTIONAL,
    total=st.none() | st.integers(0, 2**60),
    etag=_OPTIONAL,
    last_modified=_OPTIONAL,
    line=st.integers(0, 2**40),
    started=st.integers(1000, 2**33).map(float),
    seconds=st.integers(0, 10**6).map(float),
)


@given(_ROWS)
def test_what_is_stored_is_loaded(row: Row) -> None:
    """All of it, but for what follows: the path of a derived row, the line and status of an ordinary one."""
    row.path = derive(row.url) if row.derived else row.path
    loaded = load_row(store_row(row, 1000.0), 1000.0, derive)
    if row.state in (State.FINISHING, State.DONE):
        row.line = 0
        row.status = row.status or 200
        # Where nothing is extra these are not looked at: a finished item has none.
        loaded.failure_class, loaded.message, loaded.total = row.failure_class, row.message, row.total
    assert loaded == row


@given(_ROWS, st.integers(1, 100))
def test_an_entry_says_what_its_row_says(row: Row, run: int) -> None:
    """As far as a look-up needs it."""
    stored = store_row(row, 0.0)
    entry = entry_of((*stored[:5], stored[7]))
    loaded = load_row(stored, 0.0, derive)
    for field in dataclasses.fields(Entry):
        assert getattr(entry, field.name) == getattr(loaded, field.name)


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("http://h/a", "http://h/a"),
        ("http://me:secret@h/a@b", "http://h/a@b"),
        ("http://h/a@b", "http://h/a@b"),
        ("http://h/é", "http://h/é"),
        ("http://h/\udcff", r"http://h/\udcff"),
    ],
)
def test_a_url_is_kept_without_userinfo_and_as_valid_text(url: str, stored: str) -> None:
    """Credentials are never stored, and SQLite takes only what is UTF-8."""
    assert stored_url(url) == stored
    assert store_row(Row(url, PATH, State.DONE), 0.0)[1] == stored


def test_octets_that_are_not_utf8_in_a_path_survive() -> None:
    """Such a path must lead to its file again."""
    row = Row(URL, "h/\udcff", State.DONE, derived=False, row=1)
    stored = store_row(row, 0.0)
    assert stored[-1] is not None
    stored[-1].encode()
    assert load_row(stored, 0.0, derive).path == "h/\udcff"


def test_a_clock_that_was_set_back_gives_no_negative_times() -> None:
    """Items cannot have been started before their run."""
    assert store_row(Row(URL, PATH, State.DONE, started=50.0), 100.0)[5] == 0


# What a row found by its slot means


def found(row: int = 1, url: str = URL, state: State = State.DONE, run: int = EARLIER, **extra: object) -> Candidate:
    """A row as a look-up returns it."""
    return (row, url, state.value, run, 10, json.dumps(extra) if extra else None)


def failed(failure_class: str, row: int = 1, url: str = URL, run: int = EARLIER) -> Candidate:
    """The row of an item that failed."""
    return found(row, url, State.FAILED, run, **{"class": failure_class})


OTHER = "https://h/a"  # the same path under the template

JUDGEMENTS: list[tuple[str, list[Candidate], int | str | None]] = [
    ("nothing is known", [], None),
    ("its own row", [found()], 1),
    ("its own row, failed", [failed("dns")], 1),
    ("a row of another path that has the same slot", [found(url="http://h/zzz")], None),
    ("its own URL under another name", [found(path="elsewhere")], None),
    ("its own URL, the same path said explicitly", [found(path=PATH)], 1),
    ("another URL, done", [found(url=OTHER)], OTHER),
    ("another URL, finishing", [found(url=OTHER, state=State.FINISHING)], OTHER),
    ("another URL that was given this path by name", [found(url="http://g/x", path=PATH)], "http://g/x"),
    ("another URL, its body partly there", [found(1, OTHER, State.PARTIAL, validator="v")], OTHER),
    ("another URL, failed with its body partly there", [found(1, OTHER, State.FAILED, validator="v")], OTHER),
    ("another URL, partial without identity", [found(1, OTHER, State.PARTIAL)], None),
    ("another URL, failed in an earlier run", [failed("dns", url=OTHER)], None),
    ("another URL, failed in this run", [failed("dns", url=OTHER, run=RUN)], OTHER),
    ("another URL that lost the path itself", [failed("policy", url=OTHER, run=RUN)], None),
    ("its own row, lost to the other before", [failed("policy"), found(2, OTHER)], OTHER),
    ("its own row, the other having lost", [failed("policy", 2, OTHER), found()], 1),
    ("its own row done, and another one done", [found(2, OTHER), found()], 1),
    ("its own row finishing, and another one done", [found(state=State.FINISHING), found(2, OTHER)], 1),
]


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [judgement[1:] for judgement in JUDGEMENTS],
    ids=[judgement[0] for judgement in JUDGEMENTS],
)
def test_who_has_a_path_is_decided_by_what_is_there(candidates: list[Candidate], expected: int | str | None) -> None:
    """The own row's number, the URL of the owner in the way, or None: free."""
    verdict = judge((URL, PATH, True), candidates, RUN, derive)
    assert (verdict.url if isinstance(verdict, Collision) else verdict and verdict.row) == expected


def test_who_has_lost_a_path_learns_of_its_own_row_too() -> None:
    """Losing it again is no new item."""
    candidates = [failed("policy", 1, run=RUN), found(2, OTHER)]
    own = Entry(1, State.FAILED, RUN, 10, failure_class="policy")
    assert judge((URL, PATH, True), candidates, RUN, derive) == Collision(2, OTHER, State.DONE, own, RUN - 1)
    assert judge((URL, PATH, True), candidates[1:], RUN, derive) == Collision(2, OTHER, State.DONE, run=RUN - 1)


def test_an_item_with_a_name_of_its_own_is_found_by_it() -> None:
    """The same URL may go to several places; each is an item."""
    candidates = [found(1, path="x"), found(2, path="y"), found(3)]
    assert judge((URL, "y", False), candidates, RUN, derive) == Entry(2, State.DONE, EARLIER, 10)
    assert judge((URL, PATH, False), candidates, RUN, derive) == Entry(3, State.DONE, EARLIER, 10)
    assert judge((URL, "z", False), candidates, RUN, derive) is None


def test_the_own_row_is_found_among_others() -> None:
    """Also where another item owns the path; 0 when there is none."""
    candidates = [found(1, OTHER), found(2, path="x"), found(3)]
    assert own_row((URL, PATH, True), candidates, derive) == 3
    assert own_row((URL, PATH, True), candidates[:2], derive) == 0


def test_paths_that_follow_from_the_same_url_are_not_derived() -> None:
    """Ten million finished items are looked up again without naming each of them twice."""

    def never(url: str) -> str:
        raise AssertionError(url)

    assert judge((URL, PATH, True), [found()], RUN, never) == Entry(1, State.DONE, EARLIER, 10)
