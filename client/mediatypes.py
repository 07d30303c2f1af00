"""Content-Type (RFC 9110 section 8.3): media type and charset, and which charsets of a peer are decoded. Pure.

The standard library's mail parser would do, but for 8 ms of import, and for values that it fails on.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

__all__ = ["charset_of", "codec_for", "media_type_of"]

# One parameter, its value a quoted-string or whatever stands before the next semicolon; without a step back.
_PARAMETER: Final = re.compile(
    r";[ \t]*+([^;=\"]*+)(?:=[ \t]*+(?:\"((?:[^\"\\]|\\.)*+)\"|([^;]*+)))?+[^;]*+", re.DOTALL
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
# Codecs that are Python's and no charset: punycode takes quadratic time, the others do more than decode.
_NO_CHARSETS: Final = frozenset(
    ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "mbcs", "oem")
)


def media_type_of(value: str) -> str:
    """Type and subtype of a Content-Type *value*, lower-case; ``text/plain`` for what is none (RFC 2045 5.2)."""
    media_type = value.partition(";")[0].strip(" \t").lower()
    return media_type if media_type.count("/") == 1 else "text/plain"


def charset_of(value: str) -> str | None:
    """The charset parameter of a Content-Type *value*, lower-case; None without, or with an empty one."""
    for parameter in _PARAMETER.finditer(value, len(value.partition(";")[0])):
        name, quoted, plain = parameter.groups()
        if name.strip(" \t").lower() == "charset":
            text = plain or "" if quoted is None else _ESCAPED.sub(r"\1", quoted)
            return text.strip(" \t").lower() or None
    return None


def codec_for(charset: str) -> str:
    """*charset*, if a response may ask for it by that name.

    Raises:
        LookupError: It is not known, or a codec of Python's that is no charset.
    """
    try:
        name = codecs.lookup(charset).name
    except ValueError:  # NUL, surrogates
        name = "undefined"
    if name in _NO_CHARSETS:
        raise LookupError(f"unknown charset: {charset!r}; text(encoding=...) takes another")
    return charset
