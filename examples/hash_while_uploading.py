"""Relay a download to another server and hash what passes by.

    python examples/hash_while_uploading.py http://127.0.0.1:8000/a.iso http://127.0.0.1:9000/a.iso

The body of the upload is a ``StreamReader`` that this program feeds.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys

from fetchd.client import ClientError, ClientSession, StreamReader


async def main(source_url: str, target_url: str) -> None:
    """Put the content of *source_url* at *target_url* and print its SHA-256."""
    digest = hashlib.sha256()
    async with ClientSession(auto_decompress=False) as session, session.get(source_url) as source:
        source.raise_for_status()
        body = StreamReader(length=source.content.length)
        upload = asyncio.create_task(session.put(target_url, data=body))
        try:
            async for chunk in source.content.iter_chunked(65_536):
                digest.update(chunk)
                await body.write(chunk)  # waits while the upload is behind
            body.feed_eof()
        except ClientError as exc:
            # The source broke, and so must the upload; or the upload has ended, and says itself why.
            body.set_exception(exc)
        async with await upload as answer:
            print(f"sha256 {digest.hexdigest()}, the answer is {answer.status}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
