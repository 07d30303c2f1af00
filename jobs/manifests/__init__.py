"""Manifests: from a file or standard input to lines that say what to fetch.

`open_manifest` chooses the reader: so far the plain one (``plain.py``), over ``source.py``, which does the
reading. What a URL is, is not known here (``targets.py``).
"""

from __future__ import annotations

from .lines import MAX_LINE_BYTES, BadLine, Batch, DetailedLine, Line
from .plain import plain_lines
from .source import STANDARD_INPUT, ManifestSource

__all__ = [
    "MAX_LINE_BYTES",
    "STANDARD_INPUT",
    "BadLine",
    "Batch",
    "DetailedLine",
    "Line",
    "ManifestSource",
    "open_manifest",
    "plain_lines",
]


def open_manifest(manifest: str) -> ManifestSource:
    """Open a plain manifest: a URL a line, ``#`` before a comment.

    Args:
        manifest: Path of a file or named pipe; ``-`` is standard input.

    Raises:
        ManifestError: It cannot be opened, or is a folder.
    """
    return ManifestSource.open(manifest, plain_lines)
