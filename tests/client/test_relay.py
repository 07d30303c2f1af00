"""A download chained straight into an upload: every framing into every kind of request, by splice and without."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import (
    BaseConnector,
    ClientError,
    ClientPayloadError,
    ClientSession,
    ContinuedContent,
    IdleWriteTimeoutError,
    IncompleteMessageError,
    RedirectError,
    StreamConsumedError,
    StreamReader,
    TCPConnector,
    Timeout,
    UnixConnector,
    request,
)
from fetchd.client import relay as relaying
from fetchd.client.limits import COALESCE_BYTES
from tests.support.certs import client_context, server_context
from tests.support.raw_proxy import http_proxy
from tests.support.raw_server import RawConnection, RawServer, Request, Script, raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

LARGE = os.urandom(1 << 20) * 3 + b"end"
PACKED = gzip.compress(LARGE[:700_000], 1)
SPLICE = os.splice


@pytest.fixture
def spliced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each call of splice(2) has moved."""
    moved: list[int] = []

    def splice(*args: Any) -> int:
        count = SPLICE(*args)
        moved.append(count)
        return count

    monkeypatch.setattr(os, "splice", splice)
    return moved


def head_of(length: int, *fields: str) -> bytes:
    """The head of a response whose content follows by and by."""
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {length}", *fields, "", ""]).encode()


def in_pieces(length: int, content: bytes, *fields: str) -> Script:
    """A source that sends *content* behind a head that announces *length* octets, and ends the connection."""

    async def script(conn: RawConnection) -> None:
        async for _ in conn:
            await conn.send(head_of(length, *fields))
            for start in range(0, len(content), 100_000):
                await conn.send(content[start : start + 100_000])
                await asyncio.sleep(0)
            if len(content) < length:
                return

    return script


FRAMINGS: dict[str, tuple[Script, bytes, bool, int | None]] = {
    # what the source does, octets that the sink must get, whether codings are removed, the length that is known
    "length": (in_pieces(len(LARGE), LARGE), LARGE, True, len(LARGE)),
    "empty": (reply_with(response()), b"", True, 0),
    "small": (reply_with(response(body=b"abc")), b"abc", True, 3),
    "chunked": (reply_with(response(body=LARGE, framing="chunked")), LARGE, True, None),
    "eof": (reply_with(response(body=LARGE, framing="eof"), close=True), LARGE, True, None),
    "gzip as sent": (in_pieces(len(PACKED), PACKED, "Content-Encoding: gzip"), PACKED, False, len(PACKED)),
    "gzip decoded": (in_pieces(len(PACKED), PACKED, "Content-Encoding: gzip"), LARGE[:700_000], True, None),
}


def as_put(session: ClientSession, url: str, content: StreamReader, **options: Any) -> Any:
    """PUT."""
    return session.put(url, data=content, **options)


def as_post(session: ClientSession, url: str, content: StreamReader, **options: Any) -> Any:
    """POST, the content as it is."""
    return session.post(url, data=content, **options)


def as_field(session: ClientSession, url: str, content: StreamReader, **options: Any) -> Any:
    """POST, the content as a field of a form."""
    return session.post(url, data={"file": content}, **options)


@contextlib.asynccontextmanager
async def sink_by(way: str, folder: Path) -> AsyncIterator[tuple[RawServer, BaseConnector, dict[str, Any]]]:
    """A server that takes everything, a connector that leads there, and options of the request."""
    reply = reply_with(response(201))
    if way == "TLS":
        async with raw_server(reply, tls=server_context()) as server:
            yield server, TCPConnector(ssl=client_context()), {}
    elif way == "unix":
        async with raw_server(reply, unix=folder / "sink.sock") as server:
            yield server, UnixConnector(str(folder / "sink.sock")), {}
    elif way == "proxy":
        async with raw_server(reply) as server, raw_server(http_proxy()) as proxy:
            yield server, TCPConnector(), {"proxy": proxy.url("")}
    else:
        async with raw_server(reply) as server:
            yield server, TCPConnector(), {}


WAYS = pytest.mark.parametrize("way", ["spliced", "copied", "decrypted"])


@contextlib.asynccontextmanager
async def source_by(
    way: str, script: Script, monkeypatch: pytest.MonkeyPatch, **given: Any
) -> AsyncIterator[tuple[RawServer, ClientSession]]:
    """A server that is read from by *way*, and a session that may."""
    if way == "copied":
        monkeypatch.delattr(os, "splice")
    tls = server_context() if way == "decrypted" else None
    connector = TCPConnector(ssl=client_context()) if tls else TCPConnector()
    async with raw_server(script, tls=tls) as server, ClientSession(connector=connector, **given) as session:
        yield server, session


def content_of(asked: Request) -> bytes:
    """What the sink was given; of a form, its only field."""
    if not asked.fields["Content-Type"].startswith("multipart/"):
        return asked.body
    boundary = asked.fields["Content-Type"].partition("boundary=")[2].encode()
    head, _, rest = asked.body.partition(b"\r\n\r\n")
    assert head.startswith(b"--" + boundary + b"\r\n")
    assert rest.endswith(b"\r\n--" + boundary + b"--\r\n")
    return rest[: -len(boundary) - 8]


@pytest.mark.parametrize("way", ["plain", "TLS", "unix", "proxy"])
@pytest.mark.parametrize("send", [as_put, as_post, as_field])
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_every_framing_goes_into_every_request(framing: str, send: Any, way: str, tmp_path: Path) -> None:
    """The same octets; announced by their length where the source announces it, else chunked; connections are kept."""
    source, expected, decode, length = FRAMINGS[framing]
    async with (
        raw_server(source) as here,
        sink_by(way, tmp_path) as (there, connector, options),
        ClientSession(auto_decompress=decode) as session,
        ClientSession(connector=connector) as other,
    ):
        for _ in range(2):
            async with session.get(here.url()) as r, send(other, there.url(), r.content, **options) as answer:
                assert answer.status == 201
                assert r.content.length == length
            asked = there.requests[-1]
            assert content_of(asked) == expected
            assert ("Content-Length" in asked.fields) == (length is not None)
            assert ("Transfer-Encoding" in asked.fields) == (length is None)
        if framing != "eof":
            assert here.accepted == 1
        assert session.connector.idle_count == (framing != "eof")
        assert there.accepted == 1 or way == "proxy"


async def test_request_alone_does_it_too() -> None:
    """Without a session, in one line."""
    async with raw_server(in_pieces(len(LARGE), LARGE)) as here, raw_server(reply_with(response(201))) as there:
        r = await request("get", here.url())
        answer = await request("post", there.url(), data=r.content)
        assert (answer.status, there.requests[0].body) == (201, LARGE)


@pytest.mark.parametrize("is_there", [True, False])
async def test_between_plain_sockets_it_is_spliced(
    spliced: list[int], monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Where the system has splice(2); what comes out is the same."""
    if not is_there:
        monkeypatch.delattr(os, "splice")
    async with (
        raw_server(in_pieces(len(LARGE), LARGE)) as here,
        raw_server(reply_with(response(201))) as there,
        ClientSession() as session,
        session.get(here.url()) as r,
        session.put(there.url(), data=r.content),
    ):
        assert there.requests[0].body == LARGE
    assert (sum(spliced) > 2 << 20) == is_there


async def test_from_tls_to_a_plain_socket_it_passes_the_reader_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decrypted into one piece of memory and sent from there; the same octets, and both connections are kept."""
    taken: list[int] = []
    fill = relaying._Memory.fill

    def counted(self: Any, channel: Any, limit: int) -> int | None:
        count = fill(self, channel, limit)
        taken.append(count or 0)
        return count

    monkeypatch.setattr(relaying._Memory, "fill", counted)
    async with (
        source_by("decrypted", in_pieces(len(LARGE), LARGE), monkeypatch) as (here, session),
        raw_server(reply_with(response(201))) as there,
        ClientSession() as other,
    ):
        for _ in range(2):
            async with session.get(here.url()) as r, other.put(there.url(), data=r.content):
                assert there.requests[-1].body == LARGE
        assert (here.accepted, there.accepted) == (1, 1)
    assert sum(taken) > 2 << 20


@pytest.mark.parametrize("size", [0, 1, COALESCE_BYTES, COALESCE_BYTES + 1])
async def test_a_small_content_that_is_there_whole_is_sent_like_octets(size: int) -> None:
    """With the head of the request, and again where octets would be: after a redirection that keeps the content."""

    async def sink(conn: RawConnection) -> None:
        async for asked in conn:
            moved = response(307, fields=[("Location", "/there")])
            await conn.send(moved if asked.target == "/" else response(201))

    body = LARGE[:size]
    async with raw_server(sink) as there, ClientSession() as session:
        stream = StreamReader()
        if body:
            stream.feed_data(body)
        stream.feed_eof()
        if size <= COALESCE_BYTES:
            async with session.put(there.url(), data=stream) as answer:
                assert answer.status == 201
        else:
            with pytest.raises(RedirectError):
                await session.put(there.url(), data=stream)
        assert all(asked.body == body for asked in there.requests)
        assert {asked.fields["Content-Type"] for asked in there.requests} == {"application/octet-stream"}
        with pytest.raises(StreamConsumedError):
            await session.put(there.url(), data=stream)


async def chunked_to(session: ClientSession, url: str, content: StreamReader) -> Any:
    """As chunks although the length is known."""
    return await session.put(url, data=content, chunked=True)


async def packed_to(session: ClientSession, url: str, content: StreamReader) -> Any:
    """Compressed."""
    return await session.put(url, data=content, compress="gzip")


async def begun_to(session: ClientSession, url: str, content: StreamReader) -> Any:
    """Without the octets that were read before."""
    await content.readexactly(10)
    return await session.put(url, data=content)


@pytest.mark.parametrize("send", [chunked_to, packed_to, begun_to])
async def test_what_is_sent_otherwise_is_read(spliced: list[int], send: Any) -> None:
    """Chunked, compressed, or begun by the caller, so that its length is not that of the framing."""
    async with (
        raw_server(in_pieces(len(LARGE), LARGE)) as here,
        raw_server(reply_with(response(201))) as there,
        ClientSession() as session,
        session.get(here.url()) as r,
        await send(session, there.url(), r.content),
    ):
        body = there.requests[0].body
    body = gzip.decompress(body) if send is packed_to else body
    assert body == (LARGE[10:] if send is begun_to else LARGE)
    assert not spliced


async def test_a_digest_is_verified_on_the_way(spliced: list[int]) -> None:
    """The octets pass through Python then; a wrong one breaks the request before it is whole, if it is chunked."""
    fields = [("Repr-Digest", f"sha-256=:{'A' * 43}=:")]
    async with (
        raw_server(reply_with(response(body=LARGE, fields=fields))) as here,
        raw_server(reply_with(response(201))) as there,
        ClientSession(verify_digest=True) as session,
        session.get(here.url()) as r,
    ):
        with pytest.raises(ClientPayloadError, match="Repr-Digest"):
            await session.put(there.url(), data=r.content, chunked=True)
        assert not there.requests
    assert not spliced


def slow_source(size: int, sent: list[int]) -> Script:
    """A source of *size* octets that counts what was taken from it."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(head_of(size))
        piece = bytes(65_536)
        for _ in range(size // len(piece)):
            await conn.send(piece)
            sent.append(len(piece))

    return script


async def until_quiet(values: list[int]) -> None:
    """Wait until nothing is added to *values* for a while."""
    seen = -1
    while seen != len(values):
        seen = len(values)
        await asyncio.sleep(0.2)


@pytest.mark.slow
@WAYS
async def test_a_sink_that_takes_nothing_stops_the_source(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Of 1 GiB no more is taken than the system holds for four ends of sockets; all ends with the cancellation."""
    may_go_on, sent = asyncio.Event(), list[int]()

    async def sink(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await may_go_on.wait()

    async with (
        source_by(way, slow_source(1 << 30, sent), monkeypatch) as (here, session),
        raw_server(sink) as there,
        session.get(here.url()) as r,
    ):
        upload = asyncio.ensure_future(session.put(there.url(), data=r.content))
        await until_quiet(sent)
        assert (1 << 19) < sum(sent) < (1 << 26)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert session.connector.open_count == 0
        may_go_on.set()
        await here.until(lambda: here.open_connections == 0)


async def test_a_sink_that_takes_nothing_is_given_up() -> None:
    """After ``idle_write``; the source, which was ready all the time, is not to blame, nor too slow; it is closed."""
    sent: list[int] = []

    async def sink(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await asyncio.get_running_loop().create_future()

    async with (
        raw_server(slow_source(1 << 30, sent)) as here,
        raw_server(sink) as there,
        ClientSession(timeout=Timeout(idle_write=0.5, idle_read=0.2, low_speed=(1000, 0.1))) as session,
        session.get(here.url()) as r,
    ):
        with pytest.raises(IdleWriteTimeoutError):
            await session.put(there.url(), data=r.content)
        assert session.connector.open_count == 0


async def never(conn: RawConnection) -> None:
    """Send a part, and nothing more."""
    await conn.read_request()
    await conn.send(head_of(len(LARGE)) + LARGE[:1000])
    await conn.read_eof()


@pytest.mark.parametrize("after", [0.0, 0.02, 0.1])
async def test_cancelling_the_upload_ends_both(after: float) -> None:
    """Whatever it waits for; both connectors serve the next request."""
    async with (
        raw_server(never) as here,
        raw_server(reply_with(response(201))) as there,
        ClientSession() as session,
        ClientSession() as other,
        session.get(here.url()) as r,
    ):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.put(there.url(), data=r.content), after)
        assert other.connector.open_count == 0
        if after:
            assert session.connector.open_count == 0
        async with other.get(there.url("/next")) as answer:
            assert answer.status == 201


async def test_closing_the_download_ends_both() -> None:
    """The request breaks; its connection, with half a request on it, is closed."""
    async with (
        raw_server(never) as here,
        raw_server(reply_with(response(201))) as there,
        ClientSession() as session,
        session.get(here.url()) as r,
    ):
        upload = asyncio.ensure_future(session.put(there.url(), data=r.content))
        await there.until(lambda: there.accepted == 1)
        r.close()
        with pytest.raises(ClientPayloadError):
            await upload
        assert session.connector.open_count == 0


@pytest.mark.parametrize("status", [401, 413])
@WAYS
async def test_an_early_refusal_is_the_response(monkeypatch: pytest.MonkeyPatch, way: str, status: int) -> None:
    """Not a broken pipe: the answer is read whole, and nothing more is taken from the source."""
    sent: list[int] = []

    async def sink(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.send(response(status, b"no", [("WWW-Authenticate", "Basic")]))
        await conn.read_eof()

    async with (
        source_by(way, slow_source(1 << 28, sent), monkeypatch) as (here, session),
        raw_server(sink) as there,
        session.get(here.url()) as r,
        session.put(there.url(), data=r.content) as answer,
    ):
        assert (answer.status, await answer.read()) == (status, b"no")
        assert session.connector.open_count == 0
        assert sum(sent) < (1 << 28)


@WAYS
async def test_a_source_that_breaks_off_breaks_the_request(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """As truncated, with what had come: the sink never has a whole request."""
    async with (
        source_by(way, in_pieces(len(LARGE), LARGE[:-1]), monkeypatch) as (here, session),
        raw_server(reply_with(response(201))) as there,
        session.get(here.url()) as r,
    ):
        with pytest.raises(IncompleteMessageError) as caught:
            await session.put(there.url(), data=r.content)
        assert (caught.value.received, caught.value.expected) == (len(LARGE) - 1, len(LARGE))
        assert not there.requests
        assert session.connector.open_count == 0


@WAYS
async def test_a_source_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """After ``idle_read``."""
    async with (
        source_by(way, never, monkeypatch, timeout=Timeout(idle_read=0.1)) as (here, session),
        raw_server(reply_with(response(201))) as there,
        session.get(here.url()) as r,
    ):
        with pytest.raises(ClientError, match=r"0\.1"):
            await session.put(there.url(), data=r.content)
        assert session.connector.open_count == 0


def cut_at(*places: int) -> Script:
    """A source that ends the n-th connection before the n-th of *places*; it goes on where it is asked to."""
    left = iter(places)

    async def script(conn: RawConnection) -> None:
        asked = await conn.read_request()
        start = int(asked.fields.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        place = next(left, len(LARGE))
        await conn.send(head_of(len(LARGE) - start) + LARGE[start:place])

    return script


def going_on(session: ClientSession, url: str, asked: list[int]) -> Callable[[int, ClientError], Any]:
    """Ask for the rest."""

    async def go_on(delivered: int, failure: ClientError) -> StreamReader:
        asked.append(delivered)
        rest = await session.get(url, headers={"Range": f"bytes={delivered}-"})
        return rest.content

    return go_on


@pytest.mark.parametrize("send", [as_put, as_field])
@WAYS
async def test_content_that_breaks_off_goes_on_with_another(
    monkeypatch: pytest.MonkeyPatch, way: str, send: Any
) -> None:
    """From the octet that the request has come to; it is one request with the length of the first."""
    if way == "copied":
        monkeypatch.delattr(os, "splice")
    places, asked = (0, 5, 1_500_000, 3_000_000), list[int]()
    async with (
        raw_server(cut_at(*places)) as here,
        raw_server(reply_with(response(201))) as there,
        ClientSession() as session,
        session.get(here.url()) as r,
    ):
        content = ContinuedContent(r.content, going_on(session, here.url(), asked))
        async with send(session, there.url(), content) as answer:
            assert answer.status == 201
        assert content_of(there.requests[0]) == LARGE
        assert content.delivered == len(LARGE)
        assert asked == list(places)
    assert len(there.requests) == 1


async def test_what_cannot_go_on_breaks_the_request() -> None:
    """By what the caller raises."""

    async def go_on(delivered: int, failure: ClientError) -> StreamReader:
        raise LookupError(delivered)

    async with (
        raw_server(cut_at(7)) as here,
        raw_server(reply_with(response(201))) as there,
        ClientSession() as session,
        session.get(here.url()) as r,
    ):
        with pytest.raises(LookupError, match="7"):
            await session.put(there.url(), data=ContinuedContent(r.content, go_on))
        assert session.connector.open_count == 0


@pytest.mark.parametrize("count", [-1, 1])
async def test_content_that_goes_on_with_another_length_breaks_the_request(count: int) -> None:
    """What was announced is kept, or the request is not whole."""

    async def go_on(delivered: int, failure: ClientError) -> StreamReader:
        rest = await session.get(other.url())
        return rest.content

    async with (
        raw_server(cut_at(1_000_000)) as here,
        raw_server(reply_with(response(body=bytes(len(LARGE) - 1_000_000 + count)))) as other,
        raw_server(reply_with(response(201))) as there,
        ClientSession() as session,
        session.get(here.url()) as r,
    ):
        with pytest.raises(ClientPayloadError, match="announced were"):
            await session.put(there.url(), data=ContinuedContent(r.content, go_on))
        assert not there.requests
        assert here.requests


async def test_content_is_sent_once() -> None:
    """The second time it would be empty."""
    async with (
        raw_server(in_pieces(len(LARGE), LARGE)) as here,
        raw_server(reply_with(response(201))) as there,
        ClientSession() as session,
        session.get(here.url()) as r,
    ):
        async with session.put(there.url(), data=r.content):
            pass
        assert r.content.at_eof()
        with pytest.raises(StreamConsumedError):
            await session.put(there.url(), data=r.content)


async def test_no_pipe_to_be_had_is_an_error_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process has no descriptors left; nothing hangs."""

    def refuse(flags: int) -> tuple[int, int]:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(os, "pipe2", refuse)
    async with (
        raw_server(in_pieces(len(LARGE), LARGE)) as here,
        raw_server(reply_with(response(201))) as there,
        ClientSession() as session,
        session.get(here.url()) as r,
        session.put(there.url(), data=r.content) as answer,
    ):
        assert answer.status == 201
        assert there.requests[0].body == LARGE
