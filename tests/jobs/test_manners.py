"""What a run heeds beyond the first request of an attempt: redirections that ask for time, hosts that never answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from fetchd.client import AddrInfo, Timeout
from fetchd.jobs.limits import Limits
from fetchd.jobs.manners import Manners
from tests.support.raw_server import PeerLeft, RawConnection, Request, response
from tests.support.runs import run_lines
from tests.support.sites import Site

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

GOOD = response(200, b"good")


def test_a_host_that_never_answered_is_given_less_time() -> None:
    """To connect and for its first answer; never more than all others are given."""
    usual = Timeout(connect=30.0, first_byte=5.0, idle_read=60.0)
    assert Manners().bounded(usual) is usual
    assert Manners(first_contact=8.0).bounded(usual) == Timeout(connect=8.0, first_byte=5.0, idle_read=60.0)
    assert Manners(first_contact=8.0).bounded(Timeout(connect=None, first_byte=None)).connect == 8.0


def test_that_a_look_up_was_broken_off_is_told_once() -> None:
    """The next failure to connect is another one."""
    manners = Manners()
    manners.note_unanswered("a.test:80")
    assert not manners.was_unanswered("b.test:80")
    assert manners.was_unanswered("a.test:80")
    assert not manners.was_unanswered("a.test:80")


async def test_what_is_not_rated_does_not_wait() -> None:
    """No clock is looked at."""
    await Manners().next_request("a.test:80")
    assert Manners().traces() == []


@pytest.mark.slow
async def test_a_redirection_that_asks_for_time_gates_its_host_and_is_followed_after_it(tmp_path: Path) -> None:
    """Another host goes on meanwhile."""
    times: dict[str, float] = {}

    async def page(conn: RawConnection, request: Request) -> None:
        times[request.target] = time.monotonic()
        fields = [("Location", "/target"), ("Retry-After", "1")]
        await conn.send(response(302, b"", fields, reason="Found") if request.target == "/moved" else GOOD)

    async def elsewhere(conn: RawConnection, request: Request) -> None:
        times[f"other{request.target}"] = time.monotonic()
        await conn.send(GOOD)

    async with Site(default=page).serve() as server, Site(default=elsewhere).serve("127.0.0.2") as other:
        lines = [server.url("/moved"), *(server.url(f"/{n}") for n in range(3)), other.url("/a", host="127.0.0.2")]
        ran = await run_lines(tmp_path, lines, per_host=1)
    assert ran.summary.done == 5
    began = times.pop("/moved")
    assert times.pop("other/a") - began < 0.9
    assert min(times.values()) - began >= 0.98


@pytest.mark.slow
async def test_a_host_that_accepts_and_is_silent_is_decided_by_its_first_contact(tmp_path: Path) -> None:
    """Not by the minute that others have for an answer; one that has answered before has that minute."""

    async def silence(conn: RawConnection, _: Request) -> None:
        await conn.read_eof()
        raise PeerLeft

    async def hesitation(conn: RawConnection, _: Request) -> None:
        await asyncio.sleep(0.8)
        await conn.send(GOOD)

    silent, slow = Site(default=silence), Site({"/first": GOOD}, default=hesitation)
    async with silent.serve() as mute, slow.serve("127.0.0.2") as server:
        lines = [mute.url(f"/{n}") for n in range(4)] + [server.url(p, host="127.0.0.2") for p in ("/first", "/later")]
        ran = await run_lines(tmp_path, lines, per_host=1, first_contact=0.4, retries=0)
    assert ran.results == {
        **dict.fromkeys(range(1, 5), "failed: timeout-first-byte"),
        5: "done",
        6: "done",
    }


@pytest.mark.slow
async def test_a_name_server_that_does_not_answer_requeues_the_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no sign of the host: the items wait for it, while a host that needs no name is done."""

    class Silent:
        async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
            await asyncio.Event().wait()
            raise AssertionError("nobody answers")

    monkeypatch.setattr("fetchd.jobs.resolving.ThreadedResolver", Silent)
    monkeypatch.setattr("fetchd.jobs.hosts.DEAD_AFTER", 0.3)
    async with Site(default=GOOD).serve() as server:
        lines = ["http://name.test/a", "http://name.test/b", server.url("/c")]
        ran = await run_lines(tmp_path, lines, first_contact=0.2, limits=Limits(max_time=2.5))
    assert ran.results == {3: "done"}
    assert (ran.summary.left, ran.summary.stopped_by) == (2, "max-time")
    assert {(str(retry.failure.failure_class), retry.failure.unasked) for retry in ran.retries} == {("dns", True)}


@pytest.mark.slow
async def test_a_dead_host_behind_a_redirection_is_no_fault_of_the_first(tmp_path: Path) -> None:
    """Its items fail after their attempts; the others of the host are done."""
    async with Site(default=GOOD).serve("127.0.0.2") as gone:
        dead = gone.url("/x", host="127.0.0.2")
    moved = response(302, b"", [("Location", dead)], reason="Found")
    site = Site({"/moved": moved}, default=GOOD)
    async with site.serve() as server:
        lines = [server.url("/moved"), *(server.url(f"/{n}") for n in range(10))]
        ran = await run_lines(tmp_path, lines, retries=1)
    assert ran.results[1] == "failed: connect"
    assert ran.summary.done == 10
    assert site.asked["/moved"] == 2
