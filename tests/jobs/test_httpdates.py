"""HTTP-date: three forms are read, everything else is None."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.httpdates import parse_http_date

EXAMPLE = 784_111_777.0  # the date of RFC 9110 section 5.6.7

DATES: list[tuple[str, float | None]] = [
    ("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
    ("Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
    ("Sun Nov  6 08:49:37 1994", EXAMPLE),
    ("Sun Nov 06 08:49:37 1994", EXAMPLE),
    ("Sun, 06 Nov 1994 08:49:37 UTC", EXAMPLE),
    ("Mon, 06 Nov 1994 08:49:37 GMT", EXAMPLE),  # the day's name is not compared
    ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ("Wednesday, 01-Jan-69 00:00:00 GMT", 3_124_224_000.0),
    ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800.0),  # a leap second
    ("Mon, 01 Jan 0001 00:00:00 GMT", -62_135_596_800.0),
    ("Mon, 01 Jan 0000 00:00:00 GMT", None),
    ("Thu, 30 Feb 2023 00:00:00 GMT", None),
    ("Thu, 00 Mar 2023 00:00:00 GMT", None),
    ("Thu, 02 Mar 2023 24:00:00 GMT", None),
    ("Thu, 02 Mar 2023 00:60:00 GMT", None),
    ("Thu, 02 Mar 2023 00:00:61 GMT", None),
    ("Sun, 06 Nov 1994 08:49:37 +0000", None),
    ("Sun, 6 Nov 1994 08:49:37 GMT", None),
    ("Sun, 06 nov 1994 08:49:37 GMT", None),
    ("Sun, 06 Nov 1994 08:49:37 GMT ", None),
    ("Sun, 06 Nov 1994 08:49:37 GMT\n", None),
    ("06 Nov 1994 08:49:37 GMT", None),
    ("1994-11-06T08:49:37Z", None),
    ("784111777", None),
    ("0", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "expected"), DATES)
def test_the_three_forms_are_read_and_nothing_else(text: str, expected: float | None) -> None:
    """IMF-fixdate, RFC 850 date and asctime date (RFC 9110 section 5.6.7)."""
    assert parse_http_date(text) == expected


@given(st.integers(-62_135_596_800 + 86_400 * 366 * 1000, 253_402_300_799))
def test_every_date_of_the_usual_form_survives(seconds: int) -> None:
    """Written by another and read by us, each second is the same."""
    assert parse_http_date(formatdate(seconds, usegmt=True)) == seconds


@given(st.text())
def test_it_never_raises(text: str) -> None:
    """Hostile text is None, or by chance a date."""
    parse_http_date(text)
