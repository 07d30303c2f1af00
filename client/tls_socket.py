"""TLS on a non-blocking socket, or on one that speaks TLS already: what an https proxy needs for an https origin.

TLS runs over two memory buffers, and this object carries what they hold to and from the socket. An ``SSLSocket`` asks
the kernel twice for each record of 16 KiB, and OpenSSL's way out of that (``SSL_CTX_set_read_ahead``) cannot be had
from Python; here one call takes what has come, up to 256 KiB. 1 GiB that is mirrored takes 8,000 calls in the place of
131,000 and 0.68 s of CPU in the place of 0.73: the copies between the buffers eat up most of the rest. What has come is
handed to TLS in slices of 64 KiB, because a buffer keeps the space that it once had.

Calls are as of a non-blocking socket: ``BlockingIOError`` says that nothing can be had or taken now, b"" and 0 that the
peer has said close_notify. An end without that is an ``SSLEOFError``.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Literal, cast

from .limits import LARGE_RECV_BYTES, TLS_WRITE_BYTES

__all__ = ["TLSSocket"]

_SLICE_BYTES: Final = 65_536
# Messages of TLS alone, received in one call, after which the peer is no peer but a flood: tickets take some hundreds.
_MAX_SILENT_BYTES: Final = 1_048_576
# What may wait to be sent: a slice that was written, and answers of TLS (key updates, alerts) to a peer that reads
# nothing. A socket would refuse them by itself; memory takes all.
_MAX_WAITING_BYTES: Final = 2 * TLS_WRITE_BYTES
# What the socket is asked for at least: a record, so that a message of TLS takes one call.
_LEAST_BYTES: Final = 16_384 + 512

# Space for what has come and for what it says, lent for the time of a call: one or two for each thread that receives.
_spaces: list[memoryview] = []


class TLSSocket:
    """TLS over *below*, which it owns.

    Args:
        below: Connected and non-blocking; the handshake of a TLSSocket is done.
        context: Settings.
        server_hostname: Name for SNI and the certificate.
        session: What an earlier connection left to be resumed; None for nothing.
    """

    __slots__ = ("_accepted", "_below", "_coming", "_going", "_is_broken", "_late", "_read", "_tls", "_unsent")

    def __init__(
        self,
        below: socket.socket | TLSSocket,
        context: ssl.SSLContext,
        server_hostname: str,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._below = below
        self._coming = ssl.MemoryBIO()
        self._going = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._coming, self._going, server_hostname=server_hostname, session=session)
        self._read: Callable[[int, memoryview], int] = cast(Any, self._tls.read)  # which is typed for one use of two
        self._unsent = memoryview(b"")  # taken from _going and not taken by the socket yet
        self._accepted = 0  # octets of a write that were encrypted and are not sent yet
        # An end or a failure that came behind octets already handed on: given by the next call.
        self._late: Literal[b""] | OSError | None = None
        # An answer of TLS could not be sent: the socket has told its failure, and tells it no more to who receives.
        self._is_broken = False

    def fileno(self) -> int:
        """The descriptor of the socket below; -1 once closed."""
        return self._below.fileno()

    def do_handshake(self) -> None:
        """Go on with the handshake, whose end is told by returning.

        Raises:
            ssl.SSLWantReadError: It goes on when the socket can be received from.
            ssl.SSLWantWriteError: It goes on when the socket takes more.
            OSError: It has failed, and the peer was told if its socket took that.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send_handshake()
                self._receive_handshake()
            except OSError:
                with contextlib.suppress(OSError):
                    self._push()
                raise
            else:
                self._send_handshake()
                return

    def _send_handshake(self) -> None:
        try:
            self._push()
        except BlockingIOError as exc:
            raise ssl.SSLWantWriteError(*exc.args) from None

    def _receive_handshake(self) -> None:
        try:
            data = self._below.recv(_LEAST_BYTES)
        except BlockingIOError as exc:
            raise ssl.SSLWantReadError(*exc.args) from None
        if data:
            self._coming.write(data)
        else:
            self._coming.write_eof()

    # Octets.

    def recv(self, limit: int) -> bytes:
        """Receive at most *limit* octets, and at most 256 KiB, over as many records as are there."""
        space = _lent()
        try:
            return bytes(space[: self.recv_into(space[:limit])])
        finally:
            _spaces.append(space)

    def recv_into(self, buffer: memoryview) -> int:
        """Receive into *buffer*, over as many records as are there."""
        filled = self._decrypt(buffer, 0)
        room = len(buffer)
        space = _lent()
        try:
            silent = 0
            while filled < room and self._late is None:
                asked = min(max(room - filled, _LEAST_BYTES), LARGE_RECV_BYTES)
                count = self._below.recv_into(space[:asked])
                if not count:
                    self._coming.write_eof()
                    filled = self._decrypt(buffer, filled)
                for start in range(0, count, _SLICE_BYTES):
                    self._coming.write(space[start : min(start + _SLICE_BYTES, count)])
                    filled = self._decrypt(buffer, filled)
                if filled:
                    if count < asked and not self._is_broken and not self._holds_below():
                        break
                    continue
                # Nothing was said: whether a failure stands behind what came is to be asked now, for uvloop tells of
                # one once.
                silent += count
                if silent > _MAX_SILENT_BYTES:
                    self._late = OSError(errno.EPROTO, "the peer sends messages of TLS and no content")
        except BlockingIOError:
            pass
        except OSError as exc:
            self._late = exc.with_traceback(None)  # whose frames would hold this object
        finally:
            _spaces.append(space)
        if filled:
            return filled
        if self._late is None:
            raise BlockingIOError
        late, self._late = self._late, b""
        if isinstance(late, OSError):
            raise late
        return 0

    def _decrypt(self, buffer: memoryview, filled: int) -> int:
        """Fill *buffer* from *filled* on with what TLS has got; return how far it is filled."""
        coming, pending, room = self._coming, self._tls.pending, len(buffer)
        while filled < room and self._late is None and (coming.pending or pending() or coming.eof):
            try:
                count = self._read(room - filled, buffer[filled:])
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                count = 0
            except OSError as exc:
                self._late = exc.with_traceback(None)
                break
            if not count:
                self._late = b""
            filled += count
        if self._going.pending:
            self._answer()
        return filled

    def _answer(self) -> None:
        """Send what TLS says of itself: the answer to a key update, an alert."""
        try:
            self._push()
        except BlockingIOError:
            if len(self._unsent) + self._going.pending > _MAX_WAITING_BYTES:
                self._late = OSError(errno.EPROTO, "the peer has TLS answer and does not take the answers")
        except OSError:
            self._is_broken = True  # what it has said before may be received still

    def has_more(self) -> bool:
        """Whether octets, the end or a failure may be here, where the descriptor does not show them."""
        return (
            self._late is not None
            or self._is_broken
            or self._coming.pending > 0
            or self._tls.pending() > 0
            or self._holds_below()
        )

    def _holds_below(self) -> bool:
        return isinstance(self._below, TLSSocket) and self._below.has_more()

    def is_silent(self) -> bool:
        """Whether all that is here are messages of TLS itself (tickets, key updates), which are taken in.

        An octet may be lost if it is not: who asks has no use for any.
        """
        if not self.has_more():
            return True
        try:
            self.recv_into(memoryview(bytearray(1)))
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def send(self, data: bytes | memoryview) -> int:
        """Send the first 64 KiB of *data*, or less if that is all; after a refusal offer the same octets again."""
        self._push()
        if not self._accepted:
            self._accepted = self._tls.write(data[:TLS_WRITE_BYTES])
            self._push()
        accepted, self._accepted = self._accepted, 0
        return accepted

    def _push(self) -> None:
        """Give the socket what TLS wants to send; ``BlockingIOError`` when it does not take all."""
        while True:
            if not self._unsent:
                self._unsent = memoryview(self._going.read())
                if not self._unsent:
                    return
            self._unsent = self._unsent[self._below.send(self._unsent) :]

    # Of the peer.

    def getpeercert(self, binary_form: Literal[True]) -> bytes | None:
        """See ``ssl.SSLSocket.getpeercert``."""
        return self._tls.getpeercert(binary_form)

    @property
    def session(self) -> ssl.SSLSession | None:
        """See ``ssl.SSLSocket.session``."""
        return self._tls.session

    # The end.

    def unwrap(self) -> None:
        """Say close_notify if the socket takes it now; the peer's is not waited for."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._push()

    def shutdown_socket(self) -> None:
        """Shut the socket itself down, past all TLS."""
        if isinstance(self._below, TLSSocket):
            self._below.shutdown_socket()
        else:
            self._below.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self._below.close()


def _lent() -> memoryview:
    try:
        return _spaces.pop()
    except IndexError:  # asking first would be a race with other threads
        return memoryview(bytearray(LARGE_RECV_BYTES))
