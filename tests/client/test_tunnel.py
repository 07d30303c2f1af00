"""Requests through proxies: forwarded, tunnelled, TLS in TLS, SOCKS; and whom credentials reach."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import (
    AddressNotAllowedError,
    BasicAuth,
    ClientConnectorCertificateError,
    ClientHttpProxyError,
    ClientProxyConnectionError,
    ClientSession,
    ConnectionTimeoutError,
    DigestAuth,
    ProxyConnector,
    ResponseProtocolError,
    ServerDisconnectedError,
    TCPConnector,
    Timeout,
    UnixConnector,
    is_public_address,
    request,
)
from tests.support import certs
from tests.support.cancelling import Moment, cancelled_at_each_await
from tests.support.raw_proxy import Socks, carry, http_proxy
from tests.support.raw_server import RawConnection, RawServer, Request, Script, raw_server, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

BASIC = BasicAuth("me", "secret").encode()
CHALLENGE = ("Proxy-Authenticate", 'Digest realm="r", nonce="n1", qop="auth", algorithm=SHA-256')
LARGE = bytes(range(256)) * 4096 * 3

schemes = pytest.mark.parametrize("tls_proxy", [False, True], ids=["http-proxy", "https-proxy"])
origins = pytest.mark.parametrize("tls_origin", [False, True], ids=["http-origin", "https-origin"])


async def echo(conn: RawConnection) -> None:
    """Answers with method, target and content."""
    async for asked in conn:
        await conn.send(response(body=f"{asked.method} {asked.target} ".encode() + asked.body))


async def large(conn: RawConnection) -> None:
    """Answers with three MiB."""
    async for _ in conn:
        await conn.send(response(body=LARGE))


def server_of(
    script: Callable[[RawConnection], object], tls: bool
) -> contextlib.AbstractAsyncContextManager[RawServer]:
    """A server, in TLS or not."""
    return raw_server(script, tls=certs.server_context() if tls else None)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def way(tls_proxy: bool, tls_origin: bool, script: Script = echo) -> AsyncIterator[tuple[RawServer, RawServer]]:
    """A proxy and an origin."""
    async with server_of(http_proxy(), tls_proxy) as proxy, server_of(script, tls_origin) as origin:
        yield proxy, origin


def connector_of(proxy: RawServer | str, auth: BasicAuth | DigestAuth | None = None) -> ProxyConnector:
    """A connector that goes through *proxy* and knows the tests' authority."""
    url = proxy if isinstance(proxy, str) else proxy.url()
    return ProxyConnector(url, proxy_auth=auth, ssl_context=certs.client_context())


# The ways.


@schemes
@origins
async def test_a_request_goes_through_the_proxy(tls_proxy: bool, tls_origin: bool) -> None:
    """In absolute-form for http (RFC 9112 section 3.2.2), in a tunnel for https (section 3.2.3)."""
    async with way(tls_proxy, tls_origin) as (proxy, origin):
        async with ClientSession(connector=connector_of(proxy)) as session:
            for number in range(3):
                async with session.post(origin.url(f"/p?{number}"), data=b"content") as reply:
                    assert await reply.read() == f"POST /p?{number} content".encode()
                    assert str(reply.url) == origin.url(f"/p?{number}")
        assert proxy.accepted == 1, "the connection is kept alive"
        if tls_origin:
            assert [(asked.method, asked.target) for asked in proxy.requests] == [
                ("CONNECT", f"127.0.0.1:{origin.port}")
            ]
            assert proxy.requests[0].fields["Host"] == f"127.0.0.1:{origin.port}"
        else:
            assert [asked.target for asked in proxy.requests] == [origin.url(f"/p?{number}") for number in range(3)]
            assert {asked.fields["Host"] for asked in proxy.requests} == {f"127.0.0.1:{origin.port}"}


@schemes
@origins
async def test_large_content_comes_whole_through_a_proxy_both_ways(
    tls_proxy: bool, tls_origin: bool, tmp_path: Path
) -> None:
    """Read, saved, and sent: TLS in TLS carries what one TLS does."""
    async with way(tls_proxy, tls_origin, large) as (proxy, origin):
        async with ClientSession(connector=connector_of(proxy)) as session:
            async with session.get(origin.url()) as reply:
                assert await reply.read() == LARGE
            async with session.get(origin.url()) as reply:
                assert await reply.save(tmp_path / "file") == len(LARGE)
            assert (tmp_path / "file").read_bytes() == LARGE
            async with session.put(origin.url(), data=LARGE) as reply:
                await reply.read()
        assert origin.requests[-1].body == LARGE


@pytest.mark.parametrize("given", ["request", "session", "connector", "environment"])
async def test_a_proxy_may_be_named_in_four_places(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the request, the session, the connector, and by the environment for who trusts it."""
    async with way(False, False) as (proxy, origin):
        monkeypatch.setenv("http_proxy", proxy.url())
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        sessions = {
            "request": ClientSession(),
            "session": ClientSession(proxy=proxy.url()),
            "connector": ClientSession(connector=ProxyConnector(proxy.url())),
            "environment": ClientSession(trust_env=True),
        }
        async with contextlib.AsyncExitStack() as stack:
            for session in sessions.values():
                await stack.enter_async_context(session)
            options = {"proxy": proxy.url()} if given == "request" else {}
            await (await sessions[given].get(origin.url("/x"), **options)).read()  # type: ignore[arg-type]
            assert [asked.target for asked in proxy.requests] == [origin.url("/x")]


async def test_the_environment_means_nothing_to_who_does_not_trust_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor to a connector that says itself where connections go."""
    async with way(False, False) as (proxy, origin), raw_server(http_proxy()) as other:
        monkeypatch.setenv("http_proxy", proxy.url())
        async with ClientSession() as session:
            for options in ({}, {"headers": {"X": "y"}}):
                await (await session.get(origin.url(), **options)).read()  # type: ignore[arg-type]
        async with ClientSession(connector=ProxyConnector(other.url()), trust_env=True) as session:
            await (await session.get(origin.url())).read()
        assert (proxy.accepted, other.accepted) == (0, 1)


async def test_no_proxy_is_asked_anew_for_each_redirection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next URL may be one that needs no proxy, or another one."""

    async def moved(conn: RawConnection) -> None:
        async for _ in conn:
            await conn.send(response(302, fields=[("Location", f"http://localhost:{origin.port}/there")]))

    async with raw_server(http_proxy()) as proxy, raw_server(moved) as first, raw_server(echo) as origin:
        monkeypatch.setenv("http_proxy", proxy.url())
        monkeypatch.setenv("no_proxy", "localhost")
        async with ClientSession(trust_env=True) as session:
            reply = await session.get(first.url(), allow_redirects=True)
            # The scripted proxy passes status and content on, not Location.
            assert reply.status == 302
            assert [asked.target for asked in proxy.requests] == [first.url()]
            async with session.get(f"http://localhost:{origin.port}/") as reply:
                assert await reply.read() == b"GET / "
        assert proxy.accepted == 1


async def test_request_takes_a_proxy_too() -> None:
    """Without a connector nothing is kept open."""
    async with way(False, True) as (proxy, origin), raw_server(echo) as plain:
        connector = TCPConnector(ssl_context=certs.client_context())
        async with connector, request("get", origin.url(), connector=connector, proxy=proxy.url()) as reply:
            assert await reply.read() == b"GET / "
        async with request("get", plain.url(), proxy=f"127.0.0.1:{proxy.port}") as reply:
            await reply.read()
        assert len(proxy.requests) == 2


async def test_a_unix_connector_refuses_a_proxy() -> None:
    """Its connections go to one socket."""
    async with ClientSession(connector=UnixConnector(path="/nowhere")) as session:
        with pytest.raises(ValueError, match="TCPConnector"):
            await session.get("http://h/", proxy="http://p:1")


# Credentials.


@pytest.mark.parametrize("given", ["url", "argument"])
@origins
async def test_credentials_reach_the_proxy_and_nobody_else(given: str, tls_origin: bool) -> None:
    """On CONNECT, or on each forwarded request; an origin never sees them (class 1 of CLIENT defects)."""
    async with way(False, tls_origin) as (proxy, origin):
        connector = (
            connector_of(proxy.url().replace("://", "://me:secret@"))
            if given == "url"
            else connector_of(proxy, BasicAuth("me", "secret"))
        )
        async with ClientSession(connector=connector, headers={"Proxy-Authorization": "Basic by-hand"}) as session:
            await (await session.get(origin.url())).read()
            assert "secret" not in repr(session)
        assert [asked.fields.getall("Proxy-Authorization") for asked in proxy.requests] == [[BASIC]]
        assert not any("Proxy-Authorization" in asked.fields for asked in origin.requests)


async def test_proxy_authorization_set_by_hand_reaches_no_origin() -> None:
    """Neither directly nor through a tunnel."""
    async with way(False, True) as (proxy, origin):
        fields = {"Proxy-Authorization": "Basic by-hand"}
        async with ClientSession(connector=TCPConnector(ssl_context=certs.client_context())) as session:
            await (await session.get(origin.url(), headers=fields)).read()
            await (await session.get(origin.url(), headers=fields, proxy=proxy.url())).read()
        assert [dict(asked.fields).get("Proxy-Authorization") for asked in origin.requests] == [None, None]


def demanding(accepted: Callable[[str], bool], *, closes: bool = False) -> Callable[[Request], bytes | None]:
    """Refuses with 407 and a Digest challenge unless the credentials are *accepted*."""

    def refuse(asked: Request) -> bytes | None:
        if accepted(asked.fields.get("Proxy-Authorization", "")):
            return None
        return response(407, b"who are you?", [CHALLENGE], reason="Proxy Authentication Required")

    return refuse


@origins
async def test_digest_answers_the_challenge_of_a_proxy(tls_origin: bool) -> None:
    """Once; later requests and tunnels carry the answer at once (RFC 7616 section 3.6)."""
    proxying = http_proxy(demanding(lambda field: field.startswith('Digest username="me"')))
    async with raw_server(proxying) as proxy, server_of(echo, tls_origin) as origin:
        async with ClientSession(connector=connector_of(proxy, DigestAuth("me", "secret"))) as session:
            for number in range(2):
                async with session.post(origin.url(f"/{number}"), data=b"x") as reply:
                    assert await reply.read() == f"POST /{number} x".encode()
        uris = [
            asked.fields.get("Proxy-Authorization", "").partition('uri="')[2].partition('"')[0]
            for asked in proxy.requests
        ]
        if tls_origin:
            assert uris == ["", f"127.0.0.1:{origin.port}"]
        else:
            assert uris == ["", origin.url("/0"), origin.url("/1")]
        assert len(origin.requests) == 2


async def test_wrong_credentials_are_offered_once() -> None:
    """To a forwarding proxy the 407 is the response, for a tunnel an error that tells its status."""
    async with raw_server(http_proxy(demanding(lambda _: False))) as proxy:
        async with ClientSession(connector=connector_of(proxy, DigestAuth("me", "secret"))) as session:
            async with session.get("http://127.0.0.1:9/") as reply:
                assert reply.status == 407
            assert len(proxy.requests) == 2
            with pytest.raises(ClientHttpProxyError) as caught:
                await session.get("https://127.0.0.1:9/")
        assert caught.value.status == 407
        assert "secret" not in str(caught.value)
        assert proxy.url().rstrip("/") in str(caught.value)


async def test_connections_are_not_shared_between_credentials_or_ways() -> None:
    """The key holds proxy, credentials and, for a tunnel, the origin (class 10 of CLIENT defects)."""
    async with way(False, False) as (proxy, origin), raw_server(echo) as other:
        async with ClientSession() as session:
            for auth, server in itertools.product((None, BasicAuth("a", "1"), BasicAuth("b", "1")), (origin, other)):
                await (await session.get(server.url(), proxy=proxy.url(), proxy_auth=auth)).read()
            assert proxy.accepted == 3, "one for each credentials, whatever the origin"
            await (await session.get(origin.url())).read()
            assert (proxy.accepted, session.connector.idle_count) == (3, 4)
        sent = [(asked.connection, asked.fields.get("Proxy-Authorization")) for asked in proxy.requests]
        a, b = BasicAuth("a", "1").encode(), BasicAuth("b", "1").encode()
        assert sent == [(0, None), (0, None), (1, a), (1, a), (2, b), (2, b)]


async def test_further_fields_go_to_the_proxy_alone() -> None:
    """On CONNECT."""
    async with way(False, True) as (proxy, origin):
        connector = ProxyConnector(proxy.url(), proxy_headers={"X-Trace": "1"}, ssl_context=certs.client_context())
        async with ClientSession(connector=connector) as session:
            await (await session.get(origin.url())).read()
        assert proxy.requests[0].fields["X-Trace"] == "1"
        assert "X-Trace" not in origin.requests[0].fields


def test_credentials_of_a_request_need_a_proxy_of_the_request() -> None:
    """Else nobody would get them, in silence."""

    async def ask() -> None:
        async with ClientSession() as session:
            await session.get("http://h/", proxy_auth=BasicAuth("a"))

    with pytest.raises(ValueError, match="proxy="):
        asyncio.run(ask())


# What goes wrong.


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
@origins
async def test_a_proxy_that_is_not_there_is_told_as_such(scheme: str, tls_origin: bool) -> None:
    """It is the proxy that cannot be reached, not the origin."""
    async with raw_server(echo) as gone:
        port = gone.port
    url = f"{'https' if tls_origin else 'http'}://127.0.0.1:9/"
    async with ClientSession(connector=ProxyConnector(f"{scheme}://me:secret@127.0.0.1:{port}")) as session:
        with pytest.raises(ClientProxyConnectionError) as caught:
            await session.get(url)
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (response(403, b"not there", reason="Forbidden"), ClientHttpProxyError),
        (response(407, b"who?", reason="Proxy Authentication Required"), ClientHttpProxyError),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\n\r\n", ClientHttpProxyError),
        (b"HTTP/1.1 200 OK\r\n\r\nearly", ClientProxyConnectionError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nearly", ClientProxyConnectionError),
        (b"SSH-2.0-x\r\n", ResponseProtocolError),
        (b"HTTP/1.1 200 OK\r\n", ServerDisconnectedError),
        (b"", ServerDisconnectedError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 30_000, ResponseProtocolError),
    ],
    ids=["403", "407", "redirection", "early", "early-with-length", "no-http", "cut", "nothing", "endless"],
)
async def test_a_tunnel_that_is_not_opened_is_an_error(reply: bytes, error: type[Exception]) -> None:
    """Never a response of the origin's (CVE-2009-2060 and its kin), never octets that are taken for its TLS."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        with contextlib.suppress(OSError):
            await conn.send(reply)
        if not reply.endswith(b"\r\n\r\n") and b"early" not in reply:
            return
        await conn.read_eof()

    async with raw_server(script) as proxy, ClientSession(connector=connector_of(proxy)) as session:
        with pytest.raises(error):
            await session.get("https://127.0.0.1:9/")
        assert session.connector.open_count == 0


async def test_an_interim_response_before_the_tunnel_is_passed_over() -> None:
    """RFC 9110 section 15.2."""
    async with server_of(echo, True) as origin:

        async def script(conn: RawConnection) -> None:
            await conn.read_request()
            await conn.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
            await asyncio.sleep(0)
            await conn.send(b"X: y\r\n\r\n")
            await carry(conn, "127.0.0.1", origin.port, b"")

        async with (
            raw_server(script) as proxy,
            ClientSession(connector=connector_of(proxy)) as session,
            session.get(origin.url()) as reply,
        ):
            assert await reply.read() == b"GET / "


@schemes
async def test_the_certificate_of_the_origin_is_looked_at_inside_the_tunnel(tls_proxy: bool) -> None:
    """The proxy cannot stand in for it."""
    async with (
        server_of(http_proxy(), tls_proxy) as proxy,
        raw_server(echo, tls=certs.wrong_name_server_context()) as origin,
        ClientSession(connector=connector_of(proxy)) as session,
    ):
        with pytest.raises(ClientConnectorCertificateError) as caught:
            await session.get(origin.url())
        assert caught.value.port == origin.port
        assert origin.requests == []


async def test_the_certificate_of_an_https_proxy_is_looked_at() -> None:
    """Before it is told anything, credentials above all."""
    async with (
        raw_server(http_proxy(), tls=certs.untrusted_server_context()) as proxy,
        ClientSession(connector=connector_of(proxy, BasicAuth("me", "secret"))) as session,
    ):
        with pytest.raises(ClientConnectorCertificateError) as caught:
            await session.get("https://127.0.0.1:9/")
        assert caught.value.port == proxy.port
        assert proxy.requests == []


async def test_the_bound_on_connecting_covers_the_proxy() -> None:
    """DNS, TCP, proxy and TLS together."""

    async def silent(conn: RawConnection) -> None:
        await conn.read_eof()

    async with (
        raw_server(silent) as proxy,
        ClientSession(connector=connector_of(proxy), timeout=Timeout(connect=0.05)) as session,
    ):
        with pytest.raises(ConnectionTimeoutError):
            await session.get("https://127.0.0.1:9/")
        assert session.connector.open_count == 0


@pytest.mark.parametrize("moment", Moment)
@schemes
@origins
async def test_cancelled_anywhere_on_the_way_a_request_leaves_nothing_open(
    tls_proxy: bool, tls_origin: bool, moment: Moment
) -> None:
    """At each await of connect, TLS, CONNECT and TLS in TLS; the next request gets its own answer."""
    async with way(tls_proxy, tls_origin) as (proxy, origin):
        numbers = itertools.count()

        async def fetch() -> None:
            async with ClientSession(connector=connector_of(proxy)) as session:
                number = next(numbers)
                async with session.get(origin.url(f"/{number}")) as reply:
                    assert await reply.read() == f"GET /{number} ".encode()

        async for _ in cancelled_at_each_await(fetch, moment):
            pass
        await proxy.until(lambda: proxy.open_connections == 0)


# SOCKS.


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@origins
async def test_socks_carries_requests(scheme: str, tls_origin: bool) -> None:
    """RFC 1928; with an h at the end the proxy resolves the name."""
    socks = Socks()
    async with raw_server(socks.script) as proxy, server_of(echo, tls_origin) as origin:
        async with ClientSession(connector=connector_of(f"{scheme}://127.0.0.1:{proxy.port}")) as session:
            for _ in range(2):
                async with session.get(origin.url(host="localhost")) as reply:
                    assert await reply.read() == b"GET / "
        assert socks.asked == [(3, "localhost") if scheme == "socks5h" else (1, "127.0.0.1")]


async def test_a_socks_proxy_is_connected_to_as_any_host_is() -> None:
    """By the connector's own way: addresses in turn, the socket's maker, the policy on addresses."""
    socks = Socks()
    made: list[Any] = []

    def make(info: Any) -> socket.socket:
        made.append(info[4][:2])
        return socket.socket(*info[:3])

    async with raw_server(socks.script) as proxy, raw_server(echo) as origin:
        url = f"socks5h://localhost:{proxy.port}"
        connector = ProxyConnector(url, socket_factory=make)
        async with ClientSession(connector=connector) as session, session.get(origin.url()) as reply:
            assert await reply.read() == b"GET / "
        assert ("127.0.0.1", proxy.port) in made
        async with ClientSession(connector=ProxyConnector(url, allow_address=is_public_address)) as session:
            with pytest.raises(ClientProxyConnectionError, match="allow_address refuses") as caught:
                await session.get(origin.url())
            assert isinstance(caught.value.__cause__, AddressNotAllowedError)
        assert proxy.accepted == 1


async def test_socks_takes_user_and_password() -> None:
    """RFC 1929."""
    socks = Socks(credentials=("me", "secret"))
    async with raw_server(socks.script) as proxy, raw_server(echo) as origin:
        connector = connector_of(f"socks5://me:secret@127.0.0.1:{proxy.port}")
        async with ClientSession(connector=connector) as session, session.get(origin.url()) as reply:
            assert reply.status == 200
        for auth in (BasicAuth("me", "wrong"), DigestAuth("me", "secret")):
            async with ClientSession(connector=connector_of(f"socks5://127.0.0.1:{proxy.port}", auth)) as session:
                with pytest.raises(ClientProxyConnectionError) as caught:
                    await session.get(origin.url())
            assert "secret" not in str(caught.value)


async def test_a_refusal_of_socks_is_told() -> None:
    """In the words of RFC 1928 section 6."""
    async with (
        raw_server(Socks(code=5).script) as proxy,
        ClientSession(connector=connector_of(f"socks5://127.0.0.1:{proxy.port}")) as session,
    ):
        with pytest.raises(ClientProxyConnectionError, match="refused"):
            await session.get("http://127.0.0.1:9/")
        assert session.connector.open_count == 0


async def test_without_its_package_socks_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: few need it."""
    monkeypatch.setitem(__import__("sys").modules, "python_socks", None)
    async with ClientSession(connector=ProxyConnector("socks5://127.0.0.1:9")) as session:
        with pytest.raises(ClientProxyConnectionError, match=r"fetchd\[socks\]"):
            await session.get("http://127.0.0.1:9/")
