"""TLS: nothing is sent to whom the certificate does not name, nothing that was cut off looks whole (RFC 8446, 5246)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fetchd.client import (
    ClientConnectorCertificateError,
    ClientConnectorSSLError,
    ClientOSError,
    ClientSession,
    ConnectionTimeoutError,
    IncompleteMessageError,
    ServerDisconnectedError,
    TCPConnector,
    Timeout,
    client_context,
)
from fetchd.client.channel import wait_ready
from fetchd.client.tls import TLSChannel, default_context, is_truncation, make_fit, unverified_context
from fetchd.client.tls_socket import TLSSocket
from tests.support import certs
from tests.support.raw_server import RawConnection, Script, raw_server, reply_with, response
from tests.support.raw_wire import Wire

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

VERSIONS = pytest.mark.parametrize("version", [certs.TLS_1_2, certs.TLS_1_3], ids=["tls1.2", "tls1.3"])
BAD_CONTEXTS = pytest.mark.parametrize(
    "bad",
    [certs.wrong_name_server_context, certs.expired_server_context, certs.untrusted_server_context],
    ids=["wrong-name", "expired", "unknown-authority"],
)
LARGE = os.urandom(1 << 20) * 4


def secure_session(version: ssl.TLSVersion | None = None, timeout: Timeout | None = None) -> ClientSession:
    """A session that trusts the tests' authority."""
    return ClientSession(connector=TCPConnector(ssl_context=certs.client_context(version)), timeout=timeout)


# Contexts.


def test_the_default_context_verifies_and_is_made_once() -> None:
    """Making one reads the system's roots, which takes as long as a thousand requests."""
    context = default_context()
    assert context is default_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_the_context_without_verification_is_another_one() -> None:
    """Switching verification off for one connector leaves that of the others alone."""
    context = unverified_context()
    assert context is unverified_context()
    assert context is not default_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_own_roots_take_the_place_of_the_systems(tmp_path: Path) -> None:
    """Only the file's authorities are trusted; a file without any is refused."""
    context = client_context(certs.write_authority(tmp_path))
    assert [name["subject"] for name in context.get_ca_certs()] == [
        name["subject"] for name in certs.client_context().get_ca_certs()
    ]
    assert context.verify_mode == ssl.CERT_REQUIRED
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(OSError, match=r"(?i)no such file|certificate"):
            client_context(path)


@pytest.mark.parametrize("context", [default_context, unverified_context])
def test_contexts_tell_a_cut_connection_and_negotiate_once(context: Callable[[], ssl.SSLContext]) -> None:
    """Python 3.11.0 to 3.11.3 make a cut connection look like a clean end; ours do not, nor those that are given."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    own.options &= ~ssl.OP_NO_RENEGOTIATION
    make_fit(own)
    for each in (context(), own):
        assert not each.options & ssl.OP_IGNORE_UNEXPECTED_EOF
        assert each.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize(
    ("exc", "verdict"),
    [
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), True),
        (ssl.SSLError(1, "[SSL] record layer failure"), False),
        (ConnectionResetError(104, "reset"), False),
    ],
    ids=["eof", "other-tls", "reset"],
)
def test_a_truncation_is_known_by_its_error(exc: OSError, verdict: bool) -> None:
    """An end without close_notify, in OpenSSL's words; nothing else."""
    assert is_truncation(exc) is verdict


# Who is talked to.


@BAD_CONTEXTS
async def test_a_certificate_that_is_not_accepted_ends_it_before_anything_is_sent(
    bad: Callable[[], ssl.SSLContext],
) -> None:
    """The server learns no URL, no field, no cookie: only that its certificate was refused."""
    async with raw_server(reply_with(response()), tls=bad()) as server, secure_session() as session:
        with pytest.raises(ClientConnectorCertificateError) as caught:
            await session.get(server.url("/secret"), headers={"Authorization": "Bearer secret"})
        assert (caught.value.host, caught.value.port) == ("127.0.0.1", server.port)
        assert isinstance(caught.value.attempts[0], ssl.SSLCertVerificationError)
        assert "secret" not in str(caught.value)
        await server.until(lambda: len(server.tls_failures) == 1 and server.open_connections == 0)
        assert (server.requests, server.accepted, session.connector.open_count) == ([], 1, 0)


@BAD_CONTEXTS
async def test_without_verification_any_certificate_will_do(bad: Callable[[], ssl.SSLContext]) -> None:
    """``verify_ssl=False`` encrypts and trusts whoever answers."""
    connector = TCPConnector(verify_ssl=False)
    server_ = raw_server(reply_with(response(body=b"yes")), tls=bad())
    async with server_ as server, ClientSession(connector=connector) as session, session.get(server.url()) as reply:
        assert await reply.read() == b"yes"


@pytest.mark.parametrize("verify", [None, True], ids=["by-default", "asked-for"])
async def test_the_default_context_does_not_trust_the_tests_authority(verify: bool | None) -> None:
    """Verification is on when nothing is said of it, and when it is asked for."""
    session_ = ClientSession(connector=TCPConnector(verify_ssl=verify))
    async with raw_server(reply_with(response()), tls=certs.server_context()) as server, session_ as session:
        with pytest.raises(ClientConnectorCertificateError):
            await session.get(server.url())


async def test_a_name_is_asked_for_and_verified() -> None:
    """The server is told the name (SNI, RFC 6066), and the certificate must hold it."""
    asked: list[str | None] = []
    context = certs.server_context()
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with raw_server(reply_with(response()), tls=context) as server, secure_session() as session:
        for host in ("localhost", "127.0.0.1"):
            async with session.get(server.url(host=host)) as reply:
                assert reply.status == 200
    assert asked == ["localhost", None]


@pytest.mark.parametrize("verify", [True, False])
def test_verify_ssl_and_a_context_exclude_each_other(verify: bool) -> None:
    """Which of the two would win is not for the reader of the code to guess."""
    with pytest.raises(ValueError, match="exclude each other"):
        TCPConnector(verify_ssl=verify, ssl_context=certs.client_context())


# Handshakes that fail.


async def _speaks_plain(conn: RawConnection) -> None:
    await conn.send(response(body=b"what is this?"))
    await conn.read_eof()


async def _leaves(conn: RawConnection) -> None:
    return


async def _resets(conn: RawConnection) -> None:
    conn.reset()


async def _resets_after_hello(conn: RawConnection) -> None:
    await conn.read_exactly(5)
    conn.reset()


@pytest.mark.parametrize("script", [_speaks_plain, _leaves, _resets, _resets_after_hello], ids=lambda s: s.__name__)
async def test_a_failed_handshake_is_told_and_leaves_nothing(script: Script) -> None:
    """A server that speaks plain text, leaves or resets: ClientConnectorSSLError, which is no certificate's fault."""
    async with raw_server(script) as server, secure_session() as session:
        for _ in range(3):
            with pytest.raises(ClientConnectorSSLError) as caught:
                await session.get(server.url().replace("http:", "https:"))
            assert not isinstance(caught.value, ClientConnectorCertificateError)
            assert f"127.0.0.1:{server.port}" in str(caught.value)
            assert session.connector.open_count == 0


async def test_a_handshake_that_stalls_is_bounded_by_the_connect_timeout() -> None:
    """The server accepts and says nothing."""

    async def script(conn: RawConnection) -> None:
        await conn.read_eof()

    async with raw_server(script) as server, secure_session(timeout=Timeout(connect=0.05)) as session:
        with pytest.raises(ConnectionTimeoutError) as caught:
            await session.get(server.url().replace("http:", "https:"))
        assert caught.value.seconds == 0.05
        await server.until(lambda: server.open_connections == 0)
        assert session.connector.open_count == 0


async def test_versions_that_do_not_meet_are_told() -> None:
    """The peer's alert becomes a ClientConnectorSSLError."""
    context = certs.server_context(certs.TLS_1_2)
    async with raw_server(reply_with(response()), tls=context) as server, secure_session(certs.TLS_1_3) as session:
        with pytest.raises(ClientConnectorSSLError):
            await session.get(server.url())


# Octets.


@VERSIONS
async def test_large_bodies_travel_both_ways(version: ssl.TLSVersion) -> None:
    """4 MiB up and down, octet by octet the same."""

    async def script(conn: RawConnection) -> None:
        async for request in conn:
            await conn.send(response(body=request.body))

    async with raw_server(script, tls=certs.server_context(version)) as server, secure_session() as session:
        async with session.put(server.url(), data=LARGE) as reply:
            assert await reply.read() == LARGE
        assert server.requests[0].body == LARGE


@VERSIONS
async def test_records_of_one_octet_are_read_as_any(version: ssl.TLSVersion) -> None:
    """A record an octet, many of them in one segment: none is left behind in the library."""
    reply = response(body=b"tiny records" * 20, framing="chunked")

    async def script(conn: RawConnection) -> None:
        async for _ in conn:
            for start in range(len(reply)):
                conn._wire.tls.write(reply[start : start + 1])  # type: ignore[union-attr]
            await conn.send(b"")
            await conn._wire._flush()

    async with raw_server(script, tls=certs.server_context(version)) as server, secure_session() as session:
        for _ in range(3):
            async with session.get(server.url()) as got:
                assert await got.read() == b"tiny records" * 20
        assert server.accepted == 1


@VERSIONS
async def test_what_tls_says_for_itself_keeps_an_idle_connection(version: ssl.TLSVersion) -> None:
    """TLS 1.3 sends tickets when it likes: the connection becomes readable, and stays fit for the next request."""
    context = certs.server_context(version)
    if version is certs.TLS_1_3:
        context.num_tickets = 8
    async with raw_server(reply_with(response(body=b"x")), tls=context) as server, secure_session() as session:
        for _ in range(4):
            async with session.get(server.url()) as reply:
                await reply.read()
            await asyncio.sleep(0.005)
        assert (server.accepted, session.connector.idle_count) == (1, 1)


# Ends.

CUTS = {
    "length-short": (response(body=b"x" * 10)[:-4], 6, 10),
    "chunked": (response(body=b"x" * 10, framing="chunked")[:-5], 10, None),
    "to-the-end": (response(body=b"x" * 10, framing="eof"), 10, None),
}


@pytest.mark.parametrize(("reply", "received", "expected"), CUTS.values(), ids=CUTS)
@VERSIONS
async def test_content_that_tls_was_cut_off_in_is_incomplete(
    reply: bytes, received: int, expected: int | None, version: ssl.TLSVersion
) -> None:
    """Without close_notify anybody on the way may have cut it off (RFC 8446 section 6.1)."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(reply)
        conn.cut()

    async with raw_server(script, tls=certs.server_context(version)) as server, secure_session() as session:
        got = await session.get(server.url())
        with pytest.raises(IncompleteMessageError) as caught:
            await got.read()
        assert (caught.value.received, caught.value.expected) == (received, expected)
        assert session.connector.open_count == 0


@VERSIONS
async def test_content_to_the_end_ends_with_close_notify(version: ssl.TLSVersion) -> None:
    """The clean end is how its length is known."""
    script = reply_with(response(body=b"whole", framing="eof"), close=True)
    async with raw_server(script, tls=certs.server_context(version)) as server, secure_session() as session:
        reply = await session.get(server.url())
        assert await reply.read() == b"whole"


@VERSIONS
async def test_content_of_known_length_is_whole_however_tls_ends(version: ssl.TLSVersion) -> None:
    """What was announced has come: what happens to the connection afterwards is no matter."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=b"whole"))
        conn.cut()

    async with raw_server(script, tls=certs.server_context(version)) as server, secure_session() as session:
        async with session.get(server.url()) as got:
            assert await got.read() == b"whole"
        async with session.get(server.url()) as got:
            assert await got.read() == b"whole"
        assert server.accepted == 2


@pytest.mark.parametrize("orderly", [True, False], ids=["close-notify", "cut"])
async def test_an_end_before_the_head_is_a_disconnection(orderly: bool) -> None:
    """Clean or not, there is no response."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 2")
        if not orderly:
            conn.cut()

    async with raw_server(script, tls=certs.server_context()) as server, secure_session() as session:
        with pytest.raises(ServerDisconnectedError) as caught:
            await session.get(server.url())
        assert caught.value.received == 10


async def test_a_reset_before_the_head_breaks_the_request() -> None:
    """Python's ssl tells a reset from a mere cut-off on some platforms only; either way there is no response."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        conn.reset()

    async with raw_server(script, tls=certs.server_context()) as server, secure_session() as session:
        with pytest.raises((ClientOSError, ServerDisconnectedError)):
            await session.get(server.url())


@pytest.mark.parametrize("way", ["read", "save"])
async def test_a_reset_behind_a_part_of_a_record_is_seen(way: str, tmp_path: Path) -> None:
    """They come at once, while the loop is busy: uvloop tells of a failure one time."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=b"x" * 100_000)[:-99_990])
        await asyncio.sleep(0.05)
        wire = conn._wire
        assert wire.tls is not None
        wire.tls.write(b"x" * 5_000)
        wire._sock.send(wire._outgoing.read()[:3_000])
        conn.reset()

    async with raw_server(script, tls=certs.server_context()) as server, secure_session(timeout=Timeout(total=5)) as s:
        reply = await s.get(server.url())
        with pytest.raises(IncompleteMessageError):
            await (reply.read() if way == "read" else reply.save(tmp_path / "file"))


async def test_octets_that_are_no_tls_break_the_connection() -> None:
    """A record that does not decrypt: what came before counts as received, the rest never comes."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=b"x" * 10)[:-4])
        await asyncio.get_running_loop().sock_sendall(conn._wire._sock, b"\x17\x03\x03\x00\x20" + bytes(32))
        await conn.read_eof()

    async with raw_server(script, tls=certs.server_context()) as server, secure_session() as session:
        reply = await session.get(server.url())
        with pytest.raises(IncompleteMessageError) as caught:
            await reply.read()
        assert caught.value.received == 6
        assert session.connector.open_count == 0


# The channel by itself.


@contextlib.asynccontextmanager
async def channel_and_wire(version: ssl.TLSVersion | None = None) -> AsyncIterator[tuple[TLSChannel, Wire]]:
    """A channel and the server's end of it, the handshake done."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    wire = Wire(theirs, certs.server_context(version))
    wrapped = TLSSocket(ours, certs.client_context(), "localhost")
    shaking = asyncio.create_task(wire.handshake())
    while True:
        try:
            wrapped.do_handshake()
            break
        except ssl.SSLWantReadError:
            await wait_ready(loop, wrapped.fileno(), for_writing=False)
    await shaking
    channel = TLSChannel(loop, wrapped)
    try:
        yield channel, wire
    finally:
        channel.close()
        theirs.close()


async def _received(channel: TLSChannel, limit: int) -> bytes:
    """The next octets, by the reader, as the loop tells of them."""
    told = asyncio.Event()
    channel.set_reader(told.set)
    while True:
        await told.wait()
        told.clear()
        try:
            return channel.recv(limit)
        except BlockingIOError:
            continue


async def test_what_the_library_holds_is_told_of_without_the_socket() -> None:
    """A read smaller than the record leaves the rest in OpenSSL, where no descriptor shows it."""
    async with channel_and_wire() as (channel, wire):
        await wire.send(b"0123456789")
        assert await _received(channel, 4) == b"0123"
        assert channel.has_buffered()
        assert not channel.is_silent()
        channel.pause_reading()
    async with channel_and_wire() as (channel, wire):
        await wire.send(b"0123456789")
        assert [await _received(channel, 4) for _ in range(3)] == [b"0123", b"4567", b"89"]
        assert not channel.has_buffered()


async def test_a_paused_channel_is_told_of_nothing() -> None:
    """Octets held by the library wait as those of the socket do."""
    async with channel_and_wire() as (channel, wire):
        await wire.send(b"0123456789")
        assert await _received(channel, 4) == b"0123"
        calls: list[bool] = []
        channel.set_reader(lambda: calls.append(True))
        channel.pause_reading()
        await asyncio.sleep(0.01)
        assert calls == []


@pytest.mark.parametrize("orderly", [True, False], ids=["close-notify", "cut"])
@pytest.mark.parametrize("way", ["recv", "recv_into"])
async def test_what_came_before_an_end_comes_before_it(orderly: bool, way: str) -> None:
    """Octets and the end may be found in one call: the octets are given by this one, the end by the next."""
    async with channel_and_wire() as (channel, wire):
        await wire.send(b"last words")
        if orderly:
            await wire.half_close()
        else:
            wire.cut()
        await asyncio.sleep(0.01)
        buffer = memoryview(bytearray(100))

        def take() -> bytes:
            if way == "recv":
                return channel.recv(100)
            count = channel.recv_into(buffer)
            assert count is not None
            return bytes(buffer[:count])

        assert take() == b"last words"
        if orderly:
            assert channel.has_buffered()
            assert [take(), take()] == [b"", b""]
        else:
            with pytest.raises(OSError, match=r"(?i)eof") as caught:
                take()
            assert is_truncation(caught.value)


async def test_recv_into_gathers_many_records() -> None:
    """One call of the library gives a record at most; the large buffer takes as many as there are."""
    async with channel_and_wire() as (channel, wire):
        sending = asyncio.create_task(wire.send(LARGE[:100_000]))
        buffer = bytearray(200_000)
        view, filled = memoryview(buffer), 0
        most = 0
        while filled < 100_000:
            count = channel.recv_into(view[filled:])
            if count is None:
                await wait_ready(asyncio.get_running_loop(), channel.fd, for_writing=False)
                continue
            most = max(most, count)
            filled += count
        await sending
        assert buffer[:filled] == LARGE[:100_000]
        assert most > 16_384


async def test_a_refused_write_is_offered_again_whole() -> None:
    """OpenSSL takes a slice or nothing, and wants the same octets after a refusal."""
    async with channel_and_wire() as (channel, wire):
        view, refusals = memoryview(LARGE[:1_000_000]), 0
        reading = asyncio.create_task(_read_exactly(wire, len(view)))
        rest = view
        while rest:
            try:
                rest = rest[channel.send(rest) :]
            except BlockingIOError:
                refusals += 1
                await channel.wait_writable()
        assert await reading == view
        assert refusals > 0


async def _read_exactly(wire: Wire, count: int) -> bytes:
    parts = []
    while count:
        parts.append(await wire.receive())
        count -= len(parts[-1])
    return b"".join(parts)


async def test_closing_says_close_notify_and_waits_for_nobody() -> None:
    """The peer sees an end in order, though it never answers."""
    async with channel_and_wire() as (channel, wire):
        channel.close()
        channel.close()
        assert wire.tls is not None
        await wire._fill()
        assert wire.tls.read(1) == b"", "a cut-off connection raises here"


async def test_closing_a_connection_that_is_gone_is_quiet() -> None:
    """The farewell cannot be said any more, and that is no failure."""
    async with channel_and_wire() as (channel, wire):
        wire._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.cut()
        channel.close()
        assert channel.is_closed


async def test_a_worker_never_receives_what_was_not_decrypted() -> None:
    """The channel is closed while a worker is inside of it: plain octets or the end, but no ciphertext.

    ``SSLSocket.shutdown`` takes TLS off the object; a worker then received records as they are on the wire and
    wrote them into the file.
    """
    async with channel_and_wire() as (channel, wire):
        await wire.send(b"plain" * 3_000)
        await asyncio.sleep(0.01)
        channel.hold()
        channel.close()
        buffer = memoryview(bytearray(65_536))
        received = b""
        with contextlib.suppress(OSError):
            while count := channel.recv_into(buffer):
                received += buffer[:count]
        assert received == b"plain" * 3_000
        channel.release()


async def test_a_silent_channel_may_have_tickets_to_read() -> None:
    """They make the descriptor readable and say nothing to the user; octets, an end or a reset do."""
    async with channel_and_wire(certs.TLS_1_3) as (channel, wire):
        await asyncio.sleep(0.005)
        assert channel.is_silent()
        await wire.send(b"x")
        await asyncio.sleep(0.005)
        assert not channel.is_silent()
    for end in ("half_close", "cut"):
        async with channel_and_wire(certs.TLS_1_3) as (channel, wire):
            if end == "half_close":
                await wire.half_close()
            else:
                wire.cut()
            await asyncio.sleep(0.005)
            assert not channel.is_silent()
