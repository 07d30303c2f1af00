"""The output folder: files that get their name when they are whole, and never outside of it.

Lives here: system calls on files and folders, and what their errors mean. Not here: which name an item has
(``naming.py``), when a file counts as done (``ledger.py``), how octets come from a socket into a descriptor.

Staying inside: every folder is opened relative to its parent's descriptor, one component at a time, and no
component may be a symbolic link; files are opened and renamed relative to their folder's descriptor. So a
link that is planted in the tree leads nowhere, also when it is planted between two calls: a path is never
looked up twice. The output folder itself may be a link, that is the user's choice.

A ``.part`` file is made with O_EXCL, after removing what stood there: what is written to is a new file, not
a link, a pipe, or another name of a file that somebody wants to keep.

Speed: descriptors of the folders used last are kept, so a small file costs open, write, close, rename and
nothing else.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ..exceptions import CollisionError, JobError, LocalFailureError, PolicyError, SettingsError

__all__ = ["BAD_SUFFIX", "PART_SUFFIX", "Folder"]

PART_SUFFIX: Final = ".part"
"""Ending of a file that is not whole; ``naming.py`` gives it to no item."""
BAD_SUFFIX: Final = ".bad"
"""Stands before `PART_SUFFIX` in the name of a content that was not what it should be and was set aside."""

_MAX_OPEN_FOLDERS: Final = 128  # descriptors; a manifest sorted by folder needs its depth, a shuffled one many
_MAX_TRIES: Final = 4  # a folder or a .part that comes and goes under our hands is somebody else's work

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe must not wait for its other end; on files it means nothing.
_EXISTING: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_TAKEN: Final = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY})
_NO_NAME: Final = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})
_NO_COMPONENTS: Final = frozenset({"", ".", ".."})


class Folder:
    """The folder *root*, made with its parents if it is not there. All calls from one thread at a time.

    The descriptors that `open_part` returns are the caller's and may be used in any thread.
    Paths are relative to *root*, with ``/`` between components, as ``naming.safe_path`` makes them.

    All methods that write raise:
        CollisionError: A file stands where a folder must be, or a folder where the file must go.
        PolicyError: A component is a symbolic link, or a name that the file system does not take.
        LocalFailureError: The disk is full or fails, or permission is missing.

    Args:
        root: The output folder.
        max_open: Descriptors of folders that are kept open, at least 1.

    Raises:
        SettingsError: *root* is no folder.
        LocalFailureError: It cannot be made or opened.
    """

    def __init__(self, root: Path, *, max_open: int = _MAX_OPEN_FOLDERS) -> None:
        self.root = root
        self._max_open = max_open
        self._folders: OrderedDict[str, int] = OrderedDict()  # path -> descriptor, the one used last at the end
        self._last_head = ""
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileExistsError, NotADirectoryError) as exc:
            raise SettingsError(f"{root} is no folder; expected one, or a name that is free") from exc
        except OSError as exc:
            raise LocalFailureError(root, exc.errno) from exc
        self._last_fd = self._root_fd

    def open_part(self, path: str, *, resume: bool = False) -> int:
        """Open the ``.part`` file of *path* for writing and return its descriptor, which the caller closes.

        Args:
            path: The file's path; folders above it are made.
            resume: Keep what is there (the descriptor stands at its beginning); else the file is a new one.
        """
        if not resume:
            return self._open(path, _NEW)
        fd = self._open(path, _EXISTING)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise PolicyError(path + PART_SUFFIX, "is no regular file")
        return fd

    def write_part(self, path: str, data: bytes, *, modified: float | None = None) -> None:
        """Make the ``.part`` file of *path* with *data* as its content; nothing is left when that fails.

        Args:
            path: The file's path; folders above it are made.
            data: The whole content.
            modified: Modification time, seconds since 1970; None leaves it.
        """
        fd = self._open(path, _NEW)
        try:
            try:
                _write_all(fd, data)
                if modified is not None:
                    os.utime(fd, (modified, modified))
            finally:
                os.close(fd)
        except OSError as exc:
            self._remove_quietly(path)
            raise self.failure(path, exc) from exc

    def publish(self, path: str, name: str | None = None) -> None:
        """Give the ``.part`` file of *path* its name, *name* where that is another path. What has it is replaced."""
        try:
            try:
                self._rename(path, name or path)
            except FileNotFoundError:
                self._forget_folders()  # perhaps ours are no longer the ones that have these names
                self._rename(path, name or path)
        except FileNotFoundError as exc:
            raise self.failure(path + PART_SUFFIX, exc) from exc
        except OSError as exc:
            raise self.failure(path, exc) from exc

    def sync_part(self, path: str) -> None:
        """Have the medium hold the content of the ``.part`` file of *path*; it blocks until it does."""
        folder, name = self._locate(path)
        try:
            fd = os.open(name + PART_SUFFIX, _READ, dir_fd=folder)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as exc:
            raise self.failure(path + PART_SUFFIX, exc) from exc

    def sync_folders(self, paths: Iterable[str]) -> None:
        """Have the medium hold the names of the files *paths*, and of the folders above them up to *root*."""
        heads: set[str] = set()
        for path in paths:
            head = path.rpartition("/")[0]
            while head and head not in heads:
                heads.add(head)
                head = head.rpartition("/")[0]
        for head in sorted(heads, key=len, reverse=True):
            try:
                os.fsync(self._open_folder(head, make=False))
            except OSError as exc:
                raise self.failure(head, exc) from exc
        try:
            os.fsync(self._root_fd)
        except OSError as exc:
            raise self.failure("", exc) from exc

    def size(self, path: str) -> int | None:
        """Return the octets of the file *path*; None when there is none, or something that is no file.

        Nothing is made. A file behind a symbolic link is not there.
        """
        head, _, name = path.rpartition("/")
        try:
            folder = self._last_fd if head == self._last_head else self._open_folder(head, make=False)
            found = os.lstat(name, dir_fd=folder)
        except (FileNotFoundError, PolicyError):
            return None
        except OSError as exc:
            error = self.failure(path, exc)
            if isinstance(error, PolicyError):
                return None
            raise error from exc
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def is_taken(self, path: str) -> bool:
        """Whether anything at all has the name *path*."""
        head, _, name = path.rpartition("/")
        try:
            os.lstat(name, dir_fd=self._open_folder(head, make=False))
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise self.failure(path, exc) from exc
        return True

    def part_size(self, path: str) -> int | None:
        """Return the octets of the ``.part`` file of *path*, as `size` does."""
        return self.size(path + PART_SUFFIX)

    def open_finished(self, path: str) -> int:
        """Open the file *path* for reading and return its descriptor, which the caller closes.

        Raises:
            FileNotFoundError: There is none, or something that is no file, or a symbolic link stands in its way.
            LocalFailureError: It cannot be read.
        """
        head, _, name = path.rpartition("/")
        try:
            fd = os.open(name, _READ, dir_fd=self._open_folder(head, make=False))
        except PolicyError as exc:
            raise FileNotFoundError(path) from exc
        except OSError as exc:
            if exc.errno in _NOT_THERE:
                raise FileNotFoundError(path) from exc
            raise self.failure(path, exc) from exc
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FileNotFoundError(path)
        return fd

    def remove_part(self, path: str) -> None:
        """Remove the ``.part`` file of *path* if there is one."""
        head, _, name = path.rpartition("/")
        try:
            os.unlink(name + PART_SUFFIX, dir_fd=self._open_folder(head, make=False))
        except FileNotFoundError:
            return
        except OSError as exc:
            raise self.failure(path + PART_SUFFIX, exc) from exc

    def set_aside(self, path: str) -> None:
        """Give the ``.part`` file of *path* a name under which nobody goes on with it; an older one is replaced."""
        try:
            folder, name = self._locate(path)
            os.rename(name + PART_SUFFIX, name + BAD_SUFFIX + PART_SUFFIX, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as exc:
            raise self.failure(path + PART_SUFFIX, exc) from exc

    def set_modified(self, path: str, seconds: float) -> None:
        """Set the modification time of the ``.part`` file of *path*, seconds since 1970."""
        folder, name = self._locate(path)
        try:
            os.utime(name + PART_SUFFIX, (seconds, seconds), dir_fd=folder, follow_symlinks=False)
        except OSError as exc:
            raise self.failure(path + PART_SUFFIX, exc) from exc

    def failure(self, path: str, exc: OSError) -> JobError:
        """Return our error for a system call that failed on *path* or on its descriptor."""
        code = exc.errno
        if code in _TAKEN:
            return CollisionError(path, "its place is taken: a file where a folder must be, or the reverse")
        if code == errno.ELOOP:
            return PolicyError(path, "a symbolic link stands in its way")
        if code in _NO_NAME:
            return PolicyError(path, f"the file system does not take the name ({os.strerror(code).lower()})")
        return LocalFailureError(self.root / path, code)

    def is_empty(self) -> bool:
        """Whether nothing is in the folder yet, apart from names that begin with a dot."""
        with os.scandir(self._root_fd) as entries:
            return all(entry.name.startswith(".") for entry in entries)

    def close(self) -> None:
        """Close all folders. Twice is once."""
        self._forget_folders()
        if self._root_fd >= 0:
            os.close(self._root_fd)
            self._root_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, path: str, flags: int) -> int:
        """Open the ``.part`` file of *path*; make its folder, and room for a new file, as needed."""
        for _ in range(_MAX_TRIES):
            folder, name = self._locate(path)
            try:
                return os.open(name + PART_SUFFIX, flags, 0o666, dir_fd=folder)
            except FileExistsError:
                self.remove_part(path)
            except FileNotFoundError:
                self._forget_folders()  # somebody removed the folder that our descriptor stands for
            except OSError as exc:
                raise self.failure(path + PART_SUFFIX, exc) from exc
        raise CollisionError(path + PART_SUFFIX, "another program makes and removes it")

    def _rename(self, path: str, to: str) -> None:
        folder, name = self._locate(path)
        # All that stands between the slashes is the same: a name is given within the folder.
        os.rename(name + PART_SUFFIX, to.rpartition("/")[2], src_dir_fd=folder, dst_dir_fd=folder)

    def _remove_quietly(self, path: str) -> None:
        """Remove a ``.part`` file after a failure, of which the caller will tell."""
        try:
            self.remove_part(path)
        except JobError:
            return

    def _locate(self, path: str) -> tuple[int, str]:
        """Return the descriptor of the folder of *path*, made if needed, and the name within."""
        head, _, name = path.rpartition("/")
        if name in _NO_COMPONENTS or "\0" in name:
            raise PolicyError(path, "no name for a file")
        if head == self._last_head:
            return self._last_fd, name
        try:
            return self._open_folder(head, make=True), name
        except OSError as exc:
            raise self.failure(path, exc) from exc

    def _open_folder(self, head: str, *, make: bool) -> int:
        """Return the descriptor of the folder *head*, from the ones that are open or by walking to it.

        Raises:
            OSError: As the system said it; FileNotFoundError only when not *make*.
        """
        fd = self._folders.get(head)
        if fd is None:
            fd = self._walk(head, make=make)
        else:
            self._folders.move_to_end(head)
        self._last_head, self._last_fd = head, fd
        return fd

    def _walk(self, head: str, *, make: bool) -> int:
        """Open the folders of *head* one below the other, beginning at the nearest one that is open."""
        if not head:
            return self._root_fd
        components = head.split("/")
        depth = len(components)
        while depth and "/".join(components[:depth]) not in self._folders:
            depth -= 1
        fd = self._folders["/".join(components[:depth])] if depth else self._root_fd
        for index in range(depth, len(components)):
            below = "/".join(components[: index + 1])
            fd = self._descend(fd, components[index], below, make=make)
            self._keep(below, fd)
        return fd

    def _descend(self, parent: int, name: str, path: str, *, make: bool) -> int:
        """Open the folder *name* in *parent*; *path* is for messages."""
        if name in _NO_COMPONENTS or "\0" in name:
            raise PolicyError(path, "no name for a folder")
        try:
            return os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
        except OSError as exc:
            # O_DIRECTORY has the system call a link "not a directory".
            if exc.errno == errno.ENOTDIR and stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode):
                raise PolicyError(path, "is a symbolic link") from exc
            raise
        try:
            os.mkdir(name, 0o777, dir_fd=parent)
        except FileExistsError:
            pass
        return os.open(name, _FOLDER, dir_fd=parent)

    def _keep(self, head: str, fd: int) -> None:
        """Remember an open folder; close the one that was not used for longest when there are too many."""
        self._folders[head] = fd
        if len(self._folders) > self._max_open:
            oldest, oldest_fd = self._folders.popitem(last=False)
            os.close(oldest_fd)
            if oldest == self._last_head:  # a walk that fails half-way would leave it pointing there
                self._last_head, self._last_fd = "", self._root_fd

    def _forget_folders(self) -> None:
        """Close all folders but the root."""
        for fd in self._folders.values():
            os.close(fd)
        self._folders.clear()
        self._last_head, self._last_fd = "", self._root_fd


def _write_all(fd: int, data: bytes) -> None:
    """Write *data*; the system may take a part of it at a time."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])
