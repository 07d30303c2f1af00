"""Request heads (RFC 9112 sections 2 to 3, RFC 9110 section 5): from names and values to octets.

Nothing that a caller gives reaches the wire unchecked: a method or field name that is no token and a value with control
characters are refused, so that no field can be smuggled in. No I/O.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

from multidict import CIMultiDict

from .codings import accept_encoding
from .urls import Origin
from .version import __version__

if TYPE_CHECKING:
    from .bodies import Body

__all__ = [
    "EXPECT_CONTENT",
    "Fields",
    "check_method",
    "check_value",
    "default_fields",
    "encoded",
    "lowered",
    "merge_fields",
    "request_head",
    "serialize_fields",
    "split_head",
]

Fields = Mapping[str, str] | Iterable[tuple[str, str]]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]").search
# Methods whose request says that it has no content (RFC 9110 section 8.6: a POST without content sends 0).
EXPECT_CONTENT: Final = frozenset(("POST", "PUT", "PATCH"))


_PYTHON: Final = ".".join(str(part) for part in sys.version_info[:3])


@cache
def default_fields() -> tuple[tuple[str, str], ...]:
    """Fields of every request that does not bring its own."""
    return (
        ("Accept", "*/*"),
        ("Accept-Encoding", accept_encoding()),
        ("User-Agent", f"fetchd/{__version__} Python/{_PYTHON}"),
    )


def lowered(names: Iterable[str]) -> frozenset[str]:
    """Names of fields, to be compared.

    Raises:
        TypeError: A text, which is an iterable of letters.
    """
    if isinstance(names, str):
        raise TypeError(f"skip_auto_headers={names!r}; expected several names, as [{names!r}]")
    return frozenset(name.lower() for name in names)


def check_method(method: str) -> str:
    """*method* in upper case.

    Raises:
        ValueError: It is no token (RFC 9110 section 9.1).
    """
    if _TOKEN(method) is None:
        raise ValueError(f"method {method!r} is no token (letters, digits and !#$%&'*+.^_`|~-)")
    return method.upper()


def check_value(name: str, value: str) -> str:
    """*value*, which may stand in field *name*.

    Raises:
        ValueError: It holds control characters (RFC 9110 section 5.5) or halves of characters (surrogates), but for
            those that stand for octets of a response; the value itself is not told, it may be secret.
    """
    if _CONTROL(value) is not None:
        raise ValueError(f"the value of field {name!r} holds control characters")
    if not value.isascii() and _HALF(value) is not None:
        raise ValueError(f"the value of field {name!r} holds half of a character (U+D800 to U+DFFF)")
    return value


# What a recipient must know before the content, so that it may not stand behind it (RFC 9110 section 6.5.1).
_NOT_TRAILERS: Final = frozenset(
    (
        "transfer-encoding",
        "content-length",
        "host",
        "trailer",
        "te",
        "connection",
        "content-encoding",
        "content-type",
        "content-range",
        "authorization",
        "proxy-authorization",
        "cookie",
        "expect",
        "max-forwards",
        "cache-control",
        "pragma",
        "range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
    )
)


def check_trailers(names: Iterable[str]) -> str:
    """The value of the Trailer field (RFC 9110 section 6.6.2) that announces *names*.

    Raises:
        ValueError: A name that is no token, or of a field that must stand before the content.
    """
    names = list(names)
    for name in names:
        if _TOKEN(name) is None:
            raise ValueError(f"trailer field name {name!r} is no token (letters, digits and !#$%&'*+.^_`|~-)")
        if name.lower() in _NOT_TRAILERS:
            raise ValueError(f"{name} must stand before the content, not in a trailer (RFC 9110 section 6.5.1)")
    return ", ".join(names)


def merge_fields(base: Iterable[tuple[str, str]], given: Fields | None) -> CIMultiDict[str]:
    """*base* with *given* on top: a name that is given replaces all of its base values; repeated ones stay repeated.

    Raises:
        ValueError: A name that is no token, a value with control characters.
        TypeError: A name or value that is no text.
    """
    merged = CIMultiDict(base)
    if given is None:
        return merged
    pairs = list(given.items() if isinstance(given, Mapping) else given)
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"a field is two texts, seen {type(name).__name__} and {type(value).__name__}")
        if _TOKEN(name) is None:
            raise ValueError(f"field name {name!r} is no token (letters, digits and !#$%&'*+.^_`|~-)")
        check_value(name, value)
    for name in {name.lower() for name, _ in pairs}:
        merged.popall(name, None)
    merged.extend(pairs)
    return merged


def serialize_fields(origin: Origin, fields: Iterable[tuple[str, str]]) -> str:
    """What follows the request target: version, Host and *fields*, to the end of the head."""
    lines = [f" HTTP/1.1\r\nHost: {origin.host_field}\r\n"]
    lines.extend(f"{name}: {value.strip(_BLANKS)}\r\n" for name, value in fields)
    lines.append("\r\n")
    return "".join(lines)


_BLANKS: Final = " \t"


def request_head(method: str, target: str, origin: Origin, fields: CIMultiDict[str], body: Body | None) -> bytes:
    """The head of a request as octets.

    Args:
        method: A token in upper case.
        target: Request target, fit to be sent.
        origin: Where it goes; gives Host, unless *fields* hold one, and Authorization from the URL's userinfo.
        fields: All other fields, checked. Content-Length and Transfer-Encoding are set here.
        body: Content that will follow; None for none.
    """
    fields.popall("Content-Length", None)
    fields.popall("Transfer-Encoding", None)
    if body is None:
        if method in EXPECT_CONTENT:
            fields["Content-Length"] = "0"
    else:
        if body.content_type is not None:
            fields.setdefault("Content-Type", body.content_type)
        if body.length is None:
            fields["Transfer-Encoding"] = "chunked"
        else:
            fields["Content-Length"] = str(body.length)
    if origin.authorization is not None:
        fields.setdefault("Authorization", origin.authorization)
    host = fields.popall("Host", None)
    if host:
        origin = origin._replace(host_field=host[-1])
    return encoded(f"{method} {target}{serialize_fields(origin, fields.items())}")


def encoded(head: str) -> bytes:
    """The octets of a head.

    Values beyond ASCII go out as UTF-8, as browsers and aiohttp do; RFC 9110 section 5.5 leaves them opaque. What came
    as other octets, in a cookie, goes back as those.
    """
    return head.encode("utf-8", "surrogateescape")


def split_head(head: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values of the fields of a request *head* that was made here; what follows the head is not looked at."""
    lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [(name, value[1:]) for name, _, value in (line.partition(b":") for line in lines)]
