"""Set-Cookie as text: names, values, attributes, dates (RFC 6265 section 5.1.1 and 5.2). Pure.

Here: what a field says. Not here: whether it may be stored and where it is sent (``cookies``).
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from http.cookies import Morsel, SimpleCookie

__all__ = ["GivenCookies", "expiry_time", "given_by_hand", "parse_cookie_date", "simple_cookies", "split_set_cookie"]

# Names and values; the Morsels of a SimpleCookie, such as ``response.cookies``, will do.
GivenCookies = Mapping[str, "str | Morsel[str]"] | Iterable[tuple[str, "str | Morsel[str]"]]

# Longer attribute values are left out, as browsers do (rfc6265bis section 5.6 step 6).
_MAX_ATTRIBUTE = 1024

# Max-Age may have any number of digits; seconds beyond this (30,000 years) mean "for ever".
_MAX_DELTA = 10**12

_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_DIGITS = re.compile(r"-?[0-9]+")
_ESCAPED = re.compile(r"\\(?:([0-3][0-7]{2})|(.))", re.DOTALL)
_FLAGS = frozenset({"secure", "httponly"})

# Section 5.1.1: what stands between the tokens of a date, and what a token starts with, in the order
# in which the parts are looked for.
_DATE_DELIMITERS = re.compile(r"[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE_PARTS = {
    "time": re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])"),
    "day": re.compile(r"([0-9]{1,2})(?![0-9])"),
    "month": re.compile(f"({'|'.join(_MONTHS)})", re.ASCII | re.IGNORECASE),
    "year": re.compile(r"([0-9]{2,4})(?![0-9])"),
}


def parse_cookie_date(text: str) -> float | None:
    """Return the seconds since 1970 of a cookie date in any of its odd forms, or None.

    Source: RFC 6265 section 5.1.1: the first token that looks like a time, a day, a month, a year
    each wins; weekday and zone are read over.
    """
    found: dict[str, re.Match[str]] = {}
    for token in _DATE_DELIMITERS.split(text):
        for part, pattern in _DATE_PARTS.items():
            if part not in found and (match := pattern.match(token)):
                found[part] = match
                break
    if len(found) < len(_DATE_PARTS):
        return None
    hour, minute, second = map(int, found["time"].groups())
    year = int(found["year"][1])
    if year <= 99:
        year += 1900 if year >= 70 else 2000
    if year < 1601 or hour > 23 or minute > 59 or second > 59:
        return None
    try:
        day = date(year, _MONTHS.index(found["month"][1].lower()) + 1, int(found["day"][1]))
    except ValueError:
        return None
    return float(timegm((*day.timetuple()[:3], hour, minute, second)))


def simple_cookies(set_cookie: Iterable[str]) -> SimpleCookie:
    """Return what the fields set, for a response to show; never raises.

    A cookie that RFC 6265 section 5.2 would ignore is left out, and so is one whose name the
    standard library does not take (``a[b]``, ``path``); the store takes these.
    """
    from http.cookies import CookieError, Morsel, SimpleCookie  # for who asks; 5 ms of an import

    cookies = SimpleCookie()
    for text in set_cookie:
        split = split_set_cookie(text)
        if split is None:
            continue
        name, coded_value, attributes = split
        morsel: Morsel[str] = Morsel()
        try:
            morsel.set(name, _unquote(coded_value), coded_value)
        except CookieError:
            continue
        for attribute, content in attributes:
            if morsel.isReservedKey(attribute):
                morsel[attribute] = True if attribute in _FLAGS else content
        cookies[name] = morsel
    return cookies


def _unquote(value: str) -> str:
    """*value* without its quotes and backslashes; linear, which the standard library's is not everywhere."""
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)) if match[1] else match[2], value[1:-1])


def split_set_cookie(text: str) -> tuple[str, str, list[tuple[str, str]]] | None:
    """Name, value and attributes (names lower-case, in order), section 5.2; None to ignore the whole."""
    if _CONTROLS.search(text):
        return None
    pair, _, rest = text.partition(";")
    name, equals, value = pair.partition("=")
    name = name.strip(" \t")
    if not equals or not name:
        return None
    attributes = []
    for item in rest.split(";") if rest else ():
        attribute, _, content = item.partition("=")
        content = content.strip(" \t")
        if len(content) <= _MAX_ATTRIBUTE:
            attributes.append((attribute.strip(" \t").lower(), content))
    return name, value.strip(" \t"), attributes


def expiry_time(attributes: list[tuple[str, str]], now: float) -> float | None:
    """Section 5.3 step 3: Max-Age wins over Expires; of each the last that makes sense counts."""
    expires = max_age = None
    for attribute, content in attributes:
        if attribute == "max-age" and _DIGITS.fullmatch(content):
            max_age = int(content)
        elif attribute == "expires":
            seconds = parse_cookie_date(content)
            expires = expires if seconds is None else seconds
    if max_age is None:
        return expires
    return now + min(max_age, _MAX_DELTA) if max_age > 0 else 0.0


def given_by_hand(cookies: GivenCookies) -> list[tuple[str, str]]:
    """Names and values that a caller gives. Of a Morsel only the value counts.

    Raises:
        ValueError: One of them would break out of the Cookie field.
        TypeError: A name or value that is no text.
    """
    given = []
    for name, value in cookies.items() if isinstance(cookies, Mapping) else cookies:
        text = getattr(value, "coded_value", value)
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"cookie {name!r}: expected two texts, seen a value of type {type(value).__name__}")
        if not name or _CONTROLS.search(name) or any(char in name for char in "=; \t"):
            raise ValueError(f"cookie name {name[:40]!r}: expected a name without blanks, '=', ';' and control octets")
        if ";" in text or _CONTROLS.search(text):
            raise ValueError(f"value of cookie {name[:40]!r}: expected no ';' and no control octets")
        given.append((name, text))
    return given
