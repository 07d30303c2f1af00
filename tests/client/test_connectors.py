"""A connector counts every socket, gives none to two, and takes none back that is not proven clean."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import (
    BaseConnector,
    ClientConnectorError,
    ClientResponse,
    ClientSession,
    PoolTimeoutError,
    SessionClosedError,
    TCPConnector,
    ThreadedResolver,
    Timeout,
    TotalTimeoutError,
    UnixConnector,
    request,
)
from fetchd.client.resolver import AddrInfo
from tests.support import certs
from tests.support.raw_server import RawConnection, Script, raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")


async def echo(conn: RawConnection) -> None:
    """Answers with the path that was asked for."""
    async for asked in conn:
        await conn.send(response(body=asked.target.encode()))


class Gate:
    """A server that answers when it is told to."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def script(self, conn: RawConnection) -> None:
        """Answers every request once the gate is open."""
        async for asked in conn:
            await self.opened.wait()
            await conn.send(response(body=asked.target.encode()))


async def get(session: ClientSession, url: str) -> bytes:
    """Ask and read."""
    async with session.get(url) as reply:
        return await reply.read()


def counts(connector: BaseConnector) -> tuple[int, int]:
    """Open and idle."""
    return connector.open_count, connector.idle_count


# Keeping alive.


async def test_a_connection_serves_one_request_after_the_other() -> None:
    """What was read to its end is used again."""
    async with raw_server(echo) as server, ClientSession() as session:
        for number in range(5):
            assert await get(session, server.url(f"/{number}")) == b"/%d" % number
        assert (server.accepted, counts(session.connector)) == (1, (1, 1))


@pytest.mark.parametrize(
    "reply",
    [
        response(body=b"x", fields=[("Connection", "close")]),
        response(body=b"x").replace(b"HTTP/1.1", b"HTTP/1.0"),
        response(body=b"x") + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny",
        response(body=b"x") + b"\r\n",
        response(204, body=b"", framing="length") + b"x",
        response(body=b"x", framing="chunked") + b"x",
        response(body=b"x", fields=[("Content-Encoding", "identity")]) + b"x",
    ],
    ids=["close", "http/1.0", "second-reply", "blank-line", "after-204", "after-chunks", "after-length"],
)
async def test_a_connection_that_is_not_proven_clean_is_closed(reply: bytes) -> None:
    """Told to be closed, or with an octet left over: what is left would be the next request's reply."""
    async with raw_server(reply_with(reply)) as server, ClientSession() as session:
        for _ in range(3):
            async with session.get(server.url()) as got:
                assert await got.read() in (b"x", b"")
            assert counts(session.connector) == (0, 0)
        assert server.accepted == 3


async def test_force_close_keeps_nothing() -> None:
    """A connection a request."""
    async with raw_server(echo) as server, ClientSession(connector=TCPConnector(force_close=True)) as session:
        for number in range(3):
            await get(session, server.url(f"/{number}"))
            assert counts(session.connector) == (0, 0)
        assert server.accepted == 3


async def test_an_idle_connection_is_closed_in_time() -> None:
    """``keepalive_timeout`` seconds after its last response, whether anybody asks again or not."""
    async with raw_server(echo) as server, ClientSession(connector=TCPConnector(keepalive_timeout=0.05)) as session:
        await get(session, server.url("/1"))
        await asyncio.sleep(0.02)
        await get(session, server.url("/2"))
        assert counts(session.connector) == (1, 1)
        await server.until(lambda: server.open_connections == 0)
        assert counts(session.connector) == (0, 0)


async def test_a_connection_past_its_time_is_not_used_though_nobody_has_swept_yet() -> None:
    """The loop was busy when the time was over."""
    async with raw_server(echo) as server, ClientSession(connector=TCPConnector(keepalive_timeout=0.02)) as session:
        await get(session, server.url("/1"))
        time.sleep(0.04)
        await get(session, server.url("/2"))
        assert [asked.connection for asked in server.requests] == [0, 1]


async def test_the_sweep_closes_each_connection_at_its_own_time() -> None:
    """One timer for all of them: the older goes first, the other later."""
    connector = TCPConnector(keepalive_timeout=0.08)
    async with raw_server(echo) as one, raw_server(echo) as other, ClientSession(connector=connector) as session:
        await get(session, one.url("/1"))
        await asyncio.sleep(0.04)
        await get(session, other.url("/2"))
        await one.until(lambda: one.open_connections == 0)
        assert counts(session.connector) == (1, 1)
        await other.until(lambda: other.open_connections == 0)
        assert counts(session.connector) == (0, 0)


@pytest.mark.parametrize("field", ["timeout=0", "timeout=5, max=1", "max=0"])
async def test_a_server_that_keeps_nothing_is_believed(field: str) -> None:
    """Keep-Alive (RFC 2068 section 19.7.1): the connection is not used again, though nobody closed it."""
    reply = response(body=b"x", fields=[("Connection", "keep-alive"), ("Keep-Alive", field)])
    async with raw_server(reply_with(reply)) as server, ClientSession() as session:
        for _ in range(3):
            await get(session, server.url())
        assert server.accepted == 3


@pytest.mark.parametrize("field", ["timeout=0", "max=1"])
async def test_a_server_that_keeps_nothing_is_believed_by_those_who_wait_too(field: str) -> None:
    """What becomes free goes to the next in the line, and is not used for it."""
    reply = response(body=b"x", fields=[("Keep-Alive", field)])
    async with raw_server(reply_with(reply)) as server, ClientSession(connector=TCPConnector(limit=1)) as session:
        assert await asyncio.gather(*(get(session, server.url()) for _ in range(4))) == [b"x"] * 4
        assert sorted(asked.connection for asked in server.requests) == [0, 1, 2, 3]


async def test_a_connection_serves_as_many_requests_as_its_server_says() -> None:
    """Keep-Alive: max, counted from the first response on, whatever later ones say: then a new one, unasked."""
    served: dict[int, int] = {}

    async def script(conn: RawConnection) -> None:
        async for _ in conn:
            served[conn.number] = served.get(conn.number, 0) + 1
            left = 4 - served[conn.number]
            await conn.send(response(body=b"x", fields=[("Keep-Alive", f"timeout=9, max={left}")]))

    async with raw_server(script) as server, ClientSession(connector=TCPConnector(limit=1)) as session:
        for _ in range(4):
            await get(session, server.url())
        assert counts(session.connector) == (1, 1)
        await asyncio.gather(*(get(session, server.url()) for _ in range(4)))
        assert served == {0: 3, 1: 3, 2: 2}
        await get(session, server.url())
        assert counts(session.connector) == (0, 0), "closed by its last response and not when it is next wanted"


async def test_a_connection_is_not_used_in_the_last_moments_that_its_server_keeps_it() -> None:
    """A second from its end a request could cross with it: the smaller of both sides' words holds."""
    reply = response(body=b"x", fields=[("keep-alive", "timeout=7, max=100")])
    async with raw_server(reply_with(reply)) as server, ClientSession() as session:
        await get(session, server.url())
        [connection] = session.connector._connections
        assert connection.keepalive_s == 6.0
        await get(session, server.url())
        connection.idle_since -= 6.0
        await get(session, server.url())
        assert [asked.connection for asked in server.requests] == [0, 0, 1]


async def test_a_server_does_not_make_connections_last_longer() -> None:
    """Ours is the smaller one."""
    reply = response(body=b"x", fields=[("Keep-Alive", "timeout=3600")])
    async with raw_server(reply_with(reply)) as server, ClientSession() as session:
        await get(session, server.url())
        [connection] = session.connector._connections
        assert connection.keepalive_s == 15.0


# Nothing of one request reaches the next.

UNASKED = {
    "a-reply": response(body=b"nobody asked for this"),
    "an-octet": b"x",
    "a-timeout": response(408, fields=[("Connection", "close")], reason="Request Timeout"),
}


def _then(unasked: bytes) -> tuple[Script, Callable[[], None]]:
    """A script that answers, and says something more when it is told to."""
    told = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            await conn.send(response(body=asked.target.encode()))
            if conn.number == 0:
                await told.wait()
                await conn.send(unasked)

    return script, told.set


@pytest.mark.parametrize("unasked", UNASKED.values(), ids=UNASKED)
async def test_octets_on_an_idle_connection_never_reach_the_next_request(unasked: bytes) -> None:
    """The loop tells of them, and the connection is closed."""
    script, tell = _then(unasked)
    async with raw_server(script) as server, ClientSession() as session:
        assert await get(session, server.url("/1")) == b"/1"
        tell()
        await server.until(lambda: server.open_connections == 0)
        assert counts(session.connector) == (0, 0)
        assert await get(session, server.url("/2")) == b"/2"


@pytest.mark.parametrize("unasked", [*UNASKED.values(), b""], ids=[*UNASKED, "the-end"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_octets_that_the_loop_has_not_told_of_never_reach_the_next_request(unasked: bytes, tls: bool) -> None:
    """A callback kept the loop busy while they came: the connection is asked itself. A POST gets through as well."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = asyncio.create_task(asyncio.to_thread(_serve_two, listener, unasked, tls))
        context = certs.client_context() if tls else None
        url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        async with ClientSession(connector=TCPConnector(ssl_context=context)) as session:
            assert await get(session, f"{url}/1") == b"/1"
            time.sleep(0.1)  # the thread goes on, the loop does not
            async with session.post(f"{url}/2") as reply:
                assert await reply.read() == b"/2"
        assert await server == 2


def _serve_two(listener: socket.socket, unasked: bytes, tls: bool) -> int:
    """Answer once, say *unasked* (b"": end the connection) 50 ms later, then answer on the next connection."""
    context = certs.server_context()
    served = 0
    with contextlib.ExitStack() as stack:
        for number in range(2):
            sock = stack.enter_context(listener.accept()[0])
            if tls:
                sock = stack.enter_context(context.wrap_socket(sock, server_side=True))
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(65_536)
            sock.sendall(response(body=head.split(b" ")[1]))
            served += 1
            if number == 0:
                time.sleep(0.05)
                if unasked:
                    sock.sendall(unasked)
                else:
                    sock.shutdown(socket.SHUT_WR)
    return served


async def test_the_reply_to_a_cancelled_request_never_reaches_the_next() -> None:
    """The connection that it would come by is closed."""
    gate = Gate()
    async with raw_server(gate.script) as server, ClientSession(connector=TCPConnector(limit=1)) as session:
        task = asyncio.create_task(get(session, server.url("/cancelled")))
        await server.until(lambda: len(server.requests) == 1)
        task.cancel()
        second = asyncio.create_task(get(session, server.url("/second")))
        gate.opened.set()
        assert await second == b"/second"
        assert task.cancelled()
        assert counts(session.connector) == (1, 1)


@pytest.mark.parametrize("unasked", [b"", b"x"], ids=["the-end", "an-octet"])
async def test_a_connection_lost_on_its_way_to_a_waiter_is_replaced(unasked: bytes) -> None:
    """It was handed on, and broke before the waiting request ran; a POST must not suffer from that."""
    script, tell = _then(unasked)
    async with raw_server(script) as server, ClientSession(connector=TCPConnector(limit=1)) as session:
        first = asyncio.create_task(get(session, server.url("/1")))
        await asyncio.sleep(0)
        second = asyncio.create_task(_post(session, server.url("/2")))
        tell()
        assert list(await asyncio.gather(first, second)) == [b"/1", b"/2"]
        assert session.connector.open_count == 1


async def _post(session: ClientSession, url: str) -> bytes:
    async with session.post(url, data=b"x") as reply:
        return await reply.read()


# Limits.


async def test_the_limit_counts_every_socket() -> None:
    """Being connected, in use and idle: never more than so many, and everyone is served."""
    most = 0

    async def script(conn: RawConnection) -> None:
        nonlocal most
        async for asked in conn:
            most = max(most, server.open_connections)
            await asyncio.sleep(0)
            await conn.send(response(body=asked.target.encode()))

    async with raw_server(script) as server, ClientSession(connector=TCPConnector(limit=3)) as session:
        replies = await asyncio.gather(*(get(session, server.url(f"/{number}")) for number in range(30)))
        assert replies == [b"/%d" % number for number in range(30)]
        assert (most, server.accepted, counts(session.connector)) == (3, 3, (3, 3))


async def test_a_connection_attempt_takes_a_place() -> None:
    """While a name is looked up the place is taken: another request waits, and goes on when the attempt fails."""
    asked = asyncio.Event()
    answer = asyncio.Event()

    class Slow:
        async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
            asked.set()
            await answer.wait()
            raise OSError("no such name")

    connector = TCPConnector(limit=1, resolver=Slow())
    async with ClientSession(connector=connector, timeout=Timeout(pool=0.05)) as session:
        first = asyncio.create_task(get(session, "http://a.test/"))
        await asked.wait()
        assert counts(connector) == (1, 0)
        with pytest.raises(PoolTimeoutError):
            await get(session, "http://b.test/")
        answer.set()
        with pytest.raises(ClientConnectorError):
            await first
        assert counts(connector) == (0, 0)


async def test_the_limit_per_host_leaves_room_for_others() -> None:
    """One origin may fill its share only."""
    gate = Gate()
    connector = TCPConnector(limit_per_host=2)
    async with raw_server(gate.script) as one, raw_server(echo) as other, ClientSession(connector=connector) as session:
        slow = [asyncio.create_task(get(session, one.url(f"/{number}"))) for number in range(5)]
        await one.until(lambda: len(one.requests) == 2)
        assert await get(session, other.url("/quick")) == b"/quick"
        assert one.accepted == 2
        gate.opened.set()
        assert await asyncio.gather(*slow) == [b"/%d" % number for number in range(5)]
        assert one.accepted == 2


async def test_the_oldest_idle_connection_gives_way() -> None:
    """The limit is spent on idle ones, and a new origin comes."""
    connector = TCPConnector(limit=2)
    async with (
        raw_server(echo) as first,
        raw_server(echo) as second,
        raw_server(echo) as third,
        ClientSession(connector=connector) as session,
    ):
        for server in (first, second, third):
            await get(session, server.url("/x"))
        await first.until(lambda: first.open_connections == 0)
        assert (second.open_connections, third.open_connections) == (1, 1)
        assert counts(session.connector) == (2, 2)


async def test_waiting_requests_are_served_in_the_order_they_came() -> None:
    """First come, first served."""
    async with raw_server(echo) as server, ClientSession(connector=TCPConnector(limit=1)) as session:
        await asyncio.gather(*(get(session, server.url(f"/{number}")) for number in range(10)))
        assert [asked.target for asked in server.requests] == [f"/{number}" for number in range(10)]


async def test_the_wait_for_a_place_has_its_own_bound() -> None:
    """PoolTimeoutError; the connect bound begins afterwards."""
    gate = Gate()
    connector = TCPConnector(limit=1)
    timeout = Timeout(pool=0.2, connect=0.15)
    async with raw_server(gate.script) as server, ClientSession(connector=connector, timeout=timeout) as session:
        first = asyncio.create_task(get(session, server.url("/1")))
        await server.until(lambda: len(server.requests) == 1)
        began = time.monotonic()
        with pytest.raises(PoolTimeoutError) as caught:
            await get(session, server.url("/2"))
        assert caught.value.seconds == 0.2
        assert time.monotonic() - began >= 0.19
        third = asyncio.create_task(get(session, server.url("/3")))
        await asyncio.sleep(0.17)
        gate.opened.set()
        assert list(await asyncio.gather(first, third)) == [b"/1", b"/3"]


async def test_the_total_bound_holds_for_the_wait_too() -> None:
    """TotalTimeoutError where it is the nearer one."""
    gate = Gate()
    async with raw_server(gate.script) as server, ClientSession(connector=TCPConnector(limit=1)) as session:
        first = asyncio.create_task(get(session, server.url("/1")))
        await server.until(lambda: len(server.requests) == 1)
        with pytest.raises(TotalTimeoutError):
            await session.get(server.url("/2"), timeout=Timeout(total=0.05, pool=5))
        gate.opened.set()
        assert await first == b"/1"


@pytest.mark.parametrize("bounds", [{"limit": -1}, {"limit_per_host": -1}])
def test_limits_below_zero_are_refused(bounds: dict[str, Any]) -> None:
    """0 is no bound."""
    for make in (TCPConnector, lambda **kwargs: UnixConnector("x", **kwargs)):
        with pytest.raises(ValueError, match="or above"):
            make(**bounds)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("local_addr", ("localhost", 0), "expected an address"),
        ("local_addr", ("", 0), "expected an address"),
        ("ttl_dns_cache", -1, "0 or above"),
        ("ttl_dns_cache", float("nan"), "0 or above"),
    ],
)
def test_options_that_mean_nothing_are_refused(option: str, value: Any, words: str) -> None:
    """When the connector is made, not at the first request."""
    with pytest.raises(ValueError, match=words):
        TCPConnector(**{option: value})


async def test_connections_come_from_the_local_address() -> None:
    """Its port too, when one is named."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.7", 0))
        port = probe.getsockname()[1]
    peers: list[tuple[str, int]] = []

    async def script(conn: RawConnection) -> None:
        peers.append(conn._wire._sock.getpeername())
        await echo(conn)

    async with raw_server(script) as server:
        for local in (("127.0.0.9", 0), ("127.0.0.7", port)):
            async with ClientSession(connector=TCPConnector(local_addr=local)) as session:
                assert await get(session, server.url("/x")) == b"/x"
        async with ClientSession(connector=TCPConnector(local_addr=("192.0.2.1", 0))) as session:
            with pytest.raises(ClientConnectorError, match=r"192\.0\.2\.1"):
                await get(session, server.url())
    assert peers[0][0] == "127.0.0.9"
    assert peers[1] == ("127.0.0.7", port)


async def test_connections_go_out_by_the_interface() -> None:
    """Loopback leads to this machine; one that is not there is told of."""
    async with raw_server(echo) as server:
        async with ClientSession(connector=TCPConnector(interface="lo")) as session:
            assert await get(session, server.url("/x")) == b"/x"
        async with ClientSession(connector=TCPConnector(interface="missing0")) as session:
            with pytest.raises(ClientConnectorError, match="No such device"):
                await get(session, server.url())
            assert session.connector.open_count == 0


async def test_sockets_are_made_by_the_factory() -> None:
    """aiohttp's hook: given the address, it makes what connects there."""
    made: list[AddrInfo] = []

    def make(info: AddrInfo) -> socket.socket:
        made.append(info)
        sock = socket.socket(info[0], info[1], info[2])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        return sock

    for local_addr in (None, ("127.0.0.9", 0)):
        connector = TCPConnector(socket_factory=make, local_addr=local_addr)
        async with raw_server(echo) as server, ClientSession(connector=connector) as session:
            assert await get(session, server.url("/x")) == b"/x"
        assert made.pop()[4] == ("127.0.0.1", server.port)


@pytest.mark.parametrize(("options", "count"), [({}, 1), ({"use_dns_cache": False}, 3), ({"ttl_dns_cache": 0}, 3)])
async def test_the_cache_of_names_can_be_switched_off(
    options: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ``use_dns_cache=False``, or a ``ttl_dns_cache`` of 0."""
    asked: list[str] = []

    async def resolve(self: ThreadedResolver, host: str, port: int, family: int) -> list[AddrInfo]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    connector = TCPConnector(force_close=True, **options)
    async with raw_server(echo) as server, ClientSession(connector=connector) as session:
        for _ in range(3):
            assert await get(session, server.url("/x", host="name.test")) == b"/x"
    assert asked == ["name.test"] * count


async def test_origins_do_not_share_connections(tmp_path: Path) -> None:
    """Scheme, host and port tell them apart, even where they lead to one server."""
    async with raw_server(echo) as server, ClientSession() as session:
        for host in ("127.0.0.1", "localhost", "LOCALHOST"):
            await get(session, server.url("/x", host=host))
        assert [asked.connection for asked in server.requests] == [0, 1, 1]


# The end.


async def _closes(session: ClientSession, task: asyncio.Task[Any], when: str) -> None:
    """Close while *task* is busy, and see it fail at once with what it is told."""
    await session.close()
    async with asyncio.timeout(2):
        with pytest.raises(SessionClosedError, match="closed"):
            await task
    assert (session.connector.open_count, session.connector.closed) == (0, True), when


async def test_closing_ends_what_waits_for_a_head() -> None:
    """Requests in progress fail with SessionClosedError, those that wait for a place as well."""
    gate = Gate()
    async with raw_server(gate.script) as server:
        session = ClientSession(connector=TCPConnector(limit=1))
        first = asyncio.create_task(get(session, server.url("/1")))
        await server.until(lambda: len(server.requests) == 1)
        second = asyncio.create_task(get(session, server.url("/2")))
        await asyncio.sleep(0)
        await _closes(session, first, "waiting for the head")
        with pytest.raises(SessionClosedError):
            await second
        gate.opened.set()
        await server.until(lambda: server.open_connections == 0)


async def test_closing_ends_what_reads() -> None:
    """The reader gets what came, then SessionClosedError."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=b"x" * 100)[:-50])
        await conn.read_eof()

    async with raw_server(script) as server:
        session = ClientSession()
        reply = await session.get(server.url())
        reading = asyncio.create_task(reply.read())
        await asyncio.sleep(0.01)
        await _closes(session, reading, "reading")


async def test_closing_ends_an_upload() -> None:
    """A peer that takes nothing does not hold up the end."""

    async def script(conn: RawConnection) -> None:
        await asyncio.Event().wait()

    async with raw_server(script) as server:
        session = ClientSession()
        task = asyncio.create_task(_put(session, server.url(), bytes(8 << 20)))
        await asyncio.sleep(0.02)
        await _closes(session, task, "sending")


async def _put(session: ClientSession, url: str, data: bytes) -> ClientResponse:
    return await session.put(url, data=data)


@pytest.mark.parametrize("where", ["dns", "tcp", "tls", "own-dns"])
async def test_closing_ends_what_connects(where: str) -> None:
    """Nobody waits for a name server, a handshake or a lost packet on behalf of a closed session."""

    class Silent:
        async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
            await asyncio.Event().wait()
            raise AssertionError

    async def says_nothing(conn: RawConnection) -> None:
        await conn.read_eof()

    async with raw_server(says_nothing) as server:
        url = server.url().replace("http:", "https:")
        if where == "dns":
            session = ClientSession(connector=TCPConnector(resolver=Silent()))
        elif where == "own-dns":
            session = ClientSession(connector=TCPConnector())
            url = "http://localhost:1/"
        elif where == "tcp":
            session = ClientSession()
            url = "http://127.0.0.1:1/"
        else:
            session = ClientSession(connector=TCPConnector(verify_ssl=False))
        task = asyncio.create_task(get(session, url))
        for _ in range(2 if where != "tls" else 20):
            await asyncio.sleep(0)
        await session.close()
        async with asyncio.timeout(2):
            with pytest.raises((SessionClosedError, ClientConnectorError)) as caught:
                await task
        assert where in ("tcp", "own-dns") or isinstance(caught.value, SessionClosedError)
        assert session.connector.open_count == 0


async def test_closing_closes_idle_connections_at_once() -> None:
    """The peers see the end without another turn of the loop."""
    async with raw_server(echo) as server:
        session = ClientSession()
        await asyncio.gather(*(get(session, server.url(f"/{number}")) for number in range(3)))
        await session.close()
        assert counts(session.connector) == (0, 0)
        await session.close()
        await server.until(lambda: server.open_connections == 0)


async def test_a_closed_connector_is_refused() -> None:
    """By the session and by ``request()``."""
    connector = TCPConnector()
    assert not connector.closed
    async with connector:
        session = ClientSession(connector=connector)
    for attempt in (session.get("http://127.0.0.1:1/"), request("get", "http://127.0.0.1:1/", connector=connector)):
        with pytest.raises(SessionClosedError, match="connector is closed"):
            await attempt
    assert connector.closed
    await session.close()


async def test_a_response_in_hand_outlives_its_connector_only_as_far_as_it_was_read() -> None:
    """What is here is here; the rest is told to be missing."""
    async with raw_server(reply_with(response(body=b"short"))) as server, TCPConnector() as connector:
        reply = await request("get", server.url(), connector=connector)
        await connector.close()
        assert await reply.read() == b"short"


async def test_a_session_that_does_not_own_its_connector_leaves_it_open() -> None:
    """``connector_owner=False``: others use it, too."""
    async with raw_server(echo) as server, TCPConnector() as connector:
        async with ClientSession(connector=connector, connector_owner=False) as session:
            await get(session, server.url("/1"))
        assert (connector.closed, counts(connector)) == (False, (1, 1))
        async with request("get", server.url("/2"), connector=connector) as reply:
            assert await reply.read() == b"/2"
        assert server.accepted == 1


async def test_its_state_can_be_seen() -> None:
    """``repr`` tells active, idle and waiting, or that it is closed."""
    gate = Gate()
    async with raw_server(gate.script) as server, ClientSession(connector=TCPConnector(limit=1)) as session:
        tasks = [asyncio.create_task(get(session, server.url(f"/{number}"))) for number in range(2)]
        await server.until(lambda: len(server.requests) == 1)
        assert repr(session.connector) == "<TCPConnector <Pool 1 active, 0 idle, 1 waiting>>"
        gate.opened.set()
        await asyncio.gather(*tasks)
        await session.close()
        assert repr(session.connector) == "<TCPConnector closed>"
