"""Fetch a page through a proxy.

python examples/proxy.py http://user:password@proxy.example:3128 http://example.org/
python examples/proxy.py socks5h://127.0.0.1:1080 https://example.org/    # needs pip install 'fetchd[socks]'
"""

from __future__ import annotations

import asyncio
import sys

from fetchd.client import ClientHttpProxyError, ClientProxyConnectionError, ClientSession, ProxyConnector


async def main(proxy: str, url: str) -> int:
    """Print what *url* gives by way of *proxy*, or what is wrong with the proxy."""
    async with ClientSession(connector=ProxyConnector(proxy)) as session:
        try:
            async with session.get(url) as response:
                print(f"{response.status}: {await response.text()}")
        except (ClientProxyConnectionError, ClientHttpProxyError) as exc:
            print(exc, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2])))
