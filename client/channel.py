"""One open non-blocking socket, and the only place that registers sockets with the event loop.

Rules, each paid for by a defect somewhere: the loop is given integers, never socket objects (uvloop would hold the
object and no FIN would be sent); a descriptor is unregistered and then closed in one function with no await between
(its number may be reused at once, and a late unregistration would kill the new owner's reader).
Lives here: readiness, octets in and out. Not here: HTTP, deadlines, names.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
from collections.abc import Callable

__all__ = ["Channel", "WriteFailedError", "wait_ready"]


class WriteFailedError(Exception):
    """The socket refused octets of the request; ``__cause__`` is the OSError."""


async def wait_ready(loop: asyncio.AbstractEventLoop, fd: int, *, for_writing: bool) -> None:
    """Wait until *fd*, which no channel has yet, can be read from or written to; cancelling leaves nothing behind."""
    waiter: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    if for_writing:
        loop.add_writer(fd, wake)
    else:
        loop.add_reader(fd, wake)
    try:
        await waiter
    finally:
        if for_writing:
            loop.remove_writer(fd)
        else:
            loop.remove_reader(fd)


class Channel:
    """A connected stream socket on an event loop, plain. ``TLSChannel`` has the same face.

    ``recv`` and ``send`` are calls as of a socket: b"" means the end, and BlockingIOError that nothing can be had or
    taken now (they are attributes, the plain socket's own methods here, because two calls of Python a request count).
    ``recv_into`` gives None when it would block. All raise OSError when the connection is broken.

    The reader stays registered between responses: adding and taking it off costs 2.6 us of a request's 17.

    Attributes:
        fd: The descriptor; -1 once closed.
        is_tls: Whether octets are encrypted on the way, so that no system call can move them to a file.
        is_tapped: Whether somebody looks at all octets, so that they must go by ``recv`` and ``send``.
    """

    __slots__ = (
        "_is_held",
        "_loop",
        "_on_readable",
        "_poller",
        "_reading",
        "_sock",
        "_write_waiter",
        "fd",
        "is_tapped",
        "recv",
        "send",
    )

    is_tls = False

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._sock = sock
        self.fd = sock.fileno()
        self.recv: Callable[[int], bytes] = sock.recv
        self.send: Callable[[bytes | memoryview], int] = sock.send
        self._on_readable: Callable[[], object] | None = None
        self._reading = False
        self._is_held = False
        self.is_tapped = False
        self._write_waiter: asyncio.Future[None] | None = None
        self._poller = select.poll()
        self._poller.register(self.fd, select.POLLIN)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} fd={self.fd}{' reading' if self._reading else ''}>"

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self.fd < 0

    # Readiness.

    def set_reader(self, on_readable: Callable[[], object]) -> None:
        """Call *on_readable* whenever there is something to receive; replaces the one before."""
        self.pause_reading()
        self._on_readable = on_readable
        self.resume_reading()

    def pause_reading(self) -> None:
        """Take the reader off: nobody wants octets now, and a reader left on would spin."""
        if self._reading and self.fd >= 0:
            self._reading = False
            self._loop.remove_reader(self.fd)

    def resume_reading(self) -> None:
        """Put the reader on again."""
        if not self._reading and self.fd >= 0 and self._on_readable is not None:
            self._reading = True
            self._loop.add_reader(self.fd, self._on_readable)

    def hear_of_failure(self) -> None:
        """Call this after receiving when more is wanted: octets may stand before a failure that came with them.

        uvloop tells of a socket that has failed once, and not again when one receives a part of what is there.
        """
        if self._reading and any(events & select.POLLERR for _, events in self._poller.poll(0)):
            self.pause_reading()
            self.resume_reading()

    @property
    def is_reading(self) -> bool:
        """Whether the reader is on."""
        return self._reading

    async def wait_writable(self) -> None:
        """Wait until ``send`` may take more; ``wake_writer`` and ``close`` end the wait too."""
        if self.fd < 0:
            return
        self._write_waiter = waiter = self._loop.create_future()
        fd = self.fd
        self._loop.add_writer(fd, self.wake_writer)
        try:
            await waiter
        finally:
            self._write_waiter = None
            if self.fd == fd:
                self._loop.remove_writer(fd)

    def wake_writer(self) -> None:
        """End the wait of ``wait_writable``; its caller looks at the world again."""
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)

    # Octets.

    def recv_into(self, buffer: memoryview) -> int | None:
        """Receive into *buffer*, as much as there is."""
        try:
            return self._sock.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            return None

    def has_buffered(self) -> bool:
        """Whether octets wait above the socket, where readiness does not show them (TLS records)."""
        return False

    def is_silent(self) -> bool:
        """Whether nothing has come: no octet, no end, no failure. Asks the system, which costs 0.5 us."""
        return self.fd >= 0 and not self._poller.poll(0)

    def close(self) -> None:
        """Close at once and without waiting for the peer. May be called again."""
        if self.fd < 0:
            return
        if self._reading:
            self._loop.remove_reader(self.fd)
            self._reading = False
        if self._write_waiter is not None:
            self._loop.remove_writer(self.fd)
        self.fd = -1
        self._on_readable = None
        self.recv, self.send = _closed_recv, _closed_send
        with contextlib.suppress(OSError):  # a peer's reset may surface here; the descriptor is gone either way
            if self._is_held:
                self._shut_down()
            else:
                self._sock.close()
        self.wake_writer()

    def _shut_down(self) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)

    # For a worker thread that uses the descriptor.

    def hold(self) -> int:
        """Keep the descriptor open until ``release``, even if the channel is closed meanwhile; no reading by others.

        Returns:
            The descriptor.
        """
        self.pause_reading()
        self._is_held = True
        return self.fd

    def release(self) -> None:
        """End ``hold``: close now if that was asked for, else read on."""
        self._is_held = False
        if self.fd < 0:
            self._sock.close()
        else:
            self.resume_reading()


def _closed_recv(limit: int) -> bytes:
    raise OSError(errno.EBADF, "the connection is closed")


def _closed_send(data: bytes | memoryview) -> int:
    raise OSError(errno.EBADF, "the connection is closed")
