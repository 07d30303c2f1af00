"""Copies on disk of what is delivered: ``.part`` files that get their names when the destination has the body."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from fetchd.client.workers import finished

from ..exceptions import JobError
from ..httpdates import parse_http_date
from ..naming import safe_path
from ..sinks import Folder
from ..targets import parse_target

__all__ = ["Copies", "Copy", "write_all"]


class Copies:
    """A folder of copies, named as a run names its files.

    Args:
        root: The folder, made if it is not there.

    Raises:
        SettingsError, LocalFailureError: It cannot be had.
    """

    def __init__(self, root: Path) -> None:
        self._folder = Folder(root)

    def begin(self, url: str) -> Copy:
        """Begin the copy of what *url* gives.

        Raises:
            JobError: It cannot be written.
        """
        return Copy(self._folder, safe_path(parse_target(url)))

    def close(self) -> None:
        """Let go of the folder."""
        self._folder.close()


class Copy:
    """One copy that is being written. Closed without having been published, it is gone."""

    def __init__(self, folder: Folder, path: str) -> None:
        self._folder = folder
        self._path = path
        self._is_published = False
        self._fd = folder.open_part(path)
        try:
            os.ftruncate(self._fd, 0)
        except OSError as exc:
            os.close(self._fd)
            raise folder.failure(path, exc) from exc

    async def write(self, data: bytes) -> None:
        """Add *data*; by a worker thread, for a disk may keep one waiting."""
        try:
            await finished(asyncio.get_running_loop().run_in_executor(None, write_all, self._fd, data))
        except OSError as exc:
            raise self._folder.failure(self._path, exc) from exc

    def publish(self, headers: Mapping[str, str]) -> None:
        """Give it its name, and the time that Last-Modified of *headers* tells."""
        seconds = parse_http_date(headers.get("Last-Modified", ""))
        if seconds is not None and seconds >= 0:
            os.utime(self._fd, (seconds, seconds))
        self._folder.publish(self._path)
        self._is_published = True

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)
        if not self._is_published:
            with contextlib.suppress(JobError):
                self._folder.remove_part(self._path)


def write_all(fd: int, data: bytes) -> None:
    """Write all of *data*, however many calls it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
