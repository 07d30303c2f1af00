"""Content-Type taken apart (RFC 9110 section 8.3), whatever it holds."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client.mediatypes import charset_of, codec_for, media_type_of


@pytest.mark.parametrize(
    ("value", "media_type", "charset"),
    [
        ("text/html", "text/html", None),
        ("Text/HTML;Charset=UTF-8", "text/html", "utf-8"),
        ("text/html ; charset = utf-8 ", "text/html", "utf-8"),
        ('text/html; charset="utf-8"', "text/html", "utf-8"),
        ('text/html; charset="utf\\-8" ; x=y', "text/html", "utf-8"),
        ("text/html; x=y; charset=a; charset=b", "text/html", "a"),
        ('text/html; x="; charset=a"; charset=b', "text/html", "b"),
        ("text/html; charset", "text/html", None),
        ("text/html; charset=", "text/html", None),
        ('text/html; charset=""', "text/html", None),
        ("text/html;; ;charset=a", "text/html", "a"),
        ("text/html; charset=a, text/plain; charset=b", "text/html", "a, text/plain"),
        ('text/html; charset="a', "text/html", '"a'),
        ("text/html; xcharset=a", "text/html", None),
        ("charset=a", "text/plain", None),
        ("nonsense", "text/plain", None),
        ("a/b/c; charset=x", "text/plain", "x"),
        ("", "text/plain", None),
    ],
)
def test_type_and_charset(value: str, media_type: str, charset: str | None) -> None:
    """Names in any case, blanks and quotes allowed, the first of a name counts."""
    assert (media_type_of(value), charset_of(value)) == (media_type, charset)


@given(st.text(st.characters(), max_size=60) | st.text('text/html; charset="=\\\t\udcff\xe9', max_size=60))
def test_any_text_is_taken_apart(value: str) -> None:
    """Octets that are no UTF-8, for one, which come as surrogates."""
    assert media_type_of(value).count("/") == 1
    charset = charset_of(value)
    assert charset is None or charset


def test_a_long_value_costs_linear_time() -> None:
    """As long as a field may be, and made to go wrong at its end."""
    for value in ('a/b; charset="' + "\\x" * 30_000, "a/b" + ";" * 60_000, "a/b; " + " " * 60_000, 'a/b; x="' * 8000):
        began = time.process_time()
        charset_of(value)
        assert time.process_time() - began < 1


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "latin-1", "windows-1251", "shift_jis", "utf-16-le", "utf-7"])
def test_charsets_have_codecs(charset: str) -> None:
    assert codec_for(charset) == charset


@pytest.mark.parametrize("charset", ["none", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"])
def test_what_is_no_charset_has_none(charset: str) -> None:
    """Python's punycode would take minutes for a megabyte."""
    with pytest.raises(LookupError):
        codec_for(charset)


@given(st.text(max_size=20))
def test_any_name_is_a_charset_or_unknown(charset: str) -> None:
    """No other error, NUL and surrogates included."""
    try:
        assert codec_for(charset) == charset
    except LookupError:
        pass
