"""Do what ``fetchd run`` does from a program of your own, and hear how each item ended.

    python examples/run_as_library.py manifest.txt downloads

Nothing is printed but what this program prints, and no signal handler is set.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fetchd.jobs.events import Event, ItemFinished
from fetchd.jobs.items import Result
from fetchd.jobs.run import run
from fetchd.jobs.settings import RunSettings


def on_event(event: Event) -> None:
    """Print the items that failed. Called between two requests: it must not block."""
    if isinstance(event, ItemFinished) and event.outcome.result is Result.FAILED:
        failure = event.outcome.failure
        print(f"failed: {event.outcome.item.shown_url}: {failure.message if failure else 'no reason'}")


async def main(manifest: str, output: Path) -> None:
    """Fetch every item of *manifest* into *output*; started again, it goes on."""
    summary = await run(RunSettings(manifest=manifest, output=output, retries=2), on_event)
    # Without a manifest: run(settings, items=urls), or `async for outcome in outcomes(settings, urls)`.
    print(f"{summary.read} read = {summary.done} done + {summary.skipped} skipped + {summary.failed} failed")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
