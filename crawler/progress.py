"""What a run shows while it goes on, on standard error: a live display, a line now and then, or nothing.

    Progress event -> Meter (rates, time left; pure) -> LiveDisplay (terminal) | LineDisplay | NoDisplay

Twice a second at most, from snapshots: what happens to single items is only counted, so a run that finishes ten
thousand items a second is drawn no more often than one that waits. Rich is imported when the first picture is drawn,
so that a run which is over in half a second never pays for it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Final, Protocol

from .words import duration, number, octets, printable, rate

if TYPE_CHECKING:
    from rich.constrain import Constrain
    from rich.live import Live

    from fetchd.jobs.events import Snapshot

__all__ = ["Display", "LineDisplay", "LiveDisplay", "Meter", "NoDisplay", "choose_display", "progress_line"]

LINE_EVERY_S: Final = 5.0
DRAW_EVERY_S: Final = 0.25
"""Seconds between two pictures at least: 4 a second are enough for the eye."""
_SAMPLES: Final = 20  # of half a second each: rates are those of the last 10 s
_MAX_PENDING: Final = 500  # lines that wait for the next picture
_MARGIN: Final = 3  # columns that are left free
_MAX_HOST: Final = 40  # characters of a host that are shown


class Meter:
    """Rates and time left, from snapshots. Pure: time comes in as ``now``, monotonic seconds.

    Args:
        now: When the run began.
    """

    def __init__(self, now: float) -> None:
        self._began = now
        self._now = now
        self._samples: deque[tuple[float, int, int]] = deque([(now, 0, 0)], maxlen=_SAMPLES + 1)
        self._left: int | None = None

    def add(self, snapshot: Snapshot, now: float) -> None:
        """Take in where the run stands at *now*."""
        ended = snapshot.done + snapshot.skipped + snapshot.failed + snapshot.invalid
        self._samples.append((now, snapshot.bytes, ended))
        self._now = now
        is_countable = snapshot.manifest_done and snapshot.queued + snapshot.delayed > 0
        self._left = snapshot.read - ended if is_countable else None

    @property
    def running(self) -> float:
        """Seconds since the run began."""
        return self._now - self._began

    @property
    def octets_per_second(self) -> float:
        """Over the last 10 seconds, or since the run began."""
        (first, before, _), (last, after, _) = self._samples[0], self._samples[-1]
        return (after - before) / (last - first) if last > first else 0.0

    @property
    def items_per_second(self) -> float:
        """The same for items that ended."""
        (first, _, before), (last, _, after) = self._samples[0], self._samples[-1]
        return (after - before) / (last - first) if last > first else 0.0

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest will take; None while that cannot be told.

        It can when the manifest was read to its end, as long as items wait: how much is to come of those under way,
        nobody knows.
        """
        if self._left is None or not self.items_per_second:
            return None
        return self._left / self.items_per_second


def progress_line(snapshot: Snapshot, meter: Meter) -> str:
    """Return where a run stands, in one line."""
    counts = [f"{number(snapshot.done)} done"]
    counts += [f"{number(count)} {name}" for name, count in _other_counts(snapshot) if count]
    return f"{', '.join(counts)}; {', '.join(_amounts(snapshot, meter))}"


def _other_counts(snapshot: Snapshot) -> list[tuple[str, int]]:
    return [
        ("failed", snapshot.failed),
        ("invalid", snapshot.invalid),
        ("skipped", snapshot.skipped),
        ("in flight", snapshot.in_flight),
        ("waiting", snapshot.queued),
        ("to be retried", snapshot.delayed),
    ]


def _amounts(snapshot: Snapshot, meter: Meter) -> list[str]:
    amounts = [
        octets(snapshot.bytes),
        rate(meter.octets_per_second),
        f"{_short(meter.items_per_second)} items/s",
        f"after {duration(meter.running)}",
    ]
    left = meter.seconds_left
    if left is not None:
        amounts.append(f"~{duration(left)} left")
    if snapshot.bound_by is not None:
        amounts.append(f"bound by {_shortened(snapshot.bound_by)}")
    return amounts


def _short(figure: float) -> str:
    """Return a figure with a decimal where that says something."""
    return f"{figure:,.1f}" if figure < 99.95 else f"{figure:,.0f}"


class Display(Protocol):
    """Where progress is shown and what is said meanwhile."""

    def update(self, snapshot: Snapshot, now: float) -> None:
        """Show where the run stands; *now* in monotonic seconds."""

    def message(self, text: str) -> None:
        """Say one line that stays."""

    def close(self) -> None:
        """Show nothing more and leave the terminal as it was. Twice is once."""


class NoDisplay:
    """Shows no progress.

    Args:
        say: Says a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def update(self, snapshot: Snapshot, now: float) -> None:
        """See ``Display``."""

    def message(self, text: str) -> None:
        """See ``Display``."""
        self._say(text)

    def close(self) -> None:
        """See ``Display``."""


class LineDisplay:
    """A line every few seconds, for logs and pipes.

    Args:
        say: Says a line.
        now: When the run began, monotonic seconds.
    """

    def __init__(self, say: Callable[[str], None], now: float) -> None:
        self._say = say
        self._meter = Meter(now)
        self._next = now + LINE_EVERY_S

    def update(self, snapshot: Snapshot, now: float) -> None:
        """See ``Display``."""
        self._meter.add(snapshot, now)
        if now >= self._next:
            self._next = now + LINE_EVERY_S
            self._say(progress_line(snapshot, self._meter))

    def message(self, text: str) -> None:
        """See ``Display``."""
        self._say(text)

    def close(self) -> None:
        """See ``Display``."""


class LiveDisplay:
    """A few lines that are drawn over and over at the end of a terminal.

    Args:
        say: Says a line when nothing is drawn.
        stream: The terminal.
        title: What is going on, the first line.
        now: When the run began, monotonic seconds.
    """

    def __init__(self, say: Callable[[str], None], stream: IO[str], title: str, now: float) -> None:
        self._say = say
        self._stream = stream
        self._title = printable(title)
        self._meter = Meter(now)
        self._live: Live | None = None
        self._drawn_at = now
        self._pending: list[str] = []
        self._is_closed = False

    def update(self, snapshot: Snapshot, now: float) -> None:
        """See ``Display``."""
        self._meter.add(snapshot, now)
        if self._is_closed or now < self._drawn_at + DRAW_EVERY_S:
            return
        self._drawn_at = now
        live = self._live or self._start()
        self._tell_pending()
        live.update(self._picture(snapshot, live.console.width), refresh=True)

    def message(self, text: str) -> None:
        """See ``Display``. Lines wait for the next picture: each would have it drawn again."""
        if self._live is None:
            self._say(text)
            return
        self._pending.append(printable(text))
        if len(self._pending) >= _MAX_PENDING:
            self._tell_pending()

    def close(self) -> None:
        """See ``Display``."""
        self._is_closed = True
        if self._live is not None:
            self._tell_pending()
            self._live.stop()
            self._live = None

    def _start(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream, highlight=False, markup=False, emoji=False)
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()
        return self._live

    def _tell_pending(self) -> None:
        if self._pending and self._live is not None:
            lines, self._pending = self._pending, []
            self._live.console.print("\n".join(f"fetchd: {line}" for line in lines), soft_wrap=True)

    def _picture(self, snapshot: Snapshot, width: int) -> Constrain:
        from rich.constrain import Constrain
        from rich.text import Text

        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{self._title}\n", "bold")
        text.append(f"  {number(snapshot.done)} done", "green" if snapshot.done else "")
        for name, count in _other_counts(snapshot):
            if count:
                text.append("  ")
                text.append(f"{number(count)} {name}", _STYLES.get(name, ""))
        text.append(f"\n  {'  '.join(_amounts(snapshot, self._meter))}")
        hosts = "  ".join(f"{_shortened(host)} ({number(count)})" for host, count in snapshot.slow_hosts)
        if hosts:
            text.append("\n  most wait for: ", "dim")
            text.append(hosts)
        # Room for the ^C that a terminal echoes: on a full line it would begin another, and a line would stay behind.
        return Constrain(text, max(width - _MARGIN, 1))


_STYLES: Final = {"failed": "red", "invalid": "red", "to be retried": "yellow"}


def _shortened(host: str) -> str:
    host = printable(host)
    return host if len(host) <= _MAX_HOST else f"{host[: _MAX_HOST - 3]}..."


def choose_display(
    say: Callable[[str], None],
    stream: IO[str],
    title: str,
    *,
    wanted: bool,
    environment: Mapping[str, str] | None = None,
) -> Display:
    """Return the display that fits: live on a terminal that can redraw, lines elsewhere, none when not *wanted*.

    Args:
        say: Says a line.
        stream: Standard error.
        title: What is going on.
        wanted: Whether progress is shown at all.
        environment: Variables; None takes those of the process. ``TERM`` tells of terminals that cannot redraw.
    """
    if not wanted:
        return NoDisplay(say)
    now = time.monotonic()
    variables = os.environ if environment is None else environment
    if stream.isatty() and variables.get("TERM", "dumb") not in ("dumb", "unknown", ""):
        return LiveDisplay(say, stream, title, now)
    return LineDisplay(say, now)
