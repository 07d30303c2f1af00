"""``--on-done``: a command for each file that is done."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from fetchd.crawler.cli import on_done
from fetchd.crawler.cli.on_done import OnDone
from fetchd.jobs.items import Item, Outcome, Result
from tests.crawler.command import fetchd, running
from tests.support.raw_server import RawConnection, raw_server, response

pytestmark = pytest.mark.slow


async def site(conn: RawConnection) -> None:
    """Every path has its own name as content, but for /missing."""
    async for asked in conn:
        await conn.send(response(404) if asked.target == "/missing" else response(body=asked.target.encode()))


async def ran_with(folder: Path, command: str, *names: str) -> Any:
    """A run over *names* with *command* for each file."""
    async with raw_server(site) as server:
        (folder / "list.txt").write_text("".join(f"{server.url('/' + name)}\n" for name in names))
        return await fetchd("run", "list.txt", "--on-done", command, "--no-progress", "--retries", "0", cwd=folder)


async def test_each_file_that_is_done_has_its_command(tmp_path: Path) -> None:
    """With its path, URL and size as words and as variables; the file is there, and no shell looks at the words."""
    script = (
        "import json, os, sys; open(os.path.basename(sys.argv[1]) + '.told', 'w').write(json.dumps("
        "[*sys.argv[1:], open(sys.argv[1]).read(), os.environ['FETCHD_PATH'], os.environ['FETCHD_SIZE']]))"
    )
    ran = await ran_with(tmp_path, f"python3 -c \"{script}\" {{path}} '{{url}};{{size}}' $HOME", "a", "b;id", "missing")
    assert ran.code == 1  # of what is missing
    for name in ("a", "b;id"):
        path, told, home, content, again, size = json.loads((tmp_path / f"{name}.told").read_text())
        assert (content, home) == (f"/{name}", "$HOME")
        assert path == again
        assert Path(path).read_text() == content
        assert told.endswith(f"/{name};{size}")
    assert not (tmp_path / "missing.told").exists()


@pytest.mark.parametrize("asked", [(), ("--checksum", "sha256")])
async def test_a_command_is_told_the_digest_where_one_is_kept(tmp_path: Path, asked: tuple[str, ...]) -> None:
    """As a word and as a variable, spelled as in the ledger; empty where nobody asked for one."""
    async with raw_server(site) as server:
        (tmp_path / "list.txt").write_text(server.url("/a") + "\n")
        command = 'sh -c \'printf %s,%s "$1" "$FETCHD_DIGEST" >told\' - {digest}'
        ran = await fetchd("run", "list.txt", *asked, "--on-done", command, "--no-progress", cwd=tmp_path)
    assert ran.code == 0
    digest = f"sha256:{hashlib.sha256(b'/a').hexdigest()}" if asked else ""
    assert (tmp_path / "told").read_text() == f"{digest},{digest}"


async def test_a_command_that_fails_is_told_and_is_the_exit_code(tmp_path: Path) -> None:
    """The files are done all the same."""
    ran = await ran_with(tmp_path, "sh -c 'exit 3'", "a", "b")
    assert ran.code == 1
    assert ran.lines[-1] == "--on-done: 2 failed, 0 were not run"
    assert sum("ended with code 3" in line for line in ran.lines) == 2
    assert "2 items read = 2 done" in ran.lines
    ran = await ran_with(tmp_path, "/no/such/command", "c")
    assert ran.code == 1
    assert any("no such file or directory" in line for line in ran.lines)


@pytest.mark.parametrize("command", ["", "'", "  "])
async def test_what_is_no_command_is_a_mistake(tmp_path: Path, command: str) -> None:
    """Before anything is asked for."""
    ran = await fetchd("run", "list.txt", "--on-done", command, cwd=tmp_path)
    assert ran.code == 2
    assert ran.lines[0].startswith("--on-done is ")


async def test_stopping_waits_for_what_has_begun_and_begins_nothing(tmp_path: Path) -> None:
    """A Ctrl-C is for the run, not for the commands."""
    async with raw_server(site) as server:
        (tmp_path / "list.txt").write_text("".join(f"{server.url(f'/{n}')}\n" for n in range(40)))
        command = "sh -c 'touch $1.begun; sleep 1; touch $1.ended' - {path}"
        async with running("run", "list.txt", "--on-done", command, "--no-progress", cwd=tmp_path) as process:
            while not list(tmp_path.rglob("*.begun")):  # noqa: ASYNC110 -- another process does it
                await asyncio.sleep(0.01)
            process.kill(signal.SIGINT)
            ran = await process.end()
    begun, ended = ({path.stem for path in tmp_path.rglob(f"*.{what}")} for what in ("begun", "ended"))
    assert begun == ended
    assert len(begun) < 40
    assert "were not run" in ran.err or "read = 40 done" in ran.err


async def test_the_run_waits_when_the_commands_are_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for its command is in memory: so much of it, and no more."""
    monkeypatch.setattr(on_done, "MAX_WAITING", 4)
    told: list[str] = []
    commands = OnDone(
        ["sleep", "0.05"],
        tmp_path,
        pause=lambda: told.append("pause"),
        resume=lambda: told.append("resume"),
        say=told.append,
        limit=1,
    )
    for number in range(6):
        commands.done(Outcome(Item(f"http://h/{number}", number, path=f"{number}"), Result.DONE))
    assert told[-1] == "pause"
    await commands.finish(is_stopped=False)
    assert told[-1] == "resume"
    assert (commands.failed, commands.left) == (0, 0)
