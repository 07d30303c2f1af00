"""TLS sessions are resumed on the route that they were made on, and on no other (RFC 8446 section 2.2, RFC 5077)."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any, cast

import pytest

from fetchd.client import ClientSession, TCPConnector
from fetchd.client.resumption import MAX_AGE_S, TLSSessions
from tests.support import certs
from tests.support.cancelling import Moment, cancelled_at_each_await
from tests.support.raw_server import RawConnection, raw_server, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

VERSIONS = pytest.mark.parametrize("version", [certs.TLS_1_2, certs.TLS_1_3], ids=["tls1.2", "tls1.3"])


# The store, on a clock.


@dataclass(eq=False)
class Session:
    """Stands for an ``ssl.SSLSession``."""

    has_ticket: bool = True
    id: bytes = b""
    ticket_lifetime_hint: int = 100
    timeout: int = 7200


class Holder:
    """Stands for a connection."""

    def __init__(self, session: Session | None) -> None:
        self.session = session

    def tls_session(self) -> ssl.SSLSession | None:
        """See ``Holder`` of the module."""
        return cast("ssl.SSLSession | None", self.session)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sessions(**options: Any) -> tuple[TLSSessions, Clock]:
    """A store and its clock."""
    clock = Clock()
    return TLSSessions(clock=clock, **options), clock


def offered(store: TLSSessions, key: str) -> object:
    """What a new connection of the route *key* is offered."""
    return store.of(key).offer()


def close(store: TLSSessions, key: str, session: Session | None) -> None:
    """A connection of the route *key* came and went."""
    holder = Holder(session)
    store.of(key).opened(holder)
    store.of(key).closing(holder)


def test_a_session_is_offered_on_its_route_and_on_no_other() -> None:
    store, _ = sessions()
    session = Session()
    close(store, "a", session)
    assert (offered(store, "a"), offered(store, "b")) == (session, None)
    store.clear()
    assert offered(store, "a") is None


@pytest.mark.parametrize(
    ("session", "lifetime"),
    [
        (Session(ticket_lifetime_hint=100), 100),
        (Session(ticket_lifetime_hint=0, timeout=300), 300),
        (Session(ticket_lifetime_hint=604_800), MAX_AGE_S),
        (Session(has_ticket=False, id=b"x", ticket_lifetime_hint=0, timeout=300), 300),
    ],
)
def test_a_session_is_kept_as_long_as_it_is_good(session: Session, lifetime: float) -> None:
    """By the server's word, and no longer than an hour."""
    store, clock = sessions()
    close(store, "a", session)
    clock.now = lifetime - 0.5
    assert offered(store, "a") is session
    clock.now = lifetime
    assert offered(store, "a") is None
    assert len(store) == 0


def test_what_cannot_be_resumed_is_not_kept_and_takes_nothings_place() -> None:
    """A TLS 1.3 connection that was closed before its ticket came."""
    store, _ = sessions()
    before = Session()
    close(store, "a", before)
    close(store, "a", Session(has_ticket=False))
    close(store, "a", None)
    assert offered(store, "a") is before


def test_the_number_of_sessions_is_bounded_and_the_oldest_goes() -> None:
    store, _ = sessions(max_sessions=3)
    for key in "abcad":
        close(store, key, Session())
    assert len(store) == 3
    assert [key for key in "abcd" if store.of(key).offer() is not None] == ["a", "c", "d"]


def test_an_open_connection_lends_its_session() -> None:
    """What was opened last, until it is closed; then what it left."""
    store, _ = sessions()
    first, second = Holder(Session()), Holder(Session())
    for holder in (first, second):
        store.of("a").opened(holder)
    assert offered(store, "a") is second.session
    store.of("a").closing(first)
    assert offered(store, "a") is second.session
    store.of("a").closing(second)
    assert offered(store, "a") is second.session


def test_a_session_that_a_handshake_failed_with_is_not_offered_again() -> None:
    store, _ = sessions()
    close(store, "a", Session())
    store.of("a").forget()
    assert offered(store, "a") is None


# On sockets.


class Resumed:
    """Notes of each connection whether it was resumed."""

    def __init__(self) -> None:
        self.seen: list[bool | None] = []

    async def script(self, conn: RawConnection) -> None:
        """Answers every request."""
        assert conn.tls is not None
        self.seen.append(conn.tls.session_reused)
        async for asked in conn:
            await conn.send(response(body=asked.target.encode()))


async def get(session: ClientSession, url: str, **options: Any) -> bytes:
    """Ask and read."""
    async with session.get(url, **options) as reply:
        return await reply.read()


@VERSIONS
@pytest.mark.parametrize("trust", ["context", False], ids=["verified", "unverified"])
async def test_the_second_connection_resumes_the_first(version: ssl.TLSVersion, trust: Any) -> None:
    """Whatever TLS version: no certificates on the wire, and no signature to make."""
    resumed = Resumed()
    connector = TCPConnector(ssl=certs.client_context() if trust == "context" else trust, force_close=True)
    async with (
        raw_server(resumed.script, tls=certs.server_context(version)) as server,
        ClientSession(connector=connector) as session,
    ):
        for _ in range(4):
            await get(session, server.url())
    assert resumed.seen == [False, True, True, True]


@VERSIONS
async def test_a_connection_beside_an_open_one_resumes_it(version: ssl.TLSVersion) -> None:
    """Nothing was closed yet: the session is taken from the connection that serves."""
    resumed = Resumed()
    async with (
        raw_server(resumed.script, tls=certs.server_context(version)) as server,
        ClientSession(connector=TCPConnector(ssl=certs.client_context())) as session,
    ):
        await get(session, server.url())
        first = await session.get(server.url())
        assert await asyncio.gather(*(get(session, server.url()) for _ in range(3))) == [b"/"] * 3
        first.close()
    assert resumed.seen[0] is False
    assert all(resumed.seen[1:])


@VERSIONS
async def test_no_session_is_resumed_under_another_trust(version: ssl.TLSVersion) -> None:
    """A session stands for a verification: made without one, it must not pass for one."""
    resumed = Resumed()
    context = certs.client_context()
    connector = TCPConnector(ssl=False, force_close=True)
    async with (
        raw_server(resumed.script, tls=certs.server_context(version)) as server,
        ClientSession(connector=connector) as session,
    ):
        for options in ({}, {"ssl": context}, {"ssl": certs.client_context()}, {"server_hostname": "localhost"}):
            await get(session, server.url(), **options)
        assert resumed.seen == [False] * 4
        await get(session, server.url(), ssl=context)
    assert resumed.seen[4] is True


async def test_a_server_that_has_forgotten_makes_a_new_session() -> None:
    """Its keys have changed: the handshake is a full one, and nobody notices (RFC 8446 section 2.2)."""
    first, second = Resumed(), Resumed()
    async with (
        ClientSession(connector=TCPConnector(ssl=certs.client_context(), force_close=True)) as session,
        raw_server(first.script, tls=certs.server_context()) as server,
    ):
        await get(session, server.url())
        server._tls = certs.server_context()
        server._script = second.script
        assert await get(session, server.url("/x")) == b"/x"
    assert (first.seen, second.seen) == ([False], [False])


@pytest.mark.slow
async def test_cancelled_anywhere_a_resumed_handshake_leaves_nothing_behind() -> None:
    """At each await, in either moment; the next request gets its own answer."""
    resumed = Resumed()
    connector = TCPConnector(ssl=certs.client_context(), force_close=True)
    async with (
        raw_server(resumed.script, tls=certs.server_context()) as server,
        ClientSession(connector=connector) as session,
    ):
        await get(session, server.url())
        for moment in Moment:
            async for k in cancelled_at_each_await(lambda: get(session, server.url("/cancelled")), moment):
                assert connector.open_count == 0, k
                assert await get(session, server.url("/next")) == b"/next"
