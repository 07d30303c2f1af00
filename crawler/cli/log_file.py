"""What happens in a run, as dated lines at the end of a file, whatever is shown meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fetchd.jobs.events import Event, HostChanged, HostStanding, ItemFinished, ItemRetried, RunFinished
from fetchd.jobs.exceptions import LocalFailureError
from fetchd.jobs.items import Result
from fetchd.jobs.targets import without_userinfo

from ..words import duration, failure_line, printable, summary_lines

__all__ = ["LogFile"]

_STANDINGS: Final = {
    HostStanding.WAITS: "is left alone for {wait}",
    HostStanding.FAILS: "only fails; one request at a time looks whether it is back",
    HostStanding.DEAD: "is given up",
    HostStanding.ANSWERS: "answers again",
}


class LogFile:
    """A file that is appended to, a line each time, written out at once.

    Args:
        path: The file; it is made if it is not there.
        say: Told, once, when it cannot be written; the run goes on.
        now: Seconds since 1970.

    Raises:
        LocalFailureError: It cannot be opened.
    """

    def __init__(self, path: Path, say: Callable[[str], None], now: Callable[[], float] = time.time) -> None:
        try:
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        except OSError as exc:
            raise LocalFailureError(path, exc.errno) from exc
        self._path = path
        self._say = say
        self._now = now
        self._is_broken = False

    def on_event(self, event: Event) -> None:
        """Write what *event* is; progress is not."""
        if isinstance(event, ItemFinished):
            outcome = event.outcome
            if outcome.result in (Result.FAILED, Result.INVALID):
                name = outcome.failure.failure_class if outcome.failure is not None else outcome.result.value
                self.write(f"{name}: {failure_line(outcome)}")
            elif outcome.result is Result.DONE:
                self.write(f"done: {outcome.item.shown_url} {outcome.size} octets in {duration(outcome.seconds)}")
            else:
                self.write(f"{outcome.reason or outcome.result.value}: {outcome.item.shown_url}")
        elif isinstance(event, ItemRetried):
            url = without_userinfo(event.item.url)
            self.write(f"again in {duration(event.delay)}: {url}: {event.failure.message}")
        elif isinstance(event, HostChanged):
            told = _STANDINGS[event.standing].format(wait=duration(event.wait))
            self.write(f"host {event.host} {told}{': ' if event.message else ''}{event.message}")
        elif isinstance(event, RunFinished):
            for line in summary_lines(event.summary, {}):
                self.write(line)

    def write(self, text: str) -> None:
        """Write one line, with the time (UTC) before it."""
        now = self._now()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        try:
            self._file.write(f"{stamp}.{int(now % 1 * 1000):03d}Z {printable(text)}\n")
        except OSError as exc:
            if not self._is_broken:
                self._is_broken = True
                self._say(f"cannot write {self._path}: {(exc.strerror or str(exc)).lower()}; going on without")

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # it was said when a line could not be written
            self._file.close()
