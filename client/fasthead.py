"""The ordinary response head, read with one regular expression. Pure.

Theory of operation. Most responses of a bulk download are alike: HTTP/1.1, final, one Content-Length, nothing that
changes the framing, and the head comes in one piece. The parser (llhttp) makes a call of Python for every field of
such a head, and we then look at every field again: 30,000 instructions of the 140,000 that a GET of 1 KiB took. Here
one expression says that the head is what it must be, four searches say that nothing in it is out of the ordinary, and
the fields are split when somebody asks for them.

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

# Status line and field lines of RFC 9112 sections 4 and 5, every CR with its LF, without
# a step back (possessive), so that the cost is linear whatever comes. What stands in values is seen below.
_HEAD: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([^\r]*+)\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[^\r]*+\r\n)*+\r\n"
).match
# Octets in lower case; those that may not stand in a head become NUL.
_LOWER: Final = bytes(
    octet
    if octet in b"\t\r\n"
    else 0
    if octet < 0x20 or octet == 0x7F
    else ord(chr(octet).lower())
    if octet < 0x80
    else octet
    for octet in range(256)
)
# Fields that say something of the message or the connection, among names and values in lower case.
_TELLING: Final = re.compile(
    rb"\r\n(content-length|connection|transfer-encoding|content-encoding|set-cookie):[ \t]*([^\r]*)"
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
    head = found[0]
    low = head.translate(_LOWER)
    if low.find(b"\0") >= 0 or low.count(b"\n") != low.count(b"\r") or len(low) > _LONG_HEAD_BYTES:
        return None  # a control, an LF that stands alone, or perhaps too many fields
    length = -1
    has_cookies = has_connection = False
    for name, value in _TELLING(low):
        if name == b"content-length" and length < 0 and value.isdigit() and len(value) < 19:
            length = int(value)
        elif name == b"connection" and value == b"keep-alive" and not has_connection:
            has_connection = True
        elif name == b"set-cookie":
            has_cookies = True
        else:
            return None
    status, reason = found.groups()
    if length < 0 or status in _NO_CONTENT:
        return None
    # Hot path: what Message(...) does, without its call of Python.
    message = tuple.__new__(Message, (_BY_LENGTH, length, True, "", has_cookies))
    return int(status), reason, head[found.end(2) :], message


def split_fields(fields: bytes) -> list[tuple[bytes, bytes]]:
    """The field lines of an ordinary head, as the parser gives them: blanks before a value removed."""
    pairs = []
    for line in fields[2:-4].split(b"\r\n"):
        name, _, value = line.partition(b":")
        pairs.append((name, value.lstrip(b" \t")))
    return pairs
