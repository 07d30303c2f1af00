"""From an origin to an open channel: every failure is told with all that was tried, and closes what it opened."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fetchd.client import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientSession,
    ConnectionTimeoutError,
    TCPConnector,
    Timeout,
    UnixConnector,
)
from fetchd.client.dial import DialSettings, connect_tcp, connect_unix, open_channel
from fetchd.client.resolver import AddrInfo
from fetchd.client.trust import TLSSettings
from tests.support import certs
from tests.support.raw_server import raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")


def address(host: str, port: int) -> AddrInfo:
    """As a resolver gives it."""
    if ":" in host:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))


class Book:
    """A resolver that knows what it was told."""

    def __init__(self, *answers: AddrInfo) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int, int]] = []

    async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
        """See ``Resolver``."""
        self.asked.append((host, port, family))
        return self._answers


def unused_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def listening(host: str = "127.0.0.1", backlog: int = 16) -> Iterator[socket.socket]:
    """A listener that accepts nothing by itself."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host, 0))
        listener.listen(backlog)
        yield listener


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port whose connection attempts are never answered: its backlog is full, and Linux drops what comes."""
    with listening(backlog=0) as listener, contextlib.ExitStack() as stack:
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


# TCP.


async def test_a_connected_socket_is_ready_for_small_requests() -> None:
    """Non-blocking, without Nagle's delay, and watched by the system for a peer that has vanished."""
    with listening() as listener:
        port = listener.getsockname()[1]
        book = Book(address("127.0.0.1", port))
        with await connect_tcp(asyncio.get_running_loop(), book, "host.test", port) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)
            assert sock.getblocking() is False
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        assert book.asked == [("host.test", port, socket.AF_UNSPEC)]


async def test_the_family_is_asked_of_the_resolver() -> None:
    """Who wants IPv4 only does not even ask for the other addresses."""
    with listening() as listener:
        port = listener.getsockname()[1]
        book = Book(address("127.0.0.1", port))
        loop = asyncio.get_running_loop()
        (await connect_tcp(loop, book, "host.test", port, DialSettings(family=socket.AF_INET))).close()
        assert book.asked == [("host.test", port, socket.AF_INET)]


async def test_a_name_that_does_not_resolve_is_told_as_such() -> None:
    """ClientConnectorDNSError, with the resolver's own failure."""

    class Failing:
        async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(ClientConnectorDNSError, match=r"cannot resolve host\.test: .*not known") as caught:
        await connect_tcp(asyncio.get_running_loop(), Failing(), "host.test", 80)
    assert isinstance(caught.value.attempts[0], socket.gaierror)


async def test_a_name_without_addresses_is_told_as_such() -> None:
    """The resolver has no error and no address either."""
    with pytest.raises(ClientConnectorDNSError, match="no address"):
        await connect_tcp(asyncio.get_running_loop(), Book(), "host.test", 80)


async def test_a_refused_connection_tells_host_and_port() -> None:
    """And the system's errno."""
    port = unused_port()
    with pytest.raises(ClientConnectorError, match=f"cannot connect to host.test:{port}") as caught:
        await connect_tcp(
            asyncio.get_running_loop(), Book(address("127.0.0.1", port)), "host.test", port, DialSettings()
        )
    assert caught.value.errno == errno.ECONNREFUSED
    assert not isinstance(caught.value, ClientConnectorDNSError)


@pytest.mark.parametrize("delay", [0.01, None], ids=["happy-eyeballs", "one-after-the-other"])
async def test_when_all_addresses_fail_each_is_told(delay: float | None) -> None:
    """What was tried is in the message, address by address."""
    first, second = unused_port(), unused_port()
    book = Book(address("127.0.0.1", first), address("127.0.0.2", second))
    with pytest.raises(ClientConnectorError) as caught:
        await connect_tcp(asyncio.get_running_loop(), book, "host.test", 80, DialSettings(attempt_delay=delay))
    assert f"127.0.0.1', {first}" in str(caught.value)
    assert f"127.0.0.2', {second}" in str(caught.value)


async def test_a_refusing_address_gives_way_to_the_next_at_once() -> None:
    """The delay between attempts is for those that are silent, not for those that have failed (RFC 8305 section 5)."""
    with listening() as listener:
        port = listener.getsockname()[1]
        book = Book(address("::1", unused_port("::1")), address("127.0.0.1", port))
        began = time.monotonic()
        with await connect_tcp(
            asyncio.get_running_loop(), book, "host.test", port, DialSettings(attempt_delay=5.0)
        ) as sock:
            assert sock.getpeername()[1] == port
        assert time.monotonic() - began < 2.5


async def test_a_silent_address_is_overtaken_by_the_next() -> None:
    """After the attempt delay a second attempt runs beside the first; the loser is closed."""
    with listening() as listener, black_hole() as hole:
        port = listener.getsockname()[1]
        book = Book(address("127.0.0.1", hole), address("127.0.0.1", port))
        with await connect_tcp(
            asyncio.get_running_loop(), book, "host.test", port, DialSettings(attempt_delay=0.02)
        ) as sock:
            assert sock.getpeername()[1] == port


async def test_an_unanswered_connection_is_bounded_by_the_connect_timeout() -> None:
    """DNS, TCP and TLS together."""
    with black_hole() as hole:
        async with ClientSession(timeout=Timeout(connect=0.05)) as session:
            with pytest.raises(ConnectionTimeoutError) as caught:
                await session.get(f"http://127.0.0.1:{hole}/")
            assert caught.value.seconds == 0.05
            assert session.connector.open_count == 0


async def test_a_resolver_that_stalls_is_bounded_by_the_connect_timeout() -> None:
    """A dead name server costs no more than what was granted."""

    class Silent:
        async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
            await asyncio.Event().wait()
            raise AssertionError

    connector = TCPConnector(resolver=Silent())
    async with ClientSession(connector=connector, timeout=Timeout(connect=0.05)) as session:
        with pytest.raises(ConnectionTimeoutError):
            await session.get("http://host.test/")
        assert connector.open_count == 0


async def test_ipv6_is_reached_by_address_and_by_name() -> None:
    """Brackets in the URL and in Host (RFC 3986 section 3.2.2), none to the system."""
    async with raw_server(reply_with(response(body=b"six")), host="::1") as server, ClientSession() as session:
        async with session.get(server.url()) as reply:
            assert await reply.read() == b"six"
        assert server.requests[0].fields["Host"] == f"[::1]:{server.port}"


# Unix sockets.


async def test_a_unix_socket_is_connected_to() -> None:
    """By an abstract name too (Linux)."""
    name = f"\0fetchd-{os.getpid()}-{id(object())}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen(1)
        with await connect_unix(name) as sock:
            assert sock.getblocking() is False


def _missing(folder: Path) -> Path:
    return folder / "missing"


def _no_socket(folder: Path) -> Path:
    path = folder / "file"
    path.touch()
    return path


def _nobody_listens(folder: Path) -> Path:
    path = folder / "left"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    return path


def _too_long(folder: Path) -> Path:
    return folder / ("x" * 200)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_missing, errno.ENOENT),
        (_no_socket, errno.ECONNREFUSED),
        (_nobody_listens, errno.ECONNREFUSED),
        (_too_long, None),
    ],
    ids=["missing", "no-socket", "nobody-listens", "path-too-long"],
)
async def test_a_unix_socket_that_cannot_be_connected_to_is_named(
    make: object, code: int | None, tmp_path: Path
) -> None:
    """The path is in the message, and the system's reason in words."""
    assert callable(make)
    path = make(tmp_path)
    with pytest.raises(ClientConnectorError) as caught:
        await connect_unix(str(path))
    assert (caught.value.host, caught.value.port, caught.value.errno) == (str(path), None, code)
    assert f"cannot connect to {path}: " in str(caught.value)
    if code is not None:
        assert os.strerror(code) in str(caught.value)


@pytest.mark.slow
async def test_a_full_backlog_is_waited_for(tmp_path: Path) -> None:
    """Linux refuses with EAGAIN and tells nobody when there is room: it is asked again until the bound."""
    path = tmp_path / "socket"
    async with _full_unix_listener(path) as listener:
        async with UnixConnector(str(path)) as connector:
            session = ClientSession(connector=connector, connector_owner=False, timeout=Timeout(connect=0.05))
            with pytest.raises(ConnectionTimeoutError):
                await session.get("http://localhost/")
            assert connector.open_count == 0
        waiting = asyncio.create_task(connect_unix(str(path)))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        listener.accept()[0].close()
        (await asyncio.wait_for(waiting, 5)).close()


@contextlib.asynccontextmanager
async def _full_unix_listener(path: Path) -> AsyncIterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(str(path))
        listener.listen(0)
        while True:
            filler = stack.enter_context(socket.socket(socket.AF_UNIX))
            filler.setblocking(False)
            if filler.connect_ex(str(path)) == errno.EAGAIN:
                break
        yield listener


async def test_the_host_of_the_url_goes_into_the_host_field_over_a_unix_socket(tmp_path: Path) -> None:
    """The socket decides where it goes, the URL what it asks for."""
    path = tmp_path / "socket"
    async with raw_server(reply_with(response(body=b"unix")), unix=path) as server:
        async with ClientSession(connector=UnixConnector(str(path))) as session:
            for host in ("app.test", "other.test:8080"):
                async with session.get(f"http://{host}/x") as reply:
                    assert await reply.read() == b"unix"
        assert [request.fields["Host"] for request in server.requests] == ["app.test", "other.test:8080"]


async def test_tls_is_spoken_over_a_unix_socket(tmp_path: Path) -> None:
    """The certificate is verified for the host of the URL."""
    path = tmp_path / "socket"
    server = raw_server(reply_with(response(body=b"yes")), unix=path, tls=certs.server_context())
    connector = UnixConnector(str(path), ssl_context=certs.client_context())
    async with server, ClientSession(connector=connector) as session:
        async with session.get("https://localhost/") as reply:
            assert await reply.read() == b"yes"
        with pytest.raises(ClientConnectorCertificateError, match="elsewhere"):
            await session.get("https://elsewhere.test/")


# Channels.


async def test_a_socket_that_was_reset_before_the_handshake_is_closed() -> None:
    """``wrap_socket`` would leave its own copy open."""
    with listening() as listener:
        ours = socket.create_connection(listener.getsockname())
        ours.setblocking(False)
        theirs = listener.accept()[0]
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        await asyncio.sleep(0.01)
        with pytest.raises(ClientConnectorSSLError, match=r"(?i)reset"):
            await open_channel(asyncio.get_running_loop(), ours, TLSSettings(certs.client_context()), "localhost", 443)


async def test_a_plain_channel_is_made_at_once() -> None:
    """There is nothing to wait for."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        channel = await open_channel(asyncio.get_running_loop(), ours, None, "localhost", 80)
        assert not channel.is_tls
        channel.close()


def test_failures_of_a_connector_hold_no_cycle() -> None:
    """A failed connection is freed with its error, for nobody runs the collector between a million of them."""

    async def main() -> weakref.ref[BaseException]:
        try:
            await connect_tcp(asyncio.get_running_loop(), Book(address("127.0.0.1", unused_port())), "h.test", 1)
        except ClientConnectorError as exc:
            return weakref.ref(exc)
        raise AssertionError("nobody listens there")

    gc.disable()
    try:
        assert asyncio.run(main())() is None
    finally:
        gc.enable()
