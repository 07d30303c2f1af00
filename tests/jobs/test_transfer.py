"""One attempt at one item: what each answer means, end to end, with real sockets and files."""

from __future__ import annotations

import asyncio
import email.utils
import errno
import gzip
import itertools
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import ClientSession, Timeout
from fetchd.jobs import transfer as transfer_module
from fetchd.jobs.attempts import AttemptFailedError, Fetched
from fetchd.jobs.checks import Checks
from fetchd.jobs.exceptions import CollisionError, LocalFailureError, PolicyError
from fetchd.jobs.failures import Failure
from fetchd.jobs.items import Item
from fetchd.jobs.resume import ResumePoint
from fetchd.jobs.sinks import Folder
from fetchd.jobs.transfer import SMALL_BODY_BYTES, Transfer
from tests.support.local_failures import largest_file
from tests.support.raw_server import PeerLeft, RawConnection, RawServer, Request, response
from tests.support.sites import PageScript, Site, broken_off

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

SMALL = b"0123456789" * 100
LARGE = random.Random(7).randbytes(2_000_000)
HALF = len(LARGE) // 2
MIDDLE = LARGE[:200_000]
MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"
MODIFIED_S = 1_767_225_600.0
LATER = "Fri, 02 Jan 2026 00:00:00 GMT"
ETAG = ("ETag", '"v1"')
PATH = "h/f"
OnePage = bytes | PageScript


class Desk:
    """Attempts at ``/f`` of a site, one after the other, and what they left.

    Attributes:
        item: What is fetched.
        notes: What the ledger was told of it, in order: the resume point, and the octets of the ``.part`` file then.
        server: Where from.
    """

    def __init__(self, server: RawServer, session: ClientSession, folder: Folder, timeout: float | None) -> None:
        self.item = Item(server.url("/f"), 1, host=f"127.0.0.1:{server.port}", path=PATH)
        self.notes: list[tuple[ResumePoint | None, int | None]] = []
        self.server = server
        self.folder = folder
        self.transfer = Transfer(session, folder, self.note_partial, timeout, Checks())

    async def note_partial(self, item: Item) -> None:
        """Be the ledger."""
        await asyncio.sleep(0)
        self.notes.append((item.resume, self.folder.part_size(PATH)))

    async def attempt(self) -> Fetched:
        """Make an attempt."""
        return await self.transfer.attempt(self.item)

    async def fail(self) -> Failure:
        """Make an attempt that must fail."""
        with pytest.raises(AttemptFailedError) as caught:
            await self.attempt()
        return caught.value.failure

    @property
    def part(self) -> bytes | None:
        """Content of the ``.part`` file, None when there is none."""
        path = self.folder.root / f"{PATH}.part"
        return path.read_bytes() if path.exists() else None

    @part.setter
    def part(self, content: bytes) -> None:
        path = self.folder.root / f"{PATH}.part"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    def content(self, fetched: Fetched) -> bytes | None:
        """What the file would hold."""
        return self.part if fetched.data is None else fetched.data

    @property
    def asked(self) -> list[tuple[str | None, str | None]]:
        """Range and If-Range of each request."""
        return [(r.fields.get("Range"), r.fields.get("If-Range")) for r in self.server.requests]


@asynccontextmanager
async def desk(root: Path, *pages: OnePage, bound: float | None = None, **session: Any) -> AsyncIterator[Desk]:
    """A desk in *root* at a site whose n-th answer is the n-th of *pages*; *bound* is that of one attempt."""
    async with Site({"/f": pages}, default=response(200, b"elsewhere")).serve() as server:
        session = {"headers": {"Accept-Encoding": "identity"}, "auto_decompress": False, **session}
        async with ClientSession(**session) as client:
            with Folder(root) as folder:
                yield Desk(server, client, folder, bound)


def slowly(reply: bytes, *, step: int = 70_000, ends: bool = False) -> PageScript:
    """A page that comes in pieces, so that it is not whole when its head is; *ends*: the connection with it."""

    async def script(conn: RawConnection, _: Request) -> None:
        await conn.send_slowly(reply, step=step)
        if ends:
            await conn.close()
            raise PeerLeft

    return script


def cut(reply: bytes, at: int, *, reset: bool = False) -> PageScript:
    """A page whose content ends after *at* octets."""
    head = reply.index(b"\r\n\r\n") + 4
    return broken_off(reply[: head + at], reset=reset)


def partial(start: int, *fields: tuple[str, str], body: bytes = LARGE, extent: str | None = None) -> bytes:
    """A 206 with the octets of *body* from *start* on; *extent* replaces its Content-Range."""
    extent = f"bytes {start}-{len(body) - 1}/{len(body)}" if extent is None else extent
    named = [("Content-Range", extent)] if extent else []
    return response(206, body[start:], [*named, *(fields or (ETAG,))], reason="Partial Content")


# The whole


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("body", [b"", b"x", SMALL], ids=["0", "1", "1000"])
async def test_a_small_body_stays_in_memory(tmp_path: Path, framing: str, body: bytes) -> None:
    """It is written later, with others: no file is touched, the ledger not asked."""
    async with desk(tmp_path, response(200, body, [ETAG], framing=framing)) as at_work:
        fetched = await at_work.attempt()
        assert (fetched.data, fetched.size, fetched.status) == (body, len(body), 200)
        assert at_work.transfer.received == len(body)
        assert (fetched.final_url, fetched.modified) == (None, None)
        assert (at_work.part, at_work.notes, at_work.item.resume) == (None, [], None)
        assert at_work.asked == [(None, None)]


@pytest.mark.parametrize("body", [b"", b"x", SMALL], ids=["0", "1", "1000"])
async def test_a_body_that_ends_with_its_connection_is_taken(tmp_path: Path, body: bytes) -> None:
    """RFC 9112 section 6.3: how long it is, is known only then; it may be in memory or in the ``.part`` file."""
    async with desk(tmp_path, broken_off(response(200, body, framing="eof"))) as at_work:
        fetched = await at_work.attempt()
        assert (at_work.content(fetched), fetched.size, at_work.notes) == (body, len(body), [])


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
@pytest.mark.parametrize("body", [LARGE, MIDDLE], ids=["2 MB", "200 kB"])
async def test_a_large_body_goes_to_its_part_file(tmp_path: Path, framing: str, body: bytes) -> None:
    """With what is needed to go on noted first, while nothing is written; below 1 MiB that is not worth it."""
    reply = response(200, body, [ETAG], framing=framing)
    async with desk(tmp_path, slowly(reply, ends=framing == "eof")) as at_work:
        fetched = await at_work.attempt()
        assert fetched.data is None
        assert (fetched.size, at_work.transfer.received, at_work.part) == (len(body), len(body), body)
        total = len(body) if framing == "length" else None
        pays = total is None or total > transfer_module.PARTIAL_ROW_BYTES
        assert at_work.notes == ([(ResumePoint(0, '"v1"', total, at_work.item.url), 0)] if pays else [])


async def test_a_known_length_decides_what_is_small(tmp_path: Path) -> None:
    """Up to 64 KiB in memory, beyond that to the file, when it does not come at once."""
    for size, in_memory in [(SMALL_BODY_BYTES, True), (SMALL_BODY_BYTES + 1, False)]:
        async with desk(tmp_path / str(size), slowly(response(200, LARGE[:size]), step=9_000)) as at_work:
            fetched = await at_work.attempt()
            assert (fetched.data is not None) == in_memory
            assert at_work.content(fetched) == LARGE[:size]


async def test_a_body_that_comes_at_once_and_is_not_small_is_written_at_once(tmp_path: Path) -> None:
    """It needs no note of how to go on with it: nothing more is to come. Its time is set as well."""
    body = LARGE[: SMALL_BODY_BYTES + 1]
    reply = response(200, body, [ETAG, ("Last-Modified", MODIFIED)])
    async with desk(tmp_path, reply) as at_work:
        await at_work.attempt()  # the connection that is made here expects more from now on
        fetched = await at_work.attempt()
        assert (fetched.data, fetched.size, at_work.part, at_work.notes) == (None, len(body), body, [])
        part = next(tmp_path.rglob("*.part"))
        assert part.stat().st_mtime == fetched.modified == MODIFIED_S


async def test_nothing_is_written_before_the_ledger_knows_how_to_go_on(tmp_path: Path) -> None:
    """A kill at any moment then finds octets only with the validator that is theirs."""
    asked: asyncio.Event = asyncio.Event()
    known: asyncio.Event = asyncio.Event()

    class Slow(Desk):
        async def note_partial(self, item: Item) -> None:
            asked.set()
            await known.wait()
            await super().note_partial(item)

    async with desk(tmp_path, response(200, LARGE, [ETAG])) as at_work:
        slow = Slow(at_work.server, at_work.transfer._session, at_work.folder, None)
        attempt = asyncio.create_task(slow.attempt())
        await asked.wait()
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert slow.part == b""
        known.set()
        assert slow.content(await attempt) == LARGE
    assert slow.notes == [(ResumePoint(0, '"v1"', len(LARGE), slow.item.url), 0)]


@pytest.mark.parametrize(
    ("status", "body"), [(200, SMALL), (201, SMALL), (203, SMALL), (204, b""), (205, b""), (299, SMALL)]
)
async def test_any_success_is_taken(tmp_path: Path, status: int, body: bytes) -> None:
    """A 204 is an empty file (RFC 9110 section 15.3)."""
    reply = response(status, body) if status != 204 else b"HTTP/1.1 204 No Content\r\n\r\n"
    async with desk(tmp_path, reply) as at_work:
        fetched = await at_work.attempt()
        assert (fetched.data, fetched.status) == (body, status)


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
async def test_a_coded_answer_is_kept_as_it_was_sent(tmp_path: Path, body: bytes) -> None:
    """Identity was asked for; a server that codes all the same gets its octets on disk, and no resume."""
    coded = gzip.compress(body, compresslevel=1, mtime=0)
    reply = response(200, coded, [("Content-Encoding", "gzip"), ETAG])
    async with desk(tmp_path, slowly(reply)) as at_work:
        assert at_work.content(await at_work.attempt()) == coded
        assert at_work.notes == []
        assert at_work.server.requests[0].fields["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MODIFIED, MODIFIED_S),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", None),
        ("yesterday", None),
        ("", None),
    ],
)
async def test_the_time_of_modification_is_told_and_set(
    tmp_path: Path, body: bytes, value: str, expected: float | None
) -> None:
    """RFC 9110 section 8.8.2; nonsense leaves the time of writing."""
    async with desk(tmp_path, slowly(response(200, body, [("Last-Modified", value)]))) as at_work:
        fetched = await at_work.attempt()
        assert fetched.modified == expected
        if fetched.data is None:
            seen = (tmp_path / f"{PATH}.part").stat().st_mtime
            assert seen == expected if expected is not None else abs(seen - time.time()) < 60


async def test_redirections_are_followed_and_the_last_place_told(tmp_path: Path) -> None:
    """Without credentials; the path of the file stays that of the item."""
    async with desk(tmp_path, response(302, b"", [("Location", "/g?x=1")])) as at_work:
        at_work.item.url = at_work.server.url("/f").replace("//", "//me:secret@")
        fetched = await at_work.attempt()
        assert (fetched.data, fetched.final_url) == (b"elsewhere", at_work.server.url("/g?x=1"))


# Failures


@pytest.mark.parametrize(
    ("page", "failure_class", "status"),
    [
        (response(404, b"no", reason="Not Found"), "http-4xx", 404),
        (response(410, reason="Gone"), "http-4xx", 410),
        (response(412), "http-4xx", 412),
        (response(416), "http-4xx", 416),
        (response(429), "http-429", 429),
        (response(500), "http-5xx", 500),
        (response(503), "http-5xx", 503),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "protocol", 304),
        (response(300), "redirect", 300),
        (response(302), "redirect", 302),
        (response(302, b"", [("Location", "ftp://h/a")]), "redirect", None),
        (response(302, b"", [("Location", "/f")]), "redirect", None),
        (partial(0), "protocol", 206),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "protocol", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol", None),
        (broken_off(b""), "connect", None),
        (broken_off(b"", reset=True), "connect", None),
        (broken_off(b"HTTP/1.1 200 OK\r\n"), "truncated", None),
        (cut(response(200, SMALL), 500), "truncated", 200),
        (cut(response(200, SMALL, framing="chunked"), 500), "truncated", 200),
        (cut(response(200, LARGE), HALF), "truncated", 200),
        (cut(response(200, LARGE, framing="chunked"), HALF), "truncated", 200),
    ],
)
async def test_an_answer_that_is_no_body_is_a_failure_of_its_class(
    tmp_path: Path, page: OnePage, failure_class: str, status: int | None
) -> None:
    """With the status code where one came: it proves that the host answers. Nothing is left on disk."""
    async with desk(tmp_path, page) as at_work:
        failure = await at_work.fail()
        assert failure.failure_class == failure_class
        assert failure.status == status or (status is None and failure_class == "redirect")
        assert failure.message
        assert failure.retry_after is None
        assert (at_work.part, at_work.item.resume, at_work.notes) == (None, None, [])


@pytest.mark.parametrize("status", [429, 503, 500, 404])
async def test_retry_after_is_told_in_seconds(tmp_path: Path, status: int) -> None:
    """Given as seconds or as a date (RFC 9110 section 10.2.3); nonsense is none."""
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    replies = [response(status, b"", [("Retry-After", value)]) for value in ("7", date, "soon")]
    async with desk(tmp_path, *replies) as at_work:
        told = [(await at_work.fail()).retry_after for _ in replies]
    assert told[0] == 7.0
    assert told[1] is not None
    assert 90 < told[1] <= 100
    assert told[2] is None


async def test_a_failure_is_told_without_credentials(tmp_path: Path) -> None:
    """Whatever stands in the URL."""
    async with desk(tmp_path, broken_off(b"")) as at_work:
        at_work.item.url = at_work.item.url.replace("//", "//me:secret@")
        assert "secret" not in (await at_work.fail()).message


async def test_a_refused_connection_is_told(tmp_path: Path) -> None:
    """Nobody listens there."""
    async with desk(tmp_path) as at_work:
        await at_work.server.stop_listening()
        failure = await at_work.fail()
    assert (failure.failure_class, failure.status) == ("connect", None)


@contextmanager
def full_listener() -> Iterator[int]:
    """A port whose queue of connections is full: the system drops what comes, and nobody answers."""
    with socket.socket() as listener, contextmanager(_fillers)(listener):
        yield listener.getsockname()[1]


def _fillers(listener: socket.socket) -> Iterator[None]:
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    yield
    for filler in fillers:
        filler.close()


def silent_after(reply: bytes) -> PageScript:
    """A page that sends *reply* and then nothing more, until the client leaves."""

    async def script(conn: RawConnection, _: Request) -> None:
        await conn.send(reply)
        await conn.read_eof()
        raise PeerLeft

    return script


@pytest.mark.parametrize(
    ("page", "bounds", "failure_class", "status"),
    [
        (silent_after(b""), {"first_byte": 0.05}, "timeout-first-byte", None),
        (silent_after(b"HTTP/1.1 200 OK\r\n"), {"first_byte": 0.05}, "timeout-first-byte", None),
        (silent_after(response(200, SMALL)[:-500]), {"idle_read": 0.05}, "timeout-idle", 200),
        (silent_after(response(200, LARGE)[:-500]), {"idle_read": 0.05}, "timeout-idle", 200),
        (silent_after(response(200, LARGE, framing="chunked")[:-500]), {"idle_read": 0.05}, "timeout-idle", 200),
    ],
)
async def test_each_phase_has_its_timeout(
    tmp_path: Path, page: OnePage, bounds: Any, failure_class: str, status: int | None
) -> None:
    """Silence before the head, within it, and within the content."""
    async with desk(tmp_path, page, timeout=Timeout(**bounds)) as at_work:
        failure = await at_work.fail()
    assert (failure.failure_class, failure.status) == (failure_class, status)


async def test_a_host_that_swallows_packets_is_given_up_in_time(tmp_path: Path) -> None:
    """The connection is never made."""
    with full_listener() as port:
        async with desk(tmp_path, timeout=Timeout(connect=0.05)) as at_work:
            at_work.item.url = f"http://127.0.0.1:{port}/"
            failure = await at_work.fail()
    assert (failure.failure_class, failure.status) == ("timeout-connect", None)


@pytest.mark.parametrize(
    ("reply", "status"), [(b"", None), (response(200, SMALL)[:-500], 200), (response(200, LARGE, [ETAG])[:-500], 200)]
)
async def test_the_attempt_as_a_whole_has_a_bound(tmp_path: Path, reply: bytes, status: int | None) -> None:
    """As ``asyncio.wait_for`` around all of it; what came of a body that can be gone on with is kept."""
    async with desk(tmp_path, silent_after(reply), bound=0.2) as at_work:
        failure = await at_work.fail()
        assert (failure.failure_class, failure.status) == ("timeout-total", status)
        assert failure.message == "the attempt took longer than 0.2 s"
        if len(reply) > len(LARGE) // 2:
            assert at_work.item.resume == ResumePoint(len(LARGE) - 500, '"v1"', len(LARGE), at_work.item.url)


async def test_a_timeout_of_the_caller_is_not_the_attempts(tmp_path: Path) -> None:
    """Who cancels gets a cancellation."""
    async with desk(tmp_path, silent_after(b""), bound=60) as at_work:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(at_work.attempt(), 0.05)


async def test_a_timeout_error_of_the_system_is_not_the_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk may time out too (ETIMEDOUT of a network file system)."""

    async def slow_disk(self: Transfer, item: Item, seen_status: list[int]) -> Fetched:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(Transfer, "_attempt", slow_disk)
    async with desk(tmp_path, bound=60) as at_work:
        with pytest.raises(TimeoutError):
            await at_work.attempt()


@pytest.mark.parametrize(
    "page",
    [
        response(200, LARGE, [ETAG]),
        slowly(response(200, LARGE, [ETAG], framing="chunked")),
        response(200, SMALL),
    ],
    ids=["by length", "in chunks", "small"],
)
async def test_a_body_over_the_bound_is_refused(tmp_path: Path, page: OnePage) -> None:
    """By its length at once, else when it gets there. It is not gone on with: the rest would pass under the bound."""
    async with desk(tmp_path, page, max_body_bytes=999) as at_work:
        failure = await at_work.fail()
        assert failure.failure_class == "size"
        assert at_work.item.resume is None or at_work.item.resume.offset == 0


# Broken off, and gone on with


BY_ETAG = [ETAG, ("Last-Modified", MODIFIED), ("Date", LATER)]
BY_DATE = [("Last-Modified", MODIFIED), ("Date", LATER)]


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(("fields", "validator"), [(BY_ETAG, '"v1"'), (BY_DATE, MODIFIED)], ids=["by ETag", "by date"])
async def test_a_body_that_breaks_off_goes_on_where_it_was(
    tmp_path: Path, framing: str, fields: list[tuple[str, str]], validator: str
) -> None:
    """The next attempt asks for the rest, on condition that it is the same (RFC 9110 sections 13.1.5 and 14.2)."""
    first = cut(response(200, LARGE, fields, framing=framing), HALF)
    async with desk(tmp_path, first, slowly(partial(HALF, *fields))) as at_work:
        assert (await at_work.fail()).failure_class == "truncated"
        assert at_work.item.resume is not None
        offset = at_work.item.resume.offset
        assert 0 < offset <= HALF
        assert at_work.part == LARGE[:offset]
        at_work.server.requests.clear()
        if offset == HALF:
            fetched = await at_work.attempt()
            assert (fetched.size, at_work.transfer.received, fetched.status) == (len(LARGE), len(LARGE), 206)
            assert at_work.part == LARGE
        assert at_work.asked in ([(f"bytes={offset}-", validator)], [])


async def test_a_body_is_gone_on_with_as_often_as_it_breaks_off(tmp_path: Path) -> None:
    """Each attempt begins where the one before it ended; the file is the whole at last."""
    cuts = [0, 300_000, 300_001, 1_500_000, len(LARGE)]
    pages = [
        cut(partial(start) if start else response(200, LARGE, [ETAG]), end - start)
        for start, end in itertools.pairwise(cuts)
    ]
    async with desk(tmp_path, *pages) as at_work:
        for end in cuts[1:-1]:
            failure = await at_work.fail()
            assert failure.failure_class == "truncated"
            assert at_work.part == LARGE[:end]
        assert (await at_work.attempt()).size == len(LARGE)
        assert at_work.part == LARGE
        assert at_work.asked == [(None, None), *((f"bytes={start}-", '"v1"') for start in cuts[1:-1])]
        assert len(at_work.notes) == 1


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("ETag", 'W/"v1"')],
        [("ETag", 'W/"v1"'), *BY_DATE],
        [("Last-Modified", MODIFIED), ("Date", MODIFIED)],
        [("Last-Modified", MODIFIED)],
        [ETAG, ("Accept-Ranges", "none")],
        [ETAG, ("Content-Encoding", "gzip")],
    ],
)
async def test_a_body_without_identity_is_fetched_whole_again(tmp_path: Path, fields: list[tuple[str, str]]) -> None:
    """No validator, a weak one, a coded body: nothing of it is kept, and nothing is asked for in part."""
    reply = response(200, LARGE, fields)
    async with desk(tmp_path, cut(reply, HALF), reply) as at_work:
        assert (await at_work.fail()).failure_class == "truncated"
        assert (at_work.part, at_work.item.resume, at_work.notes) == (None, None, [])
        assert at_work.content(await at_work.attempt()) == LARGE
        assert at_work.asked == [(None, None)] * 2


async def test_a_reset_in_mid_body_keeps_what_came(tmp_path: Path) -> None:
    """As any other break."""
    first = cut(response(200, LARGE, [ETAG]), HALF, reset=True)
    async with desk(tmp_path, first) as at_work:
        failure = await at_work.fail()
        assert failure.status == 200
        assert failure.failure_class in ("truncated", "connect")
        point = at_work.item.resume
        assert point is not None
        assert at_work.part == LARGE[: point.offset]


WHOLE = slowly(response(200, LARGE, [ETAG]))
EXTENT = ("Content-Range", f"bytes {HALF}-{len(LARGE) - 1}/{len(LARGE)}")
MULTIPART = ("Content-Type", "multipart/byteranges; boundary=x")
ANEW: list[tuple[str | None, str | None]] = [(None, None)]  # one more request, for the whole
# What a server may answer to the request for the second half; all of these lead to the whole file within the attempt.
ANSWERS: list[tuple[str, Sequence[OnePage], list[tuple[str | None, str | None]]]] = [
    ("the rest", [slowly(partial(HALF))], []),
    ("the rest, of unknown whole length", [partial(HALF, extent=f"bytes {HALF}-{len(LARGE) - 1}/*")], []),
    ("the rest, in chunks", [response(206, LARGE[HALF:], [ETAG, EXTENT], framing="chunked")], []),
    ("the whole: it knows no ranges", [WHOLE], []),
    ("the whole of another one", [slowly(response(200, LARGE, [("ETag", '"v2"')]))], []),
    ("the whole, without a validator", [slowly(response(200, LARGE))], []),
    ("from another octet", [partial(HALF + 1), WHOLE], ANEW),
    ("from the beginning", [partial(0), WHOLE], ANEW),
    ("of another length", [partial(HALF, ETAG, body=LARGE + b"x"), WHOLE], ANEW),
    ("of another ETag", [partial(HALF, ("ETag", '"v2"')), WHOLE], ANEW),
    ("of a weak ETag", [partial(HALF, ("ETag", 'W/"v1"')), WHOLE], ANEW),
    ("of no ETag", [partial(HALF, ("X", "y")), WHOLE], ANEW),
    ("without Content-Range", [partial(HALF, ETAG, extent=""), WHOLE], ANEW),
    ("several ranges", [partial(HALF, ETAG, MULTIPART, extent=""), WHOLE], ANEW),
    ("coded", [partial(HALF, ETAG, ("Content-Encoding", "gzip")), WHOLE], ANEW),
    ("the representation changed", [response(412), WHOLE], ANEW),
    ("nothing is left, it says", [response(416, b"", [("Content-Range", f"bytes */{HALF}")]), WHOLE], ANEW),
    ("not satisfiable, without a length", [response(416), WHOLE], ANEW),
]  # fmt: skip


@pytest.mark.parametrize(("pages", "more"), [answer[1:] for answer in ANSWERS], ids=[answer[0] for answer in ANSWERS])
async def test_whatever_comes_for_the_rest_the_file_is_the_whole(
    tmp_path: Path, pages: Sequence[OnePage], more: list[tuple[str | None, str | None]]
) -> None:
    """Either joined with the octets it belongs to, or fetched whole at once, in the same attempt."""
    async with desk(tmp_path, *pages) as at_work:
        at_work.part = LARGE[:HALF]
        at_work.item.resume = ResumePoint(HALF, '"v1"', len(LARGE), at_work.item.url)
        fetched = await at_work.attempt()
        assert at_work.content(fetched) == LARGE
        assert fetched.size == len(LARGE)
        assert at_work.asked == [(f"bytes={HALF}-", '"v1"'), *more]


async def test_all_octets_being_there_already_is_learnt_from_416(tmp_path: Path) -> None:
    """With the same total: killed between the last octet and the record of it (RFC 9110 section 15.5.17)."""
    async with desk(tmp_path, response(416, b"", [("Content-Range", f"bytes */{len(LARGE)}"), ETAG])) as at_work:
        at_work.part = LARGE
        at_work.item.resume = ResumePoint(len(LARGE), '"v1"', len(LARGE), at_work.item.url)
        fetched = await at_work.attempt()
        assert (fetched.size, fetched.data, fetched.status) == (len(LARGE), None, 416)
        assert at_work.transfer.received == 0
        assert at_work.part == LARGE


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_a_failure_of_the_server_keeps_what_is_there(tmp_path: Path, status: int) -> None:
    """The next attempt goes on from it."""
    async with desk(tmp_path, response(status), slowly(partial(HALF))) as at_work:
        at_work.part = LARGE[:HALF]
        point = at_work.item.resume = ResumePoint(HALF, '"v1"', len(LARGE), at_work.item.url)
        assert (await at_work.fail()).status == status
        assert (at_work.item.resume, at_work.part) == (point, LARGE[:HALF])
        assert at_work.content(await at_work.attempt()) == LARGE


async def test_a_rest_that_is_less_than_asked_for_is_gone_on_with(tmp_path: Path) -> None:
    """A server may send a shorter range than it was asked for (RFC 9110 section 15.3.7)."""
    end = HALF + 1000
    some = response(206, LARGE[HALF:end], [ETAG, ("Content-Range", f"bytes {HALF}-{end - 1}/{len(LARGE)}")])
    async with desk(tmp_path, some, partial(end)) as at_work:
        at_work.part = LARGE[:HALF]
        at_work.item.resume = ResumePoint(HALF, '"v1"', len(LARGE), at_work.item.url)
        failure = await at_work.fail()
        assert (failure.failure_class, failure.status) == ("truncated", 206)
        assert at_work.content(await at_work.attempt()) == LARGE


async def test_a_part_file_that_has_become_shorter_is_fetched_anew(tmp_path: Path) -> None:
    """Somebody was at it; a hole of zeros must not come into the file."""
    async with desk(tmp_path, partial(HALF), slowly(response(200, LARGE))) as at_work:
        at_work.part = LARGE[: HALF - 1]
        at_work.item.resume = ResumePoint(HALF, '"v1"', len(LARGE), at_work.item.url)
        failure = await at_work.fail()
        assert failure.failure_class == "truncated"
        assert at_work.content(await at_work.attempt()) == LARGE
        assert at_work.asked[-1] == (None, None)


async def test_octets_beyond_the_point_are_cut_off(tmp_path: Path) -> None:
    """The point says what is good."""
    async with desk(tmp_path, partial(HALF)) as at_work:
        at_work.part = LARGE[:HALF] + b"junk" * 1_000_000
        at_work.item.resume = ResumePoint(HALF, '"v1"', len(LARGE), at_work.item.url)
        assert at_work.content(await at_work.attempt()) == LARGE


@pytest.mark.parametrize(
    "page",
    [
        response(200, SMALL, [("ETag", '"v2"')]),
        slowly(response(200, MIDDLE, [("ETag", '"v2"')])),
        slowly(response(200, LARGE, [("ETag", 'W/"v2"')])),
        slowly(response(200, LARGE, framing="chunked")),
    ],
    ids=["small", "below 1 MiB", "with a weak validator", "without one"],
)
@pytest.mark.parametrize("offset", [HALF, 0])
async def test_the_ledger_forgets_a_validator_before_other_octets_come(
    tmp_path: Path, page: OnePage, offset: int
) -> None:
    """Else a kill would leave the old validator beside octets of another representation, to be joined with it."""
    async with desk(tmp_path, page) as at_work:
        at_work.part = LARGE[:offset]
        at_work.item.resume = ResumePoint(offset, '"v1"', len(LARGE), at_work.item.url)
        fetched = await at_work.attempt()
        [(noted, octets)] = at_work.notes
        assert not octets
        assert noted is None or noted.validator == '"v2"'
        assert at_work.content(fetched) in (SMALL, MIDDLE, LARGE)


# This machine


async def test_a_disk_that_is_full_is_told_as_such_and_keeps_what_is_there(tmp_path: Path) -> None:
    """In mid-body: the run ends, and goes on from there when there is room."""
    async with desk(tmp_path, response(200, LARGE, [ETAG]), partial(HALF)) as at_work:
        with largest_file(HALF), pytest.raises(LocalFailureError) as caught:
            await at_work.attempt()
        assert caught.value.errno == errno.EFBIG
        assert at_work.item.resume is not None
        assert at_work.part == LARGE[:HALF]
        assert at_work.content(await at_work.attempt()) == LARGE


async def test_a_full_disk_frees_what_cannot_be_gone_on_with(tmp_path: Path) -> None:
    """Octets without identity are of no use to anybody."""
    async with desk(tmp_path, response(200, LARGE)) as at_work:
        with largest_file(HALF), pytest.raises(LocalFailureError):
            await at_work.attempt()
        assert at_work.part is None


async def test_what_stands_in_the_way_of_a_file_is_a_matter_of_this_item(tmp_path: Path) -> None:
    """A file where its folder must be; a symbolic link that leads out."""
    async with desk(tmp_path, slowly(response(200, LARGE))) as at_work:
        (tmp_path / "h").write_bytes(b"")
        with pytest.raises(CollisionError):
            await at_work.attempt()
        (tmp_path / "h").unlink()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "h").symlink_to("elsewhere")
        with pytest.raises(PolicyError):
            await at_work.attempt()
        assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("reply", [response(200, LARGE, [ETAG]), response(200, LARGE)], ids=["validator", "none"])
async def test_cancelled_in_mid_body_it_keeps_what_can_be_gone_on_with(tmp_path: Path, reply: bytes) -> None:
    """And nothing else; the connection is closed."""
    async with desk(tmp_path, silent_after(reply[:-500])) as at_work:
        attempt = asyncio.create_task(at_work.attempt())
        while at_work.transfer.received < len(LARGE) - 500:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        attempt.cancel()
        await asyncio.wait((attempt,))
        assert attempt.cancelled()
        await at_work.server.until(lambda: at_work.server.open_connections == 0)
        if b"ETag" in reply:
            assert at_work.item.resume == ResumePoint(len(LARGE) - 500, '"v1"', len(LARGE), at_work.item.url)
            assert at_work.part == LARGE[:-500]
        else:
            assert (at_work.item.resume, at_work.part) == (None, None)
