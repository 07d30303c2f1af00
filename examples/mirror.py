"""Mirror one body: a download chained into an upload that survives a source that drops.

    python examples/mirror.py http://127.0.0.1:8000/a.iso http://127.0.0.1:9000/in/a.iso

Nothing is stored. A source that drops is asked to go on and feeds the same upload; a destination that drops gets the
whole again.
"""

from __future__ import annotations

import asyncio
import sys

from fetchd.jobs.mirror import Delivery, MirrorError, mirror


async def main(source_url: str, target_url: str) -> None:
    """Put the content of *source_url* to *target_url*, unless something is there already."""
    try:
        done = await mirror(source_url, target_url, Delivery(if_absent=True), checksum="sha256")
    except MirrorError as exc:
        side = "destination" if exc.failure.of_sink else "source"
        sys.exit(f"not mirrored, the {side} failed: {exc}")
    if done.skipped:
        print(f"skipped: {done.skipped}")
        return
    digests = ", ".join(f"{name} {digest.hex()[:16]}" for name, digest in done.digests)
    print(f"sent {done.size} octets ({digests}), the answer is {done.status}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
