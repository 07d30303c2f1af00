"""The real command in a process of its own, for tests that run their server on the test's loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FETCHD", "Ran", "environment", "fetchd", "running"]

FETCHD = Path(sys.executable).with_name("fetchd")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: exit code (negative for a signal), and what it wrote."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """What it said, a line each, each checked to be ours."""
        lines = self.err.splitlines()
        assert all(line.startswith("fetchd: ") for line in lines), self.err
        return [line.removeprefix("fetchd: ") for line in lines]


def environment(**changes: str) -> dict[str, str]:
    """Variables for a command that is looked at by a program: no terminal, English."""
    return {**os.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8", **changes}


async def fetchd(
    *arguments: str | Path,
    stdin: bytes | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    limits: Callable[[], None] | None = None,
) -> Ran:
    """Run ``fetchd`` with *arguments* to its end.

    Args:
        arguments: Of the command line.
        stdin: What it reads; None is an empty standard input.
        cwd: Where it runs.
        env: Its variables; None takes ``environment()``.
        limits: Called in the new process before the command begins.
    """
    process = await asyncio.create_subprocess_exec(
        FETCHD,
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env=environment() if env is None else env,
        preexec_fn=limits,
    )
    out, err = await process.communicate(stdin or b"")
    assert process.returncode is not None
    return Ran(process.returncode, out, err.decode())


class Running:
    """A command that goes on."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def say(self, text: str) -> None:
        """Write to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        await self._process.stdin.drain()

    def kill(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def end(self) -> Ran:
        """Wait for its end; what was read before is not in the result. Its standard input stays open."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        out, err, code = await asyncio.gather(
            self._process.stdout.read(), self._process.stderr.read(), self._process.wait()
        )
        return Ran(code, out, err.decode())


@contextlib.asynccontextmanager
async def running(*arguments: str | Path, cwd: Path | None = None) -> AsyncIterator[Running]:
    """Run ``fetchd`` with *arguments* within the ``async with``; what is left of it then is killed."""
    process = await asyncio.create_subprocess_exec(
        FETCHD,
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env=environment(),
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        assert process.stdin is not None
        process.stdin.close()
        await process.communicate()  # reads what is left, so that the pipes are closed
