"""Save a body of any size to a file. Memory stays flat: most bodies go from socket to file by splice(2).

    python examples/stream_to_disk.py http://127.0.0.1:8000/large.iso large.iso

A body that ends before its time is an error, and what came of it is removed here.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fetchd.client import ClientError, ClientSession


async def main(url: str, target: Path) -> None:
    """Save the content of *url* as *target*, which appears only when it is whole."""
    part = target.with_name(f"{target.name}.part")
    async with ClientSession(auto_decompress=False, raise_for_status=True) as session:
        try:
            async with session.get(url) as response:
                octets = await response.save(part)
        except ClientError as exc:
            part.unlink(missing_ok=True)
            raise SystemExit(f"{url}: {exc}") from exc
    part.rename(target)
    print(f"{octets} octets in {target}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
