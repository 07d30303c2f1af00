"""One connection at work: stale ones, truncated content, early replies, uploads of every kind, and each deadline."""

from __future__ import annotations

import asyncio
import errno
import gc
import io
import os
import socket
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiofiles
import pytest

from fetchd.client import (
    ClientError,
    ClientOSError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    FirstByteTimeoutError,
    IdleReadTimeoutError,
    IdleWriteTimeoutError,
    IncompleteMessageError,
    ResponseProtocolError,
    ServerDisconnectedError,
    StreamReader,
    TCPConnector,
    Timeout,
    TotalTimeoutError,
)
from fetchd.client.channel import Channel
from fetchd.client.connection import Connection
from fetchd.client.exchange import Exchange
from fetchd.client.limits import LARGE_RECV_BYTES, RECV_BYTES
from fetchd.client.outbox import Outbox
from tests.support import certs
from tests.support.raw_server import RawConnection, Script, raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

LARGE = bytes(range(256)) * 4096 * 6  # 6 MiB: more than the buffers of both ends
BOUND = 0.15  # s: a busy machine stops for a tenth of a second

plain_and_tls = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


def server_of(script: Script, tls: bool) -> Any:
    """The server, in TLS or not."""
    return raw_server(script, tls=certs.server_context() if tls else None)


def session_of(tls: bool = False, timeout: Timeout | None = None) -> ClientSession:
    """A session that can talk to it."""
    return ClientSession(connector=TCPConnector(ssl_context=certs.client_context() if tls else None), timeout=timeout)


async def echo(conn: RawConnection) -> None:
    """Answers with the octets of the request's content."""
    async for asked in conn:
        await conn.send(response(body=asked.body))


def pieces_of(data: bytes, size: int = 60_000) -> AsyncIterator[bytes]:
    """*data* as a source that is used once."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]
            await asyncio.sleep(0)

    return pieces()


# Stale connections (RFC 9112 section 9.3.1): a reused connection turns out to be closed.


def leaves_at(*requests: int, how: str = "close", octets: bytes = b"") -> Script:
    """A script that leaves instead of answering the requests of these numbers, counted over all connections."""
    seen = -1

    async def script(conn: RawConnection) -> None:
        nonlocal seen
        async for asked in conn:
            seen += 1
            if seen in requests:
                if octets:
                    await conn.send(octets)
                if how == "reset":
                    conn.reset()
                return
            content = b"" if asked.method == "HEAD" else asked.target.encode() + asked.body
            await conn.send(response(body=content))

    return script


REPEATED = {
    "get": ("GET", b"", None),
    "head": ("HEAD", b"", None),
    "options": ("OPTIONS", b"", None),
    "delete": ("DELETE", b"", None),
    "put-octets": ("PUT", b"octets", bytes),
    "put-large": ("PUT", LARGE, bytes),
    "put-file": ("PUT", b"a file of octets", io.BytesIO),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(("method", "sent", "make"), REPEATED.values(), ids=REPEATED)
@plain_and_tls
async def test_an_idempotent_request_is_sent_once_more_on_a_fresh_connection(
    method: str, sent: bytes, make: Callable[[bytes], Any] | None, how: str, tls: bool
) -> None:
    """Not an octet of a response had come, and the body can be sent again, whole (RFC 9110 section 9.2.2)."""
    async with server_of(leaves_at(1, how=how), tls) as server, session_of(tls) as session:
        await (await session.get(server.url("/first"))).read()
        async with session.request(method, server.url("/again"), data=make and make(sent)) as reply:
            body = await reply.read()
        assert body == (b"" if method == "HEAD" else b"/again" + sent)
        assert [(asked.connection, asked.method) for asked in server.requests] == [(0, "GET"), (0, method), (1, method)]
        assert all(asked.body == sent for asked in server.requests[1:])
        assert (session.connector.open_count, session.connector.idle_count) == (1, 1)


async def test_a_file_is_sent_again_from_where_it_stood(tmp_path: Path) -> None:
    """Not from its beginning, and not from where the failed attempt came to."""
    path = tmp_path / "file"
    path.write_bytes(b"skipped" + b"sent" * 100_000)
    async with raw_server(leaves_at(1)) as server, ClientSession() as session:
        await (await session.get(server.url("/first"))).read()
        with path.open("rb") as file:
            file.seek(len(b"skipped"))
            async with session.put(server.url("/again"), data=file) as reply:
                assert await reply.read() == b"/again" + b"sent" * 100_000
        assert [len(asked.body) for asked in server.requests] == [0, 400_000, 400_000]


NEVER_REPEATED: dict[str, tuple[str, Callable[[], Any], bytes]] = {
    "post": ("POST", lambda: b"order", b""),
    "post-nothing": ("POST", lambda: None, b""),
    "patch": ("PATCH", lambda: b"change", b""),
    "put-generator": ("PUT", lambda: pieces_of(b"once"), b""),
    "get-after-an-octet": ("GET", lambda: None, b"H"),
    "get-after-a-head": ("GET", lambda: None, b"HTTP/1.1 200 OK\r\nContent-Le"),
    "get-after-100": ("GET", lambda: None, b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(("method", "data", "octets"), NEVER_REPEATED.values(), ids=NEVER_REPEATED)
async def test_what_may_have_had_an_effect_is_not_sent_again(
    method: str, data: Callable[[], Any], octets: bytes, how: str
) -> None:
    """A method that is not idempotent, a body that is used up, or a response that had begun: the caller decides."""
    async with raw_server(leaves_at(1, how=how, octets=octets)) as server, ClientSession() as session:
        await (await session.get(server.url("/first"))).read()
        with pytest.raises((ServerDisconnectedError, ClientOSError)):
            await session.request(method, server.url("/once"), data=data())
        assert len(server.requests) == 2
        assert session.connector.open_count == 0


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_fresh_connection_is_not_repeated(how: str) -> None:
    """The server saw the request and left: that is an answer."""
    async with raw_server(leaves_at(0, how=how)) as server, ClientSession() as session:
        with pytest.raises((ServerDisconnectedError, ClientOSError)):
            await session.get(server.url("/first"))
        assert (server.accepted, len(server.requests)) == (1, 1)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("options", [{}, {"headers": {"X": "y"}}], ids=["plain", "with-options"])
async def test_a_request_is_never_sent_a_third_time(how: str, options: Any) -> None:
    """One more attempt, and what becomes of that is the answer."""
    async with raw_server(leaves_at(1, 2, how=how)) as server, ClientSession() as session:
        await (await session.get(server.url("/first"))).read()
        with pytest.raises((ServerDisconnectedError, ClientOSError)):
            await session.get(server.url("/again"), **options)
        assert [asked.connection for asked in server.requests] == [0, 0, 1]
        assert (server.accepted, session.connector.open_count) == (2, 0)


async def _read(session: ClientSession, url: str) -> bytes:
    async with session.get(url) as reply:
        return await reply.read()


async def test_the_second_attempt_waits_for_a_place_and_then_connects_anew() -> None:
    """A connection that becomes free while it waits has served before, and may be stale as well."""
    stale = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/stale" and conn.number == 0:
                stale.set()
                return
            if asked.target == "/busy":
                await stale.wait()
                await asyncio.sleep(0.01)
            await conn.send(response(body=asked.target.encode()))

    connector = TCPConnector(limit=2)
    async with raw_server(script) as server, ClientSession(connector=connector) as session:
        assert await _read(session, server.url("/first")) == b"/first"
        replies = await asyncio.gather(
            _read(session, server.url("/stale")),
            _read(session, server.url("/busy")),
            _read(session, server.url("/busy")),
        )
        assert list(replies) == [b"/stale", b"/busy", b"/busy"]
        again = [asked.connection for asked in server.requests if asked.target == "/stale"]
        assert again[0] == 0
        assert next(asked.target for asked in server.requests if asked.connection == again[1]) == "/stale"


# Truncated content.

TRUNCATED = {
    "length": (response(body=b"x" * 1000)[:-300], 700, 1000),
    "length-none": (response(body=b"x" * 1000)[:-1000], 0, 1000),
    "chunk": (response(body=b"x" * 1000, framing="chunked")[:-307], 700, None),
    "last-chunk": (response(body=b"x" * 1000, framing="chunked")[:-5], 1000, None),
    "trailer": (response(body=b"x" * 1000, framing="chunked")[:-2], 1000, None),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(("reply", "received", "expected"), TRUNCATED.values(), ids=TRUNCATED)
@pytest.mark.parametrize("way", ["read", "stream", "save"])
async def test_truncated_content_is_always_an_error(
    reply: bytes, received: int, expected: int | None, how: str, way: str, tmp_path: Path
) -> None:
    """With what was received and what was expected; the octets that came can still be had (RFC 9112 section 8)."""
    go = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(reply)
        await go.wait()
        if how == "reset":
            conn.reset()

    async with raw_server(script) as server, ClientSession() as session:
        got = await session.get(server.url())
        await asyncio.sleep(0.01)  # a reset may overtake octets that were not read
        go.set()
        came = bytearray()
        with pytest.raises(IncompleteMessageError) as caught:
            await _take(got, way, tmp_path / "file", came)
        assert (caught.value.received, caught.value.expected) == (received, expected)
        assert ("reset" in caught.value.cause) is (how == "reset")
        if way == "stream":
            assert came == b"x" * received
        if way == "save":
            assert (tmp_path / "file").read_bytes() == b"x" * received
        assert session.connector.open_count == 0


async def _take(reply: ClientResponse, way: str, path: Path, came: bytearray) -> None:
    if way == "read":
        await reply.read()
    elif way == "save":
        await reply.save(path)
    else:
        async for piece in reply.content.iter_chunked(100):
            came += piece


async def test_content_to_the_end_is_broken_by_a_reset_only() -> None:
    """A clean end is its end; a reset never is."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=b"x" * 1000, framing="eof"))
        await asyncio.sleep(0.01)
        if conn.number == 1:
            conn.reset()

    async with raw_server(script) as server, ClientSession() as session:
        assert await _read(session, server.url()) == b"x" * 1000
        reply = await session.get(server.url())
        with pytest.raises(IncompleteMessageError) as caught:
            await reply.read()
        assert (caught.value.received, caught.value.expected) == (1000, None)


@pytest.mark.parametrize("octets", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"], ids=["nothing", "half-a-head"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_an_end_before_the_head_tells_how_far_it_came(octets: bytes, how: str) -> None:
    """There is no response: ServerDisconnectedError, or the error of the socket."""
    go = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(octets)
        await go.wait()
        if how == "reset":
            conn.reset()

    async with raw_server(script) as server, ClientSession() as session:
        task = asyncio.create_task(session.get(server.url()))
        await server.until(lambda: len(server.requests) == 1)
        await asyncio.sleep(0.01)
        go.set()
        with pytest.raises((ServerDisconnectedError, ClientOSError)) as caught:
            await task
        if isinstance(caught.value, ServerDisconnectedError):
            assert (how, caught.value.received) == ("close", len(octets))
        else:
            assert how == "reset"
            assert isinstance(caught.value, ClientOSError)
            assert caught.value.errno == errno.ECONNRESET


async def test_no_http_is_told_as_such() -> None:
    """ResponseProtocolError, the connection closed."""
    async with raw_server(reply_with(b"220 smtp.test ESMTP\r\n")) as server, ClientSession() as session:
        with pytest.raises(ResponseProtocolError, match="220 smtp"):
            await session.get(server.url())
        assert session.connector.open_count == 0


# Uploads: the server sees the exact octets, whatever the body is and however it is framed.


def _stream_of(data: bytes) -> StreamReader:
    stream = StreamReader()

    async def feed() -> None:
        for start in range(0, len(data), 100_000):
            await stream.write(data[start : start + 100_000])
        stream.feed_eof()

    stream_tasks.append(asyncio.create_task(feed()))
    return stream


stream_tasks: list[asyncio.Task[None]] = []

BODIES: dict[str, tuple[Callable[[bytes], Any], bool]] = {
    "octets": (lambda data: data, True),
    "bytearray": (bytearray, True),
    "memoryview": (memoryview, True),
    "text": (lambda data: data.decode("latin-1"), True),
    "bytesio": (io.BytesIO, True),
    "generator": (pieces_of, False),
    "tiny-pieces": (lambda data: pieces_of(data, max(1, len(data) // 300)), False),
    "stream": (_stream_of, False),
}


@pytest.mark.parametrize("length", [0, 1, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize(("make", "is_sized"), BODIES.values(), ids=BODIES)
@plain_and_tls
async def test_the_server_sees_the_exact_octets(
    make: Callable[[bytes], Any], is_sized: bool, length: int, tls: bool
) -> None:
    """By length where it is known, chunked where it is not (RFC 9112 section 6)."""
    data = LARGE[:length] if make is not BODIES["text"][0] else b"text" * (length // 4)
    async with server_of(echo, tls) as server, session_of(tls) as session:
        async with session.put(server.url(), data=make(data)) as reply:
            assert await reply.read() == data
        asked = server.requests[0]
        assert asked.body == data
        assert asked.fields.get("Content-Length") == (str(len(data)) if is_sized else None)
        assert asked.fields.get("Transfer-Encoding") == (None if is_sized else "chunked")
        assert session.connector.idle_count == 1
    while stream_tasks:
        await stream_tasks.pop()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["file", "aiofiles"])
@pytest.mark.parametrize("start", [0, 1000])
async def test_a_file_is_sent_from_where_it_stands(asynchronous: bool, start: int, tmp_path: Path) -> None:
    """Its length is what is left of it."""
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    async with raw_server(echo) as server, ClientSession() as session:
        if asynchronous:
            async with aiofiles.open(path, "rb") as opened:
                await opened.seek(start)
                async with session.put(server.url(), data=opened) as reply:
                    assert await reply.read() == LARGE[start:]
        else:
            with path.open("rb") as file:
                file.seek(start)
                async with session.put(server.url(), data=file) as reply:
                    assert await reply.read() == LARGE[start:]
            assert server.requests[0].fields["Content-Length"] == str(len(LARGE) - start)


async def test_a_pipe_is_sent_chunked_until_its_end(tmp_path: Path) -> None:
    """What cannot be measured is not announced."""
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as file, open(write_end, "wb") as feeder:
        feeder.write(b"through a pipe")
        feeder.close()
        async with raw_server(echo) as server, ClientSession() as session:
            async with session.post(server.url(), data=file) as reply:
                assert await reply.read() == b"through a pipe"
            assert server.requests[0].fields["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
@plain_and_tls
async def test_a_download_is_relayed_into_an_upload(framing: str, tls: bool) -> None:
    """``data=reply.content``: by length where the source tells it."""
    source = response(body=LARGE, framing=framing)

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.method == "GET":
                await conn.send(source)
                if framing == "eof":
                    return
            else:
                await conn.send(response(body=b"%d" % len(asked.body)))

    async with server_of(script, tls) as server, session_of(tls) as session:
        got = await session.get(server.url())
        async with session.put(server.url(), data=got.content) as reply:
            assert await reply.read() == b"%d" % len(LARGE)
        asked = server.requests[-1]
        assert asked.body == LARGE
        assert ("Content-Length" in asked.fields) is (framing == "length")


async def test_a_slow_server_holds_back_the_source() -> None:
    """What is not taken is not asked for: memory holds one piece, not the body."""
    given = 0
    go_on = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(200):
            given += 1
            yield bytes(100_000)

    async def script(conn: RawConnection) -> None:
        asked = await conn.read_request(body=False)
        await go_on.wait()
        content, _ = await conn.read_body(asked)
        await conn.send(response(body=b"%d" % len(content)))

    async with raw_server(script) as server, ClientSession() as session:
        task = asyncio.create_task(_post_text(session, server.url(), source()))
        await server.until(lambda: len(server.requests) == 1)
        await asyncio.sleep(0.05)
        assert given < 100
        go_on.set()
        assert await task == "20000000"


async def _post_text(session: ClientSession, url: str, data: Any) -> str:
    async with session.post(url, data=data) as reply:
        return await reply.text()


async def test_an_upload_lets_others_have_a_turn() -> None:
    """A source that never waits, and a peer that takes everything at once, do not keep the loop for themselves."""
    given = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield bytes(1_000_000)

    async def script(conn: RawConnection) -> None:
        await conn.read_eof()

    async with raw_server(script) as server, ClientSession() as session:
        task = asyncio.create_task(_post_text(session, server.url(), source()))
        await server.until(lambda: server.accepted == 1)
        await asyncio.sleep(0.01)
        [connection] = session.connector._connections
        connection._channel.send = len  # a peer that takes whatever is sent
        connection._channel.wake_writer()
        before = given
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert given - before < 20
        task.cancel()
        await asyncio.wait((task,))


class SourceError(Exception):
    """Of the caller's own."""


def _breaks() -> AsyncGenerator[bytes, None]:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"a piece"
        await asyncio.sleep(0)
        raise SourceError("the source broke")

    return pieces()


async def _is_cancelled() -> AsyncGenerator[bytes, None]:
    yield b"a piece"
    task = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(0)
    task.cancel()
    await task


async def _gives_text() -> AsyncGenerator[Any, None]:
    yield "no octets"


@pytest.mark.parametrize(
    ("make", "error"),
    [(_breaks, SourceError), (_is_cancelled, ClientPayloadError), (_gives_text, ClientPayloadError)],
    ids=["raises", "is-cancelled", "gives-text"],
)
async def test_a_source_that_fails_ends_the_request_with_its_failure(
    make: Callable[[], Any], error: type[Exception]
) -> None:
    """The server must not take half a body for a whole one: the connection is cut, no last chunk sent."""
    left: list[bytes] = []

    async def script(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        left.append(await conn.read_eof())

    async with raw_server(script) as server, ClientSession() as session:
        async with asyncio.timeout(5):
            with pytest.raises(error):
                await session.put(server.url(), data=make())
        await server.until(lambda: server.open_connections == 0)
        assert not left[0].endswith(b"0\r\n\r\n")
        assert session.connector.open_count == 0


class Lying(io.BytesIO):
    """A file that gives more or less than its size."""

    def __init__(self, size: int, given: int) -> None:
        super().__init__(bytes(size))
        self._left = given

    def read(self, size: int | None = -1) -> bytes:
        given = min(self._left, size or 0)
        self._left -= given
        return bytes(given)


async def test_a_file_that_became_shorter_ends_the_request() -> None:
    """Fewer octets than announced would leave the server waiting for the rest."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.read_eof()

    async with raw_server(script) as server, ClientSession() as session:
        with pytest.raises(ClientPayloadError, match="gave 600 octets, announced were 1000"):
            await session.put(server.url(), data=Lying(1000, 600))
        assert session.connector.open_count == 0


async def test_the_cleanup_of_a_source_that_fails_is_not_cancelled() -> None:
    """It failed by itself: its ``finally`` may wait."""
    cleaned = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"a piece"
            raise SourceError
        finally:
            await asyncio.sleep(0.005)
            cleaned.append(True)

    async def script(conn: RawConnection) -> None:
        await conn.read_eof()

    async with raw_server(script) as server, ClientSession() as session:
        with pytest.raises(SourceError):
            await session.put(server.url(), data=pieces())
        assert cleaned == [True]


# Early replies: the server answers before it has read the request (RFC 9112 section 9.5).


def answers_early(reply: bytes, then: str) -> Script:
    """A script that answers at the head of the request, and then leaves in some way."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.read_exactly(1000)
        await conn.send(reply)
        if then == "reset":
            conn.reset()
        elif then == "read":
            await conn.read_eof()
        elif then == "stall":
            await asyncio.Event().wait()

    return script


EARLY = {
    "413": response(413, b"too large", reason="Content Too Large"),
    "401-close": response(401, b"who?", [("Connection", "close")], reason="Unauthorized"),
    "307": response(307, b"elsewhere", reason="Temporary Redirect"),
    "200": response(200, b"never mind"),
}


@pytest.mark.parametrize("then", ["reset", "close", "read", "stall"])
@pytest.mark.parametrize("reply", EARLY.values(), ids=EARLY)
@pytest.mark.parametrize("make", [bytes, pieces_of, io.BytesIO], ids=["octets", "generator", "file"])
async def test_an_early_reply_stops_the_upload_and_is_returned(
    reply: bytes, then: str, make: Callable[[bytes], Any]
) -> None:
    """Whatever the server does to the connection afterwards; which is never used again."""
    if then == "reset":
        # What was sent and not read may, on its way back as a reset, overtake a reply that was not read yet.
        pass
    async with raw_server(answers_early(reply, then)) as server, ClientSession() as session:
        async with asyncio.timeout(5):
            got = await session.put(server.url(), data=make(LARGE * 3))
            body = await got.read()
        assert reply.endswith(b"\r\n\r\n" + body)
        assert session.connector.open_count == 0


async def test_the_head_of_a_refusal_stops_the_upload() -> None:
    """Its content may take as long as it likes."""
    stopped = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65_536
        finally:
            stopped.set()

    async def refuses(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.send(response(413, b"too large")[:-1])
        await stopped.wait()
        await conn.send(b"e")

    async with raw_server(refuses) as server, ClientSession() as session, asyncio.timeout(5):
        async with session.put(server.url(), data=pieces()) as got:
            assert (got.status, await got.read()) == (413, b"too large")
        assert session.connector.open_count == 0


@plain_and_tls
async def test_a_server_may_answer_while_it_reads(tls: bool) -> None:
    """More than the buffers hold goes up and comes back at once: neither side waits for the other to end.

    The request used to be sent to its last octet before the response was given: a server that stops reading while
    nobody reads from it (an echo, a filter) and the client then waited for each other until a timeout.
    """

    async def script(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        left = len(body)
        while left:
            piece = await conn.read_exactly(min(65_536, left))
            left -= len(piece)
            await conn.send(piece)

    body = LARGE * 3
    async with server_of(script, tls) as server, session_of(tls) as session, asyncio.timeout(10):
        reply = await session.put(server.url(), data=body)
        assert await reply.read() == body


async def test_a_source_may_wait_for_the_response() -> None:
    """A conversation: each piece of the request is made of the piece of the response before."""
    told: asyncio.Queue[bytes] = asyncio.Queue()

    async def source() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield await told.get()

    async def script(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            await conn.send(b"4\r\nnext\r\n")
            assert await conn.read_until(b"\r\n") == b"2\r\n"
            await conn.read_until(b"\r\n")
        await conn.read_until(b"0\r\n\r\n")
        await conn.send(b"0\r\n\r\n")

    async with raw_server(script) as server, ClientSession() as session, asyncio.timeout(5):
        async with session.post(server.url(), data=source()) as reply:
            for _ in range(3):
                assert await reply.content.readexactly(4) == b"next"
                told.put_nowait(b"ok")
            assert await reply.content.read() == b""
        assert (session.connector.open_count, session.connector.idle_count) == (1, 1)


async def test_a_response_dropped_during_its_upload_ends_the_upload() -> None:
    """Nobody wants it any more: source and connection are closed."""
    closed = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1000)
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    async def script(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        await conn.read_eof()

    async with raw_server(script) as server, ClientSession() as session, asyncio.timeout(5):
        reply = await session.post(server.url(), data=source())
        reply.close()
        await closed.wait()
        await server.until(lambda: server.open_connections == 0)
        assert session.connector.open_count == 0


async def test_a_source_that_fails_after_an_early_reply_breaks_the_content() -> None:
    """The reader learns of it."""
    go = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield b"x"
        await go.wait()
        raise SourceError("too late")

    async def script(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await conn.read_eof()

    async with raw_server(script) as server, ClientSession() as session, asyncio.timeout(5):
        reply = await session.post(server.url(), data=source())
        assert await reply.content.readexactly(3) == b"abc"
        go.set()
        with pytest.raises(SourceError):
            await reply.content.read()
        assert session.connector.open_count == 0


# Deadlines: each phase has its own bound and its own error.


async def _never(conn: RawConnection) -> None:
    await asyncio.Event().wait()


async def _reads_and_stalls(conn: RawConnection) -> None:
    await conn.read_request()
    await asyncio.Event().wait()


async def _drips_a_head(conn: RawConnection) -> None:
    await conn.read_request()
    await conn.send_slowly(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, step=1, pause=0.01)


async def _interim_for_ever(conn: RawConnection) -> None:
    await conn.read_request()
    await conn.send_slowly(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000, step=27, pause=0.01)


async def _half_a_body(conn: RawConnection) -> None:
    await conn.read_request()
    await conn.send(response(body=b"x" * 1000)[:-500])
    await asyncio.Event().wait()


async def _drips_a_body(conn: RawConnection) -> None:
    await conn.read_request()
    await conn.send_slowly(response(body=b"x" * 1000), step=1, pause=0.01)


async def get(session: ClientSession, url: str) -> bytes:
    """The use that the table of deadlines is about."""
    async with session.get(url) as reply:
        return await reply.read()


async def put(session: ClientSession, url: str) -> bytes:
    """An upload that fills the buffers."""
    async with session.put(url, data=LARGE * 2) as reply:
        return await reply.read()


async def put_slowly(session: ClientSession, url: str) -> bytes:
    """An upload whose source waits for ever."""

    async def source() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with session.put(url, data=source()) as reply:
        return await reply.read()


async def save(session: ClientSession, url: str) -> bytes:
    """A download to disk."""
    async with session.get(url) as reply:
        await reply.save("/dev/null")
        return b""


Use = Callable[[ClientSession, str], Awaitable[bytes]]
DEADLINES: dict[str, tuple[Use, Script, Timeout, type[ClientError]]] = {
    "first-byte": (get, _reads_and_stalls, Timeout(first_byte=BOUND), FirstByteTimeoutError),
    "slow-head": (get, _drips_a_head, Timeout(first_byte=BOUND), FirstByteTimeoutError),
    "interim-for-ever": (get, _interim_for_ever, Timeout(first_byte=BOUND), FirstByteTimeoutError),
    "idle-read": (get, _half_a_body, Timeout(idle_read=BOUND), IdleReadTimeoutError),
    "idle-read-of-save": (save, _half_a_body, Timeout(idle_read=BOUND), IdleReadTimeoutError),
    "idle-write": (put, _never, Timeout(idle_write=BOUND), IdleWriteTimeoutError),
    "first-byte-after-upload": (put, _reads_and_stalls, Timeout(first_byte=BOUND), FirstByteTimeoutError),
    "total-of-head": (get, _drips_a_head, Timeout(total=BOUND), TotalTimeoutError),
    "total-of-body": (get, _drips_a_body, Timeout(total=BOUND), TotalTimeoutError),
    "total-of-save": (save, _drips_a_body, Timeout(total=BOUND), TotalTimeoutError),
    "total-of-upload": (put, _never, Timeout(total=BOUND), TotalTimeoutError),
    "total-of-slow-source": (put_slowly, _never, Timeout(total=BOUND), TotalTimeoutError),
}


@pytest.mark.parametrize(("use", "script", "timeout", "error"), DEADLINES.values(), ids=DEADLINES)
@plain_and_tls
async def test_each_phase_has_its_own_bound_and_error(
    use: Use, script: Script, timeout: Timeout, error: type[ClientError], tls: bool
) -> None:
    """Not before the bound, not long after it; nothing is left open."""
    async with server_of(script, tls) as server, session_of(tls, timeout) as session:
        began = time.monotonic()
        with pytest.raises(error) as caught:
            await use(session, server.url())
        took = time.monotonic() - began
        assert type(caught.value) is error
        assert caught.value.seconds == BOUND  # type: ignore[attr-defined]
        assert BOUND * 0.9 <= took < BOUND + 1
        assert session.connector.open_count == 0


async def test_content_that_keeps_coming_is_not_idle() -> None:
    """The bound is between two arrivals: a slow body may take as long as it likes."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send_slowly(response(body=b"x" * 20)[-30:], step=30)

    async def drip(conn: RawConnection) -> None:
        await conn.read_request()
        reply = response(body=b"x" * 8)
        await conn.send(reply[:-8])
        for octet in reply[-8:]:
            await asyncio.sleep(BOUND / 2)
            await conn.send(bytes([octet]))

    async with raw_server(drip) as server, ClientSession(timeout=Timeout(idle_read=BOUND)) as session:
        began = time.monotonic()
        assert await get(session, server.url()) == b"x" * 8
        assert time.monotonic() - began > BOUND * 2


async def test_a_slow_reader_is_not_an_idle_server() -> None:
    """While the reader is behind nothing is received, and the server is not blamed for that."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=LARGE))

    async with raw_server(script) as server, ClientSession(timeout=Timeout(idle_read=BOUND)) as session:
        reply = await session.get(server.url())
        first = await reply.content.readexactly(10)
        await asyncio.sleep(BOUND * 3)
        assert first + await reply.content.read() == LARGE


async def test_a_slow_reader_is_not_an_idle_server_after_an_upload_either() -> None:
    """The upload ends while the reader is behind: the end of sending starts no clock that nobody may stop."""

    async def script(conn: RawConnection) -> None:
        asked = await conn.read_request(body=False)
        sending = asyncio.create_task(conn.send(response(body=LARGE)))
        await conn.read_body(asked)
        await sending

    async def source() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"piece"
            await asyncio.sleep(BOUND / 2)

    async with raw_server(script) as server, ClientSession(timeout=Timeout(idle_read=BOUND)) as session:
        reply = await session.put(server.url(), data=source())
        await asyncio.sleep(BOUND * 5)
        assert await reply.read() == LARGE


async def test_a_server_that_goes_on_reading_is_not_idle() -> None:
    """The bound of writing is between two octets taken."""
    bound = 0.3

    async def script(conn: RawConnection) -> None:
        asked = await conn.read_request(body=False)
        left = int(asked.fields["Content-Length"])
        while left:
            await asyncio.sleep(bound / 5)
            left -= len(await conn.read_exactly(min(left, 4 << 20)))
        await conn.send(response(body=b"all"))

    async with raw_server(script) as server, ClientSession(timeout=Timeout(idle_write=bound)) as session:
        reply = await session.put(server.url(), data=LARGE * 4)
        assert await reply.read() == b"all"


async def test_a_bound_of_one_request_is_not_the_next_ones() -> None:
    """A timer that was set for a quick request does not strike the slow one behind it."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/slow":
                await asyncio.sleep(BOUND * 2)
            await conn.send(response(body=asked.target.encode()))

    async with raw_server(script) as server, ClientSession() as session:
        async with session.get(server.url("/quick"), timeout=Timeout(first_byte=BOUND)) as reply:
            await reply.read()
        async with session.get(server.url("/slow"), timeout=Timeout(first_byte=5)) as reply:
            assert await reply.read() == b"/slow"
        with pytest.raises(FirstByteTimeoutError):
            await session.get(server.url("/slow"), timeout=Timeout(first_byte=BOUND))
        assert server.accepted == 1


async def test_the_total_bound_lasts_to_the_last_octet() -> None:
    """Head in time, content not."""
    async with raw_server(_half_a_body) as server, ClientSession() as session:
        reply = await session.get(server.url(), timeout=BOUND)
        with pytest.raises(TotalTimeoutError):
            await reply.read()
        assert session.connector.open_count == 0


# Memory.


@pytest.mark.parametrize("script", [leaves_at(0), reply_with(b"no http"), _half_a_body])
def test_a_failed_request_leaves_no_cycle(script: Script) -> None:
    """Session, connector and whatever was received are freed with the error, without the collector."""

    async def main() -> list[weakref.ref[Any]]:
        async with raw_server(script) as server:
            session = ClientSession(timeout=Timeout(idle_read=BOUND))
            refs: list[weakref.ref[Any]] = [weakref.ref(session), weakref.ref(session.connector)]
            try:
                reply = await session.get(server.url())
                refs.append(weakref.ref(reply))
                await reply.read()
            except ClientError as exc:
                refs.append(weakref.ref(exc))
            else:
                raise AssertionError("it fails")
            await session.close()
        return refs

    gc.collect()
    gc.disable()
    try:
        assert [ref() for ref in asyncio.run(main())] == [None] * (4 if script is _half_a_body else 3)
    finally:
        gc.enable()


# How much is received at once


async def test_a_body_that_is_there_is_received_before_its_reader_wakes() -> None:
    """One of 100 KiB by two calls; the next one on that connection by one."""
    body = bytes(range(256)) * 400
    octets = response(body=body)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    channel = Channel(loop, ours)
    limits: list[int] = []

    def recv(limit: int) -> bytes:
        limits.append(limit)
        return ours.recv(limit)

    channel.recv = recv
    connection = Connection(loop, channel, Outbox(loop), "key", lambda *_: None, lambda *_: None)
    theirs.setblocking(False)

    async def answer() -> None:
        await loop.sock_recv(theirs, 1000)
        assert theirs.send(octets) == len(octets)  # in one go

    with theirs:
        for expected in ([RECV_BYTES, LARGE_RECV_BYTES], [LARGE_RECV_BYTES]):
            limits.clear()
            server = asyncio.create_task(answer())
            exchange = Exchange("GET")
            await connection.perform(exchange, b"GET / HTTP/1.1\r\n\r\n", None, Timeout())
            await server
            assert exchange.is_ended
            assert exchange.body.take_all() == body
            assert limits == expected
        connection.close()
