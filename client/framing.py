"""How long a response is and whether its connection lasts: RFC 9112 sections 6.3 and 9.3, as pure functions.

The parser (llhttp) refuses before this file is asked: Content-Length beside Transfer-Encoding, repeated or non-decimal
Content-Length (RFC 9112 6.3 would allow to accept the identical repetition; nobody sends it in good faith), bare LF,
folded fields, control characters in fields. What it leaves to its user is decided here.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from .exceptions import ResponseProtocolError

__all__ = ["Framing", "Message", "RawFields", "describe", "keep_alive_terms"]

RawFields = list[tuple[bytes, bytes]]


class Framing(Enum):
    """What ends the content of a response."""

    NONE = "none"  # there is none: HEAD, 204, 304
    LENGTH = "length"
    CHUNKED = "chunked"
    EOF = "eof"


class Message(NamedTuple):
    """What the head of a final response says of the message.

    Attributes:
        framing: What ends the content.
        length: Octets of content; None when the framing does not tell.
        keep_alive: Whether the connection may serve another request (RFC 9112 section 9.3).
        codings: Content-Encoding, all of them joined; "" for identity.
        sets_cookies: Whether there is a Set-Cookie field.
    """

    framing: Framing
    length: int | None
    keep_alive: bool
    codings: str
    sets_cookies: bool


# Fields that the exchange itself looks at.
_OTHER: Final = 0
_CONTENT_LENGTH: Final = 1
_CONNECTION: Final = 2
_TRANSFER_ENCODING: Final = 3
_CONTENT_ENCODING: Final = 4
_SET_COOKIE: Final = 5

# Hot path: field names as they come on the wire, so that no name is lowered twice. Bounded: a name that is not known
# is learnt only while there is room (names come from the peer).
_KINDS: Final[dict[bytes, int]] = {
    b"content-length": _CONTENT_LENGTH,
    b"connection": _CONNECTION,
    b"transfer-encoding": _TRANSFER_ENCODING,
    b"content-encoding": _CONTENT_ENCODING,
    b"set-cookie": _SET_COOKIE,
}
_MAX_KINDS: Final = 2048


def _learn(name: bytes) -> int:
    kind = _KINDS.get(name.lower(), _OTHER)
    if len(_KINDS) < _MAX_KINDS and len(name) < 64:
        _KINDS[name] = kind
    return kind


def describe(method: str, status: int, version: str, fields: RawFields) -> Message:
    """Say what the head of a final response means for its message.

    Args:
        method: Method of the request: the response to HEAD has no content.
        status: Status code, 200 or above.
        version: ``1.0`` or ``1.1``.
        fields: Field lines in order, as received.

    Raises:
        ResponseProtocolError: A transfer coding other than chunked, or a length that is no number.

    Source: RFC 9112 section 6.3, whose steps are the ones below.
    """
    length: int | None = None
    transfer = connection = codings = b""
    cookies = False
    for name, value in fields:
        kind = _KINDS.get(name)
        if kind is None:
            kind = _learn(name)
        if kind == _OTHER:
            continue
        if kind == _CONTENT_LENGTH:
            try:
                length = int(value)
            except ValueError:  # leading zeros by the thousand: more digits than Python converts
                raise ResponseProtocolError(f"Content-Length of {len(value)} digits") from None
        elif kind == _CONNECTION:
            connection = connection + b"," + value if connection else value
        elif kind == _TRANSFER_ENCODING:
            transfer = transfer + b"," + value if transfer else value
        elif kind == _CONTENT_ENCODING:
            codings = codings + b"," + value if codings else value
        else:
            cookies = True
    coding = codings.decode("latin-1").strip(" \t").lower() if codings else ""
    keep_alive = _keeps_alive(version, connection)
    if method == "HEAD" or status == 204 or status == 304:
        return Message(Framing.NONE, length, keep_alive, coding, cookies)
    if transfer:
        if transfer.strip(b" ").lower() != b"chunked":
            # Stricter than section 6.3, which reads such a message to the end of the connection: its content would
            # still be coded, and we ask for no transfer coding. Only blanks are stripped, as the parser does it: where
            # it does not see chunked, neither may we.
            named = transfer[:40].decode("latin-1")
            raise ResponseProtocolError(f"transfer coding {named!r}; expected chunked alone")
        # Section 6.1: an HTTP/1.0 message with a transfer coding is faulty; close after it.
        return Message(Framing.CHUNKED, None, keep_alive and version != "1.0", coding, cookies)
    if length is not None:
        return Message(Framing.LENGTH, length, keep_alive, coding, cookies)
    return Message(Framing.EOF, None, False, coding, cookies)


def _keeps_alive(version: str, connection: bytes) -> bool:
    if not connection:
        return version == "1.1"
    if connection == b"keep-alive":
        return True
    options = {option.strip() for option in connection.lower().split(b",")}
    if b"close" in options:
        return False
    return version == "1.1" or b"keep-alive" in options


# The server counts from its last octet sent, we from the last received, and a request is under way for a while: taken
# off its word so that the two do not meet. A guess at a slow network; undici takes 2 s, most clients nothing.
_KEEP_ALIVE_MARGIN_S: Final = 1.0


def keep_alive_terms(keep_alive: bytes) -> tuple[float | None, int | None]:
    """For how long, and for how many requests, a connection may be used by the *keep_alive* field of its server.

    Args:
        keep_alive: Value of the field: ``timeout=5, max=100``. What is no number is passed over.

    Returns:
        Seconds it may be idle: a timeout of the server's less a second, at least half of it. And requests it may serve,
        the one that is answered included, at least 1: Apache leaves that one out and serves one more, but
        RFC 2068 section 19.7.1.1 names ``max`` and says no more. None for what the field does not say.
    """
    seconds: float | None = None
    count: int | None = None
    for item in keep_alive.lower().split(b","):
        name, _, value = item.partition(b"=")
        value = value.strip(b' \t"')
        if not value.isdigit() or len(value) > 9:
            continue
        name = name.strip()
        if name == b"timeout":
            timeout = float(value)
            seconds = max(timeout - _KEEP_ALIVE_MARGIN_S, timeout / 2)
        elif name == b"max":
            count = max(int(value), 1)
    return seconds, count
