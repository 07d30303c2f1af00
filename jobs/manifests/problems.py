"""The one error of the parsers. A leaf."""

from __future__ import annotations

__all__ = ["UnreadableError"]


class UnreadableError(Exception):
    """What follows in a manifest cannot be read at all: damaged, cut off, or of another format than was said.

    Attributes:
        reason: What is wrong, one phrase.
        line: Where, from 1; 0 when that cannot be told.
    """

    def __init__(self, reason: str, line: int = 0) -> None:
        self.reason = reason
        self.line = line
        super().__init__(reason)
