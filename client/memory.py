"""Memory that was freed stays with the process, for the next octets to be received into.

The problem: content comes in pieces of up to 256 KiB, each a new object, freed soon after. glibc gives freed memory at
the top of its heap back to the system above 128 KiB, and takes memory for larger pieces from the system anew each time.
Every page of it is then faulted in and cleared again: of the CPU for 1 GiB streamed from TLS that was 0.9 s of 1.8 s.

glibc raises both bounds by itself as soon as a program frees one large piece that it had by mmap(2): to the size of
that piece, and to twice its size (mallopt(3), M_MMAP_THRESHOLD). So one such piece is had and let go of, untouched.
"""

from __future__ import annotations

from functools import cache
from typing import Final

__all__ = ["keep_freed_memory"]

# Freed memory is kept up to twice this: 64 responses of 100 KiB at a time are 6 MiB. 16 MiB gave no more.
_PIECE_BYTES: Final = 4_194_304


@cache
def keep_freed_memory() -> None:
    """Let the allocator keep up to 8 MiB of what is freed. Once in a process; without effect where it is not glibc."""
    bytes(_PIECE_BYTES)  # by calloc(3): no page of it is touched
