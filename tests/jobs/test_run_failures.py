"""A run among failures: of servers, which it tries again, and of this machine, which end it in order."""

from __future__ import annotations

import email.utils
import errno
import itertools
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fetchd.jobs.attempts import Fetched
from fetchd.jobs.events import ItemStarted
from fetchd.jobs.exceptions import JobError, LedgerError, LocalFailureError
from fetchd.jobs.ledger import Ledger, Row, State
from fetchd.jobs.ledger_rows import Collision, Entry, Wanted
from fetchd.jobs.sinks import Folder
from fetchd.jobs.transfer import Transfer
from tests.support.local_failures import largest_file, unprivileged
from tests.support.raw_server import PeerLeft, RawConnection, Request, response
from tests.support.runs import files_below, prepare, rows_of, run_lines
from tests.support.sites import Page, PageScript, Site, broken_off

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

LARGE = random.Random(7).randbytes(2_000_000)
HALF = len(LARGE) // 2
ETAG = ("ETag", '"v1"')
WHOLE = response(200, LARGE, [ETAG])
REST = response(206, LARGE[HALF:], [ETAG, ("Content-Range", f"bytes {HALF}-{len(LARGE) - 1}/{len(LARGE)}")])
FIRST_HALF = WHOLE[: -len(LARGE) + HALF]
GOOD = response(200, b"good")


async def resumable(conn: RawConnection, request: Request) -> None:
    """A page with the large body, from whatever octet it is asked for."""
    start = int(request.fields.get("Range", "bytes=0-")[6:-1])
    extent = ("Content-Range", f"bytes {start}-{len(LARGE) - 1}/{len(LARGE)}")
    await conn.send(response(206, LARGE[start:], [ETAG, extent]) if start else WHOLE)


T = TypeVar("T")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff takes no time: the jitter gives its lowest value."""
    monkeypatch.setattr("random.random", lambda: 0.0)


def silent_after(reply: bytes) -> PageScript:
    """A page that sends *reply* and then nothing more, until the client leaves."""

    async def script(conn: RawConnection, _: Request) -> None:
        await conn.send(reply)
        await conn.read_eof()
        raise PeerLeft

    return script


# Of servers


@pytest.mark.parametrize(
    ("pages", "end", "requests"),
    [
        ([response(404)], "failed: http-4xx", 1),
        ([response(410)], "failed: http-4xx", 1),
        ([response(302)], "failed: redirect", 1),
        ([response(501)], "failed: http-5xx", 1),
        ([response(500), GOOD], "done", 2),
        ([response(502), response(504), GOOD], "done", 3),
        ([response(500)], "failed: http-5xx", 3),
        ([response(408), GOOD], "done", 2),
        ([b"nonsense\r\n\r\n", GOOD], "done", 2),
        ([broken_off(GOOD[:-2]), GOOD], "done", 2),
        ([broken_off(GOOD[:-2])], "failed: truncated", 3),
        ([broken_off(b"HTTP/1.1 200"), GOOD], "done", 2),
        ([silent_after(b""), GOOD], "done", 2),
        ([silent_after(GOOD[:-2]), GOOD], "done", 2),
        ([silent_after(GOOD[:-2])], "failed: timeout-idle", 3),
        ([broken_off(FIRST_HALF), REST], "done", 2),
        ([broken_off(FIRST_HALF, reset=True), WHOLE], "done", 2),
        ([silent_after(FIRST_HALF), REST], "done", 2),
        ([broken_off(FIRST_HALF), response(500), REST], "done", 3),
        ([broken_off(FIRST_HALF), response(404)], "failed: http-4xx", 2),
    ],
)
async def test_what_may_pass_is_tried_again_and_the_rest_is_not(
    tmp_path: Path, at_once: None, pages: Sequence[bytes | PageScript], end: str, requests: int
) -> None:
    """With two retries. What is done at last is right."""
    site = Site({"/a": pages})
    async with site.serve() as server:
        settings = {"first_byte_timeout": 0.05, "idle_timeout": 0.05}
        ran = await run_lines(tmp_path, [server.url("/a")], retries=2, **settings)
    assert ran.results == {1: end}
    assert site.asked["/a"] == requests
    assert len(ran.retries) == requests - 1
    if end == "done":
        assert list(files_below(tmp_path / "out").values()) in ([b"good"], [LARGE])
    else:
        [row] = rows_of(tmp_path)
        assert (row.attempts, row.failure_class) == (requests, end.removeprefix("failed: "))


async def test_an_attempt_as_a_whole_has_its_bound(tmp_path: Path, at_once: None) -> None:
    """``--timeout`` is for one attempt; the next one goes on with what came."""
    site = Site({"/a": [silent_after(FIRST_HALF), REST], "/b": silent_after(b"")})
    async with site.serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a"), server.url("/b")], timeout=0.1, retries=1)
    assert ran.results == {1: "done", 2: "failed: timeout-total"}
    assert site.asked == {"/a": 2, "/b": 2}


async def test_a_body_over_the_bound_fails_at_once(tmp_path: Path) -> None:
    """``--max-bytes``; the next run, which allows more, has it."""
    site = Site({"/a": WHOLE})
    async with site.serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a")], max_bytes=HALF)
        assert ran.results == {1: "failed: size"}
        assert site.asked["/a"] == 1
        assert files_below(tmp_path / "out") == {}
        assert (await run_lines(tmp_path, [server.url("/a")])).results == {1: "done"}


async def test_throttling_uses_up_no_attempts_but_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 and 429 are free, twenty times (here twice)."""
    monkeypatch.setattr("fetchd.jobs.trying.MAX_FREE_RETRIES", 2)
    monkeypatch.setattr("fetchd.jobs.hosts.THROTTLE_WAITS", (0.01, 0.02))
    monkeypatch.setattr("random.random", lambda: 0.0)
    site = Site({"/a": [response(503), response(429), GOOD], "/b": response(503)})
    async with site.serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a"), server.url("/b")], retries=0)
    assert ran.results == {1: "done", 2: "failed: http-5xx"}
    assert site.asked == {"/a": 3, "/b": 3}


async def test_throttling_is_waited_for_no_longer_than_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a twentieth of a second, from the first refusal on."""
    monkeypatch.setattr("fetchd.jobs.trying.MAX_FREE_S", 0.05)
    monkeypatch.setattr("fetchd.jobs.hosts.THROTTLE_WAITS", (0.01, 0.02))
    monkeypatch.setattr("random.random", lambda: 0.0)
    site = Site({"/a": response(503)})
    async with site.serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a")])
    assert ran.results == {1: "failed: http-5xx"}
    assert 2 <= site.asked["/a"] < 20


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_keeps_the_whole_host_waiting(tmp_path: Path, status: int, as_date: bool) -> None:
    """Given in seconds or as a date: nothing is asked of it until then, and another host is not held up."""
    times: list[float] = []

    def throttle() -> bytes:
        value = email.utils.formatdate(int(time.time()) + 2, usegmt=True) if as_date else "1"
        return response(status, b"", [("Retry-After", value)])

    async def page(conn: RawConnection, _: Request) -> None:
        times.append(time.monotonic())
        await conn.send(throttle() if len(times) == 1 else GOOD)

    other = Site(default=GOOD)
    async with Site(default=page).serve() as server, other.serve("127.0.0.2") as free:
        lines = [server.url(f"/{n}") for n in range(5)]
        lines += [free.url(f"/{n}", host="127.0.0.2") for n in range(5)]
        ran = await run_lines(tmp_path, lines, per_host=1)
    assert set(ran.results.values()) == {"done"}
    assert times[1] - times[0] >= (0.99 if not as_date else 0.95)
    others = [outcome.item.line for outcome in ran.outcomes[:5]]
    assert sorted(others) == [6, 7, 8, 9, 10]


async def test_a_changed_representation_is_fetched_whole_in_the_same_attempt(tmp_path: Path, at_once: None) -> None:
    """The octets of two are never joined."""
    new = bytes(reversed(LARGE))
    extent = ("Content-Range", f"bytes {HALF}-{len(new) - 1}/{len(new)}")
    changed = response(206, new[HALF:], [("ETag", '"v2"'), extent])
    site = Site({"/a": [broken_off(FIRST_HALF), changed, response(200, new, [("ETag", '"v2"')])]})
    async with site.serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a")], retries=1)
    assert ran.results == {1: "done"}
    assert list(files_below(tmp_path / "out").values()) == [new]


@pytest.mark.parametrize(
    "second",
    [response(200, b"small"), response(200, LARGE[::-1]), response(200, LARGE[:200_000], [("ETag", '"v2"')])],
    ids=["small", "large without validator", "below 1 MiB"],
)
async def test_octets_of_two_representations_are_not_joined_over_runs(tmp_path: Path, second: bytes) -> None:
    """Broken off, replaced by another one that breaks off too, and back again: the ledger knows whose they are."""
    site = Site({"/a": [broken_off(FIRST_HALF), broken_off(second[:-3]), resumable]})
    async with site.serve() as server:
        lines = [server.url("/a")]
        assert (await run_lines(tmp_path, lines, retries=0)).results == {1: "failed: truncated"}
        assert (await run_lines(tmp_path, lines, retries=0)).results == {1: "failed: truncated"}
        assert (await run_lines(tmp_path, lines, retries=0)).results == {1: "done"}
    assert list(files_below(tmp_path / "out").values()) == [LARGE]


async def test_a_fault_of_ours_in_one_item_is_that_items_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    """It never ends a run; it is told by its name."""
    real = Transfer._attempt

    async def attempt(self: Transfer, item: Any) -> Fetched:
        if item.line == 1:
            raise ZeroDivisionError("division by zero")
        return await real(self, item)

    monkeypatch.setattr(Transfer, "_attempt", attempt)
    async with Site({"/a": GOOD, "/b": GOOD}).serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a"), server.url("/b")], retries=1)
    assert ran.results == {1: "failed: protocol", 2: "done"}
    [row] = rows_of(tmp_path, [State.FAILED])
    assert row.message == "ZeroDivisionError: division by zero"


# Of this machine


async def test_a_disk_that_fills_up_in_mid_body_ends_the_run_in_order(tmp_path: Path) -> None:
    """Nothing wrong has a name, what came is kept, and the run goes on when there is room."""
    site = Site({"/large": [WHOLE, REST], "/a": GOOD})
    async with site.serve() as server:
        lines = [server.url("/a"), server.url("/large"), *(server.url(f"/late/{n}") for n in range(500))]
        with largest_file(HALF):
            ran = await run_lines(tmp_path, lines, per_host=2)
        assert (ran.summary.stopped_by, ran.summary.left > 0) == ("local failure", True)
        assert ran.summary.local_failure is not None
        assert ran.summary.local_failure.startswith(f"cannot write {tmp_path}/out/127.0.0.1+{server.port}/large")
        assert os.strerror(errno.EFBIG).lower() in ran.summary.local_failure
        assert set(files_below(tmp_path / "out").values()) <= {b"good", LARGE[:HALF]}
        again = await run_lines(tmp_path, lines)
        assert again.results[2] == "done"
        assert (again.summary.left, again.summary.stopped_by) == (0, None)
        assert server.requests[[r.target for r in server.requests].index("/large", 3)].fields["Range"]
    assert LARGE in files_below(tmp_path / "out").values()


class Trouble:
    """Counts the calls that touch the disk, over folders and ledgers alike; the n-th fails.

    Attributes:
        count: Calls so far.
        fail_at: Number of the call that fails, from 1; 0 for none.
        fails_after: Whether it does its work first.
        error: What it raises.
    """

    def __init__(self, fail_at: int, fails_after: bool, error: Exception) -> None:
        self.count = 0
        self.fail_at = fail_at
        self.fails_after = fails_after
        self.error = error

    def do(self, work: Callable[[], T]) -> T:
        """Make the call, or fail."""
        self.count += 1
        if self.count != self.fail_at:
            return work()
        if self.fails_after:
            work()
        raise self.error


def troubled(trouble: Trouble) -> tuple[type[Folder], type[Ledger]]:
    """A folder and a ledger that share their trouble; that of the ledger alone does not come to the folder."""
    elsewhere = trouble if isinstance(trouble.error, LocalFailureError) else Trouble(0, False, trouble.error)

    class TroubledFolder(Folder):
        def open_part(self, path: str, *, resume: bool = False) -> int:
            fd = super().open_part(path, resume=resume)
            try:
                elsewhere.do(lambda: None)
            except JobError:
                os.close(fd)
                raise
            return fd

        def write_part(self, path: str, data: bytes, *, modified: float | None = None) -> None:
            elsewhere.do(lambda: super(TroubledFolder, self).write_part(path, data, modified=modified))

        def publish(self, path: str, name: str | None = None) -> None:
            elsewhere.do(lambda: super(TroubledFolder, self).publish(path, name))

        def size(self, path: str) -> int | None:
            return elsewhere.do(lambda: super(TroubledFolder, self).size(path))

        def is_empty(self) -> bool:
            return elsewhere.do(super().is_empty)

    class TroubledLedger(Ledger):
        def begin_run(self, manifest: str, now: float) -> int:
            return trouble.do(lambda: super(TroubledLedger, self).begin_run(manifest, now))

        def lookup(self, wanted: Sequence[Wanted]) -> list[Entry | Collision | None]:
            return trouble.do(lambda: super(TroubledLedger, self).lookup(wanted))

        def commit(self, rows: Sequence[Row], done: Sequence[int] = ()) -> None:
            trouble.do(lambda: super(TroubledLedger, self).commit(rows, done))

        def end_run(self, now: float, summary: Any) -> None:
            trouble.do(lambda: super(TroubledLedger, self).end_run(now, summary))

    return TroubledFolder, TroubledLedger


FULL = LocalFailureError("disk", errno.ENOSPC)
BROKEN = LedgerError("ledger", "damaged")


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("error", [FULL, BROKEN], ids=["disk full", "ledger damaged"])
@pytest.mark.parametrize("fails_after", [False, True])
async def test_whichever_call_on_the_disk_fails_nothing_is_wrong_and_the_next_run_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_after: bool, error: JobError
) -> None:
    """The n-th call fails for n = 1, 2, 3 ... until none does.

    Each time: no name has a wrong file, what the ledger calls done is there and is not asked for again, the account
    adds up, and the next run does what is left. A disk ends the run with a summary from its first line on; what is
    no matter of the disk comes out as it is.
    """
    pages: dict[str, Page] = {**{f"/{n}": response(200, b"good") for n in range(4)}, "/large": resumable}
    for n in itertools.count(1):
        folder, site = tmp_path / str(n), Site(pages)
        folder.mkdir()
        trouble = Trouble(n, fails_after, error)
        async with site.serve() as server:
            lines = [*(server.url(target) for target in pages), server.url("/0/"), server.url("/no")]
            lines += [server.url("/0/index.html")]
            with monkeypatch.context() as patch:
                troubled_folder, troubled_ledger = troubled(trouble)
                patch.setattr("fetchd.jobs.run.Folder", troubled_folder)
                patch.setattr("fetchd.jobs.run.Ledger", troubled_ledger)
                running, ran = prepare(folder, lines, concurrency=3)
                try:
                    ran.summary = await running.execute()
                    ran.check()
                    raised = None
                except JobError as exc:
                    raised = exc
            ends_well = trouble.count < n
            if ends_well:
                assert raised is None
            elif error is BROKEN or not ran.events:
                assert raised is error, n
            else:
                assert ran.summary.local_failure == str(FULL)
            told = {outcome.item.url for outcome in ran.outcomes if outcome.result == "done"}
            _check_disk(folder, told)
            asked = dict(site.asked)
            again = await run_lines(folder, lines)
            assert again.summary.done + again.summary.skipped == 5
            assert again.summary.failures == {"http-4xx": 2, "policy": 1}
            assert all(site.asked[t] == asked[t] for t in pages if server.url(t) in told)
        contents = sorted(files_below(folder / "out").values(), key=len)
        assert contents == [b"good"] * 4 + [LARGE]
        if ends_well:
            break
    assert n > (15 if error is FULL else 5)


def _check_disk(folder: Path, told: set[str]) -> None:
    """What has a name is right; what is done, for the ledger or by an event, has one."""
    files = files_below(folder / "out")
    whole = {path: content for path, content in files.items() if not path.endswith(".part")}
    assert set(whole.values()) <= {b"good", LARGE}
    if not (folder / "out" / ".fetchd" / "ledger.sqlite3").exists():
        return
    done = {row.url: row.path for row in rows_of(folder, [State.DONE])}
    finishing = {row.url: row.path for row in rows_of(folder, [State.FINISHING])}
    assert set(done.values()) <= set(whole)
    assert told <= {url for url, path in (done | finishing).items() if path in whole}


async def test_without_permission_to_write_the_run_ends_in_order(tmp_path: Path) -> None:
    """Exit code 3 is for this; nothing is asked of anybody when the folder cannot be made."""
    site = Site({"/a": GOOD})
    (tmp_path / "out").mkdir(mode=0o555)
    tmp_path.chmod(0o755)
    async with site.serve() as server:
        running, ran = prepare(tmp_path, [server.url("/a")])
        with unprivileged():
            if os.access(tmp_path / "manifest.txt", os.R_OK, effective_ids=True):
                with pytest.raises(LocalFailureError, match="permission denied"):
                    await running.execute()
    assert (site.asked, ran.events) == ({}, [])


async def test_a_started_item_is_not_lost_when_the_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left, neither done nor failed: the next run has it."""
    site = Site({"/a": WHOLE})
    async with site.serve() as server:
        troubled_folder, _ = troubled(Trouble(2, False, FULL))  # the call after `is_empty`: opening the .part file
        with monkeypatch.context() as patch:
            patch.setattr("fetchd.jobs.run.Folder", troubled_folder)
            ran = await run_lines(tmp_path, [server.url("/a")])
        assert [event for event in ran.events if isinstance(event, ItemStarted)]
        assert (ran.summary.left, ran.summary.failed, ran.summary.stopped_by) == (1, 0, "local failure")
        assert (await run_lines(tmp_path, [server.url("/a")])).results == {1: "done"}
