"""Talk to a service that listens on a Unix socket.

    python examples/unix_socket.py /run/app.sock http://app/status

The host of the URL is not looked up; it is only sent as the Host field.
"""

from __future__ import annotations

import asyncio
import sys

from fetchd.client import ClientSession, UnixConnector


async def main(path: str, url: str) -> None:
    """Print what the service at the socket *path* answers for *url*."""
    async with ClientSession(connector=UnixConnector(path)) as session, session.get(url) as response:
        print(f"{response.status}: {await response.text()}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
