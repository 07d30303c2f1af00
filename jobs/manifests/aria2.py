"""Input files of aria2 (its option ``-i``): the URLs of an item in a line, tabs between them; its options below. Pure.

    http://a.example/x.iso<TAB>http://b.example/x.iso
      dir=images
      out=x.iso
      checksum=sha-256=5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
      header=X-Key: 1
      http-user=me
      http-passwd=secret

The first URL is the item's, the others its mirrors. Understood are ``out``, ``dir``, ``checksum``, ``header``,
``referer``, ``user-agent``, and ``http-user`` with ``http-passwd``, which are sent by Basic unless a ``header`` says
otherwise; any other option is a column. Lines that begin with ``#`` are comments. An item is
complete when the next one begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from fetchd.client import BasicAuth

from ..checksums import algorithm_named
from .fields import line_of
from .lines import BATCH_LINES, BLANKS, BadLine, Batch, DetailedLine, Line, decoded, shown, split_lines

__all__ = ["MAX_ENTRY_BYTES", "aria2_lines"]

MAX_ENTRY_BYTES: Final = 262_144
"""Octets of one item, its options included."""

_SECRETS: Final = ("http-user", "http-passwd")
_FIELDS: Final = {"referer": "Referer", "user-agent": "User-Agent"}


class _Entry:
    """One item, as far as it came."""

    def __init__(self, number: int, line: bytes) -> None:
        self._number = number
        self._line = line
        self._size = len(line)
        self._options: dict[str, str] = {}
        self._headers: list[str] = []
        self._digests: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        self._bad: BadLine | None = None

    def add(self, number: int, line: bytes) -> None:
        """Take a line below it. The first that is wrong is what is told of the item."""
        self._size += len(line)
        if self._bad is not None:
            return
        try:
            if self._size > MAX_ENTRY_BYTES:
                raise ValueError(f"more than {MAX_ENTRY_BYTES} octets of options for one URL")
            self._take(decoded(line).strip(BLANKS))
        except ValueError as exc:
            self._bad = BadLine(number, _shown_option(line.strip()), str(exc))

    def _take(self, text: str) -> None:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError("no option; expected name=value")
        name = name.lower()
        if name == "header":
            self._headers.append(value)
        elif name in _FIELDS:
            self._headers.append(f"{_FIELDS[name]}: {value}")
        elif name in _SECRETS:
            self._secrets[name] = value
        elif name == "checksum":
            given, _, digest = value.partition("=")
            algorithm = algorithm_named(given)
            if algorithm is None:
                raise ValueError("checksum: expected the name of a known algorithm, = and its digits")
            self._digests[algorithm] = digest
        else:
            self._options[name] = value

    def finished(self) -> Line | DetailedLine | BadLine:
        """Return what it says."""
        if self._bad is not None:
            return self._bad
        try:
            urls = [url for part in decoded(self._line).split("\t") if (url := part.strip(BLANKS))]
            if not urls:
                raise ValueError("no url")
            values: dict[str, Any] = {**self._options, **self._digests}
            folder, name = values.pop("dir", ""), values.pop("out", "")
            if folder:
                name = f"{folder}/{name or _basename(urls[0])}"
            values |= {"url": urls[0], "mirrors": urls[1:] or None, "headers": self._fields() or None, "name": name}
            return line_of(self._number, values)
        except ValueError as exc:
            return BadLine(self._number, shown(self._line.strip()), str(exc))

    def _fields(self) -> list[str]:
        """Return the request fields, which are kept nowhere: a column would come into names and reports."""
        user = self._secrets.get("http-user")
        if not user or any(field.lower().startswith("authorization:") for field in self._headers):
            return self._headers
        credentials = BasicAuth(user, self._secrets.get("http-passwd", ""), "utf-8")
        return [*self._headers, f"Authorization: {credentials.encode()}"]


def aria2_lines(chunks: Iterable[bytes]) -> Iterator[Batch]:
    """Yield the items of a manifest as its octets come; how these are cut changes the batches and nothing else."""
    entry: _Entry | None = None
    for before, lines in split_lines(chunks):
        batch: Batch = []
        for number, line in enumerate(lines, before + 1):
            line = line.rstrip(b"\r")
            text = line.lstrip(b" \t")
            if not text or text.startswith(b"#"):
                continue
            if len(text) == len(line):
                if entry is not None:
                    batch.append(entry.finished())
                entry = _Entry(number, line)
            elif entry is not None:
                entry.add(number, line)
            else:
                batch.append(BadLine(number, shown(text), "an option without a URL above it"))
        for start in range(0, len(batch), BATCH_LINES):
            yield batch[start : start + BATCH_LINES]
    if entry is not None:
        yield [entry.finished()]


def _shown_option(line: bytes) -> str:
    """A line for a message; of what may be secret the name alone."""
    name = shown(line.partition(b"=")[0]).lower()
    return f"{name}=..." if name in ("header", *_SECRETS) else shown(line)


def _basename(url: str) -> str:
    """The last part of the path of *url* as written, for a file of which only the folder is given."""
    path = url.partition("#")[0].partition("?")[0].partition("://")[2].partition("/")[2]
    return path.rpartition("/")[2] or "index.html"
