"""Whole runs over manifests that say more than URLs: what is sent, what is checked, and what is the same work again."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from fetchd.jobs.ledger import State
from fetchd.jobs.run import run
from fetchd.jobs.settings import RunSettings
from tests.support.raw_server import RawConnection, Request, response
from tests.support.runs import files_below, rows_of, run_lines
from tests.support.sites import Site, broken_off

pytestmark = pytest.mark.usefixtures("no_leaked_fds")


def jsonl(*items: dict[str, Any]) -> bytes:
    """A manifest of JSON lines."""
    return "".join(json.dumps(item) + "\n" for item in items).encode()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


async def test_an_item_goes_by_what_is_said_of_it(tmp_path: Path) -> None:
    """Its method, its fields in place of the run's, its name."""
    asked: list[tuple[str, str, list[str | None]]] = []

    async def echo(conn: RawConnection, request: Request) -> None:
        asked.append((request.method, request.target, [request.fields.get("X-Key"), request.fields.get("X-Run")]))
        await conn.send(response(200, b"content"))

    site = Site(default=echo)
    async with site.serve() as server:
        manifest = jsonl(
            {"url": server.url("/a"), "name": "sub/one", "headers": {"X-Key": "1"}, "method": "POST"},
            {"url": server.url("/b"), "headers": {"x-run": "mine"}, "size": 7, "md5": md5(b"content")},
            {"url": server.url("/c"), "label": "a column is no field"},
        )
        ran = await run_lines(tmp_path, manifest, headers=(("X-Run", "all"),))
    assert ran.results == {1: "done", 2: "done", 3: "done"}
    assert sorted(asked) == [
        ("GET", "/b", [None, "mine"]),
        ("GET", "/c", [None, "all"]),
        ("POST", "/a", ["1", "all"]),
    ]
    assert files_below(tmp_path / "out")["sub/one"] == b"content"
    assert {row.method for row in rows_of(tmp_path)} == {"GET", "POST"}


@pytest.mark.parametrize("coming", ["at once", "large", "without length"])
async def test_content_of_another_size_fails_and_leaves_no_file(tmp_path: Path, coming: str) -> None:
    """Before it is read where its length is told; and it is not tried again."""
    content = bytes(200_000 if coming == "large" else 10)
    reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + content
    site = Site({"/a": broken_off(reply) if coming == "without length" else response(200, content)})
    async with site.serve() as server:
        ran = await run_lines(tmp_path, jsonl({"url": server.url("/a"), "size": 9}))
    [outcome] = ran.outcomes
    assert outcome.failure is not None
    assert (outcome.failure.failure_class, site.asked["/a"]) == ("size", 1)
    assert outcome.failure.message == f"{len(content)} octets; the manifest says 9"
    assert files_below(tmp_path / "out") == {}


async def test_content_of_another_digest_fails(tmp_path: Path) -> None:
    site = Site({"/a": response(200, b"other")})
    async with site.serve() as server:
        ran = await run_lines(tmp_path, jsonl({"url": server.url("/a"), "md5": md5(b"content")}), retries=0)
    assert ran.results == {1: "failed: checksum"}


async def test_bad_lines_are_outcomes_with_their_numbers(tmp_path: Path) -> None:
    """And the others are fetched; the break at the end is one too."""
    site = Site({"/a": response(200, b"a"), "/b": response(200, b"b")})
    async with site.serve() as server:
        table = f"url,name,size\n{server.url('/a')},../x,1\nnone,,\n{server.url('/a')},,\n{server.url('/b')},,x\n"
        octets = gzip.compress(table.encode()) + gzip.compress(b"more" * 100)[:-9]
        ran = await run_lines(tmp_path, octets)
    assert ran.results == {
        2: "invalid: invalid",
        3: "invalid: invalid",
        4: "done",
        5: "invalid: invalid",
        6: "invalid: invalid",
    }


async def test_the_same_items_in_another_order_and_format_are_the_same_work(tmp_path: Path) -> None:
    """Only what is new is asked for; what was taken off is left alone."""
    site = Site(default=response(200, b"content"))
    async with site.serve() as server:
        urls = [server.url(f"/{name}") for name in "abcd"]
        first = f"{urls[0]}\n{urls[1]}\n out=named\n{urls[2]}\n"
        assert set((await run_lines(tmp_path, first.encode())).results.values()) == {"done"}
        lines = jsonl({"url": urls[3]}, {"url": urls[1], "name": "named"}, {"url": urls[0]}, {"url": urls[1]})
        ran = await run_lines(tmp_path, lines)
        assert ran.results == {1: "done", 2: "skipped: done", 3: "skipped: done", 4: "done"}
        table = "\ufeffname,url\r\nnamed," + urls[1] + "\r\n,".join(["", *urls]) + "\r\n"
        ran = await run_lines(tmp_path, table.encode())
        assert set(ran.results.values()) == {"skipped: done"}
    assert site.asked == {"/a": 1, "/b": 2, "/c": 1, "/d": 1}
    assert len(rows_of(tmp_path, [State.DONE])) == 5


async def test_a_body_of_another_method_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A range of the answer to a POST means nothing (RFC 9110 section 14.2)."""
    monkeypatch.setattr("random.random", lambda: 0.0)
    content = bytes(300_000)
    whole = response(200, content, [("ETag", '"v1"')])
    ranges: list[str | None] = []

    async def break_off_once(conn: RawConnection, request: Request) -> None:
        ranges.append(request.fields.get("Range"))
        await (conn.send(whole) if len(ranges) > 1 else broken_off(whole[:-1000])(conn, request))

    async with Site({"/a": break_off_once}).serve() as server:
        ran = await run_lines(tmp_path, jsonl({"url": server.url("/a"), "method": "POST", "size": len(content)}))
    assert ran.results == {1: "done"}
    assert ranges == [None, None]


async def test_ranges_are_many_items_of_one_line(tmp_path: Path) -> None:
    """Only when it is asked for."""
    site = Site(default=response(200, b"x"))
    async with site.serve() as server:
        line = server.url("/[1-3]").encode()
        (tmp_path / "list.txt").write_bytes(line)
        summary = await run(RunSettings(manifest=str(tmp_path / "list.txt"), output=tmp_path / "out", expand=True))
    assert (summary.read, summary.done) == (3, 3)
    assert sorted(site.asked) == ["/1", "/2", "/3"]
