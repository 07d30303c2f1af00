"""The client against a real nginx: plain, TLS 1.2 and 1.3, a Unix socket; on either loop."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fetchd.client import (
    BaseConnector,
    BasicAuth,
    ClientResponseError,
    ClientSession,
    TCPConnector,
    Timeout,
    TotalTimeoutError,
    UnixConnector,
    client_context,
)
from tests.support.nginx import Nginx
from tests.support.open_fds import no_new_fds

SMALL = os.urandom(1000)
TEXT = b"compressible " * 50_000
LARGE = os.urandom(1 << 20) * 20

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(autouse=True, scope="module")
def _files(nginx: Nginx) -> None:
    (nginx.root / "small").write_bytes(SMALL)
    (nginx.root / "text.txt").write_bytes(TEXT)
    (nginx.root / "large").write_bytes(LARGE)
    (nginx.root / "empty").touch()


@pytest.fixture(autouse=True)
def _empty_log(nginx: Nginx) -> None:
    nginx.clear_access_log()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on a loop of its own, and sees that no descriptor stays open."""

    async def guarded(scenario: Coroutine[Any, Any, None]) -> None:
        async with no_new_fds():
            await scenario

    def runner(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as loop:
            loop.run(guarded(scenario))

    return runner


class Way:
    """A way in to nginx: where it is, and a connector for it."""

    def __init__(self, nginx: Nginx, name: str) -> None:
        self._nginx = nginx
        self._name = name

    def url(self, path: str) -> str:
        """The URL of *path* by this way."""
        if self._name == "plain":
            return self._nginx.url(path)
        return self._nginx.unix_url(path) if self._name == "unix" else self._nginx.tls_url(path, version=self._name)

    def session(self, **options: Any) -> ClientSession:
        """A session for this way; *options* are the connector's."""
        connector: BaseConnector
        if self._name == "unix":
            connector = UnixConnector(str(self._nginx.unix_path), **options)
        elif self._name == "plain":
            connector = TCPConnector(**options)
        else:
            connector = TCPConnector(ssl_context=client_context(self._nginx.authority), **options)
        return ClientSession(connector=connector)


@pytest.fixture(params=["plain", "1.2", "1.3", "unix"])
def way(nginx: Nginx, request: pytest.FixtureRequest) -> Way:
    """Each way in."""
    return Way(nginx, request.param)


@pytest.fixture
def plain(nginx: Nginx) -> Way:
    """The plain way in, for what does not depend on it."""
    return Way(nginx, "plain")


async def get(session: ClientSession, url: str, **options: Any) -> bytes:
    """Ask and read."""
    async with session.get(url, **options) as reply:
        assert reply.status in (200, 206), reply
        return await reply.read()


# Downloads.


def test_files_of_each_size_come_whole_by_one_connection(way: Way, nginx: Nginx, run: Run) -> None:
    """Nothing, a little, much; one after the other."""

    async def scenario() -> None:
        async with way.session() as session:
            for path, content in (("/empty", b""), ("/small", SMALL), ("/large", LARGE), ("/text.txt", TEXT)):
                assert await get(session, way.url(path)) == content
            assert session.connector.idle_count == 1

    run(scenario())
    assert [access.nth for access in nginx.access_log(at_least=4)] == [1, 2, 3, 4]


def test_files_are_saved_as_they_are(way: Way, run: Run, tmp_path: Path) -> None:
    """By splice where the socket is plain, by copy under TLS."""

    async def scenario() -> None:
        async with way.session() as session:
            for path, content in (("/empty", b""), ("/small", SMALL), ("/large", LARGE)):
                async with session.get(way.url(path)) as reply:
                    assert await reply.save(tmp_path / "file") == len(content)
                assert _digest(tmp_path / "file") == hashlib.sha256(content).digest()
            assert session.connector.idle_count == 1

    run(scenario())


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_second_connection_resumes_the_session_of_the_first(version: str, nginx: Nginx, run: Run) -> None:
    """nginx says so itself, by ticket in either version of TLS."""

    async def scenario() -> None:
        async with Way(nginx, version).session(force_close=True) as session:
            for _ in range(3):
                assert await get(session, nginx.tls_url("/small", version=version)) == SMALL

    run(scenario())
    assert [access.resumed for access in nginx.access_log(at_least=3)] == [".", "r", "r"]


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def test_many_at_once_share_few_connections(way: Way, nginx: Nginx, run: Run, tmp_path: Path) -> None:
    """300 requests, at most 8 sockets, everyone gets what was asked for."""
    own = f"?{tmp_path.name}"  # a line of the test before may come late into the log

    async def scenario() -> None:
        async with way.session(limit=8) as session:
            bodies = await asyncio.gather(
                *(get(session, way.url(("/small" if number % 3 else "/text.txt") + own)) for number in range(300))
            )
            assert all(body == (SMALL if number % 3 else TEXT) for number, body in enumerate(bodies))

    run(scenario())
    log = [access for access in nginx.access_log(at_least=300) if access.target.endswith(own)]
    assert len({access.connection for access in log}) <= 8


@pytest.mark.parametrize(("folder", "served"), [("few", 3), ("close", 1)])
def test_a_server_that_ends_connections_is_followed(way: Way, nginx: Nginx, run: Run, folder: str, served: int) -> None:
    """``Connection: close`` after so many requests: no request fails of it, in turn or side by side."""

    async def scenario() -> None:
        async with way.session(limit=4) as session:
            for _ in range(10):
                assert await get(session, way.url(f"/{folder}/small")) == SMALL
            await asyncio.gather(*(get(session, way.url(f"/{folder}/small")) for _ in range(40)))

    run(scenario())
    per_connection = Counter(access.connection for access in nginx.access_log(at_least=50))
    assert max(per_connection.values()) == served


def test_tls_is_spoken_in_the_version_of_the_server(nginx: Nginx, run: Run) -> None:
    """Each of the two that are still in use."""

    async def scenario() -> None:
        for version in ("1.2", "1.3"):
            way = Way(nginx, version)
            async with way.session() as session:
                assert await get(session, way.url("/small")) == SMALL

    run(scenario())
    assert [access.tls for access in nginx.access_log(at_least=2)] == ["TLSv1.2", "TLSv1.3"]


def test_statuses_without_content_leave_the_connection_fit(way: Way, nginx: Nginx, run: Run) -> None:
    """HEAD, 204 and 304 announce lengths that never come; errors have content that may be left unread."""

    async def scenario() -> None:
        async with way.session() as session:
            async with session.head(way.url("/large")) as reply:
                assert (reply.content_length, await reply.read()) == (len(LARGE), b"")
                etag = reply.headers["ETag"]
            async with session.get(way.url("/status/204")) as reply:
                assert (reply.status, await reply.read()) == (204, b"")
            async with session.get(way.url("/large"), headers={"If-None-Match": etag}) as reply:
                assert (reply.status, await reply.read()) == (304, b"")
            for status in (404, 429, 503):  # behind a 500 nginx closes
                async with session.get(way.url(f"/status/{status}")) as reply:
                    assert reply.status == status
            assert await get(session, way.url("/small")) == SMALL

    run(scenario())
    assert len({access.connection for access in nginx.access_log(at_least=7)}) == 1


def test_a_download_goes_on_where_it_stopped(way: Way, run: Run, tmp_path: Path) -> None:
    """Range, If-Range, and ``save`` with an offset (RFC 9110 section 14)."""
    path = tmp_path / "file"
    path.write_bytes(LARGE[:7_000_001] + b"to be cut off")

    async def scenario() -> None:
        async with way.session() as session:
            async with session.head(way.url("/large")) as reply:
                etag = reply.headers["ETag"]
            fields = {"Range": "bytes=7000001-", "If-Range": etag}
            async with session.get(way.url("/large"), headers=fields) as reply:
                assert reply.status == 206
                assert reply.headers["Content-Range"] == f"bytes 7000001-{len(LARGE) - 1}/{len(LARGE)}"
                assert await reply.save(path, offset=7_000_001) == len(LARGE) - 7_000_001
            async with session.get(way.url("/large"), headers={"Range": "bytes=99999999-"}) as reply:
                assert reply.status == 416

    run(scenario())
    assert _digest(path) == hashlib.sha256(LARGE).digest()


def test_what_is_compressed_on_the_way_is_decoded(way: Way, run: Run, tmp_path: Path) -> None:
    """Chunked and gzipped; as sent when that is wanted."""

    async def scenario() -> None:
        async with way.session() as session:
            assert await get(session, way.url("/gzip/text.txt")) == TEXT
            raw = await get(session, way.url("/gzip/text.txt"), auto_decompress=False)
            assert len(raw) < len(TEXT) / 10
            assert gzip.decompress(raw) == TEXT
            async with session.get(way.url("/gzip/text.txt")) as reply:
                assert await reply.save(tmp_path / "file") == len(TEXT)
            pieces = []
            async with session.get(way.url("/gzip/large")) as reply:
                async for piece in reply.content.iter_chunked(100_000):
                    pieces.append(piece)
            assert b"".join(pieces) == LARGE
            assert session.connector.idle_count == 1

    run(scenario())
    assert (tmp_path / "file").read_bytes() == TEXT


def test_chunks_of_the_wire_are_seen_where_nothing_is_decoded(plain: Way, run: Run) -> None:
    """As nginx has cut them; decoded, the content has no ends of its own."""

    async def scenario() -> None:
        async with plain.session() as session:
            async with session.get(plain.url("/gzip/text.txt"), auto_decompress=False) as reply:
                pairs = [pair async for pair in reply.content.iter_chunks()]
                assert gzip.decompress(b"".join(data for data, _ in pairs)) == TEXT
                assert pairs[-1][1]
                assert reply.content.total_bytes == sum(len(data) for data, _ in pairs)
            async with session.get(plain.url("/gzip/text.txt")) as reply:
                assert reply.content.length is None
                pairs = [pair async for pair in reply.content.iter_chunks()]
                assert b"".join(data for data, _ in pairs) == TEXT
                assert not any(is_end for _, is_end in pairs)

    run(scenario())


@pytest.mark.parametrize(
    ("asked", "first", "last"), [("0-0", 0, 0), ("1000-70000", 1000, 70_000), ("-5", len(LARGE) - 5, len(LARGE) - 1)]
)
def test_a_part_is_what_was_asked_for(plain: Way, run: Run, asked: str, first: int, last: int) -> None:
    """From here to there, and of the end."""

    async def scenario() -> None:
        async with (
            plain.session() as session,
            session.get(plain.url("/large"), headers={"Range": f"bytes={asked}"}) as reply,
        ):
            assert reply.status == 206
            assert reply.headers["Content-Range"] == f"bytes {first}-{last}/{len(LARGE)}"
            assert reply.content.length == last + 1 - first
            assert await reply.read() == LARGE[first : last + 1]

    run(scenario())


def test_several_parts_and_a_part_of_what_has_changed(plain: Way, run: Run) -> None:
    """The first come as they are, multipart; the second is the whole (RFC 9110 section 13.1.5)."""

    async def scenario() -> None:
        async with plain.session() as session:
            async with session.get(plain.url("/small"), headers={"Range": "bytes=0-9,20-29"}) as reply:
                assert (reply.status, reply.content_type) == (206, "multipart/byteranges")
                content = await reply.read()
                assert SMALL[:10] in content
                assert SMALL[20:30] in content
            fields = {"Range": "bytes=0-9", "If-Range": '"another"'}
            async with session.get(plain.url("/small"), headers=fields) as reply:
                assert (reply.status, await reply.read()) == (200, SMALL)
            assert session.connector.idle_count == 1

    run(scenario())


def test_redirections_are_followed(way: Way, run: Run) -> None:
    """nginx writes absolute ones."""

    async def scenario() -> None:
        async with way.session() as session, session.get(way.url("/moved/small")) as reply:
            assert await reply.read() == SMALL
            assert [hop.status for hop in reply.history] == [302]
            assert reply.url.path == "/small"

    if way._name != "unix":  # there nginx names a host and port that lead elsewhere
        run(scenario())


def test_basic_credentials_open_what_is_closed(way: Way, run: Run) -> None:
    """By ``auth=``; without or with wrong ones it stays closed."""

    async def scenario() -> None:
        async with way.session() as session:
            for auth, status in ((None, 401), (BasicAuth("me", "wrong"), 401), (BasicAuth("me", "secret"), 200)):
                async with session.get(way.url("/basic/small"), auth=auth) as reply:
                    assert reply.status == status
                    assert (await reply.read() == SMALL) == (status == 200)

    run(scenario())


# Uploads.


async def _pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(LARGE), 300_000):
        yield LARGE[start : start + 300_000]


@pytest.mark.parametrize("kind", ["octets", "small", "file", "generator"])
def test_uploads_arrive_as_they_were(way: Way, nginx: Nginx, run: Run, kind: str, tmp_path: Path) -> None:
    """By length and chunked; the connection serves the next one."""
    content = SMALL if kind == "small" else LARGE
    (tmp_path / "source").write_bytes(content)
    name = f"{tmp_path.name}-{kind}"  # its own: a line of the test before may come late into the log

    async def scenario() -> None:
        async with way.session() as session:
            for number in range(2):
                with (tmp_path / "source").open("rb") as file:
                    data: Any = {"file": file, "generator": _pieces()}.get(kind, content)
                    async with session.put(way.url(f"/dav/up/{name}{number}"), data=data) as reply:
                        assert reply.status in (201, 204)
            async with session.delete(way.url(f"/dav/up/{name}0")) as reply:
                assert reply.status == 204
            assert session.connector.idle_count == 1

    run(scenario())
    assert not (nginx.root / "up" / f"{name}0").exists()
    assert _digest(nginx.root / "up" / f"{name}1") == hashlib.sha256(content).digest()
    log = [access for access in nginx.access_log(at_least=3) if name in access.target]
    assert len({access.connection for access in log}) == 1


def test_content_is_sent_when_nginx_wants_it(way: Way, nginx: Nginx, run: Run, tmp_path: Path) -> None:
    """100 before a content that it stores, none before one that it refuses; the refusal is returned."""
    (tmp_path / "source").write_bytes(LARGE)

    async def scenario() -> None:
        async with way.session() as session:
            with (tmp_path / "source").open("rb") as file:
                async with session.put(way.url("/dav/asked"), data=file, expect100=True) as reply:
                    assert reply.status in (201, 204)
                    assert [status for status, _ in reply.interim] == [100]
                file.seek(0)
                async with session.put(way.url("/small"), data=file, expect100=True) as reply:
                    assert (reply.status, reply.interim) == (405, ())
            assert await get(session, way.url("/small")) == SMALL

    run(scenario())
    assert _digest(nginx.root / "asked") == hashlib.sha256(LARGE).digest()


@pytest.mark.parametrize("content", [TEXT, SMALL], ids=["large", "small"])
def test_what_is_compressed_for_the_way_arrives_so(way: Way, nginx: Nginx, run: Run, content: bytes) -> None:
    """nginx stores what it gets."""

    async def scenario() -> None:
        async with way.session() as session:
            async with session.put(way.url("/dav/packed"), data=content, compress="gzip") as reply:
                assert reply.status in (201, 204)
            async with session.put(way.url("/dav/plain"), data=content, chunked=True) as reply:
                assert reply.status in (201, 204)
            assert session.connector.idle_count == 1

    run(scenario())
    assert gzip.decompress((nginx.root / "packed").read_bytes()) == content
    assert (nginx.root / "plain").read_bytes() == content


@pytest.mark.parametrize("source", ["/large", "/gzip/large"])
def test_a_download_is_relayed_into_an_upload(way: Way, nginx: Nginx, run: Run, source: str) -> None:
    """By length, or decoded and chunked."""

    async def scenario() -> None:
        async with way.session() as session:
            got = await session.get(way.url(source))
            reply = await session.put(way.url("/dav/relayed"), data=got.content)
            assert reply.status in (201, 204)
            assert await reply.read() == b""

    run(scenario())
    assert _digest(nginx.root / "relayed") == hashlib.sha256(LARGE).digest()


def test_a_refused_upload_is_told_and_harms_no_other(way: Way, run: Run) -> None:
    """405 for a PUT where there are only files: nginx answers before it has read the content."""

    async def scenario() -> None:
        async with way.session() as session:
            for _ in range(5):
                async with session.put(way.url("/small"), data=LARGE) as reply:
                    assert reply.status == 405
                    assert b"405" in await reply.read()
                assert await get(session, way.url("/small")) == SMALL

    run(scenario())


# What is broken off.


def test_requests_given_up_in_the_middle_harm_no_other(way: Way, run: Run, tmp_path: Path) -> None:
    """Cancelled while waiting, reading and saving: the next one gets its own answer by few connections."""

    async def read_some(session: ClientSession, path: str) -> None:
        async with session.get(way.url(path)) as reply:
            await reply.content.readexactly(5_000_000)
            await reply.save(tmp_path / "file") if path == "/never" else await reply.read()

    async def scenario() -> None:
        async with way.session(limit=4) as session:
            for delay in (0, 0.0005, 0.001, 0.002, 0.004, 0.008):
                tasks = [asyncio.create_task(read_some(session, "/large")) for _ in range(8)]
                await asyncio.sleep(delay)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                assert session.connector.open_count == session.connector.idle_count
                assert await get(session, way.url("/small")) == SMALL

    run(scenario())


def test_a_download_that_takes_too_long_is_ended(way: Way, run: Run, tmp_path: Path) -> None:
    """256 KiB a second: the total bound strikes while saving, an idle bound does not."""

    async def scenario() -> None:
        async with way.session() as session:
            reply = await session.get(way.url("/slow/large"), timeout=Timeout(total=0.3))
            with pytest.raises(TotalTimeoutError):
                await reply.save(tmp_path / "file")
            assert session.connector.open_count == 0

    run(scenario())
    saved = (tmp_path / "file").read_bytes()
    assert saved == LARGE[: len(saved)]


def test_a_slow_download_is_whole_where_no_pause_is_too_long(way: Way, nginx: Nginx, run: Run, tmp_path: Path) -> None:
    """256 KiB a second, read, streamed and saved side by side; idle bounds count pauses and not the whole."""
    content = LARGE[:300_000]
    (nginx.root / "slower").write_bytes(content)
    timeout = Timeout(first_byte=10, idle_read=10)

    async def stream(session: ClientSession) -> bytes:
        async with session.get(way.url("/slow/slower"), timeout=timeout) as reply:
            return b"".join([piece async for piece in reply.content.iter_any()])

    async def save(session: ClientSession) -> bytes:
        async with session.get(way.url("/slow/slower"), timeout=timeout) as reply:
            await reply.save(tmp_path / "file")
        return (tmp_path / "file").read_bytes()

    async def scenario() -> None:
        async with way.session() as session:
            read = get(session, way.url("/slow/slower"), timeout=timeout)
            assert set(await asyncio.gather(read, stream(session), save(session))) == {content}
            assert session.connector.idle_count == 3

    run(scenario())


def test_errors_carry_the_fields_of_the_response(plain: Way, run: Run) -> None:
    """Retry-After of 503 is for whoever retries."""

    async def scenario() -> None:
        async with plain.session() as session:
            with pytest.raises(ClientResponseError) as caught:
                await session.get(plain.url("/status/503"), raise_for_status=True)
            assert caught.value.headers is not None
            assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "1")

    run(scenario())
