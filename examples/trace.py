"""See what happens to a request: each event of it, with the milliseconds since its beginning.

python examples/trace.py http://example.org/
"""

from __future__ import annotations

import asyncio
import sys
import time
from types import SimpleNamespace
from typing import Any

from fetchd.client import ClientSession, TraceConfig


def printing_trace() -> TraceConfig:
    """A config that prints every event there is."""
    trace = TraceConfig()
    for event in [name for name in vars(trace) if name.startswith("on_")]:

        async def handler(session: ClientSession, context: SimpleNamespace, params: Any, event: str = event) -> None:
            if event == "on_request_start":
                context.began_at = time.perf_counter()
            after = (time.perf_counter() - context.began_at) * 1000
            print(f"{after:9.2f} ms  {event.removeprefix('on_')}")

        getattr(trace, event).append(handler)
    return trace


async def main(url: str) -> None:
    """Fetch *url* twice: the second request finds the connection open."""
    async with ClientSession(trace_configs=[printing_trace()]) as session:
        for _ in range(2):
            async with session.get(url) as response:
                content = await response.read()
            timings = response.timings
            total = 0.0 if timings is None else timings.total or 0.0
            print(f"{response.status}, {len(content)} octets in {total * 1000:.2f} ms; {timings}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1]))
