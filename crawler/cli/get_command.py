"""``fetchd get``: one URL or a few, one after the other, to standard output or files. No ledger.

Retries as a run does, but for one bound: here every failure counts as one of ``--retries``, because somebody waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from fetchd.client import ClientSession
from fetchd.jobs.attempts import AttemptFailedError
from fetchd.jobs.exceptions import JobError, LocalFailureError, PolicyError, SettingsError
from fetchd.jobs.failures import Failure, FailureClass, retry_delay, verdict
from fetchd.jobs.sessions import open_session
from fetchd.jobs.targets import without_userinfo

from ..words import duration
from .destinations import Destination, FileDestination, StreamDestination
from .event_loop import new_event_loop
from .exit_codes import ExitCode, code_of_failures
from .options import GetOrder, RawGet, Voice, get_order
from .streams import STDOUT, read_text, say, silence_output

__all__ = ["get_urls"]


def get_urls(raw: RawGet) -> int:
    """Do what ``fetchd get`` was asked for; return the exit code."""
    try:
        order = get_order(raw, read_text, os.environ)
        _check_files(order)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(_Getting(order).all())
    except LocalFailureError as exc:
        say(str(exc))
        return ExitCode.LOCAL_FAILURE
    except JobError as exc:
        say(str(exc))
        return ExitCode.USAGE
    except BrokenPipeError:
        silence_output()
        return ExitCode.DONE


def _check_files(order: GetOrder) -> None:
    """Look before the first request whether every file can be there.

    Raises:
        SettingsError: One cannot.
    """
    seen: dict[Path, str] = {}
    for url, path in zip(order.urls, order.files or (), strict=False):
        shown = without_userinfo(url)
        if path in seen:
            raise SettingsError(f"{seen[path]} and {shown} are both named {path}; expected one --output for each")
        seen[path] = shown
        if not path.parent.is_dir():
            raise SettingsError(f"there is no folder {path.parent} for {path.name}")
        if path.is_dir():
            raise SettingsError(f"{path} is a folder; expected a file")
        if not order.replace and path.exists():
            raise SettingsError(f"{path} is there already; --force replaces it")


class _Getting:
    """The work on one order.

    Args:
        order: What to do.
    """

    def __init__(self, order: GetOrder) -> None:
        self._order = order
        self._destination: Destination | None = None

    async def all(self) -> ExitCode:
        """Fetch everything; return the exit code."""
        order = self._order
        failures: list[FailureClass] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            # The interpreter's handler, not the loop's: opening a pipe that nobody reads holds the loop up.
            signal.signal(number, self._leave)
        async with open_session(order.network) as session:
            for index, url in enumerate(order.urls):
                path = order.files[index] if order.files is not None else None
                failure = await self._one(session, url, path)
                if failure is not None:
                    say(f"{without_userinfo(url)}: {failure.message}")
                    failures.append(failure.failure_class)
        return code_of_failures(failures, len(order.urls) - len(failures))

    async def _one(self, session: ClientSession, url: str, path: Path | None) -> Failure | None:
        """Fetch one URL; return how it failed, None when it did not."""
        with self._open(session, url, path) as destination:
            attempts = 0
            while (failure := await _attempt(destination)) is not None:
                attempts += 1
                judged = verdict(failure)
                if not judged.retry or attempts > self._order.network.retries or not destination.can_go_on:
                    return failure
                delay = retry_delay(attempts, failure.retry_after, random.random, base=judged.base_delay)
                if self._order.voice is not Voice.QUIET:
                    say(f"{without_userinfo(url)}: {failure.message}; again in {duration(delay)}")
                await asyncio.sleep(delay)
        return None

    @contextlib.contextmanager
    def _open(self, session: ClientSession, url: str, path: Path | None) -> Iterator[Destination]:
        timeout = self._order.network.timeout
        fd = STDOUT if path is None else _open_special(path)
        if fd is not None:
            name = "standard output" if path is None else str(path)
            destination: Destination = StreamDestination(session, url, fd, timeout, name=name)
        else:
            assert path is not None, "what has no descriptor has a path"
            destination = FileDestination(session, url, path.resolve(), timeout, decodes=self._order.network.decode)
        self._destination = destination
        try:
            yield destination
        finally:
            destination.discard()
            if fd not in (None, STDOUT):
                os.close(fd)

    def _leave(self, number: int, _: FrameType | None) -> None:
        """End at once: a thread may wait for a reader that does not read, and there is nothing to keep."""
        if self._destination is not None:
            self._destination.discard()
        os._exit(128 + number)


async def _attempt(destination: Destination) -> Failure | None:
    try:
        await destination.attempt()
    except AttemptFailedError as exc:
        return exc.failure
    except PolicyError as exc:
        return Failure(FailureClass.POLICY, str(exc))
    return None


def _open_special(path: Path) -> int | None:
    """Open *path* if it is a device, a pipe or a socket, which must be written to and not replaced; else None.

    Raises:
        LocalFailureError: It cannot be opened.
    """
    if not path.exists() or path.is_file():
        return None
    try:
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as exc:
        raise LocalFailureError(path, exc.errno) from exc
