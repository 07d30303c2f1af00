"""``--config`` and fetchd.toml: what a file says is as if it had been typed, and what is typed comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crawler.command import Ran, fetchd
from tests.support.raw_server import raw_server, reply_with, response

pytestmark = pytest.mark.slow

HERE = reply_with(response(200, b"here"))


async def got(folder: Path, config: str, *arguments: str, name: str = "fetchd.toml") -> tuple[Ran, dict[str, str]]:
    """Get one URL where *config* is the file *name*; the fields that the server saw."""
    (folder / name).write_text(config)
    async with raw_server(HERE) as server:
        ran = await fetchd("get", server.url("/a"), *arguments, cwd=folder)
        return ran, dict(server.requests[0].fields) if server.requests else {}


async def test_a_file_where_the_command_is_started_is_found(tmp_path: Path) -> None:
    """What is at the top holds for every command that has it, its own table before that, and lists are lists."""
    ran, seen = await got(
        tmp_path,
        'user-agent = "top"\nheader = ["X-A: 1", "X-B: 2"]\nper-host = 3\n'
        '[get]\nuser_agent = "own"\n[run]\nper-host = 2\n',
    )
    assert (ran.code, ran.out) == (0, b"here")
    assert (seen["User-Agent"], seen["X-A"], seen["X-B"]) == ("own", "1", "2")


async def test_what_is_typed_takes_the_place_of_what_the_file_says(tmp_path: Path) -> None:
    """Each option by itself."""
    config = 'user-agent = "file"\nheader = "X-A: 1"\n'
    ran, seen = await got(tmp_path, config, "--user-agent", "typed", "--config", "my.toml", name="my.toml")
    assert ran.code == 0
    assert (seen["User-Agent"], seen["X-A"]) == ("typed", "1")


async def test_no_file_is_read_where_an_empty_one_is_named(tmp_path: Path) -> None:
    """/dev/null is one everywhere."""
    ran, seen = await got(tmp_path, 'user-agent = "file"\n', "--config", "/dev/null")
    assert ran.code == 0
    assert seen["User-Agent"].startswith("fetchd/")


async def test_a_run_says_that_it_has_options_nobody_typed(tmp_path: Path) -> None:
    """Of a file that was found; who names one knows."""
    (tmp_path / "fetchd.toml").write_text("[run]\nno-progress = true\nretries = 0\nconcurrency = 2\n")
    async with raw_server(HERE) as server:
        (tmp_path / "list.txt").write_text(server.url("/a") + "\n")
        ran = await fetchd("run", "list.txt", cwd=tmp_path)
        assert (ran.code, ran.lines[0]) == (0, "options are taken from fetchd.toml")
        ran = await fetchd("run", "list.txt", "--config", str(tmp_path / "fetchd.toml"), cwd=tmp_path)
        assert "options" not in ran.err


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("per-hosts = 1\n", "unknown key 'per-hosts'; expected the name of an option"),
        ("[get]\nper-host = 1\n", "unknown key 'per-host' in [get]"),
        ("[fetch]\n", "no command [fetch]; expected one of get, "),
        ("timeout = [1, 2]\n", "timeout is [1, 2]; expected a text or a number"),
        ("timeout = true\n", "timeout is True; expected a text or a number"),
        ("insecure = 1\n", "insecure is 1; expected true or false"),
        ("header = [1979-05-27]\n", "header is datetime.date(1979, 5, 27); expected a text or a number"),
        ("timeout = \n", "no TOML: "),
        ('config = "other.toml"\n', "unknown key 'config'"),
        ('timeout = "soon"\n', "--timeout is 'soon'; expected a time"),
    ],
)
async def test_what_a_file_cannot_say_is_a_mistake_and_nothing_is_asked_for(
    tmp_path: Path, config: str, told: str
) -> None:
    """With the file, the key, what was seen, and what is expected; code 2."""
    ran, seen = await got(tmp_path, config)
    assert (ran.code, seen) == (2, {})
    assert told in ran.err
    assert told.startswith("--") or "fetchd.toml: " in ran.err


async def test_a_command_to_run_is_not_taken_from_a_file_that_was_only_found(tmp_path: Path) -> None:
    """Who can leave a file in a folder must not have something run by those who work there."""
    (tmp_path / "fetchd.toml").write_text('[run]\non-done = "touch done"\n')
    async with raw_server(HERE) as server:
        (tmp_path / "list.txt").write_text(server.url("/a") + "\n")
        ran = await fetchd("run", "list.txt", cwd=tmp_path)
        assert ran.code == 2
        assert "on-done is taken only from a file that --config names" in ran.err
        assert not server.requests
        ran = await fetchd("run", "list.txt", "--config", "fetchd.toml", cwd=tmp_path)
    assert ran.code == 0
    assert (tmp_path / "done").exists()


async def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    """A found one need not."""
    ran = await fetchd("get", "http://127.0.0.1:9/", "--config", "no.toml", cwd=tmp_path)
    assert ran.code == 2
    assert "no.toml: no such file or directory" in ran.err
