"""The allocator keeps what is freed: seen from outside, by the page faults of a process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
from fetchd.client.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for _ in range(200):
    pieces = [b"x" * 200_000 for _ in range(4)]
    del pieces
print(faults() - before)
"""


def faults(mode: str) -> int:
    """Page faults of 200 times 800 KB that are filled and freed."""
    found = subprocess.run([sys.executable, "-c", _PROGRAM, mode], capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other ways")
def test_pages_are_faulted_in_once() -> None:
    assert faults("keep") * 10 < faults("leave")


def test_a_connector_that_is_used_sees_to_it() -> None:
    """Not the import: a program that makes no request keeps its allocator as it is."""
    program = """
import asyncio
from fetchd.client import ClientSession, memory
calls = memory.keep_freed_memory.cache_info
assert calls().misses == 0
async def main():
    async with ClientSession() as session:
        assert calls().misses == 0
        try:
            await session.get("http://127.0.0.1:9")
        except OSError:
            pass
    assert calls().misses == 1
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=30)
