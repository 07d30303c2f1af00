"""Scripts that make a ``raw_server`` a proxy: one that forwards and tunnels (RFC 9110 section 9.3.6), one for SOCKS5.

They refuse what they are told to refuse and otherwise carry octets to where they are asked to; what they were asked is
in ``server.requests``, or in ``Socks.asked``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.support.raw_server import RawConnection, Request, Script, response

__all__ = ["Socks", "carry", "http_proxy"]

Refuse = Callable[[Request], bytes | None]


def http_proxy(refuse: Refuse = lambda _: None) -> Script:
    """A script for ``raw_server``.

    Args:
        refuse: Gives the octets of a reply in the place of what was asked for; None to do it.
    """

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            reply = refuse(asked)
            if reply is not None:
                await conn.send(reply)
            elif asked.method == "CONNECT":
                host, _, port = asked.target.rpartition(":")
                await carry(conn, host.strip("[]"), int(port), b"HTTP/1.1 200 Connection established\r\n\r\n")
                return
            else:
                await conn.send(await _forwarded(asked))

    return script


async def _forwarded(asked: Request) -> bytes:
    """What the origin says to a request in absolute-form."""
    target = urlsplit(asked.target)
    assert target.hostname, f"{asked.target} is no absolute-form"
    path = asked.target.split("/", 3)[3] if asked.target.count("/") > 2 else ""
    lines = [f"{asked.method} /{path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in asked.fields.items() if not name.lower().startswith("proxy-")]
    loop = asyncio.get_running_loop()
    body, answered = asked.body, b""
    if "Transfer-Encoding" in asked.fields:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    with await _connected(target.hostname, target.port or 80) as sock:
        await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode() + body)
        sock.shutdown(socket.SHUT_WR)  # the scripts of these tests end then
        while data := await loop.sock_recv(sock, 65_536):
            answered += data
    head, _, content = answered.partition(b"\r\n\r\n")
    return response(int(head.split(b" ", 2)[1]), content)


async def _connected(host: str, port: int) -> socket.socket:
    """A plain socket: transports of uvloop close a turn later than they say."""
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, proto)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def carry(conn: RawConnection, host: str, port: int, greeting: bytes) -> None:
    """Connect to *host*, send *greeting* back, and carry octets both ways until either side ends."""
    loop = asyncio.get_running_loop()

    async def there() -> None:
        while data := await conn.receive():
            await loop.sock_sendall(sock, data)

    async def back() -> None:
        while data := await loop.sock_recv(sock, 65_536):
            await conn.send(data)

    with await _connected(host, port) as sock:
        await conn.send(greeting)
        ways = [asyncio.create_task(there()), asyncio.create_task(back())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await conn.close()


class Socks:
    """A SOCKS5 proxy (RFC 1928) for ``raw_server(socks.script)``.

    Args:
        credentials: What RFC 1929 must bring; None to ask for none.
        code: Reply code; 0 to open the connection.

    Attributes:
        asked: Address type and address of each request: 1 an IPv4 address, 3 a name.
    """

    def __init__(self, credentials: tuple[str, str] | None = None, code: int = 0) -> None:
        self.asked: list[tuple[int, str]] = []
        self._credentials = credentials
        self._code = code

    async def script(self, conn: RawConnection) -> None:
        """One connection."""
        _, count = await conn.read_exactly(2)
        await conn.read_exactly(count)
        await conn.send(b"\x05\x02" if self._credentials else b"\x05\x00")
        if self._credentials:
            _, length = await conn.read_exactly(2)
            login = (await conn.read_exactly(length)).decode()
            [length] = await conn.read_exactly(1)
            password = (await conn.read_exactly(length)).decode()
            await conn.send(b"\x01\x00" if (login, password) == self._credentials else b"\x01\x01")
            if (login, password) != self._credentials:
                return
        *_, kind = await conn.read_exactly(4)
        if kind == 1:
            host = ".".join(str(part) for part in await conn.read_exactly(4))
        else:
            [length] = await conn.read_exactly(1)
            host = (await conn.read_exactly(length)).decode()
        port = int.from_bytes(await conn.read_exactly(2), "big")
        self.asked.append((kind, host))
        reply = bytes([5, self._code, 0, 1, 0, 0, 0, 0, 0, 0])
        if self._code:
            await conn.send(reply)
        else:
            await carry(conn, "127.0.0.1", port, reply)
