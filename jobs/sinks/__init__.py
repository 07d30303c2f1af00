"""Where bodies go. One module a kind of place; so far files below a folder."""

from __future__ import annotations

from .files import BAD_SUFFIX, PART_SUFFIX, Folder

__all__ = ["BAD_SUFFIX", "PART_SUFFIX", "Folder"]
