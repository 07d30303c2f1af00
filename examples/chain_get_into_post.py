"""Chain a download into an upload: the content of one response is the body of the next request.

    python examples/chain_get_into_post.py http://127.0.0.1:8000/a.iso http://127.0.0.1:9000/

Nothing is stored. The slower side sets the pace, and about half a MiB is held between the two. A length that
the source announces is announced to the target; without one the upload is chunked.
"""

from __future__ import annotations

import asyncio
import sys

from fetchd.client import ClientSession


async def main(source_url: str, target_url: str) -> None:
    """Post the content of *source_url* to *target_url*, octet for octet."""
    async with ClientSession(auto_decompress=False) as session, session.get(source_url) as source:
        source.raise_for_status()
        async with session.post(target_url, data=source.content) as answer:
            print(f"sent {source.content.length} octets, the answer is {answer.status}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
