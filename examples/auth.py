"""Fetch what is protected: Basic, Digest or Bearer.

python examples/auth.py digest http://example.org/private user password
python examples/auth.py bearer http://example.org/private token
"""

from __future__ import annotations

import asyncio
import sys

from fetchd.client import BasicAuth, BearerAuth, ClientSession, DigestAuth

KINDS = {"basic": BasicAuth, "digest": DigestAuth, "bearer": BearerAuth}


async def main(kind: str, url: str, *credentials: str) -> None:
    """Print what *url* answers to one with *credentials*."""
    async with ClientSession(auth=KINDS[kind](*credentials)) as session, session.get(url) as response:
        print(f"{response.status}: {await response.text()}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
