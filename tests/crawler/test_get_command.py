"""``fetchd get``: the real command, to standard output and to files."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from fetchd.crawler.cli.exit_codes import ExitCode
from tests.crawler.command import FETCHD, environment, fetchd, running
from tests.support.raw_server import RawConnection, raw_server, reply_with, response

pytestmark = pytest.mark.slow

BODY = bytes(range(256)) * 2000
HELLO = response(body=b"hello")
NOT_FOUND = response(404, b"a page about it", reason="Not Found")


async def test_bodies_come_to_standard_output_in_order() -> None:
    """The octets as sent: identity is asked for, a coding that comes all the same is left alone."""
    coded = response(body=b"\x1f\x8b not really", fields=[("Content-Encoding", "gzip")])
    async with raw_server(reply_with(HELLO, coded, response(body=BODY, framing="chunked"))) as server:
        ran = await fetchd("get", *(server.url(f"/{number}") for number in range(3)))
        assert server.requests[0].fields.getall("Accept-Encoding") == ["identity"]
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == b"hello" + b"\x1f\x8b not really" + BODY


async def test_an_error_page_is_no_body() -> None:
    """Nothing of it is written; what was wrong is said, the others come, code 1."""
    async with raw_server(reply_with(NOT_FOUND, HELLO)) as server:
        url = server.url("/a").replace("http://", "http://user:secret@")
        ran = await fetchd("get", url, server.url("/b"))
    assert (ran.code, ran.out) == (ExitCode.SOME_FAILED, b"hello")
    assert ran.lines == [f"{server.url('/a')}: status 404 Not Found"]


async def test_what_may_pass_is_tried_again() -> None:
    """Retry-After is minded, and said."""
    busy = response(503, fields=[("Retry-After", "0")], reason="Busy")
    async with raw_server(reply_with(busy, HELLO)) as server:
        ran = await fetchd("get", server.url("/a"))
    assert (ran.code, ran.out) == (0, b"hello")
    [line] = ran.lines
    assert line.startswith(f"{server.url('/a')}: status 503 Busy; again in ")


async def test_retries_are_bounded_by_the_option() -> None:
    """None, and no word of them when quiet; what ends it is said all the same."""
    async with raw_server(reply_with(response(503, reason="Busy"))) as server:
        ran = await fetchd("get", server.url("/a"), "--retries", "0", "-q")
        assert len(server.requests) == 1
    assert (ran.code, ran.lines) == (1, [f"{server.url('/a')}: status 503 Busy"])


async def test_a_truncated_body_is_an_error() -> None:
    """Nonzero exit, also when it came to standard output already."""
    async with raw_server(reply_with(response(body=BODY)[:-1], close=True)) as server:
        ran = await fetchd("get", server.url("/a"), "--retries", "3")
        assert len(server.requests) == 1  # no validator: it cannot be gone on with
    assert ran.code == ExitCode.SOME_FAILED
    assert ran.out == BODY[:-1]
    assert f"incomplete content: connection closed after {len(BODY) - 1} octets" in ran.err


async def test_a_body_that_breaks_off_is_gone_on_with() -> None:
    """In the middle of a pipe, without a seam."""
    extent = ("Content-Range", f"bytes 1000-{len(BODY) - 1}/{len(BODY)}")
    first = response(body=BODY, fields=[("ETag", '"x"')])
    replies = (first[: 1000 - len(BODY)], response(206, BODY[1000:], [("ETag", '"x"'), extent]))
    async with raw_server(reply_with(*replies, close=True)) as server:
        ran = await fetchd("get", server.url("/a"))
    assert (ran.code, ran.out) == (0, BODY)


async def test_what_cannot_be_reached_is_code_4(tmp_path: Path) -> None:
    """Every failure counts here as one of the retries."""
    ran = await fetchd("get", "http://h.test/", "--unix-socket", tmp_path / "none", "--retries", "0")
    assert ran.code == ExitCode.NETWORK_UNUSABLE
    assert len(ran.lines) == 1


async def test_a_url_that_is_none_is_told_before_anything_is_fetched() -> None:
    """Also when it is the last one."""
    async with raw_server(reply_with(HELLO)) as server:
        ran = await fetchd("get", server.url("/a"), "example.org/b")
        assert server.accepted == 0
    assert (ran.code, ran.out) == (ExitCode.USAGE, b"")
    assert ran.lines == ["cannot fetch 'example.org/b': no scheme; expected a URL that begins with http:// or https://"]


@pytest.mark.parametrize("size", [5, len(BODY)])
async def test_a_body_comes_into_the_file_that_was_named(tmp_path: Path, size: int) -> None:
    """Replacing what was there, through a link to where that leads; nothing on standard output."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real/file")
    modified = ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
    async with raw_server(reply_with(response(body=BODY[:size], fields=[modified]))) as server:
        ran = await fetchd("get", server.url("/a"), "-o", "link", cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, b"", "")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_bytes() == BODY[:size]
    assert (tmp_path / "real" / "file").stat().st_mtime == 1_767_225_600
    assert os.listdir(tmp_path / "real") == ["file"]


async def test_files_are_named_as_in_the_urls(tmp_path: Path) -> None:
    """By the rules of a run, so that no name leaves the folder."""
    async with raw_server(reply_with(HELLO)) as server:
        urls = [server.url("/a/b.txt"), server.url("/"), server.url("/..%2f..%2fetc"), server.url("/q?x=/../y")]
        ran = await fetchd("get", "-O", *urls, cwd=tmp_path)
    assert ran.code == 0
    names = sorted(os.listdir(tmp_path))
    assert {"b.txt", "index.html"} < set(names)
    assert len(names) == 4


async def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    """It is said before the first request."""
    (tmp_path / "a").write_bytes(b"precious")
    async with raw_server(reply_with(HELLO)) as server:
        refused = await fetchd("get", "-O", server.url("/b"), server.url("/a"), cwd=tmp_path)
        assert server.accepted == 0
        forced = await fetchd("get", "-O", "--force", server.url("/a"), cwd=tmp_path)
    assert (refused.code, refused.lines) == (2, ["a is there already; --force replaces it"])
    assert forced.code == 0
    assert (tmp_path / "a").read_bytes() == b"hello"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "nowhere/file"], "there is no folder nowhere for file"),
        (["-o", "."], "is a folder; expected a file"),
        (["-O", "http://other.test/a"], "http://other.test/a are both named a; expected one --output for each"),
    ],
)
async def test_a_file_that_cannot_be_is_told_before_the_first_request(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    """Code 2."""
    ran = await fetchd("get", "http://127.0.0.1:1/a", *arguments, cwd=tmp_path)
    assert ran.code == ExitCode.USAGE
    assert ran.lines[0].endswith(message)


async def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """Renaming a file over /dev/null would take it away from everybody."""
    null = tmp_path / "pipe"
    os.mkfifo(null)
    reader = os.open(null, os.O_RDONLY | os.O_NONBLOCK)
    async with raw_server(reply_with(HELLO)) as server:
        ran = await fetchd("get", server.url("/a"), "-o", null)
        full = await fetchd("get", server.url("/a"), "-o", "/dev/full")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "socket"))
            closed = await fetchd("get", server.url("/a"), "-o", tmp_path / "socket")
    assert (ran.code, os.read(reader, 100)) == (0, b"hello")
    os.close(reader)
    assert stat.S_ISFIFO(null.stat().st_mode)
    assert (closed.code, closed.lines) == (3, [f"cannot write {tmp_path / 'socket'}: no such device or address"])
    assert (full.code, full.lines) == (3, ["cannot write /dev/full: no space left on device"])


@pytest.mark.parametrize("failure", ["status", "truncated"])
async def test_nothing_is_left_of_a_file_that_failed(tmp_path: Path, failure: str) -> None:
    """No .part either: nothing would know how to go on with it."""
    reply = NOT_FOUND if failure == "status" else response(body=BODY)[:-1]
    async with raw_server(reply_with(reply, close=True)) as server:
        ran = await fetchd("get", server.url("/a"), "-o", tmp_path / "file", "--retries", "0")
    assert ran.code == ExitCode.SOME_FAILED
    assert os.listdir(tmp_path) == []


async def test_a_reader_that_leaves_is_no_error() -> None:
    """``fetchd get URL | head``: code 0 and silence."""
    async with raw_server(reply_with(response(body=BODY * 4))) as server:
        process = await asyncio.create_subprocess_shell(
            f'"$FETCHD" get {server.url("/a")} | head -c 5; exit ${{PIPESTATUS[0]}}',
            executable="/bin/bash",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(FETCHD=str(FETCHD)),
        )
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, BODY[:5], b"")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
async def test_a_signal_ends_it_at_once_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals, code: ExitCode
) -> None:
    """The .part goes with it."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=BODY)[:-1])
        await conn.read_eof()

    async with raw_server(script) as server, running("get", server.url("/a"), "-o", tmp_path / "file") as command:
        while not os.listdir(tmp_path):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        command.kill(number)
        ran = await command.end()
    assert (ran.code, ran.err) == (code, "")
    assert os.listdir(tmp_path) == []
