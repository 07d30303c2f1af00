"""Ask with a query, and follow the pages of the answer by its links (RFC 8288).

    python examples/query.py http://127.0.0.1:8000/search per_page=50 tag=a tag=b

What the URL has of a query stays, and what is given comes behind it, repeated names in their order.
"""

from __future__ import annotations

import asyncio
import sys

from fetchd.client import ClientSession


async def main(url: str, params: list[tuple[str, str]]) -> None:
    """Print each page that there is, ten at most."""
    async with ClientSession(raise_for_status=True) as session:
        response = await session.get(url, params=params)
        for _ in range(10):
            print(f"{response.url}: {len(await response.text())} characters")
            following = response.links.get("next")
            if following is None:
                break
            response = await session.get(str(following["url"]))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], [(name, value) for name, _, value in (text.partition("=") for text in sys.argv[2:])]))
