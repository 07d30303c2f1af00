"""The files that the server gives out: made when a row asks for them, known octet by octet.

Contents follow from the number of the file, so a copy can be checked without the original, and
two files never hold the same: a client that mixes up two answers is found out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

SMALL_BYTES = 1024
LARGE_BLOCK = 1024 * 1024


def content_of(number: int, size: int) -> bytes:
    """Return the *size* octets, a multiple of 64, of the file *number*."""
    return hashlib.blake2b(number.to_bytes(8, "big")).digest() * (size // 64)


class Site:
    """The folder that the server serves.

    Attributes:
        root: The folder itself.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._larges = 0
        root.mkdir(parents=True, exist_ok=True)
        (root / "empty.bin").write_bytes(b"")

    def make_small(self, count: int) -> list[str]:
        """Make *count* files of 1 KiB, 1,000 a folder; return their paths, each with its slash."""
        return self.make_files("small", count, SMALL_BYTES)

    def make_files(self, folder: str, count: int, size: int) -> list[str]:
        """Make *count* files of *size* octets below *folder*, 1,000 a folder; return their paths, as above."""
        paths = [f"/{folder}/{number // 1000:03d}/{number:06d}.bin" for number in range(count)]
        for number, path in enumerate(paths):
            file = self.root / path[1:]
            if number % 1000 == 0:
                file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content_of(number, size))
        return paths

    def make_large(self, size: int) -> str:
        """Make one file of *size* octets (whole MiB) of which no two MiB are alike; return its path.

        The name is a new one each time: the server remembers the open file of a name (open_file_cache).
        """
        self._larges += 1
        name = f"large-{self._larges}.bin"
        noise = os.urandom(LARGE_BLOCK - 8)
        with (self.root / name).open("wb") as file:
            for number in range(size // LARGE_BLOCK):
                file.write(number.to_bytes(8, "big") + noise)
        return f"/{name}"


def number_of(path: Path) -> int:
    """Return the number of a small file from its name."""
    return int(path.name.partition(".")[0])


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file below *folder*, fetchd's own folder left out."""
    for place, folders, names in os.walk(folder):
        if ".fetchd" in folders:
            folders.remove(".fetchd")
        for name in names:
            yield Path(place, name)


def same_content(left: Path, right: Path) -> bool:
    """Tell whether two files hold the same octets, reading both in large blocks."""
    if left.stat().st_size != right.stat().st_size:
        return False
    block = 4 * LARGE_BLOCK
    with left.open("rb", buffering=0) as one, right.open("rb", buffering=0) as other:
        while data := one.read(block):
            if data != other.read(len(data)):
                return False
    return True
