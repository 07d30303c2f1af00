# Invariant: any text is a date or None, never raises; a date is the same second however its parts are delimited, and
# written anew in the form of RFC 9110 section 5.6.7 it is read back.
"""The dates of cookies in their odd forms (RFC 6265 section 5.1.1)."""

from __future__ import annotations

import random
import time

from fetchd.client.cookie_syntax import parse_cookie_date

from ..engine import Target

__all__ = ["TARGET"]

_DAYS = "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"
_MONTHS = "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
_FORMS = (
    "{day}, {d:02} {month} {year} {h:02}:{m:02}:{s:02} GMT",
    "{day}, {d:02}-{month}-{short:02} {h:02}:{m:02}:{s:02} GMT",
    "{day} {month} {d:2} {h:02}:{m:02}:{s:02} {year}",
    "{h}:{m}:{s} {year} {d} {month}uary",
    "{d}/{month}/{year}/{h}:{m}:{s}",
)
_TOKENS = tuple(
    text.encode()
    for text in (
        *_MONTHS,
        *_DAYS,
        "GMT",
        "12:34:56",
        "24:00:00",
        "1:2:3:4",
        "1600",
        "1601",
        "9999",
        "00",
        "99",
        "29 Feb",
        ":",
    )
)


def _generate(rng: random.Random) -> bytes:
    year = rng.randint(1601, 2400)
    form = rng.choice(_FORMS)
    return form.format(
        day=rng.choice(_DAYS),
        d=rng.randint(1, 31),
        month=rng.choice(_MONTHS),
        year=year,
        short=year % 100,
        h=rng.randint(0, 23),
        m=rng.randint(0, 59),
        s=rng.randint(0, 59),
    ).encode()


def _check(data: bytes) -> bool:
    text = data.decode("latin-1")
    seconds = parse_cookie_date(text)
    if seconds is None:
        return False
    parts = time.gmtime(seconds)
    assert 1601 <= parts.tm_year <= 9999
    assert parse_cookie_date(text.replace(" ", "\t").replace(",", ";")) == seconds, "any delimiter is as good"
    anew = f"{_DAYS[parts.tm_wday]}, {parts.tm_mday:02} {_MONTHS[parts.tm_mon - 1]} {parts.tm_year:04}"
    assert parse_cookie_date(f"{anew} {parts.tm_hour:02}:{parts.tm_min:02}:{parts.tm_sec:02} GMT") == seconds
    return True


TARGET = Target("cookie_dates", _generate, _check, _TOKENS)
