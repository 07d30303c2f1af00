"""HTTP-date (RFC 9110 section 5.6.7): the three forms, read strictly, nothing else.

Pure. The mail parsers of the standard library take far more than HTTP allows and can raise on
hostile text; this one gives seconds or None.
"""

from __future__ import annotations

import calendar
import re
from functools import lru_cache
from typing import Final

__all__ = ["parse_http_date"]

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_CLOCK: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DAY: Final = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY: Final = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH: Final = rf"(?P<month>{'|'.join(_MONTHS)})"
_FORMS: Final = (
    # Sun, 06 Nov 1994 08:49:37 GMT (UTC instead of GMT is common enough to be taken)
    re.compile(rf"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_CLOCK} (?:GMT|UTC)"),
    # Sunday, 06-Nov-94 08:49:37 GMT
    re.compile(rf"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_CLOCK} GMT"),
    # Sun Nov  6 08:49:37 1994
    re.compile(rf"{_DAY} {_MONTH} (?P<day>[0-9 ][0-9]) {_CLOCK} (?P<year>[0-9]{{4}})"),
)


@lru_cache(maxsize=1024)  # files of one set were often written in the same seconds
def parse_http_date(value: str) -> float | None:
    """Return the seconds since 1970 of an HTTP-date, None when *value* is not one.

    The name of the day is not compared with the date. A two-digit year (the obsolete form) below 70 is
    20xx, else 19xx: the RFC's rule, "not more than 50 years in the future", would need a clock, and gives
    the same for every date that a living server sends.
    """
    for form in _FORMS:
        match = form.fullmatch(value)
        if match is not None:
            return _seconds(match)
    return None


def _seconds(match: re.Match[str]) -> float | None:
    """Return the seconds since 1970, None for a day or an hour that does not exist."""
    year, day = int(match["year"]), int(match["day"])
    month = _MONTHS[match["month"]]
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if len(match["year"]) == 2:
        year += 2000 if year < 70 else 1900
    if year < 1 or hour > 23 or minute > 59 or second > 60:  # 60: a leap second
        return None
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    return float(calendar.timegm((year, month, day, hour, minute, second)))
