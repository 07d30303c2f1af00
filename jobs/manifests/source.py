"""Reading a manifest beside the event loop: a thread that reads ahead, a little, and can be stopped.

Lives here: descriptors, the thread, the hand-over. Not here: what a line means (the parser is given).

The problem: reading may block (standard input: for hours), and parsing a file takes time that the loop
does not have. The loop's own executor would keep the loop from ending while a read blocks, so the thread is
ours, a daemon. It waits for octets and for the word to stop in one poll(2), so that it stops at once even
while nobody types, and takes no octet after that.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Final, Self

from ..exceptions import ManifestError
from .lines import Batch
from .problems import UnreadableError

__all__ = ["STANDARD_INPUT", "ManifestSource"]

STANDARD_INPUT: Final = "-"
"""Names standard input in the place of a path."""

_CHUNK: Final = 256 * 1024  # octets a read: some 4,000 lines; larger ones were no faster
_AHEAD: Final = 4  # batches that wait for the loop; they bound the memory, reading is never the slow part
_STOP_SECONDS: Final = 1.0  # how long aclose waits for a thread that hangs in a read of a (network) disk

# O_NONBLOCK: opening a named pipe must not wait for its writer.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

Parse = Callable[[Iterable[bytes]], Iterator[Batch]]
Fault = Callable[[], ManifestError | None]


class ManifestSource:
    """The batches of a manifest, for one ``async for`` on one event loop. Close it, or use ``async with``.

    Iterating raises ManifestError when a read fails; the batches before it are handed out first.

    Attributes:
        name: The manifest as it was named.
        lines_read: Number of the last line handed out, from 1; 0 before.
    """

    def __init__(self, fd: int, name: str, parse: Parse, *, close_fd: bool = True, fault: Fault | None = None) -> None:
        """Read from the descriptor *fd*; prefer `open`.

        Args:
            fd: Where the octets come from. It may be non-blocking.
            name: For messages.
            parse: From chunks of octets to batches of lines, or UnreadableError; runs in the thread.
            close_fd: Whether *fd* is closed at the end.
            fault: Asked where the octets end, in the thread: why they do, None when that is the end.
        """
        self.name = name
        self.lines_read = 0
        self._fd = fd
        self._close_fd = close_fd
        self._fault = fault
        self._parse = parse
        self._reader: _Reader | None = None  # None until the first batch is asked for
        self._is_iterating = False
        self._is_closed = False

    @classmethod
    def open(cls, manifest: str, parse: Parse) -> ManifestSource:
        """Open the manifest named *manifest*; `STANDARD_INPUT` stands for standard input, which stays open.

        Raises:
            ManifestError: It is not there, cannot be read, or is a folder.
        """
        own = manifest != STANDARD_INPUT
        try:
            fd = os.open(manifest, _OPEN_FLAGS) if own else 0
            is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        except ValueError as exc:  # NUL in the name
            raise ManifestError(manifest, "no name for a file") from exc
        except OSError as exc:
            raise ManifestError(manifest, (exc.strerror or "unreadable").lower()) from exc
        if is_folder:
            if own:
                os.close(fd)
            raise ManifestError(manifest, "it is a folder; expected a file")
        return cls(fd, manifest, parse, close_fd=own)

    @property
    def eof_seen(self) -> bool:
        """Whether the manifest was read to its end and all of it was handed out."""
        return self._reader is not None and self._reader.has_ended and not self._reader.ready

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        """Return the next batch, waiting for it. Cancelling loses nothing.

        Raises:
            ManifestError: A read failed.
            RuntimeError: Two tasks iterate at once.
        """
        if self._is_iterating:
            raise RuntimeError("two tasks iterate over one manifest")
        if self._is_closed:
            raise StopAsyncIteration
        if self._reader is None:
            self._reader = _Reader(self._fd, self.name, self._parse, close_fd=self._close_fd, fault=self._fault)
        self._is_iterating = True
        try:
            batch = await self._reader.next_batch()
        finally:
            self._is_iterating = False
        if batch is None:
            raise StopAsyncIteration
        self.lines_read = batch[-1].number
        return batch

    async def aclose(self) -> None:
        """Stop reading and close the file. An ``async for`` that waits ends. Twice is once."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._reader is not None:
            await self._reader.stop()
        elif self._close_fd:
            os.close(self._fd)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Reader:
    """The thread of a source, and what it has read ahead.

    The thread ends at the end of the manifest, at an error, when it is stopped, and when the loop is closed;
    it closes what it was given to close. What is not said to run in the thread runs in the loop's.

    Attributes:
        ready: Batches that wait to be taken.
        has_ended: Whether the manifest was read to its end, and nothing read was dropped.
    """

    def __init__(self, fd: int, name: str, parse: Parse, *, close_fd: bool, fault: Fault | None) -> None:
        self.ready: deque[Batch] = deque()
        self.has_ended = False
        self._fd = fd
        self._name = name
        self._parse = parse
        self._close_fd = close_fd
        self._fault = fault
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()  # a batch came, or none will come any more
        self._gone = asyncio.Event()  # the thread is through
        self._failure: ManifestError | None = None
        self._room = threading.Semaphore(_AHEAD)
        self._is_stopped = False
        self._stop_reader, self._stop_writer = os.pipe()
        threading.Thread(target=self._work, name="fetchd-manifest", daemon=True).start()

    async def next_batch(self) -> Batch | None:
        """Return a batch, waiting for it; None when none will come. Raises the failure after the last."""
        while not self.ready and not self._gone.is_set() and not self._is_stopped:
            self._news.clear()
            await self._news.wait()
        if self.ready:
            self._room.release()
            return self.ready.popleft()
        if self._failure is not None:
            raise self._failure
        return None

    async def stop(self) -> None:
        """Have the thread end, whatever it waits for; what it has read ahead is dropped."""
        self._is_stopped = True
        self.has_ended = self.has_ended and not self.ready
        self.ready.clear()
        self._failure = None
        self._news.set()
        self._room.release()
        os.close(self._stop_writer)  # the thread sees that its end of the pipe is at an end
        try:
            # Not wait_for: Python 3.11's swallows a cancellation that comes just when it is through.
            async with asyncio.timeout(_STOP_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            return  # it hangs in a read of a disk, and ends with that or with the process

    def _deliver(self, batch: Batch) -> None:
        if not self._is_stopped:
            self.ready.append(batch)
            self._news.set()

    def _finish(self, failure: ManifestError | None) -> None:
        self._gone.set()
        if not self._is_stopped:
            self.has_ended = failure is None
            self._failure = failure
        self._news.set()

    def _work(self) -> None:
        """In the thread: all of it."""
        failure: ManifestError | None = ManifestError(self._name, "the parser broke down")
        try:
            for batch in self._parse(self._chunks()):
                if not self._hand_over(batch):
                    break
            failure = None
        except ManifestError as exc:
            failure = exc
        except UnreadableError as exc:
            failure = ManifestError(self._name, exc.reason)
        except OSError as exc:
            failure = ManifestError(self._name, (exc.strerror or str(exc)).lower())
        finally:
            if self._close_fd:
                os.close(self._fd)
            os.close(self._stop_reader)
            self._tell(partial(self._finish, failure))

    def _chunks(self) -> Iterator[bytes]:
        """In the thread: yield the octets as they come, until the end or until stopped."""
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        poller.register(self._stop_reader, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poller.poll()]
            if self._stop_reader in ready:
                return
            try:
                chunk = os.read(self._fd, _CHUNK)
            except BlockingIOError:  # somebody else reads from the same pipe and was quicker
                continue
            if not chunk:
                fault = None if self._fault is None else self._fault()
                if fault is not None:
                    raise fault
                return
            yield chunk

    def _hand_over(self, batch: Batch) -> bool:
        """In the thread: give *batch* to the loop when there is room; return whether to go on."""
        self._room.acquire()
        return not self._is_stopped and self._tell(partial(self._deliver, batch))

    def _tell(self, call: Callable[[], None]) -> bool:
        """In the thread: have the loop make *call*; return whether there still is a loop."""
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: nobody will read
            return False
        return True
