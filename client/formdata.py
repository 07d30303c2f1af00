"""``FormData``: the fields of an HTML form, in the order they were given, and how they are encoded.

Lives here: what a field may be, and which of the two encodings a form needs. How the parts of multipart/form-data are
laid out and sent is in ``multipart``. No I/O: a file that is given is looked at, not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import IO, Any, Final, NamedTuple
from urllib.parse import urlencode

from .continued import ContinuedContent
from .heads import check_value
from .streams import StreamReader

__all__ = ["FieldContent", "FormData", "FormField"]

FieldContent = (
    str
    | int
    | float
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | AsyncIterable[bytes]
    | StreamReader
    | ContinuedContent
)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ASCII: Final = "".join(map(chr, range(0x80)))
Fields = Mapping[str, object] | Iterable[object] | IO[bytes]


class FormField(NamedTuple):
    """One field of a form.

    Attributes:
        name: The field's name.
        value: Its content; numbers are text already.
        content_type: Content-Type of its part; None for the one of its kind.
        filename: Makes it a file in the eyes of the server; None makes it a value.
    """

    name: str
    value: Any
    content_type: str | None = None
    filename: str | None = None


class FormData:
    """An HTML form: application/x-www-form-urlencoded while all of it is text, else multipart/form-data (RFC 7578).

    A file object, octets, an asynchronous iterable, a file name or a content type make it multipart. Files are sent
    from where they stand when the request is made.

    Args:
        fields: A mapping or pairs; see ``add_fields``.
        quote_fields: Whether names and file names of multipart are encoded as the HTML standard does: ``"`` and
            control characters percent-encoded, all else as it is. False writes a quoted string with backslashes
            (RFC 2183), for servers that do not decode, and refuses control characters. Default True.
        charset: Of names, file names and texts; default UTF-8. It is told to the server only when it is given.

    Raises:
        TypeError, ValueError: See ``add_field``.
        LookupError: *charset* is unknown.
        ValueError: *charset* is no token, or does not write ASCII as ASCII (UTF-16): no server could read the parts.
    """

    def __init__(self, fields: Fields = (), quote_fields: bool = True, charset: str | None = None) -> None:
        if charset is not None:
            _check_charset(charset)
        self.quote_fields = quote_fields
        self.charset = charset
        self.fields: list[FormField] = []
        if isinstance(fields, Mapping):
            self.add_fields(*fields.items())
        elif hasattr(fields, "read"):
            self.add_fields(fields)
        elif isinstance(fields, Iterable):
            self.add_fields(*fields)
        else:
            raise TypeError(f"a form is a mapping, or pairs of a name and a value; seen {type(fields).__name__}")

    def __repr__(self) -> str:
        kind = "multipart" if self.is_multipart else "url-encoded"
        return f"<FormData {kind}, {len(self.fields)} fields>"  # not what is in them: it may be secret

    @property
    def is_multipart(self) -> bool:
        """Whether a field cannot be told from its text alone."""
        return any(
            field.filename is not None or field.content_type is not None or not isinstance(field.value, str)
            for field in self.fields
        )

    def add_field(
        self, name: str, value: FieldContent, *, content_type: str | None = None, filename: str | None = None
    ) -> None:
        """Add one field behind the others; a name may come again.

        Args:
            name: The field's name.
            value: Text or a number; octets; a file object opened with ``"rb"``, aiofiles too; an asynchronous iterable
                of octets; a ``StreamReader``; a ``ContinuedContent``.
            content_type: Default: none for a value; for a file by its name, else application/octet-stream.
            filename: Default: the name of a file object, else *name* when it is one; None for anything else.

        Raises:
            TypeError: *name*, *content_type* or *filename* is no text, *value* none of the above.
            ValueError: *content_type* holds control characters.
        """
        for what, given in (("name", name), ("file name", filename), ("content type", content_type)):
            if given is not None and not isinstance(given, str):
                raise TypeError(f"the {what} of a form field must be text, not {type(given).__name__}")
        if not isinstance(name, str):
            raise TypeError("the name of a form field must be text, not NoneType")
        if content_type is not None:
            check_value("Content-Type", content_type)
        if filename is None and hasattr(value, "read") and not isinstance(value, StreamReader):
            filename = _name_of(value) or name
        self.fields.append(FormField(name, _checked(name, value), content_type, filename))

    def add_fields(self, *fields: Any) -> None:
        """Add several fields.

        Args:
            *fields: Each a pair of a name and a value; a mapping of them; or a file object, whose field is called
                as the file is. A value may also be ``(filename, content)`` or ``(filename, content, content_type)``,
                where a text is sent as a file.

        Raises:
            TypeError, ValueError: See ``add_field``.
        """
        for field in fields:
            if isinstance(field, Mapping):
                self.add_fields(*field.items())
            elif hasattr(field, "read"):
                self.add_field(_name_of(field) or "unknown", field)
            elif isinstance(field, (tuple, list)) and len(field) == 2 and isinstance(field[0], str):
                self._add_pair(*field)
            else:
                raise TypeError(f"a form is a mapping, or pairs of a name and a value; seen {type(field).__name__}")

    def _add_pair(self, name: str, value: Any) -> None:
        if not isinstance(value, tuple):
            self.add_field(name, value)
        elif len(value) in (2, 3):
            self.add_field(name, value[1], content_type=value[2] if len(value) == 3 else None, filename=value[0])
        else:
            raise TypeError(
                f"form field {name!r} is a tuple of {len(value)}; expected (filename, content) or"
                " (filename, content, content_type)"
            )

    def urlencoded(self) -> bytes:
        """The form as application/x-www-form-urlencoded; for one that is not multipart.

        Raises:
            UnicodeEncodeError: *charset* lacks a character.
        """
        pairs = [(field.name, field.value) for field in self.fields]
        return urlencode(pairs, encoding=self.charset or "utf-8", errors="strict").encode("ascii")


def _check_charset(charset: str) -> None:
    """Refuse what is no token (Python takes "utf-8\\r\\n" for UTF-8), and charsets without ASCII."""
    if _TOKEN.fullmatch(charset) is None:
        raise ValueError(f"charset {charset!r} is not the name of one")
    if _ASCII.encode(charset) != _ASCII.encode("ascii"):
        raise ValueError(f"charset {charset!r} does not write ASCII as ASCII, as a form must; use utf-8")


def _checked(name: str, value: Any) -> Any:
    """*value*, which a field may have; a number as text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    octets = (str, bytes, bytearray, memoryview, AsyncIterable, ContinuedContent)
    if isinstance(value, octets) or hasattr(value, "read"):
        return value
    raise TypeError(f"form field {name!r} must be text, a number, octets or a file, not {type(value).__name__}")


def _name_of(file: Any) -> str | None:
    """The last part of the path of *file*; None when it has none (in memory, of a descriptor, ``<stdin>``)."""
    path = getattr(file, "name", None)
    if not isinstance(path, str) or (path.startswith("<") and path.endswith(">")):
        return None
    return os.path.basename(path) or None
