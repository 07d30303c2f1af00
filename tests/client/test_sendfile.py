"""Files on their way out: by sendfile(2) where that can be, from where they stand, whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import io
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import (
    ClientConnectionError,
    ClientPayloadError,
    ClientSession,
    IdleWriteTimeoutError,
    TCPConnector,
    Timeout,
    sendfile,
)
from fetchd.client.limits import SENDFILE_STEP_BYTES
from tests.support.certs import client_context, server_context
from tests.support.raw_server import RawConnection, raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

LARGE = os.urandom(1 << 20) * 3 + b"end"
SENDFILE = os.sendfile


class Calls:
    """What was asked of sendfile(2).

    Attributes:
        steps: Offset and octets sent, of each call that sent some.
        threads: In which they were made.
        before: Called before each.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.threads: set[int] = set()
        self.before: Callable[[], object] = int

    def __call__(self, out: int, source: int, offset: int, count: int) -> int:
        self.threads.add(threading.get_ident())
        self.before()
        sent = SENDFILE(out, source, offset, count)
        self.steps.append((offset, sent))
        return sent


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Watch sendfile(2)."""
    watched = Calls()
    monkeypatch.setattr(os, "sendfile", watched)
    return watched


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of some size."""
    file = tmp_path / "large"
    file.write_bytes(LARGE)
    return file


@pytest.mark.parametrize("mode", ["rb", "r+b"])
@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("start", [0, 3, len(LARGE) - 1, len(LARGE), len(LARGE) + 5])
async def test_a_file_goes_by_sendfile_where_the_socket_is_plain(
    path: Path, calls: Calls, mode: Any, buffering: int, start: int
) -> None:
    """From where it stands, which is behind the octets then; never in the loop's thread; the connection is kept."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        with path.open(mode, buffering) as file:
            file.read(3) if start == 3 else file.seek(start)
            async with session.post(server.url(), data=file):
                assert server.requests[0].body == LARGE[start:]
                assert server.requests[0].fields["Content-Length"] == str(len(LARGE[start:]))
            assert file.tell() == max(start, len(LARGE))
            assert sum(sent for _, sent in calls.steps) == len(LARGE[start:])
            assert threading.get_ident() not in calls.threads
            async with session.get(server.url()):
                assert server.accepted == 1


async def test_a_file_that_was_written_to_is_flushed(tmp_path: Path, calls: Calls) -> None:
    """What the system does not know yet is sent, too."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        with (tmp_path / "new").open("w+b") as file:
            file.write(b"abcdef")
            file.seek(1)
            file.write(b"B")
            async with session.post(server.url(), data=file):
                assert server.requests[0].body == b"cdef"
        assert calls.steps == [(2, 4)]


async def test_a_redirection_gets_the_file_again(path: Path, calls: Calls) -> None:
    """From the octet at which it began."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            here = asked.target == "/here"
            await conn.send(response() if here else response(307, fields=[("Location", "/here")]))

    async with raw_server(script) as server, ClientSession() as session:
        with path.open("rb") as file:
            file.seek(5)
            async with session.put(server.url("/"), data=file):
                assert [asked.body for asked in server.requests] == [LARGE[5:]] * 2


class Shouting(io.BufferedReader):
    """Gives other octets than the system has."""

    def read(self, size: int | None = -1, /) -> bytes:
        """See ``io.BufferedReader``."""
        return super().read(size).upper()


def shouting(path: Path) -> Any:
    """A class of the caller's own."""
    path.write_bytes(b"abc")
    return Shouting(io.FileIO(path))


def in_memory(path: Path) -> Any:
    """No descriptor."""
    return io.BytesIO(b"ABC")


def packed(path: Path) -> Any:
    """A descriptor with other octets."""
    path.write_bytes(gzip.compress(b"ABC"))
    return gzip.open(path)


@pytest.mark.parametrize("make", [shouting, in_memory, packed])
async def test_a_file_that_is_more_than_one_is_read(path: Path, calls: Calls, make: Callable[[Path], Any]) -> None:
    """What it gives is sent, not what its descriptor has."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        with make(path) as file:
            async with session.post(server.url(), data=file):
                assert server.requests[0].body == b"ABC"
    assert not calls.steps


async def test_a_file_inside_of_something_is_read(path: Path, calls: Calls) -> None:
    """Chunks, or the parts of a form, stand around its octets."""
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        with path.open("rb") as file:
            async with session.post(server.url(), data=file, chunked=True):
                assert server.requests[0].body == LARGE
            file.seek(0)
            async with session.post(server.url(), data={"file": file}):
                assert LARGE in server.requests[1].body
    assert not calls.steps


async def test_a_file_is_read_under_tls(path: Path, calls: Calls) -> None:
    """The system has no key."""
    async with (
        raw_server(reply_with(response()), tls=server_context()) as server,
        ClientSession(connector=TCPConnector(ssl=client_context())) as session,
    ):
        with path.open("rb") as file:
            async with session.post(server.url(), data=file):
                assert server.requests[0].body == LARGE
    assert not calls.steps


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
async def test_a_file_system_without_sendfile_is_read(path: Path, calls: Calls, number: int) -> None:
    """Nothing was sent when it says so."""

    def refuse() -> None:
        raise OSError(number, os.strerror(number))

    calls.before = refuse
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        with path.open("rb") as file:
            file.seek(7)
            async with session.post(server.url(), data=file):
                assert server.requests[0].body == LARGE[7:]


async def test_a_file_that_cannot_be_read_is_the_callers_to_know(path: Path, calls: Calls) -> None:
    """As the system says it; that is no failure of the connection."""

    def fail() -> None:
        raise OSError(errno.EIO, "bad disk")

    calls.before = fail
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        with path.open("rb") as file, pytest.raises(OSError, match="bad disk") as caught:
            await session.post(server.url(), data=file)
        assert not isinstance(caught.value, ClientConnectionError)
        assert session.connector.open_count == 0


@pytest.mark.parametrize("size", [0, 1, SENDFILE_STEP_BYTES, len(LARGE) - 1])
async def test_a_file_that_has_shrunk_breaks_the_request(path: Path, calls: Calls, size: int) -> None:
    """Before it is sent, or while it is: what was announced cannot be kept, and nothing is waited for."""

    def shrink() -> None:
        os.truncate(path, size)

    calls.before = shrink
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        told = pytest.raises(ClientPayloadError, match=f"gave {size} octets, announced were {len(LARGE)}")
        with path.open("rb") as file, told:
            await session.post(server.url(), data=file)
        assert session.connector.open_count == 0


async def test_of_a_file_that_grows_as_much_is_sent_as_was_announced(path: Path, calls: Calls) -> None:
    """The connection serves the next request, so nothing came behind."""

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    calls.before = grow
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        for _ in range(2):
            with path.open("rb") as file:
                length = len(path.read_bytes())
                async with session.post(server.url(), data=file):
                    assert len(server.requests[-1].body) == length
        assert server.accepted == 1


async def slow(conn: RawConnection) -> None:
    """Takes the content in small sips."""
    asked = await conn.read_request(body=False)
    taken = b""
    while len(taken) < int(asked.fields["Content-Length"]):
        await asyncio.sleep(0.001)
        taken += await conn.receive()
    await conn.send(response(body=taken))


async def never(conn: RawConnection) -> None:
    """Takes the head and no more."""
    await conn.read_request(body=False)
    await asyncio.get_running_loop().create_future()


def small_socket(info: Any) -> socket.socket:
    """A socket that takes little at a time."""
    sock = socket.socket(info[0], info[1], info[2])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    return sock


async def test_a_peer_that_takes_little_at_a_time_gets_all(path: Path, calls: Calls) -> None:
    """Step by step, each from where the one before has ended."""
    connector = TCPConnector(socket_factory=small_socket)
    async with raw_server(slow) as server, ClientSession(connector=connector) as session:
        with path.open("rb") as file:
            async with session.post(server.url(), data=file) as reply:
                assert await reply.read() == LARGE
    assert len(calls.steps) > 10
    place = 0
    for offset, sent in calls.steps:
        assert offset == place
        place += sent


async def test_a_peer_that_takes_nothing_is_given_up(path: Path) -> None:
    """After ``idle_write``, as with any other body."""
    session = ClientSession(connector=TCPConnector(socket_factory=small_socket), timeout=Timeout(idle_write=0.1))
    path.write_bytes(bytes(1 << 24))
    async with raw_server(never) as server, session:
        with path.open("rb") as file, pytest.raises(IdleWriteTimeoutError):
            await session.post(server.url(), data=file)
        assert session.connector.open_count == 0


@pytest.mark.parametrize("after", [0.0, 0.02, 0.1])
async def test_an_upload_that_is_given_up_leaves_nothing(path: Path, after: float) -> None:
    """No descriptor, no worker that still sends; the file can be closed."""
    path.write_bytes(bytes(1 << 24))
    async with raw_server(never) as server, ClientSession() as session:
        with path.open("rb") as file, pytest.raises(TimeoutError):
            await asyncio.wait_for(session.post(server.url(), data=file), after)
        assert session.connector.open_count == 0


def refuse_and_take_all(listener: socket.socket) -> None:
    """A server on a thread of its own: it answers at once, and takes what comes as fast as it comes."""
    sock, _ = listener.accept()
    with sock, contextlib.suppress(ConnectionError):
        while not sock.recv(65_536).count(b"\r\n\r\n"):
            pass
        sock.sendall(response(413, b"too much"))
        while sock.recv(1 << 20):
            pass


async def test_an_early_refusal_stops_the_upload_and_is_returned(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is seen though the socket always takes more: between two batches of the worker."""
    monkeypatch.setattr(sendfile, "SAVE_POLL_MS", 10_000)
    os.truncate(path, 1 << 40)  # a hole; it would take minutes to send
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=refuse_and_take_all, args=(listener,))
        server.start()
        async with ClientSession() as session:
            with path.open("rb") as file:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
                async with session.post(url, data=file) as reply:
                    assert (reply.status, await reply.read()) == (413, b"too much")
            assert session.connector.idle_count == 0
        server.join()


async def test_a_file_may_be_closed_while_it_is_still_sent(path: Path) -> None:
    """A server that answers before it has all gets all: what is sent is of a descriptor of its own."""
    answered = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        asked = await conn.read_request(body=False)
        await conn.send(response(framing="chunked")[:-5])
        await answered.wait()
        content, _ = await conn.read_body(asked)
        await conn.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))

    path.write_bytes(LARGE * 4)
    async with raw_server(script) as server, ClientSession() as session:
        with path.open("rb") as file:
            reply = await session.post(server.url(), data=file)
        answered.set()
        assert await reply.read() == LARGE * 4


async def test_a_slow_disk_stalls_nobody_else(path: Path, calls: Calls) -> None:
    """The loop goes on while sendfile(2) waits for it, or nobody would let it go on here."""
    began, may_go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        loop.call_soon_threadsafe(began.set)
        assert may_go_on.wait(10)

    calls.before = wait
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        with path.open("rb") as file:
            upload = asyncio.ensure_future(session.post(server.url(), data=file))
            await began.wait()
            may_go_on.set()
            async with await upload:
                assert server.requests[0].body == LARGE


async def test_a_connection_that_has_gone_is_a_failure_of_the_connection(path: Path, monkeypatch: Any) -> None:
    """Whatever sendfile(2) calls it; nothing hangs."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        conn.reset()

    monkeypatch.setattr(sendfile, "SAVE_BATCH_S", 0.0001)
    path.write_bytes(bytes(1 << 26))
    async with raw_server(script) as server, ClientSession() as session:
        with path.open("rb") as file, pytest.raises(ClientConnectionError):
            await session.post(server.url(), data=file)
