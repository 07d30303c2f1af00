"""``cli/values.py``: sizes, times, counts and fields as people write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.crawler.cli.values import parse_count, parse_field, parse_fields, parse_rate, parse_seconds, parse_size

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("0", 0),
        ("500", 500),
        ("500B", 500),
        ("1k", 1024),
        ("1K", 1024),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("10MiB", 10 * MIB),
        ("10mib", 10 * MIB),
        ("10 MiB", 10 * MIB),
        (" 10MiB ", 10 * MIB),
        ("10M", 10 * MIB),
        ("10MB", 10_000_000),
        ("1.5GB", 1_500_000_000),
        ("1.5G", 3 << 29),
        (".5K", 512),
        ("2TiB", 2 << 40),
        ("123456789012345678", 123456789012345678),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, octets: int) -> None:
    """A bare letter counts by 1024, as in curl and wget."""
    assert parse_size(text) == octets


@pytest.mark.parametrize(
    "text",
    ["", "10 potatoes", "MiB", "-1", "+1", "1e3", "1,5M", "1_000", "10iB", "0x10", "1.", "٣", "1" * 100, "1M 2K"],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    """With examples of what is expected."""
    with pytest.raises(ValueError, match="expected a size such as 500, 10MiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1", 1.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.5s", 1.5),
        ("500ms", 0.5),
        ("2m", 120.0),
        ("2 m", 120.0),
        ("1h30m", 5400.0),
        ("1h 30m 5s", 5405.0),
        ("1d", 86_400.0),
        ("1m500ms", 60.5),
    ],
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    """A number alone is seconds; units add up."""
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1:30", "1h30", "30 minutes", "1e9", "inf", "nan", "1" * 100])
def test_what_is_no_time_is_refused(text: str) -> None:
    """With examples of what is expected."""
    with pytest.raises(ValueError, match="expected a time such as"):
        parse_seconds(text)


@pytest.mark.parametrize("text", ["0", "0s", "0ms", "0.0"])
def test_a_time_of_nothing_is_refused(text: str) -> None:
    """It would fail everything at once."""
    with pytest.raises(ValueError, match="expected a time above 0"):
        parse_seconds(text)


@given(st.text(alphabet="0123456789.msh "))
def test_times_of_any_shape_are_decided_without_backtracking(text: str) -> None:
    """A number above 0, or the documented refusal."""
    with contextlib.suppress(ValueError):
        assert parse_seconds(text) > 0


@given(st.integers(0, 10**12))
def test_a_plain_number_of_octets_is_itself(octets: int) -> None:
    """No rounding on the way."""
    assert parse_size(str(octets)) == octets


@pytest.mark.parametrize(("text", "least", "count"), [("1", 1, 1), (" 64 ", 1, 64), ("0", 0, 0), ("007", 1, 7)])
def test_counts_are_whole_numbers(text: str, least: int, count: int) -> None:
    """Of at least so many."""
    assert parse_count(text, least) == count


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", "many", "²", "9" * 30])
def test_what_is_no_count_is_refused(text: str) -> None:
    """It says how many are the least."""
    with pytest.raises(ValueError, match="expected a whole number, 1 or more"):
        parse_count(text, 1)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Name: value", ("Name", "value")),
        ("Name:value", ("Name", "value")),
        ("Name:", ("Name", "")),
        ("Authorization: Bearer a:b:c\n", ("Authorization", "Bearer a:b:c")),
        ("X-É".replace("É", "e") + ":  à ", ("X-e", "à")),
    ],
)
def test_fields_are_name_colon_value(text: str, field: tuple[str, str]) -> None:
    """Blanks around the value are no part of it (RFC 9110 section 5.5)."""
    assert parse_field(text) == field


@pytest.mark.parametrize("text", ["", "Name", "Na me: x", ": x", "Näme: x"])
def test_what_is_no_field_is_refused(text: str) -> None:
    """It says how one is written, and not what was written: it may be a secret."""
    with pytest.raises(ValueError, match=r"^expected 'Name: value'$"):
        parse_field(text)


def test_control_characters_in_a_value_are_refused_and_not_told() -> None:
    """No field can be smuggled in, no secret leaks into a message."""
    with pytest.raises(ValueError, match="control characters in the value of X-Key") as caught:
        parse_field("X-Key: secret\r\nX-Other: y")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["Range", "if-range", "Accept-Encoding", "CONTENT-LENGTH", "Transfer-Encoding"])
def test_fields_that_fetchd_sets_itself_are_refused(name: str) -> None:
    """They decide what an answer means."""
    with pytest.raises(ValueError, match="is a field that fetchd sets itself"):
        parse_field(f"{name}: x")


def test_fields_come_from_files_too_in_order() -> None:
    """Blank lines and comments of a file are passed over."""
    files = {"secrets": "\n# token\nAuthorization: Bearer x\r\nX-B: 2\n"}
    fields = parse_fields(["X-A: 1", "@secrets", "X-C: 3"], files.__getitem__)
    assert fields == (("X-A", "1"), ("Authorization", "Bearer x"), ("X-B", "2"), ("X-C", "3"))


def test_a_bad_line_of_a_file_is_told_by_its_number() -> None:
    """Its text is not: the file is there because it is secret."""
    with pytest.raises(ValueError, match=r"^line 2 of secrets: expected 'Name: value'$"):
        parse_fields(["@secrets"], {"secrets": "A: 1\nhunter2\n"}.__getitem__)


@pytest.mark.parametrize(
    ("text", "rate"), [("5", 5.0), (" 0.5 ", 0.5), ("5/s", 5.0), ("30/m", 0.5), ("36 / h", 0.01), (".5", 0.5)]
)
def test_rates_are_read_as_people_write_them(text: str, rate: float) -> None:
    """A number alone is for each second."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "0/m", "-1", "x", "5/d", "5/", "1e3", "\u0661", "9" * 400])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """With what is expected."""
    with pytest.raises(ValueError, match="expected a rate"):
        parse_rate(text)
