"""Whom TLS trusts: said once, in one way, and part of what a connection is shared by."""

from __future__ import annotations

import itertools
import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientSession,
    Fingerprint,
    ServerFingerprintMismatch,
    TCPConnector,
    UnixConnector,
    client_context,
    request,
)
from fetchd.client.tls import default_context, unverified_context
from fetchd.client.trust import TLSSettings, TLSWishes, tls_wishes, trust_of
from tests.support import certs
from tests.support.raw_server import RawConnection, raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

PIN = Fingerprint(bytes(32))
WAYS: dict[str, Any] = {"ssl": True, "verify_ssl": False, "ssl_context": unverified_context()}


async def get(session: ClientSession, url: str, **options: Any) -> bytes:
    """Ask and read."""
    async with session.get(url, **options) as reply:
        return await reply.read()


# What is given.


@pytest.mark.parametrize("ways", list(itertools.combinations(WAYS, 2)), ids="+".join)
async def test_any_two_ways_to_say_it_are_refused(ways: tuple[str, str]) -> None:
    """Which of the two would win is not for the reader of the code to guess."""
    both = {way: WAYS[way] for way in ways}
    for make in (TCPConnector, lambda **options: UnixConnector("x", **options)):
        with pytest.raises(ValueError, match="exclude each other"):
            make(**both)
    async with ClientSession() as session:
        with pytest.raises(ValueError, match="exclude each other"):
            await session.get("https://127.0.0.1:1/", **both)


@pytest.mark.parametrize("given_", ["yes", 1, b"x" * 32, Path("ca.pem")], ids=repr)
async def test_what_is_no_trust_is_refused(given_: Any) -> None:
    """A path or a digest alone would be taken for True by its truth."""
    with pytest.raises(TypeError, match=r"expected a bool, an ssl\.SSLContext or a Fingerprint"):
        TCPConnector(ssl=given_)
    async with ClientSession() as session:
        with pytest.raises(TypeError, match="Fingerprint"):
            await session.get("https://127.0.0.1:1/", ssl=given_)


def test_nothing_given_is_nothing_said() -> None:
    """None is as if the option were not there."""
    assert trust_of(None, None, None) is None
    assert [trust_of(True, None, None), trust_of(None, False, None), trust_of(PIN, None, None)] == [True, False, PIN]


@pytest.mark.parametrize(
    ("connector", "wish", "expected"),
    [
        (True, None, True),
        (True, False, False),
        (False, True, True),
        (False, None, False),
        (PIN, True, PIN),
        (PIN, False, False),
        (True, PIN, PIN),
    ],
    ids=repr,
)
def test_a_request_has_the_last_word(connector: Any, wish: Any, expected: Any) -> None:
    """True is the connector's own way, as in aiohttp; but who asks for verification is never given none."""
    assert TLSSettings(connector).with_wishes(TLSWishes(wish, None)) == TLSSettings(expected)


def test_a_pin_stands_in_place_of_verification() -> None:
    """As in aiohttp: the certificate may be self-signed, of another name, out of date."""
    assert (TLSSettings(PIN).context, TLSSettings(PIN).pin) == (unverified_context(), PIN)
    assert (TLSSettings(True).context, TLSSettings(True).pin) == (default_context(), None)
    assert TLSSettings(False).context is unverified_context()
    own = ssl.create_default_context()
    assert TLSSettings(own).context is own


@given(st.binary(max_size=80))
def test_a_fingerprint_is_a_sha_256_digest(octets: bytes) -> None:
    """MD5 and SHA-1 are refused by their length; equal ones are one key."""
    if len(octets) == 32:
        assert Fingerprint(octets).fingerprint == octets
        assert Fingerprint(octets) == Fingerprint(octets[:])
        assert hash(Fingerprint(octets)) == hash(Fingerprint(bytes(octets)))
        assert octets.hex() in repr(Fingerprint(octets))
    else:
        with pytest.raises(ValueError, match="expected the 32 of SHA-256"):
            Fingerprint(octets)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("Example.TEST.", "example.test"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("bücher.test", "xn--bcher-kva.test"),
    ],
)
def test_a_server_name_is_written_as_a_host_is(name: str, host: str) -> None:
    """One name has one form, so that it is one key."""
    assert tls_wishes({"server_hostname": name}) == TLSWishes(None, host)


@pytest.mark.parametrize("name", ["", ".", "a b", "h:443", "user@h", "h/x", "h?", "[::1]", "h\0", ".h", "x" * 300])
def test_what_is_no_host_is_no_server_name(name: str) -> None:
    with pytest.raises(ValueError, match="expected a host name or an address"):
        tls_wishes({"server_hostname": name})


# Pins.


async def test_a_pinned_certificate_is_accepted_whatever_it_says() -> None:
    """Nobody vouches for it, and nobody has to."""
    async with raw_server(reply_with(response(body=b"yes")), tls=certs.server_context()) as server:
        pin = Fingerprint(certs.fingerprint())
        async with ClientSession(connector=TCPConnector(ssl=pin)) as session:
            assert await get(session, server.url()) == b"yes"
        assert await (await request("get", server.url(), ssl=pin)).read() == b"yes"


@pytest.mark.parametrize("version", [certs.TLS_1_2, certs.TLS_1_3], ids=["tls1.2", "tls1.3"])
async def test_another_certificate_ends_it_before_anything_is_sent(version: ssl.TLSVersion) -> None:
    """The error tells both digests; the server has seen a handshake and no octet more."""
    seen: list[bytes] = []

    async def script(conn: RawConnection) -> None:
        seen.append(await conn.read_eof())

    async with raw_server(script, tls=certs.server_context(version)) as server, ClientSession() as session:
        with pytest.raises(ServerFingerprintMismatch) as caught:
            await session.get(server.url("/secret"), ssl=PIN)
        assert (caught.value.expected, caught.value.got) == (bytes(32), certs.fingerprint())
        assert (caught.value.host, caught.value.port) == ("127.0.0.1", server.port)
        assert bytes(32).hex() in str(caught.value)
        assert certs.fingerprint().hex() in str(caught.value)
        assert session.connector.open_count == 0
        await server.until(lambda: len(seen) == 1 or len(server.tls_failures) == 1)
    assert seen in ([b""], [])


async def test_single_servers_are_pinned_and_the_others_verified() -> None:
    """By host and port; what a request asks for outweighs the connector."""
    context = certs.client_context()
    async with (
        raw_server(reply_with(response()), tls=certs.server_context()) as right,
        raw_server(reply_with(response()), tls=certs.server_context()) as wrong,
        raw_server(reply_with(response()), tls=certs.server_context()) as other,
    ):
        pins = {f"127.0.0.1:{right.port}": Fingerprint(certs.fingerprint()), f"127.0.0.1:{wrong.port}": PIN}
        async with ClientSession(connector=TCPConnector(ssl=context, pins=pins)) as session:
            assert (await session.get(right.url("/"))).status == 200
            assert (await session.get(other.url("/"))).status == 200
            with pytest.raises(ServerFingerprintMismatch):
                await session.get(wrong.url("/"))
            assert (await session.get(wrong.url("/"), ssl=context)).status == 200
        async with ClientSession(connector=TCPConnector(pins=pins)) as session:
            with pytest.raises(ClientConnectorCertificateError):
                await session.get(other.url("/"))
    assert len(wrong.requests) == 1, "the one that asked for verification in the place of the pin"


async def test_a_pin_is_checked_on_a_resumed_session_too() -> None:
    """The certificate of a resumed session is the one it began with."""
    pin = Fingerprint(certs.fingerprint())
    resumed: list[bool | None] = []

    async def script(conn: RawConnection) -> None:
        assert conn.tls is not None
        resumed.append(conn.tls.session_reused)
        await conn.read_request()
        await conn.send(response(body=b"x"))

    connector = TCPConnector(ssl=pin, force_close=True)
    async with (
        raw_server(script, tls=certs.server_context(certs.TLS_1_3)) as server,
        ClientSession(connector=connector) as session,
    ):
        for _ in range(3):
            assert await get(session, server.url()) == b"x"
    assert resumed == [False, True, True]


# The key of the pool: SNI, verification, client certificate, pin.


async def test_what_differs_in_trust_shares_no_connection() -> None:
    """A connection that was made without verification must not serve who asked for it."""
    ours, others = certs.client_context(), certs.client_context()
    pin = Fingerprint(certs.fingerprint())
    different: list[dict[str, Any]] = [
        {},
        {"ssl": False},
        {"ssl": ours},
        {"ssl": others},
        {"ssl": pin},
        {"server_hostname": "example.test"},
        {"server_hostname": "www.example.test"},
        {"ssl": ours, "server_hostname": "example.test"},
    ]
    async with raw_server(reply_with(response(body=b"x")), tls=certs.server_context()) as server:
        async with ClientSession(connector=TCPConnector(ssl=certs.client_context())) as session:
            for _ in range(2):
                for options in different:
                    assert await get(session, server.url(), **options) == b"x"
        count = len(different)
        assert [asked.connection for asked in server.requests] == [*range(count), *range(count)]


async def test_what_says_the_same_in_other_words_shares_a_connection() -> None:
    """The settings count, not the option by which they came."""
    context = certs.client_context()
    same: list[dict[str, Any]] = [{}, {"ssl": True}, {"ssl": context}, {"ssl_context": context}, {"verify_ssl": True}]
    async with raw_server(reply_with(response(body=b"x")), tls=certs.server_context()) as server:
        async with ClientSession(connector=TCPConnector(ssl=context)) as session:
            for options in same:
                await get(session, server.url(), **options)
        assert server.accepted == 1


async def test_over_plain_text_settings_of_tls_change_nothing() -> None:
    """There is nobody to trust, and nothing to keep apart."""
    async with raw_server(reply_with(response(body=b"x"))) as server, ClientSession() as session:
        for options in ({}, {"ssl": False}, {"ssl": PIN}, {"server_hostname": "example.test"}):
            await get(session, server.url(), **options)
        assert server.accepted == 1


async def test_a_session_without_verification_can_ask_for_it() -> None:
    """And is refused what is not trusted, though a connection stands ready."""
    async with (
        raw_server(reply_with(response(body=b"x")), tls=certs.server_context()) as server,
        ClientSession(connector=TCPConnector(ssl=False)) as session,
    ):
        await get(session, server.url())
        with pytest.raises(ClientConnectorCertificateError):
            await get(session, server.url(), ssl=True)
        assert len(server.requests) == 1


# The name.


async def test_another_name_is_asked_for_and_verified() -> None:
    """SNI (RFC 6066 section 3) and the certificate's name; the Host field stays the URL's."""
    asked: list[str | None] = []
    context = certs.server_context()
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with raw_server(reply_with(response(body=b"x")), tls=context) as server:
        async with ClientSession(connector=TCPConnector(ssl=certs.client_context())) as session:
            await get(session, server.url(), server_hostname="www.example.test")
            with pytest.raises(ClientConnectorCertificateError, match="elsewhere"):
                await get(session, server.url(), server_hostname="elsewhere.test")
        assert asked == ["www.example.test", "elsewhere.test"]
        assert server.requests[0].fields["Host"] == f"127.0.0.1:{server.port}"


async def test_another_name_is_for_its_origin_alone() -> None:
    """A redirection to another origin is verified by the name of that one; within the origin the name stays."""
    asked: list[str | None] = []
    context = certs.server_context()
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with raw_server(reply_with(response(body=b"there")), tls=context) as there:
        away = response(302, fields=[("Location", there.url(host="localhost")), ("Connection", "close")])
        here_ = response(302, fields=[("Location", "/x"), ("Connection", "close")])
        async with (
            raw_server(reply_with(here_, away), tls=context) as here,
            ClientSession(connector=TCPConnector(ssl=certs.client_context())) as session,
        ):
            assert await get(session, here.url(), server_hostname="www.example.test") == b"there"
    assert asked == ["www.example.test", "www.example.test", "localhost"]


# Client certificates.


@pytest.mark.parametrize("version", [certs.TLS_1_2, certs.TLS_1_3], ids=["tls1.2", "tls1.3"])
async def test_a_client_certificate_is_shown_to_who_asks(version: ssl.TLSVersion, tmp_path: Path) -> None:
    """Each context has its own, and its own connections."""
    seen: list[object] = []

    async def script(conn: RawConnection) -> None:
        assert conn.tls is not None
        seen.append(conn.tls.getpeercert())
        async for _ in conn:
            await conn.send(response(body=b"welcome"))

    authority = certs.write_authority(tmp_path)
    contexts = []
    for name in ("one@example.test", "two@example.test"):
        certificate, key = certs.write_client_identity(tmp_path, name)
        contexts.append(client_context(authority, certfile=certificate, keyfile=key))
    async with raw_server(script, tls=certs.demanding_server_context(version)) as server:
        async with ClientSession() as session:
            for context in (*contexts, *contexts):
                assert await get(session, server.url(), ssl=context) == b"welcome"
        assert server.accepted == 2
    assert [name in str(peer) for name, peer in zip(("one@example", "two@example"), seen, strict=True)] == [True, True]


@pytest.mark.parametrize("version", [certs.TLS_1_2, certs.TLS_1_3], ids=["tls1.2", "tls1.3"])
async def test_a_server_that_wants_a_certificate_refuses_without(version: ssl.TLSVersion, tmp_path: Path) -> None:
    """In TLS 1.3 the refusal comes behind the handshake (RFC 8446 section 4.4.2.4): the connection breaks."""
    context = client_context(certs.write_authority(tmp_path))
    async with raw_server(reply_with(response()), tls=certs.demanding_server_context(version)) as server:
        async with ClientSession(connector=TCPConnector(ssl=context)) as session:
            with pytest.raises(ClientConnectionError):
                await session.get(server.url())
        assert server.requests == []


def test_a_client_context_needs_what_it_is_given(tmp_path: Path) -> None:
    """Files that are missing or hold something else; a key for nothing; a password that is wrong is never asked for."""
    certificate, key = certs.write_client_identity(tmp_path)
    with pytest.raises(OSError, match="No such file"):
        client_context(certfile=tmp_path / "missing")
    with pytest.raises(ssl.SSLError):
        client_context(certfile=certificate)
    with pytest.raises(ValueError, match="belong to a certfile"):
        client_context(keyfile=key)
    with pytest.raises(ValueError, match="belong to a certfile"):
        client_context(password="x")
    assert client_context(certfile=certificate, keyfile=key).verify_mode == ssl.CERT_REQUIRED
