"""Items that a program gives in the place of a manifest, and outcomes iterated over."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fetchd.jobs import outcomes as iterating
from fetchd.jobs.items import Result
from fetchd.jobs.ledger import LedgerReader
from fetchd.jobs.outcomes import outcomes
from fetchd.jobs.run import run
from fetchd.jobs.settings import RunSettings
from tests.support.raw_server import RawConnection, raw_server, reply_with, response
from tests.support.runs import Ran, files_below

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

HELLO = reply_with(response(200, b"hello"))


def settings(folder: Path, **given: Any) -> RunSettings:
    """Of a run without a manifest."""
    return RunSettings(manifest="", output=folder / "out", retries=0, **given)


@pytest.mark.parametrize("kind", ["list", "generator", "asynchronous"])
async def test_any_iterable_of_urls_will_do(tmp_path: Path, kind: str) -> None:
    """Read as it is needed; the ledger knows them like those of a manifest."""
    async with raw_server(HELLO) as server:
        urls = [server.url(f"/{n}") for n in range(3)]

        def generated() -> Iterator[str]:
            yield from urls

        async def coming() -> AsyncIterator[str]:
            for url in urls:
                await asyncio.sleep(0)
                yield url

        for reasons in ({}, {"done": 3}):
            given: dict[str, Any] = {"list": urls, "generator": generated(), "asynchronous": coming()}
            ran = Ran()
            ran.summary = await run(settings(tmp_path), ran.listen, items=given[kind])
            ran.check()
            assert dict(ran.summary.skip_reasons) == reasons
            await given["asynchronous"].aclose()
        assert len(server.requests) == 3
    with LedgerReader.open_readonly(tmp_path / "out") as reader:
        last = reader.last_run()
    assert last is not None
    assert last.manifest == "given items"


async def test_an_item_may_say_what_a_line_of_json_says(tmp_path: Path) -> None:
    """Name, digest, size; what cannot be used is an outcome."""
    async with raw_server(HELLO) as server:
        items: list[Any] = [
            {"url": server.url("/a"), "name": "x/y", "sha256": hashlib.sha256(b"hello").hexdigest()},
            {"url": server.url("/b"), "size": "many"},
            {"name": "no url"},
            "ftp://no.example/",
        ]
        ran = Ran()
        ran.summary = await run(settings(tmp_path), ran.listen, items=items)
        ran.check()
    assert ran.results == {1: "done", 2: "invalid: invalid", 3: "invalid: invalid", 4: "invalid: invalid"}
    assert [name for name in files_below(tmp_path / "out") if name.endswith("x/y")]


async def test_outcomes_come_as_they_are(tmp_path: Path) -> None:
    """Each once; the run is over when the loop is."""
    async with raw_server(HELLO) as server:
        found = [outcome async for outcome in outcomes(settings(tmp_path), [server.url(f"/{n}") for n in range(20)])]
    assert sorted(outcome.item.line for outcome in found) == list(range(1, 21))
    assert {outcome.result for outcome in found} == {Result.DONE}


async def test_who_is_slow_to_take_them_slows_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more wait than a bound, and what was in flight."""
    monkeypatch.setattr(iterating, "MAX_WAITING", 10)

    async def slow(conn: RawConnection) -> None:
        async for _ in conn:
            await asyncio.sleep(0.01)
            await conn.send(response(200, b"hello"))

    async with raw_server(slow) as server:
        urls = [server.url(f"/{n}") for n in range(200)]
        taken = 0
        async with contextlib.aclosing(outcomes(settings(tmp_path, concurrency=4), urls)) as coming:
            async for _ in coming:
                if not taken:
                    await asyncio.sleep(0.8)  # two hundred would come in half a second
                    assert len(server.requests) < 100
                taken += 1
    assert taken == 200


async def test_closing_stops_the_run_in_order(tmp_path: Path) -> None:
    """What is done stays done, and the next run goes on."""
    async with raw_server(HELLO) as server:
        urls = [server.url(f"/{n}") for n in range(300)]
        async with contextlib.aclosing(outcomes(settings(tmp_path, concurrency=2), urls)) as coming:
            async for _ in coming:
                break
        asked = len(server.requests)
        assert asked < 300
        ran = Ran()
        ran.summary = await run(settings(tmp_path), ran.listen, items=urls)
        ran.check()
        assert ran.summary.done + ran.summary.skipped == 300


async def test_what_the_iterable_raises_is_raised(tmp_path: Path) -> None:
    """After the outcomes of what it had given."""

    def broken(url: str) -> Iterator[str]:
        yield url
        raise LookupError("no more")

    async with raw_server(HELLO) as server:
        with pytest.raises(LookupError, match="no more"):
            await run(settings(tmp_path), items=broken(server.url("/a")))
