"""Send bodies of every kind: JSON, a form, text, a file, and one that is made while it is sent.

    python examples/post.py http://127.0.0.1:8000/

The Content-Type that goes with each is the one of its kind; ``headers=`` names another.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import BinaryIO

from fetchd.client import ClientSession


async def numbers() -> AsyncIterator[bytes]:
    """Make a body of which nobody knows the length before; it goes out chunked."""
    for number in range(3):
        yield f"{number}\n".encode()


async def main(url: str, file: BinaryIO) -> None:
    """Post each kind of body to *url* and print the status that came back."""
    async with ClientSession() as session:
        async with session.post(url, json={"name": "fetchd", "tags": ["a", "b"]}) as response:
            print(f"json: {response.status}")
        async with session.post(url, data={"name": "fetchd", "page": "2"}) as response:
            print(f"form: {response.status}")
        async with session.post(url, data="grüß Gott") as response:
            print(f"text: {response.status}")
        async with session.post(url, data=file, headers={"Content-Type": "text/x-python"}) as response:
            print(f"file: {response.status}")
        async with session.post(url, data=numbers()) as response:
            print(f"made on the way: {response.status}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with open(__file__, "rb") as this_file:
        asyncio.run(main(sys.argv[1], this_file))
