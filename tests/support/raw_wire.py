"""The server's end of one connection, plain or TLS, with every way of ending it (RFC 9293, RFC 8446 6.1).

Sockets are driven by ``loop.sock_*`` and TLS by memory BIOs, not by asyncio transports, because a
test must decide what transports decide by themselves: nothing is read ahead (a server that does not
read really fills the peer's buffers), ``send`` returns when the kernel has taken everything (so an
ending cannot overtake data), and TLS can end with its farewell, without it, or by a reset.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct

__all__ = ["Wire"]

_CHUNK = 65536


class Wire:
    """One accepted connection. One task reads, one task writes; both may be the same."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls: ssl.SSLObject | None = None
        if context is not None:
            self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self) -> None:
        """Shake hands, where the connection is TLS.

        Raises:
            ssl.SSLError: The client refused, or does not speak TLS.
        """
        if self.tls is None:
            return
        shaking = True
        while shaking:
            try:
                self.tls.do_handshake()
                shaking = False
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            finally:
                await self._flush()  # the last flight, or the alert

    async def receive(self) -> bytes:
        """Return some octets; empty when the peer has ended its side, with or without a farewell."""
        if self.tls is None:
            return await self._loop.sock_recv(self._sock, _CHUNK)
        while True:
            try:
                return self.tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                await self._flush()  # the answer to a key update
                await self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def send(self, data: bytes) -> None:
        """Send *data*; returns when the kernel has taken all of it."""
        if self.tls is None:
            await self._loop.sock_sendall(self._sock, data)
            return
        rest = memoryview(data)
        while rest:
            rest = rest[self.tls.write(rest) :]  # a record at most, 16 KiB
        await self._flush()

    async def half_close(self) -> None:
        """End this side only: FIN; under TLS the farewell (close_notify) and then FIN. Reading goes on."""
        if self.tls is not None:
            try:
                self.tls.unwrap()
            except ssl.SSLError:
                pass  # it waits for the peer's farewell; ours is written
            await self._flush()
        self._sock.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Close at once. Under TLS without a farewell, which is how a truncated reply looks."""
        self._sock.close()

    def reset(self) -> None:
        """Close at once by RST, so that the peer reads ECONNRESET."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._loop.sock_sendall(self._sock, self._outgoing.read())

    async def _fill(self) -> None:
        data = await self._loop.sock_recv(self._sock, _CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
