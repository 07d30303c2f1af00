"""A whole run, from lines to files: every line has one end, and what is done is never fetched again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchd import jobs
from fetchd.jobs.events import (
    Event,
    ItemFinished,
    ItemRetried,
    ItemStarted,
    Progress,
    RunFinished,
    RunStarted,
    Snapshot,
)
from fetchd.jobs.exceptions import LedgerLockedError, ManifestError, SettingsError
from fetchd.jobs.intake import derive_path
from fetchd.jobs.items import Result
from fetchd.jobs.ledger import LedgerReader, State
from fetchd.jobs.run import Run, run
from fetchd.jobs.settings import RunSettings
from tests.support.cancelling import cancelled_in_each_turn
from tests.support.raw_server import PeerLeft, RawConnection, Request, response
from tests.support.runs import Ran, files_below, prepare, rows_of, run_lines
from tests.support.sites import Page, Site, broken_off

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

LARGE = random.Random(7).randbytes(2_000_000)
HALF = len(LARGE) // 2
ETAG = ("ETag", '"v1"')
WHOLE = response(200, LARGE, [ETAG])
REST = response(206, LARGE[HALF:], [ETAG, ("Content-Range", f"bytes {HALF}-{len(LARGE) - 1}/{len(LARGE)}")])
FIRST_HALF = WHOLE[: -len(LARGE) + HALF]


def page(name: str) -> bytes:
    """A page with its own name in it."""
    return response(200, f"content of {name}".encode())


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff takes no time: the jitter gives its lowest value."""
    monkeypatch.setattr("random.random", lambda: 0.0)


# Every line has one end

# What a line of the pool is: the target that is asked for, and how that ends. Two share a path, two are one item.
POOL = {
    "http://{host}/a/": "done",
    "http://{host}/a/index.html": "done",
    "http://{host}/b?x=1": "done",
    "http://me:secret@{host}/c": "done",
    "http://{host}/c": "done",
    "http://{host}/gone": "failed: http-4xx",
    "http://{host}/gone/": "failed: http-4xx",
    "http://{host}/gone/index.html": "done",
    "http://{host}/empty": "done",
    "nonsense": "invalid: invalid",
    "ftp://{host}/a": "invalid: invalid",
    "": None,
    "  # http://{host}/comment": None,
}


class Model:
    """What must become of lines, run after run, by the rules and nothing else.

    Attributes:
        rows: Items that were ever recorded.
        done: Those that are done, by path.
        asked: How often each was fetched.
    """

    def __init__(self) -> None:
        self.rows: set[tuple[str, str]] = set()
        self.done: dict[str, str] = {}
        self.asked: Counter[str] = Counter()

    def run(self, lines: list[str], host: str) -> dict[int, str]:
        """The end of each line, by its number from 1."""
        owners = dict(self.done)  # path -> URL
        seen: set[tuple[str, str]] = set()
        ends = {}
        for number, line in enumerate(lines, 1):
            end = POOL[line]
            if end is None:
                continue
            ends[number] = end
            if end.startswith("invalid"):
                continue
            url = line.format(host=host).replace("me:secret@", "")
            ends[number] = self._end(url, derive_path(url), end, owners, seen)
        return ends

    def _end(self, url: str, path: str, end: str, owners: dict[str, str], seen: set[tuple[str, str]]) -> str:
        if self.done.get(path) == url and (url, path) not in seen:
            return "skipped: done"
        if (url, path) in seen:
            return "skipped: duplicate"
        seen.add((url, path))
        self.rows.add((url, path))
        if owners.setdefault(path, url) != url:
            return "failed: policy"
        self.asked[url.partition("//")[2].partition("/")[2]] += 1
        if end == "done":
            self.done[path] = url
        return end


@pytest.mark.slow
@settings(max_examples=40)
@given(st.lists(st.lists(st.sampled_from(sorted(POOL)), max_size=14), min_size=1, max_size=3), st.booleans())
async def test_every_line_of_every_run_has_the_end_that_the_rules_say(runs: list[list[str]], one_slot: bool) -> None:
    """Lines come, go and move from run to run. Nothing done is asked for again, which is counted at the server."""
    site = Site({target: page(target) for target in ("/a/", "/a/index.html", "/b?x=1", "/c", "/gone/index.html")})
    site.pages["/empty"] = response(200)
    model = Model()
    async with site.serve() as server:
        host = f"127.0.0.1:{server.port}"
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for lines in runs:
                expected = model.run(lines, host)
                bounds = {"concurrency": 1, "per_host": 1} if one_slot else {}
                ran = await run_lines(folder, [line.format(host=host) for line in lines], **bounds)
                assert ran.results == expected
                assert (ran.summary.read, ran.summary.left, ran.summary.unread) == (len(expected), 0, False)
            assert {target.removeprefix("/"): n for target, n in site.asked.items()} == +model.asked
            files = files_below(folder / "out")
            assert set(files) == set(model.done)
            for path, url in model.done.items():
                target = url.partition(host)[2]
                assert files[path] == (f"content of {target}".encode() if target != "/empty" else b"")
            assert sorted((row.url, row.path) for row in rows_of(folder)) == sorted(model.rows)


async def test_a_manifest_may_look_as_manifests_do(tmp_path: Path) -> None:
    """A byte-order mark, CR LF, comments, blank lines, octets that are not UTF-8, no end of the last line."""
    async with Site({"/a": page("a"), "/%C3%A9": page("e")}).serve() as server:
        lines = [b"\xef\xbb\xbf# list", b"", b"%ba", b"\xff%b", b"  %b\xc3\xa9  ", b"http://h\0/", b"%ba"]
        manifest = b"\r\n".join(lines).replace(b"%b", server.url().encode())
        ran = await run_lines(tmp_path, manifest)
    assert ran.results == {
        3: "done",
        4: "invalid: invalid",
        5: "done",
        6: "invalid: invalid",
        7: "skipped: duplicate",
    }


async def test_an_empty_manifest_and_one_without_a_good_line_end_in_order(tmp_path: Path) -> None:
    """What to make of that is the caller's; nothing was read, or all of it was invalid."""
    ran = await run_lines(tmp_path, b"")
    assert (ran.summary.read, ran.summary.unread) == (0, False)
    ran = await run_lines(tmp_path, [f"line {number}" for number in range(1000)])
    assert (ran.summary.read, ran.summary.invalid) == (1000, 1000)
    assert rows_of(tmp_path) == []


async def test_events_come_in_the_order_that_is_promised(tmp_path: Path, at_once: None) -> None:
    """Each item: started, retried and started again as often as needed, finished once."""
    pages: dict[str, Page] = {"/a": page("a"), "/b": [response(500), response(500), page("b")], "/c": response(500)}
    async with Site(pages).serve() as server:
        lines = [server.url(target) for target in ("/a", "/b", "/c", "/d")]
        ran = await run_lines(tmp_path, [*lines, "bad"], retries=2)
    by_line: dict[int, list[type[Event]]] = {}
    for event in ran.events:
        if isinstance(event, ItemStarted | ItemRetried):
            by_line.setdefault(event.item.line, []).append(type(event))
        elif isinstance(event, ItemFinished):
            by_line.setdefault(event.outcome.item.line, []).append(type(event))
    assert by_line == {
        1: [ItemStarted, ItemFinished],
        2: [ItemStarted, ItemRetried, ItemStarted, ItemRetried, ItemStarted, ItemFinished],
        3: [ItemStarted, ItemRetried, ItemStarted, ItemRetried, ItemStarted, ItemFinished],
        4: [ItemStarted, ItemFinished],
        5: [ItemFinished],
    }
    assert isinstance(ran.events[-2], Progress)
    snapshot = ran.events[-2].snapshot
    assert (snapshot.read, snapshot.done, snapshot.failed, snapshot.invalid, snapshot.in_flight) == (5, 2, 2, 1, 0)
    assert snapshot.manifest_done


async def test_progress_is_told_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From time to time, also while nothing happens; with the octets of a body that is under way."""
    monkeypatch.setattr("fetchd.jobs.watching.PROGRESS_S", 0.01)
    told = asyncio.Event()

    async def slow(conn: RawConnection, _: Request) -> None:
        await conn.send(FIRST_HALF)
        await told.wait()
        await conn.send(LARGE[HALF:])

    async with Site({"/a": slow}).serve() as server:
        running, ran = prepare(tmp_path, [server.url("/a")])

        def listen(event: Event) -> None:
            if isinstance(event, Progress) and event.snapshot.bytes >= HALF:
                told.set()

        ran.then = listen
        ran.summary = await running.execute()
    ran.check()
    during = [event.snapshot for event in ran.events if isinstance(event, Progress)][:-1]
    # A busy machine may look before the item has begun, or once more when it is through.
    assert (1, HALF) in {(snapshot.in_flight, snapshot.bytes) for snapshot in during}
    assert ran.summary.bytes == len(LARGE)


async def test_who_does_not_want_all_is_told_of_what_went_wrong(tmp_path: Path, at_once: None) -> None:
    """A display has no use for an event an item; failures, retries and progress it gets."""
    (tmp_path / "list").write_text("")
    async with Site({"/a": page("a"), "/b": [response(500), page("b")]}).serve() as server:
        (tmp_path / "list").write_text("".join(f"{server.url(target)}\n" for target in ("/a", "/b", "/c", "/a")))
        events: list[Event] = []
        settings = RunSettings(manifest=str(tmp_path / "list"), output=tmp_path / "out")
        summary = await Run(settings, events.append, tell_all=False).execute()
    assert [type(event) for event in events if not isinstance(event, Progress)] in (
        [RunStarted, ItemRetried, ItemFinished, RunFinished],
        [RunStarted, ItemFinished, ItemRetried, RunFinished],
    )
    assert (summary.done, summary.failed, summary.skipped) == (2, 1, 1)


async def test_a_run_that_has_not_begun_has_done_nothing(tmp_path: Path) -> None:
    """It can be asked, and stopped, at any time; then it reads nothing and says so."""
    running, ran = prepare(tmp_path, ["bad"])
    assert running.snapshot() == Snapshot()
    running.stop()
    ran.summary = await running.execute()
    ran.check()
    assert (ran.summary.read, ran.summary.unread, ran.summary.stopped_by) == (0, True, "signal")


async def test_a_run_needs_no_listener(tmp_path: Path) -> None:
    """The summary tells all that counts."""
    (tmp_path / "list").write_text("bad\n")
    summary = await run(RunSettings(manifest=str(tmp_path / "list"), output=tmp_path / "out"))
    assert (summary.read, summary.invalid) == (1, 1)


# Started again


async def test_what_is_done_is_kept_and_what_failed_is_tried_again(tmp_path: Path) -> None:
    """The summary says what was skipped and why."""
    site = Site({"/a": page("a")})
    async with site.serve() as server:
        lines = [server.url("/a"), server.url("/b")]
        assert (await run_lines(tmp_path, lines)).results == {1: "done", 2: "failed: http-4xx"}
        site.pages["/b"] = page("b")
        ran = await run_lines(tmp_path, lines)
        assert ran.results == {1: "skipped: done", 2: "done"}
        assert dict(ran.summary.skip_reasons) == {"done": 1}
        assert (await run_lines(tmp_path, lines)).results == {1: "skipped: done", 2: "skipped: done"}
    assert site.asked == {"/a": 1, "/b": 2}
    assert [row.row for row in rows_of(tmp_path)] == [1, 2]


@pytest.mark.parametrize("change", ["removed", "longer", "shorter", "a folder"])
async def test_a_file_that_is_gone_or_has_changed_its_size_is_fetched_again(tmp_path: Path, change: str) -> None:
    """Its neighbours are not; a folder in its place is a collision."""
    site = Site({"/a": page("a"), "/b": page("b")})
    async with site.serve() as server:
        lines = [server.url("/a"), server.url("/b")]
        await run_lines(tmp_path, lines)
        file = tmp_path / "out" / f"127.0.0.1+{server.port}" / "a"
        if change in ("longer", "shorter"):
            file.write_bytes(b"x" * (100 if change == "longer" else 1))
        else:
            file.unlink()
        if change == "a folder":
            file.mkdir()
        ran = await run_lines(tmp_path, lines)
    assert ran.results == {1: "failed: policy" if change == "a folder" else "done", 2: "skipped: done"}
    assert site.asked == {"/a": 2, "/b": 1}
    if change != "a folder":
        assert file.read_bytes() == b"content of a"


async def test_a_body_that_was_broken_off_by_the_end_of_a_run_goes_on_in_the_next(tmp_path: Path) -> None:
    """Retries used up: what came is kept, with what is needed to go on."""
    site = Site({"/a": [broken_off(FIRST_HALF), REST]})
    async with site.serve() as server:
        lines = [server.url("/a")]
        ran = await run_lines(tmp_path, lines, retries=0)
        assert ran.results == {1: "failed: truncated"}
        [row] = rows_of(tmp_path, [State.FAILED])
        assert (row.validator, row.total, row.failure_class) == ('"v1"', len(LARGE), "truncated")
        assert (await run_lines(tmp_path, lines)).results == {1: "done"}
        assert server.requests[-1].fields["Range"] == f"bytes={HALF}-"
    assert list(files_below(tmp_path / "out").values()) == [LARGE]


async def test_the_ledger_tells_what_a_run_was_and_how_it_ended(tmp_path: Path) -> None:
    """For whoever asks later."""
    async with Site({"/a": page("a")}).serve() as server:
        await run_lines(tmp_path, [server.url("/a"), server.url("/b"), "bad"])
    with LedgerReader.open_readonly(tmp_path / "out", derive=derive_path) as ledger:
        record = ledger.last_run()
    assert record is not None
    assert record.ended_at is not None
    assert record.manifest == str(tmp_path / "manifest.txt")
    told = {key: record.summary[key] for key in ("read", "done", "failed", "invalid", "failures", "stopped_by")}
    assert told == {"read": 3, "done": 1, "failed": 1, "invalid": 1, "failures": {"http-4xx": 1}, "stopped_by": None}


async def test_rows_tell_what_happened(tmp_path: Path, at_once: None) -> None:
    """Status, attempts, redirect, failure."""
    pages: dict[str, Page] = {
        "/a": [response(500), page("a")],
        "/b": response(302, b"", [("Location", "/a")]),
        "/c": response(403, reason="Forbidden"),
    }
    async with Site(pages).serve() as server:
        await run_lines(tmp_path, [server.url(target) for target in ("/a", "/b", "/c")])
        rows = {row.url: row for row in rows_of(tmp_path)}
        a, b, c = (rows[server.url(target)] for target in ("/a", "/b", "/c"))
        assert (a.state, a.attempts, a.status, a.size, a.final_url) == (State.DONE, 2, 200, 12, None)
        assert (b.state, b.attempts, b.final_url) == (State.DONE, 1, server.url("/a"))
        assert (c.state, c.status, c.failure_class, c.line) == (State.FAILED, 403, "http-4xx", 3)
        assert c.message == "status 403 Forbidden"


# Names


@pytest.mark.parametrize("on_collision", ["error", "skip", "number"])
async def test_items_of_one_path_obey_on_collision_in_each_run_alike(tmp_path: Path, on_collision: str) -> None:
    """The earlier one has the path; rows do not pile up over the runs."""
    site = Site({target: page(target) for target in ("/a/", "/a/index.html")})
    async with site.serve() as server:
        lines = [server.url(target) for target in ("/a/", "/a/index.html", "/a/index.html")]
        first = (await run_lines(tmp_path, lines, on_collision=on_collision)).results
        again = [(await run_lines(tmp_path, lines, on_collision=on_collision)).results for _ in range(2)]
    end = {"error": "failed: policy", "skip": "skipped: collision", "number": "done"}[on_collision]
    third = "skipped: collision" if on_collision == "skip" else "skipped: duplicate"
    assert first == {1: "done", 2: end, 3: third}
    kept = "skipped: done" if on_collision == "number" else end
    assert again == [{1: "skipped: done", 2: kept, 3: kept if on_collision == "number" else third}] * 2
    assert len(rows_of(tmp_path)) == (1 if on_collision == "skip" else 2)
    contents = {b"content of /a/", *({b"content of /a/index.html"} if on_collision == "number" else ())}
    assert set(files_below(tmp_path / "out").values()) == contents
    assert sum(site.asked.values()) == len(contents)


async def test_an_item_that_loses_its_path_does_not_free_the_path(tmp_path: Path) -> None:
    """Its failure is recorded while the owner is under way; a duplicate of the owner must not be fetched beside it."""
    recorded = asyncio.Event()

    async def slow(conn: RawConnection, _: Request) -> None:
        await recorded.wait()
        await conn.send(page("/a/"))

    site = Site({"/a/": slow, "/a/index.html": page("/a/index.html")})
    async with site.serve() as server:
        reader, writer = os.pipe()
        try:
            with _standard_input(reader):
                running, ran = prepare(tmp_path, b"", manifest="-")

                def listen(event: Event) -> None:
                    if isinstance(event, ItemFinished) and event.outcome.result is Result.FAILED:
                        os.write(writer, f"{server.url('/a/')}\n".encode())
                    elif isinstance(event, ItemFinished) and event.outcome.result is Result.SKIPPED:
                        recorded.set()
                        os.close(writer)

                ran.then = listen
                os.write(writer, f"{server.url('/a/')}\n{server.url('/a/index.html')}\n".encode())
                ran.summary = await running.execute()
        finally:
            os.close(reader)
    assert ran.results == {1: "done", 2: "failed: policy", 3: "skipped: duplicate"}
    assert site.asked == {"/a/": 1}


async def test_more_collisions_in_a_row_than_the_recorder_has_room_for_are_accounted_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing in flight, whose end would wake anybody; and what comes after them is fetched."""
    monkeypatch.setattr("fetchd.jobs.recorder.MAX_PENDING_ITEMS", 8)
    monkeypatch.setattr("fetchd.jobs.recorder.BATCH_ITEMS", 4)
    async with Site(default=page("any")).serve() as server:
        await run_lines(tmp_path, [server.url(f"/{n}/") for n in range(600)])
        lines = [server.url(f"/{n}/index.html") for n in range(600)]
        ran = await run_lines(tmp_path, [*lines, server.url("/last"), *lines])
    assert Counter(ran.results.values()) == {"failed: policy": 600, "done": 1, "skipped: duplicate": 600}


async def test_a_file_that_the_ledger_does_not_know_is_never_replaced(tmp_path: Path) -> None:
    """Not in the first run, and not in the next ones; when it goes, the item is fetched."""
    site = Site({"/a": page("a")})
    async with site.serve() as server:
        file = tmp_path / "out" / f"127.0.0.1+{server.port}" / "a"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"mine")
        for _ in range(3):
            assert (await run_lines(tmp_path, [server.url("/a")])).results == {1: "failed: policy"}
            assert file.read_bytes() == b"mine"
        assert site.asked == {}
        assert len(rows_of(tmp_path)) == 1
        numbered = await run_lines(tmp_path, [server.url("/a")], on_collision="number")
        assert numbered.results == {1: "done"}
        file.unlink()
        assert (await run_lines(tmp_path, [server.url("/a")])).results == {1: "done"}


@pytest.mark.parametrize("order", [("/d", "/d/e"), ("/d/e", "/d")])
@pytest.mark.parametrize("large", [False, True])
async def test_a_file_where_a_folder_must_be_fails_that_item_alone(
    tmp_path: Path, order: tuple[str, str], large: bool
) -> None:
    """One of them is there first; the other one fails as policy, and so in each run."""
    content = WHOLE if large else page("d")
    async with Site({"/d": content, "/d/e": content, "/f": page("f")}).serve() as server:
        lines = [server.url(order[0]), "", server.url(order[1]), server.url("/f")]
        first = await run_lines(tmp_path, lines, concurrency=1)
        again = await run_lines(tmp_path, lines, concurrency=1)
    kept = {line: f"skipped: {end}" if end == "done" else end for line, end in first.results.items()}
    assert sorted(first.results.values()) == ["done", "done", "failed: policy"]
    assert (first.results[4], again.results) == ("done", kept)
    assert len(rows_of(tmp_path)) == 3
    assert not [path for path in files_below(tmp_path / "out") if path.endswith(".part")]


@pytest.mark.parametrize("large", [False, True])
async def test_a_symbolic_link_in_the_tree_leads_nowhere(tmp_path: Path, large: bool) -> None:
    """The items behind it fail as policy; nothing is written where it points."""
    async with Site({"/in/a": WHOLE if large else page("a"), "/b": page("b")}).serve() as server:
        (tmp_path / "elsewhere").mkdir()
        tree = tmp_path / "out" / f"127.0.0.1+{server.port}"
        tree.mkdir(parents=True)
        (tree / "in").symlink_to(tmp_path / "elsewhere")
        ran = await run_lines(tmp_path, [server.url("/in/a"), server.url("/b")])
    assert ran.results == {1: "failed: policy", 2: "done"}
    assert list((tmp_path / "elsewhere").iterdir()) == []


# Standard input


@contextlib.contextmanager
def _standard_input(fd: int) -> Iterator[None]:
    """Make *fd* the standard input of this process."""
    saved = os.dup(0)
    os.dup2(fd, 0)
    try:
        yield
    finally:
        os.dup2(saved, 0)
        os.close(saved)


async def test_standard_input_is_read_as_it_comes(tmp_path: Path) -> None:
    """An item is done before the next line is typed."""
    async with Site({f"/{n}": page(str(n)) for n in range(5)}).serve() as server:
        reader, writer = os.pipe()
        with _standard_input(reader):
            running, ran = prepare(tmp_path, b"", manifest="-")
            left = iter(range(1, 5))

            def listen(event: Event) -> None:
                if isinstance(event, ItemFinished):
                    n = next(left, None)
                    if n is None:
                        os.close(writer)
                    else:
                        os.write(writer, f"{server.url(f'/{n}')}\n".encode())

            ran.then = listen
            os.write(writer, f"{server.url('/0')}\n".encode())
            ran.summary = await running.execute()
        os.close(reader)
    ran.check()
    assert ran.results == dict.fromkeys(range(1, 6), "done")


async def test_a_run_that_waits_for_standard_input_can_be_stopped(tmp_path: Path) -> None:
    """Although nobody types anything."""
    reader, writer = os.pipe()
    with _standard_input(reader):
        running, ran = prepare(tmp_path, b"", manifest="-")
        asyncio.get_running_loop().call_later(0.02, running.stop)
        ran.summary = await running.execute()
    os.close(reader)
    os.close(writer)
    ran.check()
    assert (ran.summary.read, ran.summary.unread, ran.summary.stopped_by) == (0, True, "signal")


# Stopped


def _stop_at(running: Run, ran: Ran, count: int) -> None:
    """Have the run stopped by its listener at the *count*-th event."""

    def listen(event: Event) -> None:
        if len(ran.events) == count:
            running.stop()

    ran.then = listen


@pytest.mark.slow
async def test_stopped_at_any_event_it_adds_up_and_goes_on(tmp_path: Path) -> None:
    """After the first event, the second, the third ...: what was done stays done, all else is done by the next run."""
    pages = {f"/{n}": page(f"/{n}") for n in range(6)} | {"/large": WHOLE}
    for count in range(1, 100):
        site = Site(pages)
        folder = tmp_path / str(count)
        folder.mkdir()
        async with site.serve() as server:
            lines = [*(server.url(target) for target in pages), server.url("/no"), "bad"]
            running, ran = prepare(folder, lines, concurrency=2)
            _stop_at(running, ran, count)
            ran.summary = await running.execute()
            ran.check()
            done = {outcome.item.url for outcome in ran.outcomes if outcome.result is Result.DONE}
            asked = Counter(site.asked)
            assert {row.url for row in rows_of(folder, [State.DONE])} == done
            again = await run_lines(folder, lines)
            assert again.summary.done == 7 - len(done)
            assert all(site.asked[target] == asked[target] for target in pages if server.url(target) in done)
        if ran.summary.stopped_by is None:
            break
        assert ran.summary.left + len(ran.outcomes) == ran.summary.read
    assert count > 10


async def test_a_body_under_way_stays_in_its_part_file_and_goes_on(tmp_path: Path) -> None:
    """The first Ctrl-C loses nothing of a large body."""

    async def stalls(conn: RawConnection, _: Request) -> None:
        await conn.send(FIRST_HALF)
        await conn.read_eof()
        raise PeerLeft

    site = Site({"/a": [stalls, REST], "/b": page("b")})
    async with site.serve() as server:
        running, ran = prepare(tmp_path, [server.url("/a"), server.url("/b")])
        executing = asyncio.create_task(running.execute())
        part = tmp_path / "out" / f"127.0.0.1+{server.port}" / "a.part"
        while not (part.exists() and part.stat().st_size == HALF and ran.outcomes):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        # While it goes on: the validator stands in the ledger.
        [row] = rows_of(tmp_path, [State.PARTIAL])
        assert (row.validator, row.total) == ('"v1"', len(LARGE))
        running.stop("enough")
        running.stop("twice")
        ran.summary = await executing
        ran.check()
        assert (ran.summary.stopped_by, ran.summary.left, ran.summary.done) == ("enough", 1, 1)
        assert ran.summary.bytes == HALF + len(b"content of b")
        assert part.read_bytes() == LARGE[:HALF]
        again = await run_lines(tmp_path, [server.url("/a"), server.url("/b")])
        assert again.results == {1: "done", 2: "skipped: done"}
        assert again.summary.bytes == len(LARGE) - HALF
        assert server.requests[-1].fields["If-Range"] == '"v1"'
    assert not part.exists()


async def test_a_run_that_is_cancelled_keeps_what_is_done(tmp_path: Path) -> None:
    """As by ``asyncio.wait_for`` around it: the ledger is flushed, the folder is free."""

    async def never(conn: RawConnection, _: Request) -> None:
        await conn.read_eof()
        raise PeerLeft

    site = Site({"/a": page("a"), "/b": never})
    async with site.serve() as server:
        lines = [server.url("/a"), server.url("/b")]
        running, ran = prepare(tmp_path, lines)
        executing = asyncio.create_task(running.execute())
        while not ran.outcomes:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        executing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await executing
        site.pages["/b"] = page("b")
        assert (await run_lines(tmp_path, lines)).results == {1: "skipped: done", 2: "done"}


@pytest.mark.slow
async def test_cancelled_in_any_turn_it_leaves_nothing_behind_but_what_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it starts, works, and ends: no task, no thread, no lock; and the next run does what is left."""
    monkeypatch.setattr("fetchd.jobs.recorder.GATHER_S", 0.0)
    source = str(Path(jobs.__file__).parent)
    site = Site({"/a": page("a"), "/b": page("b"), "/large": WHOLE})
    threads, folders = set(threading.enumerate()), [tmp_path]
    async with site.serve() as server:
        lines = [server.url(target) for target in ("/a", "/large", "/b", "/no")]

        async def execute() -> None:
            folders.append(tmp_path / str(len(folders)))
            folders[-1].mkdir()
            running, ran = prepare(folders[-1], lines)
            ran.summary = await running.execute()
            ran.check()

        async for k in cancelled_in_each_turn(execute):
            assert not [task for task in asyncio.all_tasks() if source in repr(task)], k
            assert not [t for t in set(threading.enumerate()) - threads if t.name.startswith("fetchd-recorder")], k
            if k == 0:
                continue  # it had not begun
            files = files_below(folders[-1] / "out")
            whole = {data for path, data in files.items() if not path.endswith(".part")}
            assert whole <= {b"content of a", b"content of b", LARGE}, k
            again = await run_lines(folders[-1], lines)
            assert again.summary.done + again.summary.skipped == 3, k
        assert k > 10


# What cannot be run


async def test_a_second_run_on_the_folder_is_refused(tmp_path: Path) -> None:
    """While the first goes on, and undisturbed by it."""
    going = asyncio.Event()

    async def slow(conn: RawConnection, _: Request) -> None:
        await going.wait()
        await conn.send(page("a"))

    async with Site({"/a": slow}).serve() as server:
        first, ran = prepare(tmp_path, [server.url("/a")])
        executing = asyncio.create_task(first.execute())
        while not ran.started:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        second, seen = prepare(tmp_path, [server.url("/a")])
        with pytest.raises(LedgerLockedError, match=f"process {os.getpid()}"):
            await second.execute()
        assert seen.events == []
        going.set()
        ran.summary = await executing
    assert ran.results == {1: "done"}


@pytest.mark.parametrize("what", ["absent", "a folder"])
async def test_a_manifest_that_cannot_be_opened_is_refused_before_anything_is_made(tmp_path: Path, what: str) -> None:
    """No output folder is left behind."""
    settings = RunSettings(manifest=str(tmp_path / what), output=tmp_path / "out")
    if what == "a folder":
        (tmp_path / what).mkdir()
    with pytest.raises(ManifestError):
        await run(settings)
    assert not (tmp_path / "out").exists()


async def test_a_manifest_that_breaks_down_in_the_middle_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done until then is kept; the error comes out."""
    real_read = os.read
    site = Site({"/a": page("a")})
    async with site.serve() as server:
        lines = [server.url("/a")]
        running, ran = prepare(tmp_path, lines)

        def read(fd: int, count: int) -> bytes:
            if count == 256 * 1024 and ran.outcomes:
                raise OSError(5, "Input/output error")
            return real_read(fd, count) or (b"# not the end\n" if count == 256 * 1024 else b"")

        monkeypatch.setattr("os.read", read)
        with pytest.raises(ManifestError, match="input/output error"):
            await running.execute()
        monkeypatch.undo()
        assert [event for event in ran.events if isinstance(event, RunFinished)] == []
        assert (await run_lines(tmp_path, lines)).results == {1: "skipped: done"}


async def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """And the file is left alone."""
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(SettingsError, match="is no folder"):
        await run_lines(tmp_path, ["bad"])
    assert (tmp_path / "out").read_bytes() == b"mine"


@pytest.mark.parametrize("at", [RunStarted, ItemStarted, ItemRetried, ItemFinished, Progress])
async def test_a_listener_that_raises_ends_the_run_in_order(
    tmp_path: Path, at: type[Event], monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    """Its error comes out, what is done stays done, and the folder is free for the next run."""
    monkeypatch.setattr("fetchd.jobs.watching.PROGRESS_S", 0.01)
    site = Site({"/a": page("a"), "/b": [response(500), page("b")]})
    async with site.serve() as server:
        lines = [server.url("/a"), server.url("/b")]
        running, ran = prepare(tmp_path, lines)

        def listen(event: Event) -> None:
            if isinstance(event, at):
                raise ZeroDivisionError

        ran.then = listen
        with pytest.raises(ZeroDivisionError):
            await running.execute()
        again = await run_lines(tmp_path, lines)
    assert again.summary.done + again.summary.skipped == 2
    assert site.asked["/a"] <= 2
