"""Lines put aside on disk: in order for each host, each once, whatever is put and taken when; and full disks."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchd.jobs import spill as spilling
from fetchd.jobs.extras import Extras
from fetchd.jobs.manifests import DetailedLine, Line
from fetchd.jobs.spill import CHUNK_LINES, Spill

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "take"]), st.integers(1, 40)), max_size=60)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([1, 7, 512]), st.sampled_from([3, 20_000]))
def test_every_line_comes_out_once_and_in_the_order_of_its_host(steps: Any, chunk: int, held: int) -> None:
    """Whatever the size of chunks, and of what is held in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spilling, "CHUNK_LINES", chunk)
        patch.setattr(spilling, "MAX_HELD", held)
        spill, expected, number = Spill(Path("/tmp")), defaultdict[str, deque[int]](deque), 0
        for host, what, count in steps:
            if what == "put":
                for _ in range(count):
                    number += 1
                    spill.put(host, Line(number, f"http://{host}/{number}"))
                    expected[host].append(number)
            elif host in spill:
                for line in spill.take(host):
                    assert line.number == expected[host].popleft()
            assert (host in spill) == bool(expected[host])
            assert spill.lines == sum(map(len, expected.values()))
        for host in list(spill.hosts):
            while host in spill:
                for line in spill.take(host):
                    assert line.number == expected[host].popleft()
        assert not any(expected.values())
        spill.close()


def test_all_that_a_manifest_says_of_an_item_comes_back(tmp_path: Path) -> None:
    """Name, digests, fields, columns."""
    extras = Extras(size=5, digests=(("sha256", b"x" * 32),), headers=(("A", "1"),), columns={"c": "d"}, priority=3)
    spill = Spill(tmp_path)
    for number in range(CHUNK_LINES):
        spill.put("h", DetailedLine(number, "http://h/", "name", extras))
    line = spill.take("h")[0]
    spill.close()
    assert isinstance(line, DetailedLine)
    assert line.extras is not None
    assert (line.name, line.extras.size, line.extras.digests, line.extras.headers, line.extras.priority) == (
        "name",
        5,
        extras.digests,
        extras.headers,
        3,
    )


def test_the_file_has_no_name_is_bounded_and_is_emptied(tmp_path: Path) -> None:
    """Nothing is left behind by whatever ends the process."""
    spill = Spill(tmp_path, limit=50_000)
    number = 0
    while spill.has_room:
        spill.put("h", Line(number, "http://h/" + "x" * 50))
        number += 1
    assert number < 10 * CHUNK_LINES
    assert list(tmp_path.iterdir()) == []
    while "h" in spill:
        spill.take("h")
    assert spill.has_room
    assert spill._file is not None
    assert os.fstat(spill._file.fileno()).st_size == 0
    spill.close()


@pytest.mark.parametrize("call", ["open", "write"])
def test_a_disk_that_takes_no_more_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """What cannot be written stays in memory, and no more is put aside."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    if call == "open":
        monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    else:
        monkeypatch.setattr("os.pwrite", refuse)
    spill = Spill(tmp_path)
    for number in range(3 * CHUNK_LINES):
        spill.put("h", Line(number, f"http://h/{number}"))
    assert not spill.has_room
    taken = []
    while "h" in spill:
        taken += [line.number for line in spill.take("h")]
    spill.close()
    assert taken == list(range(3 * CHUNK_LINES))
