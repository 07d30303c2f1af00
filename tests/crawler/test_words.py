"""``crawler/words.py``: amounts and summaries for people."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.crawler.words import (
    duration,
    failure_line,
    next_step,
    number,
    octets,
    printable,
    rate,
    reasons,
    summary_lines,
)
from fetchd.jobs.events import Summary
from fetchd.jobs.failures import Failure, FailureClass
from fetchd.jobs.items import Item, Outcome, Result

NOT_FOUND = Failure(FailureClass.HTTP_4XX, "status 404 Not Found", 404)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1_048_575, "1.0 MiB"),
        (20 << 20, "20.0 MiB"),
        (5 << 40, "5.0 TiB"),
        (3 << 60, "3,072.0 PiB"),
    ],
)
def test_octets_are_shown_by_powers_of_1024(count: int, text: str) -> None:
    """One decimal; never 1,024 of a unit."""
    assert octets(count) == text
    assert rate(count) == f"{text}/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (100_000, "1 d 3 h"),
    ],
)
def test_times_are_shown_as_exactly_as_one_cares(seconds: float, text: str) -> None:
    """Two units at most."""
    assert duration(seconds) == text


def test_thousands_stand_apart() -> None:
    """Ten million is hard to read otherwise."""
    assert number(12_345_678) == "12,345,678"


@given(st.text())
def test_nothing_that_is_printed_moves_a_cursor(text: str) -> None:
    """One line, no escape sequences, whatever a server calls its status."""
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown


def test_an_escape_sequence_is_spelled_out() -> None:
    """And ordinary text is left alone."""
    assert printable("404 \x1b[2JGone\n") == "404 \\x1b[2JGone\\n"
    assert printable("naïve ☃") == "naïve ☃"


def test_reasons_are_named_most_first() -> None:
    """Equal ones by name."""
    assert reasons({"tls": 1, "dns": 1, "connect": 1200}) == "1,200 connect, 1 dns, 1 tls"
    assert reasons({}) == ""


def test_a_failed_item_is_one_line_without_credentials() -> None:
    """Which, where in the manifest, and why."""
    item = Item("http://user:secret@h/a", 7)
    assert failure_line(Outcome(item, Result.FAILED, NOT_FOUND)) == "http://h/a (line 7): status 404 Not Found"
    assert failure_line(Outcome(item, Result.FAILED)) == "http://h/a (line 7): no reason known"


def test_the_summary_adds_up_in_words() -> None:
    """Reasons behind what was skipped; what is zero is left out."""
    summary = Summary(
        read=1310,
        done=1000,
        skipped=300,
        failed=4,
        invalid=1,
        left=5,
        unread=True,
        bytes=20 << 20,
        seconds=10.0,
        failures={FailureClass.DNS: 1, FailureClass.HTTP_4XX: 3},
        skip_reasons={"done": 298, "duplicate": 1, "something new": 1},
    )
    assert summary.adds_up
    lines = summary_lines(summary, {"http-4xx": "http://h/a (line 7): status 404 Not Found"})
    assert lines == [
        "1,310 items read = 1,000 done + 300 skipped (298 done before, 1 duplicate, 1 something new)"
        " + 4 failed + 1 invalid + 5 left; the rest of the manifest is unread",
        "20.0 MiB in 10 s, 2.0 MiB/s",
        "3 http-4xx, such as http://h/a (line 7): status 404 Not Found",
        "1 dns",
        "1 invalid",
    ]


@given(
    st.builds(
        lambda done, skipped, failed, invalid, left: Summary(
            read=done + skipped + failed + invalid + left,
            done=done,
            skipped=skipped,
            failed=failed,
            invalid=invalid,
            left=left,
        ),
        *[st.integers(0, 10**7)] * 5,
    )
)
def test_the_numbers_that_are_shown_add_up(summary: Summary) -> None:
    """Those behind the equals sign make the one before it."""
    [equation, *_] = summary_lines(summary, {})
    read, *parts = [int(found.replace(",", "")) for found in re.findall(r"[0-9][0-9,]*", equation)]
    assert read == sum(parts) == summary.read


def test_a_summary_of_one_item_is_good_english() -> None:
    """And nothing done is said."""
    assert summary_lines(Summary(read=1, failed=1, failures={FailureClass.DNS: 1}), {})[0] == (
        "1 item read = 0 done + 1 failed"
    )
    assert summary_lines(Summary(read=1, done=1), {})[1] == "0 B in 0.0 s, 0 B/s"


@pytest.mark.parametrize(
    ("summary", "is_stopped", "advice"),
    [
        (Summary(read=2, done=2), False, ""),
        (Summary(read=2, skipped=2), False, ""),
        (Summary(), False, "no items in list.txt; expected a URL a line"),
        (Summary(read=2, invalid=2), False, "no line of list.txt is a URL; expected http://host/... or"),
        (Summary(read=2, done=1, invalid=1), False, ""),
        (
            Summary(read=2, done=1, failed=1, failures={FailureClass.HTTP_4XX: 1}),
            False,
            "to try again what failed: fetchd retry 'my files'",
        ),
        (
            Summary(read=2, done=1, failed=1, failures={FailureClass.POLICY: 1}),
            False,
            "what failed fails again unless something is changed",
        ),
        (Summary(read=1, failed=1, failures={FailureClass.DNS: 1}), False, "nothing could be reached; when the"),
        (Summary(read=2, done=1, left=1), False, "run the same command again to go on"),
        (Summary(read=2, done=2, unread=True), False, "run the same command again to go on"),
        (Summary(read=2, left=2, stopped_by="max-time"), False, "stopped by --max-time; run the same command again to"),
        (Summary(read=2, done=2, stopped_by="max-time"), False, ""),
        (Summary(read=2, done=2), True, "stopped; run the same command again to go on"),
        (Summary(read=2, left=2, local_failure="cannot write x: disk full"), True, "cannot write x: disk full; mend"),
    ],
)
def test_there_is_a_next_step_wherever_something_is_left_to_do(summary: Summary, is_stopped: bool, advice: str) -> None:
    """The command to try, or what to mend first."""
    found = next_step(summary, "list.txt", "my files", is_stopped=is_stopped)
    assert found.startswith(advice)
    assert bool(found) == bool(advice)


def test_standard_input_is_called_by_its_name() -> None:
    """Not by its dash."""
    assert next_step(Summary(), "-", "out", is_stopped=False).startswith("no items in standard input")
