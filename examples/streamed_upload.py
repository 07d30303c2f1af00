"""Upload what is larger than memory: a file as it is, and lines that are made on the way, compressed.

    python examples/streamed_upload.py http://127.0.0.1:8000/in large.iso

The file goes by sendfile(2) where the socket is plain, its length announced; the server is asked first whether it wants
it. What is made on the way has no length, so it is sent in chunks.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from fetchd.client import ClientSession


async def squares(count: int) -> AsyncIterator[bytes]:
    """Lines of a table; the upload asks for the next one when the socket has taken those before."""
    for number in range(count):
        yield f"{number},{number * number}\n".encode()


async def main(url: str, path: Path) -> None:
    """Put the file at *path*, then post a table, and print the answers."""
    async with ClientSession() as session:
        with path.open("rb") as file:
            async with session.put(url, data=file, expect100=True) as answer:
                print(f"the file: {answer.status}")
        async with session.post(url, data=squares(100_000), compress="gzip") as answer:
            print(f"the table: {answer.status}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
