"""Items with several URLs: each has its turn, none is asked in vain, and octets of two are not joined unseen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from fetchd.jobs.mirrors import Sources, fields_for
from tests.support.raw_server import RawConnection, Request, response
from tests.support.runs import Ran, files_below, run_lines
from tests.support.sites import Page, Site, broken_off

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

A, B, C = "http://a/x", "http://b/x", "http://me@c:81/x"
CONTENT = bytes(range(256)) * 800
WHOLE = response(200, CONTENT, [("ETag", '"v1"')])
HALF = len(CONTENT) // 2
REST = response(
    206, CONTENT[HALF:], [("ETag", '"v1"'), ("Content-Range", f"bytes {HALF}-{len(CONTENT) - 1}/{len(CONTENT)}")]
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff takes no time."""
    monkeypatch.setattr("random.random", lambda: 0.0)


def test_sources_take_turns() -> None:
    sources = Sources([A, B, C])
    assert (sources.current, sources.host) == (A, "a:80")
    assert sources.next(for_good=False) is True
    assert (sources.current, sources.host) == (B, "b:80")
    assert sources.next(for_good=True) is True
    assert (sources.current, sources.host) == (C, "c:81")
    assert sources.next(for_good=False) is False
    assert sources.current == A
    assert sources.next(for_good=True) is False
    assert sources.current == C
    assert sources.next(for_good=True) is None


def test_one_of_them_may_be_preferred() -> None:
    """It is known without its userinfo."""
    sources = Sources([A, B, C])
    assert not sources.prefer("http://d/x")
    assert sources.prefer("http://c:81/x")
    assert sources.current == C


def test_credentials_go_to_the_origin_of_the_item_alone() -> None:
    fields = (("Authorization", "x"), ("cookie", "y"), ("X-Key", "z"))
    assert fields_for(A, A, fields) == fields_for(A, "http://a/other", fields) == fields
    assert fields_for(A, B, fields) == fields_for(A, "https://a/x", fields) == (("X-Key", "z"),)


async def run_mirrored(folder: Path, *pages: Page, more: str = "", **said: Any) -> tuple[Ran, list[int]]:
    """Run one item whose URLs have *pages*, each at a server of its own; how often each was asked."""
    sites = [Site({"/x": page}) for page in pages]
    async with sites[0].serve() as first, sites[1].serve() as second:
        urls = [first.url("/x"), second.url("/x")]
        item = {"url": urls[0], "mirrors": [urls[1], *([more] if more else [])], "name": "x", **said}
        ran = await run_lines(folder, [json.dumps(item)], retries=1)
    return ran, [site.asked["/x"] for site in sites]


NOT_FOUND = response(404, reason="Not Found")
ERROR = response(500, reason="Oops")


@pytest.mark.parametrize(
    ("first", "second", "result", "asked"),
    [
        (WHOLE, ERROR, "done", [1, 0]),
        (NOT_FOUND, WHOLE, "done", [1, 1]),
        (ERROR, WHOLE, "done", [1, 1]),
        (NOT_FOUND, NOT_FOUND, "failed: http-4xx", [1, 1]),
        (ERROR, ERROR, "failed: http-5xx", [1, 1]),
        (ERROR, NOT_FOUND, "failed: http-4xx", [1, 1]),
        (NOT_FOUND, [ERROR, WHOLE], "failed: http-5xx", [1, 1]),
        (broken_off(WHOLE[:-HALF]), WHOLE, "done", [1, 1]),
    ],
)
async def test_the_next_one_is_asked_after_a_failure(
    tmp_path: Path, first: Page, second: Page, result: str, asked: list[int]
) -> None:
    """Within the attempts of the item; each of them at least once."""
    ran, counted = await run_mirrored(tmp_path, first, second)
    assert ran.results == {1: result}
    assert counted == asked
    assert files_below(tmp_path / "out") == ({"x": CONTENT} if result == "done" else {})


async def test_a_mirror_is_told_as_where_the_content_came_from(tmp_path: Path) -> None:
    ran, _ = await run_mirrored(tmp_path, NOT_FOUND, WHOLE)
    [outcome] = ran.outcomes
    assert outcome.final_url not in (None, outcome.item.url)


async def test_a_host_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    """It refuses the connection, and the item does not wait for it."""
    site = Site({f"/{n}": response(200, b"x") for n in range(20)})
    async with Site().serve() as gone:
        dead = gone.url("")
    async with site.serve() as server:
        lines = [json.dumps({"url": f"{dead}/{n}", "mirrors": server.url(f"/{n}")}) for n in range(20)]
        ran = await run_lines(tmp_path, lines)
    assert set(ran.results.values()) == {"done"}


def recorded(ranges: list[str | None], *replies: bytes) -> Page:
    """A page that keeps the Range it is asked for and answers with one reply after the other."""

    async def script(conn: RawConnection, request: Request) -> None:
        ranges.append(request.fields.get("Range"))
        await conn.send(replies[min(len(ranges), len(replies)) - 1])

    return script


@pytest.mark.parametrize("has_digest", [True, False])
async def test_a_body_goes_on_at_a_mirror_only_where_a_digest_holds_it_together(
    tmp_path: Path, has_digest: bool
) -> None:
    """One ETag at two hosts proves nothing."""
    ranges: list[str | None] = []
    said = {"sha256": hashlib.sha256(CONTENT).hexdigest()} if has_digest else {}
    second = recorded(ranges, REST if has_digest else WHOLE)
    ran, _ = await run_mirrored(tmp_path, broken_off(WHOLE[: -len(CONTENT) + HALF]), second, **said)
    assert ran.results == {1: "done"}
    assert ranges == ([f"bytes={HALF}-"] if has_digest else [None])
    assert files_below(tmp_path / "out") == {"x": CONTENT}


async def test_content_of_a_wrong_digest_sends_to_the_next(tmp_path: Path) -> None:
    ran, asked = await run_mirrored(
        tmp_path, response(200, b"tampered"), WHOLE, sha256=hashlib.sha256(CONTENT).hexdigest()
    )
    assert (ran.results, asked) == ({1: "done"}, [1, 1])
    assert files_below(tmp_path / "out")["x"] == CONTENT
