"""A command for each file that is done: ``--on-done``. Some at a time, beside the downloads.

It is run when the file has its name and the ledger says that it is done, and never before. So a kill may come between:
a command is run at most once, and one that was not run is not made up for.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fetchd.jobs.items import Outcome

__all__ = ["OnDone"]

MAX_WAITING: Final = 1000
"""Files that wait for their command; from there on the run starts nothing until half of them have had it."""


class OnDone:
    """Runs the commands of one run.

    Args:
        words: The command and its arguments; ``{path}``, ``{url}``, ``{size}`` and ``{digest}`` in them stand for a
            file's own; the digest is empty where none was asked for.
        folder: Of the files.
        pause: Has the run start nothing more.
        resume: Has it go on.
        say: Told of a command that failed.
        limit: How many run at a time.
        environment: Variables of the process.

    Attributes:
        failed: Commands that ended with another code than 0, or could not be started.
        left: Files whose command was not run, because the run was stopped.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        *,
        pause: Callable[[], None],
        resume: Callable[[], None],
        say: Callable[[str], None],
        limit: int,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._words = words
        self._folder = folder.resolve()
        self._pause = pause
        self._resume = resume
        self._say = say
        self._limit = limit
        self._environment = environment
        self._waiting: deque[dict[str, str]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._is_stopped = False
        self.failed = 0
        self.left = 0

    def done(self, outcome: Outcome) -> None:
        """The file of *outcome* is there."""
        if self._is_stopped:
            self.left += 1
            return
        self._waiting.append(
            {
                "path": outcome.item.path,
                "url": outcome.item.shown_url,
                "size": str(outcome.size),
                "digest": outcome.digest or "",
            }
        )
        if len(self._waiting) >= MAX_WAITING:
            self._pause()
        self._start()

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._limit:
            command = asyncio.ensure_future(self._run(self._waiting.popleft()))
            self._running.add(command)
            command.add_done_callback(self._ended)
        if len(self._waiting) <= MAX_WAITING // 2:
            self._resume()

    def _ended(self, command: asyncio.Task[None]) -> None:
        self._running.discard(command)
        if not command.cancelled():
            command.result()
            self._start()

    async def _run(self, told: Mapping[str, str]) -> None:
        path = told["path"]
        values = {**told, "path": str(self._folder / path)}
        words = [_filled(word, values) for word in self._words]
        given = {f"FETCHD_{name.upper()}": value for name, value in values.items()}
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),  # standard output is for data of ours
                env={**self._environment, **given},
                start_new_session=True,  # a Ctrl-C stops the run, and lets what has begun come to its end
            )
            code = await process.wait()
        except OSError as exc:
            code = None
            problem = (exc.strerror or str(exc)).lower()
        if code != 0:
            self.failed += 1
            what = problem if code is None else f"ended with code {code}" if code > 0 else f"ended by signal {-code}"
            self._say(f"--on-done: {words[0]} for {path}: {what}")

    def stop(self) -> None:
        """Begin no more commands, also where the downloads are through and only commands are left."""
        self._is_stopped = True
        self.left += len(self._waiting)
        self._waiting.clear()

    async def finish(self, *, is_stopped: bool) -> None:
        """Wait until the commands have ended; those that have not begun are left out when the run was stopped."""
        if is_stopped:
            self.stop()
        while self._running:
            await asyncio.wait(set(self._running))


def _filled(word: str, values: Mapping[str, str]) -> str:
    """*word* with its fields filled in at once: what a value holds is not looked at again."""
    import re

    return re.sub(r"\{(path|url|size|digest)\}", lambda match: values[match[1]], word)
