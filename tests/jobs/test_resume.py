"""Going on with a body: what identifies it, what is asked, and what each answer means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.resume import (
    ContentRange,
    ResumePoint,
    Step,
    parse_content_range,
    resume_decision,
    resume_fields,
    validator_of,
)

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LONG_BEFORE = "Sat, 05 Nov 1994 08:49:37 GMT"
MINUTE_BEFORE = "Sun, 06 Nov 1994 08:48:37 GMT"
JUST_BEFORE = "Sun, 06 Nov 1994 08:48:38 GMT"

VALIDATORS: list[tuple[str, dict[str, str], str | None]] = [
    ("a strong ETag", {"ETag": '"a"'}, '"a"'),
    ("an empty but strong ETag", {"ETag": '""'}, '""'),
    ("ETag before Last-Modified", {"ETag": '"a"', "Last-Modified": LONG_BEFORE, "Date": DATE}, '"a"'),
    ("a weak ETag", {"ETag": 'W/"a"'}, None),
    ("a weak ETag and a strong date", {"ETag": 'W/"a"', "Last-Modified": LONG_BEFORE, "Date": DATE}, None),
    ("an ETag without quotes", {"ETag": "a"}, None),
    ("an ETag with a quote inside", {"ETag": '"a"b"'}, None),
    ("an ETag with a line end", {"ETag": '"a\r\n"'}, None),
    ("a date a day old", {"Last-Modified": LONG_BEFORE, "Date": DATE}, LONG_BEFORE),
    ("a date a minute old", {"Last-Modified": MINUTE_BEFORE, "Date": DATE}, MINUTE_BEFORE),
    ("a date less than a minute old", {"Last-Modified": JUST_BEFORE, "Date": DATE}, None),
    ("a date of now", {"Last-Modified": DATE, "Date": DATE}, None),
    ("a date in the future", {"Last-Modified": DATE, "Date": LONG_BEFORE}, None),
    ("no Date to compare with", {"Last-Modified": LONG_BEFORE}, None),
    ("a Date that is none", {"Last-Modified": LONG_BEFORE, "Date": "now"}, None),
    ("a Last-Modified that is none", {"Last-Modified": "yesterday", "Date": DATE}, None),
    ("nothing", {}, None),
    ("a coded body", {"ETag": '"a"', "Content-Encoding": "gzip"}, None),
    ("identity named as a coding", {"ETag": '"a"', "Content-Encoding": "identity"}, '"a"'),
    ("no ranges here", {"ETag": '"a"', "Accept-Ranges": "none"}, None),
    ("ranges welcome", {"ETag": '"a"', "Accept-Ranges": "bytes"}, '"a"'),
]


@pytest.mark.parametrize(("case", "headers", "expected"), VALIDATORS, ids=[case for case, *_ in VALIDATORS])
def test_only_a_strong_validator_identifies_a_body(case: str, headers: dict[str, str], expected: str | None) -> None:
    """RFC 9110 sections 8.8.1 and 8.8.2.2; no identity, no resume."""
    assert validator_of(headers) == expected


def test_the_rest_is_asked_for_on_condition_that_nothing_changed() -> None:
    """Range with If-Range (RFC 9110 section 13.1.5)."""
    point = ResumePoint(100, '"a"', 200, "http://h/a")
    assert resume_fields(point) == {"Range": "bytes=100-", "If-Range": '"a"'}


RANGES: list[tuple[str, tuple[int | None, int | None, int | None] | None]] = [
    ("bytes 0-9/10", (0, 9, 10)),
    ("bytes 5-9/*", (5, 9, None)),
    ("bytes */10", (None, None, 10)),
    ("Bytes 0-0/1", (0, 0, 1)),
    (" bytes 0-9/10 ", (0, 9, 10)),
    ("bytes */*", None),
    ("bytes 9-5/10", None),
    ("bytes 5-10/10", None),
    ("bytes -5/10", None),
    ("bytes 5-/10", None),
    ("bytes=5-9/10", None),
    ("bytes 5 - 9/10", None),
    ("items 5-9/10", None),
    ("bytes 5-9", None),
    ("bytes \u0661-9/10", None),
    ("bytes 0-9/" + "9" * 5000, None),
    ("bytes 0-9/10, bytes 0-9/10", None),
    ("", None),
]


@pytest.mark.parametrize(("value", "expected"), RANGES, ids=[value[:30] for value, _ in RANGES])
def test_content_range_in_its_forms(value: str, expected: tuple[int | None, int | None, int | None] | None) -> None:
    """RFC 9110 section 14.4; what contradicts itself is nonsense."""
    assert parse_content_range(value) == expected


@given(st.integers(0, 10**15), st.integers(1, 10**9), st.none() | st.integers(0, 10**9))
def test_content_range_is_read_as_it_is_written(start: int, length: int, more: int | None) -> None:
    """Serialise then parse is the same."""
    end = start + length - 1
    total = None if more is None else end + 1 + more
    text = f"bytes {start}-{end}/{'*' if total is None else total}"
    assert parse_content_range(text) == ContentRange(start, end, total)


@given(st.text())
def test_content_range_never_raises(value: str) -> None:
    """Hostile text is None, or by chance a range."""
    parse_content_range(value)


HALF = ResumePoint(100, '"a"', 200, "http://h/a")
WHOLE = ResumePoint(200, '"a"', 200, "http://h/a")
OF_UNKNOWN_LENGTH = ResumePoint(100, '"a"', None, "http://h/a")
BY_DATE = ResumePoint(100, LONG_BEFORE, 200, "http://h/a")
REST = {"Content-Range": "bytes 100-199/200", "ETag": '"a"'}

# case, point, status, fields: step, reason, total
DECISIONS: list[tuple[str, ResumePoint | None, int, dict[str, str], Step, str, int | None]] = [
    # the whole was asked for
    ("200", None, 200, {"Content-Length": "200"}, Step.RESTART, "", 200),
    ("200 of unknown length", None, 200, {}, Step.RESTART, "", None),
    ("204", None, 204, {}, Step.RESTART, "", None),
    ("206 unasked", None, 206, REST, Step.REFUSE, "206 although the whole was asked for", None),
    ("416 unasked", None, 416, {}, Step.REFUSE, "status 416", None),
    ("404", None, 404, {}, Step.REFUSE, "status 404", None),
    # 206 to a request for the rest
    ("the rest", HALF, 206, REST, Step.APPEND, "", 200),
    ("the rest with its length", HALF, 206, {**REST, "Content-Length": "100"}, Step.APPEND, "", 200),
    (
        "some of the rest",
        HALF,
        206,
        {**REST, "Content-Range": "bytes 100-149/200"},
        Step.APPEND,
        "",
        200,
    ),
    (
        "the rest, total not told again",
        HALF,
        206,
        {**REST, "Content-Range": "bytes 100-199/*"},
        Step.APPEND,
        "",
        200,
    ),
    ("the rest, total told now", OF_UNKNOWN_LENGTH, 206, REST, Step.APPEND, "", 200),
    (
        "the rest, total never told",
        OF_UNKNOWN_LENGTH,
        206,
        {**REST, "Content-Range": "bytes 100-199/*"},
        Step.APPEND,
        "",
        None,
    ),
    (
        "the rest by date, date repeated",
        BY_DATE,
        206,
        {"Content-Range": "bytes 100-199/200", "Last-Modified": LONG_BEFORE},
        Step.APPEND,
        "",
        200,
    ),
    (
        "the rest by date, date left out",
        BY_DATE,
        206,
        {"Content-Range": "bytes 100-199/200"},
        Step.APPEND,
        "",
        200,
    ),
    (
        "identity named as a coding",
        HALF,
        206,
        {**REST, "Content-Encoding": "identity"},
        Step.APPEND,
        "",
        200,
    ),
    ("no Content-Range", HALF, 206, {"ETag": '"a"'}, Step.REFUSE, "206 without a usable Content-Range", None),
    (
        "an unsatisfied Content-Range",
        HALF,
        206,
        {**REST, "Content-Range": "bytes */200"},
        Step.REFUSE,
        "206 without a usable Content-Range",
        None,
    ),
    (
        "another start",
        HALF,
        206,
        {**REST, "Content-Range": "bytes 0-199/200"},
        Step.REFUSE,
        "206 begins at octet 0; expected 100",
        None,
    ),
    (
        "another total",
        HALF,
        206,
        {**REST, "Content-Range": "bytes 100-299/300"},
        Step.REFUSE,
        "length changed from 200 to 300 octets",
        None,
    ),
    (
        "a length that contradicts the range",
        HALF,
        206,
        {**REST, "Content-Length": "99"},
        Step.REFUSE,
        "206 of 99 octets for a range of 100",
        None,
    ),
    (
        "a coded rest",
        HALF,
        206,
        {**REST, "Content-Encoding": "gzip"},
        Step.REFUSE,
        "206 of a coded body",
        None,
    ),
    (
        "another ETag",
        HALF,
        206,
        {**REST, "ETag": '"b"'},
        Step.REFUSE,
        'ETag changed from "a" to "b"',
        None,
    ),
    (
        "the same ETag, now weak",
        HALF,
        206,
        {**REST, "ETag": 'W/"a"'},
        Step.REFUSE,
        'ETag changed from "a" to W/"a"',
        None,
    ),
    (
        "no ETag",
        HALF,
        206,
        {"Content-Range": "bytes 100-199/200"},
        Step.REFUSE,
        'ETag "a" is gone',
        None,
    ),
    (
        "another date",
        BY_DATE,
        206,
        {"Content-Range": "bytes 100-199/200", "Last-Modified": DATE},
        Step.REFUSE,
        f"Last-Modified changed from {LONG_BEFORE} to {DATE}",
        None,
    ),
    # the whole instead of the rest
    (
        "200 because it changed",
        HALF,
        200,
        {"ETag": '"b"', "Content-Length": "300"},
        Step.RESTART,
        'ETag changed from "a" to "b"',
        300,
    ),
    (
        "200 although nothing changed",
        HALF,
        200,
        {"ETag": '"a"'},
        Step.RESTART,
        "the server sent the whole instead of the rest",
        None,
    ),
    # nothing left to send
    ("416, all is here", WHOLE, 416, {"Content-Range": "bytes */200"}, Step.COMPLETE, "", 200),
    (
        "416, all is here, ETag repeated",
        WHOLE,
        416,
        {"Content-Range": "bytes */200", "ETag": '"a"'},
        Step.COMPLETE,
        "",
        200,
    ),
    (
        "416 of another representation",
        WHOLE,
        416,
        {"Content-Range": "bytes */200", "ETag": '"b"'},
        Step.REFUSE,
        'ETag changed from "a" to "b"',
        None,
    ),
    (
        "416, it shrank",
        HALF,
        416,
        {"Content-Range": "bytes */50"},
        Step.REFUSE,
        "416 for 50 octets; 100 of 200 are here",
        None,
    ),
    (
        "416 although half is missing",
        HALF,
        416,
        {"Content-Range": "bytes */200"},
        Step.REFUSE,
        "416 for 200 octets; 100 of 200 are here",
        None,
    ),
    (
        "416, the length was never known",
        OF_UNKNOWN_LENGTH,
        416,
        {"Content-Range": "bytes */100"},
        Step.REFUSE,
        "416 for 100 octets; 100 of None are here",
        None,
    ),
    ("416 without Content-Range", WHOLE, 416, {}, Step.REFUSE, "416 without a usable Content-Range", None),
    (
        "416 with a range",
        WHOLE,
        416,
        {"Content-Range": "bytes 0-9/200"},
        Step.REFUSE,
        "416 without a usable Content-Range",
        None,
    ),
    # everything else
    ("412", HALF, 412, {}, Step.REFUSE, "412: the representation changed", None),
    ("304", HALF, 304, {}, Step.REFUSE, "status 304", None),
    ("500", HALF, 500, {}, Step.REFUSE, "status 500", None),
]


@pytest.mark.parametrize(
    ("case", "point", "status", "headers", "step", "reason", "total"),
    DECISIONS,
    ids=[f"{row[2]}: {row[0]}" for row in DECISIONS],
)
def test_each_answer_means_one_step(
    case: str,
    point: ResumePoint | None,
    status: int,
    headers: dict[str, str],
    step: Step,
    reason: str,
    total: int | None,
) -> None:
    """The decision table, a row an answer."""
    assert resume_decision(point, status, headers) == (step, reason, total)


FIELDS = st.dictionaries(
    st.sampled_from(
        [
            "Content-Range",
            "ETag",
            "Last-Modified",
            "Content-Length",
            "Content-Encoding",
            "Date",
            "Accept-Ranges",
        ]
    ),
    st.one_of(
        st.sampled_from(["bytes 100-199/200", "bytes */200", '"a"', '"b"', "100", "gzip", DATE, LONG_BEFORE, "none"]),
        st.text(max_size=10),
    ),
)


@given(st.none() | st.sampled_from([HALF, WHOLE, BY_DATE, OF_UNKNOWN_LENGTH]), st.integers(0, 999), FIELDS)
def test_octets_are_never_joined_without_proof(point: ResumePoint | None, status: int, headers: dict[str, str]) -> None:
    """Whatever a server answers: APPEND only for a 206 that starts where we are, of what we know."""
    step, reason, _ = resume_decision(point, status, headers)
    if step is Step.APPEND:
        assert point is not None
        assert status == 206
        assert headers["Content-Range"].strip().lower().startswith(f"bytes {point.offset}-")
        assert point.validator in (headers.get("ETag"), headers.get("Last-Modified", LONG_BEFORE))
    if step is Step.COMPLETE:
        assert point is not None
        assert (status, point.offset) == (416, point.total)
    if step is Step.RESTART:
        assert 200 <= status <= 299
        assert status != 206
    if step is Step.REFUSE:
        assert reason
