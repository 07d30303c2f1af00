"""From lines to items: each line leaves as one thing, no path has two items, and what is done is not fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.extras import Extras, item_key
from fetchd.jobs.intake import Admitted, Intake, Known, derive_path
from fetchd.jobs.items import Item
from fetchd.jobs.ledger import Collision, Entry, State
from fetchd.jobs.manifests import BadLine, DetailedLine, Line
from fetchd.jobs.resume import ResumePoint
from fetchd.jobs.settings import OnCollision

EARLIER, RUN = 1, 2

# Three URLs of one path (see ``naming.py``), and one of another.
FOLDER, INDEX, TLS, OTHER = "http://h/a/", "http://h/a/index.html", "https://h/a/", "http://h/b"
SHARED, ELSEWHERE = "h/a/index.html", "h/b"


@dataclass
class World:
    """What an intake sees: the ledger, the files; and the intake, with a fresh run's numbers."""

    known: Mapping[tuple[str, str], Known] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, int] = field(default_factory=dict)
    on_collision: OnCollision = "error"
    is_fresh: bool = False

    def __post_init__(self) -> None:
        self.looked_up: list[str] = []
        self.intake = Intake(
            on_collision=self.on_collision,
            run=RUN,
            size_of=self.sizes.get,
            part_size_of=self.parts.get,
            is_fresh=self.is_fresh,
        )

    def admit(self, *lines: str | DetailedLine | BadLine) -> Admitted:
        """Admit a batch whose lines are numbered from 1, by as many look-ups as it takes."""
        admitted = Admitted()
        batch = [Line(n, line) if isinstance(line, str) else line._replace(number=n) for n, line in enumerate(lines, 1)]
        items = self.intake.parse(batch, admitted)
        while items:
            wanted = self.intake.wanted(items)
            self.looked_up += [path for _, path, _ in wanted]
            known = [self.known.get((item.identity, item.path)) for item in items]
            items = self.intake.judge(items, known, admitted)
        return admitted


def told(admitted: Admitted) -> list[str]:
    """What became of each line, in the order of the lines: ``fetch PATH``, ``skipped: done``, ``failed: policy``."""
    ends = {item.line: f"fetch {item.path}" for item in admitted.items}
    for outcome in admitted.outcomes:
        detail = outcome.reason if outcome.failure is None else outcome.failure.failure_class.value
        assert outcome.item.line not in ends
        ends[outcome.item.line] = f"{outcome.result}: {detail}"
    return [ends[line] for line in sorted(ends)]


def entry(state: State, run: int = EARLIER, size: int = 0, failure_class: str = "") -> Entry:
    """What the ledger knows of an item in row 7."""
    return Entry(7, state, run, size, failure_class=failure_class)


POLICY = entry(State.FAILED, failure_class="policy")


# Lines


def test_a_url_becomes_an_item_with_its_host_and_path() -> None:
    """All that scheduler and transfer need is on it."""
    [item] = World().admit("https://Example.org:8443/x?y").items
    assert (item.url, item.line, item.scheme) == ("https://Example.org:8443/x?y", 1, "https")
    assert (item.host, item.path) == ("example.org:8443", derive_path("https://Example.org:8443/x?y"))
    assert (item.row, item.resume, item.name) == (0, None, None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "no scheme"),
        ("ftp://h/a", "unknown scheme 'ftp'"),
        ("http://", "no host"),
        ("http://h/a b", "blank at column 11"),
        (BadLine(1, "\\xff", "not UTF-8 at octet 1"), "not UTF-8"),
    ],
)
def test_a_line_that_is_no_url_is_an_outcome_of_its_own(line: str | BadLine, reason: str) -> None:
    """It says what is wrong, and the lines beside it are items."""
    world = World()
    admitted = world.admit(line, OTHER)
    [outcome] = admitted.outcomes
    assert outcome.failure is not None
    assert reason in outcome.failure.message
    assert told(admitted) == ["invalid: invalid", f"fetch {ELSEWHERE}"]
    assert world.looked_up == [ELSEWHERE]


# What the ledger knows


@pytest.mark.parametrize(
    ("known", "size", "end"),
    [
        (None, None, "fetch h/b"),
        (entry(State.DONE, size=10), 10, "skipped: done"),
        (entry(State.FINISHING, size=10), 10, "skipped: done"),
        (entry(State.DONE, size=10), 9, "fetch h/b"),
        (entry(State.DONE, size=10), None, "fetch h/b"),
        (entry(State.DONE, size=0), 0, "skipped: done"),
        (entry(State.DONE, size=0), None, "fetch h/b"),
        (entry(State.FAILED), None, "fetch h/b"),
        (entry(State.PARTIAL), None, "fetch h/b"),
        (entry(State.FAILED), 10, "fetch h/b"),
        (entry(State.DONE, RUN, 10), 10, "skipped: duplicate"),
        (entry(State.DONE, RUN, 10), None, "skipped: duplicate"),
        (entry(State.FAILED, RUN), None, "skipped: duplicate"),
        (None, 10, "failed: policy"),
        (POLICY, 10, "failed: policy"),
        (POLICY, None, "fetch h/b"),
        (Collision(3, "http://g/x", State.DONE), 10, "failed: policy"),
        (Collision(3, "http://g/x", State.DONE, POLICY), 10, "failed: policy"),
        (Collision(3, "http://g/x", State.DONE, entry(State.FAILED, RUN, 0, "policy")), 10, "skipped: duplicate"),
    ],
)
def test_what_is_known_of_an_item_decides(known: Known, size: int | None, end: str) -> None:
    """Done and there with its size: not fetched. A file that nobody knows is never replaced, however often we come."""
    sizes = {} if size is None else {ELSEWHERE: size}
    world = World({(OTHER, ELSEWHERE): known}, sizes)
    admitted = world.admit(OTHER)
    assert told(admitted) == [end]
    row = 0 if known is None else known.row if isinstance(known, Entry) else known.own.row if known.own else 0
    assert [item.row for item in [*admitted.items, *(o.item for o in admitted.outcomes)]] == [row]
    assert world.intake.held == (not end.startswith("skipped"))


def test_in_a_folder_that_was_empty_files_are_not_looked_for() -> None:
    """10 million new items need no look at the disk each."""
    world = World(sizes={ELSEWHERE: 10}, is_fresh=True)
    assert told(world.admit(OTHER)) == ["fetch h/b"]


@pytest.mark.parametrize(
    ("validator", "total", "part", "point"),
    [
        ('"v"', 100, 40, ResumePoint(40, '"v"', 100, "http://g/final")),
        ('"v"', None, 40, ResumePoint(40, '"v"', None, "http://g/final")),
        ('"v"', 100, 100, ResumePoint(100, '"v"', 100, "http://g/final")),
        # Nothing to go on from; the validator must still be taken out of the ledger before other octets come.
        ('"v"', 100, None, ResumePoint(0, '"v"', 100, "http://g/final")),
        ('"v"', 100, 0, ResumePoint(0, '"v"', 100, "http://g/final")),
        ('"v"', 100, 101, ResumePoint(0, '"v"', 100, "http://g/final")),
        (None, 100, 40, None),
    ],
)
@pytest.mark.parametrize("state", [State.PARTIAL, State.FAILED])
def test_a_body_goes_on_where_its_octets_end(
    state: State, validator: str | None, total: int | None, part: int | None, point: ResumePoint | None
) -> None:
    """The ledger says which representation it is, the ``.part`` file how much of it is there."""
    known = Entry(7, state, EARLIER, 0, validator=validator, total=total, final_url="http://g/final")
    [item] = World({(OTHER, ELSEWHERE): known}, parts={} if part is None else {ELSEWHERE: part}).admit(OTHER).items
    assert item.resume == point


def test_what_was_written_before_the_machine_was_started_is_not_gone_on_with() -> None:
    """Its size says nothing of what is on the medium; the validator must go all the same."""
    known = Entry(7, State.PARTIAL, EARLIER, 0, validator='"v"', total=10, final_url="http://g/")
    intake = Intake(
        on_collision="error",
        run=RUN,
        size_of=lambda _: None,
        part_size_of=lambda _: 5,
        is_fresh=False,
        was_in_this_boot=lambda run: run != EARLIER,
    )
    admitted = Admitted()
    items = intake.parse([Line(1, "http://h/x")], admitted)
    intake.judge(items, [known], admitted)
    assert admitted.items[0].resume == ResumePoint(0, '"v"', 10, "http://g/")


def test_a_finished_body_that_is_gone_is_fetched_whole() -> None:
    """Whatever lies beside it."""
    known = Entry(7, State.DONE, EARLIER, 10, validator='"v"', total=10)
    [item] = World({(OTHER, ELSEWHERE): known}, parts={ELSEWHERE: 5}).admit(OTHER).items
    assert item.resume is None


# Duplicates and collisions


@pytest.mark.parametrize(
    ("on_collision", "lines", "ends"),
    [
        ("error", (OTHER, OTHER, OTHER), ["fetch h/b", *["skipped: duplicate"] * 2]),
        ("error", (OTHER, "http://me:secret@h/b"), ["fetch h/b", "skipped: duplicate"]),
        ("error", (OTHER, "http://h/b#x", "http://h/b#y"), ["fetch h/b", *["skipped: duplicate"] * 2]),
        ("error", ("http://h/b#x", OTHER), ["fetch h/b", "skipped: duplicate"]),
        ("error", (FOLDER, INDEX), ["fetch h/a/index.html", "failed: policy"]),
        ("error", (FOLDER, INDEX, INDEX), ["fetch h/a/index.html", "failed: policy", "skipped: duplicate"]),
        ("error", (FOLDER, INDEX, FOLDER), ["fetch h/a/index.html", "failed: policy", "skipped: duplicate"]),
        ("error", (FOLDER, INDEX, TLS), ["fetch h/a/index.html", "failed: policy", "failed: policy"]),
        ("skip", (FOLDER, INDEX, INDEX), ["fetch h/a/index.html", "skipped: collision", "skipped: collision"]),
        ("skip", (FOLDER, INDEX, FOLDER), ["fetch h/a/index.html", "skipped: collision", "skipped: duplicate"]),
        ("number", (FOLDER, INDEX), ["fetch h/a/index.html", "fetch h/a/index"]),
    ],
)
def test_of_lines_that_go_to_one_path_the_first_has_it(
    on_collision: OnCollision, lines: Sequence[str], ends: list[str]
) -> None:
    """The same URL again is a duplicate, whatever became of it; another URL collides."""
    world = World(on_collision=on_collision)
    assert [end.split("~")[0] for end in told(world.admit(*lines))] == ends


def test_numbers_follow_from_the_url_and_not_from_the_order() -> None:
    """Whoever comes later gets it, and gets the same one in each run."""
    first = World(on_collision="number").admit(FOLDER, INDEX, TLS, INDEX, TLS)
    again = World(on_collision="number").admit(FOLDER, TLS, INDEX)
    assert told(first)[3:] == ["skipped: duplicate"] * 2
    assert {item.url: item.path for item in first.items} == {item.url: item.path for item in again.items}
    assert len({item.path for item in first.items}) == 3
    assert all(item.name == item.path for item in first.items[1:])


@pytest.mark.parametrize(
    ("path", "stem", "ending"),
    [
        ("http://h/x/", "h/x/index~", ".html"),
        ("http://h/x", "h/x~", ""),
        ("http://h.org/x", "h.org/x~", ""),
        ("http://h/x.tar.gz", "h/x.tar~", ".gz"),
        ("http://h/.x", "h/.x~", ""),
    ],
)
def test_a_number_stands_before_the_ending(path: str, stem: str, ending: str) -> None:
    """So that programs still know what it is; a dot in a folder's name is none, nor is one at the beginning."""
    world = World({(path, derive_path(path)): Collision(3, "http://g/x", State.DONE)}, on_collision="number")
    [item] = world.admit(path).items
    assert item.path.startswith(stem)
    assert item.path.endswith(ending)
    assert len(item.path) == len(stem) + 8 + len(ending)


def test_a_number_that_is_taken_too_fails() -> None:
    """It is not numbered again: it would get the same number."""
    world = World(sizes={SHARED: 1}, on_collision="number")
    [numbered] = world.admit(FOLDER).items
    world = World(sizes={SHARED: 1, numbered.path: 1}, on_collision="number")
    assert told(world.admit(FOLDER)) == ["failed: policy"]


def test_a_collision_names_whom_the_path_belongs_to_without_credentials() -> None:
    """In memory, in the ledger, or nobody whom we know."""
    world = World({(OTHER, ELSEWHERE): Collision(3, "http://g/x", State.DONE)}, {"h/c": 5})
    admitted = world.admit("http://me:secret@h/a/", INDEX, OTHER, "http://h/c")
    messages = [outcome.failure.message for outcome in admitted.outcomes if outcome.failure]
    assert "h/a/index.html is taken by http://h/a/;" in messages[0]
    assert "h/b is taken by http://g/x;" in messages[1]
    assert "h/c is taken by a file that this folder's ledger does not know;" in messages[2]


def test_a_collision_is_remembered_as_one_item_until_it_is_recorded() -> None:
    """The same line in the next batch is a duplicate, also while the ledger does not know of the first."""
    world = World()
    first = world.admit(FOLDER, INDEX)
    assert told(world.admit(INDEX)) == ["skipped: duplicate"]
    world.intake.release(first.outcomes[0].item)
    assert world.intake.held == 1
    assert told(world.admit(INDEX)) == ["failed: policy"]


def test_the_end_of_an_item_that_lost_its_path_leaves_the_path_to_its_owner() -> None:
    """Else a duplicate of the owner would be fetched beside it, into the same ``.part`` file."""
    world = World()
    first = world.admit(FOLDER, INDEX)
    world.intake.release(first.outcomes[0].item)
    assert told(world.admit(FOLDER)) == ["skipped: duplicate"]
    world.intake.release(first.items[0])
    assert world.intake.held == 0
    assert told(world.admit(INDEX)) == ["fetch h/a/index.html"]


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_is_done_keeps_its_path_when_its_rival_comes_first(on_disk: bool) -> None:
    """Lines may be moved between runs: the order of the manifest does not decide about what is there already."""
    done = entry(State.DONE, size=10)
    known: dict[tuple[str, str], Known] = {(FOLDER, SHARED): Collision(7, INDEX, State.DONE), (INDEX, SHARED): done}
    world = World(known, {SHARED: 10} if on_disk else {})
    assert told(world.admit(FOLDER, INDEX, INDEX)) == (
        ["failed: policy", "skipped: done", "skipped: done"]
        if on_disk
        else ["failed: policy", "fetch h/a/index.html", "skipped: duplicate"]
    )


def test_a_body_that_is_partly_there_keeps_its_path_when_its_rival_comes_first() -> None:
    """The same, for octets that can be gone on with."""
    partial = Entry(7, State.PARTIAL, EARLIER, 0, validator='"v"', total=10)
    known: dict[tuple[str, str], Known] = {
        (FOLDER, SHARED): Collision(7, INDEX, State.PARTIAL),
        (INDEX, SHARED): partial,
    }
    [item] = World(known, parts={SHARED: 4}).admit(FOLDER, INDEX).items
    assert (item.url, item.resume) == (INDEX, ResumePoint(4, '"v"', 10, INDEX))


def test_an_item_that_lost_its_path_in_an_earlier_run_loses_it_in_the_same_row() -> None:
    """Whether its rival is in memory or in the ledger: rows do not pile up over the runs."""
    in_memory = World({(INDEX, SHARED): POLICY}).admit(FOLDER, INDEX)
    in_ledger = World({(INDEX, SHARED): Collision(3, FOLDER, State.DONE, POLICY)}).admit(INDEX)
    for admitted in (in_memory, in_ledger):
        [outcome] = admitted.outcomes
        assert (told(admitted)[-1], outcome.item.row) == ("failed: policy", 7)


def test_a_rival_that_was_recorded_during_the_look_up_still_has_the_path() -> None:
    """The look-up may have come too early to know of it, and the claim be gone when it is judged."""
    world = World()
    [owner] = world.admit(FOLDER).items
    admitted = Admitted()
    late = world.intake.parse([Line(2, FOLDER), Line(3, INDEX)], admitted)
    world.intake.release(owner)
    assert world.intake.judge(late, [None, None], admitted) == []
    assert told(admitted) == ["skipped: duplicate", "failed: policy"]


_LINES = st.lists(st.sampled_from([FOLDER, INDEX, TLS, OTHER, "http://h/c", "http://me@h/b", "nonsense"]), max_size=12)
_RUNS = st.sampled_from([EARLIER, RUN])
_ENTRIES = st.builds(
    Entry,
    st.just(7),
    st.sampled_from(State),
    _RUNS,
    st.integers(0, 1),
    failure_class=st.sampled_from(["", "policy"]),
    validator=st.none() | st.just('"v"'),
)
_KNOWN = st.dictionaries(
    st.sampled_from([(FOLDER, SHARED), (INDEX, SHARED), (TLS, SHARED), (OTHER, ELSEWHERE), ("http://h/c", "h/c")]),
    _ENTRIES | st.builds(Collision, st.just(3), st.just("http://g/x"), st.just(State.DONE), st.none() | _ENTRIES),
)
_SIZES = st.dictionaries(st.sampled_from([SHARED, ELSEWHERE, "h/c"]), st.integers(0, 1))
_MODES: st.SearchStrategy[Literal["error", "skip", "number"]] = st.sampled_from(["error", "skip", "number"])


@given(st.lists(_LINES, max_size=4), _KNOWN, _SIZES, _MODES)
def test_every_line_leaves_once_and_no_path_has_two_items(
    batches: list[list[str]], known: dict[tuple[str, str], Known], sizes: dict[str, int], mode: OnCollision
) -> None:
    """Whatever the ledger says, contradictions included; and when all has ended nothing is held."""
    world = World(known, sizes, on_collision=mode)
    under_way: dict[str, Item] = {}
    ended: list[Item] = []
    for lines in batches:
        admitted = world.admit(*lines)
        assert len(told(admitted)) == len(lines)
        for item in admitted.items:
            assert item.path not in under_way, "two items write one file"
            under_way[item.path] = item
        ended += [outcome.item for outcome in admitted.outcomes if outcome.result == "failed"]
    assert world.intake.held == len(under_way) + len(ended)
    for item in [*ended, *under_way.values()]:
        world.intake.release(item)
    assert world.intake.held == 0


# What a line says besides its URL


def detailed(url: str = OTHER, name: str | None = None, line: int = 1, **said: Any) -> DetailedLine:
    """A line of a manifest that says more."""
    return DetailedLine(line, url, name, Extras(**said) if said else None)


def test_a_line_may_name_its_file() -> None:
    """The name is taken as it is but for what is unsafe in it; the ledger has to store it."""
    world = World()
    [item] = world.admit(detailed(name="sub/x.part")).items
    assert (item.name, item.path, item.extras) == ("sub/x.part", "sub/x.part@bcee4f51", None)
    assert world.intake.wanted([item]) == [(OTHER, item.path, False)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (detailed(name="../x"), "output name with '..'"),
        (detailed(name="/etc/passwd"), "absolute output name"),
        (detailed(name="a\\b"), "backslash or NUL"),
        (detailed(name=""), "empty output name"),
        (detailed(mirrors=(OTHER, "ftp://h/a")), "mirror: unknown scheme"),
    ],
)
def test_a_name_that_leads_out_and_a_mirror_that_is_none_are_bad_lines(line: DetailedLine, reason: str) -> None:
    """Nothing of the item is fetched: what was meant is not known."""
    [outcome] = World().admit(line).outcomes
    assert outcome.failure is not None
    assert reason in outcome.failure.message
    assert (outcome.result, outcome.item.url) == ("invalid", OTHER)


def test_what_a_line_says_goes_with_the_item_and_a_line_that_says_nothing_has_none() -> None:
    world = World()
    line = detailed(size=3, headers=(("A", "b"),))
    first, second = world.admit(line, "http://h/c").items
    assert first.extras is line.extras
    assert (first.path, second.extras) == (ELSEWHERE, None)


def test_two_methods_of_one_url_are_two_items() -> None:
    """Here, and in the ledger; their file is one all the same, so the later one loses it."""
    world = World()
    admitted = world.admit(OTHER, detailed(method="POST"), detailed(method="POST"))
    assert told(admitted) == ["fetch h/b", "failed: policy", "skipped: duplicate"]
    assert world.intake.wanted([admitted.outcomes[0].item]) == [(f"POST {OTHER}", ELSEWHERE, True)]
    known: dict[tuple[str, str], Known] = {(f"POST {OTHER}", ELSEWHERE): entry(State.DONE, size=1)}
    assert told(World(known, {ELSEWHERE: 1}).admit(detailed(method="POST"))) == ["skipped: done"]


@pytest.mark.parametrize("on_collision", ["error", "number"])
def test_a_name_that_is_given_twice_is_a_collision(on_collision: OnCollision) -> None:
    """Of two URLs; for one URL it is a duplicate."""
    world = World(on_collision=on_collision)
    admitted = world.admit(
        detailed("http://h/a", "x.bin"), detailed("http://h/b", "x.bin"), detailed("http://h/a", "x.bin")
    )
    numbered = f"fetch x~{item_key('http://h/b', 'x.bin')[:4].hex()}.bin"
    assert told(admitted) == [
        "fetch x.bin",
        numbered if on_collision == "number" else "failed: policy",
        "skipped: duplicate",
    ]


def test_a_key_is_made_of_method_url_and_name_and_of_nothing_else() -> None:
    """Neither of the line nor of credentials; no name is not the name of nothing."""
    items = [
        Item("http://h/a", 1),
        Item("http://h/a", 2, "x"),
        Item("http://h/b", 3),
        Item("http://h/a", 4, extras=Extras(method="PUT")),
    ]
    assert len({item.key for item in items}) == 4
    assert Item("http://me:secret@h/a", 9).key == items[0].key == item_key("http://h/a")
    assert item_key("http://h/a", "") != items[0].key
    assert item_key("http://h/\udcff")
