"""From named values to an item: what the columns of a table, the members of an object and the like have in common.

    url                          text; the only one that must be there
    name                         output name, relative to the output folder
    size                         octets
    md5, sha1, sha256 ...        digest, hexadecimal or base64; raw octets too where the format has them
    mirrors                      further URLs: a list, or text with blanks between them
    headers                      request fields: an object, a list of "Name: value", or text with one a line
    method                       of the request; GET when it is not there
    priority                     a whole number; among the items of a host the higher come first; 0 when it is not there

Names are compared without case; ``-`` and ``_`` in the name of an algorithm do not count. An empty value is none.
Any other name is a column, kept as text. Pure; every error is a ValueError with one phrase.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..checksums import algorithm_named, digest_octets
from ..extras import Extras
from ..request_fields import check_field, parse_field
from .lines import BLANKS, DetailedLine, Line

__all__ = ["KNOWN", "line_of", "parse_json"]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch  # RFC 9110 section 9.1
_MAX_SIZE_DIGITS: Final = 18
_PRIORITY: Final = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII).fullmatch
# Without content, or no request for a representation.
_NO_METHODS: Final = frozenset(("CONNECT", "HEAD", "TRACE"))


def line_of(number: int, values: Mapping[str, Any]) -> Line | DetailedLine:
    """Return what *values* say, by name: text, numbers, octets, lists and objects, None for nothing.

    Raises:
        ValueError: There is no URL, or a value is not what its name asks for. The message names it.
    """
    url: str | None = None
    name: str | None = None
    digests: list[tuple[str, bytes]] = []
    said: dict[str, Any] = {}
    columns: dict[str, str] = {}
    for given, value in values.items():
        if value is None or value in ("", b""):
            continue
        key = given.strip().lower()
        algorithm = algorithm_named(key)
        try:
            if key == "url":
                url = _text(value).strip(BLANKS)
            elif key == "name":
                name = _text(value)
            elif algorithm is not None:
                octets = value if isinstance(value, bytes) else _text(value)
                digests.append((algorithm, digest_octets(algorithm, octets)))
            elif key in _PARSERS:
                said[key] = _PARSERS[key](value)
            else:
                columns[given] = _column(value)
        except ValueError as exc:
            raise ValueError(f"{key}: {exc}") from None
    if not url:
        raise ValueError("no url")
    extras = Extras(digests=tuple(digests), columns=columns, **said) if said or digests or columns else None
    if name is None and extras is None:
        return Line(number, url)
    return DetailedLine(number, url, name, extras)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        raise ValueError(f"{_shape(value)}; expected text")
    return value


def _size(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value) if abs(value) < 10**_MAX_SIZE_DIGITS else "too many digits"
    else:
        text = _text(value).strip(BLANKS)
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_SIZE_DIGITS):
        raise ValueError("expected a number of octets")
    return int(text)


def _priority(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value).strip(BLANKS)
    if _PRIORITY(text) is None:
        raise ValueError("expected a whole number from -999999999 to 999999999")
    return int(text)


def _mirrors(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(_text(each).strip(BLANKS) for each in value)
    return tuple(_text(value).split())


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if isinstance(value, str) and value.lstrip(BLANKS).startswith("{"):
        value = parse_json(value)
    if isinstance(value, Mapping):
        value = value.items()
    elif not isinstance(value, list | tuple):
        value = [line for line in _text(value).splitlines() if line.strip(BLANKS)]
    return tuple(_field(each) for each in value)


def _field(given: Any) -> tuple[str, str]:
    if isinstance(given, list | tuple) and len(given) == 2:
        return check_field(_text(given[0]), _text(given[1]))
    return parse_field(_text(given))


def _method(value: object) -> str:
    method = _text(value).strip(BLANKS).upper()
    if _TOKEN(method) is None:
        raise ValueError("expected the name of a method, such as GET")
    if method in _NO_METHODS:
        raise ValueError(f"{method} brings no content that could be stored")
    return method


def _column(value: object) -> str:
    """What stands in a column, as text: for templates, which put it into names."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _shape(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    shapes: Iterable[tuple[Any, str]] = ((int | float, "a number"), (Mapping, "an object"), (list | tuple, "a list"))
    return next((name for kind, name in shapes if isinstance(value, kind)), "something else")


def parse_json(text: str) -> Any:
    """Return the value that *text* is (RFC 8259); no NaN, no Infinity.

    Raises:
        ValueError: It is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as exc:
        raise ValueError(f"no JSON: {exc.msg[:1].lower()}{exc.msg[1:]} at column {exc.colno}") from None
    except RecursionError:
        raise ValueError("no JSON: nested too deeply") from None


def _refuse(name: str) -> Any:
    raise ValueError(f"no JSON: {name}")


_PARSERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "size": _size,
    "mirrors": _mirrors,
    "headers": _headers,
    "method": _method,
    "priority": _priority,
}

KNOWN: Final = frozenset(("url", "name", *_PARSERS))
"""The names that mean something, but for those of algorithms."""
