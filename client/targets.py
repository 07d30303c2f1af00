"""What ``save`` is given that is no descriptor: a path, or an object that must be written by its own methods.

Lives here: opening a path without keeping the loop, and telling a plain file from one that does more. How octets get
into a descriptor is in ``saving``.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import io
import os
import stat
from collections.abc import Callable
from typing import IO, Any, Final, Protocol, Self, TypeGuard, cast

from .workers import finished

__all__ = ["ObjectWriter", "Writable", "has_descriptor", "open_target"]

# Between two looks whether a pipe has a reader. The system tells nobody when one comes, and a thread that waits in
# open(2) cannot be cancelled.
_READER_POLL_S: Final = 0.02


class Writable(Protocol):
    """What takes octets: how many it tells or not, now or when it is awaited."""

    def write(self, data: Any, /) -> Any: ...


async def open_target(path: str | os.PathLike[str], *, cut: bool) -> int:
    """A descriptor of the file at *path*, created when it is not there; that of a pipe as soon as it has a reader.

    Args:
        path: Any file that can be written.
        cut: Whether what is there is removed.

    Raises:
        OSError: It cannot be opened.
    """
    # O_TRUNC does, other than ftruncate, for devices as well. O_NONBLOCK means nothing to regular files.
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_TRUNC if cut else 0)
    while True:
        try:
            return os.open(path, flags, 0o666)
        except OSError as exc:
            if exc.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(path).st_mode):
                raise
        await asyncio.sleep(_READER_POLL_S)


def has_descriptor(file: Any) -> TypeGuard[IO[bytes]]:
    """Whether octets written to the descriptor of *file* are what its own ``write`` would have written.

    So it is with what ``open`` and ``tempfile`` give, and not with a file that compresses what it is given.
    """
    file = getattr(file, "file", file)  # what tempfile.NamedTemporaryFile gives is a wrapper
    file = file.buffer if type(file) is io.TextIOWrapper else file
    if type(file) in (io.BufferedWriter, io.BufferedRandom):
        file = file.raw
    return type(file) is io.FileIO


class ObjectWriter:
    """Writes by the ``write`` of an object, in a worker thread; an asynchronous one (aiofiles) is awaited.

    Attributes:
        regular_fd: None: it has no descriptor for others to write to.
    """

    regular_fd = None

    def __init__(self, file: Writable) -> None:
        self._file = file

    @classmethod
    async def at(cls, file: Writable, offset: int | None) -> Self:
        """A writer of *file* from *offset* on; None for where it stands."""
        writer = cls(file)
        if offset is not None:
            await writer._call(cast(IO[bytes], file).seek, offset)
        return writer

    async def write(self, data: bytes) -> None:
        """Write all of *data*; raises what the object does."""
        view = memoryview(data)
        while view:
            count = await self._call(self._file.write, view)
            if not isinstance(count, int) or count >= len(view):  # who tells nothing has taken all
                return
            view = view[count:]

    async def _call(self, method: Callable[..., Any], *args: Any) -> Any:
        if inspect.iscoroutinefunction(method):
            return await method(*args)
        return await finished(asyncio.get_running_loop().run_in_executor(None, method, *args))
