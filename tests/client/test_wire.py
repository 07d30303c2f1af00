"""The wire hook: the exact octets out and in, whatever carries them, and no way past it."""

from __future__ import annotations

import asyncio
import io
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import (
    BasicAuth,
    ClientSession,
    DigestAuth,
    ProxyConnector,
    ServerDisconnectedError,
    TCPConnector,
    UnixConnector,
    WireHook,
)
from tests.support import certs
from tests.support.raw_proxy import Socks, http_proxy
from tests.support.raw_server import RawConnection, Request, raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

LARGE = bytes(range(256)) * 4096 * 3


class Wire:
    """A hook that keeps what it is given, by connection and direction."""

    def __init__(self) -> None:
        self.octets: dict[tuple[int, str], bytearray] = defaultdict(bytearray)
        self.order: list[str] = []

    def __call__(self, direction: str, connection: int, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        self.octets[connection, direction] += data
        self.order.append(direction)

    def all(self, direction: str) -> list[bytes]:
        """What went that way, a connection each, in the order in which they were made."""
        return [bytes(data) for (_, way), data in sorted(self.octets.items()) if way == direction]


async def echo(conn: RawConnection) -> None:
    """Answers with the content of the request."""
    async for asked in conn:
        await conn.send(response(body=asked.body))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_the_exact_octets_are_told_decrypted(tls: bool) -> None:
    """The head as it is sent, the reply as it came; the connection that is used again has the same number."""
    wire = Wire()
    reply = b"HTTP/1.1 200 Fine\r\nX-Odd:   value  \r\nContent-Length: 2\r\n\r\nok"
    context = certs.server_context() if tls else None
    connector = TCPConnector(wire=wire, ssl_context=certs.client_context())
    async with raw_server(reply_with(reply), tls=context) as server, ClientSession(connector=connector) as session:
        for _ in range(2):
            await (await session.get(server.url("/a%2Fb"))).read()
    assert wire.all("out") == [b"".join(request.head for request in server.requests)]
    assert wire.all("in") == [reply * 2]
    assert wire.order == ["out", "in", "out", "in"]


async def test_connections_are_told_apart() -> None:
    """Each has a number of its own."""
    wire: WireHook = Wire()
    async with raw_server(echo) as server, ClientSession(connector=TCPConnector(wire=wire)) as session:
        replies = await asyncio.gather(*(session.post(server.url(), data=b"%d" % n) for n in range(3)))
        assert len({number for number, _ in wire.octets}) == 3  # type: ignore[attr-defined]
        for reply in replies:
            await reply.read()


async def pieces() -> AsyncIterator[bytes]:
    """A body of two pieces."""
    yield b"one"
    yield b"two"


async def test_uploads_are_told_with_their_framing(tmp_path: Path) -> None:
    """Chunks as they are sent; files that would go by the short way; nothing that the system did not take."""
    wire = Wire()
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    async with raw_server(echo) as server, ClientSession(connector=TCPConnector(wire=wire)) as session:
        async with session.post(server.url(), data=pieces()) as reply:
            await reply.read()
        assert wire.all("out")[0].endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        for file in (path.open("rb"), io.BytesIO(LARGE)):
            wire.octets.clear()
            with file:
                async with session.post(server.url(), data=file) as reply:
                    assert await reply.read() == LARGE
            assert wire.all("out") == [server.requests[-1].head + LARGE]
            assert wire.all("in")[0].endswith(LARGE)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_saving_takes_no_way_past_the_hook(tls: bool, tmp_path: Path) -> None:
    """Not by splice(2), not by recv_into."""
    wire = Wire()
    context = certs.server_context() if tls else None
    connector = TCPConnector(wire=wire, ssl_context=certs.client_context())
    script = reply_with(response(body=LARGE))
    async with raw_server(script, tls=context) as server, ClientSession(connector=connector) as session:
        reply = await session.get(server.url())
        assert await reply.save(tmp_path / "file") == len(LARGE)
    assert (tmp_path / "file").read_bytes() == LARGE
    assert wire.all("in") == [response(body=LARGE)]


@pytest.mark.parametrize("tls_proxy", [False, True], ids=["http-proxy", "https-proxy"])
@pytest.mark.parametrize("tls", [False, True], ids=["http-origin", "https-origin"])
async def test_a_tunnel_is_told_from_its_first_octet(tls_proxy: bool, tls: bool) -> None:
    """CONNECT and its answer, then what goes through; credentials included, for these are the octets."""
    wire = Wire()
    async with (
        raw_server(http_proxy(), tls=certs.server_context() if tls_proxy else None) as proxy,
        raw_server(echo, tls=certs.server_context() if tls else None) as server,
    ):
        connector = ProxyConnector(
            proxy.url(), proxy_auth=BasicAuth("me", "secret"), wire=wire, ssl_context=certs.client_context()
        )
        async with ClientSession(connector=connector) as session:
            await (await session.post(server.url(), data=b"sent")).read()
    [out], [came] = wire.all("out"), wire.all("in")
    assert out == b"".join(
        request.head + request.body for request in [*proxy.requests, *(server.requests if tls else [])]
    )
    assert came.endswith(b"sent")
    assert came.startswith(b"HTTP/1.1 200 Connection established\r\n\r\n" if tls else b"HTTP/1.1 200 OK\r\n")
    assert BasicAuth("me", "secret").encode().encode() in out


async def test_a_proxy_that_asks_for_credentials_is_told_with_both_requests() -> None:
    """And so is one that refuses."""
    wire = Wire()
    challenge = ("Proxy-Authenticate", 'Digest realm="r", nonce="n1", qop="auth", algorithm=SHA-256')

    def refuse(asked: Request) -> bytes | None:
        return None if "Proxy-Authorization" in asked.fields else response(407, fields=[challenge])

    async with raw_server(http_proxy(refuse)) as proxy, raw_server(echo, tls=certs.server_context()) as server:
        connector = ProxyConnector(
            proxy.url(), proxy_auth=DigestAuth("me", "secret"), wire=wire, ssl_context=certs.client_context()
        )
        async with ClientSession(connector=connector) as session:
            await (await session.get(server.url())).read()
    [out] = wire.all("out")
    assert out.count(b"CONNECT ") == 2
    assert b"407" in wire.all("in")[0]


async def test_socks_and_unix_sockets_are_told(tmp_path: Path) -> None:
    """What HTTP says; the handshake of SOCKS is another package's."""
    wire = Wire()
    async with raw_server(Socks().script) as socks, raw_server(echo) as server:
        connector = ProxyConnector(f"socks5://127.0.0.1:{socks.port}", wire=wire)
        async with ClientSession(connector=connector) as session:
            await (await session.get(server.url())).read()
        assert wire.all("out") == [server.requests[0].head]
    wire = Wire()
    unix = UnixConnector(str(tmp_path / "s"), wire=wire)
    async with raw_server(echo, unix=tmp_path / "s") as server, ClientSession(connector=unix) as session:
        await (await session.get(server.url())).read()
    assert wire.all("out") == [server.requests[0].head]


async def test_what_came_before_a_failure_is_told() -> None:
    """That is what one looks for."""
    wire = Wire()
    script = reply_with(b"HTTP/1.1 2", close=True)
    async with raw_server(script) as server, ClientSession(connector=TCPConnector(wire=wire)) as session:
        with pytest.raises(ServerDisconnectedError):
            await session.get(server.url())
    assert wire.all("in") == [b"HTTP/1.1 2"]


async def test_a_hook_that_raises_is_told_to_the_loop_and_disturbs_nothing() -> None:
    """The request goes on."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(context))

    def broken(direction: str, connection: int, data: bytes) -> None:
        raise RuntimeError(direction)

    async with raw_server(echo) as server, ClientSession(connector=TCPConnector(wire=broken)) as session:
        reply = await session.post(server.url(), data=b"x")
        assert await reply.read() == b"x"
    loop.set_exception_handler(before)
    assert [str(context["exception"]) for context in told] == ["out", "in"]
