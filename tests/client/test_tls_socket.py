"""TLS over memory: however the octets are cut on the way, and however they are asked for, they are the same."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchd.client import tls_socket
from fetchd.client.tls_socket import TLSSocket
from tests.support import certs

LARGE = os.urandom(300_000)
VERSIONS = pytest.mark.parametrize("version", [certs.TLS_1_2, certs.TLS_1_3], ids=["tls1.2", "tls1.3"])


class Server:
    """The other end: what it says is cut wherever the test likes."""

    def __init__(self, version: ssl.TLSVersion, sock: socket.socket) -> None:
        self.sock = sock
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = certs.server_context(version).wrap_bio(self._coming, self._going, server_side=True)

    def shake(self) -> bool:
        """Go on with the handshake as far as that is possible."""
        with contextlib.suppress(BlockingIOError):
            self._coming.write(self.sock.recv(65_536))
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.sock.send(self._going.read())
        return True

    def records(self, *contents: bytes) -> bytes:
        """The octets on the wire that say *contents*, a record each at least."""
        for content in contents:
            rest = memoryview(content)
            while rest:
                rest = rest[self.tls.write(rest) :]
        return self._going.read()

    def farewell(self) -> bytes:
        """Those of close_notify."""
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        return self._going.read()

    def received(self) -> bytes:
        """All that has come so far."""
        said = b""
        with contextlib.suppress(BlockingIOError):
            while data := self.sock.recv(65_536):
                self._coming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while True:
                said += self.tls.read(65_536)
        return said


def shake_hands(tls: TLSSocket, server: Server) -> None:
    """Do the handshake, in turns."""
    is_done = False
    while not is_done:
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
            is_done = True
        server.shake()


def receive_for_ever(tls: TLSSocket, said: bytearray) -> None:
    """Receive by portions of seven octets until that fails."""
    while True:
        said += tls.recv(7)


@contextlib.contextmanager
def pair(version: ssl.TLSVersion = certs.TLS_1_3) -> Iterator[tuple[TLSSocket, Server]]:
    """Both ends, the handshake done."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    server = Server(version, theirs)
    tls = TLSSocket(ours, certs.client_context(version), "localhost")
    shake_hands(tls, server)
    try:
        yield tls, server
    finally:
        tls.close()
        theirs.close()


def all_that_is_there(tls: TLSSocket, limits: Iterator[int]) -> bytes:
    """Receive by both calls in turn until there is no more."""
    said = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            data = tls.recv(next(limits))
            said += data
            space = memoryview(bytearray(next(limits)))
            count = tls.recv_into(space)
            said += space[:count]
            if not data and not count:
                break
    return said


@VERSIONS
@given(
    contents=st.lists(st.integers(1, 40_000), max_size=6),
    cuts=st.lists(st.integers(1, 70_000), min_size=1, max_size=6),
    limits=st.lists(st.one_of(st.integers(1, 50), st.integers(1_000, 300_000)), min_size=1, max_size=5),
    ends=st.booleans(),
)
@settings(max_examples=30)
def test_octets_are_the_same_however_they_are_cut_and_asked_for(
    version: ssl.TLSVersion, contents: list[int], cuts: list[int], limits: list[int], ends: bool
) -> None:
    """Records of any size, arriving in any pieces, received in any portions; the end comes behind them."""
    whole = b"".join(LARGE[:count] for count in contents)
    asked = (limits[at % len(limits)] for at in range(1 << 30))
    with pair(version) as (tls, server):
        wire = memoryview(server.records(*(LARGE[:count] for count in contents)) + (server.farewell() if ends else b""))
        said, at = b"", 0
        while wire:
            sent = server.sock.send(wire[: cuts[at % len(cuts)]])
            wire, at = wire[sent:], at + 1
            said += all_that_is_there(tls, asked)
        assert said == whole
        if ends:
            assert (tls.recv(1), tls.has_more()) == (b"", True)
        else:
            with pytest.raises(BlockingIOError):
                tls.recv(1)


def test_a_record_may_come_octet_by_octet() -> None:
    """Nothing is had before the last one, nothing is lost."""
    with pair() as (tls, server):
        wire = server.records(b"hello")
        for octet in wire[:-1]:
            server.sock.send(bytes([octet]))
            with pytest.raises(BlockingIOError):
                tls.recv(100)
        server.sock.send(wire[-1:])
        assert tls.recv(100) == b"hello"
        assert not tls.has_more()


def test_what_was_received_and_not_asked_for_is_told_of() -> None:
    """The descriptor does not show it any more."""
    with pair() as (tls, server):
        server.sock.send(server.records(b"a" * 100, b"b" * 100))
        assert tls.recv(100) == b"a" * 100
        assert tls.has_more()
        assert not tls.is_silent()
    with pair() as (tls, server):
        server.sock.send(server.records(b"a" * 100))
        assert tls.recv(100) == b"a" * 100
        assert not tls.has_more()
        assert tls.is_silent()


@pytest.mark.parametrize("count", [1, 5, 300_000])
def test_an_end_without_farewell_comes_behind_what_was_said(count: int) -> None:
    """As an error of its own, however much of a record is missing."""
    with pair() as (tls, server):
        server.sock.send(server.records(b"last words"))
        server.sock.send(server.records(LARGE)[:count][:-1])
        server.sock.close()
        said = bytearray()
        with pytest.raises(ssl.SSLEOFError):
            receive_for_ever(tls, said)
        assert said.startswith(b"last words")
        assert LARGE.startswith(said[10:])


def test_a_record_that_was_tampered_with_ends_it_behind_the_good_ones() -> None:
    """The peer is told by an alert."""
    with pair() as (tls, server):
        good, bad = server.records(b"good"), bytearray(server.records(b"bad"))
        bad[-1] ^= 1
        server.sock.send(good + bad)
        assert tls.recv(100) == b"good"
        with pytest.raises(ssl.SSLError):
            tls.recv(100)
        with pytest.raises(ssl.SSLError, match=r"(?i)alert|bad record mac"):
            server.received()


@pytest.mark.parametrize("bad", [certs.wrong_name_server_context, certs.expired_server_context])
def test_a_server_whose_certificate_is_refused_is_told(bad: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an alert, which it may log."""
    monkeypatch.setattr(certs, "server_context", lambda _: bad())  # type: ignore[operator]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        server, tls = Server(certs.TLS_1_3, theirs), TLSSocket(ours, certs.client_context(), "localhost")
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(tls, server)
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            server.shake()


@VERSIONS
def test_a_slice_is_taken_whole_or_offered_again(version: ssl.TLSVersion) -> None:
    """What the socket took of its records before is not sent twice."""
    with pair(version) as (tls, server):
        rest, said, refusals = memoryview(LARGE * 20), b"", 0
        while rest:
            try:
                count = tls.send(rest)
            except BlockingIOError:
                refusals += 1
                said += server.received()
                continue
            assert count == min(65_536, len(rest))
            rest = rest[count:]
        said += server.received()
        assert said == LARGE * 20
        assert refusals > 0


def test_a_buffer_keeps_little_of_what_it_once_held() -> None:
    """TLS gets a large body in slices: its buffer never holds more than one, and the rest of a record."""
    held = []
    with pair() as (tls, server):
        real = tls._coming

        class Watched:
            def __getattr__(self, name: str) -> object:
                return getattr(real, name)

            def write(self, data: memoryview) -> int:
                count = real.write(data)
                held.append(real.pending)
                return count

        tls._coming = Watched()  # type: ignore[assignment]
        server.sock.send(server.records(LARGE))
        assert len(tls.recv(262_144)) > 200_000
        assert max(held) <= 65_536 + 16_384 + 512


def test_threads_that_receive_at_once_have_space_each() -> None:
    """What is lent to one is nobody else's until it is given back."""
    count, wrong = 6, []
    certs.server_context()  # the authority is made once, by one thread

    def receive(number: int) -> None:
        with pair() as (tls, server):
            for size in range(1, 200):
                said = bytes([number]) * size * 50
                server.sock.send(server.records(said))
                if tls.recv(100_000) != said:
                    wrong.append((number, size))

    threads = [threading.Thread(target=receive, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Where the descriptor shows nothing


def test_an_answer_that_cannot_be_sent_keeps_what_was_said_before() -> None:
    """The socket has told its failure to who sent; who receives must look again by himself."""
    with pair() as (tls, server):
        server.sock.send(server.records(b"last words"))
        server.sock.close()
        tls._going.write(b"an answer")
        assert tls.recv(100) == b"last words"
        assert tls.has_more()
        with pytest.raises(ssl.SSLEOFError):
            tls.recv(100)


@contextlib.contextmanager
def nested() -> Iterator[tuple[TLSSocket, Server, Server]]:
    """TLS within TLS, the handshakes done: our end, the server of the outer one, that of the inner one."""
    with pair() as (outer, proxy):
        inner = TLSSocket(outer, certs.client_context(), "localhost")
        ours, theirs = socket.socketpair()  # the origin's end of what the proxy passes on
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            origin = Server(certs.TLS_1_3, theirs)
            for _ in range(3):
                with contextlib.suppress(ssl.SSLWantReadError):
                    inner.do_handshake()
                ours.send(proxy.received())
                origin.shake()
                with contextlib.suppress(BlockingIOError):
                    proxy.sock.send(proxy.records(ours.recv(65_536)))
            yield inner, proxy, origin


def test_what_the_outer_tls_holds_is_told_of() -> None:
    """Of the inner record and what follows it all was received at once."""
    with nested() as (inner, proxy, origin):
        proxy.sock.send(proxy.records(origin.records(b"hello")) + proxy.farewell())
        assert inner.recv(5) == b"hello"
        assert inner.has_more()
        assert not inner.is_silent()
    with nested() as (inner, proxy, origin):
        proxy.sock.send(proxy.records(origin.records(b"hello")))
        assert inner.recv(5) == b"hello"
        assert inner.is_silent()
        proxy.sock.send(proxy.farewell())
        with pytest.raises(ssl.SSLEOFError):
            inner.recv(5)


def test_a_large_read_takes_all_that_both_hold() -> None:
    """However the records of one lie in those of the other."""
    with nested() as (inner, proxy, origin):
        wire = memoryview(proxy.records(*(origin.records(LARGE[at : at + 85]) for at in range(0, 65_280, 85))))
        said = bytearray()
        while wire:
            wire = wire[proxy.sock.send(wire) :]
            with contextlib.suppress(BlockingIOError):
                said += inner.recv(65_536)
            while inner.has_more():
                try:
                    said += inner.recv(65_536)
                except BlockingIOError:
                    break
        assert said == LARGE[:65_280]


# A peer that is none


def test_a_peer_that_takes_no_answers_is_given_up() -> None:
    """They would be held for ever; a slice of content may wait as long as it likes."""
    with pair() as (tls, server):
        with contextlib.suppress(BlockingIOError):
            while True:
                tls.send(LARGE)
        server.sock.send(server.records(b"hello"))
        tls._going.write(b"an answer")
        assert tls.recv(100) == b"hello"
        with pytest.raises(BlockingIOError):
            tls.recv(100)
        tls._going.write(bytes(140_000))
        with pytest.raises(OSError, match="does not take the answers"):
            tls.recv(100)


def test_a_peer_that_only_speaks_of_tls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep the loop for itself; some tickets are no matter."""
    context = certs.server_context(certs.TLS_1_3)
    context.num_tickets = 100  # of 250 octets
    monkeypatch.setattr(certs, "server_context", lambda _: context)
    with pair() as (tls, _), pytest.raises(BlockingIOError):
        tls.recv(1)
    monkeypatch.setattr(tls_socket, "_MAX_SILENT_BYTES", 10_000)
    with pair() as (tls, _), pytest.raises(OSError, match="messages of TLS and no content"):
        tls.recv(1)
