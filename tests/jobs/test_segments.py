"""The map of a body that several connections share: every octet once, whatever ends when."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fetchd.jobs.segments import ALIGN_BYTES, LEAST_BYTES, Segment, SegmentMap

MIB = 1 << 20


def test_the_first_takes_all_and_the_next_half_of_what_is_left() -> None:
    """At a multiple of 64 KiB; and so on, always from the longest."""
    shared = SegmentMap(16 * MIB)
    first = shared.take()
    assert first is not None
    assert (first.at, first.end) == (0, 16 * MIB)
    first.advance(MIB + 5)
    second = shared.take()
    assert second is not None
    assert second.end == 16 * MIB
    assert first.end == second.at
    assert second.at % ALIGN_BYTES == 0
    assert abs(second.at - (16 * MIB + MIB + 5) // 2) <= ALIGN_BYTES
    third = shared.take()
    assert third is not None
    assert third.end in (first.end + third.left, 16 * MIB)
    assert shared.active == 3


def test_what_is_short_is_left_to_who_has_it() -> None:
    """One more connection is not worth less than a MiB."""
    shared = SegmentMap(2 * LEAST_BYTES)
    first = shared.take()
    assert first is not None
    assert shared.can_share
    first.advance(1)
    assert not shared.can_share
    assert shared.take() is None


def test_what_broke_off_is_free_for_whoever_comes() -> None:
    """From the octet that it had come to."""
    shared = SegmentMap(4 * MIB)
    first = shared.take()
    assert first is not None
    first.advance(100)
    shared.finish(first)
    again = shared.take()
    assert again is not None
    assert (again.at, again.end) == (100, 4 * MIB)
    again.advance(again.left + 7)  # what came at once and was not cut
    shared.finish(again)
    assert not shared.missing
    assert shared.take() is None


STEPS = st.lists(st.tuples(st.sampled_from(["take", "advance", "finish"]), st.integers(0, 7), st.integers(0, 5000)))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 20_000), STEPS)
def test_every_octet_is_fetched_once_whatever_ends_when(total: int, steps: Any) -> None:
    """Those that were done and those that are missing are all, at any moment; and in the end nothing is missing."""
    shared = SegmentMap(total, least=500)
    running: list[Segment] = []
    written = bytearray(total)

    def advance(segment: Segment, count: int) -> None:
        count = min(count, segment.left)
        for place in range(segment.at, segment.at + count):
            written[place] += 1
        segment.advance(count)

    for what, which, count in steps:
        if what == "take":
            taken = shared.take()
            if taken is not None:
                running.append(taken)
        elif running:
            segment = running[which % len(running)]
            if what == "advance":
                advance(segment, count)
            else:
                running.remove(segment)
                shared.finish(segment)
        missing = {place for start, end in shared.missing for place in range(start, end)}
        assert {place for place, times in enumerate(written) if not times} == missing
    # What is in the ledger is enough to go on with.
    shared = SegmentMap(total, shared.missing, least=500)
    while (rest := shared.take()) is not None:
        advance(rest, rest.left)
        shared.finish(rest)
    assert set(written) <= {1}
    assert not shared.missing
