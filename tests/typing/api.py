"""The public surface as its users write it. Nothing here is run: it has to pass the type checker, and that is the test.

What a name gives is asserted where inference decides it; an argument that must be refused carries an ignore, which the
checker reports as unused the day it is taken.
"""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path
from types import SimpleNamespace
from typing import Any, assert_type

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy
from yarl import URL

from fetchd.client import (
    Auth,
    BaseConnector,
    BasicAuth,
    BearerAuth,
    CachingResolver,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ContentDisposition,
    Cookie,
    CookieJar,
    DigestAuth,
    Fingerprint,
    FormData,
    IncompleteMessageError,
    ProxyConnector,
    RequestInfo,
    RequestOptions,
    Resolver,
    ServerTimeoutError,
    StreamReader,
    TCPConnector,
    ThreadedResolver,
    Timeout,
    Timings,
    TraceConfig,
    TraceDnsResolveHostStartParams,
    TraceRequestEndParams,
    TraceRequestStartParams,
    UnixConnector,
    WireHook,
    client_context,
    request,
)
from fetchd.client.resolver import AddrInfo


async def one_request() -> None:
    """Awaited, entered, wrapped."""
    assert_type(await request("get", "http://h/"), ClientResponse)
    async with request("get", URL("http://h/"), params={"a": 1}) as reply:
        assert_type(reply, ClientResponse)
    assert_type(await asyncio.create_task(request("get", "http://h/")), ClientResponse)
    assert_type(await asyncio.wait_for(request("get", "http://h/"), 1), ClientResponse)
    await request("get", "http://h/", connector=TCPConnector())
    await request("get", 5)  # type: ignore[arg-type]  # no URL
    await request("get", "http://h/", parameters={})  # type: ignore[call-arg]  # no such option


async def a_session() -> None:
    """Every argument of a session, every method."""
    session = ClientSession(
        "http://h/",
        connector=TCPConnector(),
        connector_owner=False,
        headers=CIMultiDict({"A": "b"}),
        cookies={"a": "b"},
        cookie_jar=CookieJar(),
        timeout=Timeout(total=5),
        raise_for_status=True,
        auto_decompress=False,
        max_body_bytes=1 << 20,
        fallback_charset_resolver=lambda reply, body: "utf-8",
        skip_auto_headers=["User-Agent"],
        json_serialize=repr,
    )
    async with session as entered:
        assert_type(entered, ClientSession)
        assert_type(entered.closed, bool)
        assert_type(entered.connector, BaseConnector)
        assert_type(entered.cookie_jar, CookieJar)
        assert_type(entered.timeout, Timeout)
        for ask in (session.get, session.head, session.options, session.post, session.put, session.patch):
            async with ask("/x") as reply:
                assert_type(reply, ClientResponse)
        assert_type(await session.delete("/x"), ClientResponse)
        assert_type(await session.request("PURGE", "/x"), ClientResponse)
    await session.close()


async def options(session: ClientSession) -> None:
    """What a request may be given, one by one and as a dict."""
    for params in ({"a": "b"}, [("a", "b"), ("a", "c")], MultiDict(a="b"), "a=b"):
        await session.get("/", params=params)
    await session.get("/", headers=[("A", "1"), ("A", "2")], cookies={"a": "b"})
    await session.get("/", timeout=5, allow_redirects=False, max_redirects=3)
    await session.get("/", timeout=Timeout(connect=1), auto_decompress=False, max_body_bytes=None)
    await session.get("/", ssl=False, server_hostname="h")
    await session.get("/", skip_auto_headers={"User-Agent"})
    for compress in (True, "gzip"):
        await session.post("/", data=b"octets", compress=compress, chunked=True)
    kept: RequestOptions = {"raise_for_status": True, "json": [1]}
    await session.post("/", **kept)


async def pieces() -> AsyncIterator[bytes]:
    """A body made on the go."""
    yield b""


async def bodies(session: ClientSession, path: Path) -> None:
    """Everything that ``data=`` takes."""
    await session.post("/", data=b"octets")
    await session.post("/", data=bytearray(b"octets"))
    await session.post("/", data=memoryview(b"octets"))
    await session.post("/", data="text")
    await session.post("/", data={"k": "v"})
    await session.post("/", data={"n": 1})
    mixed: dict[str, object] = {"k": "v", "n": 1}
    await session.post("/", data=mixed)
    numbers: dict[str, int] = {"n": 1}
    await session.post("/", data=numbers)
    pairs: list[tuple[str, object]] = [("k", "v"), ("n", 1)]
    await session.post("/", data=pairs)
    await session.post("/", data={1: "v"})  # type: ignore[arg-type]  # a name is text
    await session.post("/", data=[("k", "v")])
    await session.post("/", data=io.BytesIO())
    await session.post("/", data={"k": "v", "n": 1, "f": io.BytesIO(), "t": ("a.csv", "text"), "u": ("a", b"", "a/b")})
    await session.post("/", data=[("k", "v"), ("f", io.BytesIO())])
    form = FormData({"k": "v"}, quote_fields=False, charset="utf-8")
    form.add_field("f", io.BytesIO(), content_type="text/csv", filename="a.csv")
    form.add_fields(("k", "v"), {"k": "v"}, io.BytesIO())
    await session.post("/", data=form)
    with path.open("rb") as file:
        await session.post("/", data=file)
    await session.post("/", data=pieces())
    stream = StreamReader()
    upload = asyncio.create_task(session.put("/", data=stream))
    stream.feed_data(b"x")
    await stream.write(b"y")
    stream.feed_eof()
    await upload
    source = await session.get("/")
    await session.post("/", data=source.content)
    await session.post("/", data=5)  # type: ignore[arg-type]  # no body
    await session.post("/", json={"any": ["thing"]})


async def a_response(reply: ClientResponse, path: Path) -> None:
    """Head, whole content, stream, file."""
    assert_type(reply.status, int)
    assert_type(reply.reason, str)
    assert_type(reply.method, str)
    assert_type(reply.ok, bool)
    assert_type(reply.url, URL)
    assert_type(reply.headers, CIMultiDictProxy[str])
    assert_type(reply.raw_headers, tuple[tuple[bytes, bytes], ...])
    assert_type(reply.raw_field(b"ETag"), bytes | None)
    assert_type(reply.trailers, CIMultiDictProxy[str])
    assert_type(reply.cookies, SimpleCookie)
    assert_type(reply.content_length, int | None)
    assert_type(reply.content_type, str)
    assert_type(reply.charset, str | None)
    assert_type(reply.history, tuple[ClientResponse, ...])
    assert_type(reply.is_complete, bool)
    assert_type(reply.real_url, URL)
    assert_type(reply.host, str | None)
    assert_type(reply.request_info, RequestInfo)
    assert_type(reply.request_info.headers, CIMultiDictProxy[str])
    assert_type(reply.links, MultiDictProxy[MultiDictProxy[str | URL]])
    assert_type(reply.content_disposition, ContentDisposition | None)
    assert_type(reply.get_encoding(), str)
    reply.raise_for_status()
    assert_type(await reply.read(), bytes)
    assert_type(await reply.text(), str)
    assert_type(await reply.text(encoding="latin-1"), str)
    assert_type(await reply.json(content_type=None, loads=str.upper), Any)
    assert_type(await reply.save(path), int)
    assert_type(await reply.save(1, offset=5), int)
    assert_type(await reply.save(io.BytesIO()), int)
    await reply.release()
    reply.close()


async def a_stream(content: StreamReader) -> None:
    """Every way of reading."""
    assert_type(content.length, int | None)
    assert_type(content.total_bytes, int)
    assert_type(content.read_nowait(), bytes)
    assert_type(content.read_nowait(10), bytes)
    async for data, is_end in content.iter_chunks():
        assert_type(data, bytes)
        assert_type(is_end, bool)
    assert_type(await content.read(), bytes)
    assert_type(await content.read(10), bytes)
    assert_type(await content.readany(), bytes)
    assert_type(await content.readexactly(10), bytes)
    assert_type(await content.readline(), bytes)
    assert_type(await content.readuntil(b";", limit=100), bytes)
    assert_type(await content.readinto(bytearray(10)), int)
    assert_type(content.at_eof(), bool)
    assert_type(content.exception(), BaseException | None)
    async for piece in content.iter_chunked(65_536):
        assert_type(piece, bytes)
    async for piece in content.iter_any():
        assert_type(piece, bytes)
    async for line in content:
        assert_type(line, bytes)


class Fixed:
    """A resolver of one's own: the Protocol asks for no base class."""

    async def resolve(self, host: str, port: int, family: int = socket.AF_UNSPEC) -> list[AddrInfo]:
        """Always the same address."""
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]


def seen(direction: str, connection: int, octets: bytes) -> None:
    """A hook for the octets."""


async def connectors(context: ssl.SSLContext, path: Path) -> None:
    """Every argument of each."""
    resolvers: list[Resolver] = [Fixed(), ThreadedResolver(), CachingResolver(Fixed())]
    for resolver in resolvers:
        async with TCPConnector(resolver=resolver) as entered:
            assert_type(entered, TCPConnector)
    tcp = TCPConnector(
        limit=10,
        limit_per_host=2,
        keepalive_timeout=5,
        force_close=True,
        verify_ssl=False,
        family=socket.AF_INET,
        happy_eyeballs_delay=None,
        wire=seen,
    )
    either: list[BaseConnector] = [tcp, UnixConnector("/run/app.sock", ssl_context=context)]
    for connector in either:
        assert_type(connector.open_count, int)
        assert_type(connector.idle_count, int)
        assert_type(connector.closed, bool)
        await connector.close()
    hook: WireHook = seen
    UnixConnector("/run/app.sock", wire=hook)
    assert_type(client_context(path), ssl.SSLContext)
    assert_type(client_context(certfile=path, keyfile=path, password="x"), ssl.SSLContext)
    for trust in (True, False, context, Fingerprint(bytes(32))):
        TCPConnector(ssl=trust)
    TCPConnector(ssl="path")  # type: ignore[arg-type]  # no trust


async def proxies(session: ClientSession) -> None:
    """Credentials of every kind, a proxy in each place."""
    assert_type(BasicAuth.decode("Basic dTpw"), BasicAuth)
    assert_type(BasicAuth("user", "password", "utf-8").encode(), str)
    kinds: list[Auth] = [BasicAuth("user"), BearerAuth("token"), DigestAuth("user", "password")]
    for auth in kinds:
        ClientSession(proxy="http://proxy:3128", proxy_auth=auth, trust_env=False)
        ProxyConnector(proxy="http://proxy:3128", proxy_auth=auth)
        await session.get("/", proxy=URL("http://proxy"), proxy_auth=auth, proxy_headers={"A": "b"})
    await session.get("/", proxy_auth=("user", "password"))  # type: ignore[arg-type]  # no credentials


def cookies(jar: CookieJar) -> None:
    """The store by hand."""
    jar.update({"a": "b"}, URL("http://h/"))
    jar.update_from_response(["a=b; Path=/"], URL("http://h/"))
    assert_type(jar.cookie_header(URL("http://h/")), str)
    jar.clear(lambda cookie: cookie.domain == "h")
    for cookie in jar:
        assert_type(cookie, Cookie)
        assert_type(cookie.expiry_time, float | None)


async def traces() -> None:
    """Handlers with what they are given; one of another event is refused."""

    async def begun(session: ClientSession, context: SimpleNamespace, params: TraceRequestStartParams) -> None:
        assert_type(params.method, str)
        assert_type(params.url, URL)
        assert_type(params.headers, CIMultiDict[str])

    async def ended(session: ClientSession, context: Any, params: TraceRequestEndParams) -> None:
        assert_type(params.response, ClientResponse)

    trace = TraceConfig(trace_config_ctx_factory=SimpleNamespace)
    trace.on_request_start.append(begun)
    trace.on_request_end.append(ended)
    assert_type(trace.on_dns_resolvehost_start.frozen, bool)
    assert_type(TraceDnsResolveHostStartParams("h").host, str)
    trace.on_request_end.append(begun)  # type: ignore[arg-type]  # of another event
    async with ClientSession(trace_configs=[trace], timings=True) as session:
        reply = await session.get("/", trace_request_ctx={"any": "thing"})
        assert_type(reply.timings, Timings | None)
        if reply.timings is not None:
            assert_type(reply.timings.first_byte, float | None)


async def errors(session: ClientSession) -> None:
    """What an error carries."""
    try:
        await session.get("/")
    except ClientResponseError as exc:
        assert_type(exc.status, int)
        assert_type(exc.url, str)
    except ClientConnectorError as exc:
        assert_type(exc.attempts, tuple[BaseException, ...])
        assert_type(exc.host, str)
    except ServerTimeoutError as exc:
        assert_type(exc.seconds, float)
        timeout: TimeoutError = exc
        raise timeout from None
    except IncompleteMessageError as exc:
        assert_type(exc.received, int)
        assert_type(exc.expected, int | None)
    except ClientError as exc:
        assert_type(str(exc), str)
