"""Send a form with files: one from disk, one from a text in memory, one that is made while it is sent.

    python examples/multipart.py http://127.0.0.1:8000/ report.xls

A form is multipart/form-data as soon as one of its fields is a file. Nothing is collected: a file of any size is
streamed, with Content-Length where the lengths of all parts are known.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import BinaryIO

from fetchd.client import ClientSession, FormData


async def rows() -> AsyncIterator[bytes]:
    """Make a file of which nobody knows the length before."""
    for number in range(3):
        yield f"{number},{number * number}\n".encode()


async def main(url: str, file: BinaryIO) -> None:
    """Post forms to *url* and print the status that came back."""
    async with ClientSession() as session:
        # As a mapping: a file object is named after its path, a tuple is (file name, content).
        fields = {"title": "Report", "file": file, "table": ("report.csv", "some,data\n")}
        async with session.post(url, data=fields) as response:
            print(f"mapping: {response.status}")

        # Field by field, with everything said.
        form = FormData()
        form.add_field("title", "Squares")
        form.add_field("table", rows(), filename="squares.csv", content_type="text/csv")
        async with session.post(url, data=form) as response:
            print(f"field by field: {response.status}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with open(sys.argv[2], "rb") as given_file:
        asyncio.run(main(sys.argv[1], given_file))
