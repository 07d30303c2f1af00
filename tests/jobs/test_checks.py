"""Content held to its digests while it comes: from every source, by every way, over every break."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from pathlib import Path

import pytest

from fetchd.client import ClientSession
from fetchd.jobs import checks
from fetchd.jobs.checks import _BY_STRENGTH, Check, Checks, read_sidecar
from fetchd.jobs.checksums import ALGORITHMS, Digest, Sidecar, spelled
from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.extras import Extras
from fetchd.jobs.intake import derive_path
from fetchd.jobs.ledger import Ledger, Row, State
from tests.support.local_failures import largest_file
from tests.support.raw_server import PeerLeft, RawConnection, Request, response
from tests.support.runs import files_below, prepare, rows_of, run_lines
from tests.support.sites import PageScript, Site, broken_off

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

SMALL = b"small content"
LARGE = random.Random(5).randbytes(3_000_000)
WRONG = bytes(len(LARGE))
HALF = len(LARGE) // 2
ETAG = ("ETag", '"v1"')


def digest(content: bytes, algorithm: str = "sha256") -> Digest:
    """The digest of *content*."""
    return algorithm, hashlib.new(algorithm, content).digest()


def repr_digest(content: bytes) -> tuple[str, str]:
    """The field that announces it."""
    return "Repr-Digest", f"sha-256=:{base64.b64encode(digest(content)[1]).decode()}:"


def slowly(reply: bytes) -> PageScript:
    """A page that comes in pieces, so that it is not whole when its head is."""

    async def script(conn: RawConnection, _: Request) -> None:
        await conn.send_slowly(reply, step=700_000)

    return script


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)


# From a response


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_a_digest_in_the_head_is_held_to_the_content(tmp_path: Path, content: bytes) -> None:
    """Nobody asked for it; what is right is done, and costs the ledger nothing."""
    async with Site({"/a": slowly(response(200, content, [repr_digest(content)]))}).serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a")])
    assert ran.results == {1: "done"}
    assert list(files_below(tmp_path / "out").values()) == [content]
    assert rows_of(tmp_path)[0].digest is None


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_content_that_is_not_what_was_told_is_set_aside_and_tried_again(tmp_path: Path, content: bytes) -> None:
    """What came in its place is there to be looked at, until the right one comes."""
    wrong = slowly(response(200, bytes(len(content)), [repr_digest(content)]))
    right = slowly(response(200, content, [repr_digest(content)]))
    site = Site({"/a": [wrong, wrong, right], "/b": wrong})
    async with site.serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a"), server.url("/b")], retries=3)
    assert ran.results == {1: "done", 2: "failed: checksum"}
    assert site.asked == {"/a": 3, "/b": 4}
    files = {path.rpartition("/")[2]: found for path, found in files_below(tmp_path / "out").items()}
    assert files == {"a": content, "b.bad.part": bytes(len(content))}
    [row] = rows_of(tmp_path, [State.FAILED])
    assert (row.failure_class, row.attempts, row.status) == ("checksum", 4, 200)
    expected = digest(content)[1].hex()
    assert row.message == f"sha256 is {digest(bytes(len(content)))[1].hex()}; expected {expected}"


async def test_a_head_that_tells_nothing_leaves_the_cheap_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No check is made for what is not expected: splice goes on as ever."""

    def no_check(*_: object) -> Check:
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr(checks, "Check", no_check)
    async with Site({"/a": slowly(response(200, LARGE, [ETAG])), "/b": response(200, SMALL)}).serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a"), server.url("/b")])
    assert ran.results == {1: "done", 2: "done"}


async def test_the_digest_of_an_answer_that_is_no_whole_is_none_of_the_files(tmp_path: Path) -> None:
    """Content-MD5 of a 206 is that of the rest, of a 416 that of its own text."""
    md5 = ("Content-MD5", base64.b64encode(bytes(16)).decode())
    extent = ("Content-Range", f"bytes {HALF}-{len(LARGE) - 1}/{len(LARGE)}")
    whole = response(200, LARGE, [ETAG])
    first = broken_off(whole[: -len(LARGE) + HALF])
    pages: list[bytes | PageScript] = [first, response(206, LARGE[HALF:], [ETAG, extent, md5])]
    async with Site({"/a": pages}).serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a")])
    assert ran.results == {1: "done"}


# Over a break


@pytest.mark.parametrize("between", ["attempts", "runs"])
@pytest.mark.parametrize("is_right", [True, False])
async def test_what_was_here_before_a_break_is_hashed_with_the_rest(
    tmp_path: Path, between: str, is_right: bool
) -> None:
    """In the same run and in the next one, whose process never saw those octets."""
    first = LARGE[:HALF] if is_right else WRONG[:HALF]
    extent = ("Content-Range", f"bytes {HALF}-{len(LARGE) - 1}/{len(LARGE)}")
    head = response(200, LARGE, [ETAG])[: -len(LARGE)]
    pages = [
        broken_off(head + first),
        slowly(response(206, LARGE[HALF:], [ETAG, extent])),
        slowly(response(200, LARGE, [ETAG])),
    ]
    site = Site({"/a": pages})
    (tmp_path / "SUMS").write_text(f"{digest(LARGE)[1].hex()}  a\n")
    async with site.serve() as server:
        lines = [server.url("/a")]
        if between == "runs":
            ran = await run_lines(tmp_path, lines, retries=0)
            assert ran.results == {1: "failed: truncated"}
        ran = await run_lines(tmp_path, lines, checksums=tmp_path / "SUMS", retries=3)
    assert ran.results == {1: "done"}
    assert site.asked["/a"] == (2 if is_right else 3)
    assert list(files_below(tmp_path / "out").values()) == [LARGE]
    assert rows_of(tmp_path)[0].digest == spelled(digest(LARGE))


@pytest.mark.parametrize("is_right", [True, False])
async def test_a_body_that_is_all_here_is_hashed_from_the_disk(tmp_path: Path, is_right: bool) -> None:
    """The server says 416: there is no more to come."""
    whole = response(200, LARGE, [ETAG])
    extent = ("Content-Range", f"bytes */{len(LARGE)}")
    content = LARGE if is_right else WRONG
    site = Site({"/a": [response(416, b"", [ETAG, extent]), slowly(whole)]})
    (tmp_path / "SUMS").write_text(f"{digest(LARGE)[1].hex()}  a\n")
    async with site.serve() as server:
        run, ran = prepare(tmp_path, [server.url("/a")], checksums=tmp_path / "SUMS")
        await _leave_whole_part(tmp_path, server.url("/a"), content)
        ran.summary = await run.execute()
    ran.check()
    assert ran.results == {1: "done"}
    assert site.asked["/a"] == (1 if is_right else 2)
    assert list(files_below(tmp_path / "out").values()) == [LARGE]


async def _leave_whole_part(tmp_path: Path, url: str, content: bytes) -> None:
    """As a run leaves it that was killed between the last octet and the commit."""
    path = derive_path(url)
    with Ledger.open(tmp_path / "out", template="{host}/{path}", derive=derive_path) as ledger:
        ledger.begin_run("manifest.txt", 1000.0)
        ledger.commit([Row(url, path, State.PARTIAL, validator='"v1"', total=len(content))])
    part = tmp_path / "out" / f"{path}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)


# From a sidecar, and for the ledger


async def test_a_sidecar_says_what_files_must_be(tmp_path: Path) -> None:
    """By the end of the URL's path; an item that it does not name goes its own way."""
    (tmp_path / "SUMS").write_text(f"{digest(SMALL)[1].hex()}  x/a\n{digest(SMALL, 'md5')[1].hex()} *b\n")
    pages = {f"/x/{name}": response(200, SMALL) for name in "ac"} | {"/b": response(200, b"another")}
    async with Site(pages).serve() as server:
        lines = [server.url(target) for target in ("/x/a", "/b", "/x/c")]
        ran = await run_lines(tmp_path, lines, checksums=tmp_path / "SUMS", retries=0)
    assert ran.results == {1: "done", 2: "failed: checksum", 3: "done"}
    digests = {row.path.rpartition("/")[2]: row.digest for row in rows_of(tmp_path)}
    assert digests == {"a": spelled(digest(SMALL)), "b": None, "c": None}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_every_file_is_hashed_when_that_is_asked_for(tmp_path: Path, algorithm: str, content: bytes) -> None:
    """The digest stands in the ledger, to be compared later."""
    async with Site({"/a": slowly(response(200, content))}).serve() as server:
        await run_lines(tmp_path, [server.url("/a")], checksum=algorithm)
    [row] = rows_of(tmp_path)
    assert row.digest is not None
    assert row.digest.startswith(f"{algorithm}:")
    if algorithm in hashlib.algorithms_available:
        assert row.digest == spelled(digest(content, algorithm))


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read .*: no such file or directory"), ("nothing\n", "has no digest; expected lines as sha256sum")],
)
async def test_a_sidecar_without_digests_is_a_mistake(tmp_path: Path, content: str | None, message: str) -> None:
    """Seen before anything is fetched or recorded."""
    if content is not None:
        (tmp_path / "SUMS").write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_sidecar(tmp_path / "SUMS")
    run, _ = prepare(tmp_path, ["http://127.0.0.1:1/"], checksums=tmp_path / "SUMS")
    with pytest.raises(SettingsError):
        await run.execute()
    assert not (tmp_path / "out").exists()


# Which digests count


async def chosen(
    found: Checks, extras: Extras | None = None, fields: list[tuple[str, str]] | None = None
) -> Check | None:
    """The check of ``/a``, whose head has *fields*."""
    site = Site({"/a": response(200, SMALL, fields or [])})
    async with site.serve() as server, ClientSession() as session, session.get(server.url("/a")) as answer:
        return found.of(server.url("/a"), extras, answer)


async def test_the_manifest_counts_before_the_sidecar_and_that_before_the_head() -> None:
    """Of what others say of the same content, the nearest to the user is believed."""
    given = Extras(digests=(("sha1", bytes(20)), ("sha-512", bytes(64)), ("whirlpool", bytes(4))))
    found = Checks(None, Sidecar({"a": ("md5", bytes(16))}, ()))
    head = [repr_digest(SMALL), ("Content-MD5", base64.b64encode(bytes(16)).decode())]
    check = await chosen(found, given, head)
    assert check is not None
    assert (check.expected, check.kept) == ((("sha1", bytes(20)), ("sha512", bytes(64))), "sha512")
    check = await chosen(found, Extras(), head)
    assert check is not None
    assert (check.expected, check.kept) == ((("md5", bytes(16)),), "md5")
    check = await chosen(Checks(), None, head)
    assert check is not None
    assert (check.expected, check.kept) == ((digest(SMALL),), None), "the strongest of those that it tells"
    check = await chosen(Checks("md5"), None, [])
    assert check is not None
    assert (check.expected, check.kept) == ((), "md5")
    assert await chosen(Checks(), Extras(), []) is None
    assert await chosen(Checks(), Extras(digests=(("whirlpool", b""),)), []) is None


def test_each_algorithm_has_its_place_among_the_strong_and_the_weak() -> None:
    """Or the choice among them would fail."""
    assert sorted(_BY_STRENGTH) == sorted(ALGORITHMS)


# What goes wrong on the way


async def test_a_full_disk_ends_the_run_though_a_worker_saw_it(tmp_path: Path) -> None:
    """Written and hashed elsewhere, told here."""
    async with Site({"/a": slowly(response(200, LARGE))}).serve() as server:
        run, ran = prepare(tmp_path, [server.url("/a")], checksum="sha256")
        with largest_file(1_500_000):
            ran.summary = await run.execute()
    assert ran.summary.local_failure is not None
    assert ran.summary.left == 1


async def test_a_run_that_is_stopped_waits_for_its_worker(tmp_path: Path) -> None:
    """The descriptor that it writes to is closed afterwards; what had come is kept."""
    stopped = asyncio.Event()

    async def half(conn: RawConnection, _: Request) -> None:
        await conn.send(response(200, LARGE, [ETAG])[: -len(LARGE) + HALF])
        stopped.set()
        await conn.read_eof()
        raise PeerLeft

    async with Site({"/a": half}).serve() as server:
        run, ran = prepare(tmp_path, [server.url("/a")], checksum="sha256")
        running = asyncio.create_task(run.execute())
        await stopped.wait()
        while not any(path.stat().st_size for path in tmp_path.rglob("*.part")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        run.stop()
        ran.summary = await running
    assert ran.summary.left == 1
    [part] = [content for path, content in files_below(tmp_path / "out").items() if path.endswith(".part")]
    assert LARGE.startswith(part)
