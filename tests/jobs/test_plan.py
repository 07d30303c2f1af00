"""A plan counts what a run would do, without a request, and in memory that does not follow the manifest."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from fetchd.jobs.plan import Plan, plan
from fetchd.jobs.settings import RunSettings


async def plan_of(folder: Path, manifest: str, **settings: Any) -> Plan:
    """The plan of *manifest*."""
    path = folder / "list.txt"
    path.write_text(manifest)
    found = await plan(RunSettings(manifest=str(path), output=folder / "out", **settings))
    assert not (folder / "out").exists()
    return found


async def test_items_bad_lines_duplicates_and_hosts_are_counted(tmp_path: Path) -> None:
    lines = ["http://a/1", "http://me@a/1", "http://a/2#f", "nonsense", "# no item", "http://b:81/1", "ftp://a/"]
    found = await plan_of(tmp_path, "\n".join(lines))
    assert (found.items, found.duplicates, found.invalid, found.colliding) == (4, 1, 2, 0)
    assert found.hosts == {"a:80": 3, "b:81": 1}
    assert [outcome.item.line for outcome in found.bad_lines] == [4, 7]


async def test_names_that_cannot_be_everybodys_are_told(tmp_path: Path) -> None:
    """Two items of one name, over batches too; and a file where others need a folder."""
    many = "".join(f"http://h/{n}\n" for n in range(1000))
    lines = ["http://h/a/", "http://h/a/index.html", "http://h/b", "http://h/b/c/d"]
    found = await plan_of(tmp_path, "\n".join([lines[0], many, *lines[1:]]))
    assert found.colliding == 2
    assert [(each.path, each.is_folder) for each in found.collisions] == [("h/a/index.html", False), ("h/b", True)]
    assert found.collisions[0][1:3] == (1, 1003)


async def test_sizes_and_names_of_the_manifest_count(tmp_path: Path) -> None:
    items = [{"url": "http://h/a", "size": 3, "name": "x"}, {"url": "http://h/b", "size": 4, "name": "x"}]
    found = await plan_of(tmp_path, "".join(json.dumps(item) + "\n" for item in [*items, {"url": "http://h/c"}]))
    assert (found.sized, found.octets, found.colliding) == (2, 7, 1)
    found = await plan_of(tmp_path, "http://h/a\nhttp://g/a\n", name="{basename}")
    assert found.colliding == 1


@pytest.mark.parametrize(
    ("hosts", "bound_by", "used"),
    [
        ({"a": 10, "b": 10}, None, 4.0),
        ({"a": 30, "b": 10}, "a:80", 2.7),
        ({"a": 4}, "a:80", 2.0),
        ({}, None, 0.0),
    ],
)
async def test_the_host_that_would_bind_the_run_is_named(
    tmp_path: Path, hosts: dict[str, int], bound_by: str | None, used: float
) -> None:
    """The one whose items take longer, as many at a time as it is given, than all items in all slots."""
    lines = [f"http://{host}/{n}" for host, count in hosts.items() for n in range(count)]
    found = await plan_of(tmp_path, "\n".join(lines), concurrency=4, per_host=2)
    assert (found.bound_by, round(found.used_slots, 1)) == (bound_by, used)


@pytest.mark.slow
async def test_memory_follows_the_hosts_and_not_the_items(tmp_path: Path) -> None:
    """Ten times the lines take no more."""
    peaks = []
    for count in (5_000, 50_000):
        tracemalloc.start()
        found = await plan_of(tmp_path, f"http://h/[1-{count}]", expand=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.items == count
    assert peaks[1] < 2 * peaks[0]
