"""TLS inside of TLS: what an https proxy needs for an https origin. The face of a non-blocking ``SSLSocket``.

``ssl`` can wrap a socket only, so the inner TLS runs over two memory buffers, and this object carries what they hold
to and from the outer ``SSLSocket``. ``TLSChannel`` uses it like any other; the rules are those of a non-blocking
``SSLSocket``: ``SSLWantReadError`` and ``SSLWantWriteError`` say what is waited for, after a refused write the same
octets are offered again, an end without close_notify is an ``SSLEOFError``.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Final, Literal

__all__ = ["NestedSSLSocket"]

_READ_BYTES: Final = 65_536


class NestedSSLSocket:
    """TLS over *outer*, which it owns.

    Args:
        outer: Connected, its handshake done, non-blocking.
        context: Settings of the inner TLS.
        server_hostname: Name for SNI and the certificate of the inner TLS.
        session: What an earlier connection left to be resumed; None for nothing.
    """

    def __init__(
        self,
        outer: ssl.SSLSocket,
        context: ssl.SSLContext,
        server_hostname: str,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._outer = outer
        self._coming = ssl.MemoryBIO()
        self._going = ssl.MemoryBIO()
        self._inner = context.wrap_bio(self._coming, self._going, server_hostname=server_hostname, session=session)
        self._unsent = b""  # taken from _going and not taken by the socket yet
        self._accepted = 0  # octets of a write that were encrypted and are not sent yet

    def fileno(self) -> int:
        """The descriptor of the socket below; -1 once closed."""
        return self._outer.fileno()

    def do_handshake(self) -> None:
        """See ``ssl.SSLSocket.do_handshake``."""
        while True:
            try:
                self._inner.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            else:
                self._flush()
                return

    def recv(self, limit: int) -> bytes:
        """See ``ssl.SSLSocket.recv``."""
        while True:
            try:
                return self._inner.read(limit)
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLZeroReturnError:
                return b""

    def recv_into(self, buffer: memoryview) -> int:
        """See ``ssl.SSLSocket.recv_into``."""
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: bytes | memoryview) -> int:
        """Send all of *data* or, with ``SSLWantWriteError``, nothing: offer the same octets again."""
        self._flush()
        if not self._accepted:
            self._accepted = self._inner.write(data)
            self._flush()
        accepted, self._accepted = self._accepted, 0
        return accepted

    def pending(self) -> int:
        """Octets above the socket, decrypted or not, where readiness does not show them."""
        return self._inner.pending() + self._coming.pending + self._outer.pending()

    def getpeercert(self, binary_form: Literal[True]) -> bytes | None:
        """See ``ssl.SSLSocket.getpeercert``: of the inner peer."""
        return self._inner.getpeercert(binary_form)

    @property
    def session(self) -> ssl.SSLSession | None:
        """See ``ssl.SSLSocket.session``: of the inner TLS."""
        return self._inner.session

    def unwrap(self) -> None:
        """Say close_notify if the socket takes it now; the peer's is not waited for."""
        with contextlib.suppress(ssl.SSLError):
            self._inner.unwrap()
        self._flush()

    def shutdown_socket(self) -> None:
        """Shut the socket itself down, past all TLS."""
        socket.socket.shutdown(self._outer, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self._outer.close()

    def _fill(self) -> None:
        """Give the inner TLS what has come, waiting for nothing."""
        data = self._outer.recv(_READ_BYTES)
        if data:
            self._coming.write(data)
        else:
            self._coming.write_eof()

    def _flush(self) -> None:
        """Give the socket what the inner TLS wants to send; ``SSLWantWriteError`` when it does not take all."""
        while True:
            if not self._unsent:
                self._unsent = self._going.read(_READ_BYTES)
                if not self._unsent:
                    return
            self._unsent = self._unsent[self._outer.send(self._unsent) :]
