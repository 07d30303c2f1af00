"""``compress=`` and ``chunked=``: a body is sent otherwise than it is given, and comes out as it was given."""

from __future__ import annotations

import asyncio
import io
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import ClientPayloadError, ClientSession, RedirectError, StreamReader, TraceConfig, compressing
from fetchd.client.codings import decoder_for
from fetchd.client.compressing import check_coding
from fetchd.client.limits import COALESCE_BYTES
from tests.support.raw_server import RawConnection, Request, raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

SMALL = b"small, small, small content"
LARGE = b"".join(b"line %d of a content that is large\n" % number for number in range(40_000))

codings = pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])


async def pieces() -> AsyncIterator[bytes]:
    """Of all sizes, none at all among them."""
    for start in range(0, len(LARGE), 300_000):
        yield b""
        yield LARGE[start : start + 300_000]


def stream() -> StreamReader:
    """Fed by the caller."""
    fed = StreamReader(length=len(SMALL))
    fed.feed_data(SMALL)
    fed.feed_eof()
    return fed


BODIES: dict[str, tuple[Callable[[], Any], bytes]] = {
    "small": (lambda: SMALL, SMALL),
    "large": (lambda: LARGE, LARGE),
    "file": (lambda: io.BytesIO(LARGE), LARGE),
    "pieces": (pieces, LARGE),
    "stream": (stream, SMALL),
    "form": (lambda: {"name": "value"}, b"name=value"),
}
bodies = pytest.mark.parametrize(("make", "content"), BODIES.values(), ids=BODIES)


def decoded(asked: Request) -> bytes:
    """The content of *asked*, by the decoders of responses, which are strict."""
    decoder = decoder_for(asked.fields.get("Content-Encoding", ""))
    if decoder is None:
        return asked.body
    parts = [decoder.decode(asked.body, 1 << 20)]
    while decoder.has_pending:
        parts.append(decoder.decode(b"", 1 << 20))
    decoder.finish()
    return b"".join(parts)


@codings
@bodies
async def test_content_is_sent_with_the_coding_that_is_asked_for(
    make: Callable[[], Any], content: bytes, coding: str
) -> None:
    """Every kind of body; the field says so, and the connection serves the next request."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        for _ in range(2):
            async with session.post(server.url(), data=make(), compress=coding) as reply:
                assert reply.status == 200
            asked = server.requests[-1]
            assert asked.fields.getall("Content-Encoding") == [coding]
            assert decoded(asked) == content
            assert len(asked.body) < len(content) or content != LARGE
        assert server.accepted == 1


@pytest.mark.parametrize("name", ["deflate", "DEFLATE", True])
async def test_true_is_deflate_which_is_zlib(name: bool | str) -> None:
    """As in aiohttp, and as RFC 9110 section 8.4.1.2 has it; JSON too. What is small has a length."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        async with session.post(server.url(), json=[1, 2], compress=name):
            pass
        asked = server.requests[0]
        assert zlib.decompress(asked.body) == b"[1, 2]"
        assert asked.fields["Content-Type"] == "application/json"
        assert int(asked.fields["Content-Length"]) == len(asked.body)


async def test_what_is_large_is_sent_as_it_is_made() -> None:
    """In chunks, none of them larger than a step."""
    body = bytes(COALESCE_BYTES + 1)
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        async with session.post(server.url(), data=body, compress="gzip"):
            pass
        assert server.requests[0].fields["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in server.requests[0].fields
        assert decoded(server.requests[0]) == body


async def test_no_content_has_no_coding() -> None:
    """Neither an empty one, nor none at all, nor False."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        for data, compress in ((b"", "gzip"), (None, "gzip"), (SMALL, False), (SMALL, None)):
            async with session.post(server.url(), data=data, compress=compress):
                pass
            assert "Content-Encoding" not in server.requests[-1].fields
            assert server.requests[-1].body == (data or b"")


async def test_a_coding_of_ones_own_excludes_ours() -> None:
    """Who sets the field has compressed already; nothing is sent."""
    async with ClientSession(headers={"Content-Encoding": "gzip"}) as session:
        with pytest.raises(ValueError, match="exclude each other"):
            await session.post("http://127.0.0.1:9/", data=SMALL, compress="gzip")


def test_a_coding_that_cannot_be_made_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told before anything is sent."""
    for wrong in ("identity", "snappy", "gzip, br"):
        with pytest.raises(ValueError, match="expected True, 'gzip'"):
            check_coding(wrong)
    monkeypatch.setattr(compressing, "has_brotli", lambda: False)
    monkeypatch.setattr(compressing, "has_zstd", lambda: False)
    for missing in ("br", "zstd"):
        with pytest.raises(ValueError, match=r"fetchd\[codings\]"):
            check_coding(missing)


@bodies
async def test_any_body_can_be_sent_in_chunks(make: Callable[[], Any], content: bytes) -> None:
    """RFC 9112 section 7.1, though its length is known; a request without one has no framing."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        async with session.post(server.url(), data=make(), chunked=True):
            pass
        asked = server.requests[0]
        assert asked.fields["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in asked.fields
        assert asked.body == content
        async with session.get(server.url(), chunked=True):
            pass
        assert "Transfer-Encoding" not in server.requests[1].fields


async def test_chunked_and_coded_go_together() -> None:
    """What would have a length has none."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        async with session.post(server.url(), data=SMALL, chunked=True, compress="gzip"):
            pass
        assert server.requests[0].fields["Transfer-Encoding"] == "chunked"
        assert decoded(server.requests[0]) == SMALL


@bodies
@pytest.mark.parametrize("more", [{}, {"compress": "gzip"}, {"chunked": True}])
@pytest.mark.parametrize("is_watched", [False, True])
async def test_trailers_follow_the_content(
    make: Callable[[], Any], content: bytes, more: Any, is_watched: bool
) -> None:
    """Announced before it, and made when its last octet is sent (RFC 9110 sections 6.5 and 6.6.2)."""
    asked_for: list[str] = []

    def value() -> str:
        asked_for.append("digest")
        return "made at the end"

    traces = [TraceConfig()] if is_watched else None
    async with raw_server(reply_with(response())) as server, ClientSession(trace_configs=traces) as session:
        trailers = {"X-Digest": value, "X-Other": lambda: "2"}
        async with session.put(server.url(), data=make(), trailers=trailers, **more) as reply:
            assert reply.status == 200
        asked = server.requests[0]
        assert (asked.fields["Trailer"], asked.fields["Transfer-Encoding"]) == ("X-Digest, X-Other", "chunked")
        assert dict(asked.trailers) == {"X-Digest": "made at the end", "X-Other": "2"}
        assert (decoded(asked) if "compress" in more and content else asked.body) == content
    assert asked_for == ["digest"]


@pytest.mark.parametrize("name", ["Content-Length", "host", "Authorization", "If-Match", "bad name", "Trailer"])
async def test_what_must_stand_before_the_content_is_no_trailer(name: str) -> None:
    """RFC 9110 section 6.5.1; told before anything is sent."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        with pytest.raises(ValueError, match=r"is no token|must stand before the content"):
            await session.put(server.url(), data=b"x", trailers={name: lambda: "1"})
        with pytest.raises(ValueError, match="goes with content"):
            await session.get(server.url(), trailers={"X-A": lambda: "1"})
        assert not server.requests


async def test_a_trailer_that_cannot_be_made_fails_the_request() -> None:
    """With what it raised, or for a line that it hid in its value; the server never has a whole message."""

    def broken() -> str:
        raise LookupError("no digest")

    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        with pytest.raises(LookupError, match="no digest"):
            await session.put(server.url(), data=b"x", trailers={"X-A": broken})
        with pytest.raises(ValueError, match="control characters"):
            await session.put(server.url(), data=b"x", trailers={"X-A": lambda: "1\r\nX-B: 2"})
        assert not server.requests


@pytest.mark.parametrize("options", [{"compress": "gzip"}, {"chunked": True}])
async def test_a_redirection_gets_it_again_or_none_of_it(options: Any) -> None:
    """307 from the start; 303 without its coding; 307 not at all where it can be sent once only."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            status = {"/307": 307, "/303": 303}.get(asked.target)
            await conn.send(response() if status is None else response(status, fields=[("Location", "/there")]))

    async with raw_server(script) as server, ClientSession() as session:
        async with session.post(server.url("/307"), data=LARGE, **options):
            assert [decoded(asked) for asked in server.requests] == [LARGE, LARGE]
        async with session.post(server.url("/303"), data=LARGE, **options):
            last = server.requests[-1]
            assert (last.method, last.body) == ("GET", b"")
            assert not {"Content-Encoding", "Transfer-Encoding"} & set(last.fields)
        with pytest.raises(RedirectError, match="only once"):
            await session.post(server.url("/307"), data=pieces(), **options)


@pytest.mark.parametrize("options", [{"compress": "gzip"}, {"chunked": True}])
async def test_a_file_that_changes_breaks_the_request(options: Any, tmp_path: Path) -> None:
    """Its length is not announced, but it is known: a part is not taken for the whole."""
    path = tmp_path / "file"
    path.write_bytes(LARGE)

    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        with path.open("rb") as file:
            request = session.post(server.url(), data=file, **options)
            path.write_bytes(LARGE[:100])
            async with request:
                assert decoded(server.requests[0]) == LARGE[:100], "it was looked at when it was sent"
        fed = StreamReader(length=10)
        fed.feed_data(b"12345")
        fed.feed_eof()
        with pytest.raises(ClientPayloadError, match="gave 5 octets, announced were 10"):
            await session.post(server.url(), data=fed, **options)
        fed = StreamReader(length=3)
        fed.feed_data(b"12345")
        fed.feed_eof()
        with pytest.raises(ClientPayloadError, match="gave more octets, announced were 3"):
            await session.post(server.url(), data=fed, **options)


@pytest.mark.parametrize("options", [{"compress": "gzip"}, {"chunked": True}, {}])
async def test_a_source_of_tiny_pieces_leaves_turns_to_others(options: Any) -> None:
    """One that never waits: the loop must not be its own until it is at its end."""
    count, turns = 30_000, 0

    async def tiny() -> AsyncIterator[bytes]:
        for number in range(count):
            yield b"%d\n" % number

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        at_work = asyncio.create_task(others())
        async with session.post(server.url(), data=tiny(), **options):
            at_work.cancel()
        assert decoded(server.requests[0]).count(b"\n") == count
    assert turns > 20
