"""A response says what its head holds, gives its content once in the way it is asked for, and is never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import json
import socket
import sys
import threading
import time
import warnings
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop
from yarl import URL

from fetchd.client import (
    BasicAuth,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ContentTypeError,
    IncompleteMessageError,
    StreamConsumedError,
)
from tests.support.raw_server import RawConnection, RawServer, raw_server, reply_with, response

BOTH_LOOPS = True
TEXT_1251 = "Привет".encode("windows-1251")
pytestmark = pytest.mark.usefixtures("nothing_left")


@contextlib.asynccontextmanager
async def answered(
    reply: bytes, method: str = "GET", path: str = "/", *, close: bool = False
) -> AsyncIterator[ClientResponse]:
    """The response to one request that is answered by *reply*."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(raw_server(reply_with(reply, close=close)))
        session = await stack.enter_async_context(ClientSession())
        yield await stack.enter_async_context(session.request(method, server.url(path)))


async def stalls(conn: RawConnection) -> None:
    """Sends half of what it announced, and waits."""
    async for _ in conn:
        await conn.send(response(body=b"0123456789")[:-5])


# The head.


async def test_the_status_line_is_told() -> None:
    """Status, reason and version; ``ok`` below 400."""
    async with answered(b"HTTP/1.0 299 Quite \xe9 Good\r\nContent-Length: 0\r\n\r\n", "POST") as reply:
        assert (reply.status, reply.reason, reply.version, reply.ok) == (299, "Quite \xe9 Good", "1.0", True)
        assert reply.method == "POST"


@pytest.mark.parametrize(("status", "ok"), [(200, True), (399, True), (400, False), (404, False), (500, False)])
async def test_ok_is_below_400(status: int, ok: bool) -> None:
    """And ``raise_for_status`` raises for the others, with what the caller may want to know."""
    async with answered(response(status, b"why", [("X", "y")], reason="Because")) as reply:
        assert reply.ok is ok
        if ok:
            reply.raise_for_status()
            return
        with pytest.raises(ClientResponseError) as caught:
            reply.raise_for_status()
        assert (caught.value.status, caught.value.message) == (status, "Because")
        assert caught.value.headers is not None
        assert caught.value.headers["x"] == "y"


async def test_fields_keep_their_order_and_repetitions_and_ignore_case() -> None:
    """As received; octets beyond ASCII as UTF-8, what is none survives as surrogates."""
    fields = b"X-B: 1\r\nx-a:  two words \t\r\nX-b: 3\r\nX-U: \xc3\xa9\r\nX-L: \xe9\r\n"
    head = b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 0\r\n\r\n"
    async with answered(head) as reply:
        assert reply.headers.getall("X-B") == ["1", "3"]
        assert (reply.headers["X-A"], reply.headers["x-u"]) == ("two words", "\xe9")
        assert reply.headers["X-L"].encode("utf-8", "surrogateescape") == b"\xe9"
        assert [name for name, _ in reply.headers.items()][:3] == ["X-B", "x-a", "X-b"]
        assert reply.headers is reply.headers


async def test_trailers_come_with_the_content() -> None:
    """Not before it was read, and not among the fields (RFC 9110 section 6.5)."""
    reply = response(body=b"abc", framing="chunked")[:-2] + b"X-Sum: 1\r\nX-Sum: 2\r\n\r\n"
    async with answered(reply) as got:
        await got.read()
        assert got.trailers.getall("x-sum") == ["1", "2"]
        assert "X-Sum" not in got.headers
    async with answered(response(body=b"abc")) as got:
        assert len(got.trailers) == 0


@pytest.mark.parametrize("target", ["/a%2Fb?x=%27+%20&y=//", "/%C3%A9//..//"])
async def test_the_url_keeps_its_octets_and_its_fragment(target: str) -> None:
    """As they were sent; the fragment is the caller's own."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        url = server.url(target + "#here")
        async with session.get(url) as reply:
            assert isinstance(reply.url, URL)
            assert str(reply.url) == url
        assert server.requests[0].target == target


async def test_the_url_is_the_one_that_was_sent_where_something_was_encoded() -> None:
    """Blanks and what is not ASCII; a cookie's path is compared with that."""
    script = reply_with(response(fields=[("Set-Cookie", "a=1; Path=/%C3%BC")]), response())
    async with raw_server(script) as server, ClientSession() as session:
        for _ in range(2):
            async with session.get(server.url("/ü/ b%20?q=ä#é")) as reply:
                assert str(reply.url) == server.url("/%C3%BC/%20b%20?q=%C3%A4#%C3%A9")
        assert server.requests[1].target == "/%C3%BC/%20b%20?q=%C3%A4"
        assert server.requests[1].fields["Cookie"] == "a=1"


@pytest.mark.parametrize(
    ("value", "content_type", "charset"),
    [
        ("text/HTML; Charset=UTF-8", "text/html", "utf-8"),
        ('text/plain; charset="latin-1"; x=y', "text/plain", "latin-1"),
        ("application/json", "application/json", None),
        ("nonsense", "text/plain", None),
        ("\xe9/\xff; charset=\xc3\xa9", "\udce9/\udcff", "\xe9"),
        (None, "application/octet-stream", None),
    ],
)
async def test_the_media_type_is_taken_apart(value: str | None, content_type: str, charset: str | None) -> None:
    """Lower-case, without parameters (RFC 9110 section 8.3)."""
    fields = [] if value is None else [("Content-Type", value)]
    async with answered(response(fields=fields)) as reply:
        assert (reply.content_type, reply.charset) == (content_type, charset)


async def test_cookies_of_the_response_are_told() -> None:
    """One that cannot be parsed is left out."""
    fields = [("Set-Cookie", "a=1; Path=/; HttpOnly"), ("Set-Cookie", "=;;"), ("Set-Cookie", "b=2")]
    async with answered(response(fields=fields)) as reply:
        assert {name: morsel.value for name, morsel in reply.cookies.items()} == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("method", "reply", "announced", "length"),
    [
        ("GET", response(body=b"12345"), 5, 5),
        ("GET", response(body=b"12345", framing="chunked"), None, None),
        ("GET", response(body=b"12345", framing="eof"), None, None),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 5, 0),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 5, 0),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None, 0),
    ],
    ids=["length", "chunked", "to-the-end", "head", "304", "204"],
)
async def test_the_length_is_known_where_the_framing_tells_it(
    method: str, reply: bytes, announced: int | None, length: int | None
) -> None:
    """What was announced, and what will come."""
    async with answered(reply, method, close=b"12345" in reply) as got:
        assert (got.content_length, got.content.length) == (announced, length)
        assert await got.read() == (b"12345" if length != 0 else b"")


async def test_credentials_are_not_shown() -> None:
    """Neither by ``repr`` nor in a failure."""
    async with raw_server(reply_with(response(404, reason="Not Found"))) as server, ClientSession() as session:
        reply = await session.get(server.url().replace("//", "//user:secret@"))
        assert repr(reply) == f"<ClientResponse GET {server.url()} [404 Not Found]>"
        with pytest.raises(ClientResponseError) as caught:
            reply.raise_for_status()
        assert "secret" not in str(caught.value)


async def test_links_are_told_by_what_they_are() -> None:
    """RFC 8288: resolved against the URL of the response, all fields together, one with two relations under each."""
    fields = [
        ("Link", '</list?page=2>; rel="next LAST"; title="a, b", <#top>; rel=up'),
        ("Link", "<https://other.example/%2F?a=%27>"),
        ("Link", "<http://[/>; rel=broken"),
    ]
    async with answered(response(fields=fields), path="/list?page=1") as reply:
        base = reply.url
        assert list(reply.links) == ["next", "last", "up", "https://other.example/%2F?a=%27"]
        assert reply.links["next"]["url"] == reply.links["last"]["url"] == URL(f"{base.origin()}/list?page=2")
        assert reply.links["next"]["title"] == "a, b"
        assert reply.links["up"]["url"] == URL(f"{base}#top")
        assert str(reply.links["https://other.example/%2F?a=%27"]["url"]) == "https://other.example/%2F?a=%27"
    async with answered(response()) as reply:
        assert len(reply.links) == 0


async def test_content_disposition_is_told_with_a_name_that_is_safe() -> None:
    """RFC 6266; None where there is none, or nothing that can be read."""
    value = "Attachment; filename=\"../b.txt\"; filename*=UTF-8''%e2%82%ac.txt"
    async with answered(response(fields=[("Content-Disposition", value)])) as reply:
        told = reply.content_disposition
        assert told is not None
        assert (told.type, told.filename) == ("attachment", "€.txt")
        assert told.parameters == {"filename": "../b.txt", "filename*": "€.txt"}
    async with answered(response()) as reply:
        assert reply.content_disposition is None
    async with answered(response(fields=[("Content-Disposition", "=")])) as reply:
        assert reply.content_disposition is None


async def test_the_request_that_was_answered_can_be_seen() -> None:
    """As it was sent: with what the session adds, in order; its ``repr`` shows no field."""
    async with raw_server(reply_with(response())) as server, ClientSession(headers={"X-A": "é"}) as session:
        for ask in (
            session.get(server.url("/a#b")),
            session.get(server.url("/a#b"), headers=[("X-B", "1"), ("X-B", " 2")], auth=BasicAuth("u", "p")),
            session.post(server.url("/a#b"), data=b"octets: not a field"),
        ):
            async with ask as reply:
                info = reply.request_info
                received = server.requests[-1].fields.items()
                sent = [(name, value.encode().decode("latin-1")) for name, value in info.headers.items()]
                assert sent == list(received)
                assert (info.method, info.url, info.real_url) == (reply.method, reply.url, reply.real_url)
                assert str(info.url).endswith("/a#b")
                assert "Basic" not in repr(info)


async def test_the_request_that_is_seen_is_the_last_one() -> None:
    """After a redirection, with a GET that went the short way."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            await conn.send(response() if asked.target == "/b" else response(302, fields=[("Location", "/b")]))

    async with raw_server(script) as server, ClientSession() as session, session.get(server.url("/a")) as reply:
        assert reply.request_info.url.path == "/b"
        assert reply.request_info.headers["Host"] == f"127.0.0.1:{reply.url.port}"
        assert reply.history[0].request_info.url.path == "/a"
        assert reply.history[0].request_info.headers["Accept"] == "*/*"


async def test_the_host_and_the_real_url_are_told() -> None:
    """The names that aiohttp has for them."""
    async with answered(response(), path="/#x") as reply:
        assert reply.host == "127.0.0.1"
        assert reply.real_url is reply.url


# The content, whole.


@pytest.mark.parametrize(
    ("octets", "content_type", "asked"),
    [
        (TEXT_1251, "text/plain", True),
        (TEXT_1251, "text/plain; charset=nonsense", True),
        (TEXT_1251, "text/plain; charset=windows-1251", False),
        ("Привет".encode("utf-16"), "text/plain", False),
        ('"Привет"'.encode(), "application/json", False),
    ],
    ids=["nothing", "unknown", "charset", "mark", "json"],
)
async def test_a_detector_of_charsets_is_asked_when_nobody_tells(octets: bytes, content_type: str, asked: bool) -> None:
    """``fallback_charset_resolver`` of the session gets response and content."""
    seen: list[tuple[ClientResponse, bytes]] = []

    def detect(reply: ClientResponse, body: bytes) -> str:
        seen.append((reply, body))
        return "windows-1251"

    fields = [("Content-Type", content_type)]
    async with (
        raw_server(reply_with(response(body=octets, fields=fields))) as server,
        ClientSession(fallback_charset_resolver=detect) as session,
        session.get(server.url()) as reply,
    ):
        assert (await reply.text()).strip('"') == "Привет"
        assert seen == ([(reply, octets)] if asked else [])


async def test_the_encoding_is_told_when_it_can_be() -> None:
    """At once by the charset, by the content when that was read."""
    async with answered(response(body=b"\xef\xbb\xbfx", fields=[("Content-Type", "text/plain")])) as reply:
        with pytest.raises(RuntimeError, match="not read"):
            reply.get_encoding()
        await reply.read()
        assert reply.get_encoding() == "utf-8-sig"
    async with answered(response(fields=[("Content-Type", "text/plain; charset=latin-1")])) as reply:
        assert reply.get_encoding() == "latin-1"


async def test_the_chunks_of_the_transfer_coding_can_be_seen() -> None:
    """Each with its end, however they come; of coded content they are not known, of other framings there are none."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/length":
                await conn.send(response(body=b"abcde"))
            elif asked.target == "/gzip":
                await conn.send(
                    response(body=gzip.compress(b"abcde"), fields=[("Content-Encoding", "gzip")], framing="chunked")
                )
            else:
                await conn.send(head + b"3\r\nabc\r\n2\r\nde\r\n5\r\nfgh")
                await conn.send(b"ij\r\n0\r\n\r\n")

    async with raw_server(script) as server, ClientSession() as session:
        for target, count in (("/", 3), ("/length", 0), ("/gzip", 0)):
            async with session.get(server.url(target)) as reply:
                pairs = [pair async for pair in reply.content.iter_chunks()]
                assert sum(is_end for _, is_end in pairs) == count
                text = b"".join(data + b"|" * is_end for data, is_end in pairs)
                assert text == (b"abc|de|fghij|" if count else b"abcde")


FRAMINGS = pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
SIZES = pytest.mark.parametrize("size", [0, 5, 300_000])


@FRAMINGS
@SIZES
async def test_read_gives_the_same_object_again(framing: str, size: int) -> None:
    """It is kept, for ``text`` and ``json`` as well."""
    async with answered(response(body=b"x" * size, framing=framing), close=framing == "eof") as reply:
        body = await reply.read()
        assert body == b"x" * size
        assert await reply.read() is body
        assert await reply.text() == "x" * size


@FRAMINGS
@SIZES
async def test_content_that_was_begun_as_a_stream_is_not_read_whole(framing: str, size: int) -> None:
    """What would be given is not the whole: StreamConsumedError, which is no failure of the network."""
    async with answered(response(body=b"x" * size, framing=framing), close=framing == "eof") as reply:
        await reply.content.read(1)
        for use in (reply.read, reply.text, reply.json):
            with pytest.raises((StreamConsumedError, ContentTypeError)):
                await use()
        with pytest.raises(StreamConsumedError):
            await reply.read()


@SIZES
async def test_a_stream_behind_read_is_at_its_end(size: int) -> None:
    """There is nothing left of it."""
    async with answered(response(body=b"x" * size)) as reply:
        await reply.read()
        assert await reply.content.read() == b""
        assert reply.content.at_eof()


async def test_a_read_that_was_cancelled_goes_on() -> None:
    """Nothing of what came is lost."""
    go = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=b"0123456789")[:-5])
        await go.wait()
        await conn.send(b"56789")
        await conn.read_eof()

    async with raw_server(script) as server, ClientSession() as session:
        reply = await session.get(server.url())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reply.read(), 0.02)
        go.set()
        assert await reply.read() == b"0123456789"
        assert session.connector.idle_count == 1


async def test_a_read_that_failed_fails_again_alike() -> None:
    """The same words, each time."""
    seen = []
    async with answered(response(body=b"0123456789")[:-5], close=True) as reply:
        for _ in range(3):
            with pytest.raises(IncompleteMessageError) as caught:
                await reply.read()
            seen.append((str(caught.value), caught.value.received, caught.value.expected))
    assert seen == [("incomplete content: connection closed after 5 octets, expected 10 octets", 5, 10)] * 3


async def test_two_tasks_cannot_read_at_once() -> None:
    """The second is told so at once, the first gets everything."""
    go = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=b"0123456789")[:-5])
        await go.wait()
        await conn.send(b"56789")
        await conn.read_eof()

    async with raw_server(script) as server, ClientSession() as session:
        reply = await session.get(server.url())
        first = asyncio.create_task(reply.read())
        await asyncio.sleep(0)
        with pytest.raises(StreamConsumedError):
            await reply.read()
        go.set()
        assert await first == b"0123456789"


TEXT = "Zoë ☂"


@pytest.mark.parametrize(
    ("octets", "content_type", "encoding"),
    [
        (TEXT.encode(), None, None),
        (TEXT.encode("utf-16"), None, None),
        (TEXT.encode("utf-8-sig"), "text/plain", None),
        (TEXT.encode("utf-16-le"), "text/plain; charset=utf-16-le", None),
        (TEXT.encode("utf-16-le"), "text/plain; charset=ascii", "utf-16-le"),
    ],
    ids=["utf-8", "bom-16", "bom-8", "charset", "given"],
)
async def test_text_is_decoded_by_what_is_known_of_it(
    octets: bytes, content_type: str | None, encoding: str | None
) -> None:
    """What the caller says, else the charset, else a byte-order mark, else UTF-8."""
    fields = [] if content_type is None else [("Content-Type", content_type)]
    async with answered(response(body=octets, fields=fields)) as reply:
        assert await reply.text(encoding) == TEXT


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "undefined", "\xff"])
async def test_a_charset_that_is_a_codec_of_pythons_is_unknown(charset: str) -> None:
    """Who sends it means no text, and punycode would keep the loop busy for minutes."""
    fields = [("Content-Type", f"text/plain; charset={charset}")]
    async with answered(response(body=b"-" + b"9" * 500_000, fields=fields)) as reply:
        with pytest.raises(LookupError):
            await reply.text()
        assert (await reply.text("ascii")).startswith("-9")


async def test_text_that_is_none_is_told() -> None:
    """Unless the caller wants it replaced; the octets are there all the same."""
    async with answered(response(body=b"a\xffb", fields=[("Content-Type", "text/plain; charset=nonsense")])) as reply:
        with pytest.raises(LookupError):
            await reply.text()
        with pytest.raises(UnicodeDecodeError):
            await reply.text("utf-8")
        assert await reply.text("utf-8", errors="replace") == "a\ufffdb"
        assert await reply.read() == b"a\xffb"


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/problem+json", "Application/JSON; charset=utf-8"]
)
async def test_json_is_read_from_json(content_type: str) -> None:
    """``+json`` is JSON as well (RFC 6839 section 3.1)."""
    async with answered(response(body=b'{"a": [1]}', fields=[("Content-Type", content_type)])) as reply:
        assert await reply.json() == {"a": [1]}
        assert await reply.json(loads=json.JSONDecoder(parse_int=str).decode) == {"a": ["1"]}


@pytest.mark.parametrize("content_type", ["text/html", "application/jsonp", None])
async def test_json_of_something_else_is_refused_unless_waived(content_type: str | None) -> None:
    """An error page is no answer."""
    fields = [] if content_type is None else [("Content-Type", content_type)]
    async with answered(response(body=b"[1]", fields=fields)) as reply:
        with pytest.raises(ContentTypeError, match="expected application/json") as caught:
            await reply.json()
        assert caught.value.status == 200
        assert await reply.json(content_type=None) == [1]


async def test_json_that_is_none_is_told() -> None:
    """As the parser tells it."""
    async with answered(response(body=b"{", fields=[("Content-Type", "application/json")])) as reply:
        with pytest.raises(ValueError, match="line 1"):
            await reply.json()


# The end.


async def _dropped(session: ClientSession, server: RawServer, use: Callable[[ClientResponse], Any]) -> Any:
    reply = await session.get(server.url())
    return use(reply)


async def test_a_response_dropped_unread_closes_its_connection_and_warns() -> None:
    """The connection would serve nobody any more, and nobody would know why."""
    async with raw_server(stalls) as server, ClientSession() as session:
        with pytest.warns(ResourceWarning, match="unread response dropped"):
            await _dropped(session, server, lambda reply: None)
        assert session.connector.open_count == 0
        await server.until(lambda: server.open_connections == 0)


async def test_a_response_dropped_where_warnings_are_errors_closes_its_connection_all_the_same() -> None:
    """The warning is raised inside of the finaliser: what it was about must be done nevertheless."""
    unraisable: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    try:
        async with raw_server(stalls) as server, ClientSession() as session:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                await _dropped(session, server, lambda reply: None)
            assert session.connector.open_count == 0
    finally:
        sys.unraisablehook = hook
    assert [type(each.exc_value) for each in unraisable] == [ResourceWarning]


async def test_a_whole_response_may_be_dropped() -> None:
    """All of it has come: the connection is back already."""
    async with raw_server(reply_with(response(body=b"x" * 100))) as server, ClientSession() as session:
        await _dropped(session, server, lambda reply: None)
        assert (session.connector.open_count, session.connector.idle_count) == (1, 1)


async def test_a_stream_outlives_its_response() -> None:
    """``r.content`` is kept, ``r`` is not: the rest comes, and dropping the stream is what warns."""
    go = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=b"0123456789")[:-5])
        await go.wait()
        await conn.send(b"56789")
        await conn.read_eof()

    async with raw_server(script) as server, ClientSession() as session:
        stream = await _dropped(session, server, lambda reply: reply.content)
        go.set()
        assert await stream.read() == b"0123456789"
        assert session.connector.idle_count == 1
    async with raw_server(stalls) as server, ClientSession() as session:
        stream = await _dropped(session, server, lambda reply: reply.content)
        with pytest.warns(ResourceWarning, match="unread"):
            del stream
        assert session.connector.open_count == 0


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_response_dropped_after_its_loop_is_quietly_let_go(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """At the interpreter's end there is no loop to tell; a warning is all."""

    sessions = []

    async def main(url: str) -> ClientResponse:
        sessions.append(ClientSession())
        return await sessions[0].get(url)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve_half, args=(listener,))
        thread.start()
        with asyncio.Runner(loop_factory=new_loop) as runner:
            reply = runner.run(main(f"http://127.0.0.1:{listener.getsockname()[1]}/"))
        with pytest.warns(ResourceWarning, match="unread response dropped"):
            del reply
        assert sessions[0].connector.open_count == 0
        thread.join()


def _serve_half(listener: socket.socket) -> None:
    with listener.accept()[0] as sock:
        sock.recv(65_536)
        sock.sendall(response(body=b"0123456789")[:-5])
        assert sock.recv(1) == b""


async def test_leaving_drains_what_is_little_and_keeps_the_connection() -> None:
    """At most 64 KiB, within half a second."""

    async def script(conn: RawConnection) -> None:
        async for _ in conn:
            reply = response(body=b"x" * 60_000)
            await conn.send(reply[:-50_000])
            await asyncio.sleep(0.01)
            await conn.send(reply[-50_000:])

    async with raw_server(script) as server, ClientSession() as session:
        for _ in range(3):
            async with session.get(server.url()):
                pass
            assert (session.connector.open_count, session.connector.idle_count) == (1, 1)
        assert server.accepted == 1


UNDRAINED = {
    "large": response(body=b"x" * 2_000_000)[:-1_000_000],
    "large-chunked": response(body=b"x" * 2_000_000, framing="chunked")[:-1_000_000],
    "to-be-closed": response(body=b"x" * 100, fields=[("Connection", "close")])[:-50],
    "to-the-end": response(body=b"x" * 100, framing="eof"),
}


@pytest.mark.parametrize("reply", UNDRAINED.values(), ids=UNDRAINED)
async def test_leaving_does_not_wait_for_what_is_not_worth_it(reply: bytes) -> None:
    """Much to come, or a connection that could not be kept anyway: it is closed at once."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(reply)
        await conn.read_eof()

    async with raw_server(script) as server, ClientSession() as session:
        async with session.get(server.url()):
            began = time.monotonic()
        assert time.monotonic() - began < 0.4
        assert session.connector.open_count == 0
        await server.until(lambda: server.open_connections == 0)


@pytest.mark.slow
async def test_leaving_waits_half_a_second_for_the_rest() -> None:
    """Then a new connection costs less."""
    async with raw_server(stalls) as server, ClientSession() as session:
        async with session.get(server.url()):
            began = time.monotonic()
        assert 0.45 < time.monotonic() - began < 2
        assert session.connector.open_count == 0


async def test_closing_closes_at_once() -> None:
    """Whatever was to come; a reader is told."""
    async with raw_server(stalls) as server, ClientSession() as session:
        reply = await session.get(server.url())
        reading = asyncio.create_task(reply.read())
        await asyncio.sleep(0)
        reply.close()
        reply.close()
        assert session.connector.open_count == 0
        with pytest.raises(ClientPayloadError, match="closed before its content was read"):
            await reading


async def test_leaving_while_another_task_reads_breaks_its_reading_off() -> None:
    """And does not fail itself."""
    async with raw_server(stalls) as server, ClientSession() as session:
        async with session.get(server.url()) as reply:
            reading = asyncio.create_task(reply.content.read())
            await asyncio.sleep(0)
        with pytest.raises(ClientPayloadError):
            await reading
        assert session.connector.open_count == 0


async def test_releasing_or_closing_a_whole_response_is_nothing() -> None:
    """The connection is back already, and the content stays readable."""
    async with raw_server(reply_with(response(body=b"x"))) as server, ClientSession() as session:
        reply = await session.get(server.url())
        await reply.release()
        reply.close()
        await reply.release()
        assert await reply.read() == b"x"
        assert session.connector.idle_count == 1


async def test_a_response_is_a_context_itself() -> None:
    """``async with await session.get(...)``."""
    async with raw_server(stalls) as server, ClientSession() as session:
        async with await session.get(server.url()) as reply:
            reply.close()
        async with await session.get(server.url()) as reply:
            pass
        assert session.connector.open_count == 0


async def test_broken_content_that_nobody_reads_is_no_failure_of_leaving() -> None:
    """Only who reads learns of it."""
    script = reply_with(response(body=b"0123456789")[:-5], close=True)
    async with raw_server(script) as server, ClientSession() as session:
        async with session.get(server.url()):
            pass
        assert session.connector.open_count == 0


@pytest.mark.parametrize("use", ["read", "content", "headers", "text"])
def test_a_response_is_freed_by_its_last_reference(use: str) -> None:
    """Without the collector: a response may hold megabytes."""

    async def main() -> list[weakref.ref[Any]]:
        async with raw_server(reply_with(response(body=b"x" * 300_000))) as server, ClientSession() as session:
            async with session.get(server.url()) as reply:
                if use == "content":
                    async for _ in reply.content.iter_chunked(1000):
                        pass
                elif use == "headers":
                    assert reply.headers
                    await reply.read()
                else:
                    await (reply.read() if use == "read" else reply.text())
                refs: list[weakref.ref[Any]] = [weakref.ref(reply), weakref.ref(reply._exchange)]
            del reply
            assert [ref() for ref in refs] == [None, None]
            return refs

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()
