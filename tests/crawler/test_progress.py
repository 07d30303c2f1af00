"""``crawler/progress.py``: what is shown while a run goes on."""

from __future__ import annotations

import io
import re

import pytest

from fetchd.crawler.progress import (
    LINE_EVERY_S,
    Display,
    LineDisplay,
    LiveDisplay,
    Meter,
    NoDisplay,
    choose_display,
    progress_line,
)
from fetchd.jobs.events import Snapshot

MIB = 1 << 20
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    """Standard error that says it is a terminal."""

    encoding = "utf-8"  # rich asks for it

    def isatty(self) -> bool:
        """It is one."""
        return True

    @property
    def shown(self) -> str:
        """What was written, escape sequences taken out."""
        return _ESCAPE.sub("", self.getvalue())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 100 columns for rich."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "24")
    return Terminal()


def test_rates_are_those_of_the_last_ten_seconds() -> None:
    """What came before is forgotten, so a stall is seen."""
    meter = Meter(100.0)
    for tick in range(1, 41):
        meter.add(Snapshot(bytes=min(tick, 20) * MIB, done=min(tick, 20) * 2), 100.0 + tick / 2)
    assert meter.octets_per_second == 0
    assert meter.items_per_second == 0
    assert meter.running == 20.0


def test_rates_of_a_young_run_are_those_since_its_beginning() -> None:
    """Failed and skipped items are through with, too."""
    meter = Meter(100.0)
    assert (meter.octets_per_second, meter.items_per_second, meter.seconds_left) == (0, 0, None)
    meter.add(Snapshot(bytes=MIB, done=1, failed=1, skipped=1, invalid=1), 102.0)
    assert meter.octets_per_second == MIB / 2
    assert meter.items_per_second == 2.0


@pytest.mark.parametrize(
    ("snapshot", "left"),
    [
        (Snapshot(read=30, done=10, queued=14, in_flight=6, manifest_done=True), 10.0),
        (Snapshot(read=30, done=10, delayed=20, manifest_done=True), 10.0),
        (Snapshot(read=30, done=10, queued=20, manifest_done=False), None),
        (Snapshot(read=12, done=10, in_flight=2, manifest_done=True), None),
        (Snapshot(read=30, queued=30, manifest_done=True), None),
    ],
)
def test_time_left_is_told_where_it_can_be_known(snapshot: Snapshot, left: float | None) -> None:
    """The manifest was read to its end, items wait, and some have ended."""
    meter = Meter(0.0)
    meter.add(snapshot, 5.0)
    assert meter.seconds_left == left


def test_a_line_of_progress_leaves_out_what_is_zero() -> None:
    """But says how many are done, even if none is."""
    meter = Meter(0.0)
    assert progress_line(Snapshot(), meter) == "0 done; 0 B, 0 B/s, 0.0 items/s, after 0.0 s"
    snapshot = Snapshot(
        read=30,
        done=10,
        failed=1,
        invalid=1,
        skipped=8,
        in_flight=2,
        queued=7,
        delayed=1,
        bytes=MIB,
        manifest_done=True,
    )
    meter.add(snapshot, 10.0)
    assert progress_line(snapshot, meter) == (
        "10 done, 1 failed, 1 invalid, 8 skipped, 2 in flight, 7 waiting, 1 to be retried;"
        " 1.0 MiB, 102.4 KiB/s, 2.0 items/s, after 10 s, ~5.0 s left"
    )


def test_many_items_a_second_are_shown_without_decimals() -> None:
    """The line is to fit 80 columns."""
    meter = Meter(0.0)
    meter.add(Snapshot(done=99_940), 10.0)
    assert "9,994 items/s" in progress_line(Snapshot(), meter)


def test_lines_come_every_five_seconds() -> None:
    """However often the run tells where it stands."""
    said: list[str] = []
    display = LineDisplay(said.append, 0.0)
    for tick in range(1, 41):
        display.update(Snapshot(done=tick), tick / 2)
    display.message("a failure")
    display.close()
    assert LINE_EVERY_S == 5.0
    assert [line.split(" ", 1)[0] for line in said] == ["10", "20", "30", "40", "a"]


def test_no_display_passes_messages_on() -> None:
    """And shows nothing."""
    said: list[str] = []
    display = NoDisplay(said.append)
    display.update(Snapshot(done=1), 1.0)
    display.message("a failure")
    display.close()
    assert said == ["a failure"]


def test_the_live_display_shows_where_the_run_stands(terminal: Terminal) -> None:
    """Counts, amounts, the hosts most wait for."""
    display = LiveDisplay(lambda _: None, terminal, "fetchd run list.txt", 0.0)
    hosts = ((f"{'long' * 20}.test:80", 7), ("b.test:443", 1))
    display.update(Snapshot(done=10, failed=2, in_flight=3, queued=8, bytes=MIB, slow_hosts=hosts), 1.0)
    display.close()
    assert "fetchd run list.txt" in terminal.shown
    assert "10 done  2 failed  3 in flight  8 waiting" in terminal.shown
    assert "1.0 MiB  1.0 MiB/s  12.0 items/s  after 1.0 s" in terminal.shown
    assert f"most wait for: {('long' * 20)[:37]}... (7)  b.test:443 (1)" in terminal.shown


def test_the_live_display_leaves_room_for_an_echoed_key(terminal: Terminal) -> None:
    """A line that is full would be broken in two by the ^C that is echoed behind it."""
    display = LiveDisplay(lambda _: None, terminal, "title " * 50, 0.0)
    display.update(Snapshot(done=10), 1.0)
    display.update(Snapshot(done=11), 2.0)
    assert max(len(line) for line in re.split("[\r\n]", terminal.shown)) == 97
    display.close()


def test_the_live_display_draws_at_most_four_times_a_second(terminal: Terminal) -> None:
    """The run tells as often as it likes."""
    display = LiveDisplay(lambda _: None, terminal, "title", 0.0)
    for tick in range(1, 101):
        display.update(Snapshot(done=tick), tick / 100)
    assert re.findall("[0-9]+ done", terminal.shown) == ["25 done", "50 done", "75 done", "100 done"]
    display.close()


def test_the_live_display_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    """The cursor is hidden meanwhile and shown again, also when it is closed twice."""
    display = LiveDisplay(lambda _: None, terminal, "title", 0.0)
    display.update(Snapshot(done=1), 1.0)
    assert terminal.getvalue().rfind("\x1b[?25l") > terminal.getvalue().rfind("\x1b[?25h")
    display.close()
    display.close()
    assert terminal.getvalue().rfind("\x1b[?25h") > terminal.getvalue().rfind("\x1b[?25l")
    written = terminal.getvalue()
    display.update(Snapshot(done=2), 9.0)
    assert terminal.getvalue() == written


def test_a_message_stands_above_the_live_display(terminal: Terminal) -> None:
    """Before the first picture it is said at once; afterwards it waits for the next one, or for the end."""
    said: list[str] = []
    display = LiveDisplay(said.append, terminal, "title", 0.0)
    display.message("early")
    assert said == ["early"]
    display.update(Snapshot(done=1), 1.0)
    display.message("[bold]later\x1b[2J[/bold]")
    assert "later" not in terminal.shown
    display.update(Snapshot(done=2), 2.0)
    assert "fetchd: [bold]later\\x1b[2J[/bold]\n" in terminal.shown
    display.message("last")
    display.close()
    assert terminal.shown.count("fetchd: last") == 1
    display.message("after")
    assert said == ["early", "after"]


def test_messages_do_not_pile_up_between_two_pictures(terminal: Terminal) -> None:
    """A manifest of failures is told as it fails."""
    display = LiveDisplay(lambda _: None, terminal, "title", 0.0)
    display.update(Snapshot(), 1.0)
    for count in range(500):
        display.message(f"failure {count}.")
    assert "failure 499." in terminal.shown
    display.close()


@pytest.mark.parametrize(
    ("wanted", "is_terminal", "term", "kind"),
    [
        (True, True, "xterm-256color", LiveDisplay),
        (True, True, "dumb", LineDisplay),
        (True, True, None, LineDisplay),
        (True, False, "xterm", LineDisplay),
        (False, True, "xterm", NoDisplay),
    ],
)
def test_the_display_fits_where_it_is_shown(
    wanted: bool, is_terminal: bool, term: str | None, kind: type[Display]
) -> None:
    """Live on a terminal that can redraw, lines in a log, nothing when nothing is wanted."""
    stream = Terminal() if is_terminal else io.StringIO()
    variables = {} if term is None else {"TERM": term}
    display = choose_display(lambda _: None, stream, "title", wanted=wanted, environment=variables)
    assert type(display) is kind
