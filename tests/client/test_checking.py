"""What more a request may ask of its content: digests held to it, a bound when it is decoded; interim responses."""

from __future__ import annotations

import base64
import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import BodyTooLargeError, ClientResponse, ClientSession, DigestMismatchError, request
from tests.support.raw_server import RawConnection, Script, raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

CONTENT = bytes(range(256)) * 3000


def digest(data: bytes, name: str = "Repr-Digest") -> tuple[str, str]:
    """A field that announces *data*."""
    return name, f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def once(octets: bytes) -> Script:
    """Answers one request and ends the connection, which is what ends content without a length."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(octets)

    return script


async def read(reply: ClientResponse, folder: Path) -> bytes:
    """Whole."""
    return await reply.read()


async def stream(reply: ClientResponse, folder: Path) -> bytes:
    """In pieces."""
    return b"".join([chunk async for chunk in reply.content.iter_chunked(10_000)])


async def save(reply: ClientResponse, folder: Path) -> bytes:
    """By way of a file: not by splice(2), which would carry the octets past the hash."""
    await reply.save(folder / "file")
    return (folder / "file").read_bytes()


ways = pytest.mark.parametrize("way", [read, stream, save])
framings = pytest.mark.parametrize("framing", ["length", "chunked", "eof"])


@ways
@framings
@pytest.mark.parametrize("name", ["Repr-Digest", "Content-Digest"])
async def test_content_that_is_as_announced_is_given(name: str, framing: str, way: Any, tmp_path: Path) -> None:
    """And says what was verified."""
    script = once(response(200, CONTENT, [digest(CONTENT, name)], framing=framing))
    async with raw_server(script) as server, request("get", server.url(), verify_digest=True) as reply:
        assert not reply.verified_digests
        assert await way(reply, tmp_path) == CONTENT
        assert reply.verified_digests == (f"{name} sha-256",)


@ways
@framings
async def test_content_that_is_not_as_announced_is_an_error_at_its_end(framing: str, way: Any, tmp_path: Path) -> None:
    """With what was announced and what came."""
    script = once(response(200, CONTENT, [digest(CONTENT + b"?")], framing=framing))
    async with raw_server(script) as server, ClientSession(verify_digest=True) as session:
        reply = await session.get(server.url())
        with pytest.raises(DigestMismatchError) as caught:
            await way(reply, tmp_path)
        assert caught.value.expected == hashlib.sha256(CONTENT + b"?").digest()
        assert caught.value.seen == hashlib.sha256(CONTENT).digest()
        assert caught.value.algorithm == "sha-256"


async def test_a_redirection_that_is_followed_is_not_checked() -> None:
    """Nobody reads its content."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            fields = [digest(b"?", "Content-Digest"), ("Location", "/there")]
            await conn.send(response(200, b"there") if asked.target == "/there" else response(302, CONTENT, fields))

    async with raw_server(script) as server, ClientSession(verify_digest=True) as session:
        reply = await session.get(server.url())
        assert await reply.read() == b"there"


async def test_a_redirection_that_leads_nowhere_is_read_and_checked() -> None:
    """Without a Location it is the answer, whatever its status says."""
    script = once(response(302, CONTENT, [digest(b"?", "Content-Digest")]))
    async with raw_server(script) as server, ClientSession(verify_digest=True) as session:
        reply = await session.get(server.url())
        with pytest.raises(DigestMismatchError):
            await reply.read()


async def test_a_digest_in_the_trailer_section_counts() -> None:
    """RFC 9530 section 2: it may be known only when the content was sent."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            name, value = digest(CONTENT if asked.target == "/right" else b"?")
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Repr-Digest\r\n\r\n"
            tail = f"\r\n0\r\n{name}: {value}\r\n\r\n".encode()
            await conn.send(head + b"%x\r\n" % len(CONTENT) + CONTENT + tail)

    async with raw_server(script) as server, ClientSession(verify_digest=True) as session:
        async with session.get(server.url("/right")) as reply:
            assert await reply.read() == CONTENT
            assert reply.verified_digests == ("Repr-Digest sha-256",)
        async with session.get(server.url("/wrong")) as reply:
            with pytest.raises(DigestMismatchError):
                await reply.read()


@pytest.mark.parametrize("decode", [True, False])
async def test_the_digest_is_of_the_coded_content(decode: bool) -> None:
    """RFC 9530 section 2: codings applied, whether we remove them or not."""
    coded = gzip.compress(CONTENT)
    script = reply_with(response(200, coded, [("Content-Encoding", "gzip"), digest(coded)]))
    async with (
        raw_server(script) as server,
        request("get", server.url(), verify_digest=True, auto_decompress=decode) as reply,
    ):
        assert await reply.read() == (CONTENT if decode else coded)
        assert reply.verified_digests == ("Repr-Digest sha-256",)


@pytest.mark.parametrize("coded", [True, False])
async def test_hashing_changes_no_length(coded: bool) -> None:
    """What is announced of identity content is what the reader will get; of coded content it is not."""
    body = gzip.compress(CONTENT) if coded else CONTENT
    fields = [digest(body), *([("Content-Encoding", "gzip")] if coded else [])]
    async with (
        raw_server(reply_with(response(200, body, fields))) as server,
        request("get", server.url(), verify_digest=True) as reply,
    ):
        assert reply.content.length == (None if coded else len(CONTENT))
        assert await reply.content.read() == CONTENT
        assert reply.content.total_bytes == len(CONTENT)


async def test_what_cannot_be_checked_is_let_pass_and_not_called_verified() -> None:
    """A part of the representation, HEAD, no digest, an algorithm that was not asked for."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            fields = {"/none": [], "/md5": [("Repr-Digest", "md5=:AAAA:")]}.get(asked.target, [digest(b"whole")])
            body = b"" if asked.method == "HEAD" else CONTENT
            await conn.send(response(206 if asked.target == "/part" else 200, body, fields))

    async with raw_server(script) as server, ClientSession(verify_digest=True) as session:
        for method, target in (("GET", "/part"), ("HEAD", "/"), ("GET", "/none"), ("GET", "/md5")):
            async with session.request(method, server.url(target)) as reply:
                assert await reply.read() == (b"" if method == "HEAD" else CONTENT)
                assert reply.verified_digests == ()
        assert server.accepted == 1


async def test_digests_are_looked_at_by_who_asks_only() -> None:
    """A request may ask where the session does not, and the other way round."""
    script = reply_with(response(200, CONTENT, [digest(b"?")]))
    async with raw_server(script) as server:
        for of_session, of_request, checked in ((False, None, False), (True, False, False), (False, True, True)):
            options: dict[str, Any] = {} if of_request is None else {"verify_digest": of_request}
            async with (
                ClientSession(verify_digest=of_session) as session,
                session.get(server.url(), **options) as reply,
            ):
                if checked:
                    with pytest.raises(DigestMismatchError):
                        await reply.read()
                else:
                    assert await reply.read() == CONTENT


def test_an_algorithm_that_is_not_known_is_a_mistake() -> None:
    """Told before anything is sent."""
    with pytest.raises(ValueError, match="crc32c"):
        ClientSession(verify_digest=["crc32c"])
    with pytest.raises(ValueError, match="max_decoded_bytes"):
        ClientSession(max_decoded_bytes=-1)


async def test_decoded_content_can_be_bounded_in_octets() -> None:
    """In the place of the ratio: a file of zeros may be whole, and nothing beyond the bound is given."""
    plain = bytes(3 << 20)
    script = reply_with(response(200, gzip.compress(plain), [("Content-Encoding", "gzip")]))
    async with raw_server(script) as server, ClientSession(max_decoded_bytes=len(plain)) as session:
        async with session.get(server.url()) as reply:
            assert await reply.read() == plain
        async with session.get(server.url(), max_decoded_bytes=len(plain) - 1) as reply:
            with pytest.raises(BodyTooLargeError) as caught:
                await reply.read()
        assert caught.value.limit == len(plain) - 1


async def test_interim_responses_can_be_seen() -> None:
    """103 Early Hints (RFC 8297), in order, apart from the final fields."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    script = reply_with(hints + response(200, b"x"))
    async with raw_server(script) as server, request("get", server.url()) as reply:
        assert await reply.read() == b"x"
        assert [(status, dict(fields)) for status, fields in reply.interim] == [(103, {"Link": "</a.css>"}), (102, {})]
        assert "Link" not in reply.headers
    async with raw_server(reply_with(response(200, b"x"))) as server, request("get", server.url()) as reply:
        assert reply.interim == ()
