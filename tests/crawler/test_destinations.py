"""``cli/destinations.py``: a body into a file or an open descriptor, over several attempts."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fetchd.client import ClientSession
from fetchd.crawler.cli.destinations import FileDestination, StreamDestination
from fetchd.jobs.attempts import AttemptFailedError
from fetchd.jobs.exceptions import LocalFailureError
from fetchd.jobs.failures import FailureClass
from fetchd.jobs.sessions import open_session
from fetchd.jobs.settings import RunSettings
from tests.support.local_failures import largest_file
from tests.support.raw_server import RawConnection, Script, raw_server, reply_with, response

BODY = bytes(range(256)) * 1000
ETAG = ("ETag", '"one"')


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """As the command opens one."""
    async with open_session(RunSettings(manifest="", concurrency=1)) as opened:
        yield opened


@contextlib.contextmanager
def into(path: Path, flags: int = os.O_CREAT | os.O_WRONLY) -> Iterator[int]:
    """A descriptor of *path*, as a shell makes one for a redirection."""
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def breaking_off(at: int, *fields: tuple[str, str], then: bytes | None = None) -> Script:
    """A script: the whole is announced and *at* octets come; a request for the rest is answered, or by *then*."""

    async def script(conn: RawConnection) -> None:
        request = await conn.read_request()
        asked = request.fields.get("Range")
        if asked is None:
            await conn.send(response(body=BODY, fields=fields)[: -len(BODY)] + BODY[:at])
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        extent = ("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        await conn.send(then or response(206, BODY[start:], [*fields, extent]))

    return script


async def attempts(destination: StreamDestination | FileDestination, count: int = 2) -> list[FailureClass]:
    """Attempt until it works, at most *count* times; how the others failed."""
    failures: list[FailureClass] = []
    for _ in range(count):
        try:
            await destination.attempt()
        except AttemptFailedError as exc:
            failures.append(exc.failure.failure_class)
        else:
            break
    return failures


@pytest.mark.parametrize("flags", [0, os.O_APPEND])
@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
async def test_a_body_comes_whole_into_a_file_behind_what_was_there(
    session: ClientSession, tmp_path: Path, framing: str, flags: int
) -> None:
    """``> file`` and ``>> file``, whatever the framing."""
    reply = response(body=BODY, framing=framing)
    (tmp_path / "out").write_bytes(b"before" if flags else b"")
    async with raw_server(reply_with(reply, close=True)) as server:
        with into(tmp_path / "out", os.O_WRONLY | flags) as fd:
            await StreamDestination(session, server.url(), fd, None).attempt()
    assert (tmp_path / "out").read_bytes() == (b"before" if flags else b"") + BODY


@pytest.mark.parametrize("flags", [os.O_CREAT | os.O_WRONLY, os.O_CREAT | os.O_WRONLY | os.O_APPEND])
async def test_a_body_that_breaks_off_is_gone_on_with(session: ClientSession, tmp_path: Path, flags: int) -> None:
    """By range, under the validator: no octet twice, none missing."""
    async with raw_server(breaking_off(100_000, ETAG)) as server:
        with into(tmp_path / "out", flags) as fd:
            destination = StreamDestination(session, server.url(), fd, None)
            assert await attempts(destination) == ["truncated"]
            assert destination.can_go_on
    assert (tmp_path / "out").read_bytes() == BODY
    assert server.requests[1].fields["If-Range"] == ETAG[1]


async def test_a_body_without_validator_cannot_be_gone_on_with(session: ClientSession, tmp_path: Path) -> None:
    """What was written cannot be taken back, so it ends there."""
    async with raw_server(breaking_off(100_000)) as server:
        with into(tmp_path / "out") as fd:
            destination = StreamDestination(session, server.url(), fd, None)
            assert destination.can_go_on
            assert await attempts(destination, 1) == ["truncated"]
            assert not destination.can_go_on
            destination.discard()


@pytest.mark.parametrize(
    "then",
    [
        response(200, b"another body", [("ETag", '"two"')]),
        response(206, b"x", [("ETag", '"two"'), ("Content-Range", "bytes 100000-100000/100001")]),
        response(412, reason="Precondition Failed"),
        response(416, fields=[("Content-Range", "bytes */5")], reason="Range Not Satisfiable"),
    ],
)
async def test_a_body_that_changed_meanwhile_is_lost(session: ClientSession, tmp_path: Path, then: bytes) -> None:
    """Octets of two representations are never joined."""
    async with raw_server(breaking_off(100_000, ETAG, then=then)) as server:
        with into(tmp_path / "out") as fd:
            destination = StreamDestination(session, server.url(), fd, None)
            assert await attempts(destination) == ["truncated", "truncated"]
            assert not destination.can_go_on
    assert (tmp_path / "out").read_bytes() == BODY[:100_000]


async def test_a_server_that_is_busy_in_between_is_asked_again(session: ClientSession, tmp_path: Path) -> None:
    """503 for the rest says nothing of what was written."""
    async with raw_server(breaking_off(100_000, ETAG, then=response(503, reason="Busy"))) as server:
        with into(tmp_path / "out") as fd:
            destination = StreamDestination(session, server.url(), fd, None)
            assert await attempts(destination) == ["truncated", "http-5xx"]
            assert destination.can_go_on


async def test_a_body_that_was_whole_when_it_broke_off_is_complete(session: ClientSession, tmp_path: Path) -> None:
    """416 for the very length that was announced: only the end of the message had been missing."""
    extent = ("Content-Range", f"bytes 100000-{len(BODY) - 1}/{len(BODY)}")
    replies = [
        response(body=BODY, fields=[ETAG])[: 100_000 - len(BODY)],
        response(206, BODY[100_000:], [ETAG, extent], framing="chunked").removesuffix(b"0\r\n\r\n"),
        response(416, fields=[("Content-Range", f"bytes */{len(BODY)}")]),
    ]
    async with raw_server(reply_with(*replies, close=True)) as server:
        with into(tmp_path / "out") as fd:
            failures = await attempts(StreamDestination(session, server.url(), fd, None), 3)
    assert failures == ["truncated", "truncated"]
    assert (tmp_path / "out").read_bytes() == BODY


async def test_less_than_was_asked_for_is_truncated_and_gone_on_with(session: ClientSession, tmp_path: Path) -> None:
    """A server may send a part of the part, in a message that is whole."""
    rest = ("Content-Range", f"bytes 100000-{len(BODY) - 1}/{len(BODY)}")
    last = ("Content-Range", f"bytes 200000-{len(BODY) - 1}/{len(BODY)}")
    replies = [
        response(body=BODY, fields=[ETAG])[: 100_000 - len(BODY)],
        response(206, BODY[100_000:200_000], [ETAG, rest], framing="chunked"),
        response(206, BODY[200_000:], [ETAG, last]),
    ]
    async with raw_server(reply_with(*replies, close=True)) as server:
        with into(tmp_path / "out") as fd:
            failures = await attempts(StreamDestination(session, server.url(), fd, None), 3)
    assert failures == ["truncated", "truncated"]
    assert (tmp_path / "out").read_bytes() == BODY


@pytest.mark.parametrize(
    ("reply", "failure_class", "retry_after"),
    [
        (response(404, reason="Not Found"), "http-4xx", None),
        (response(503, fields=[("Retry-After", "7")], reason="Busy"), "http-5xx", 7.0),
        (response(304, reason="Not Modified"), "protocol", None),
        (response(206, b"x", [("Content-Range", "bytes 0-0/5")]), "protocol", None),
    ],
)
async def test_an_answer_without_content_for_us_writes_nothing(
    session: ClientSession, tmp_path: Path, reply: bytes, failure_class: str, retry_after: float | None
) -> None:
    """An error page is no body."""
    async with raw_server(reply_with(reply)) as server:
        with into(tmp_path / "out") as fd, pytest.raises(AttemptFailedError) as caught:
            await StreamDestination(session, server.url(), fd, None).attempt()
    assert caught.value.failure.failure_class == failure_class
    assert caught.value.failure.retry_after == retry_after
    assert (tmp_path / "out").read_bytes() == b""


async def test_an_attempt_has_its_bound(session: ClientSession, tmp_path: Path) -> None:
    """``--timeout``, with the status that had come by then."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=BODY)[:-1])
        await conn.read_eof()

    async with raw_server(script) as server:
        with into(tmp_path / "out") as fd, pytest.raises(AttemptFailedError) as caught:
            await StreamDestination(session, server.url(), fd, 0.05).attempt()
    failure = caught.value.failure
    assert (failure.failure_class, failure.status) == ("timeout-total", 200)
    assert failure.message == "the attempt took longer than 0.05 s"


async def test_a_timeout_of_somebody_else_is_not_taken_for_the_bound(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is passed on as it is."""

    async def fail() -> None:
        raise TimeoutError("not ours")

    destination = StreamDestination(session, "http://h.test/", 1, 30.0)
    monkeypatch.setattr(destination, "_fetch", fail)
    with pytest.raises(TimeoutError, match="not ours"):
        await destination.attempt()


async def test_a_pipe_takes_its_time_and_the_loop_goes_on(session: ClientSession) -> None:
    """A reader that is slow does not stop the clocks of others; it gets every octet."""
    read, write = os.pipe()
    async with raw_server(reply_with(response(body=BODY))) as server:
        work = asyncio.create_task(StreamDestination(session, server.url(), write, None).attempt())
        await server.until(lambda: len(server.requests) == 1)
        for _ in range(20):
            await asyncio.sleep(0)  # turns of the loop while the pipe is full and nobody reads
        got = b""
        while len(got) < len(BODY):
            got += await asyncio.to_thread(os.read, read, 65_536)
        await work
    os.close(read)
    os.close(write)
    assert got == BODY


async def test_a_pipe_that_does_not_block_is_waited_for(session: ClientSession) -> None:
    """Whoever made our standard output may have made it so."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    async with raw_server(reply_with(response(body=BODY))) as server:
        work = asyncio.create_task(StreamDestination(session, server.url(), write, None).attempt())
        got = b""
        while len(got) < len(BODY):
            got += await asyncio.to_thread(os.read, read, 65_536)
        await work
    os.close(read)
    os.close(write)
    assert got == BODY


async def test_a_reader_that_leaves_ends_it(session: ClientSession) -> None:
    """As an error of its own, which the command takes for the end."""
    read, write = os.pipe()
    os.close(read)
    async with raw_server(reply_with(response(body=BODY))) as server:
        with pytest.raises(BrokenPipeError):
            await StreamDestination(session, server.url(), write, None).attempt()
    os.close(write)


async def test_a_full_disk_is_a_failure_of_this_machine(session: ClientSession) -> None:
    """Also behind standard output."""
    async with raw_server(reply_with(response(body=BODY))) as server:
        with into(Path("/dev/full"), os.O_WRONLY) as fd, pytest.raises(LocalFailureError, match="no space left"):
            await StreamDestination(session, server.url(), fd, None).attempt()


async def test_a_disk_that_fills_up_behind_standard_output_is_one_too(session: ClientSession, tmp_path: Path) -> None:
    """Where the octets do not pass through Python."""
    async with raw_server(reply_with(response(body=BODY))) as server:
        with into(tmp_path / "out") as fd, largest_file(100_000), pytest.raises(LocalFailureError, match="too large"):
            await StreamDestination(session, server.url(), fd, None).attempt()
    assert (tmp_path / "out").stat().st_size <= 100_000


@pytest.mark.parametrize("size", [0, 100, len(BODY)])
async def test_a_file_gets_its_name_when_it_is_whole(session: ClientSession, tmp_path: Path, size: int) -> None:
    """Small bodies and large ones; a file that was there is replaced."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    async with raw_server(reply_with(response(body=BODY[:size]))) as server:
        destination = FileDestination(session, server.url(), path, None)
        await destination.attempt()
        destination.discard()
    assert path.read_bytes() == BODY[:size]
    assert os.listdir(tmp_path) == ["out"]


async def test_a_file_that_breaks_off_is_gone_on_with_or_begun_anew(session: ClientSession, tmp_path: Path) -> None:
    """In a file, what was written can be taken back."""
    for fields in ([ETAG], []):
        path = tmp_path / "out"
        replies = breaking_off(100_000, *fields)
        async with raw_server(replies) as server:
            destination = FileDestination(session, server.url(), path, None)
            assert await attempts(destination, 1) == ["truncated"]
            assert destination.can_go_on
            assert not path.exists()
            if fields:
                await destination.attempt()
                assert path.read_bytes() == BODY
                path.unlink()
            destination.discard()
        assert os.listdir(tmp_path) == []
