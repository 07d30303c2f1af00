"""Content comes to disk the same by each way there is, and whatever fails is told and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gzip
import io
import os
import resource
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import (
    ClientResponse,
    ClientSession,
    IdleReadTimeoutError,
    IncompleteMessageError,
    SessionClosedError,
    StreamConsumedError,
    TCPConnector,
    Timeout,
    TotalTimeoutError,
    saving,
)
from fetchd.client.channel import Channel
from fetchd.client.saving import CopyingMover, Mover, SocketFailedError, SplicingMover, mover_for
from tests.support import certs
from tests.support.open_fds import open_fds
from tests.support.raw_server import RawConnection, Script, raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

CONTENT = os.urandom(1 << 20) * 20  # 20 MiB
MIB = 1 << 20
LENGTHS = [0, 1, 65_535, 65_536, 65_537, MIB - 1, MIB, MIB + 1]
# How the content travels: framing, whether coded, whether over TLS, whether the system may splice.
WAYS = {
    "splice": ("length", False, False, True),
    "recv-into": ("length", False, False, False),
    "tls": ("length", False, True, True),
    "chunked": ("chunked", False, False, True),
    "chunked-tls": ("chunked", False, True, True),
    "to-the-end": ("eof", False, False, True),
    "gzip": ("length", True, False, True),
    "gzip-chunked-tls": ("chunked", True, True, True),
}
each_way = pytest.mark.parametrize("way", WAYS)
direct_ways = pytest.mark.parametrize("way", ["splice", "recv-into", "tls"])


@pytest.fixture
def way_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[str, bool, bool]]:
    """Sets the system up for a way; gives framing, whether coded, and whether over TLS."""

    def choose(way: str) -> tuple[str, bool, bool]:
        framing, is_coded, is_tls, may_splice = WAYS[way]
        if not may_splice:
            monkeypatch.delattr(os, "splice")
        return framing, is_coded, is_tls

    return choose


def server_of(script: Script, tls: bool) -> Any:
    """The server, in TLS or not."""
    return raw_server(script, tls=certs.server_context() if tls else None)


def session_of(tls: bool = False, timeout: Timeout | None = None) -> ClientSession:
    """A session that can talk to it."""
    return ClientSession(connector=TCPConnector(ssl_context=certs.client_context() if tls else None), timeout=timeout)


def reply_of(content: bytes, framing: str, coded: bool) -> bytes:
    """A reply with *content* in that framing, gzipped if *coded*."""
    if coded:
        return response(body=gzip.compress(content, 1), fields=[("Content-Encoding", "gzip")], framing=framing)
    return response(body=content, framing=framing)


Choose = Callable[[str], tuple[str, bool, bool]]


# The same octets by every way.


@each_way
@pytest.mark.parametrize("length", LENGTHS)
async def test_the_file_holds_what_was_sent(way: str, length: int, way_of: Choose, tmp_path: Path) -> None:
    """Octet by octet; the number written is told, and the connection serves the next request where framing allows."""
    framing, coded, tls = way_of(way)
    reply = reply_of(CONTENT[:length], framing, coded)
    async with server_of(reply_with(reply, close=framing == "eof"), tls) as server, session_of(tls) as session:
        for number in range(2):
            path = tmp_path / str(number)
            async with session.get(server.url()) as got:
                assert await got.save(path) == length
            assert path.read_bytes() == CONTENT[:length]
        assert server.accepted == (2 if framing == "eof" else 1)


@each_way
async def test_large_content_is_moved_by_workers_and_stays_whole(way: str, way_of: Choose, tmp_path: Path) -> None:
    """20 MiB: more than one batch."""
    framing, coded, tls = way_of(way)
    reply = reply_of(CONTENT, framing, coded)
    async with server_of(reply_with(reply, close=framing == "eof"), tls) as server, session_of(tls) as session:
        async with session.get(server.url()) as got:
            assert await got.save(tmp_path / "file") == len(CONTENT)
        assert (tmp_path / "file").read_bytes() == CONTENT


@direct_ways
async def test_tiny_segments_fill_no_pipe_for_ever(way: str, way_of: Choose, tmp_path: Path) -> None:
    """A pipe is full of many small pieces long before it is full of octets."""
    _, _, tls = way_of(way)
    content = CONTENT[:3000]

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=content)[:-3000])
        for start in range(0, len(content), 10):
            await conn.send(content[start : start + 10])
            if start % 1000 == 0:
                await asyncio.sleep(0.001)

    async with server_of(script, tls) as server, session_of(tls) as session:
        reply = await session.get(server.url())
        assert await reply.save(tmp_path / "file") == len(content)
        assert (tmp_path / "file").read_bytes() == content


@direct_ways
async def test_many_at_once_do_not_mix(way: str, way_of: Choose, tmp_path: Path) -> None:
    """Each file holds its own."""
    _, _, tls = way_of(way)

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            number = int(asked.target[1:])
            await conn.send(response(body=bytes([number]) * (2 * MIB)))

    async def one(session: ClientSession, url: str, path: Path) -> None:
        async with session.get(url) as reply:
            assert await reply.save(path) == 2 * MIB

    async with server_of(script, tls) as server, session_of(tls) as session:
        paths = [tmp_path / str(number) for number in range(8)]
        await asyncio.gather(*(one(session, server.url(f"/{path.name}"), path) for path in paths))
    for number, path in enumerate(paths):
        assert path.read_bytes() == bytes([number]) * (2 * MIB)


# Where it goes.


@pytest.fixture(params=["splice", "chunked"])
async def reply(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A response with ``NEW`` as its content, moved directly or through the reader."""
    framing = WAYS[request.param][0]
    async with raw_server(reply_with(response(body=NEW, framing=framing))) as server, ClientSession() as session:
        yield await session.get(server.url())


NEW = b"new content"


async def test_a_path_is_created_or_cut(reply: ClientResponse, tmp_path: Path) -> None:
    """Nothing of a longer file that was there is left."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert await reply.save(path) == len(NEW)
    assert path.read_bytes() == NEW


async def test_a_path_may_be_text(reply: ClientResponse, tmp_path: Path) -> None:
    """As everywhere in Python."""
    await reply.save(str(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == NEW


@pytest.mark.parametrize("held", [b"0123456789", b"012", b""])
async def test_an_offset_keeps_what_stands_before_it(reply: ClientResponse, held: bytes, tmp_path: Path) -> None:
    """To go on with a file; what stands behind is cut, a gap is filled with NUL."""
    path = tmp_path / "file"
    path.write_bytes(held)
    assert await reply.save(path, offset=5) == len(NEW)
    assert path.read_bytes() == held[:5].ljust(5, b"\0") + NEW


@pytest.mark.parametrize("offset", [None, 0, 2])
async def test_a_descriptor_is_written_from_where_it_stands(
    reply: ClientResponse, offset: int | None, tmp_path: Path
) -> None:
    """Or from *offset*; it is neither cut nor closed."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    fd = os.open(path, os.O_WRONLY)
    os.lseek(fd, 5, os.SEEK_SET)
    assert await reply.save(fd, offset=offset) == len(NEW)
    start = 5 if offset is None else offset
    assert os.lseek(fd, 0, os.SEEK_CUR) == start + len(NEW)
    os.close(fd)
    assert path.read_bytes() == b"x" * start + NEW + b"x" * (100 - start - len(NEW))


async def test_a_file_object_is_written_behind_what_it_has_buffered(reply: ClientResponse, tmp_path: Path) -> None:
    """It is flushed before, stays open, and goes on behind the content."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(b"before ")
        assert await reply.save(file) == len(NEW)
        file.write(b" behind")
    assert path.read_bytes() == b"before " + NEW + b" behind"


async def test_a_file_that_is_read_and_written_stands_where_its_user_thinks(
    reply: ClientResponse, tmp_path: Path
) -> None:
    """Its buffer has read ahead."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 10)
    with path.open("r+b") as file:
        assert file.read(4) == b"0123"
        await reply.save(file)
        assert file.read(2) == b"56"
    assert path.read_bytes()[:20] == b"0123" + NEW + b"56789"


async def test_a_file_opened_for_appending_is_appended_to(reply: ClientResponse, tmp_path: Path) -> None:
    """splice refuses such files; they are copied to."""
    path = tmp_path / "file"
    path.write_bytes(b"old ")
    with path.open("ab") as file:
        assert await reply.save(file) == len(NEW)
    assert path.read_bytes() == b"old " + NEW


async def test_an_object_that_does_more_than_a_file_is_written_by_its_own_method(
    reply: ClientResponse, tmp_path: Path
) -> None:
    """Octets under a compressed file would break it."""
    path = tmp_path / "file.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"before ")
        assert await reply.save(file) == len(NEW)
        file.write(b" behind")
    assert gzip.decompress(path.read_bytes()) == b"before " + NEW + b" behind"


@pytest.mark.parametrize("offset", [None, 0, 2])
async def test_a_file_in_memory_is_written_from_where_it_stands(reply: ClientResponse, offset: int | None) -> None:
    """Or from *offset*."""
    file = io.BytesIO(b"x" * 20)
    file.seek(5)
    assert await reply.save(file, offset=offset) == len(NEW)
    start = 5 if offset is None else offset
    assert file.tell() == start + len(NEW)
    assert file.getvalue() == b"x" * start + NEW + b"x" * (20 - start - len(NEW))


async def test_an_asynchronous_file_is_awaited(reply: ClientResponse) -> None:
    """As aiofiles has them; one that takes a part is given the rest."""
    taken = bytearray()

    class Slow:
        async def write(self, data: memoryview) -> int:
            taken.extend(data[:4])
            return len(data[:4])

    assert await reply.save(Slow()) == len(NEW)
    assert taken == NEW


async def test_a_temporary_file_is_a_file(reply: ClientResponse) -> None:
    """Under its wrapper, too."""
    with tempfile.NamedTemporaryFile() as file:
        assert await reply.save(file) == len(NEW)
        assert Path(file.name).read_bytes() == NEW


async def test_the_path_of_a_pipe_waits_for_its_reader(reply: ClientResponse, tmp_path: Path) -> None:
    """The loop goes on meanwhile, and the wait can be broken off."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    saving_ = asyncio.create_task(reply.save(path))
    await asyncio.sleep(0.05)
    assert not saving_.done()
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert await saving_ == len(NEW)
    assert os.read(fd, 100) == NEW
    os.close(fd)


async def test_a_device_is_written_to(reply: ClientResponse) -> None:
    """What cannot be cut need not be."""
    assert await reply.save("/dev/null") == len(NEW)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("way", ["splice", "tls", "gzip-chunked-tls"])
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "non-blocking"])
async def test_a_pipe_takes_it_at_its_readers_pace(kind: str, way: str, blocking: bool, way_of: Choose) -> None:
    """The loop goes on meanwhile: this reader begins when the loop has turned a hundred times beside the full pipe."""
    framing, coded, tls = way_of(way)
    content = CONTENT[: 2 * MIB]
    if kind == "pipe":
        read_end, write_end = os.pipe()
    else:
        ours, theirs = socket.socketpair()
        read_end, write_end = ours.detach(), theirs.detach()
    os.set_blocking(write_end, blocking)
    received: list[bytes] = []
    go = threading.Event()

    def read_late() -> None:
        go.wait()
        while data := os.read(read_end, 100_000):
            received.append(data)

    thread = threading.Thread(target=read_late)
    thread.start()
    script = reply_with(reply_of(content, framing, coded))
    async with server_of(script, tls) as server, session_of(tls) as session:
        got = await session.get(server.url())
        saving_ = asyncio.create_task(got.save(write_end))
        for _ in range(100):
            await asyncio.sleep(0.0005)
        assert not saving_.done()
        go.set()
        assert await saving_ == len(content)
        os.close(write_end)
        await asyncio.to_thread(thread.join)
        os.close(read_end)
        assert session.connector.idle_count == 1
    assert b"".join(received) == content


# What may be saved.


async def test_content_is_saved_once(tmp_path: Path) -> None:
    """After ``read``, ``save`` or a stream that was begun there is nothing left to be saved."""

    async def read(reply: ClientResponse) -> None:
        await reply.read()

    async def save(reply: ClientResponse) -> None:
        await reply.save(tmp_path / "first")

    async def stream(reply: ClientResponse) -> None:
        await reply.content.read(2)

    for length in (10, 200_000):
        async with raw_server(reply_with(response(body=CONTENT[:length]))) as server, ClientSession() as session:
            for use in (read, save, stream):
                async with session.get(server.url()) as reply:
                    await use(reply)
                    (tmp_path / "second").write_bytes(b"precious")
                    with pytest.raises(StreamConsumedError):
                        await reply.save(tmp_path / "second")
                    assert (tmp_path / "second").read_bytes() == b"precious"


async def test_a_stream_that_was_only_looked_at_can_be_saved(tmp_path: Path) -> None:
    """``content`` was touched, and nothing read of it."""
    async with raw_server(reply_with(response(body=CONTENT[:200_000]))) as server, ClientSession() as session:
        reply = await session.get(server.url())
        assert not reply.content.at_eof()
        assert await reply.save(tmp_path / "file") == 200_000
        assert (tmp_path / "file").read_bytes() == CONTENT[:200_000]


@direct_ways
async def test_octets_behind_the_content_stay_out_of_the_file(way: str, way_of: Choose, tmp_path: Path) -> None:
    """And out of the next request."""
    _, _, tls = way_of(way)
    content = CONTENT[:300_000]

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            extra = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad" if asked.target == "/first" else b""
            await conn.send(response(body=content) + extra)

    async with server_of(script, tls) as server, session_of(tls) as session:
        for path in ("/first", "/second"):
            async with session.get(server.url(path)) as reply:
                assert await reply.save(tmp_path / "file") == len(content)
            assert (tmp_path / "file").read_bytes() == content
            await asyncio.sleep(0.01)
        assert server.accepted == 2


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_content_is_saved_while_the_request_is_still_being_sent(tls: bool, tmp_path: Path) -> None:
    """An echo: the loop sends what the file does not hold yet."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT))
        left = len(CONTENT)
        while left:
            piece = await conn.read_exactly(min(65_536, left))
            left -= len(piece)
            await conn.send(piece)

    async with server_of(script, tls) as server, session_of(tls) as session, asyncio.timeout(15):
        reply = await session.put(server.url(), data=CONTENT)
        assert await reply.save(tmp_path / "file") == len(CONTENT)
        assert (tmp_path / "file").read_bytes() == CONTENT


# What fails.


@contextlib.contextmanager
def file_size_limit(octets: int) -> Iterator[None]:
    """The system refuses to make any file longer (EFBIG), as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@each_way
@pytest.mark.parametrize("limit", [0, 10_000, 4 * MIB], ids=["at-once", "in-the-loop", "in-a-worker"])
async def test_a_full_disk_is_told_and_closes_the_connection(
    way: str, limit: int, way_of: Choose, tmp_path: Path
) -> None:
    """OSError, the system's own; what fitted stays in the file."""
    framing, coded, tls = way_of(way)
    reply = reply_of(CONTENT[: 10 * MIB], framing, coded)
    async with server_of(reply_with(reply), tls) as server, session_of(tls) as session:
        got = await session.get(server.url())
        with file_size_limit(limit), pytest.raises(OSError, match=os.strerror(errno.EFBIG)) as caught:
            await got.save(tmp_path / "file")
        assert caught.value.errno == errno.EFBIG
        assert session.connector.open_count == 0
    assert (tmp_path / "file").read_bytes() == CONTENT[:limit]


def _folder(folder: Path) -> Any:
    return folder


def _missing_folder(folder: Path) -> Any:
    return folder / "missing" / "file"


def _full_device(folder: Path) -> Any:
    return "/dev/full"


BAD_TARGETS = {
    "folder": (_folder, errno.EISDIR),
    "missing-folder": (_missing_folder, errno.ENOENT),
    "full-device": (_full_device, errno.ENOSPC),
}


@pytest.mark.parametrize(("make", "code"), BAD_TARGETS.values(), ids=BAD_TARGETS)
async def test_a_path_that_cannot_be_written_is_told_and_closes_the_connection(
    make: Callable[[Path], Any], code: int, tmp_path: Path
) -> None:
    """The rest of the content would only be in the way."""
    async with raw_server(reply_with(response(body=CONTENT))) as server, ClientSession() as session:
        reply = await session.get(server.url())
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            await reply.save(make(tmp_path))
        assert caught.value.errno == code
        assert session.connector.open_count == 0


def _gzipped(path: Path) -> Path:
    path.write_bytes(gzip.compress(b"x"))
    return path


@pytest.mark.parametrize("kind", ["closed-pipe", "closed", "read-only", "seek-in-a-pipe", "an-object-to-read"])
async def test_a_descriptor_that_cannot_be_written_is_told_and_closes_the_connection(kind: str, tmp_path: Path) -> None:
    """Whatever is wrong with it."""
    (tmp_path / "file").touch()
    offset = None
    async with raw_server(reply_with(response(body=CONTENT))) as server, ClientSession() as session:
        reply = await session.get(server.url())
        with contextlib.ExitStack() as stack:
            target: Any
            if kind in ("closed-pipe", "seek-in-a-pipe"):
                read_end, target = os.pipe()
                stack.callback(os.close, target)
                offset = 5 if kind == "seek-in-a-pipe" else None
                os.close(read_end)
            elif kind == "closed":
                target = os.open(tmp_path / "file", os.O_WRONLY)
                os.close(target)
            elif kind == "read-only":
                target = os.open(tmp_path / "file", os.O_RDONLY)
                stack.callback(os.close, target)
            else:
                target = stack.enter_context(gzip.open(_gzipped(tmp_path / "read.gz")))
            with pytest.raises(OSError):  # noqa: PT011 -- each has its own
                await reply.save(target, offset=offset)
        assert session.connector.open_count == 0


async def test_a_reader_that_leaves_while_a_pipe_is_full_is_told() -> None:
    """The wait for room ends with the reader."""
    read_end, write_end = os.pipe()
    async with raw_server(reply_with(response(body=CONTENT))) as server, ClientSession() as session:
        reply = await session.get(server.url())
        task = asyncio.create_task(reply.save(write_end))
        await asyncio.sleep(0.03)
        assert not task.done()
        os.close(read_end)
        with pytest.raises(BrokenPipeError):
            await task
        os.close(write_end)
        assert session.connector.open_count == 0


@direct_ways
@pytest.mark.parametrize("length", [1000, 8 * MIB])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_truncated_content_is_told_and_what_came_is_kept(
    way: str, length: int, how: str, way_of: Choose, tmp_path: Path
) -> None:
    """With the numbers; all of what came is in the file, to be gone on from."""
    _, _, tls = way_of(way)
    go = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=CONTENT[:length])[:-100])
        await go.wait()
        if how == "reset":
            conn.reset()
        else:
            conn.cut()

    async with server_of(script, tls) as server, session_of(tls) as session:
        reply = await session.get(server.url())
        task = asyncio.create_task(reply.save(tmp_path / "file"))
        while _size_of(tmp_path / "file") < length - 100:  # noqa: ASYNC110 -- a worker thread is waited for
            await asyncio.sleep(0.001)
        go.set()
        with pytest.raises(IncompleteMessageError) as caught:
            await task
        assert (caught.value.received, caught.value.expected) == (length - 100, length)
        assert session.connector.open_count == 0
    assert (tmp_path / "file").read_bytes() == CONTENT[: length - 100]


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


async def _floods(conn: RawConnection) -> None:
    """Announces more than there is time for, and sends without end."""
    await conn.read_request()
    await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
    while True:
        await conn.send(PATTERN)


PATTERN = bytes(range(256)) * 1024


@direct_ways
@pytest.mark.parametrize("attempt", range(3))
async def test_a_deadline_during_a_batch_waits_for_the_worker(
    way: str, attempt: int, way_of: Choose, tmp_path: Path
) -> None:
    """Nothing but content is in the file, and no descriptor is closed under the worker."""
    _, _, tls = way_of(way)
    async with server_of(_floods, tls) as server, session_of(tls) as session:
        reply = await session.get(server.url(), timeout=Timeout(total=0.03 + attempt * 0.013))
        with pytest.raises(TotalTimeoutError):
            await reply.save(tmp_path / "file")
        assert session.connector.open_count == 0
    with (tmp_path / "file").open("rb") as file:
        while piece := file.read(len(PATTERN)):
            assert piece == PATTERN[: len(piece)]


@direct_ways
async def test_closing_the_session_during_a_batch_waits_for_the_worker(
    way: str, way_of: Choose, tmp_path: Path
) -> None:
    """The save fails with SessionClosedError; the file holds content only."""
    _, _, tls = way_of(way)
    async with server_of(_floods, tls) as server:
        session = session_of(tls)
        reply = await session.get(server.url())
        task = asyncio.create_task(reply.save(tmp_path / "file"))
        await asyncio.sleep(0.03)
        await session.close()
        with pytest.raises(SessionClosedError):
            await task
    with (tmp_path / "file").open("rb") as file:
        while piece := file.read(len(PATTERN)):
            assert piece == PATTERN[: len(piece)]


@pytest.mark.parametrize("way", ["recv-into", "tls", "chunked"])
async def test_a_slow_disk_is_not_an_idle_server(
    way: str, way_of: Choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the worker writes nobody receives, and the server is not blamed for that."""
    framing, coded, tls = way_of(way)
    write_all = saving.write_all
    main = threading.get_ident()

    def slow(fd: int, data: bytes | memoryview) -> None:
        if threading.get_ident() != main:
            time.sleep(0.03)
        write_all(fd, data)

    monkeypatch.setattr(saving, "write_all", slow)
    content = CONTENT[: 4 * MIB]
    timeout = Timeout(idle_read=0.02)
    script = reply_with(reply_of(content, framing, coded))
    async with server_of(script, tls) as server, session_of(tls, timeout) as session:
        reply = await session.get(server.url())
        assert await reply.save(tmp_path / "file") == len(content)
    assert (tmp_path / "file").read_bytes() == content


@direct_ways
async def test_an_idle_server_is_told_behind_a_batch(way: str, way_of: Choose, tmp_path: Path) -> None:
    """The clock that stood still during the batch runs again."""
    _, _, tls = way_of(way)

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=CONTENT)[:-1])
        await conn.read_eof()

    async with server_of(script, tls) as server, session_of(tls, Timeout(idle_read=0.1)) as session:
        reply = await session.get(server.url())
        with pytest.raises(IdleReadTimeoutError):
            await reply.save(tmp_path / "file")
        assert session.connector.open_count == 0
    assert (tmp_path / "file").read_bytes() == CONTENT[:-1]


async def test_a_loop_without_workers_is_told(tmp_path: Path) -> None:
    """Its executor was shut down: RuntimeError, and nothing stays held."""
    await asyncio.get_running_loop().shutdown_default_executor()
    async with raw_server(reply_with(response(body=CONTENT))) as server, ClientSession() as session:
        reply = await session.get(server.url())
        with pytest.raises(RuntimeError):
            await reply.save(tmp_path / "file")
        assert session.connector.open_count == 0


# The movers: what each does, a step at a time.


@pytest.fixture(params=[SplicingMover, CopyingMover])
def mover_class(request: pytest.FixtureRequest) -> Any:
    """Either mover."""
    return request.param


@contextlib.contextmanager
def moving(mover_class: Any, path: Path) -> Iterator[tuple[Mover, socket.socket]]:
    """A mover to *path*, and the peer of its channel."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    channel = Channel(asyncio.get_running_loop(), ours)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with contextlib.closing(mover_class(channel, fd)) as mover:
            yield mover, theirs
    finally:
        channel.close()
        theirs.close()
        os.close(fd)


async def test_a_step_moves_what_is_there_and_no_more_than_the_limit(mover_class: Any, tmp_path: Path) -> None:
    """A number, None when the socket is dry, 0 at its end."""
    with moving(mover_class, tmp_path / "file") as (mover, peer):
        assert mover.step(100) is None
        peer.sendall(b"0123456789")
        assert mover.step(4) == 4
        assert mover.step(100) == 6
        assert mover.step(100) is None
        peer.shutdown(socket.SHUT_WR)
        assert [mover.step(100), mover.step(100)] == [0, 0]
    assert (tmp_path / "file").read_bytes() == b"0123456789"


async def test_the_fault_of_the_socket_is_told_from_that_of_the_file(mover_class: Any, tmp_path: Path) -> None:
    """SocketFailedError for the one, OSError for the other."""
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    theirs = listener.accept()[0]
    ours.setblocking(False)
    channel = Channel(asyncio.get_running_loop(), ours)
    with listener, contextlib.closing(mover_class(channel, os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT))) as m:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        with pytest.raises(SocketFailedError) as caught:
            m.step(100)
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        os.close(m._fd)
    channel.close()
    with moving(mover_class, tmp_path / "file") as (mover, peer), file_size_limit(0):
        peer.sendall(b"x")
        with pytest.raises(OSError, match="too large"):
            mover.step(100)


async def test_the_cheapest_mover_that_fits_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """splice for a plain socket and a file that is not appended to; else, and where there is no pipe, a copy."""
    ours, theirs = socket.socketpair()
    channel = Channel(asyncio.get_running_loop(), ours)
    path = tmp_path / "file"
    with theirs, path.open("wb") as plain, path.open("ab") as appending:

        def kind(fd: int) -> type[Mover]:
            with contextlib.closing(mover_for(channel, fd)) as mover:
                return type(mover)

        assert kind(plain.fileno()) is SplicingMover
        assert kind(appending.fileno()) is CopyingMover
        with monkeypatch.context() as patch:
            patch.setattr(os, "pipe2", _no_more_descriptors)
            assert kind(plain.fileno()) is CopyingMover
        with monkeypatch.context() as patch:
            patch.setattr(fcntl, "fcntl", _no_larger_pipes(fcntl.fcntl))
            assert kind(plain.fileno()) is SplicingMover
        with monkeypatch.context() as patch:
            patch.setattr(type(channel), "is_tls", True)
            assert kind(plain.fileno()) is CopyingMover
        with monkeypatch.context() as patch:
            patch.delattr(os, "splice")
            assert kind(plain.fileno()) is CopyingMover
    channel.close()


def _no_more_descriptors(flags: int) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _no_larger_pipes(real: Callable[..., int]) -> Callable[..., int]:
    def refuse(fd: int, command: int, *args: int) -> int:
        if command == fcntl.F_SETPIPE_SZ:
            raise PermissionError(errno.EPERM, "beyond the limit of a user")
        return real(fd, command, *args)

    return refuse


async def test_a_small_pipe_moves_it_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 KiB at a time, when the system gives no larger ones."""
    monkeypatch.setattr(fcntl, "fcntl", _no_larger_pipes(fcntl.fcntl))
    async with raw_server(reply_with(response(body=CONTENT))) as server, ClientSession() as session:
        before = len(open_fds())
        reply = await session.get(server.url())
        assert await reply.save(tmp_path / "file") == len(CONTENT)
        assert len(open_fds()) <= before + 2
    assert (tmp_path / "file").read_bytes() == CONTENT
