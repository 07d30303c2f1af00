"""The real command and its way to the hosts: proxies of the environment, politeness, limits, credentials, cookies."""

from __future__ import annotations

import base64
import gzip
import hashlib
from pathlib import Path

import pytest

from fetchd.client import BasicAuth
from fetchd.crawler.cli.exit_codes import ExitCode
from tests.crawler.command import environment, fetchd
from tests.support.raw_proxy import http_proxy
from tests.support.raw_server import RawConnection, raw_server, reply_with, response
from tests.support.runs import files_below

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


async def test_what_no_proxy_lists_is_gone_to_directly(tmp_path: Path) -> None:
    """With --proxy, whatever NO_PROXY says; and in the place of it where the environment names the proxy."""
    async with raw_server(HERE) as server, raw_server(http_proxy()) as proxy:
        at = f"http://127.0.0.1:{proxy.port}"
        expected = [
            (("--proxy", at), {"NO_PROXY": "127.0.0.1"}, 1),
            (("--proxy", at, "--no-proxy", "example.org, 127.0.0.0/8"), {}, 0),
            (("--proxy", at, "--no-proxy", "example.org"), {}, 1),
            ((), {"http_proxy": at, "no_proxy": "127.0.0.1"}, 0),
            (("--no-proxy", ""), {"http_proxy": at, "no_proxy": "127.0.0.1"}, 1),
            (("--no-proxy", "*"), {"http_proxy": at}, 0),
        ]
        for arguments, variables, times in expected:
            before = len(proxy.requests)
            got = await fetchd("get", *arguments, server.url("/a"), env=environment(**variables))
            assert (got.code, got.out) == (0, b"here")
            assert len(proxy.requests) - before == times, arguments


PACKED = gzip.compress(b"decoded " * 1000)


async def packed(conn: RawConnection) -> None:
    """Compressed for who takes that, with a digest of the octets as they are sent."""
    digest = base64.b64encode(hashlib.sha256(PACKED).digest()).decode()
    fields = [("Content-Encoding", "gzip"), ("Repr-Digest", f"sha-256=:{digest}:"), ("ETag", '"x"')]
    async for asked in conn:
        takes = "gzip" in asked.fields.get("Accept-Encoding", "")
        await conn.send(response(200, PACKED, fields) if takes else response(200, b"plain"))


async def test_decode_asks_for_compressed_content_and_stores_what_it_is(tmp_path: Path) -> None:
    """By run and by get, to files and to standard output; without it nothing is asked for compressed."""
    async with raw_server(packed) as server:
        listed = manifest(tmp_path, server.url("/a"))
        quick = ("--retries", "0", "--no-progress")
        assert (await fetchd("run", listed, "-o", tmp_path / "plain", *quick)).code == 0
        assert (await fetchd("run", listed, "-o", tmp_path / "out", "--decode", *quick)).code == 0
        got = await fetchd("get", "--decode", server.url("/a"))
        assert (got.code, got.out) == (0, b"decoded " * 1000)
        assert (await fetchd("get", "--decode", "-O", server.url("/a"), cwd=tmp_path)).code == 0
        too_large = await fetchd("get", "--decode", "--max-bytes", "7999", server.url("/a"))
        assert too_large.code == 1
    assert list(files_below(tmp_path / "plain").values()) == [b"plain"]
    assert list(files_below(tmp_path / "out").values()) == [b"decoded " * 1000]
    assert (tmp_path / "a").read_bytes() == b"decoded " * 1000


async def test_a_manifests_digest_is_of_the_decoded_file(tmp_path: Path) -> None:
    """What is stored is what it speaks of; the size it gives, too."""
    body = b"decoded " * 1000
    async with raw_server(packed) as server:
        listed = tmp_path / "list.csv"
        rows = [hashlib.sha256(body).hexdigest(), hashlib.sha256(PACKED).hexdigest()]
        urls = [server.url(f"/{number}") for number in range(2)]
        listed.write_text(
            "url,sha256,size\n" + "".join(f"{url},{sha},8000\n" for url, sha in zip(urls, rows, strict=True))
        )
        ran = await fetchd("run", listed, "-o", tmp_path / "out", "--decode", "--retries", "0", "--no-progress")
    assert (ran.code, ran.lines[0]) == (1, "2 items read = 1 done + 1 failed")
    assert "checksum" in ran.err
