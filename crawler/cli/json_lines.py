"""Events of a run as JSON lines on standard output: ``fetchd run --json``. The names here are published.

One object a line, UTF-8, told apart by ``event``; a field that has no value is null. URLs are without userinfo.

    started   line url attempt                                     an attempt begins; attempt counts from 1
    retried   line url class message status delay                  it failed and is made again after delay seconds
    finished  line url result path size seconds status final_url class message reason;
              result is done, skipped, failed or invalid; reason says why it was skipped (done: in an earlier run,
              duplicate, collision, kept); size is octets; class and message tell of the failure
    host      host standing wait message     it changed: standing is waits (for wait seconds), fails, dead or answers
    progress  read done skipped failed invalid in_flight queued delayed bytes manifest_done bound_by     twice a second
    summary   read done skipped failed invalid left unread bytes seconds failures skip_reasons stopped_by local_failure
              bound_by (host: seconds for which it kept slots empty); the last line;
              read = done + skipped + failed + invalid + left

Between ``started`` and ``finished`` of an item there are as many ``retried`` and ``started`` as it takes; an item that
needed no request has ``finished`` alone. A reader that is slow slows the run; one that leaves does not end it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from fetchd.jobs.events import (
    Event,
    HostChanged,
    ItemFinished,
    ItemRetried,
    ItemStarted,
    Progress,
    RunFinished,
    Snapshot,
)
from fetchd.jobs.items import Item, Outcome

from .streams import silence_output

__all__ = ["JsonLines", "as_object"]


def as_object(event: Event) -> dict[str, Any] | None:
    """Return what is written of *event*; None for nothing."""
    if isinstance(event, ItemFinished):
        return _finished(event.outcome)
    if isinstance(event, ItemStarted):
        attempt = event.item.attempts + event.item.throttles + 1
        return {"event": "started", **_item(event.item), "attempt": attempt}
    if isinstance(event, ItemRetried):
        return _retried(event)
    if isinstance(event, HostChanged):
        return {"event": "host", **event._asdict(), "wait": round(event.wait, 3)}
    if isinstance(event, Progress):
        return _progress(event.snapshot)
    if isinstance(event, RunFinished):
        return {"event": "summary", **event.summary.as_object()}
    return None


class JsonLines:
    """Writes events to standard output, at the latest with the next progress."""

    def __init__(self) -> None:
        self._is_open = True

    def write(self, event: Event) -> None:
        """Write *event*; a reader that has left is told nothing more."""
        found = as_object(event) if self._is_open else None
        if found is None:
            return
        try:
            sys.stdout.write(json.dumps(found, separators=(",", ":")) + "\n")
            if isinstance(event, Progress | RunFinished):
                sys.stdout.flush()
        except BrokenPipeError:
            self._is_open = False
            silence_output()


def _item(item: Item) -> dict[str, Any]:
    return {"line": item.line, "url": item.shown_url}


def _retried(event: ItemRetried) -> dict[str, Any]:
    failure = event.failure
    told = {"class": failure.failure_class, "message": failure.message, "status": failure.status}
    return {"event": "retried", **_item(event.item), **told, "delay": round(event.delay, 3)}


def _finished(outcome: Outcome) -> dict[str, Any]:
    failure = outcome.failure
    return {
        "event": "finished",
        **_item(outcome.item),
        "result": outcome.result,
        "path": outcome.item.path or None,
        "size": outcome.size,
        "seconds": round(outcome.seconds, 3),
        "status": outcome.status,
        "final_url": outcome.final_url,
        "class": failure.failure_class if failure else None,
        "message": failure.message if failure else None,
        "reason": outcome.reason or None,
    }


def _progress(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "event": "progress",
        "read": snapshot.read,
        "done": snapshot.done,
        "skipped": snapshot.skipped,
        "failed": snapshot.failed,
        "invalid": snapshot.invalid,
        "in_flight": snapshot.in_flight,
        "queued": snapshot.queued,
        "delayed": snapshot.delayed,
        "bytes": snapshot.bytes,
        "manifest_done": snapshot.manifest_done,
        "bound_by": snapshot.bound_by,
    }
