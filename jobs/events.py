"""What happened in a run, as values: for progress, reports and metrics. No behaviour, no I/O.

A run calls its ``on_event`` with these, in order, in the run's own thread. Who receives one must not
block: it is called between two requests.

    RunStarted, then for each item that is started
        ItemStarted (ItemRetried ItemStarted)* ItemFinished
    and ItemFinished alone for an item that never needed a request (skipped, invalid, host dead);
    HostChanged when a host gets into trouble or out of it, and Progress from time to time in between;
    RunFinished last, whatever ended the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from .items import Failure, FailureClass, Item, Outcome

__all__ = [
    "Event",
    "HostChanged",
    "HostStanding",
    "ItemFinished",
    "ItemRetried",
    "ItemStarted",
    "Progress",
    "RunFinished",
    "RunStarted",
    "Snapshot",
    "Summary",
]

_NONE: Final = MappingProxyType[Any, int]({})


class Snapshot(NamedTuple):
    """Where a run stands, for a display.

    Attributes:
        read: Items read from the manifest so far.
        done: Items done in this run.
        skipped: Items that needed no fetching.
        failed: Items given up.
        invalid: Lines that are no item.
        in_flight: Attempts under way.
        queued: Items that wait for a slot.
        delayed: Items that wait for their next attempt.
        bytes: Octets of content received in this run.
        manifest_done: Whether the manifest was read to its end.
        slow_hosts: ``(host, items waiting)`` of the hosts most items wait for, most first.
        bound_by: Host that keeps slots empty: its items fill the window, or are all that is left. None for none.
    """

    read: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    invalid: int = 0
    in_flight: int = 0
    queued: int = 0
    delayed: int = 0
    bytes: int = 0
    manifest_done: bool = False
    slow_hosts: tuple[tuple[str, int], ...] = ()
    bound_by: str | None = None


class Summary(NamedTuple):
    """How a run ended. Every item read is accounted for exactly once (see `adds_up`).

    Attributes:
        read: Items read from the manifest; blank lines and comments are no items.
        done: Items done in this run.
        skipped: Items that needed no fetching; `skip_reasons` says why.
        failed: Items given up; `failures` says by class.
        invalid: Lines that are no item.
        left: Items read but not ended, because the run was stopped.
        unread: Whether something of the manifest was not read at all.
        bytes: Octets of content received in this run.
        seconds: Duration of the run.
        failures: Number of failed items by class.
        skip_reasons: Number of skipped items by reason.
        stopped_by: What ended the run early (``signal``, ``local failure``, a limit); None when nothing did.
        local_failure: The sentence of the local failure that ended the run, None when there was none.
        bound_by: The host that kept slots empty longest, with the seconds; empty when none did.
    """

    read: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    invalid: int = 0
    left: int = 0
    unread: bool = False
    bytes: int = 0
    seconds: float = 0.0
    failures: Mapping[FailureClass, int] = _NONE
    skip_reasons: Mapping[str, int] = _NONE
    stopped_by: str | None = None
    local_failure: str | None = None
    bound_by: tuple[tuple[str, float], ...] = ()

    @property
    def adds_up(self) -> bool:
        """Whether read = done + skipped + failed + invalid + left. It always is, or the run has a fault."""
        return self.read == self.done + self.skipped + self.failed + self.invalid + self.left

    def as_object(self) -> dict[str, Any]:
        """Its fields, as the ledger keeps them and ``--json`` tells them."""
        return {
            "read": self.read,
            "done": self.done,
            "skipped": self.skipped,
            "failed": self.failed,
            "invalid": self.invalid,
            "left": self.left,
            "unread": self.unread,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "failures": {str(name): count for name, count in self.failures.items()},
            "skip_reasons": dict(self.skip_reasons),
            "stopped_by": self.stopped_by,
            "local_failure": self.local_failure,
            "bound_by": dict(self.bound_by),
        }


class RunStarted(NamedTuple):
    """The manifest is open, the ledger is ours; nothing was requested yet."""

    output: Path


class ItemStarted(NamedTuple):
    """An attempt at an item begins."""

    item: Item


class ItemRetried(NamedTuple):
    """An attempt failed and the item will be tried again.

    Attributes:
        item: The item.
        failure: How the attempt failed.
        delay: Seconds until it may start again; its host may hold it up longer.
        now: Monotonic seconds at which the attempt failed.
    """

    item: Item
    failure: Failure
    delay: float
    now: float


class ItemFinished(NamedTuple):
    """An item ended, well or not; it does not come again in this run."""

    outcome: Outcome


class HostStanding(StrEnum):
    """What a host has come to; the words of ``--json``."""

    WAITS = "waits"
    """It asked for a pause, or throttles: nothing starts until that is over."""
    FAILS = "fails"
    """It does nothing but fail: one request at a time looks whether it is back."""
    DEAD = "dead"
    """It has failed for so long that its items are given up."""
    ANSWERS = "answers"
    """It answers again."""


class HostChanged(NamedTuple):
    """A host got into trouble, or out of it.

    Attributes:
        host: ``host:port``.
        standing: What it has come to.
        wait: Seconds from now in which nothing of it starts; 0 but where it waits.
        message: The failure that told, in a sentence; empty where it was none.
    """

    host: str
    standing: HostStanding
    wait: float = 0.0
    message: str = ""


class Progress(NamedTuple):
    """Where the run stands."""

    snapshot: Snapshot


class RunFinished(NamedTuple):
    """The last event of a run."""

    summary: Summary


Event = RunStarted | ItemStarted | ItemRetried | ItemFinished | HostChanged | Progress | RunFinished
