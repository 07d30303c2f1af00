"""``fetchd run`` on a terminal: what is drawn, and that the terminal is left as it was. On a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crawler.command import FETCHD, environment
from tests.support.raw_server import RawConnection, raw_server, response

pytestmark = pytest.mark.slow

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A pseudo-terminal of 24 lines and 80 columns, and what was written to it so far."""

    def __init__(self) -> None:
        self._master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.set_blocking(self._master, False)
        self.written = ""

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._master, key)

    async def until(self, text: str) -> None:
        """Wait until *text* is shown."""
        while text not in self.shown:
            await asyncio.sleep(0.01)
            self.read()

    def read(self) -> None:
        """Take in what was written."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._master, 65_536):
                self.written += data.decode()

    @property
    def shown(self) -> str:
        """What was written, without what moves the cursor."""
        return _ESCAPE.sub("", self.written)

    def close(self) -> None:
        """Hang up."""
        os.close(self._master)
        os.close(self.slave)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """One for the test."""
    made = Terminal()
    yield made
    made.close()


def _own_terminal() -> None:
    """In the new process: a session of its own, whose terminal this is, so that Ctrl-C reaches it."""
    os.setsid()
    fcntl.ioctl(2, termios.TIOCSCTTY, 0)


async def start(terminal: Terminal, folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Run ``fetchd`` on *terminal*, in *folder*."""
    return await asyncio.create_subprocess_exec(
        FETCHD,
        *arguments,
        stdin=terminal.slave,
        stdout=terminal.slave,
        stderr=terminal.slave,
        env=environment(TERM="xterm-256color"),
        cwd=folder,
        preexec_fn=_own_terminal,
    )


async def test_a_run_is_drawn_and_stopped_by_ctrl_c(tmp_path: Path, terminal: Terminal) -> None:
    """Counts, amounts, the hosts waited for; after Ctrl-C the cursor is back and the account stands there."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=bytes(1 << 21), fields=[("ETag", '"x"')])[: 1 << 20])
        await conn.read_eof()

    async with raw_server(script) as server:
        urls = [server.url(f"/{number}") for number in range(9)]
        (tmp_path / "list.txt").write_text("\n".join([*urls, "nonsense"]))
        process = await start(terminal, tmp_path, "run", "list.txt", "-o", "out", "-v")
        await terminal.until("6 in flight")
        await terminal.until("most wait for: 127.0.0.1")
        await terminal.until("6.0 MiB")
        terminal.press(b"\x03")
        code = await process.wait()
    terminal.read()
    assert code == 130
    assert "fetchd run list.txt -o out" in terminal.shown
    assert "0 done  1 invalid  6 in flight  3 waiting" in terminal.shown
    assert " items/s  after " in terminal.shown
    assert "fetchd: invalid: nonsense (line 10): no scheme" in terminal.shown
    assert terminal.written.rfind("\x1b[?25h") > terminal.written.rfind("\x1b[?25l") > 0
    after = terminal.shown[terminal.shown.index("fetchd: stopping") :]
    assert "10 items read = 0 done + 1 invalid + 9 left" in after
    assert "in flight  " not in after


async def test_events_and_a_drawing_do_not_share_a_terminal(tmp_path: Path, terminal: Terminal) -> None:
    """With ``--json`` on the same terminal nothing is drawn."""

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(body=b"hello")[:-1])
        await conn.read_eof()

    async with raw_server(script) as server:
        (tmp_path / "list.txt").write_text(server.url("/a"))
        process = await start(terminal, tmp_path, "run", "list.txt", "--json")
        await terminal.until('"event":"progress"')
        terminal.press(b"\x03")
        await process.wait()
    terminal.read()
    assert "\x1b[" not in terminal.written
