"""Metalink 4 (RFC 5854): an XML document of files, each with URLs, size and hashes; read as a stream. Pure.

Of a ``file`` count ``url`` (with its ``priority``, 1 the first), ``size``, ``hash`` and the attribute ``name``. Hashes
of pieces, signatures and ``metaurl`` are passed over, and so are URLs that are not http or https.

What a stranger's XML could do is refused: a document type declaration, and with it every entity but the five that XML
has; a tag, a text or a nesting beyond bounds. So memory is bounded whatever comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final
from xml.parsers import expat

from ..checksums import algorithm_named
from .fields import line_of
from .lines import BATCH_LINES, MAX_LINE_BYTES, BadLine, Batch, shown
from .problems import UnreadableError

__all__ = ["MAX_DEPTH", "MAX_FILE_CHARACTERS", "MAX_TAG_BYTES", "metalink_lines"]

MAX_DEPTH: Final = 50
"""Elements within each other. Metalink needs five."""
MAX_TAG_BYTES: Final = 1_048_576
"""Octets of one tag, comment or the like: what expat keeps until it is whole."""
MAX_FILE_CHARACTERS: Final = 262_144
"""Of the URLs and hashes of one file."""

_NAMESPACE: Final = "urn:ietf:params:xml:ns:metalink "
_OLD_NAMESPACE: Final = "http://www.metalinker.org/ "
_LAST_PRIORITY: Final = 999_999  # RFC 5854 section 4.2.16
_PIECE: Final = 65_536
_TEXTS: Final = ("url", "size", "hash")


def metalink_lines(chunks: Iterable[bytes]) -> Iterator[Batch]:
    """Yield the files of a Metalink document as its octets come; the line of each is that of its tag.

    Raises:
        UnreadableError: It is no XML, no Metalink 4, or exceeds a bound.
    """
    document = _Document()
    pieces = (chunk[at : at + _PIECE] for chunk in chunks for at in range(0, len(chunk), _PIECE))
    for data in chain(pieces, [b""]):
        broken: UnreadableError | None = None
        try:
            document.feed(data, is_final=not data)
        except UnreadableError as exc:
            broken = exc  # what is whole before it is handed out first, however the octets are cut
        found, document.found = document.found, []
        yield from (found[start : start + BATCH_LINES] for start in range(0, len(found), BATCH_LINES))
        if broken is not None:
            raise broken


class _Document:
    """What was read of a document.

    Attributes:
        found: Files that are complete and were not taken yet.
    """

    def __init__(self) -> None:
        self.found: Batch = []
        self._path: list[str] = []  # of the elements that are open, without the namespace
        self._file: _File | None = None
        self._text: list[str] = []
        self._attributes: Mapping[str, str] = {}
        self._fed = 0
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse_doctype

    def feed(self, data: bytes, *, is_final: bool = False) -> None:
        """Take the next octets.

        Raises:
            UnreadableError: See `metalink_lines`.
        """
        self._fed += len(data)
        try:
            self._parser.Parse(data, is_final)
        except expat.ExpatError as exc:
            raise UnreadableError(f"no XML: {expat.ErrorString(exc.code)}", exc.lineno) from exc
        except (ValueError, LookupError) as exc:  # an encoding that Python does not know, or will not have here
            raise UnreadableError(f"no XML: {exc}", self._line) from exc
        if self._fed - max(self._parser.CurrentByteIndex, 0) > MAX_TAG_BYTES + _PIECE:
            raise self._unreadable(f"a tag or comment longer than {MAX_TAG_BYTES} octets")

    @property
    def _line(self) -> int:
        return self._parser.CurrentLineNumber

    def _unreadable(self, reason: str) -> UnreadableError:
        return UnreadableError(reason, self._line)

    def _refuse_doctype(self, *_: object) -> None:
        raise self._unreadable("a document type declaration, which Metalink has none of")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and name != f"{_NAMESPACE}metalink":
            is_old = name.startswith(_OLD_NAMESPACE)
            raise self._unreadable("Metalink 3; expected Metalink 4" if is_old else "no Metalink 4 (RFC 5854)")
        if len(self._path) >= MAX_DEPTH:
            raise self._unreadable(f"more than {MAX_DEPTH} elements within each other")
        self._path.append(name.removeprefix(_NAMESPACE))
        if self._path[1:] == ["file"]:
            self._file = _File(self._line, attributes.get("name", ""))
        self._text.clear()
        self._attributes = attributes if len(self._path) == 3 else {}

    @property
    def _is_in_text(self) -> bool:
        return len(self._path) == 3 and self._path[2] in _TEXTS

    def _characters(self, text: str) -> None:
        if self._is_in_text and self._file is not None and self._file.has_room(len(text)):
            self._text.append(text)

    def _end(self, _: str) -> None:
        file = self._file
        if file is not None and self._is_in_text:
            file.add(self._path[2], "".join(self._text).strip(), self._attributes)
        self._text.clear()
        if file is not None and len(self._path) == 2:
            self.found.append(file.finished())
            self._file = None
        self._path.pop()


class _File:
    """One file of a document, as far as it came."""

    def __init__(self, line: int, name: str) -> None:
        self._line = line
        self._name = name
        self._size = ""
        self._digests: dict[str, str] = {}
        self._urls: list[tuple[int, str]] = []
        self._room = MAX_FILE_CHARACTERS

    def has_room(self, count: int) -> bool:
        """Count *count* characters more; whether they are within the bound."""
        self._room -= count
        return self._room >= 0

    def add(self, element: str, text: str, attributes: Mapping[str, str]) -> None:
        """Take the text of an element below it."""
        self.has_room(32)  # what an element costs, however empty
        if self._room < 0:
            return
        if element == "size":
            self._size = text
        elif element == "hash":
            algorithm = algorithm_named(attributes.get("type", ""))
            if algorithm is not None:
                self._digests[algorithm] = text
        elif text.partition(":")[0].lower() in ("http", "https"):
            self._urls.append((_priority(attributes.get("priority", "")), text))

    def finished(self) -> Any:
        """Return what it says."""
        try:
            if self._room < 0:
                raise ValueError(f"more than {MAX_FILE_CHARACTERS} characters of URLs and hashes for one file")
            if not self._name:
                raise ValueError("a file without a name")
            urls = [url for _, url in sorted(self._urls, key=lambda each: each[0])]
            if not urls:
                raise ValueError("a file without an http or https URL")
            if max(map(len, urls)) > MAX_LINE_BYTES:
                raise ValueError(f"longer than {MAX_LINE_BYTES} octets")
            values: dict[str, Any] = {"url": urls[0], "name": self._name, "size": self._size, **self._digests}
            return line_of(self._line, values | ({"mirrors": urls[1:]} if urls[1:] else {}))
        except ValueError as exc:
            return BadLine(self._line, shown(self._name), str(exc))


def _priority(text: str) -> int:
    """Return a priority (RFC 5854 section 4.2.16); the last one for nonsense."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else _LAST_PRIORITY
