"""Manifests of any length: the first request goes out at once, memory stays as it is, the ledger is small."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crawler.command import FETCHD, environment
from tests.support.nginx import Nginx

pytestmark = [pytest.mark.usefixtures("no_leaked_fds")]

ARGUMENTS = ("--no-progress", "-q")
SAME_KIB = 5 * 1024
"""A run over any number of lines may take so much more memory than one over a thousand."""


def lines(nginx: Nginx, count: int, distinct: int) -> Iterator[bytes]:
    """Blocks of a manifest of *count* lines, of which *distinct* are different ones."""
    base = nginx.url("/nothing")
    for start in range(0, count, 1000):
        numbers = (number % distinct for number in range(start, min(count, start + 1000)))
        yield "".join(f"{base}/{n // 1000:04d}/a-name-as-they-are-{n:07d}.html\n" for n in numbers).encode()


def run(folder: Path, blocks: Iterator[bytes], *more: str) -> tuple[int, float, float]:
    """Run over *blocks* from standard input: VmHWM in KiB, seconds of CPU, seconds until the first file was there."""
    began = time.monotonic()
    process = subprocess.Popen(
        [FETCHD, "run", "-", "-o", folder, *ARGUMENTS, *more], stdin=subprocess.PIPE, env=environment()
    )
    assert process.stdin is not None
    first = 0.0
    for block in blocks:
        process.stdin.write(block)
        if not first and folder.exists() and next(folder.glob("*/nothing"), None) is not None:
            first = time.monotonic() - began
    process.stdin.close()
    peak = 0
    while True:
        # Not what wait4 tells of memory: that begins with what this process has, which it was forked from.
        peak = max(peak, _vmhwm_kib(process.pid))
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return peak, usage.ru_utime + usage.ru_stime, first


def _vmhwm_kib(pid: int) -> int:
    """The most memory that a process has had; 0 of one that has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def say(text: str) -> None:
    """Tell a figure, which is seen with ``pytest -s``; it is asserted nowhere."""
    sys.stderr.write(f"\n{text}\n")


def files_of(folder: Path) -> int:
    """How many files there are, without their being held in memory."""
    found = subprocess.run(
        f"find {folder} -path '*/.fetchd' -prune -o -type f -print | wc -l", shell=True, capture_output=True, check=True
    )
    return int(found.stdout)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_ten_thousand_items_take_the_memory_of_a_thousand(nginx: Nginx, tmp_path: Path) -> None:
    """All of one host, which may not have all slots; lines that wait are on the disk."""
    small, _, _ = run(tmp_path / "small", lines(nginx, 1000, 1000))
    large, _, _ = run(tmp_path / "large", lines(nginx, 20_000, 10_000))
    assert files_of(tmp_path / "large") == 10_000
    assert large - small < SAME_KIB, (large, small)


@pytest.mark.soak
def test_ten_million_lines_from_standard_input(nginx: Nginx, tmp_path: Path) -> None:
    """The first file is there within seconds of the start, though a thousand different lines come again and again."""
    small, _, _ = run(tmp_path / "small", lines(nginx, 1000, 1000))
    large, cpu, first = run(tmp_path / "large", lines(nginx, 10_000_000, 1000))
    rate = 10 / cpu
    say(f"10^7 lines: {large} KiB against {small}, {rate:.3f} million a second of CPU, first file {first:.2f} s")
    assert files_of(tmp_path / "large") == 1000
    assert large - small < SAME_KIB, (large, small)
    assert 0 < first < 10  # it takes half a second; the machine may be busy


@pytest.mark.soak
def test_a_million_items_and_again(nginx: Nginx, tmp_path: Path) -> None:
    """Each is there, in at most 120 octets of ledger for a URL of 70; run again there is nothing to do."""
    count, folder = 1_000_000, tmp_path / "out"
    small, _, _ = run(tmp_path / "small", lines(nginx, 1000, 1000))
    large, cpu, _ = run(folder, lines(nginx, count, count))
    ledger = (folder / ".fetchd" / "ledger.sqlite3").stat().st_size
    say(f"10^6 items: {large} KiB against {small}; of each {cpu:.1f} us of CPU, {ledger / count:.1f} octets of ledger")
    assert files_of(folder) == count
    assert ledger / count <= 120
    assert large - small < SAME_KIB, (large, small)
    for more in ((), ("--trust-ledger",)):
        peak, cpu, _ = run(folder, lines(nginx, count, count), *more)
        say(f"again {' '.join(more)}: {peak} KiB, {count / cpu:,.0f} lines a second of CPU")
        assert peak - small < SAME_KIB
