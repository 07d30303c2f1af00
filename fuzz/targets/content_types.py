# Invariant: any Content-Type has a media type and a charset or none, never raises; a charset is decoded in linear time
# or is unknown (LookupError, UnicodeError), and written as a quoted-string it is read back.
"""Content-Type, and the text that a response gives by it (RFC 9110 section 8.3). Input: the value of the field."""

from __future__ import annotations

import contextlib
import random
import time

from fetchd.client.challenges import quoted
from fetchd.client.mediatypes import charset_of, codec_for, media_type_of

from ..engine import Target

__all__ = ["TARGET"]

_TYPES = "text/html", "Text/Plain", "application/json", "text", "", "a/b/c", "é/ü"
_NAMES = "charset", "Charset", "charset ", "boundary", "charset*", "x", ""
_VALUES = (
    *(
        "utf-8",
        '"UTF-8"',
        "latin-1",
        '"a\\"b"',
        '"',
        "",
        "punycode",
        "idna",
        "utf-7",
        "utf-16",
        "undefined",
        "hex",
        "é",
    ),
    *("shift_jis", "unicode_escape", '"; charset=x"', "iso-2022-jp-2", "hz", "utf_8_sig", "cp65001"),
)
_TOKENS = tuple(
    text.encode("utf-8", "surrogateescape") for text in (*_NAMES[:3], *_VALUES, ";", "=", " ", "\\", "\udcff")
)
_CONTENT = b"-9a~{\\u\xff\xfe\x1b$B" * 2000


def _generate(rng: random.Random) -> bytes:
    parameters = [f"{rng.choice(_NAMES)}={rng.choice(_VALUES)}" for _ in range(rng.randint(0, 3))]
    return "; ".join([rng.choice(_TYPES), *parameters]).encode()


def _check(data: bytes) -> bool:
    value = data.decode("utf-8", "surrogateescape")
    assert media_type_of(value).count("/") == 1
    charset = charset_of(value)
    if charset is None:
        return False
    assert charset == charset.lower().strip(" \t")
    assert charset_of(f"a/b; x; charset={quoted(charset)}; charset=y") == charset
    began = time.thread_time()
    with contextlib.suppress(LookupError, UnicodeError):
        _CONTENT.decode(codec_for(charset), "replace")
    assert time.thread_time() - began < 1, charset
    return True


TARGET = Target("content_types", _generate, _check, _TOKENS)
