"""The ledger keeps what was committed, all of a batch or nothing, and finds it again by URL and path."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchd.jobs import ledger as ledger_module
from fetchd.jobs.exceptions import (
    JobError,
    LedgerError,
    LedgerLockedError,
    LocalFailureError,
    SettingsError,
)
from fetchd.jobs.ledger import Collision, Entry, Ledger, LedgerReader, Row, State
from fetchd.jobs.ledger_schema import boot_id
from tests.support.local_failures import largest_file, unprivileged
from tests.support.open_fds import open_fds

TEMPLATE = "{host}/{path}"


def derive(url: str) -> str:
    """A name template: the URL without its scheme."""
    return url.partition("://")[2]


def open_ledger(folder: Path) -> Ledger:
    """The ledger of *folder*, in a run of its own."""
    ledger = Ledger.open(folder, template=TEMPLATE, derive=derive)
    ledger.begin_run("list.txt", 1000.0)
    return ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger in its first run; it leaves no descriptor behind."""
    before = open_fds()
    with open_ledger(tmp_path) as opened:
        yield opened
    assert open_fds() == before


def row_of(name: str, state: State = State.FINISHING, **more: object) -> Row:
    """The row of an ordinary item."""
    return Row(f"http://h/{name}", f"h/{name}", state, **more)  # type: ignore[arg-type]  # by name


def look(ledger: Ledger, *names: str) -> list[Entry | Collision | None]:
    """Look up ordinary items."""
    return ledger.lookup([(f"http://h/{name}", f"h/{name}", True) for name in names])


# The way of an item


def test_an_item_goes_from_unknown_to_done(ledger: Ledger) -> None:
    """Its number is given when it is first written and stays."""
    assert look(ledger, "a") == [None]
    row = row_of("a", size=10, status=200)
    ledger.commit([row])
    assert row.row == 1
    assert look(ledger, "a") == [Entry(1, State.FINISHING, 1, 10)]
    assert [waiting.path for waiting in ledger.finishing()] == ["h/a"]
    ledger.commit([row_of("b")], done=[row.row])
    assert look(ledger, "a") == [Entry(1, State.DONE, 1, 10)]
    assert [waiting.path for waiting in ledger.finishing()] == ["h/b"]


def test_a_body_that_is_partly_there_is_known_to_the_next_run(tmp_path: Path) -> None:
    """With what its continuation needs; finishing it takes the same row."""
    with open_ledger(tmp_path) as ledger:
        partial = row_of("a", State.PARTIAL, validator='"v"', total=99, final_url="http://g/a")
        ledger.commit([partial])
    with open_ledger(tmp_path) as ledger:
        [entry] = look(ledger, "a")
        assert entry == Entry(1, State.PARTIAL, 1, 0, validator='"v"', total=99, final_url="http://g/a")
        ledger.commit([row_of("a", size=99, row=1)])
        assert look(ledger, "a") == [Entry(1, State.FINISHING, 2, 99)]
        assert sum(ledger.counts().values()) == 1


def test_a_row_may_come_twice_in_a_batch(ledger: Ledger) -> None:
    """Begun and ended between two commits: its last state counts."""
    row = row_of("a", State.PARTIAL, validator='"v"')
    row.state = State.FINISHING
    ledger.commit([row, row])
    assert ledger.counts()[State.FINISHING] == 1
    assert row.row == 1


def test_marking_done_touches_only_what_is_finishing(ledger: Ledger) -> None:
    """A mark that comes late must not make a failed item done."""
    ledger.commit([row_of("a"), row_of("b", State.FAILED), row_of("c", State.PARTIAL)])
    ledger.commit((), done=[1, 2, 3, 4])
    assert ledger.counts() == {State.FINISHING: 0, State.DONE: 1, State.PARTIAL: 1, State.FAILED: 1}


def test_a_lost_file_makes_its_row_failed_and_keeps_the_rest(ledger: Ledger) -> None:
    """What can be told of it, its name included; only what was finishing can be lost."""
    ledger.commit([Row("http://h/a", "x", State.FINISHING, derived=False, size=5), row_of("b"), row_of("c")])
    ledger.commit((), done=[3])
    ledger.mark_lost([1, 2, 3], "it is gone")
    lost = list(ledger.iterate(State.FAILED))
    assert [(row.path, row.size, row.failure_class, row.message) for row in lost] == [
        ("x", 0, "disk", "it is gone"),
        ("h/b", 0, "disk", "it is gone"),
    ]
    assert ledger.counts()[State.DONE] == 1


def test_numbers_may_be_asked_for_before_the_row_is_written(ledger: Ledger) -> None:
    """Nobody else gets them."""
    number = ledger.next_row()
    others = [row_of("a"), row_of("b")]
    ledger.commit([others[0], row_of("c", row=number), others[1]])
    assert [entry.row for entry in look(ledger, "a", "b", "c") if isinstance(entry, Entry)] == [2, 3, 1]


def test_numbers_go_on_in_the_next_run(tmp_path: Path) -> None:
    """They are the items' for good."""
    for run in (1, 2):
        with open_ledger(tmp_path) as ledger:
            assert ledger.run == run
            row = row_of(str(run))
            ledger.commit([row])
            assert row.row == run


def test_a_run_is_recorded_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    """One that was killed has no end."""
    with open_ledger(tmp_path) as ledger:
        ledger.end_run(1010.0, {"done": 3})
    with open_ledger(tmp_path) as ledger:
        runs = ledger._connection.execute("SELECT * FROM runs").fetchall()
    boot = boot_id()
    assert runs == [
        (1, 1000.0, 1010.0, "list.txt", '{"done": 3}', None, boot),
        (2, 1000.0, None, "list.txt", None, None, boot),
    ]


def test_a_run_knows_which_runs_the_machine_was_started_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system does not tell is taken for one start."""
    for boot in ("one", "two", "two", None):
        monkeypatch.setattr(ledger_module, "boot_id", lambda boot=boot: boot)
        with open_ledger(tmp_path) as ledger:
            known = [ledger.was_in_this_boot(run) for run in range(1, ledger.run + 1)]
        assert known == {1: [True], 2: [False, True], 3: [False, True, True], 4: [True] * 4}[ledger.run]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 255, 256, 257, 700])
def test_batches_of_any_size_are_written_whole(ledger: Ledger, count: int) -> None:
    """New rows and known ones."""
    rows = [row_of(str(n), size=n) for n in range(count)]
    ledger.commit(rows)
    assert [row.row for row in rows] == list(range(1, count + 1))
    for row in rows:
        row.size += 1
    ledger.commit(rows, done=[row.row for row in rows])
    entries = look(ledger, *map(str, range(count)))
    assert [entry.size for entry in entries if isinstance(entry, Entry)] == [n + 1 for n in range(count)]
    assert ledger.counts()[State.FINISHING] == count


# Who has a path


def test_the_path_of_another_item_is_a_collision(ledger: Ledger) -> None:
    """It says whose it is; the same URL may go elsewhere."""
    ledger.commit([row_of("a", size=1)])
    assert ledger.lookup([("https://h/a", "h/a", True), ("http://h/a", "h/b", False)]) == [
        Collision(1, "http://h/a", State.FINISHING, run=1),
        None,
    ]


def test_another_method_is_another_item(ledger: Ledger) -> None:
    """It is stored, compared and given back; beside the URL and not within it."""
    run = ledger.begin_run("list.txt", 0.0)
    rows = [Row("http://h/a", "h/a", State.FAILED, failure_class="http-4xx")]
    rows += [Row("http://me@h/a", "h/a", State.FAILED, failure_class="policy", method="POST") for _ in range(2)]
    ledger.commit(rows[:1])
    ledger.commit(rows[1:])
    assert [row.row for row in rows] == [1, 2, 2]
    got, posted = ledger.lookup([("http://h/a", "h/a", True), ("POST http://h/a", "h/a", True)])
    own = Entry(2, State.FAILED, run, 0, failure_class="policy")
    assert (got and got.row, posted) == (1, Collision(1, "http://h/a", State.FAILED, own, 2))
    assert [(row.method, row.url) for row in ledger.iterate(State.FAILED)] == [
        ("GET", "http://h/a"),
        ("POST", "http://h/a"),
    ]


def test_an_item_that_collides_in_every_run_has_one_row(tmp_path: Path) -> None:
    """Also when it stands twice in the manifest: counts of failures do not grow with the runs."""
    for run in range(1, 4):
        with open_ledger(tmp_path) as ledger:
            if run == 1:
                ledger.commit([row_of("a")], done=[])
                ledger.commit((), done=[1])
            lost = [Row("https://h/a", "h/a", State.FAILED, failure_class="policy", line=line) for line in (2, 3)]
            ledger.commit(lost[:1])
            ledger.commit(lost[1:])
            again = Row("https://me@h/a", "h/a", State.FAILED, failure_class="policy", line=4)
            fresh = [Row(f"ftp://h/{n}", "h/a", State.FAILED, failure_class="policy") for n in (1, 1, 2)]
            ledger.commit([again, *fresh, row_of(f"other{run}")])
            assert [row.row for row in (*lost, again, *fresh)] == [2, 2, 2, 3, 3, 4]
            assert ledger.counts()[State.FAILED] == 3
            own = Entry(2, State.FAILED, run, 0, failure_class="policy")
            assert ledger.lookup([("https://h/a", "h/a", True)]) == [Collision(1, "http://h/a", State.DONE, own, 1)]


def test_credentials_are_in_no_file_of_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    """Neither the item's nor the redirect's nor the manifest's; and they do not tell items apart."""
    ledger.begin_run("http://me:secret@h/list.txt", 1000.0)
    row = Row("http://me:secret@h/a", "h/a", State.FINISHING, final_url="http://me:secret@g/a", size=3)
    ledger.commit([row])
    assert ledger.lookup([("http://you:other@h/a", "h/a", True)]) == [
        Entry(1, State.FINISHING, 2, 3, final_url="http://g/a")
    ]
    for file in (tmp_path / ".fetchd").iterdir():
        assert b"secret" not in file.read_bytes()


def test_a_url_that_is_no_valid_text_is_kept_and_found(ledger: Ledger) -> None:
    """SQLite takes only UTF-8; one odd line must not end a run."""
    ledger.commit([Row("http://h/\udcff", "h/\udcff", State.FAILED, derived=False, message="\ud800")])
    [entry] = ledger.lookup([("http://h/\udcff", "h/\udcff", False)])
    assert isinstance(entry, Entry)
    assert [row.path for row in ledger.iterate(State.FAILED)] == ["h/\udcff"]


_NAMES = st.sampled_from([f"{letter}/{digit}" for letter in "ab" for digit in range(4)])
_WRITES = st.lists(st.tuples(_NAMES, st.sampled_from(State), st.integers(0, 1000)), max_size=6)
_STEPS = st.lists(st.one_of(_WRITES, st.just("mark"), st.just("reopen"), st.just("fail")), max_size=12)


@pytest.mark.slow
@settings(max_examples=60)
@given(_STEPS)
def test_the_ledger_is_what_was_committed(tmp_path_factory: pytest.TempPathFactory, steps: list[object]) -> None:
    """Whatever is written, marked, refused in between, and opened again: replayed, it is the same."""
    folder = tmp_path_factory.mktemp("law")
    ledger = open_ledger(folder)
    model: dict[str, tuple[State, int, int]] = {}  # name -> state, size, run
    numbers: dict[str, int] = {}
    try:
        for step in steps:
            if step == "reopen":
                ledger.close()
                ledger = open_ledger(folder)
            elif step == "mark":
                ledger.commit((), done=list(numbers.values()))
                done = {n: (State.DONE, *m[1:]) for n, m in model.items() if m[0] is State.FINISHING}
                model.update(done)
            elif step == "fail":
                with pytest.raises(OverflowError):
                    ledger.commit([row_of("new"), row_of("huge", size=2**64)])
            else:
                assert isinstance(step, list)
                # A caller knows the row of what it looked up before; one row object an item.
                rows = {name: row_of(name, row=numbers.get(name, 0)) for name, _, _ in step}
                for name, state, size in step:
                    rows[name].state, rows[name].size = state, size
                    model[name] = (state, size, ledger.run)
                ledger.commit(list(rows.values()))
                numbers.update({name: row.row for name, row in rows.items()})
        _agrees(ledger, model, numbers)
        with LedgerReader.open_readonly(folder, derive=derive) as reader:
            assert reader.counts() == ledger.counts()
    finally:
        ledger.close()


def _agrees(ledger: Ledger, model: dict[str, tuple[State, int, int]], numbers: dict[str, int]) -> None:
    names = sorted(model)
    expected = [Entry(numbers[name], model[name][0], model[name][2], model[name][1]) for name in names]
    assert look(ledger, *names) == expected
    assert look(ledger, "new", "huge") == [None, None]
    for state in State:
        read = {row.url: row.size for row in ledger.iterate(state)}
        assert read == {f"http://h/{n}": size for n, (s, size, _) in model.items() if s is state}
        assert ledger.counts()[state] == len(read)


# When it cannot be written


def test_a_full_disk_loses_the_batch_and_nothing_else(tmp_path: Path) -> None:
    """The run ends in order; with room again the same rows are written."""
    with open_ledger(tmp_path) as ledger:
        ledger.commit([row_of("before")])
        batch = [row_of(str(n), message="x" * 1000, state=State.FAILED) for n in range(300)]
        with largest_file(100_000), pytest.raises(LocalFailureError, match=r"ledger\.sqlite3"):
            ledger.commit(batch, done=[1])
        assert {row.row for row in batch} == {0}
        assert ledger.counts() == {State.FINISHING: 1, State.DONE: 0, State.PARTIAL: 0, State.FAILED: 0}
        ledger.commit(batch, done=[1])
    with open_ledger(tmp_path) as ledger:
        assert ledger.counts() == {State.FINISHING: 0, State.DONE: 1, State.PARTIAL: 0, State.FAILED: 300}


@pytest.mark.parametrize("verb", ["UPDATE", "INSERT OR FAIL INTO items", "INSERT OR FAIL INTO slots", "COMMIT"])
def test_whichever_step_fails_nothing_of_the_batch_is_there(tmp_path: Path, verb: str) -> None:
    """One transaction a batch."""

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *rest: object) -> sqlite3.Cursor:
            if sql.startswith(verb) and armed:
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, *rest)  # type: ignore[arg-type]  # as given

    armed = False
    with open_ledger(tmp_path) as ledger:
        ledger.commit([row_of("before")])
        ledger._connection.close()
        ledger._connection = sqlite3.connect(ledger.path, isolation_level=None, factory=Failing)
        armed = True
        rows = [row_of("a")]
        with pytest.raises(LedgerError):
            ledger.commit(rows, done=[1])
        armed = False
        assert look(ledger, "before", "a") == [Entry(1, State.FINISHING, 1, 0), None]
        ledger.commit(rows, done=[1])
        assert look(ledger, "before", "a") == [Entry(1, State.DONE, 1, 0), Entry(2, State.FINISHING, 1, 0)]


# Opening


def test_the_folder_is_made_and_its_ledger_is_the_owner_s_alone(tmp_path: Path) -> None:
    """With the folders above it."""
    with open_ledger(tmp_path / "a" / "b") as ledger:
        assert ledger.path == tmp_path / "a/b/.fetchd/ledger.sqlite3"
        assert ledger.path.stat().st_mode & 0o777 == 0o600
        assert ledger.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_second_run_on_the_folder_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    """It is told whose it is."""
    with open_ledger(tmp_path), pytest.raises(LedgerLockedError, match=f"process {os.getpid()}"):
        open_ledger(tmp_path)
    open_ledger(tmp_path).close()


@pytest.mark.parametrize(
    ("planted", "error", "reason"),
    [
        ("out is a file", SettingsError, "out is no folder"),
        (".fetchd is a file", SettingsError, r"\.fetchd is no folder"),
        (".fetchd is a link", LedgerError, "is a symbolic link"),
        ("another template", SettingsError, "was begun with the name template"),
        ("no database", LedgerError, "no SQLite database"),
        ("no salt", LedgerError, "damaged"),
    ],
)
def test_a_folder_that_will_not_do_is_refused_and_nothing_is_left_open(
    tmp_path: Path, planted: str, error: type[JobError], reason: str
) -> None:
    """Neither a descriptor nor the lock."""
    out = tmp_path / "out"
    if planted == "out is a file":
        out.touch()
    elif planted == ".fetchd is a file":
        out.mkdir()
        (out / ".fetchd").touch()
    elif planted == ".fetchd is a link":
        out.mkdir()
        (tmp_path / "elsewhere").mkdir()
        (out / ".fetchd").symlink_to(tmp_path / "elsewhere")
    elif planted == "another template":
        Ledger.open(out, template="{row}", derive=derive).close()
    elif planted == "no database":
        (out / ".fetchd").mkdir(parents=True)
        (out / ".fetchd/ledger.sqlite3").write_bytes(b"x" * 5000)
    else:
        with open_ledger(out) as ledger:
            ledger._connection.execute("DELETE FROM meta WHERE key = 'salt'")
    before = open_fds()
    with pytest.raises(error, match=reason):
        open_ledger(out)
    assert open_fds() == before


def test_a_folder_without_permission_is_a_failure_of_the_machine(tmp_path: Path) -> None:
    """The system's own words."""
    tmp_path.chmod(0o555)
    with unprivileged(), pytest.raises(LocalFailureError, match="permission denied"):
        open_ledger(tmp_path / "out")


# What it costs


def test_a_batch_takes_few_steps(ledger: Ledger) -> None:
    """Each step lets the interpreter's lock go, and in a busy process it may take long to get it back."""
    statements: list[str] = []
    ledger._connection.set_trace_callback(statements.append)
    rows = [row_of(str(n)) for n in range(256)]
    look(ledger, *map(str, range(256)))
    ledger.commit(rows)
    ledger.commit([row_of(f"more{n}") for n in range(256)], done=[row.row for row in rows])
    assert [statement.split()[0] for statement in statements] == [
        "SELECT", "BEGIN", "INSERT", "INSERT", "COMMIT", "BEGIN", "UPDATE", "INSERT", "INSERT", "COMMIT",
    ]  # fmt: skip


@pytest.mark.slow
def test_an_ordinary_item_takes_no_more_than_fifty_octets_beside_its_url(tmp_path: Path) -> None:
    """Of items that went well, with URLs of 70 octets, as a run leaves them."""
    urls = [f"https://files.example.org/archive/{n // 1000:06d}/photograph-{n:08d}.large.jpg" for n in range(30_000)]
    assert {len(url) for url in urls} == {70}
    now = time.time()
    with Ledger.open(tmp_path, template=TEMPLATE, derive=derive) as ledger:
        ledger.begin_run("list.txt", now)
        marks: list[int] = []
        for start in range(0, len(urls), 256):
            rows = [
                Row(
                    url,
                    derive(url),
                    State.FINISHING,
                    size=100_000,
                    status=200,
                    started=now + 500,
                    seconds=0.3,
                )
                for url in urls[start : start + 256]
            ]
            ledger.commit(rows, done=marks)
            marks = [row.row for row in rows]
        ledger.commit((), done=marks)
    assert ledger.path.stat().st_size <= 120 * len(urls)
