"""``--ledger FILE``: the ledger of a folder is kept elsewhere, and every command of the folder finds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.crawler.command import fetchd
from tests.support.raw_server import RawConnection, raw_server, response

pytestmark = pytest.mark.slow


async def site(conn: RawConnection) -> None:
    """/a is there."""
    async for asked in conn:
        await conn.send(response(body=b"a") if asked.target == "/a" else response(404))


async def test_every_command_of_the_folder_goes_by_the_ledger_elsewhere(tmp_path: Path) -> None:
    """It is named once."""
    async with raw_server(site) as server:
        (tmp_path / "list.txt").write_text(f"{server.url('/a')}\n{server.url('/missing')}\n")
        first = await fetchd("run", "list.txt", "-o", "out", "--ledger", "far/of-out.db", "--no-progress", cwd=tmp_path)
        assert first.code == 1
        assert (tmp_path / "far" / "of-out.db").is_file()
        assert not (tmp_path / "out" / ".fetchd" / "ledger.sqlite3").exists()
        again = await fetchd("run", "list.txt", "-o", "out", "--no-progress", cwd=tmp_path)
        assert "1 skipped" in "\n".join(again.lines)
        retried = await fetchd("retry", "out", "--no-progress", cwd=tmp_path)
        assert retried.code == 1
        assert len(server.requests) == 4  # /a, and /missing in each of three runs
    status = await fetchd("status", "out", "--json", cwd=tmp_path)
    assert json.loads(status.out)["counts"]["done"] == 1
    assert len((await fetchd("report", "out", cwd=tmp_path)).out.splitlines()) == 2
    (fetched,) = (tmp_path / "out").rglob("a")
    fetched.write_bytes(b"something else")
    assert (await fetchd("verify", "out", "--requeue", cwd=tmp_path)).code == 1


async def test_another_ledger_for_a_folder_that_has_one_is_an_error_of_usage(tmp_path: Path) -> None:
    """Before anything is asked for."""
    async with raw_server(site) as server:
        (tmp_path / "list.txt").write_text(server.url("/a") + "\n")
        for asked, code in ((), 0), (("--ledger", "other.db"), 2):
            ran = await fetchd("run", "list.txt", "-o", "out", *asked, "--no-progress", cwd=tmp_path)
            assert ran.code == code
        assert len(server.requests) == 1
    assert "the ledger of out is out/.fetchd/ledger.sqlite3, not " in ran.lines[0]
    assert not (tmp_path / "other.db").exists()
