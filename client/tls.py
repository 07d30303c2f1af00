"""The channel over TLS: a ``TLSSocket`` behind the face of ``Channel``, and the contexts it is made with.

Why no asyncio transport: it keeps 256 KiB a connection and may take 30 s to close.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from functools import lru_cache
from pathlib import Path
from typing import cast

from .channel import Channel
from .resumption import Resumption
from .tls_socket import TLSSocket

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
    make_fit(context)
    context.set_alpn_protocols(["http/1.1"])
    return context


def make_fit(context: ssl.SSLContext) -> None:
    """Have *context*, the caller's own too, do what reading and writing rely on.

    An end without close_notify is told from a clean one, for that is how a body without length is cut: Python 3.11.0 to
    3.11.3 switch it off in every new context (cpython#95494), and then a truncated body looks whole. And nothing is
    negotiated anew, for which a write would have to wait for a read; no server that is kept up asks for it.
    """
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0x80)
    context.options |= ssl.OP_NO_RENEGOTIATION


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

    __slots__ = ("_resumption", "_tls", "_turn")

    is_tls = True

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: TLSSocket, resumption: Resumption | None = None) -> None:
        super().__init__(loop, cast(socket.socket, sock))  # which has what a channel needs of it
        self._tls = sock
        self._resumption = resumption
        if resumption is not None:
            resumption.opened(self)
        self.recv = self._recv
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

    def _recv(self, limit: int) -> bytes:
        """Receive at most *limit* octets, over as many records as are there."""
        data = self._tls.recv(limit)
        if data and self._tls.has_more():
            self._look_again()
        return data

    def has_buffered(self) -> bool:
        """Whether octets, the end or a failure wait above the socket; who asks has no use for any."""
        return not self._tls.is_silent()

    def is_silent(self) -> bool:
        """Whether nothing has come but messages of TLS itself (tickets, key updates)."""
        if super().is_silent():
            return self._tls.is_silent()
        try:
            self._tls.recv(1)
        except BlockingIOError:
            return self.fd >= 0
        except OSError:
            pass
        return False

    def tls_session(self) -> ssl.SSLSession | None:
        """What another connection may resume; None when there is nothing, or a worker is inside the library."""
        return None if self.fd < 0 or self._is_held else self._tls.session

    def _shut_down(self) -> None:
        self._tls.shutdown_socket()

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
                self._tls.unwrap()
        super().close()
