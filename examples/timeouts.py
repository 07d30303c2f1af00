"""Bound a request in time, phase by phase and as a whole; what is too slow leaves nothing behind.

python examples/timeouts.py https://example.org/large.iso
"""

from __future__ import annotations

import asyncio
import sys

from fetchd.client import ClientSession, ServerTimeoutError, Timeout

BOUNDS = Timeout(
    connect=5,  # DNS, TCP and TLS together
    first_byte=10,  # from the request sent to the response head
    idle_read=10,  # between two arrivals of content
    low_speed=(1000, 2),  # and no slower than 1,000 octets a second, on the average of 2 s
)


async def main(url: str) -> int:
    """Print how much came from *url*, or which bound was exceeded."""
    async with ClientSession(timeout=BOUNDS) as session:
        try:
            # A bound from outside does as well: this one is for the head alone.
            response = await asyncio.wait_for(session.get(url), 30)
            async with response:
                print(f"{len(await response.read())} octets")
        except ServerTimeoutError as exc:
            print(f"{type(exc).__name__}: {exc}", file=sys.stderr)
        except TimeoutError:
            print("no response head within 30 s", file=sys.stderr)
        else:
            return 0
        # The session is fit for use after any of them.
        return 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(sys.argv[1])))
