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

# Status line and field lines of RFC 9112 sections 4 and 5: token, colon, octets without controls but HTAB, CR LF.
_HEAD: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([\t -~\x80-\xff]*)\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*\r\n"
).match
_LENGTH: Final = re.compile(rb"[ \t]*([0-9]{1,18})[ \t]*\r").match
_LENGTH_NAME: Final = b"\r\ncontent-length:"
_NO_CONTENT: Final = frozenset((204, 304))

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
    if found is None or found.end() > MAX_HEAD_BYTES:
        return None
    status = int(found[1])
    fields = data[found.end(2) : found.end()]
    low = fields.lower()
    at = low.find(_LENGTH_NAME)
    if at < 0 or b"\r\ntransfer-encoding:" in low or b"\r\ncontent-encoding:" in low or status in _NO_CONTENT:
        return None
    length = _LENGTH(low, at + len(_LENGTH_NAME))
    if length is None or low.find(_LENGTH_NAME, at + 1) >= 0 or not _keeps_alive(low):
        return None
    if low.count(b"\r\n") > MAX_FIELDS + 2:
        return None
    # Hot path: what Message(...) does, without its call of Python.
    message = tuple.__new__(Message, (Framing.LENGTH, int(length[1]), True, "", b"\r\nset-cookie:" in low))
    return status, found[2], fields, message


def _keeps_alive(low: bytes) -> bool:
    """Whether nothing is said of the connection but that it lasts."""
    at = low.find(b"\r\nconnection:")
    return at < 0 or low.startswith((b" keep-alive\r\n", b"keep-alive\r\n"), at + 13) and (
        low.find(b"\r\nconnection:", at + 1) < 0
    )


def split_fields(fields: bytes) -> list[tuple[bytes, bytes]]:
    """The field lines of an ordinary head, as the parser gives them: blanks before a value removed."""
    pairs = []
    for line in fields[2:-4].split(b"\r\n"):
        name, _, value = line.partition(b":")
        pairs.append((name, value.lstrip(b" \t")))
    return pairs
