"""Redirections from end to end: what each hop sees of method, content, fields, cookies and target."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from multidict import CIMultiDict

from fetchd.client import BasicAuth, ClientSession, RedirectError, TCPConnector, TooManyRedirects
from tests.support import certs
from tests.support.raw_server import RawConnection, RawServer, Request, Script, raw_server, response

pytestmark = pytest.mark.usefixtures("nothing_left")

METHODS = "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"
CONTENT = b"content"
# Method of the next request, None where it is the same; RFC 9110 section 15.4.
NEXT_METHOD = {
    **{(status, method): None for status in (301, 302, 307, 308) for method in METHODS},
    (301, "POST"): "GET",
    (302, "POST"): "GET",
    **{(303, method): "GET" for method in METHODS},
    (303, "HEAD"): None,
}


def chain(*hops: tuple[int, str | bytes] | bytes) -> Script:
    """A script that answers the n-th request of its server with the n-th redirection or reply, all others with 200."""
    asked = 0

    async def script(conn: RawConnection) -> None:
        nonlocal asked
        async for request in conn:
            hop = hops[asked] if asked < len(hops) else response(200, b"" if request.method == "HEAD" else b"last")
            asked += 1
            await conn.send(hop if isinstance(hop, bytes) else moved(*hop))

    return script


def moved(status: int, location: str | bytes, *cookies: str) -> bytes:
    """A redirection without content."""
    octets = location if isinstance(location, bytes) else location.encode()
    lines = [b"HTTP/1.1 %d Moved" % status, b"Location: " + octets, b"Content-Length: 0"]
    lines += [b"Set-Cookie: " + cookie.encode() for cookie in cookies]
    return b"\r\n".join([*lines, b"", b""])


async def once() -> AsyncIterator[bytes]:
    """Content that can be sent one time."""
    yield CONTENT


def content_fields(request: Request) -> list[str]:
    """Names of the fields that speak of content, without that of an absent one."""
    names = [name.lower() for name in request.fields if name.lower().startswith(("content-", "transfer-", "expect"))]
    return [name for name in names if request.fields.get(name) != "0"]


# Method and content.


@pytest.mark.parametrize("kind", ["none", "replayable", "once"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_method_and_content_of_the_next_request(status: int, method: str, kind: str) -> None:
    """The content goes where the method stays; what can be sent once is refused where it would have to be."""
    options: dict[str, Any] = {} if kind == "none" else {"headers": {"Content-Type": "text/x", "Content-Language": "x"}}
    if kind != "none":
        options["data"] = CONTENT if kind == "replayable" else once()
    then = NEXT_METHOD[status, method]
    keeps = kind != "none" and then is None and status != 303
    async with raw_server(chain((status, "/next"))) as server, ClientSession() as session:
        request = session.request(method, server.url("/first"), allow_redirects=True, **options)
        if keeps and kind == "once":
            with pytest.raises(RedirectError, match="can be sent only once") as caught:
                await request
            assert [(hop.status, hop.url.path) for hop in caught.value.history] == [(status, "/first")]
            assert [seen.target for seen in server.requests] == ["/first"]
        else:
            async with request as reply:
                assert await reply.read() == (b"" if method == "HEAD" else b"last")
                assert (reply.method, reply.url.path) == (then or method, "/next")
            first, second = server.requests
            assert (first.method, first.body) == (method, b"" if kind == "none" else CONTENT)
            assert (second.method, second.body) == (then or method, CONTENT if keeps else b"")
            assert bool(content_fields(second)) == keeps
        assert session.connector.open_count == session.connector.idle_count == 1


@pytest.mark.parametrize("statuses", [(307, 308, 307), (307, 302, 308), (308, 303, 307)])
async def test_content_that_was_left_behind_does_not_come_back(statuses: tuple[int, ...]) -> None:
    """A POST over several hops: once it has become a GET it stays one."""
    hops = [(status, f"/{number}") for number, status in enumerate(statuses)]
    async with raw_server(chain(*hops)) as server, ClientSession() as session:
        async with session.post(server.url("/"), data=CONTENT) as reply:
            assert len(reply.history) == 3
        method = "POST"
        for status, seen in zip((None, *statuses), server.requests, strict=True):
            method = "GET" if status in (302, 303) else method
            assert (seen.method, seen.body) == (method, CONTENT if method == "POST" else b"")


# Origins.

SECRETS = (
    *(("Authorization", "one"), ("Authorization", "two"), ("authorization", "three")),
    *(("Cookie", "by=hand"), ("cookie", "more=too")),
    *(("X-Own", "1"), ("X-Own", "2")),
)


def secrets_seen(request: Request) -> list[str]:
    """The values of the fields that belong to one origin."""
    return [
        value
        for name in ("Authorization", "Cookie", "Proxy-Authorization")
        for value in request.fields.getall(name, ())
    ]


@pytest.mark.parametrize("status", [302, 308])
@pytest.mark.parametrize("difference", ["port", "host", "upgrade", "downgrade"])
async def test_every_secret_stays_with_its_origin_for_the_whole_chain(status: int, difference: str) -> None:
    """Own origin, own origin, another, and back: the way back brings nothing back, not one of the duplicates."""
    server_tls = certs.server_context(certs.TLS_1_3)
    async with AsyncExitStack() as stack:
        script_of: dict[str, Script] = {}
        first = await stack.enter_async_context(
            raw_server(lambda conn: script_of["first"](conn), tls=server_tls if difference == "downgrade" else None)
        )
        other = await stack.enter_async_context(
            raw_server(lambda conn: script_of["other"](conn), tls=server_tls if difference == "upgrade" else None)
        )
        away = first.url("/away", host="localhost") if difference == "host" else other.url("/away")
        script_of["other"] = chain((status, first.url("/back")))
        hops: list[tuple[int, str | bytes]] = [(status, "/stay"), (status, away)]
        script_of["first"] = chain(*hops, *([(status, first.url("/back"))] if difference == "host" else []))
        connector = TCPConnector(ssl_context=certs.client_context())
        session = await stack.enter_async_context(ClientSession(connector=connector))
        async with session.get(first.url("/"), headers=CIMultiDict(SECRETS), cookies={"given": "1"}) as reply:
            assert [hop.url.path for hop in reply.history] == ["/", "/stay", "/away"]
            assert await reply.read() == b"last"
        seen = {request.target: request for request in (*first.requests, *other.requests)}
        expected = ["one", "two", "three", "by=hand; more=too; given=1"]
        assert [secrets_seen(seen[path]) for path in ("/", "/stay", "/away", "/back")] == [expected, expected, [], []]
        assert all(request.fields.getall("X-Own") == ["1", "2"] for request in seen.values()), "no secret"


@pytest.mark.parametrize("how", ["auth", "userinfo"])
async def test_credentials_do_not_come_back_with_the_way(how: str) -> None:
    """Nor do those that are no field of the caller's."""
    script: Script

    async def late(conn: RawConnection) -> None:
        await script(conn)

    async with raw_server(late) as server, ClientSession() as session:
        script = chain((302, "/stay"), (302, server.url("/away", host="localhost")), (302, server.url("/back")))
        url = server.url("/") if how == "auth" else server.url("/", host="me:secret@127.0.0.1")
        options: dict[str, Any] = {"auth": BasicAuth("me", "secret")} if how == "auth" else {}
        async with session.get(url, **options):
            pass
        basic = BasicAuth("me", "secret").encode()
        assert [secrets_seen(request) for request in server.requests] == [[basic], [basic], [], []]


# Location.

LOCATIONS: list[tuple[bytes, str]] = [
    (b"/a%2Fb%27c%3Ad%7e+e//f?z=%2f&a=1&z=2", "/a%2Fb%27c%3Ad%7e+e//f?z=%2f&a=1&z=2"),
    (b"/100%/%zz", "/100%/%zz"),
    (b"/a'b(c)*!$,;=:@&?'()*!$,;=:@/?", "/a'b(c)*!$,;=:@&?'()*!$,;=:@/?"),
    ("/café?q=ü".encode(), "/caf%C3%A9?q=%C3%BC"),
    ("/café".encode("latin-1"), "/caf%E9"),
    (b"/a b?c d", "/a%20b?c%20d"),
    (b"/a\tb", "/a%09b"),
    (b" \t/padded\t ", "/padded"),
    (b"//127.0.0.1:PORT/scheme-relative", "/scheme-relative"),
    (b"HTTP://127.0.0.1:PORT/upper", "/upper"),
    (b"http://127.0.0.1:PORT", "/"),
    (b"http://127.0.0.1:PORT?x", "/?x"),
    (b"sibling", "/dir/sibling"),
    (b"../up/./x/../y", "/up/y"),
    (b"../../../too/far", "/too/far"),
    (b"./", "/dir/"),
    (b"?only=query", "/dir/page?only=query"),
    (b"#only", "/dir/page?old=1"),
    (b"/with#frag?ment", "/with"),
    (b"./1:2", "/dir/1:2"),
]


@pytest.mark.parametrize(("location", "target"), LOCATIONS, ids=[repr(location) for location, _ in LOCATIONS])
async def test_a_location_leads_where_its_octets_say(location: bytes, target: str) -> None:
    """What is sent is what the server wrote; only what may not stand in a URI is percent-encoded."""
    script: Script

    async def late(conn: RawConnection) -> None:
        await script(conn)

    async with raw_server(late) as server, ClientSession() as session:
        script = chain((302, location.replace(b"PORT", b"%d" % server.port)))
        async with session.get(server.url("/dir/page?old=1")) as reply:
            assert await reply.read() == b"last"
        assert [request.target for request in server.requests] == ["/dir/page?old=1", target]
        assert server.accepted == 1, "it is the same origin, however it is written"


async def test_the_fragment_goes_along_until_a_location_has_its_own() -> None:
    """RFC 9110 section 10.2.2; it is never sent."""
    hops = chain((302, "/2"), (302, "/3#new"), (302, "/4"))
    async with raw_server(hops) as server, ClientSession() as session:
        async with session.get(server.url("/1#own")) as reply:
            urls = [str(hop.url).rpartition("/")[2] for hop in (*reply.history, reply)]
        assert urls == ["1#own", "2#own", "3#new", "4#new"]
        assert [request.target for request in server.requests] == [f"/{number}" for number in range(1, 5)]


# Cookies.


async def test_cookies_set_on_the_way_go_where_they_belong_from_the_next_hop_on() -> None:
    """Set, restricted to a path, replaced, deleted, and of another host."""
    script: Script

    async def late(conn: RawConnection) -> None:
        await script(conn)

    async with raw_server(late) as server, ClientSession() as session:
        script = chain(
            moved(302, "/two", "a=1; Path=/", "deep=1; Path=/two/deep"),
            moved(302, "/two/deep/", "a=2; Path=/"),
            moved(303, server.url("/x", host="localhost"), "deep=; Path=/two/deep; Max-Age=0"),
            moved(307, "/y", "other=1"),
            moved(308, server.url("/two/deep/"), "evil=1; Domain=127.0.0.1"),
        )
        async with session.get(server.url("/one")) as reply:
            assert await reply.read() == b"last"
        sent = [request.fields.get("Cookie") for request in server.requests]
        assert sent == [None, "a=1", "deep=1; a=2", None, "other=1", "a=2"]


async def test_a_secure_cookie_stays_behind_where_tls_ends() -> None:
    """From https to http of the same host: followed, but without it."""
    async with raw_server(chain()) as plain:
        script = chain(moved(302, "/still", "safe=1; Secure; Path=/", "any=1; Path=/"), moved(302, plain.url("/open")))
        connector = TCPConnector(ssl_context=certs.client_context())
        async with (
            raw_server(script, tls=certs.server_context(certs.TLS_1_3)) as server,
            ClientSession(connector=connector) as session,
            session.get(server.url("/")) as reply,
        ):
            assert reply.url.scheme == "http"
        assert sorted(server.requests[1].fields["Cookie"].split("; ")) == ["any=1", "safe=1"]
        assert plain.requests[0].fields["Cookie"] == "any=1"


# Ends.


def endless(server: RawServer, period: int) -> Script:
    """A script of *period* URLs, each of which leads to the next and the last to the first."""

    async def script(conn: RawConnection) -> None:
        async for request in conn:
            following = (int(request.target[1:]) + 1) % period
            host = "localhost" if following == 1 else "127.0.0.1"
            await conn.send(moved(302, server.url(f"/{following}", host=host)))

    return script


@pytest.mark.parametrize("period", [1, 2, 3])
@pytest.mark.parametrize("limit", [0, 1, 7])
async def test_a_loop_ends_at_the_bound_and_leaves_the_connections_fit(period: int, limit: int) -> None:
    """Of one URL or several, over two origins; the error tells the way."""
    script: Script

    async def late(conn: RawConnection) -> None:
        await script(conn)

    async with raw_server(late) as server, ClientSession() as session:
        script = endless(server, period)
        with pytest.raises(TooManyRedirects) as caught:
            await session.get(server.url("/0"), max_redirects=limit)
        paths = [f"/{number % period}" for number in range(limit + 1)]
        assert [request.target for request in server.requests] == paths
        assert [hop.url.path for hop in caught.value.history] == paths
        assert session.connector.open_count == session.connector.idle_count == server.accepted
