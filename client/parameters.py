"""Parameters behind a field's value, ``; name=value`` (RFC 9110 section 5.6.6), and values of RFC 8187. Pure.

Read leniently, for the names of files and links are what people write by hand: a value without quotes may hold blanks,
and a quoted-string that is not closed reaches to the end. Linear whatever comes.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["decode_extended", "read_parameters", "unquoted"]

# One parameter, and what stands between it and the next separator; possessive: without a step back.
_PARAMETER: Final = (
    r";(?P<name>[^;,=\"]*+)"
    r"(?:=[ \t]*+(?:\"(?P<quoted>(?:[^\"\\]|\\.)*+)(?:\"|\\?\Z)|(?P<plain>[^ENDS]*+)))?+[^ENDS]*+"
)
_IN_LIST: Final = re.compile(_PARAMETER.replace("ENDS", ";,"), re.DOTALL)
_ALONE: Final = re.compile(_PARAMETER.replace("ENDS", ";"), re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_EXTENDED: Final = re.compile(r"([A-Za-z0-9-]+)'[^']*'([!#$&+.^_`|~0-9A-Za-z%-]*)").fullmatch
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})").search
# RFC 8187 section 3.2.1 asks for UTF-8; RFC 5987 had Latin-1 beside it, and it is still sent.
_CHARSETS: Final = frozenset(("utf-8", "iso-8859-1"))


def read_parameters(value: str, position: int, *, in_list: bool) -> tuple[list[tuple[str, str]], int]:
    """The parameters of *value* from *position* on, where a semicolon stands or nothing of interest.

    Args:
        value: Of a field.
        position: Where they begin.
        in_list: Whether a comma outside of quotes ends them, as in a list of elements.

    Returns:
        Names, lower-case, and values, in order and repeated as they are; and where the reading has ended.
    """
    found: list[tuple[str, str]] = []
    match = (_IN_LIST if in_list else _ALONE).match
    while (parameter := match(value, position)) is not None:
        position = parameter.end()
        name, quoted, plain = parameter["name"].strip(" \t").lower(), parameter["quoted"], parameter["plain"]
        if name:
            found.append((name, (plain or "").strip(" \t") if quoted is None else unquoted(quoted)))
    return found, position


def unquoted(text: str) -> str:
    """What stands in a quoted-string, its backslashes removed (RFC 9110 section 5.6.4)."""
    return _ESCAPED.sub(r"\1", text)


def decode_extended(value: str) -> str | None:
    """The text of a value such as ``UTF-8''%e2%82%ac`` (RFC 8187 section 3.2); None when it is none."""
    match = _EXTENDED(value)
    if match is None or match[1].lower() not in _CHARSETS or _BAD_PERCENT(match[2]):
        return None
    try:
        return unquote_to_bytes(match[2]).decode(match[1])
    except UnicodeDecodeError:
        return None
