"""The scripted server does what scripts say, and nothing else: tests of a test's tool."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tests.support import certs
from tests.support.raw_server import PeerLeft, RawConnection, raw_server, reply_with, response

GET = b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = (
    b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nX-T: 1\r\n\r\n"
)

pytestmark = pytest.mark.usefixtures("no_leaked_fds")


async def talk(port: int, data: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send *data*, end our side where the channel can, return all that comes back."""
    name = None if tls is None else "localhost"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    try:
        writer.write(data)
        if writer.can_write_eof():
            writer.write_eof()
        return await reader.read()
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("octets", "method", "target", "body"),
    [(GET, "GET", "/a?b", b""), (POST, "POST", "/", b"abc"), (CHUNKED, "PUT", "/", b"abcd")],
)
async def test_a_request_is_read_with_its_content(octets: bytes, method: str, target: str, body: bytes) -> None:
    """Content by length and by chunks; what was read is recorded."""
    async with raw_server(reply_with(response(body=b"yes"))) as server:
        assert await talk(server.port, octets) == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
    [request] = server.requests
    assert (request.method, request.target, request.body) == (method, target, body)
    assert request.head == octets[: octets.index(b"\r\n\r\n") + 4]


async def test_requests_on_one_connection_get_their_replies_in_order() -> None:
    """The n-th request of the server gets the n-th reply, then the last one again."""
    async with raw_server(reply_with(b"1", b"2")) as server:
        assert await talk(server.port, GET + CHUNKED + POST) == b"122"
        assert await talk(server.port, GET) == b"2"
    assert server.accepted == 2
    assert [request.connection for request in server.requests] == [0, 0, 0, 1]
    assert server.requests[1].trailers["x-t"] == "1"


@pytest.mark.parametrize(
    "octets",
    [
        b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nBad Name: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\nb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
    ],
)
async def test_a_malformed_request_fails_the_test(octets: bytes) -> None:
    """Request line, Host, field lines and framing are checked strictly (RFC 9112)."""
    with pytest.RaisesGroup(AssertionError):
        async with raw_server(reply_with(b"never")) as server:
            assert await talk(server.port, octets) == b""


async def test_a_failing_script_fails_the_test_and_keeps_the_first_failure() -> None:
    """The failure of the test's own body stays visible as the context."""

    async def script(conn: RawConnection) -> None:
        raise ValueError("in the script")

    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="in the script")) as caught:
        async with raw_server(script) as server:
            await talk(server.port, b"")
            raise KeyError("in the test")
    assert isinstance(caught.value.__context__, KeyError)


async def test_a_peer_that_leaves_is_no_failure() -> None:
    """A script waits for more, the peer ends: the script ends too, quietly."""
    ended: list[BaseException] = []

    async def script(conn: RawConnection) -> None:
        try:
            await conn.read_exactly(10)
        except PeerLeft as exc:
            ended.append(exc)
            raise

    async with raw_server(script) as server:
        await talk(server.port, b"short")
    assert "b'short'" in str(ended[0])


async def test_a_script_still_waiting_at_the_end_is_cancelled() -> None:
    """A server that stalls for ever does not hold up the test."""

    async def script(conn: RawConnection) -> None:
        await asyncio.Event().wait()

    async with raw_server(script) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await server.until(lambda: server.open_connections == 1)
        writer.transport.abort()
    assert server.open_connections == 0


async def test_open_connections_falls_when_the_client_closes() -> None:
    """``until`` sees connections and requests come and go."""
    async with raw_server(reply_with(response())) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        await server.until(lambda: len(server.requests) == 1)
        assert server.open_connections == 1
        writer.transport.abort()
        await server.until(lambda: server.open_connections == 0)


async def test_reset_gives_the_peer_a_reset() -> None:
    """SO_LINGER 0 turns the close into RST."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        conn.reset()

    async with raw_server(script) as server:
        with pytest.raises(ConnectionResetError):
            await talk(server.port, GET)


@pytest.mark.parametrize("tls", [False, True])
async def test_after_half_a_close_the_server_still_reads(tls: bool) -> None:
    """The client sees the end and can go on sending; under TLS the server's farewell comes first."""
    rest: list[bytes] = []

    async def script(conn: RawConnection) -> None:
        await conn.send(b"all")
        await conn.half_close()
        rest.append(await conn.read_eof())

    def read_then_write(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as plain:
            sock = certs.client_context().wrap_socket(plain, server_hostname="localhost") if tls else plain
            assert b"".join(iter(lambda: sock.recv(100), b"")) == b"all"
            sock.sendall(b"late")
            sock.close()

    async with raw_server(script, tls=certs.server_context() if tls else None) as server:
        await asyncio.to_thread(read_then_write, server.port)
        await server.until(lambda: bool(rest))
    assert rest == [b"late"]


async def test_the_head_can_be_answered_before_the_content_is_read() -> None:
    """As a server does that is asked by ``Expect: 100-continue`` (RFC 9110 section 10.1.1)."""

    async def script(conn: RawConnection) -> None:
        request = await conn.read_request(body=False)
        await conn.send(b"go on;")
        content, _ = await conn.read_body(request)
        await conn.send(content)

    async with raw_server(script) as server:
        assert await talk(server.port, POST) == b"go on;abc"
    assert server.requests[0].body == b""


@pytest.mark.parametrize("version", [None, certs.TLS_1_2, certs.TLS_1_3])
async def test_tls_is_served_in_the_version_asked_for(version: ssl.TLSVersion | None) -> None:
    """A body of many records arrives whole, and the end is announced by the farewell."""
    body = bytes(range(256)) * 1024
    async with raw_server(reply_with(response(body=body), close=True), tls=certs.server_context(version)) as server:
        assert (await talk(server.port, GET, certs.client_context())).endswith(body)
        assert server.url("/x") == f"https://127.0.0.1:{server.port}/x"


@pytest.mark.parametrize("orderly", [True, False])
async def test_tls_ends_with_or_without_the_farewell(orderly: bool) -> None:
    """``close`` sends close_notify, ``cut`` leaves it out: a strict reader can tell (RFC 8446 6.1)."""

    async def script(conn: RawConnection) -> None:
        await conn.send(b"half")
        await conn.close() if orderly else conn.cut()

    def read_strictly(port: int) -> bytes:
        context = certs.client_context()
        # CPython before 3.11.4 sets this, and a cut connection then reads as a clean end.
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        with context.wrap_socket(
            socket.create_connection(("127.0.0.1", port)),
            server_hostname="localhost",
            suppress_ragged_eofs=False,
        ) as sock:
            return b"".join(iter(lambda: sock.recv(100), b""))

    async with raw_server(script, tls=certs.server_context()) as server:
        reading = asyncio.to_thread(read_strictly, server.port)
        if orderly:
            assert await reading == b"half"
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)eof"):
                await reading


@pytest.mark.parametrize(
    "context",
    [certs.wrong_name_server_context, certs.expired_server_context, certs.untrusted_server_context],
)
async def test_bad_certificates_are_refused_by_a_verifying_client(
    context: Callable[[], ssl.SSLContext],
) -> None:
    """Each is bad in its own way; the failed handshake is recorded, not raised."""
    async with raw_server(reply_with(b"never"), tls=context()) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await talk(server.port, GET, certs.client_context())
        await server.until(lambda: len(server.tls_failures) == 1)


async def test_a_unix_socket_is_served(tmp_path: Path) -> None:
    """``unix=`` listens on a path."""
    path = tmp_path / "s"
    async with raw_server(reply_with(b"yes"), unix=path) as server:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(GET)
        writer.write_eof()
        assert await reader.read() == b"yes"
        writer.transport.abort()
        assert (server.port, server.url("/x")) == (0, "http://localhost/x")


async def test_slow_sending_is_seen_piece_by_piece() -> None:
    """A reader that waits on the same loop gets every piece alone."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send_slowly(b"abcdef", step=2)

    pieces = []
    async with raw_server(script) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        while piece := await reader.read(100):
            pieces.append(piece)
        writer.transport.abort()
    assert pieces == [b"ab", b"cd", b"ef"]


async def test_what_the_server_does_not_read_fills_the_peers_buffers() -> None:
    """Nothing is read ahead of the script, so back-pressure is real."""
    go_on = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        await go_on.wait()
        assert len(await conn.read_eof()) == 1 << 25

    async with raw_server(script) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(bytes(1 << 25))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.05)
        go_on.set()
        await writer.drain()
        writer.write_eof()
        await server.until(lambda: server.open_connections == 0)
        writer.transport.abort()


async def test_a_server_that_stopped_listening_refuses() -> None:
    """Connections that are open go on."""
    async with raw_server(reply_with(b"yes")) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await server.until(lambda: server.accepted == 1)
        await server.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            await talk(server.port, GET)
        writer.write(GET)
        assert await reader.readexactly(3) == b"yes"
        writer.transport.abort()


def test_the_server_runs_on_uvloop_too() -> None:
    """Nothing in it is particular to one loop."""

    async def main() -> bytes:
        async with raw_server(reply_with(b"yes", close=True), tls=certs.server_context()) as server:
            return await talk(server.port, GET, certs.client_context())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == b"yes"


@pytest.mark.parametrize(
    ("framing", "octets"),
    [
        ("length", b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nhi"),
        ("chunked", b"HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ("eof", b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nhi"),
    ],
)
def test_replies_are_built_in_each_framing(framing: str, octets: bytes) -> None:
    """The three framings of RFC 9112 section 6.3."""
    assert response(body=b"hi", fields=[("A", "b")], framing=framing) == octets
