"""A session: what it sends, where redirections lead it, what it remembers, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import re
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict
from yarl import URL

from fetchd.client import (
    BasicAuth,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    CookieJar,
    InvalidURL,
    RedirectError,
    SessionClosedError,
    StreamReader,
    TCPConnector,
    Timeout,
    TooManyRedirects,
    TotalTimeoutError,
    TraceConfig,
    UnixConnector,
    request,
)
from fetchd.client.limits import COALESCE_BYTES
from tests.support.raw_server import RawConnection, RawServer, Request, raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")


async def echo(conn: RawConnection) -> None:
    """Answers with the content it got."""
    async for asked in conn:
        await conn.send(response(body=asked.body))


def redirects(*hops: tuple[int, str], body: bytes = b"moved", fields: tuple[tuple[str, str], ...] = ()) -> Any:
    """A script that answers the n-th request with the n-th redirection, all further ones with 200."""
    answered = 0

    async def script(conn: RawConnection) -> None:
        nonlocal answered
        async for _ in conn:
            answered += 1
            if answered <= len(hops):
                status, location = hops[answered - 1]
                await conn.send(response(status, body, [("Location", location), *fields], reason="Moved"))
            else:
                await conn.send(response(body=b"here"))

    return script


async def last_request(session: ClientSession, server: RawServer, *args: Any, **options: Any) -> Request:
    """What the server saw of one request."""
    method, path = args or ("GET", "/")
    async with session.request(method, server.url(path), **options) as reply:
        await reply.read()
    return server.requests[-1]


# What is sent.

PLAIN_AND_OPTIONS = pytest.mark.parametrize("options", [{}, {"params": ()}], ids=["ready-made", "with-options"])


@PLAIN_AND_OPTIONS
async def test_the_least_that_is_sent(options: Any) -> None:
    """Host, and the fields that every request has; the same whether the head was ready-made or not."""
    async with raw_server(echo) as server, ClientSession() as session:
        asked = await last_request(session, server, **options)
        assert asked.head.startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % server.port)
        assert [name for name, _ in asked.fields.items()] == ["Host", "Accept", "Accept-Encoding", "User-Agent"]
        assert asked.fields["User-Agent"].startswith("fetchd/")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
async def test_each_method_has_its_verb(method: str) -> None:
    """A request that usually has content says when it has none (RFC 9110 section 8.6)."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        async with getattr(session, method.lower())(server.url("/x")) as reply:
            assert reply.method == method
        asked = server.requests[0]
        assert (asked.method, asked.target) == (method, "/x")
        expected = "0" if method in ("POST", "PUT", "PATCH") else None
        assert asked.fields.get("Content-Length") == expected
        async with session.request(method.lower(), server.url("/y")):
            pass
        assert server.requests[1].method == method


@PLAIN_AND_OPTIONS
@pytest.mark.parametrize("name", ["Host", "host"])
async def test_a_host_field_of_the_sessions_own_is_sent_once(options: Any, name: str) -> None:
    """Two of them are refused by every server (RFC 9112 section 3.2)."""
    async with raw_server(echo) as server, ClientSession(headers={name: "virtual.test"}) as session:
        asked = await last_request(session, server, **options)
        assert asked.fields.getall("Host") == ["virtual.test"]


@PLAIN_AND_OPTIONS
async def test_framing_fields_of_the_sessions_own_are_not_sent(options: Any) -> None:
    """How long a request is, is not for its headers to say."""
    headers = {"Content-Length": "100", "Transfer-Encoding": "chunked"}
    async with raw_server(echo) as server, ClientSession(headers=headers) as session:
        asked = await last_request(session, server, **options)
        assert "Content-Length" not in asked.fields
        assert "Transfer-Encoding" not in asked.fields


@PLAIN_AND_OPTIONS
async def test_values_beyond_ascii_go_out_as_utf8(options: Any) -> None:
    """On the ready-made way as well."""
    async with raw_server(echo) as server, ClientSession(headers={"X-Name": "Zoë"}) as session:
        asked = await last_request(session, server, **options)
        assert asked.fields["X-Name"].encode("latin-1").decode() == "Zoë"


async def test_fields_of_a_request_take_the_place_of_the_sessions() -> None:
    """By name, ignoring case; repeated ones stay repeated."""
    session_fields = [("X-A", "1"), ("X-B", "2"), ("x-a", "3")]
    async with raw_server(echo) as server, ClientSession(headers=session_fields) as session:
        asked = await last_request(session, server, headers=CIMultiDict([("X-A", "new"), ("Accept", "text/html")]))
        assert asked.fields.getall("X-A") == ["new"]
        assert (asked.fields["X-B"], asked.fields["Accept"]) == ("2", "text/html")
        asked = await last_request(session, server)
        assert asked.fields.getall("X-A") == ["1", "3"]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("value", {"headers": {"X": "a\r\nEvil: b"}}),
        ("name", {"headers": {"X: y\r\nZ": "a"}}),
        ("cookie", {"cookies": {"a": "b\r\nEvil: c"}}),
        ("nul", {"headers": {"X": "a\0b"}}),
    ],
)
async def test_nothing_is_smuggled_into_a_request(kind: str, options: Any) -> None:
    """Refused before anything is opened or sent."""
    async with raw_server(echo) as server, ClientSession() as session:
        with pytest.raises(ValueError, match=r"control|token"):
            await session.get(server.url(), **options)
        with pytest.raises(ValueError, match="token"):
            await session.request("GET /evil HTTP/1.1\r\nX:", server.url())
        with pytest.raises(InvalidURL):
            await session.get(server.url("/a\r\nEvil: b"))
        assert server.accepted == 0


async def test_parameters_are_appended_to_the_query() -> None:
    """In order, repeated ones kept, what the URL has left as it is."""
    async with raw_server(echo) as server, ClientSession() as session:
        asked = await last_request(session, server, "GET", "/p?x=%2F", params=[("k", "v 1"), ("k", "ü"), ("n", 5)])
        assert asked.target == "/p?x=%2F&k=v+1&k=%C3%BC&n=5"


async def test_a_url_object_will_do() -> None:
    """yarl's, as aiohttp takes it."""
    async with raw_server(echo) as server, ClientSession() as session:
        async with session.get(URL(server.url("/a%20b"), encoded=True)) as reply:
            assert reply.status == 200
        assert server.requests[0].target == "/a%20b"


async def test_relative_urls_are_resolved_against_the_base() -> None:
    """RFC 3986 section 5; an absolute one leads elsewhere."""
    async with raw_server(echo) as server, raw_server(echo) as other:
        async with ClientSession(server.url("/api/v1/")) as session:
            for url in ("items?x=%2F", "/root", "../v2/x", other.url("/abs")):
                async with session.get(url):
                    pass
        assert [asked.target for asked in server.requests] == ["/api/v1/items?x=%2F", "/root", "/api/v2/x"]
        assert [asked.target for asked in other.requests] == ["/abs"]


@pytest.mark.parametrize(
    ("reference", "params", "target"),
    [
        ("", {"a": "1"}, "/api/v1?key=k&a=1"),
        ("?b=2", {"a": "1"}, "/api/v1?b=2&a=1"),
        ("users?b=2", [("a", "1"), ("a", "2")], "/api/users?b=2&a=1&a=2"),
        ("users", {"a": "1"}, "/api/users?a=1"),
        ("../x", "a=1", "/x?a=1"),
    ],
)
async def test_parameters_come_behind_the_query_of_what_was_resolved(reference: str, params: Any, target: str) -> None:
    """The base's own query holds only where the reference has neither path nor query (RFC 3986 section 5.2.2)."""
    async with raw_server(echo) as server, ClientSession(server.url("/api/v1?key=k")) as session:
        await (await session.get(reference, params=params)).read()
        assert server.requests[0].target == target


async def test_a_unix_socket_is_asked_for_every_host_that_a_redirection_leads_to(tmp_path: Path) -> None:
    """Its connector knows no other way; the host is in the Host field, and secrets stay with the first one."""
    unix = tmp_path / "socket"
    script = redirects((302, "http://other.example/there"))
    session = ClientSession(connector=UnixConnector(str(unix)), auth=BasicAuth("me", "secret"))
    async with raw_server(script, unix=unix) as server, session:
        reply = await session.get("http://app.example/here")
        assert (str(reply.url), await reply.read()) == ("http://other.example/there", b"here")
    asked = [(each.target, each.fields["Host"], "Authorization" in each.fields) for each in server.requests]
    assert asked == [("/here", "app.example", True), ("/there", "other.example", False)]


async def test_json_is_sent_as_json() -> None:
    """With its media type; together with ``data`` it is an error."""
    async with raw_server(echo) as server, ClientSession() as session:
        asked = await last_request(session, server, "POST", "/", json={"a": ["ü"]})
        assert json.loads(asked.body) == {"a": ["ü"]}
        assert asked.fields["Content-Type"] == "application/json"
        with pytest.raises(ValueError, match="exclude each other"):
            await session.post(server.url(), json={}, data=b"x")


@pytest.mark.parametrize(
    ("data", "body", "content_type"),
    [
        ({"k": "v 1", "n": 5}, b"k=v+1&n=5", "application/x-www-form-urlencoded"),
        ([("k", "a"), ("k", "b")], b"k=a&k=b", "application/x-www-form-urlencoded"),
        ("text ü", "text ü".encode(), "text/plain; charset=utf-8"),
        (b"octets", b"octets", "application/octet-stream"),
    ],
    ids=["mapping", "pairs", "text", "octets"],
)
async def test_data_is_sent_as_what_it_is(data: Any, body: bytes, content_type: str) -> None:
    """A Content-Type of the caller's own wins."""
    async with raw_server(echo) as server, ClientSession() as session:
        asked = await last_request(session, server, "POST", "/", data=data)
        assert (asked.body, asked.fields.getall("Content-Type")) == (body, [content_type])
        asked = await last_request(session, server, "POST", "/", data=data, headers={"content-type": "x/y"})
        assert asked.fields.getall("Content-Type") == ["x/y"]


@pytest.mark.parametrize(
    "content",
    [{}, {"data": b"octets"}, {"data": "t\u00e4xt"}, {"data": b""}, {"json": {"a": [1]}}, {"data": bytes(70_000)}],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_the_ready_way_sends_what_the_other_one_does(method: str, content: Any) -> None:
    """Most requests are made of ready parts; one with any other option is not."""
    seen: list[bytes] = []
    ways: list[dict[str, Any]] = [{}, {"max_redirects": 10}]

    async def script(conn: RawConnection) -> None:
        head = await conn.read_until(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        seen.append(head + await conn.read_exactly(int(length[1]) if length else 0))
        await conn.send(response(200, fields=[("Connection", "close")]))

    async with raw_server(script) as server, ClientSession(headers={"X-Own": "1"}) as session:
        for options in ways:
            async with session.request(method, server.url("/a?b=c"), **content, **options) as reply:
                assert reply.status == 200
    assert seen[0] == seen[1]


@pytest.mark.parametrize("name", ["Content-Type", "content-length", "Expect"])
async def test_fields_of_the_sessions_own_that_speak_of_content_are_heeded(name: str) -> None:
    async with raw_server(echo) as server, ClientSession(headers={name: "text/x"}) as session:
        asked = await last_request(session, server, "POST", "/", data=b"octets")
    expected = {"Content-Type": ["text/x"], "content-length": ["6"], "Expect": ["text/x"]}
    assert asked.fields.getall(name) == expected[name]
    assert asked.body == b"octets"


async def test_userinfo_becomes_authorization() -> None:
    """Percent-encoding removed; a field given by hand wins."""
    async with raw_server(echo) as server, ClientSession() as session:
        url = server.url().replace("//", "//user:p%40ss@")
        async with session.get(url):
            pass
        async with session.get(url, headers={"Authorization": "Bearer x"}):
            pass
        fields = [asked.fields.getall("Authorization") for asked in server.requests]
        assert fields == [["Basic dXNlcjpwQHNz"], ["Bearer x"]]
        assert all(asked.fields["Host"] == f"127.0.0.1:{server.port}" for asked in server.requests)


# Ways of asking.


async def test_a_request_is_awaited_entered_or_made_a_task() -> None:
    """One thing, three uses."""
    async with raw_server(reply_with(response(body=b"x"))) as server, ClientSession() as session:
        assert await (await session.get(server.url())).read() == b"x"
        async with session.get(server.url()) as reply:
            assert await reply.read() == b"x"
        task = asyncio.create_task(session.get(server.url()))
        assert await (await task).read() == b"x"
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(session.get(server.url())) for _ in range(3)]
        assert [await task.result().read() for task in tasks] == [b"x"] * 3
        async with contextlib.AsyncExitStack() as stack:
            reply = await stack.enter_async_context(session.get(server.url()))
            assert await reply.read() == b"x"


async def test_a_request_that_is_given_up_before_it_began_is_nothing() -> None:
    """As any coroutine: it can be closed, or have an exception thrown in."""
    async with ClientSession() as session:
        session.get("http://127.0.0.1:1/").close()
        with pytest.raises(KeyError):
            session.get("http://127.0.0.1:1/").throw(KeyError())
        assert session.connector.open_count == 0


async def test_request_without_a_session_keeps_nothing() -> None:
    """Neither a connection nor a cookie."""
    script = reply_with(response(body=b"x", fields=[("Set-Cookie", "a=b")]))
    async with raw_server(script) as server:
        for _ in range(2):
            async with request("get", server.url()) as reply:
                assert await reply.read() == b"x"
        await server.until(lambda: server.open_connections == 0)
        assert server.accepted == 2
        assert all("Cookie" not in asked.fields for asked in server.requests)


async def test_request_with_a_connector_shares_connections_and_no_cookies() -> None:
    """The connector is the caller's, and stays open."""
    script = reply_with(response(body=b"x", fields=[("Set-Cookie", "a=b")]))
    async with raw_server(script) as server, TCPConnector() as connector:
        for _ in range(3):
            async with request("get", server.url(), connector=connector) as reply:
                await reply.read()
        assert server.accepted == 1
        assert all("Cookie" not in asked.fields for asked in server.requests)


# Redirections (RFC 9110 section 15.4).


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("options", [{}, {"headers": {"X": "y"}}], ids=["ready-made", "with-options"])
async def test_redirections_are_followed_and_remembered(status: int, options: Any) -> None:
    """``history`` holds the way, ``url`` where it led; one connection serves all of it."""
    script = redirects((status, "/second"), (status, "third?x=%2F"))
    async with raw_server(script) as server, ClientSession() as session:
        async with session.get(server.url("/dir/first"), **options) as reply:
            assert await reply.read() == b"here"
        assert [asked.target for asked in server.requests] == ["/dir/first", "/second", "/third?x=%2F"]
        assert str(reply.url) == server.url("/third?x=%2F")
        assert [(hop.status, str(hop.url)) for hop in reply.history] == [
            (status, server.url("/dir/first")),
            (status, server.url("/second")),
        ]
        assert [hop.history for hop in reply.history] == [(), (reply.history[0],)]
        assert server.accepted == 1


@pytest.mark.parametrize(
    ("status", "method", "then", "has_body"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (303, "POST", "GET", False),
        (307, "POST", "POST", True),
        (308, "POST", "POST", True),
        (301, "PUT", "PUT", True),
        (303, "PUT", "GET", False),
        (307, "PUT", "PUT", True),
        (302, "DELETE", "DELETE", False),
    ],
)
async def test_the_method_and_the_body_change_as_told(status: int, method: str, then: str, has_body: bool) -> None:
    """What is no longer sent is no longer described either."""
    data = None if method == "DELETE" else b"content"
    async with raw_server(redirects((status, "/next"))) as server, ClientSession() as session:
        headers = {"Content-Type": "x/y", "Content-Language": "en", "X-Kept": "z"}
        await last_request(session, server, method, "/", data=data, headers=headers)
        second = server.requests[1]
        assert (second.method, second.body) == (then, b"content" if has_body else b"")
        assert second.fields["X-Kept"] == "z"
        if then == "GET":
            assert not [name for name in second.fields if name.lower().startswith("content-")]
        else:
            assert second.fields["Content-Language"] == "en"


@pytest.mark.parametrize("kind", ["octets", "file", "bytesio", "json"])
async def test_a_body_that_can_be_sent_again_is_sent_again_whole(kind: str, tmp_path: Path) -> None:
    """From where it began, twice over."""
    content = b"content" * 50_000
    (tmp_path / "file").write_bytes(b"skipped" + content)
    script = redirects((307, "/2"), (308, "/3"))
    async with raw_server(script) as server, ClientSession() as session:
        with (tmp_path / "file").open("rb") as file:
            file.seek(7)
            uses: dict[str, dict[str, Any]] = {
                "octets": {"data": content},
                "file": {"data": file},
                "bytesio": {"data": io.BytesIO(content)},
                "json": {"json": "x" * 100},
            }
            await last_request(session, server, "PUT", "/1", **uses[kind])
        expected = b'"' + b"x" * 100 + b'"' if kind == "json" else content
        assert [asked.body for asked in server.requests] == [expected] * 3


async def _generator() -> AsyncIterator[bytes]:
    yield b"once"


def _fed_stream() -> StreamReader:
    stream = StreamReader()
    stream.feed_data(bytes(COALESCE_BYTES + 1))  # fewer would be sent as octets, which can be sent again
    stream.feed_eof()
    return stream


@pytest.mark.parametrize("make", [_generator, _fed_stream], ids=["generator", "stream"])
async def test_a_body_that_is_used_up_is_refused_and_not_sent_empty(make: Callable[[], Any]) -> None:
    """RedirectError says why; with 303 it is not asked for again."""
    async with raw_server(redirects((307, "/2"))) as server, ClientSession() as session:
        with pytest.raises(RedirectError, match="only once") as caught:
            await session.post(server.url("/1"), data=make())
        assert (caught.value.status, len(caught.value.history)) == (307, 1)
        assert len(server.requests) == 1
        assert session.connector.open_count == session.connector.idle_count
    async with raw_server(redirects((303, "/2"))) as server, ClientSession() as session:
        asked = await last_request(session, server, "POST", "/1", data=make())
        assert (asked.method, asked.body) == ("GET", b"")


SECRETS = [
    ("Authorization", "Bearer one"),
    ("authorization", "Bearer two"),
    ("Proxy-Authorization", "Basic x"),
    ("Cookie", "by=hand"),
    ("cookie", "by=hand-too"),
]


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("difference", ["port", "host"])
async def test_secrets_stay_within_their_origin(status: int, difference: str) -> None:
    """Every one of them, every duplicate, the cookies of the request, Host and userinfo (class of defect 1)."""
    async with raw_server(redirects()) as other:
        hidden = "localhost" if difference == "host" else None
        async with raw_server(redirects((status, other.url("/there", host=hidden)))) as server:
            target = other
            async with ClientSession(headers={"X-Kept": "z"}) as session:
                options: Any = {"headers": [*SECRETS, ("Host", "virtual.test")], "cookies": {"given": "1"}}
                async with session.get(server.url().replace("//", "//user:pass@"), **options) as reply:
                    assert await reply.read() == b"here"
            first, second = server.requests[0], target.requests[0]
            assert first.fields.getall("Authorization") == ["Bearer one", "Bearer two"]
            assert "given=1" in first.fields["Cookie"]
            for name in ("Authorization", "Proxy-Authorization", "Cookie"):
                assert name not in second.fields
            assert second.fields["X-Kept"] == "z"
            assert second.fields["Host"] == f"{hidden or '127.0.0.1'}:{other.port}"


async def test_secrets_do_not_come_back_with_the_way() -> None:
    """There and back again: what was taken off stays off."""
    homes: list[str] = []

    async def away(conn: RawConnection) -> None:
        async for _ in conn:
            await conn.send(response(302, fields=[("Location", homes[0])]))

    async with raw_server(away) as other, raw_server(redirects((302, other.url("/away")))) as server:
        homes.append(server.url("/home"))
        async with ClientSession() as session:
            options: Any = {"headers": {"Authorization": "Bearer x"}, "cookies": {"given": "1"}}
            asked = await last_request(session, server, "GET", "/start", **options)
        assert (asked.target, len(other.requests)) == ("/home", 1)
        assert not {"Authorization", "Cookie"} & set(asked.fields)
        assert {"Authorization", "Cookie"} <= set(server.requests[0].fields)


async def test_secrets_are_kept_within_their_origin() -> None:
    """What was given for it is for all of it: fields, cookies of the request, and the URL's userinfo."""
    async with raw_server(redirects((302, "/next"), (302, "/last"))) as server, ClientSession() as session:
        url = server.url("/first").replace("//", "//user:pass@")
        async with session.get(url, headers={"X-Key": "k"}, cookies={"given": "1"}) as reply:
            assert await reply.read() == b"here"
        for asked in server.requests:
            assert asked.fields.getall("Authorization") == ["Basic dXNlcjpwYXNz"]
            assert (asked.fields["X-Key"], asked.fields["Cookie"]) == ("k", "given=1")
        async with session.get(server.url("/absolute").replace("//", "//user:pass@")) as reply:
            assert reply.status == 200


async def test_userinfo_is_kept_when_the_location_names_its_origin_without() -> None:
    """An absolute Location within the origin does not log the user out."""
    location: list[str] = []

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/first":
                await conn.send(response(302, b"", [("Location", location[0])], reason="Found"))
            else:
                await conn.send(response(body=b"here"))

    async with raw_server(script) as server, ClientSession() as session:
        location.append(server.url("/second"))
        async with session.get(server.url("/first").replace("//", "//user:pass@")) as reply:
            assert await reply.read() == b"here"
        assert [asked.fields.get("Authorization") for asked in server.requests] == ["Basic dXNlcjpwYXNz"] * 2


async def test_cookies_set_on_a_hop_are_sent_with_the_next() -> None:
    """A login page that sets the cookie and sends one on."""
    script = redirects((302, "/next"), fields=(("Set-Cookie", "session=1"), ("Set-Cookie", "b=2; Path=/other")))
    async with raw_server(script) as server, ClientSession() as session:
        await last_request(session, server)
        assert [asked.fields.get("Cookie") for asked in server.requests] == [None, "session=1"]
        asked = await last_request(session, server, "GET", "/other/x")
        assert asked.fields["Cookie"] == "b=2; session=1"


async def test_cookies_of_the_jar_go_where_they_belong_on_each_hop() -> None:
    """Across origins, too: they are chosen by the URL, not by the way there."""
    async with raw_server(redirects()) as other:
        script = redirects((302, other.url("/", host="localhost")), fields=(("Set-Cookie", "a=1"),))
        async with raw_server(script) as server, ClientSession() as session:
            session.cookie_jar.update({"known": "2"}, URL(other.url("/", host="localhost")))
            await last_request(session, server)
            assert other.requests[0].fields["Cookie"] == "known=2"


@pytest.mark.parametrize("limit", [0, 1, 3])
async def test_the_number_of_redirections_is_bounded(limit: int) -> None:
    """TooManyRedirects, with the way so far; a loop is no special case."""
    async with raw_server(redirects(*[(302, "/loop")] * 20)) as server, ClientSession() as session:
        with pytest.raises(TooManyRedirects, match=f"more than {limit} redirections") as caught:
            await session.get(server.url("/loop"), max_redirects=limit)
        assert (len(server.requests), len(caught.value.history)) == (limit + 1, limit + 1)
        assert session.connector.open_count == session.connector.idle_count == 1


async def test_exactly_so_many_redirections_are_followed() -> None:
    """Ten, when nothing is said."""
    async with raw_server(redirects(*[(302, "/loop")] * 10)) as server, ClientSession() as session:
        reply = await session.get(server.url())
        assert (reply.status, len(reply.history)) == (200, 10)


async def test_redirections_need_not_be_followed() -> None:
    """``allow_redirects=False``; the default of HEAD, as in aiohttp."""
    async with raw_server(redirects((302, "/a"), (302, "/b"))) as server, ClientSession() as session:
        async with session.get(server.url(), allow_redirects=False) as reply:
            assert (reply.status, reply.headers["Location"], await reply.read()) == (302, "/a", b"moved")
        reply_ = response(302, fields=[("Location", "/b")])
        async with raw_server(reply_with(reply_)) as other, session.head(other.url()) as reply:
            assert (reply.status, len(other.requests)) == (302, 1)


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "//:80/", "http://[x/"])
async def test_redirections_to_what_is_no_http_are_refused(location: str) -> None:
    """RedirectError, and the connection is not left open."""
    async with raw_server(redirects((302, location))) as server, ClientSession() as session:
        with pytest.raises(RedirectError):
            await session.get(server.url())
        assert session.connector.open_count == session.connector.idle_count


@pytest.mark.parametrize(
    ("status", "fields"),
    [(302, []), (302, [("Location", "")]), (300, [("Location", "/x")]), (304, [("Location", "/x")])],
)
async def test_what_is_no_redirection_is_the_response(status: int, fields: list[tuple[str, str]]) -> None:
    """No Location, or a status that asks for a choice or for nothing."""
    async with raw_server(reply_with(response(status, fields=fields))) as server, ClientSession() as session:
        reply = await session.get(server.url())
        assert (reply.status, reply.history) == (status, ())


async def test_the_fragment_is_inherited() -> None:
    """RFC 9110 section 10.2.2."""
    async with raw_server(redirects((302, "/a"), (302, "/b#own"))) as server, ClientSession() as session:
        reply = await session.get(server.url("/#mine"))
        assert str(reply.url) == server.url("/b#own")
        assert str(reply.history[1].url) == server.url("/a#mine")


async def test_large_content_of_a_redirection_is_not_waited_for() -> None:
    """The connection is closed instead, and what is coded is not decoded."""
    fields = (("Content-Encoding", "gzip"),)
    script = redirects((302, "/next"), body=b"no gzip at all" * 100_000, fields=fields)
    async with raw_server(script) as server, ClientSession() as session:
        async with session.get(server.url()) as reply:
            assert await reply.read() == b"here"
        assert server.accepted == 2
    script = redirects((302, "/next"), body=b"no gzip at all", fields=fields)
    async with raw_server(script) as server, ClientSession() as session:
        async with session.get(server.url()) as reply:
            assert await reply.read() == b"here"
        assert server.accepted == 1


async def test_the_total_bound_is_for_all_hops_together() -> None:
    """Each hop alone would have been in time."""

    async def script(conn: RawConnection) -> None:
        async for _ in conn:
            await asyncio.sleep(0.03)
            await conn.send(response(302, fields=[("Location", "/again")]))

    async with raw_server(script) as server, ClientSession() as session:
        with pytest.raises(TotalTimeoutError):
            await session.get(server.url(), timeout=Timeout(total=0.1), max_redirects=100)
        assert 2 <= len(server.requests) <= 5
        assert session.connector.open_count == 0


# Cookies.


async def test_the_session_remembers_cookies() -> None:
    """Between its requests, ready-made heads or not."""
    script = reply_with(response(fields=[("Set-Cookie", "a=1")]), response())
    async with raw_server(script) as server, ClientSession() as session:
        for _ in range(3):
            await last_request(session, server)
        assert [asked.fields.get("Cookie") for asked in server.requests] == [None, "a=1", "a=1"]
        assert len(session.cookie_jar) == 1


async def test_a_cookie_that_is_no_utf_8_goes_back_as_it_came() -> None:
    """Old servers speak Latin-1; what they have set must not break the requests that follow."""
    reply = response(fields=[("Set-Cookie", "na?me=v?")]).replace(b"?", b"\xe1")
    async with raw_server(reply_with(reply, response())) as server, ClientSession(headers={"X": "\udcff"}) as session:
        for _ in range(2):
            await last_request(session, server)
        assert b"\r\nCookie: na\xe1me=v\xe1\r\n" in server.requests[1].head
        assert b"\r\nX: \xff\r\n" in server.requests[0].head


async def test_cookies_are_given_to_a_session_or_to_a_request() -> None:
    """Those of the session are for every host, those of a request for this one; all are sent in one field."""
    async with raw_server(echo) as server, ClientSession(cookies={"all": "1"}) as session:
        asked = await last_request(session, server, cookies={"one": "2"}, headers={"Cookie": "hand=3"})
        assert asked.fields.getall("Cookie") == ["hand=3; all=1; one=2"]
        assert (await last_request(session, server)).fields["Cookie"] == "all=1"


async def test_a_cookie_of_a_request_takes_the_place_of_one_that_is_known() -> None:
    """Of the session's, of the jar's, and of one that a redirection sets; for that request alone."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            sets = [("Set-Cookie", "a=hop"), ("Set-Cookie", "b=hop")]
            leads = asked.target == "/leads"
            await conn.send(response(302, fields=[*sets, ("Location", "/there")]) if leads else response())

    async with raw_server(script) as server, ClientSession(cookies={"a": "all", "c": "all"}) as session:
        async with session.get(server.url("/leads"), cookies={"a": "once"}):
            pass
        async with session.get(server.url("/")):
            pass
        sent = [asked.fields.getall("Cookie") for asked in server.requests]
    assert sent == [["c=all; a=once"], ["c=all; b=hop; a=once"], ["a=all; c=all; a=hop; b=hop"]]


async def test_cookies_of_a_response_can_be_given_to_a_request() -> None:
    """The Morsels of ``response.cookies``, of which only the value counts."""
    async with raw_server(reply_with(response(fields=[("Set-Cookie", 'a="1 2"; Path=/x')]))) as server:
        reply = await request("get", server.url())
        asked = await request("get", server.url(), cookies=reply.cookies)
        assert server.requests[-1].fields["Cookie"] == f"a={reply.cookies['a'].coded_value}"
        asked.close()


@pytest.mark.parametrize(
    ("cookies", "error"),
    [
        ({"a": "1; admin=1"}, ValueError),
        ({"a;b": "1"}, ValueError),
        ({"a\r\nX": "1"}, ValueError),
        ({"a": 5}, TypeError),
    ],
)
async def test_a_cookie_of_a_request_brings_no_other(cookies: Any, error: type[Exception]) -> None:
    """As those of a session and a jar."""
    async with ClientSession() as session:
        with pytest.raises(error, match="cookie"):
            await session.get("http://127.0.0.1:1/", cookies=cookies)


async def test_a_jar_may_be_shared() -> None:
    """By two sessions."""
    jar = CookieJar()
    script = reply_with(response(fields=[("Set-Cookie", "a=1")]), response())
    async with raw_server(script) as server:
        async with ClientSession(cookie_jar=jar) as first:
            await last_request(first, server)
        async with ClientSession(cookie_jar=jar) as second:
            assert (await last_request(second, server)).fields["Cookie"] == "a=1"


# Statuses.


@pytest.mark.parametrize("options", [{}, {"headers": {"X": "y"}}], ids=["ready-made", "with-options"])
async def test_a_session_may_raise_for_statuses(options: Any) -> None:
    """And a request may waive or ask for it."""
    script = reply_with(response(404, reason="Not Found", body=b"x" * 1000)[:-10])
    async with raw_server(script) as server, ClientSession(raise_for_status=True) as session:
        with pytest.raises(ClientResponseError, match="404 Not Found"):
            await session.get(server.url(), **options)
        assert session.connector.open_count == 0
        (await session.get(server.url(), raise_for_status=False)).close()
    async with raw_server(script) as server, ClientSession() as session:
        with pytest.raises(ClientResponseError):
            await session.get(server.url(), raise_for_status=True)


async def test_a_number_bounds_the_whole_request() -> None:
    """``timeout=5``, as in aiohttp; None is no bound but the usual ones."""
    async with raw_server(echo) as server, ClientSession(timeout=Timeout(first_byte=1)) as session:
        assert session.timeout == Timeout(first_byte=1)
        for timeout in (5, 5.0, None, Timeout(total=5)):
            async with session.get(server.url(), timeout=timeout) as reply:
                assert reply.status == 200
        with pytest.raises(ValueError, match="above 0"):
            await session.get(server.url(), timeout=0)


# The end.


async def test_a_closed_session_is_refused() -> None:
    """SessionClosedError, which is a fault of the calling code."""
    session = ClientSession()
    async with session:
        assert not session.closed
    assert session.closed
    for use in (session.get, session.post):
        with pytest.raises(SessionClosedError, match="session is closed"):
            await use("http://127.0.0.1:1/")
    await session.close()
    assert repr(session) == "<ClientSession closed>"


async def test_a_session_that_is_not_closed_warns() -> None:
    """It holds connections that nobody will use; without any there is nothing to warn of."""
    async with raw_server(echo) as server:

        async def forget() -> TCPConnector:
            session = ClientSession()
            async with session.get(server.url()):
                pass
            connector = session.connector
            assert isinstance(connector, TCPConnector)
            return connector

        with pytest.warns(ResourceWarning, match="unclosed <ClientSession"):
            connector = await forget()
        await connector.close()
    ClientSession()


def test_a_session_needs_no_loop_to_be_made() -> None:
    """Only its first request does."""
    session = ClientSession("http://127.0.0.1:1/")
    assert repr(session) == "<ClientSession <TCPConnector <Pool 0 active, 0 idle, 0 waiting>>>"
    asyncio.run(session.close())


# Memory.


@pytest.fixture
def no_collector() -> Any:
    """What is not freed by its last reference is not freed at all."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def _get(session: ClientSession, server: RawServer) -> None:
    async with session.get(server.url("/")) as reply:
        await reply.read()


async def _get_with_options(session: ClientSession, server: RawServer) -> None:
    async with session.get(server.url("/"), params={"a": "b"}, headers={"X": "y"}) as reply:
        await reply.text()


async def _put(session: ClientSession, server: RawServer) -> None:
    async with session.put(server.url("/"), data=_generator()) as reply:
        await reply.read()


async def _follow(session: ClientSession, server: RawServer) -> None:
    async with session.get(server.url("/moved")) as reply:
        await reply.read()


async def _leave(session: ClientSession, server: RawServer) -> None:
    async with session.get(server.url("/")):
        pass


async def _give_up(session: ClientSession, server: RawServer) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(session.get(server.url("/never")), 0.01)


async def _never_await(session: ClientSession, server: RawServer) -> None:
    session.get(server.url("/")).close()


@pytest.mark.parametrize(
    "use", [_get, _get_with_options, _put, _follow, _leave, _give_up, _never_await], ids=lambda use: use.__name__[1:]
)
@pytest.mark.parametrize("is_seen", [False, True], ids=["plain", "seen"])
def test_a_session_is_freed_by_its_last_reference(use: Any, is_seen: bool, no_collector: None) -> None:
    """With its connector, whatever was done with it, and whoever looked on."""

    async def look(session: ClientSession, context: Any, params: Any) -> None:
        assert params

    def make() -> ClientSession:
        if not is_seen:
            return ClientSession()
        trace = TraceConfig()
        for signal in (trace.on_request_end, trace.on_request_exception, trace.on_response_chunk_received):
            signal.append(look)
        return ClientSession(connector=TCPConnector(wire=lambda *told: None), trace_configs=[trace], timings=True)

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/never":
                await asyncio.Event().wait()
            elif asked.target == "/moved":
                await conn.send(response(302, fields=[("Location", "/")]))
            else:
                await conn.send(response(body=b"x" * 100))

    async def main() -> list[weakref.ref[Any]]:
        async with raw_server(script) as server:
            session = make()
            refs: list[weakref.ref[Any]] = [weakref.ref(session), weakref.ref(session.connector)]
            await use(session, server)
            await session.close()
        return refs

    assert [ref() for ref in asyncio.run(main())] == [None, None]


def test_requests_without_a_session_leave_no_garbage(no_collector: None) -> None:
    """Each makes a session and a connector: a million of them must not wait for the collector."""

    def count() -> int:
        return sum(isinstance(each, (TCPConnector, ClientSession, ClientResponse)) for each in gc.get_objects())

    async def main() -> int:
        before = count()
        async with raw_server(echo) as server:
            for _ in range(5):
                async with request("get", server.url()) as reply:
                    await reply.read()
                del reply
            return count() - before

    assert asyncio.run(main()) == 0


# What a request is made of.


@pytest.mark.parametrize(
    ("content_type", "octets"),
    [
        (None, "Zoë".encode()),
        ("text/plain", "Zoë".encode()),
        ("text/plain; charset=ISO-8859-1", b"Zo\xeb"),
        ('text/csv; charset="utf-16-le"', "Zoë".encode("utf-16-le")),
    ],
)
async def test_a_text_is_encoded_as_its_content_type_says(content_type: str | None, octets: bytes) -> None:
    """The request's, or the session's; what is sent is what is said."""
    fields = {} if content_type is None else {"Content-Type": content_type}
    async with raw_server(echo) as server:
        for of_session, of_request in ((fields, {}), ({}, fields)):
            async with (
                ClientSession(headers=of_session) as session,
                session.post(server.url(), data="Zoë", headers=of_request) as reply,
            ):
                assert await reply.read() == octets
            assert server.requests[-1].fields["Content-Type"] == (content_type or "text/plain; charset=utf-8")


async def test_a_text_that_its_charset_cannot_write_is_a_mistake() -> None:
    """Told before anything is sent."""
    async with ClientSession() as session:
        for charset, error in (("ascii", ValueError), ("nonsense", LookupError), ("punycode", LookupError)):
            with pytest.raises(error):
                await session.post(
                    "http://127.0.0.1:9/", data="Zoë", headers={"Content-Type": f"text/plain; charset={charset}"}
                )


async def test_fields_of_ours_can_be_left_out() -> None:
    """By the session or the request, in any case; what was given is sent all the same, and so is what framing needs."""
    async with raw_server(reply_with(response())) as server:
        async with ClientSession(skip_auto_headers=["user-agent"], headers={"Accept": "a/b"}) as session:
            async with session.get(server.url()):
                assert "User-Agent" not in server.requests[-1].fields
                assert "Accept-Encoding" in server.requests[-1].fields
            skipped = ("ACCEPT", "Accept-Encoding", "Content-Type", "Host", "Content-Length", "X")
            async with session.post(server.url(), data=b"x", skip_auto_headers=skipped):
                assert list(server.requests[-1].fields) == ["Host", "Accept", "Content-Length"]
            given = {"Accept-Encoding": "br", "User-Agent": "me", "Content-Type": "a/b"}
            async with session.post(server.url(), data=b"x", headers=given, skip_auto_headers=list(given)):
                assert {name: server.requests[-1].fields[name] for name in given} == given
        async with ClientSession(skip_auto_headers={"Content-Type"}) as session, session.post(server.url(), json=1):
            assert "Content-Type" not in server.requests[-1].fields
        with pytest.raises(TypeError, match="several names"):
            ClientSession(skip_auto_headers="User-Agent")


@pytest.mark.parametrize("made", ['{"é": 1}', '{"é": 1}'.encode()])
async def test_json_may_be_made_by_another(made: str | bytes) -> None:
    """Text or octets, as the faster ones give."""
    async with (
        raw_server(echo) as server,
        ClientSession(json_serialize=lambda value: made) as session,
        session.post(server.url(), json={"é": 1}) as reply,
    ):
        assert await reply.read() == '{"é": 1}'.encode()
        assert server.requests[0].fields["Content-Type"] == "application/json"


# What cannot be meant.


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("verify", "ssl"),
        ("follow_redirects", "allow_redirects"),
        ("files", "data"),
        ("max_body_byte", "max_body_bytes"),
        ("time_out", "timeout"),
        ("nothing_like_it", None),
    ],
)
async def test_an_option_that_no_request_has_is_refused(name: str, meant: str | None) -> None:
    """It would do nothing, and a bound or a trust that does nothing is believed in; the one that is meant is told."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        for options in ({name: 1}, {name: None}, {"data": b"octets", name: 1}):
            with pytest.raises(TypeError) as caught:
                await session.post(server.url(), **options)
            hint = "" if meant is None else f"; is {meant}= meant?"
            assert str(caught.value) == f"a request has no option {name}={hint}"
        assert server.accepted == 0


@pytest.mark.parametrize("wrong", [("user", "password"), "user:password"])
async def test_credentials_that_are_none_are_refused_and_not_told(wrong: Any) -> None:
    """Pairs, which other clients take, among them: of a session, of a request, for a proxy."""
    async with ClientSession() as session:
        calls: list[Callable[[], Any]] = [
            lambda: ClientSession(auth=wrong),
            lambda: ClientSession(proxy="http://proxy:3128", proxy_auth=wrong),
            lambda: session.get("http://127.0.0.1:9/", auth=wrong),
            lambda: session.get("http://127.0.0.1:9/", proxy="http://proxy:3128", proxy_auth=wrong),
        ]
        for given in calls:
            with pytest.raises(TypeError, match=r"credentials of type (tuple|str); expected a BasicAuth") as caught:
                await given()
            assert "password" not in str(caught.value).replace("BasicAuth(user, password)", "")


async def test_a_number_of_seconds_is_the_total_of_a_session_too() -> None:
    """As for a request; what is no number is told."""
    async with ClientSession(timeout=2.5) as session:
        assert session.timeout == Timeout(total=2.5)
        for given in ("5", (3, 5)):
            with pytest.raises(TypeError, match=r"Timeout\(total=\) of type (str|tuple); expected seconds, or None"):
                await session.get("http://127.0.0.1:9/", timeout=given)  # type: ignore[arg-type]
