"""The channel over TLS: a non-blocking ``SSLSocket`` behind the face of ``Channel``, and the contexts it is made with.

Why no asyncio transport: it keeps 256 KiB a connection, copies twice and may take 30 s to close.
Rules of a non-blocking ``SSLSocket`` that this file keeps, so that nobody else has to know them:
receive until the library wants more from the socket (what stays in its buffer never makes the descriptor readable);
after a refused write offer the same octets again; an end without close_notify is a truncation, not an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from functools import lru_cache
from pathlib import Path
from typing import cast

from .channel import Channel
from .limits import TLS_WRITE_BYTES
from .nested import NestedSSLSocket
from .resumption import Resumption

__all__ = ["TLSChannel", "client_context", "default_context", "unverified_context"]


@lru_cache(maxsize=1)
def default_context() -> ssl.SSLContext:
    """The context that verifies against the system's roots; made once (it costs 10 to 50 ms) and shared."""
    return _prepared(ssl.create_default_context())


@lru_cache(maxsize=1)
def unverified_context() -> ssl.SSLContext:
    """The context of ``verify_ssl=False``: encrypts, and trusts whoever answers."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _prepared(context)


def client_context(
    cafile: Path | str | None = None,
    *,
    certfile: Path | str | None = None,
    keyfile: Path | str | None = None,
    password: str | None = None,
) -> ssl.SSLContext:
    """A context that verifies, with roots or a client certificate of your own, or both.

    Make it once and share it: connections, and the sessions that spare handshakes, are shared by context.

    Args:
        cafile: Certificates to trust (PEM) instead of the system's; None for the system's.
        certfile: The client certificate and the chain above it (PEM); None for no certificate.
        keyfile: Its private key (PEM); None when that is in *certfile*.
        password: Of the key, when it is encrypted. An encrypted key without one is an error, never a prompt.

    Raises:
        OSError: A file cannot be read or does not hold what it should (ssl.SSLError).
        ValueError: A key without a certificate.
    """
    if certfile is None and (keyfile is not None or password is not None):
        raise ValueError("keyfile= and password= belong to a certfile=, which is missing")
    context = ssl.create_default_context(cafile=None if cafile is None else str(cafile))
    if certfile is not None:
        context.load_cert_chain(certfile, keyfile, "" if password is None else password)
    return _prepared(context)


def _prepared(context: ssl.SSLContext) -> ssl.SSLContext:
    # A renegotiation in mid-write would make a write wait for a read; no server that is kept up asks for one.
    context.options |= ssl.OP_NO_RENEGOTIATION
    keep_truncation_visible(context)
    context.set_alpn_protocols(["http/1.1"])
    return context


def keep_truncation_visible(context: ssl.SSLContext) -> None:
    """Have *context* tell an end without close_notify from a clean one, for that is how a body without length is cut.

    Python 3.11.0 to 3.11.3 switch it off in every new context (cpython#95494), and then a truncated body looks whole.
    """
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0x80)


def is_truncation(exc: OSError) -> bool:
    """Whether *exc* says that the peer ended TLS without its close_notify, in the words of any OpenSSL 1.1 or 3."""
    return isinstance(exc, ssl.SSLEOFError) or (
        isinstance(exc, ssl.SSLError) and getattr(exc, "reason", "") == "UNEXPECTED_EOF_WHILE_READING"
    )


class TLSChannel(Channel):
    """A ``Channel`` whose octets travel in TLS. Made by ``dial`` once the handshake is done.

    Args:
        loop: The event loop.
        sock: Its handshake is done.
        resumption: Where its session is kept for the next connection; None for nowhere.
    """

    __slots__ = ("_late", "_resumption", "_ssl", "_turn")

    is_tls = True

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: ssl.SSLSocket | NestedSSLSocket,
        resumption: Resumption | None = None,
    ) -> None:
        super().__init__(loop, cast(ssl.SSLSocket, sock))  # which has what a channel needs of it
        self._ssl: ssl.SSLSocket | NestedSSLSocket = sock
        self._resumption = resumption
        if resumption is not None:
            resumption.opened(self)
        self.recv = self._recv_records
        self.send = self._send_slice
        # An end or a failure that came behind octets already handed on: given by the next call.
        self._late: bytes | OSError | None = None
        self._turn: asyncio.Handle | None = None

    def resume_reading(self) -> None:
        """Put the reader on, and look at once: octets may wait in the TLS layer, unseen by the descriptor."""
        if not self._reading:
            super().resume_reading()
            self._look_again()

    def _look_again(self) -> None:
        if self._turn is None and self.fd >= 0:
            self._turn = self._loop.call_soon(self._turn_taken)

    def _turn_taken(self) -> None:
        self._turn = None
        if self._reading and self._on_readable is not None:
            self._on_readable()

    def _recv_records(self, limit: int) -> bytes:
        """Receive at most *limit* octets, over as many records as are there."""
        if self._late is not None:
            return self._take_late()
        parts: list[bytes] = []
        room = limit
        while room > 0:
            try:
                data = self._ssl.recv(room)
            except (ssl.SSLWantReadError, BlockingIOError):
                break
            except OSError as exc:
                return self._after(parts, exc)
            if not data:
                return self._after(parts, b"")
            parts.append(data)
            room -= len(data)
        else:
            self._look_again()
        if not parts:
            raise BlockingIOError
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _after(self, parts: list[bytes], end: bytes | OSError) -> bytes:
        """Give what came before *end* first; *end* itself on the next call."""
        self._late = end
        if not parts:
            return self._take_late()
        self._look_again()
        return b"".join(parts)

    def _take_late(self) -> bytes:
        late, self._late = self._late, b""
        if isinstance(late, OSError):
            raise late
        return b""

    def recv_into(self, buffer: memoryview) -> int | None:
        """Receive into *buffer*, over as many records as are there."""
        if self._late is not None:
            return len(self._take_late())
        filled = 0
        while filled < len(buffer):
            try:
                count = self._ssl.recv_into(buffer[filled:])
            except (ssl.SSLWantReadError, BlockingIOError):
                return filled or None
            except OSError as exc:
                return self._count_after(filled, exc)
            if not count:
                return self._count_after(filled, b"")
            filled += count
        return filled

    def _count_after(self, filled: int, end: bytes | OSError) -> int:
        self._late = end
        return filled or len(self._take_late())

    def _send_slice(self, data: bytes | memoryview) -> int:
        """Send one slice of *data* of at most 64 KiB, all of it or nothing; offer the same octets again."""
        try:
            return self._ssl.send(data[:TLS_WRITE_BYTES])
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError) as exc:
            raise BlockingIOError from exc

    def has_buffered(self) -> bool:
        """Whether octets, the end or a failure wait above the socket."""
        return self._late is not None or (self.fd >= 0 and self._ssl.pending() > 0)

    def is_silent(self) -> bool:
        """Whether nothing has come but messages of TLS itself (tickets, key updates)."""
        if super().is_silent():
            return not self.has_buffered()
        try:
            self.recv(1)
        except BlockingIOError:
            return self.fd >= 0
        except OSError:
            pass
        return False

    def tls_session(self) -> ssl.SSLSession | None:
        """What another connection may resume; None when there is nothing, or a worker is inside the library."""
        return None if self.fd < 0 or self._is_held else self._ssl.session

    def _shut_down(self) -> None:
        if isinstance(self._ssl, NestedSSLSocket):
            self._ssl.shutdown_socket()
        else:
            super()._shut_down()

    def close(self) -> None:
        """Say close_notify if the socket takes it now, and close without waiting for the peer's."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self._resumption is not None:
            self._resumption.closing(self)
            self._resumption = None
        if self.fd >= 0 and not self._is_held:  # a worker may be inside the library with this very object
            with contextlib.suppress(OSError, ValueError):  # the peer may be gone; it is a courtesy
                self._ssl.unwrap()
        super().close()
