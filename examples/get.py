"""Fetch one page: its head first, then its content as a whole.

    python examples/get.py http://127.0.0.1:8000/

Connecting may take 5 s, the whole a minute; what takes longer is an error that says which phase it was.
"""

from __future__ import annotations

import asyncio
import sys

from fetchd.client import ClientSession, Timeout


async def main(url: str) -> None:
    """Print what *url* answers."""
    async with ClientSession(timeout=Timeout(connect=5, total=60)) as session, session.get(url) as response:
        print(f"{response.status} {response.reason} from {response.url}")
        print(f"type {response.content_type}, announced octets {response.content.length}")
        content = await response.read()
        print(f"{len(content)} octets came, the first of them {content[:16]!r}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1]))
