"""The real command and its way to the hosts: proxies of the environment, politeness, limits, credentials, cookies."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchd.client import BasicAuth
from fetchd.crawler.cli.exit_codes import ExitCode
from tests.crawler.command import environment, fetchd
from tests.support.raw_proxy import http_proxy
from tests.support.raw_server import raw_server, reply_with, response

pytestmark = pytest.mark.slow

HERE = reply_with(response(200, b"here", [("Set-Cookie", "seen=1")]))
MISSING = reply_with(response(404, reason="Not Found"))


def manifest(folder: Path, *urls: str) -> Path:
    """A manifest of *urls*."""
    path = folder / "list.txt"
    path.write_text("".join(f"{url}\n" for url in urls))
    return path


async def test_the_proxy_of_the_environment_is_obeyed_by_run_and_get(tmp_path: Path) -> None:
    """As curl does; an option outweighs it."""
    async with raw_server(HERE) as server, raw_server(http_proxy()) as proxy, raw_server(http_proxy()) as other:
        variables = environment(http_proxy=f"http://127.0.0.1:{proxy.port}")
        listed = manifest(tmp_path, server.url("/a"))
        assert (await fetchd("run", listed, "-o", tmp_path / "out", env=variables)).code == 0
        got = await fetchd("get", server.url("/b"), env=variables)
        assert (got.code, got.out) == (0, b"here")
        got = await fetchd("get", "--proxy", f"127.0.0.1:{other.port}", server.url("/c"), env=variables)
        assert (got.code, got.out) == (0, b"here")
        asked = [[request.target.rpartition("/")[2] for request in at.requests] for at in (proxy, other)]
    assert asked == [["a", "b"], ["c"]]


async def test_the_polite_profile_says_what_it_does_not_do(tmp_path: Path) -> None:
    """Unless it is to be quiet."""
    async with raw_server(HERE) as server:
        listed = manifest(tmp_path, server.url("/a"))
        ran = await fetchd("run", listed, "-o", tmp_path / "a", "--profile", "polite", "--no-progress")
        assert ran.lines[0].endswith("robots.txt is not looked at")
        ran = await fetchd("run", listed, "-o", tmp_path / "b", "--profile", "polite", "-q")
        assert (ran.code, ran.err) == (0, "")


async def test_a_run_that_a_limit_ends_has_code_5_and_goes_on_when_run_again(tmp_path: Path) -> None:
    """It says which limit, and what to do."""
    async with raw_server(MISSING) as server:
        listed = manifest(tmp_path, *(server.url(f"/{n}") for n in range(100)))
        arguments = ("run", listed, "-o", tmp_path / "out", "--no-progress", "-j", "1")
        ran = await fetchd(*arguments, "--max-failures", "3")
        assert ran.code == ExitCode.LIMIT
        assert ran.lines[-1] == "stopped by --max-failures; run the same command again to go on"
        assert (await fetchd(*arguments)).code == ExitCode.SOME_FAILED


async def test_credentials_and_cookies_go_by_files(tmp_path: Path) -> None:
    """So that they do not stand in the list of processes; what is kept is for its owner alone."""
    (tmp_path / "login").write_text("me:secret\n")
    jar = tmp_path / "jar.txt"
    async with raw_server(HERE) as server:
        arguments = ("get", "--auth", f"@{tmp_path / 'login'}", "--save-cookies", jar)
        assert (await fetchd(*arguments, server.url("/a"))).code == 0
        assert (await fetchd("get", "--cookies", jar, server.url("/b"))).code == 0
        first, second = (request.fields for request in server.requests)
    assert first["Authorization"] == BasicAuth("me", "secret").encode()
    assert (second.get("Authorization"), second["Cookie"]) == (None, "seen=1")
    assert jar.stat().st_mode & 0o777 == 0o600


async def test_a_mistake_about_the_way_is_one_line_and_code_2(tmp_path: Path) -> None:
    """Before anything is asked for."""
    ran = await fetchd("get", "--pin", "00", "http://127.0.0.1:1/")
    assert (ran.code, len(ran.lines)) == (ExitCode.USAGE, 1)
    ran = await fetchd("get", "--cookies", tmp_path / "none", "http://127.0.0.1:1/")
    assert (ran.code, len(ran.lines)) == (ExitCode.USAGE, 1)
