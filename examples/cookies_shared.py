"""Let requests share cookies without a session: what the first is told goes with the second.

    python examples/cookies_shared.py http://example.org/login http://example.org/account [cookies.txt]

With a file named, its cookies are used and what was set is kept there, as curl and wget do it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from fetchd.client import TCPConnector, request


async def main(first: str, second: str, file: Path | None) -> None:
    """Ask for both and print what the second answers."""
    async with TCPConnector(share_cookies=True) as connector:
        jar = connector.cookie_jar
        assert jar is not None, "this connector shares cookies"
        if file is not None:
            with contextlib.suppress(FileNotFoundError):  # the first time there is none
                jar.load(file)
        async with request("get", first, connector=connector) as response:
            await response.read()
        async with request("get", second, connector=connector) as response:
            print(await response.text())
        if file is not None:
            print(f"{jar.save(file)} cookies kept in {file}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]) if len(sys.argv) > 3 else None))
