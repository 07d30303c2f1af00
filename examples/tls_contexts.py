"""Whom TLS trusts, request by request: the system's roots, roots of your own, one pinned certificate, anybody.

    python examples/tls_contexts.py https://localhost:8443/ authority.pem 6A0F...  [client.pem client.key]

The third argument is the SHA-256 of the server's certificate, as `openssl x509 -fingerprint -sha256` prints it.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

from fetchd.client import ClientConnectionError, ClientSession, Fingerprint, client_context


async def main(url: str, authority: str, pin: str, *identity: str) -> None:
    """Ask for *url* four times, and print who was trusted with what outcome."""
    certificate, key = identity or (None, None)
    # A context is costly: make it once. Connections, and the sessions that spare handshakes, are shared by context.
    own_roots = client_context(authority, certfile=certificate, keyfile=key)
    ways: dict[str, bool | ssl.SSLContext | Fingerprint] = {
        "the system's roots": True,
        "roots of our own": own_roots,
        "one certificate": Fingerprint(bytes.fromhex(pin.replace(":", ""))),
        "anybody": False,
    }
    async with ClientSession() as session:
        for name, trusted in ways.items():
            try:
                async with session.get(url, ssl=trusted) as response:
                    print(f"{name}: {response.status}")
            except ClientConnectionError as exc:
                print(f"{name}: {exc}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
