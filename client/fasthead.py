"""The ordinary response head, read with one regular expression. Pure.

Theory of operation. Most responses of a bulk download are alike: HTTP/1.1, final, one Content-Length, nothing that
changes the framing, and the head comes in one piece. The parser (llhttp) makes a call of Python for every field of
such a head, and we then look at every field again: 30,000 instructions of the 140,000 that a GET of 1 KiB took. Here
one expression says that the head is what it must be, another one that nothing in it is out of the ordinary, and the
fields are split when somebody asks for them.

What is not ordinary gives None and goes to the parser, which stays the reference: for every head, this path gives None
or what the parser gives (a property test). So the expression may refuse what is allowed; it must not allow what
RFC 9112 refuses.
"""

from __future__ import annotations

import re
from typing import Final

from .framing import Framing, Message
from .limits import MAX_FIELDS, MAX_HEAD_BYTES

__all__ = ["Ordinary", "ordinary_head", "split_fields"]

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_TEXT: Final = rb"[\t -~\x80-\xff]*+"
# Status line and field lines of RFC 9112 sections 4 and 5, without a step back (possessive), so that the cost is linear
# whatever comes.
_HEAD: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) (%b)(\r\n(?:%b:%b\r\n)*+\r\n)" % (_TEXT, _TOKEN, _TEXT)).match
# The fields that say something of the message, in lower case: a length of at most 18 digits (beyond 10^18 octets the
# parser knows what to say), a connection that is kept, and all else, to be looked at by name.
_SAYING: Final = re.compile(
    rb"\r\n(?:content-length:[\t ]*+([0-9]{1,18}+)[\t ]*+(?=\r)|connection: ?keep-alive(?=\r)"
    rb"|((?:content-length|connection|set-cookie|transfer-encoding|content-encoding):))"
).findall
_NO_CONTENT: Final = frozenset((b"204", b"304"))
_BY_LENGTH: Final = Framing.LENGTH
# A field line has four octets at least, so that no more than MAX_FIELDS fit in this.
_LONG_HEAD_BYTES: Final = min(4 * MAX_FIELDS, MAX_HEAD_BYTES)

# Status, reason, the octets from the end of the status line to the end of the head, what the head says of the message.
Ordinary = tuple[int, bytes, bytes, Message]


def ordinary_head(data: bytes) -> Ordinary | None:
    """Read the head at the beginning of *data*, the response to a request that is not HEAD.

    Args:
        data: The first octets of a response.

    Returns:
        None when the head is not whole, not ordinary, or wrong: the parser will say which.
    """
    found = _HEAD(data)
    if found is None:
        return None
    status, reason, fields = found.groups()
    if status in _NO_CONTENT or len(fields) > _LONG_HEAD_BYTES:
        return None
    # Hot path: one search in octets (0.5 us); a look at each field costs four times as much.
    length, has_cookies = b"", False
    for digits, other in _SAYING(fields.lower()):
        if digits:
            if length:
                return None
            length = digits
        elif other:
            if other != b"set-cookie:":
                return None
            has_cookies = True
    if not length:
        return None
    # Hot path: what Message(...) does, without its call of Python.
    message = tuple.__new__(Message, (_BY_LENGTH, int(length), True, "", has_cookies))
    return int(status), reason, fields, message


def split_fields(fields: bytes) -> list[tuple[bytes, bytes]]:
    """The field lines of an ordinary head, as the parser gives them: blanks before a value removed."""
    pairs = []
    for line in fields[2:-4].split(b"\r\n"):
        name, _, value = line.partition(b":")
        pairs.append((name, value.lstrip(b" \t")))
    return pairs
