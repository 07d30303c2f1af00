"""Traces: which events a request tells, in which order, with what; and that a handler can end it and break nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from fetchd.client import (
    BodyTooLargeError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientPayloadError,
    ClientResponseError,
    ClientSession,
    DigestAuth,
    DigestMismatchError,
    ProxyConnector,
    TCPConnector,
    Timeout,
    TotalTimeoutError,
    TraceConfig,
)
from fetchd.client.tracing import Signal
from tests.support import certs
from tests.support.cancelling import Moment, cancelled_at_each_await
from tests.support.raw_proxy import http_proxy
from tests.support.raw_server import RawConnection, raw_server, reply_with, response

pytestmark = pytest.mark.usefixtures("nothing_left")

EVENTS = sorted(name for name in vars(TraceConfig()) if name.startswith("on_"))
# Told when a connection is made to a name that is not known yet, in this order.
RESOLVED = ["dns_cache_miss", "dns_resolvehost_start", "dns_resolvehost_end"]


class Recorder(TraceConfig):
    """A config that keeps what it is told.

    Args:
        failing: The event whose handler raises.
    """

    def __init__(self, failing: str | None = None, error: Callable[[], BaseException] = lambda: Boom()) -> None:
        super().__init__()
        self.told: list[tuple[str, Any]] = []
        for event in EVENTS:
            getattr(self, event).append(self._handler(event, error if event == failing else None))

    def _handler(self, event: str, error: Callable[[], BaseException] | None) -> Callable[..., Any]:
        async def handler(session: ClientSession, context: SimpleNamespace, params: Any) -> None:
            assert isinstance(session, ClientSession)
            self.told.append((event.removeprefix("on_"), params))
            await asyncio.sleep(0)
            if error is not None:
                raise error()

        return handler

    @property
    def events(self) -> list[str]:
        """Names of what was told since the last time."""
        names = [name for name, _ in self.told]
        self.told.clear()
        return names

    def params(self, event: str) -> Any:
        """What the one event of that name brought."""
        [params] = [params for name, params in self.told if name == event]
        return params


class Boom(Exception):
    """What a handler raises."""


async def answer(conn: RawConnection) -> None:
    """/a leads to /b, /missing is missing; everything else answers with its content."""
    async for asked in conn:
        if asked.target == "/a":
            await conn.send(response(302, fields=[("Location", "/b")]))
        else:
            await conn.send(response(404 if asked.target == "/missing" else 200, asked.body or b"content"))


async def pieces() -> AsyncIterator[bytes]:
    """A body of two pieces."""
    yield b"one"
    yield b"two"


async def test_a_request_tells_of_its_connection_and_the_next_one_of_its_reuse() -> None:
    """In the order in which things happen."""
    trace = Recorder()
    async with raw_server(answer) as server, ClientSession(trace_configs=[trace]) as session:
        for _ in range(2):
            async with session.get(server.url(host="localhost")) as reply:
                await reply.read()
    new, reused = trace.events, ["request_start", "connection_reuseconn", "request_headers_sent", "request_end"]
    received = ["response_chunk_received"]
    made = ["connection_create_start", *RESOLVED, "connection_create_end"]
    assert new == ["request_start", *made, "request_headers_sent", "request_end", *received, *reused, *received]


async def test_an_address_is_not_looked_up_and_a_known_name_is_a_hit() -> None:
    """``on_dns_*`` are of names."""
    trace = Recorder()
    connector = TCPConnector(force_close=True)
    async with raw_server(answer) as server, ClientSession(connector=connector, trace_configs=[trace]) as session:
        (await session.get(server.url())).close()
        assert not [name for name in trace.events if name.startswith("dns")]
        (await session.get(server.url(host="localhost"))).close()
        assert [name for name in trace.events if name.startswith("dns")] == RESOLVED
        (await session.get(server.url(host="localhost"))).close()
        assert trace.params("dns_cache_hit").host == "localhost"
        assert [name for name in trace.events if name.startswith("dns")] == ["dns_cache_hit"]


async def test_without_a_cache_there_is_neither_hit_nor_miss() -> None:
    """The look-up alone."""
    trace = Recorder()
    connector = TCPConnector(use_dns_cache=False)
    async with raw_server(answer) as server, ClientSession(connector=connector, trace_configs=[trace]) as session:
        await (await session.get(server.url(host="localhost"))).read()
    assert [name for name in trace.events if name.startswith("dns")] == RESOLVED[1:]


async def test_a_redirection_is_told_with_the_response_that_asked_for_it() -> None:
    """And the end with the final one; method and URL are those of the hop."""
    trace = Recorder()
    async with raw_server(answer) as server, ClientSession(trace_configs=[trace]) as session:
        reply = await session.post(server.url("/a"), data=b"x")
        told = trace.params("request_redirect")
        assert (told.method, told.url.path, told.response.status) == ("POST", "/a", 302)
        told = trace.params("request_end")
        assert (told.method, told.url.path, told.response) == ("GET", "/b", reply)
        events = trace.events
        assert await reply.read() == b"content"
    sent = ["request_headers_sent", "request_chunk_sent"]
    made = ["connection_create_start", "connection_create_end"]
    again = ["connection_reuseconn", "request_headers_sent"]
    assert events == ["request_start", *made, *sent, "request_redirect", *again, "request_end"]
    assert trace.params("response_chunk_received").chunk == b"content"


async def test_a_redirection_that_keeps_the_content_is_told_with_both_of_its_sendings() -> None:
    """RFC 9110 section 15.4.8: 307 asks for the same again, at the new place."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            moved = response(307, fields=[("Location", "/b")])
            await conn.send(moved if asked.target == "/a" else response(200, asked.body))

    trace = Recorder()
    async with raw_server(script) as server, ClientSession(trace_configs=[trace]) as session:
        await session.post(server.url("/a"), data=b"x")
        told = trace.params("request_end")
        assert (told.method, told.url.path) == ("POST", "/b")
    made = ["connection_create_start", "connection_create_end"]
    sent = ["request_headers_sent", "request_chunk_sent"]
    again = ["connection_reuseconn", *sent]
    assert trace.events == ["request_start", *made, *sent, "request_redirect", *again, "request_end"]


async def test_the_answer_to_a_challenge_is_told_as_a_second_sending_of_one_request() -> None:
    """The 401 in between is neither an end nor a redirection: nobody gets it."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            known = "Authorization" in asked.fields
            challenge = ("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')
            await conn.send(response(200, b"ok") if known else response(401, b"who?", [challenge]))

    trace = Recorder()
    auth = DigestAuth("me", "secret")
    async with raw_server(script) as server, ClientSession(trace_configs=[trace], auth=auth) as session:
        await session.get(server.url())
        assert trace.params("request_end").response.status == 200
    made = ["connection_create_start", "connection_create_end"]
    again = ["connection_reuseconn", "request_headers_sent"]
    assert trace.events == ["request_start", *made, "request_headers_sent", *again, "request_end"]


@pytest.mark.parametrize("data", [b"onetwo", "stream"], ids=["octets", "stream"])
async def test_content_is_told_piece_by_piece_without_its_framing(data: bytes | str) -> None:
    """Octets in one piece, a stream as it gives them."""
    trace = Recorder()
    async with raw_server(answer) as server, ClientSession(trace_configs=[trace]) as session:
        body = pieces() if data == "stream" else data
        async with session.post(server.url("/echo"), data=body) as reply:
            assert await reply.read() == b"onetwo"
    chunks = [params.chunk for name, params in trace.told if name == "request_chunk_sent"]
    assert chunks == ([b"one", b"two"] if data == "stream" else [b"onetwo"])
    assert trace.params("response_chunk_received").chunk == b"onetwo"


async def test_a_stream_tells_of_each_piece_before_it_gives_it() -> None:
    """By every way of reading; what came while nobody read, too."""
    trace = Recorder()
    large = bytes(range(256)) * 4096
    async with (
        raw_server(reply_with(response(body=large, framing="chunked"))) as server,
        ClientSession(trace_configs=[trace]) as session,
    ):

        def told() -> bytes:
            return b"".join(params.chunk for name, params in trace.told if name == "response_chunk_received")

        async with session.get(server.url()) as reply:
            first = await reply.content.readexactly(10)
            assert told().startswith(first)
            line = await reply.content.readline()
            async for piece in reply.content.iter_chunked(50_000):
                first += piece
                assert len(told()) >= len(first) + len(line)
            assert told() == large
        trace.told.clear()
        async with session.get(server.url()) as reply:
            assert await reply.content.read() == large
        assert told() == large


async def test_saving_tells_nothing_of_the_content(tmp_path: Any) -> None:
    """It need not pass through here; and what passes is not kept for somebody to be told."""
    trace = Recorder()
    script = reply_with(response(body=bytes(100_000), framing="chunked"))
    async with raw_server(script) as server, ClientSession(trace_configs=[trace]) as session:
        reply = await session.get(server.url())
        assert await reply.save(tmp_path / "file") == 100_000
    assert "response_chunk_received" not in trace.events


async def test_tls_through_a_tunnel_is_told_once_for_the_proxy_and_once_for_the_origin() -> None:
    """``on_tls_*`` are ours; the wait, the look-up and the tunnel are inside of ``on_connection_create_*``."""
    trace = Recorder()
    async with (
        raw_server(http_proxy(), tls=certs.server_context()) as proxy,
        raw_server(answer, tls=certs.server_context()) as server,
    ):
        connector = ProxyConnector(proxy.url(host="localhost"), ssl_context=certs.client_context())
        async with ClientSession(connector=connector, trace_configs=[trace]) as session:
            assert (await session.get(server.url())).status == 200
    hosts = [(name, *params) for name, params in trace.told if name.startswith("tls")]
    assert hosts == [
        ("tls_start", "localhost", proxy.port),
        ("tls_end", "localhost", proxy.port),
        ("tls_start", "127.0.0.1", server.port),
        ("tls_end", "127.0.0.1", server.port),
    ]
    events = trace.events
    assert events[1:5] == ["connection_create_start", *RESOLVED]
    assert events.index("connection_create_end") > events.index("tls_end")


async def test_the_wait_for_a_slot_is_told() -> None:
    """And what was waited for is a connection that is used again."""
    trace = Recorder()
    waits = asyncio.Event()

    async def note(session: ClientSession, context: Any, params: Any) -> None:
        waits.set()

    trace.on_connection_queued_start.append(note)
    async with raw_server(answer) as server, ClientSession(connector=TCPConnector(limit=1)) as plain:
        await (await plain.get(server.url())).read()
        held = plain.connector.take_idle(plain.connector.route(origin_of(server.url())).key)
        assert held is not None
        async with ClientSession(connector=plain.connector, connector_owner=False, trace_configs=[trace]) as session:
            waiting = asyncio.create_task(session.get(server.url()))
            await waits.wait()
            plain.connector.give_back(held)
            await (await waiting).read()
    expected = ["request_start", "connection_queued_start", "connection_queued_end", "connection_reuseconn"]
    assert trace.events[:4] == expected


def origin_of(url: str) -> Any:
    """The origin of *url*."""
    from fetchd.client.urls import locate

    return locate(url)[0]


async def test_a_failure_is_told_instead_of_the_end() -> None:
    """A connection that is refused, a name that does not resolve, a status that raises, a time that is over."""
    trace = Recorder()

    async def silent(conn: RawConnection) -> None:
        await conn.read_eof()

    async with (
        raw_server(answer) as server,
        raw_server(silent) as mute,
        ClientSession(trace_configs=[trace]) as session,
    ):
        failing: list[tuple[str, dict[str, Any], type[Exception]]] = [
            ("http://127.0.0.1:1/", {}, ClientConnectorError),
            ("http://nobody.invalid/", {}, ClientConnectorDNSError),
            (server.url("/missing"), {"raise_for_status": True}, ClientResponseError),
            (mute.url(), {"timeout": 0.05}, TotalTimeoutError),
        ]
        for url, options, error in failing:
            with pytest.raises(error) as caught:
                await session.get(url, **options)
            assert trace.params("request_exception").exception is caught.value
            events = trace.events
            assert events[-1] == "request_exception"
            assert "request_end" not in events


async def test_a_cancellation_is_told_as_an_exception() -> None:
    """The handler may even wait."""
    trace = Recorder()
    arrived = asyncio.Event()

    async def silent(conn: RawConnection) -> None:
        await conn.read_request()
        arrived.set()
        await conn.read_eof()

    async with raw_server(silent) as server, ClientSession(trace_configs=[trace]) as session:
        task = asyncio.create_task(session.get(server.url()))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(trace.params("request_exception").exception, asyncio.CancelledError)
        assert session.connector.open_count == 0


@pytest.mark.parametrize("event", EVENTS)
async def test_what_a_handler_raises_is_raised_to_the_caller_and_leaves_nothing_behind(event: str) -> None:
    """Whichever event it is: the slot is free again, the connection closed or fit for use."""
    trace = Recorder(event)
    async with (
        raw_server(http_proxy()) as proxy,
        raw_server(answer, tls=certs.server_context()) as server,
    ):
        connector = ProxyConnector(proxy.url(host="localhost"), ssl_context=certs.client_context(), limit=1)
        plain = ClientSession(connector=connector)
        session = ClientSession(connector=connector, connector_owner=False, trace_configs=[trace])
        async with plain, session:
            raised = 0
            for _ in range(3):  # the last one waits for the slot, and finds the name known and the connection open
                route = connector.route(origin_of(server.url()))
                held = await connector.acquire(route, Timeout(), None) if connector.idle_count else None
                task = asyncio.create_task(one_of_each(session, server.url("/a")))
                for _ in range(20):
                    await asyncio.sleep(0)
                if held is not None:
                    connector.give_back(held)
                error = (await asyncio.gather(task, return_exceptions=True))[0]
                raised += isinstance(error, Boom)
                assert error is None or isinstance(error, Boom), error
                assert connector.open_count == connector.idle_count
                if event != "on_dns_cache_hit":
                    await (await plain.get(server.url())).read()
                else:
                    await connector_without_idle(connector)
            assert raised, "the event never came"


async def connector_without_idle(connector: ProxyConnector) -> None:
    """Close what is idle, so that the next request opens a connection to a name that is known."""
    while (oldest := connector._pool.oldest_idle()) is not None:
        oldest.close()
        connector._lost(oldest)


async def one_of_each(session: ClientSession, url: str) -> None:
    """An upload that is redirected and read, then one that fails by its status, for its exception."""
    async with session.post(url, data=b"x" * 100_000) as reply:
        await reply.read()
    try:
        await session.get(url.replace("/a", "/missing"), raise_for_status=True)
    except ClientResponseError:
        pass


async def test_handlers_that_raise_in_mid_upload_or_stream_end_that() -> None:
    """The upload fails with what was raised; the stream keeps what was not told."""
    trace = Recorder("on_request_chunk_sent")
    async with raw_server(answer) as server, ClientSession(trace_configs=[trace]) as session:
        with pytest.raises(Boom):
            await session.post(server.url(), data=pieces())
        assert session.connector.open_count == 0
    trace = Recorder("on_response_chunk_received")
    async with raw_server(answer) as server, ClientSession(trace_configs=[trace]) as session:
        reply = await session.get(server.url())
        with pytest.raises(Boom):
            await reply.content.read(3)
        assert await reply.content.read(3) == b"con"


async def test_a_body_whose_source_fails_is_told_as_an_exception() -> None:
    """As without a trace."""
    trace = Recorder()

    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise ClientPayloadError("no more")

    async with raw_server(lambda conn: conn.read_eof()) as server, ClientSession(trace_configs=[trace]) as session:  # type: ignore[arg-type,return-value]
        with pytest.raises(ClientPayloadError):
            await session.post(server.url(), data=broken())
        assert trace.events[-1] == "request_exception"


@pytest.mark.slow
@pytest.mark.parametrize("moment", list(Moment))
async def test_cancelled_at_any_await_a_watched_request_leaves_nothing_behind(moment: Moment) -> None:
    """Inside of a handler, too."""
    trace = Recorder()
    async with raw_server(http_proxy()) as proxy, raw_server(answer, tls=certs.server_context()) as server:
        connector = ProxyConnector(proxy.url(host="localhost"), ssl_context=certs.client_context(), force_close=True)
        async with ClientSession(connector=connector, trace_configs=[trace]) as session:
            count = 0

            async def fetch() -> None:
                async with session.post(server.url("/a"), data=pieces()) as reply:
                    await reply.read()

            async for count in cancelled_at_each_await(fetch, moment):  # noqa: B007 -- looked at below
                assert connector.open_count == 0
            assert count > 20


async def test_a_connection_that_is_closed_while_a_handler_works_is_replaced() -> None:
    """Nothing was sent by it, so that any request may go by another one."""
    trace = TraceConfig()
    gone = asyncio.Event()

    async def wait(session: ClientSession, context: Any, params: Any) -> None:
        gone.set()
        while any(not each.is_closed for each in session.connector._connections):  # noqa: ASYNC110 -- nothing tells
            await asyncio.sleep(0)

    async def once(conn: RawConnection) -> None:
        asked = await conn.read_request()
        await conn.send(response(body=asked.body))
        if conn.number == 0:
            await gone.wait()

    trace.on_connection_reuseconn.append(wait)
    async with raw_server(once) as server, ClientSession(trace_configs=[trace]) as session:
        for body in (b"one", b"two"):
            reply = await session.post(server.url(), data=body)
            assert await reply.read() == body
        assert [request.body for request in server.requests] == [b"one", b"two"]
        assert session.connector.open_count == session.connector.idle_count


async def test_what_is_watched_is_checked_as_well() -> None:
    """A digest that is wrong, content that is too large, and neither."""
    wrong = ("Content-Digest", "sha-256=:AAAA:")
    script = reply_with(response(body=b"content", fields=[wrong]))
    async with raw_server(script) as server, ClientSession(trace_configs=[Recorder()]) as session:
        with pytest.raises(DigestMismatchError):
            await (await session.get(server.url(), verify_digest=True)).read()
        with pytest.raises(BodyTooLargeError):
            await session.get(server.url(), max_body_bytes=1)
        assert await (await session.get(server.url())).text() == "content"


async def test_fields_that_a_handler_puts_in_are_sent() -> None:
    """As tracing systems do; and they are looked at like all others."""
    trace = TraceConfig()

    async def inject(session: ClientSession, context: SimpleNamespace, params: Any) -> None:
        params.headers["Traceparent"] = context.trace_request_ctx

    trace.on_request_start.append(inject)
    async with raw_server(answer) as server, ClientSession(trace_configs=[trace]) as session:
        await (await session.get(server.url(), trace_request_ctx="00-1-2-01")).read()
        assert server.requests[0].fields["traceparent"] == "00-1-2-01"
        with pytest.raises(ValueError, match="control characters"):
            await session.get(server.url(), trace_request_ctx="a\r\nEvil: b")
    assert len(server.requests) == 1


async def test_each_request_has_a_context_of_its_own_in_each_config() -> None:
    """Made by the config's factory, given to all of its handlers."""
    seen: list[object] = []

    class Context:
        def __init__(self, trace_request_ctx: object) -> None:
            self.given = trace_request_ctx

    async def note(session: ClientSession, context: Context, params: Any) -> None:
        seen.append(context)

    configs = [TraceConfig(Context), TraceConfig(Context)]
    for config in configs:
        config.on_request_start.append(note)
        config.on_request_end.append(note)
    async with raw_server(answer) as server, ClientSession(trace_configs=configs) as session:
        await (await session.get(server.url(), trace_request_ctx=1)).read()
        await (await session.get(server.url())).read()
    one, other, *ended = seen[:4]
    assert ended == [one, other]
    assert one is not other
    assert [context.given for context in seen] == [1] * 4 + [None] * 4  # type: ignore[attr-defined]


async def test_credentials_of_the_url_are_not_told() -> None:
    """The fields are told as they are sent, for a handler may need them."""
    trace = Recorder()
    async with raw_server(answer) as server, ClientSession(trace_configs=[trace]) as session:
        await (await session.get(server.url().replace("//", "//user:secret@"))).read()
    urls = [str(params.url) for _, params in trace.told if hasattr(params, "url")]
    assert urls
    assert not [url for url in urls if "secret" in url]
    assert trace.params("request_headers_sent").headers["Authorization"].startswith("Basic ")


async def test_a_config_takes_no_handlers_once_a_session_has_it() -> None:
    """As in aiohttp; a list until then."""
    config = TraceConfig()

    async def handler(session: ClientSession, context: Any, params: Any) -> None:
        raise AssertionError

    signal = config.on_request_start
    signal.append(handler)
    signal[0] = handler
    assert (len(signal), signal[0], signal[:], signal.frozen) == (1, handler, [handler], False)
    del signal[0]
    async with ClientSession(trace_configs=[config]):
        assert signal.frozen
        with pytest.raises(RuntimeError, match="once a session uses it"):
            signal.append(handler)
    assert isinstance(signal, Signal)
    assert repr(signal) == "<Signal frozen []>"


async def test_a_session_without_traces_watches_nobody() -> None:
    """Not even when the request brings a context."""
    async with raw_server(answer) as server, ClientSession() as session:
        reply = await session.get(server.url(), trace_request_ctx={"ignored": True})
        assert type(reply).__name__ == "ClientResponse"
        assert type(reply._exchange).__name__ == "Exchange"
        await reply.read()
