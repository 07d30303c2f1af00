"""Who looks at a run now and then: for its listeners, for the ledger, and for the limits that no event tells of.

Lives here: the two tasks that wake by time alone. Not here: what is counted (``counts``), what a limit is (``limits``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from .counts import Counts
from .events import Progress, Snapshot
from .exceptions import JobError
from .ledger import Ledger
from .limits import Limits
from .recorder import Recorder

__all__ = ["LIMITS_S", "NOTE_S", "PROGRESS_S", "tell_progress", "watch_limits"]

PROGRESS_S: Final = 0.5
"""Seconds between two Progress events."""

NOTE_S: Final = 2.0
"""Seconds between two looks that the ledger keeps, for who asks how the run stands."""

LIMITS_S: Final = 0.05
"""Seconds between two looks at what has come and how long it took, if that is limited."""


async def tell_progress(
    counts: Counts,
    snapshot: Callable[[], Snapshot],
    recorder: Recorder,
    ledger: Ledger,
    on_event: Callable[[Progress], None] | None,
) -> None:
    """Tell where the run stands, for ever.

    Args:
        counts: Told which host binds the run.
        snapshot: Says where it stands.
        recorder: In whose thread the ledger is used.
        ledger: Keeps the last look.
        on_event: Called with each; None for nobody.
    """
    noted_at = counts.started_at
    while True:
        pause = PROGRESS_S if on_event is not None else NOTE_S
        await asyncio.sleep(pause)
        look, now = snapshot(), time.monotonic()
        if look.bound_by is not None:
            counts.note_bound(look.bound_by, pause)
        if on_event is not None:
            on_event(Progress(look))
        if now - noted_at >= NOTE_S:
            noted_at = now
            with contextlib.suppress(JobError):  # the next batch will tell of a ledger that cannot be written
                await recorder.call(ledger.note_progress, _as_object(look, now - counts.started_at))


async def watch_limits(
    limits: Limits, counts: Counts, received: Callable[[], int], stop_at: Callable[[str | None], None]
) -> None:
    """Look at the limits of time and of octets, where there are such, for ever.

    Args:
        limits: Of the run.
        counts: Knows when it began.
        received: Gives the octets of content until now.
        stop_at: Called with the limit that is reached, or None.
    """
    while limits.max_time is not None or limits.max_total_bytes is not None:
        seconds = time.monotonic() - counts.started_at
        stop_at(limits.exceeded(received=received(), seconds=seconds))
        await asyncio.sleep(LIMITS_S)


def _as_object(snapshot: Snapshot, seconds: float) -> dict[str, object]:
    """What readers of the ledger get: the snapshot, seconds since the run began, and the time of day."""
    return {**snapshot._asdict(), "seconds": round(seconds, 3), "at": round(time.time(), 3)}
