"""Going on with a body that was cut off: validators, the request's fields, and what an answer means.

Pure. Nothing here opens a file or sends a request: ``transfer.py`` asks `resume_fields` what to send,
gives the head of the answer to `resume_decision`, and does as it is told.

The rule behind all of it: octets of two representations are never joined. No identity, no resume; a
doubt costs one download from the start, an error would cost a file that is silently wrong. So the
validator must be strong, and the answer is checked again although the server has compared If-Range:
there are servers that honour Range and pass over If-Range.

Sources: RFC 9110 section 8.8 (validators), 13.1.5 (If-Range), 14 (ranges), 15.3.7 (206), 15.5.17 (416).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from .httpdates import parse_http_date

__all__ = [
    "STRONG_AFTER",
    "ContentRange",
    "Decision",
    "ResumePoint",
    "Step",
    "parse_content_range",
    "resume_decision",
    "resume_fields",
    "validator_of",
]

STRONG_AFTER: Final = 60.0
"""Seconds that Date must be after Last-Modified before the latter counts as strong.

RFC 9110 section 8.8.2.2 asks for one second and a reason to believe in one clock, or for a difference large
enough to make clocks not matter. We know nothing of the server's clocks; RFC 7232 named 60 s for that case.
"""

_STRONG_ETAG: Final = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"').fullmatch  # RFC 9110 section 8.8.3, without W/
_CONTENT_RANGE: Final = re.compile(
    r"bytes (?:([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)|\*/([0-9]{1,18}))", re.IGNORECASE
).fullmatch


class ResumePoint(NamedTuple):
    """What is known of a body that is partly on disk.

    Attributes:
        offset: Octets that are there, counted from the first; the rest is asked for.
        validator: A strong ETag or a strong Last-Modified, as the server sent it (see `validator_of`).
        total: Length of the whole in octets, None when the first answer did not tell.
        final_url: Where redirections led; it informs and decides nothing, since signed locations change
            with each request. The validator and the length tell whether it is the same representation.
        missing: Ranges that are not there, of a body that several connections fetched; *offset* means nothing then.
            Empty for one whose octets are there from the first to *offset*.
    """

    offset: int
    validator: str
    total: int | None
    final_url: str
    missing: tuple[tuple[int, int], ...] = ()


class ContentRange(NamedTuple):
    """A Content-Range field in octets; *start* and *end* (inclusive) are None in the unsatisfied form."""

    start: int | None
    end: int | None
    total: int | None


class Step(Enum):
    """What to do with an answer."""

    APPEND = "append"
    """The content continues at the offset: write it there."""
    RESTART = "restart"
    """The content is the whole: empty the file and write from its beginning."""
    COMPLETE = "complete"
    """All octets are there already: leave the content, publish the file."""
    REFUSE = "refuse"
    """The content must not be written. Forget the resume point and ask again for the whole."""


class Decision(NamedTuple):
    """A step and the reason for it; *total* is the length of the whole file in octets, if the answer tells.

    *reason* is empty where nothing needs to be explained.
    """

    step: Step
    reason: str = ""
    total: int | None = None


def validator_of(headers: Mapping[str, str]) -> str | None:
    """Return what identifies a representation strongly enough to go on with it later, or None.

    The strong ETag; where there is no ETag at all, Last-Modified if it is at least `STRONG_AFTER` before
    Date (beside a weak ETag the date must not be used: RFC 9110 section 13.1.5). None too for a coded body,
    whose octets may differ from one answer to the next, and under ``Accept-Ranges: none``.

    Args:
        headers: Fields of a 200 or 206; names are looked up as ``ETag``, so give a case-insensitive mapping.
    """
    if is_coded(headers) or headers.get("Accept-Ranges", "").strip().lower() == "none":
        return None
    etag = headers.get("ETag")
    if etag is not None:
        return etag if _STRONG_ETAG(etag) else None
    modified = headers.get("Last-Modified")
    date = parse_http_date(headers.get("Date", ""))
    if modified is None or date is None:
        return None
    seconds = parse_http_date(modified)
    if seconds is None or date - seconds < STRONG_AFTER:
        return None
    return modified


def resume_fields(point: ResumePoint) -> dict[str, str]:
    """Return the request fields that ask for the rest, and for the whole if it is no longer the same.

    Send Accept-Encoding: identity with them. Source: RFC 9110 sections 14.2 and 13.1.5.
    """
    return {"Range": f"bytes={point.offset}-", "If-Range": point.validator}


def parse_content_range(value: str) -> ContentRange | None:
    """Return a Content-Range in octets (RFC 9110 section 14.4), None for another unit or nonsense.

    Ranges that contradict themselves (end before start, or beyond the total) are nonsense.
    """
    match = _CONTENT_RANGE(value.strip())
    if match is None:
        return None
    if match[4] is not None:
        return ContentRange(None, None, int(match[4]))
    start, end = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if end < start or (total is not None and end >= total):
        return None
    return ContentRange(start, end, total)


def resume_decision(point: ResumePoint | None, status: int, headers: Mapping[str, str]) -> Decision:
    """Say what to do with the answer to a request that did (*point*) or did not (None) ask for the rest.

    APPEND does not promise that the rest is all there: a server may send less than was asked for. When the
    content ends below ``total``, go on from there.

    Args:
        point: What `resume_fields` was given for this request; None when the whole was asked for.
        status: Status code of the answer.
        headers: Its fields, a case-insensitive mapping.
    """
    if status == 206:
        if point is None:
            return Decision(Step.REFUSE, "206 although the whole was asked for")
        return _decide_partial(point, headers)
    if 200 <= status <= 299:
        return Decision(Step.RESTART, "" if point is None else _why_whole(point, headers), _length(headers))
    if point is None:
        return Decision(Step.REFUSE, f"status {status}")
    if status == 416:
        return _decide_unsatisfied(point, headers)
    if status == 412:
        return Decision(Step.REFUSE, "412: the representation changed")
    return Decision(Step.REFUSE, f"status {status}")


def _decide_partial(point: ResumePoint, headers: Mapping[str, str]) -> Decision:
    """206: the right unit, start, length and representation, in this order (RFC 9110 section 15.3.7)."""
    given = parse_content_range(headers.get("Content-Range", ""))
    if given is None or given.start is None or given.end is None:
        return Decision(Step.REFUSE, "206 without a usable Content-Range")
    if given.start != point.offset:
        return Decision(Step.REFUSE, f"206 begins at octet {given.start}; expected {point.offset}")
    total = point.total if given.total is None else given.total
    if point.total is not None and total != point.total:
        return Decision(Step.REFUSE, f"length changed from {point.total} to {total} octets")
    length = _length(headers)
    if length is not None and length != given.end - given.start + 1:
        return Decision(Step.REFUSE, f"206 of {length} octets for a range of {given.end - given.start + 1}")
    if is_coded(headers):
        return Decision(Step.REFUSE, "206 of a coded body")
    changed = _validator_change(point, headers)
    return Decision(Step.REFUSE, changed) if changed else Decision(Step.APPEND, "", total)


def _decide_unsatisfied(point: ResumePoint, headers: Mapping[str, str]) -> Decision:
    """416: nothing is left to send, as when the body is whole already (RFC 9110 section 15.5.17)."""
    given = parse_content_range(headers.get("Content-Range", ""))
    if given is None or given.start is not None:
        return Decision(Step.REFUSE, "416 without a usable Content-Range")
    if point.total is None or given.total != point.total or point.offset != point.total:
        return Decision(Step.REFUSE, f"416 for {given.total} octets; {point.offset} of {point.total} are here")
    # Unlike 206, a 416 need not repeat the ETag: only one that differs says something.
    if "ETag" in headers and (changed := _validator_change(point, headers)):
        return Decision(Step.REFUSE, changed)
    return Decision(Step.COMPLETE, "", point.total)


def _validator_change(point: ResumePoint, headers: Mapping[str, str]) -> str:
    """Return how the answer contradicts the validator, "" when it does not.

    A 206 must repeat the ETag; it may leave out Last-Modified (RFC 9110 section 15.3.7).
    """
    if point.validator.startswith('"'):
        seen = headers.get("ETag")
        if seen is None:
            return f"ETag {point.validator} is gone"
        return "" if seen == point.validator else f"ETag changed from {point.validator} to {seen}"
    seen = headers.get("Last-Modified", point.validator)
    return "" if seen == point.validator else f"Last-Modified changed from {point.validator} to {seen}"


def _why_whole(point: ResumePoint, headers: Mapping[str, str]) -> str:
    """Say why a request for the rest was answered with the whole."""
    return _validator_change(point, headers) or "the server sent the whole instead of the rest"


def is_coded(headers: Mapping[str, str]) -> bool:
    """Whether a content coding other than identity is applied."""
    return headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")


def _length(headers: Mapping[str, str]) -> int | None:
    """Return Content-Length, None when it is absent or no number; the client has checked the framing."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
