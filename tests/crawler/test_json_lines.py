"""``cli/json_lines.py``: the published form of events."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from fetchd.crawler.cli import json_lines
from fetchd.crawler.cli.json_lines import JsonLines, as_object
from fetchd.jobs.events import (
    Event,
    HostChanged,
    HostStanding,
    ItemFinished,
    ItemRetried,
    ItemStarted,
    Progress,
    RunFinished,
    RunStarted,
    Snapshot,
    Summary,
)
from fetchd.jobs.failures import Failure, FailureClass
from fetchd.jobs.items import Item, Outcome, Result

ITEM = Item("http://user:secret@h/a", 7, path="h/a", attempts=1, throttles=1)
BUSY = Failure(FailureClass.HTTP_5XX, "status 503 Busy", 503)
SUMMARY = Summary(
    read=3,
    done=1,
    skipped=1,
    failed=1,
    bytes=10,
    seconds=1.23456,
    failures={FailureClass.HTTP_5XX: 1},
    skip_reasons={"done": 1},
)

EVENTS: list[tuple[Event, dict[str, Any] | None]] = [
    (RunStarted(Path("out")), None),
    (ItemStarted(ITEM), {"event": "started", "line": 7, "url": "http://h/a", "attempt": 3}),
    (
        ItemRetried(ITEM, BUSY, 1.23456, 99.0),
        {
            "event": "retried",
            "line": 7,
            "url": "http://h/a",
            "class": "http-5xx",
            "message": "status 503 Busy",
            "status": 503,
            "delay": 1.235,
        },
    ),
    (
        ItemFinished(Outcome(ITEM, Result.DONE, size=10, seconds=0.5, status=200, final_url="http://g/a")),
        {
            "event": "finished",
            "line": 7,
            "url": "http://h/a",
            "result": "done",
            "path": "h/a",
            "size": 10,
            "seconds": 0.5,
            "status": 200,
            "final_url": "http://g/a",
            "class": None,
            "message": None,
            "reason": None,
        },
    ),
    (
        ItemFinished(Outcome(Item("nonsense", 8), Result.INVALID, Failure(FailureClass.INVALID, "no scheme"))),
        {
            "event": "finished",
            "line": 8,
            "url": "nonsense",
            "result": "invalid",
            "path": None,
            "size": 0,
            "seconds": 0,
            "status": None,
            "final_url": None,
            "class": "invalid",
            "message": "no scheme",
            "reason": None,
        },
    ),
    (
        HostChanged("h:80", HostStanding.WAITS, 1.23456, "status 503 Busy"),
        {"event": "host", "host": "h:80", "standing": "waits", "wait": 1.235, "message": "status 503 Busy"},
    ),
    (
        Progress(Snapshot(read=5, done=1, skipped=1, failed=1, invalid=1, in_flight=1, queued=2, delayed=3, bytes=9)),
        {
            "event": "progress",
            "read": 5,
            "done": 1,
            "skipped": 1,
            "failed": 1,
            "invalid": 1,
            "in_flight": 1,
            "queued": 2,
            "delayed": 3,
            "bytes": 9,
            "manifest_done": False,
            "bound_by": None,
        },
    ),
    (
        RunFinished(SUMMARY),
        {
            "event": "summary",
            "read": 3,
            "done": 1,
            "skipped": 1,
            "failed": 1,
            "invalid": 0,
            "left": 0,
            "unread": False,
            "bytes": 10,
            "seconds": 1.235,
            "failures": {"http-5xx": 1},
            "skip_reasons": {"done": 1},
            "stopped_by": None,
            "local_failure": None,
            "bound_by": {},
        },
    ),
]


@pytest.mark.parametrize(("event", "expected"), EVENTS)
def test_each_event_has_the_fields_that_are_documented(event: Event, expected: dict[str, Any] | None) -> None:
    """Names, order and absence of values; no userinfo."""
    found = as_object(event)
    assert found == expected
    assert found is None or list(found) == list(expected or ())


def test_every_field_is_documented() -> None:
    """The module's docstring is the contract."""
    told = set((json_lines.__doc__ or "").replace(".", " ").split())
    for _, expected in EVENTS:
        if expected is not None:
            assert set(expected) - {"event"} <= told
            assert expected["event"] in told


def test_a_line_is_one_object_whatever_a_server_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Line ends and surrogates are escaped."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    failure = Failure(FailureClass.HTTP_4XX, "status 404 a\nb\udcff", 404)
    lines = JsonLines()
    lines.write(RunStarted(Path("out")))
    lines.write(ItemFinished(Outcome(ITEM, Result.FAILED, failure)))
    lines.write(RunFinished(SUMMARY))
    first, second = out.getvalue().splitlines()
    assert first.isascii()
    assert json.loads(first)["message"] == failure.message
    assert json.loads(second)["event"] == "summary"


def test_a_reader_that_leaves_is_told_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else changes: no error, no second attempt to write."""
    silenced: list[bool] = []
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(json_lines, "silence_output", lambda: silenced.append(True))
        lines = JsonLines()
        lines.write(RunFinished(SUMMARY))
        lines.write(RunFinished(SUMMARY))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, out.fileno())
        os.close(null)
    assert silenced == [True]
