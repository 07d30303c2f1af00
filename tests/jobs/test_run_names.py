"""Whole runs: where files go by a template, what happens to what is there, and what planted links can do."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.existing import conditions
from fetchd.jobs.intake import Standing
from fetchd.jobs.ledger import Ledger, LedgerReader, Row, State
from fetchd.jobs.ledger_recovery import recover
from fetchd.jobs.settings import RunSettings
from fetchd.jobs.sinks import Folder
from fetchd.jobs.templates import derive_by
from tests.support.raw_server import RawConnection, Request, response
from tests.support.runs import files_below, prepare, rows_of, run_lines
from tests.support.sites import Site

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

MODIFIED = ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
OLD, NEW = b"old content", b"new content"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)


def places(tmp_path: Path) -> dict[str, bytes]:
    """The files of the run, by path."""
    return files_below(tmp_path / "out")


# Templates


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("{dir}/{basename}", ["a/x.jpg", "b/x.jpg"]),
        ("{row:3}{ext}", ["001.jpg", "002.jpg"]),
        ("{stem}-{row}{ext}", ["x-1.jpg", "x-2.jpg"]),
    ],
)
async def test_files_go_where_the_template_says_and_are_found_there_again(
    tmp_path: Path, name: str, files: list[str]
) -> None:
    """The ledger knows the way from a path to its URL, whether it keeps the path or derives it."""
    site = Site({"/a/x.jpg": response(200, b"a"), "/b/x.jpg": response(200, b"b")})
    async with site.serve() as server:
        lines = [server.url("/a/x.jpg"), server.url("/b/x.jpg")]
        ran = await run_lines(tmp_path, lines, name=name)
        assert ran.results == {1: "done", 2: "done"}
        assert places(tmp_path) == dict(zip(files, (b"a", b"b"), strict=True))
        again = await run_lines(tmp_path, lines, name=name)
    assert again.results == {1: "skipped: done", 2: "skipped: done"}
    assert site.asked == {"/a/x.jpg": 1, "/b/x.jpg": 1}
    with LedgerReader.open_readonly(tmp_path / "out") as reader:
        assert {row.path: row.url for row in reader.every()} == dict(zip(files, lines, strict=True))


async def test_a_shard_is_the_beginning_of_a_hash(tmp_path: Path) -> None:
    """Which follows from the URL: nothing need be kept of it."""
    async with Site(default=response(200, b"x")).serve() as server:
        lines = [server.url(f"/{number}") for number in range(20)]
        ran = await run_lines(tmp_path, lines, name="{digest:1}/{basename}")
    assert set(ran.results.values()) == {"done"}
    assert len({path[0] for path in places(tmp_path)}) > 3
    assert all(row.derived for row in rows_of(tmp_path))


async def test_two_items_of_one_name_collide_whatever_the_template(tmp_path: Path) -> None:
    """And are numbered by what they are, not by their order."""
    site = Site({"/a/x": response(200, b"a"), "/b/x": response(200, b"b")})
    async with site.serve() as server:
        lines = [server.url("/a/x"), server.url("/b/x")]
        ran = await run_lines(tmp_path, lines, name="{basename}")
        assert ran.results == {1: "done", 2: "failed: policy"}
        ran = await run_lines(tmp_path, lines, name="{basename}", on_collision="number")
        assert ran.results == {1: "skipped: done", 2: "done"}
        ran = await run_lines(tmp_path, lines, name="{basename}", on_collision="number")
    assert ran.results == {1: "skipped: done", 2: "skipped: done"}
    assert sorted(places(tmp_path).values()) == [b"a", b"b"]


async def test_a_folder_keeps_its_template(tmp_path: Path) -> None:
    """Another one would find nothing of what is done."""
    async with Site({"/a": response(200, b"a")}).serve() as server:
        await run_lines(tmp_path, [server.url("/a")], name="{basename}")
        run, _ = prepare(tmp_path, [server.url("/a")])
        with pytest.raises(SettingsError, match=r"begun with the name template '\{basename\}'"):
            await run.execute()


async def test_links_that_are_planted_in_the_tree_lead_nowhere(tmp_path: Path) -> None:
    """A folder, a file and the place of a .part; what they point to stays as it is."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"precious")
    out = tmp_path / "out"
    (out / "d").mkdir(parents=True)
    (out / "link").symlink_to(outside)
    (out / "d" / "file").symlink_to(outside / "file")
    (out / "d" / "other.part").symlink_to(outside / "file")
    async with Site(default=response(200, b"x")).serve() as server:
        lines = [server.url(target) for target in ("/link/new", "/d/file", "/d/other")]
        ran = await run_lines(tmp_path, lines, name="{dir}/{basename}", on_collision="replace")
    assert ran.results[1] == "failed: policy"
    assert ran.results[3] == "done"
    assert os.listdir(outside) == ["file"]
    assert (outside / "file").read_bytes() == b"precious"
    assert not (out / "d" / "other").is_symlink()


# Names that the response tells


def served(name: str, content: bytes) -> bytes:
    """A reply with a name of its own."""
    return response(200, content, [("Content-Disposition", f'attachment; filename="{name}"')])


BY_RESPONSE = "{dir}/{disposition}"


async def test_a_file_has_the_name_that_its_response_gives(tmp_path: Path) -> None:
    """And the basename of the URL without one. It is found again, verified, reported and asked for under that name."""
    site = Site({"/d/get?id=1": served("report 1.pdf", OLD), "/d/plain.txt": response(200, NEW), "/e/2": response(404)})
    async with site.serve() as server:
        lines = [server.url(target) for target in site.pages]
        ran = await run_lines(tmp_path, lines, name=BY_RESPONSE, checksum="md5", retries=0)
        assert ran.results == {1: "done", 2: "done", 3: "failed: http-4xx"}
        assert {outcome.item.path for outcome in ran.outcomes} >= {"d/report 1.pdf", "d/plain.txt"}
        assert places(tmp_path) == {"d/report 1.pdf": OLD, "d/plain.txt": NEW}
        for existing, end in (("keep", "done"), ("verify", "kept")):
            ran = await run_lines(tmp_path, lines[:2], name=BY_RESPONSE, existing=existing)
            assert ran.results == {1: f"skipped: {end}", 2: f"skipped: {end}"}
        (tmp_path / "out/d/report 1.pdf").write_bytes(b"changed")
        ran = await run_lines(tmp_path, lines[:2], name=BY_RESPONSE)
        assert ran.results == {1: "done", 2: "skipped: done"}
    assert places(tmp_path) == {"d/report 1.pdf": OLD, "d/plain.txt": NEW}
    assert site.asked == {"/d/get?id=1": 2, "/d/plain.txt": 1, "/e/2": 1}
    with LedgerReader.open_readonly(tmp_path / "out") as reader:
        assert [row.place for row in reader.iterate(State.DONE)] == ["d/report 1.pdf", "d/plain.txt"]


async def test_two_responses_with_one_name_collide(tmp_path: Path) -> None:
    """In one batch or in two; so does a file that was there before. Numbers are the items' own."""
    pages = {f"/d/get?id={number}": served("same.txt", str(number).encode()) for number in range(3)}
    async with Site(pages).serve() as server:
        lines = [server.url(target) for target in pages]
        (tmp_path / "out" / "d").mkdir(parents=True)
        (tmp_path / "out" / "d" / "same.txt").write_bytes(b"a stranger's")
        ran = await run_lines(tmp_path, lines[:1], name=BY_RESPONSE)
        assert ran.results == {1: "failed: policy"}
        assert places(tmp_path) == {"d/same.txt": b"a stranger's"}
        for _ in range(2):
            ran = await run_lines(tmp_path, lines, name=BY_RESPONSE, on_collision="number")
        assert ran.results == dict.fromkeys((1, 2, 3), "skipped: done")
    assert sorted(places(tmp_path).values()) == [b"0", b"1", b"2", b"a stranger's"]
    assert all(path.startswith("d/same") and path.endswith(".txt") for path in places(tmp_path))


async def test_a_servers_name_opens_no_folder(tmp_path: Path) -> None:
    """Whatever it says."""
    names = ["../../x", "/etc/y", "..", "z.part", "link/w"]
    pages = {f"/d/{number}": served(name, b"x") for number, name in enumerate(names)}
    async with Site(pages).serve() as server:
        ran = await run_lines(tmp_path, [server.url(target) for target in pages], name=BY_RESPONSE)
    assert set(ran.results.values()) == {"done"}
    found = sorted(path.partition("@")[0] for path in places(tmp_path))
    assert found == ["d/2", "d/w", "d/x", "d/y", "d/z.part"]


async def test_what_was_about_to_get_its_name_gets_it_after_a_kill(tmp_path: Path) -> None:
    """The row has the name; before the rename and after it."""
    folder = tmp_path / "out" / "d"
    folder.mkdir(parents=True)
    with Ledger.open(tmp_path / "out", template=BY_RESPONSE, derive=derive_by(BY_RESPONSE)) as ledger:
        ledger.begin_run("list.txt", 1000.0)
        urls = ["http://h/d/1", "http://h/d/2"]
        rows = [Row(url, derive_by(BY_RESPONSE)(url), State.FINISHING, size=1, file=f"d/f{url[-1]}") for url in urls]
        ledger.commit(rows)
        (tmp_path / "out" / f"{rows[0].path}.part").write_bytes(b"1")
        (folder / "f2").write_bytes(b"2")
        with Folder(tmp_path / "out") as files:
            assert recover(ledger, files) == (1, 1, 0)
        assert ledger.counts()[State.DONE] == 2
    assert places(tmp_path) == {"d/f1": b"1", "d/f2": b"2"}


@pytest.mark.parametrize("on_collision", ["skip", "replace"])
def test_what_would_have_to_be_known_earlier_is_refused(on_collision: Any) -> None:
    """Whether a name is taken is known when the content is here."""
    with pytest.raises(SettingsError, match="expected error or number"):
        RunSettings(manifest="-", name=BY_RESPONSE, on_collision=on_collision)


# What is there


async def test_a_stranger_in_the_place_gives_way_when_that_is_asked_for(tmp_path: Path) -> None:
    """Else the item fails; ``existing`` is about files of the ledger and changes nothing in that."""
    async with Site({"/x": response(200, NEW)}).serve() as server:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "x").write_bytes(OLD)
        for settings, end in (({"existing": "replace"}, "failed: policy"), ({"on_collision": "replace"}, "done")):
            ran = await run_lines(tmp_path, [server.url("/x")], name="{basename}", **settings)
            assert ran.results == {1: end}
    assert places(tmp_path) == {"x": NEW}


async def test_an_item_that_takes_the_place_of_another_ends_that_one(tmp_path: Path) -> None:
    """One file, one item that is done; the one that was replaced does not come back."""
    site = Site({"/a/x": response(200, OLD), "/b/x": response(200, NEW)})
    settings: dict[str, Any] = {"name": "{basename}", "on_collision": "replace"}
    async with site.serve() as server:
        first, second = server.url("/a/x"), server.url("/b/x")
        await run_lines(tmp_path, [first], **settings)
        ran = await run_lines(tmp_path, [second], **settings)
        assert ran.results == {1: "done"}
        assert places(tmp_path) == {"x": NEW}
        assert {row.url: row.state for row in rows_of(tmp_path)} == {first: State.FAILED, second: State.DONE}
        ran = await run_lines(tmp_path, [first, second], **settings)
    assert ran.results == {1: "failed: policy", 2: "skipped: done"}
    assert site.asked == {"/a/x": 1, "/b/x": 1}


async def test_of_two_items_of_one_run_the_first_has_the_place(tmp_path: Path) -> None:
    """There is nothing that could give way: both are wanted."""
    site = Site({"/a/x": response(200, OLD), "/b/x": response(200, NEW)})
    async with site.serve() as server:
        lines = [server.url("/a/x"), server.url("/b/x")]
        for _ in range(2):
            ran = await run_lines(tmp_path, lines, name="{basename}", on_collision="replace")
            assert ran.results[2] == "failed: policy"
    assert places(tmp_path) == {"x": OLD}


async def test_replacing_fetches_what_is_done_again(tmp_path: Path) -> None:
    """The old file stays until the new one is whole."""
    site = Site({"/x": [response(200, OLD), response(200, NEW), response(404)]})
    async with site.serve() as server:
        lines = [server.url("/x")]
        await run_lines(tmp_path, lines)
        ran = await run_lines(tmp_path, lines, existing="replace")
        assert ran.results == {1: "done"}
        assert list(places(tmp_path).values()) == [NEW]
        ran = await run_lines(tmp_path, lines, existing="replace")
    assert ran.results == {1: "failed: http-4xx"}
    assert list(places(tmp_path).values()) == [NEW]


async def test_verifying_fetches_only_what_is_no_longer_what_it_was(tmp_path: Path) -> None:
    """By digest; what has none is kept, for its size is right."""
    site = Site({"/a": response(200, OLD), "/b": response(200, OLD), "/c": response(200, OLD)})
    async with site.serve() as server:
        lines = [server.url(f"/{name}") for name in "abc"]
        await run_lines(tmp_path, lines[:2], checksum="sha256")
        await run_lines(tmp_path, lines[2:])
        for path in (tmp_path / "out").rglob("[bc]"):
            path.write_bytes(NEW)
        ran = await run_lines(tmp_path, lines, existing="verify", checksum="sha256")
    assert ran.results == {1: "skipped: kept", 2: "done", 3: "skipped: done"}
    assert site.asked == {"/a": 1, "/b": 2, "/c": 1}
    assert {path[-1]: content for path, content in places(tmp_path).items()} == {"a": OLD, "b": OLD, "c": NEW}
    assert hashlib.sha256(OLD).hexdigest() in str(rows_of(tmp_path)[0].digest)


async def test_updating_asks_whether_it_has_changed(tmp_path: Path) -> None:
    """By the ETag where it was kept, by the file's time else; 304 keeps the file and what is known of it."""
    asked: list[tuple[str | None, str | None]] = []

    async def page(conn: RawConnection, request: Request) -> None:
        fields = request.fields
        asked.append((fields.get("If-None-Match"), fields.get("If-Modified-Since")))
        content, etag = (NEW, 'W/"2"') if len(asked) > 3 else (OLD, '"1"')
        if fields.get("If-None-Match") == etag or (len(asked) == 2 and fields.get("If-Modified-Since")):
            await conn.send(response(304, b"", [("ETag", etag)]))
        else:
            await conn.send(response(200, content, [("ETag", etag), MODIFIED]))

    async with Site({"/x": page}).serve() as server:
        lines = [server.url("/x")]
        await run_lines(tmp_path, lines)  # without a thought of updates: no ETag is kept
        results = [(await run_lines(tmp_path, lines, existing="update")).results[1]]
        (tmp_path / "out").joinpath(rows_of(tmp_path)[0].path).unlink()  # fetched whole, and the ETag is kept
        results += [(await run_lines(tmp_path, lines, existing="update")).results[1] for _ in range(3)]
    assert results == ["skipped: kept", "done", "done", "skipped: kept"]
    assert asked == [
        (None, None),
        (None, MODIFIED[1]),
        (None, None),
        ('"1"', MODIFIED[1]),
        ('W/"2"', MODIFIED[1]),
    ]
    [row] = rows_of(tmp_path)
    assert (row.state, row.etag, row.last_modified) == (State.DONE, 'W/"2"', MODIFIED[1])
    assert list(places(tmp_path).values()) == [NEW]


async def test_a_failure_of_an_update_is_tried_again_with_its_condition(tmp_path: Path) -> None:
    """And one that stays a failure is told; the file is there all the same."""
    site = Site({"/x": [response(200, OLD), response(500), response(304)], "/y": [response(200, OLD), response(404)]})
    async with site.serve() as server:
        lines = [server.url("/x"), server.url("/y")]
        await run_lines(tmp_path, lines)
        ran = await run_lines(tmp_path, lines, existing="update")
        assert ran.results == {1: "skipped: kept", 2: "failed: http-4xx"}
        fields = [request.fields.get("If-Modified-Since") for request in server.requests]
    assert [value is None for value in fields] == [True, True, False, False, False]
    assert len(places(tmp_path)) == 2


def test_the_conditions_of_an_update() -> None:
    """A weak ETag will do: nothing is joined."""
    assert conditions(Standing(1, None, None, "h/x"), 1_767_225_600.9) == {"If-Modified-Since": MODIFIED[1]}
    assert conditions(Standing(1, None, 'W/"1"', "h/x"), 0.0)["If-None-Match"] == 'W/"1"'
