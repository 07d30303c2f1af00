"""Save a file and hold it to the digest that its server sends along (RFC 9530).

    python examples/verify_digest.py http://127.0.0.1:8000/large.iso large.iso

Content that is not what was announced is an error, and nothing of it is kept. A server that announces nothing is told
apart: nothing was verified then.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fetchd.client import ClientError, ClientSession, DigestMismatchError


async def main(url: str, target: Path) -> None:
    """Save the content of *url* as *target* and print what it was held to."""
    fields = {"Want-Repr-Digest": "sha-256=10"}
    part = target.with_name(f"{target.name}.part")
    async with ClientSession(verify_digest=True, auto_decompress=False, raise_for_status=True) as session:
        try:
            async with session.get(url, headers=fields) as response:
                octets = await response.save(part)
        except ClientError as exc:
            part.unlink(missing_ok=True)
            if isinstance(exc, DigestMismatchError):
                raise SystemExit(f"expected {exc.expected.hex()}, seen {exc.seen.hex()}") from exc
            raise SystemExit(f"{url}: {exc}") from exc
    part.rename(target)
    print(f"{octets} octets, verified by {', '.join(response.verified_digests) or 'nothing'}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
