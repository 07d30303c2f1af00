"""A sample of a manifest is a fair one, is asked for gently, and says what the whole comes to."""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.items import Item
from fetchd.jobs.limits import Limits
from fetchd.jobs.plan import Plan, plan
from fetchd.jobs.sampling import MAX_SAMPLE, Estimate, Reservoir, Sample, estimated
from fetchd.jobs.settings import RunSettings
from tests.support.raw_server import RawConnection, Request, response
from tests.support.sites import PageScript, Site

pytestmark = pytest.mark.usefixtures("no_leaked_fds")


def head(length: int | None, status: int = 200) -> bytes:
    """An answer to HEAD that tells *length*, or none."""
    field = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"HTTP/1.1 {status} Said\r\n{field}\r\n\r\n".encode()


async def sampled(folder: Path, lines: list[str], sample: int, **settings: object) -> Plan:
    """A plan of *lines* with a sample."""
    path = folder / "list.txt"
    path.write_text("\n".join(lines))
    chosen = RunSettings(manifest=str(path), output=folder / "out", **settings)  # type: ignore[arg-type]  # as given
    found = await plan(chosen, sample=sample, rng=random.Random(5))
    assert not (folder / "out").exists()
    return found


# Who is asked


@given(st.integers(1, 20), st.integers(0, 50), st.integers())
def test_a_sample_has_its_size_or_everything_and_nothing_twice(size: int, items: int, seed: int) -> None:
    reservoir = Reservoir(size, random.Random(seed))
    for line in range(items):
        reservoir.add(Item("http://h/", line))
    lines = [item.line for item in reservoir.items]
    assert len(lines) == len(set(lines)) == min(size, items)
    assert reservoir.seen == items


def test_each_item_is_as_likely_as_any_other() -> None:
    """Two of ten, twenty thousand times: each a fifth of them."""
    rng, counts = random.Random(1), Counter[int]()
    for _ in range(20_000):
        reservoir = Reservoir(2, rng)
        for line in range(10):
            reservoir.add(Item("http://h/", line))
        counts.update(item.line for item in reservoir.items)
    assert all(3700 < counts[line] < 4300 for line in range(10)), counts


# What follows


@pytest.mark.parametrize(
    ("sample", "items", "expected"),
    [
        (Sample((), 0, 0), 0, Estimate(0, 0, 0)),
        (Sample((10, 20), 0, 0), 2, Estimate(30, 30, 30)),
        (Sample((10,), 0, 0), 1, Estimate(10, 10, 10)),
        (Sample((10,), 0, 0), 100, Estimate(10, 1000, 2000)),
        (Sample((10,) * 50, 0, 0), 1000, Estimate(10_000, 10_000, 10_000)),
        (Sample((), 3, 4), 100, Estimate(0, 0, 0)),
    ],
)
def test_what_is_known_is_exact_and_what_is_not_has_a_range(sample: Sample, items: int, expected: Estimate) -> None:
    assert estimated(sample, items) == expected


def test_what_failed_counts_as_nothing() -> None:
    """Half of it fails: half of the octets."""
    found = estimated(Sample((100,) * 50, 0, 50), 1000)
    assert found.likely == 50_000
    assert found.low < 50_000 < found.high


def test_nineteen_times_in_twenty_the_sum_is_within() -> None:
    """Over manifests of a known sum."""
    rng, within = random.Random(2), 0
    sizes = [rng.randrange(1, 200_000) for _ in range(2000)]
    for _ in range(400):
        low, likely, high = estimated(Sample(tuple(rng.sample(sizes, 60)), 0, 0), len(sizes))
        assert low <= likely <= high
        within += low <= sum(sizes) <= high
    assert within > 400 * 0.92


# How they are asked


async def test_a_plan_asks_nobody_unless_it_is_told_to(tmp_path: Path) -> None:
    async with Site(default=head(7)).serve() as server:
        found = await sampled(tmp_path, [server.url("/a")], 0)
        assert (found.sample, found.estimate, server.accepted) == (None, None, 0)


async def test_sizes_of_the_manifest_are_not_asked_for(tmp_path: Path) -> None:
    """They are part of the estimate."""
    site = Site({"/b": head(30), "/c": head(50)})
    async with site.serve() as server:
        lines = ["url,size", f"{server.url('/a')},1000", f"{server.url('/b')},", f"{server.url('/c')},"]
        found = await sampled(tmp_path, lines, 10)
        assert {request.method for request in server.requests} == {"HEAD"}
    assert site.asked == {"/b": 1, "/c": 1}
    assert found.sample == Sample((30, 50), 0, 0) or found.sample == Sample((50, 30), 0, 0)
    assert found.estimate == Estimate(1080, 1080, 1080)


async def test_only_so_many_are_asked_and_each_end_is_counted(tmp_path: Path) -> None:
    """What tells no length and what is not there are told apart; a server without HEAD is asked by GET."""

    async def no_head(conn: RawConnection, request: Request) -> None:
        await conn.send(head(0, 405) if request.method == "HEAD" else response(200, b"12345"))

    site = Site({"/unknown": head(None), "/gone": head(0, 404), "/no-head": no_head}, default=head(100))
    async with site.serve() as server:
        found = await sampled(tmp_path, [server.url(f"/{n}") for n in range(200)], 20)
        assert site.asked.total() == 20
        assert found.estimate == Estimate(20_000, 20_000, 20_000)
        names = ("/unknown", "/gone", "/no-head", "/a")
        found = await sampled(tmp_path, [server.url(name) for name in names], 20)
    assert found.sample is not None
    assert (sorted(found.sample.sizes), found.sample.unknown, found.sample.failed) == ([5, 100], 1, 1)


def slow(seconds: float) -> PageScript:
    """A page that takes its time."""

    async def page(conn: RawConnection, _: Request) -> None:
        await asyncio.sleep(seconds)
        await conn.send(head(1))

    return page


async def test_the_caps_of_a_run_hold_and_hosts_take_turns(tmp_path: Path) -> None:
    """No host is asked more at a time than it may be, and a quick one is done before a slow one."""
    first, second = Site(default=slow(0.02)), Site(default=head(1))
    async with first.serve() as one, second.serve("127.0.0.2") as two:
        lines = [one.url(f"/{n}") for n in range(20)] + [two.url(f"/{n}", host="127.0.0.2") for n in range(20)]
        found = await sampled(tmp_path, lines, 40, per_host=2, concurrency=3)
    assert found.sample == Sample((1,) * 40, 0, 0)
    assert (first.most_at_once, second.most_at_once <= 2) == (2, True)


@pytest.mark.slow
async def test_the_rate_of_a_host_holds(tmp_path: Path) -> None:
    loop, times = asyncio.get_running_loop(), list[float]()

    async def page(conn: RawConnection, _: Request) -> None:
        times.append(loop.time())
        await conn.send(head(1))

    async with Site(default=page).serve() as server:
        await sampled(tmp_path, [server.url(f"/{n}") for n in range(4)], 4, limits=Limits(per_host_rate=10))
    assert statistics.mean(b - a for a, b in itertools.pairwise(times)) > 0.09


@pytest.mark.parametrize("status", [429, 503])
async def test_a_host_that_asks_for_less_is_asked_no_more(tmp_path: Path, status: int) -> None:
    site = Site(default=head(0, status))
    async with site.serve() as server:
        found = await sampled(tmp_path, [server.url(f"/{n}") for n in range(30)], 30, per_host=1)
    assert found.sample == Sample((), 0, 30)
    assert site.asked.total() == 1


async def test_a_host_that_is_not_there_is_given_up(tmp_path: Path) -> None:
    """One that is silent, too, and others are asked meanwhile."""
    silent = Site(default=slow(60))
    async with Site().serve("127.0.0.3") as server:
        gone = server.url("", host="127.0.0.3")
    async with silent.serve() as mute, Site(default=head(2)).serve("127.0.0.2") as well:
        urls = (gone, mute.url(""), well.url("", host="127.0.0.2"))
        lines = [f"{url}/{n}" for url in urls for n in range(20)]
        found = await sampled(tmp_path, lines, 60, per_host=2, first_contact=0.2)
    assert found.sample == Sample((2,) * 20, 0, 40)
    assert silent.asked.total() == 2


@pytest.mark.parametrize("sample", [-1, MAX_SAMPLE + 1])
async def test_a_sample_has_a_bound(tmp_path: Path, sample: int) -> None:
    with pytest.raises(SettingsError, match="expected 0 to 10000"):
        await sampled(tmp_path, ["http://h/"], sample)
