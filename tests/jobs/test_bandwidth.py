"""How many octets a second are taken: the account with the clock in the test's hand, a run with real sockets."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.bandwidth import Bandwidth, OctetAccount
from fetchd.jobs.limits import Limits
from tests.support.raw_server import response
from tests.support.runs import files_below, run_lines
from tests.support.sites import Site

pytestmark = pytest.mark.usefixtures("no_leaked_fds")


@pytest.mark.parametrize(
    ("rate", "piece"), [(1_000.0, 4_096), (1_000_000.0, 50_000), (1e9, 262_144)], ids=["slow", "usual", "quick"]
)
def test_a_piece_is_a_twentieth_of_a_second(rate: float, piece: int) -> None:
    """Within bounds: a system call has its price, and so has waiting for a worker."""
    assert OctetAccount(rate).piece == piece


def test_what_was_taken_is_paid_for_before_more_is() -> None:
    """Be it more than was allowed."""
    account = OctetAccount(1000.0)
    assert account.ready_at < 0.0
    account.spend(2000, 10.0)
    assert account.ready_at == pytest.approx(11.95)
    account.spend(1000, 11.95)
    assert account.ready_at == pytest.approx(12.95)


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(0, 5000)), min_size=1, max_size=40))
def test_over_any_time_no_more_is_taken_than_the_rate_allows(steps: list[tuple[float, int]]) -> None:
    """rate * t, a twentieth of a second's, and the last piece."""
    account, now, taken = OctetAccount(1000.0), 0.0, 0
    for wait, count in steps:
        now = max(now + wait, account.ready_at)
        assert taken <= 1000.0 * (now + 0.05) + 1e-6
        account.spend(count, now)
        taken += count


async def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    """A transfer that asks again stands at the end of the line."""
    bandwidth = Bandwidth(1_000_000.0)
    bandwidth.spend(100_000)
    order: list[str] = []

    async def take(name: str) -> None:
        for _ in range(2):
            await bandwidth.turn()
            bandwidth.spend(10_000)
            order.append(name)

    await asyncio.gather(take("a"), take("b"), take("c"))
    assert order == ["a", "b", "c", "a", "b", "c"]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"checksum": "sha256"}], ids=["spliced", "hashed"])
async def test_a_run_takes_no_more_than_its_bandwidth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """Over all transfers, small ones included, and without giving up the short way from socket to file."""
    spliced = 0
    splice = os.splice

    def counting(*args: Any) -> int:
        nonlocal spliced
        spliced += 1
        return splice(*args)

    monkeypatch.setattr(os, "splice", counting)
    small, large = response(200, b"x" * 10_000), response(200, b"y" * 700_000)
    pages = {f"/large/{n}": large for n in range(3)}
    async with Site(pages, default=small).serve() as server:
        lines = [server.url(path) for path in (*pages, *(f"/{n}" for n in range(30)))]
        began = time.monotonic()
        ran = await run_lines(tmp_path, lines, limits=Limits(bandwidth=1_500_000.0), **settings)
        took = time.monotonic() - began
    assert ran.summary.done == 33
    assert sum(len(data) for data in files_below(tmp_path / "out").values()) == 2_400_000
    # 1.6 s; the last piece is not waited for, nor is a twentieth of a second at the beginning.
    assert 1.4 <= took < 8.0
    assert bool(spliced) == (not settings)


@pytest.mark.slow
async def test_a_transfer_that_waits_for_its_turn_is_not_idle(tmp_path: Path) -> None:
    """Nor is it slow by the fault of its server."""
    async with Site({"/a": response(200, bytes(300_000))}).serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a")], limits=Limits(bandwidth=200_000.0), idle_timeout=0.2)
    assert ran.results == {1: "done"}
    assert ran.retries == []
