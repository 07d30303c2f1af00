"""Request fields that somebody wrote, on the command line or in a manifest: which may be sent. Pure."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["check_field", "parse_field"]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch  # RFC 9110 section 5.6.2
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]").search

# What fetchd must say itself, or octets of two representations could be joined (RFC 9110 section 14, RFC 9112
# section 6) or a body be stored otherwise than it says.
_OURS: Final = frozenset(
    ("accept-encoding", "connection", "content-length", "if-range", "range", "te", "trailer", "transfer-encoding")
)


def parse_field(text: str) -> tuple[str, str]:
    """Return name and value of a request field written as ``Name: value``.

    Raises:
        ValueError: It is not written so, or is one that fetchd sets itself. The value is not told: it may be secret.
    """
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError("expected 'Name: value'")
    return check_field(name, value)


def check_field(name: str, value: str) -> tuple[str, str]:
    """Return name and value of a request field without the blanks around them.

    Raises:
        ValueError: As `parse_field`.
    """
    name, value = name.strip(" \t"), value.strip(" \t\r\n")
    if _TOKEN(name) is None:
        raise ValueError("expected 'Name: value'")
    if _CONTROL(value) is not None:
        raise ValueError(f"control characters in the value of {name}")
    if name.lower() in _OURS:
        raise ValueError(f"{name} is a field that fetchd sets itself")
    return name, value
