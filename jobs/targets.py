"""Which host a manifest's URL means, and which path: just enough to schedule, name and check an item.

The URL itself is never rewritten here: the client sends its octets as they stand. Nothing is
resolved, requested or named. Pure, apart from a bounded cache of origins.

Sources: RFC 3986 (generic syntax; section 3.2 authority), RFC 9110 section 4.2 (http and https),
RFC 1035 section 2.3.4 (length of names), RFC 5890 (international names, by way of yarl).

Ten million lines pass through here, so the ordinary URL takes one regular expression and one look-up of
its origin (1 us; yarl takes 4). What the expression does not match is looked at slowly, by steps that
each know one thing that can be wrong and say what it is. Messages hold no excerpt of the URL apart
from a scheme and single characters: ``http://user:secret/x`` must not show a password as a bad port.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

__all__ = ["MAX_URL_LENGTH", "Target", "parse_target", "without_userinfo"]

MAX_URL_LENGTH: Final = 65_536
"""Characters. Servers take 8 KiB (nginx, Apache) to 64 KiB; a longer line is no URL but a mistake."""

_MAX_CACHED_ORIGINS: Final = 8_192  # some 2 MB; a manifest sorted by host needs one, a shuffled one its hosts


class Target(NamedTuple):
    """The parts of an http(s) URL.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name in lower case and in its ASCII form, IPv4 address, or IPv6 address in brackets
            (RFC 5952 form).
        port: The URL's port or the scheme's default.
        raw_path: Path as written, never empty (``/`` stands in), neither decoded nor normalised.
        raw_query: Query as written, without the ``?``; None when there is no ``?``.
        host_key: ``host:port``, what host budgets are kept by; a final dot of the name is left out.
            URLs of one origin share one string.
    """

    scheme: str
    host: str
    port: int
    raw_path: str
    raw_query: str | None
    host_key: str


_Origin = tuple[str, str, int, str]  # scheme, host, port, host_key

# Printable ASCII only, so a match proves that no blank or control character is anywhere in it.
_ORDINARY: Final = re.compile(
    r"(https?://[A-Za-z0-9_.:-]+)"  # no userinfo, no brackets, no escapes
    r"(/[!-\"$->@-~]*)?"
    r"(?:\?([!-\"$-~]*))?"
    r"(?:#[!-~]*)?"
).fullmatch

_ANY: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL).fullmatch
# C0, DEL, C1, blanks of every kind, line ends, and what is no character at all (lone surrogates:
# octets that were not UTF-8). Zero-width joiners are not among them: some languages need them.
_FORBIDDEN: Final = re.compile("[\0-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]")
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,63}").fullmatch
_PORT: Final = re.compile(r"0*([0-9]{1,5})").fullmatch
_USERINFO: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*@")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_origins: dict[str, _Origin] = {}


def parse_target(text: str) -> Target:
    """Return the parts of the http(s) URL *text*.

    Raw UTF-8 and international host names are accepted; a fragment is dropped.

    Raises:
        ValueError: *text* is no such URL. The message is one phrase, fit for a person, without excerpts.
    """
    match = _ORDINARY(text)
    if match is None or len(text) > MAX_URL_LENGTH:
        return _parse_slowly(text)
    origin_text, path, query = match.groups()
    # Hot path: one look-up for what is the same in most URLs of a manifest.
    scheme, host, port, key = _origins.get(origin_text) or _new_origin(origin_text)
    return Target(scheme, host, port, path or "/", query, key)


def without_userinfo(url: str) -> str:
    """Return *url* without ``user:password@``, for messages, logs and the ledger; otherwise unchanged."""
    if "@" not in url:
        return url
    return _USERINFO.sub(lambda match: f"{match[1] or ''}//", url, count=1)


def _parse_slowly(text: str) -> Target:
    """Parse what the ordinary expression did not match, and say what is wrong with it if something is."""
    if not text:
        raise ValueError("empty; expected a URL")
    if len(text) > MAX_URL_LENGTH:
        raise ValueError(f"longer than {MAX_URL_LENGTH} characters")
    _check_characters(text)
    match = _ANY(text)
    if match is None:
        raise ValueError("no scheme; expected a URL that begins with http:// or https://")
    origin_text, path, query = match.groups()
    scheme, host, port, key = _origins.get(origin_text) or _new_origin(origin_text)
    return Target(scheme, host, port, path or "/", query, key)


def _check_characters(text: str) -> None:
    """Refuse what no URL may hold, wherever it stands."""
    match = _FORBIDDEN.search(text)
    if match is None:
        return
    column, code = match.start() + 1, ord(match[0])
    if 0xD800 <= code <= 0xDFFF:
        raise ValueError(f"not UTF-8 at column {column}")
    if match[0] not in " \t" and (code < 0x20 or 0x7F <= code < 0xA0):
        raise ValueError(f"control character (U+{code:04X}) at column {column}")
    raise ValueError(f"blank at column {column}; expected it as %20")


def _new_origin(origin_text: str) -> _Origin:
    """Parse ``scheme://authority`` and cache it."""
    scheme, _, authority = origin_text.partition("://")
    scheme = scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(f"unknown scheme {scheme[:20]!r}; expected http or https")
    origin = _parse_origin(scheme, authority)
    if len(_origins) >= _MAX_CACHED_ORIGINS:
        _origins.clear()  # cheaper than keeping an order, and rare
    _origins[origin_text] = origin
    return origin


def _parse_origin(scheme: str, authority: str) -> _Origin:
    """Return the origin of an authority (RFC 3986 section 3.2), userinfo left out."""
    userinfo, _, host_port = authority.rpartition("@")
    if "\\" in userinfo:
        # Browsers take "\" for "/": http://good.example\@evil.example/ means two hosts to two readers.
        raise ValueError("backslash before the host")
    if host_port.startswith("["):
        host, bracket, rest = host_port.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("unclosed bracket; expected an IPv6 address as [::1]")
        host, port_text = _ipv6(host[1:]), rest[1:]
    else:
        name, _, port_text = host_port.partition(":")
        host = _host_name(name)
    port = _port(port_text, scheme)
    return scheme, host, port, f"{host.removesuffix('.')}:{port}"


def _ipv6(text: str) -> str:
    """Return an IPv6 address in brackets, in the form of RFC 5952."""
    if "%" in text:
        raise ValueError("IPv6 zone identifier; expected an address without one")
    try:
        return f"[{ipaddress.IPv6Address(text).compressed}]"
    except ValueError:
        raise ValueError("bad IPv6 address between the brackets") from None


def _port(text: str, scheme: str) -> int:
    """Return the port; an empty one is the default (RFC 3986 section 3.2.3)."""
    if not text:
        return _DEFAULT_PORTS[scheme]
    match = _PORT(text)
    port = int(match[1]) if match is not None else 0
    if not 1 <= port <= 65_535:
        raise ValueError("bad port; expected a number from 1 to 65535")
    return port


def _host_name(name: str) -> str:
    """Return a host name in lower case and ASCII, with each label checked (RFC 1035 section 2.3.4).

    Underscores are let through: names with them exist and resolve. Checking the lengths here keeps a bad
    line a bad line; resolvers fail on it in ways of their own.
    """
    if not name:
        raise ValueError("no host; expected http://host/...")
    if not name.isascii():
        name = _ascii_name(name)
    name = name.lower()
    if len(name) > 254:  # 253 and the final dot
        raise ValueError("host name longer than 253 characters")
    for label in name.removesuffix(".").split("."):
        if _LABEL(label) is None:
            raise ValueError(_what_is_wrong_with(label))
    return name


def _ascii_name(name: str) -> str:
    """Return the ASCII form of an international name, the same the client connects to."""
    from yarl import URL  # few names need it

    try:
        ascii_name = URL.build(scheme="http", host=name).raw_host
    except ValueError:  # UnicodeError of the codec included
        ascii_name = None
    if not ascii_name or not ascii_name.isascii():
        raise ValueError("host name that has no international form (RFC 5890)")
    return ascii_name


def _what_is_wrong_with(label: str) -> str:
    """Explain why *label* cannot be a part of a host name."""
    if not label:
        return "host name with an empty part between two dots"
    bad = re.search(r"[^A-Za-z0-9_-]", label)
    if bad is None:
        return "host name with a part longer than 63 characters"
    return f"character {bad[0]!r} in the host name"
