"""br and zstd: decoded in any pieces, strict at the end, bounded however they inflate."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable
from itertools import pairwise

import brotli  # type: ignore[import-untyped]
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client import BodyTooLargeError, ContentCodingError
from fetchd.client.brotli_zstd import has_brotli, has_zstd
from fetchd.client.codings import BoundedDecoder, accept_encoding, decoder_for

PLAIN = b"".join(b"line %d of a text that repeats itself\n" % number for number in range(5_000))

CODERS: dict[str, Callable[[bytes], bytes]] = {
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
    "zstd, deflate": lambda data: zlib.compress(zstd.compress(data)),
    "br, zstd": lambda data: zstd.compress(brotli.compress(data)),
}
each_coding = pytest.mark.parametrize("coding", CODERS)
each_alone = pytest.mark.parametrize("coding", ["br", "zstd"])


def decoded(coding: str, pieces: list[bytes], step: int = 1000, bounded: bool = False) -> bytes:
    """What *pieces*, fed one after the other, give in steps of at most *step* octets."""
    made = decoder_for(coding)
    assert made is not None
    decoder = BoundedDecoder(made) if bounded else made
    out = []
    for piece in pieces:
        data = piece
        while data or decoder.has_pending:
            part = decoder.decode(data, step)
            assert len(part) <= step
            out.append(part)
            data = b""
    decoder.finish()
    return b"".join(out)


@each_coding
@pytest.mark.parametrize("step", [1, 37, 65_536])
def test_content_is_decoded_in_steps_of_any_size(coding: str, step: int) -> None:
    """No step gives more than it was asked for."""
    plain = PLAIN[: step * 300]
    assert decoded(coding, [CODERS[coding](plain)], step) == plain


@each_coding
@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 500), max_size=6))
def test_content_survives_any_boundaries(coding: str, data: bytes, cuts: list[int]) -> None:
    """Cut where the network likes."""
    coded = CODERS[coding](data)
    places = sorted({0, len(coded), *(cut for cut in cuts if cut < len(coded))})
    assert decoded(coding, [coded[a:b] for a, b in pairwise(places)] or [coded]) == data


@each_coding
def test_content_that_is_cut_off_is_an_error_wherever_it_is(coding: str) -> None:
    """Class 13 of the defects that others had."""
    coded = CODERS[coding](b"a content of some length, " * 3)
    for end in range(1, len(coded)):
        with pytest.raises(ContentCodingError):
            decoded(coding, [coded[:end]])


@each_coding
def test_no_content_at_all_is_none(coding: str) -> None:
    """Servers label empty bodies."""
    assert decoded(coding, []) == b""


@each_alone
def test_what_follows_the_end_is_an_error(coding: str) -> None:
    """In one piece and in two."""
    coded = CODERS[coding](b"content")
    for pieces in ([coded + b"garbage!"], [coded, b"garbage!"]):
        with pytest.raises(ContentCodingError):
            decoded(coding, pieces)


def test_several_frames_of_zstd_follow_one_another() -> None:
    """Skippable ones among them (RFC 8878 section 3.1)."""
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    coded = zstd.compress(b"one ") + skippable + zstd.compress(b"two")
    assert decoded("zstd", [coded]) == b"one two"
    assert decoded("zstd", [bytes([octet]) for octet in coded]) == b"one two"


@pytest.mark.parametrize("step", [1000, 65_536, 100_000])
def test_a_frame_of_zstd_follows_one_that_inflates_beyond_a_step(step: int) -> None:
    """The engine was given both frames in one slice, and gives the second back when the slice is let go of already."""
    plain = bytes(90_000)
    coded = zstd.compress(plain) + zstd.compress(b"and more")
    for cut in range(len(coded)):
        decoder = decoder_for("zstd")
        assert decoder is not None
        out = []
        for part in (coded[:cut], coded[cut:]):
            out.append(decoder.decode(part, step))
            while decoder.has_pending:
                out.append(decoder.decode(b"", step))
        decoder.finish()
        assert b"".join(out) == plain + b"and more", cut


@pytest.mark.parametrize("frames", [b"", zstd.compress(b"before")], ids=["alone", "behind-another"])
def test_a_frame_of_zstd_keeps_to_the_length_it_declares(frames: bytes) -> None:
    """Whole it is refused by the engine; in pieces the engine takes a last block of nothing without a look."""
    short = frames + b"\x28\xb5\x2f\xfd\x20\x04\x01\x00\x00"  # single segment, 4 octets; the last block, raw, empty
    for cut in range(len(short)):
        with pytest.raises(ContentCodingError, match="zstd content is broken"):
            decoded("zstd", [short[:cut], short[cut:]])
    none = short.replace(b"\x20\x04\x01", b"\x20\x00\x01")
    for cut in range(len(none)):
        assert decoded("zstd", [none[:cut], none[cut:]]) == (b"before" if frames else b"")


def test_a_window_of_zstd_that_is_too_large_is_refused() -> None:
    """RFC 9659 section 3: 8 MiB is the most that content may ask for."""
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 24, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    coded = compressor.compress(bytes(1 << 20)) + compressor.flush()
    with pytest.raises(ContentCodingError):
        decoded("zstd", [coded])


@each_alone
def test_a_bomb_is_stopped_by_the_ratio(coding: str) -> None:
    """16 MiB of zeros out of a few hundred octets; never more of it in memory than a step."""
    zeros = bytes(16 << 20)
    bomb = zstd.compress(zeros) if coding == "zstd" else brotli.compress(zeros, quality=5)
    with pytest.raises(BodyTooLargeError):
        decoded(coding, [bomb], 65_536, bounded=True)


@each_alone
def test_broken_content_is_told_as_such(coding: str) -> None:
    """By our own error, which names the coding."""
    with pytest.raises(ContentCodingError, match=coding):
        decoded(coding, [b"this is no such content, by no means whatsoever" * 10])


def test_empty_frames_cost_a_step_each_few() -> None:
    """29,000 of them in 256 KiB: no call looks at all of them (class 4 of the defects that others had)."""
    decoder = decoder_for("zstd")
    assert decoder is not None
    data, calls = zstd.compress(b"") * 29_000, 0
    while data or decoder.has_pending:
        decoder.decode(data, 262_144)
        data = b""
        calls += 1
    decoder.finish()
    assert calls > 50


@given(st.binary(max_size=300), st.sampled_from(["br", "zstd"]))
def test_any_octets_are_content_or_a_documented_error(data: bytes, coding: str) -> None:
    """Whole and octet by octet, with the same verdict."""

    def verdict(pieces: list[bytes]) -> bytes | None:
        try:
            return decoded(coding, pieces)
        except ContentCodingError:
            return None

    assert verdict([data]) == verdict([bytes([octet]) for octet in data])


def test_only_what_can_be_removed_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages neither is offered, and one that comes all the same says what to install."""
    assert accept_encoding() == "gzip, deflate, br, zstd"
    for name in ("brotli", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("fetchd.client.brotli_zstd.find_spec", lambda _: None)
    assert not has_brotli()
    assert not has_zstd()
    assert accept_encoding.__wrapped__() == "gzip, deflate"
    for coding in ("br", "zstd"):
        with pytest.raises(ContentCodingError, match=r"fetchd\[codings\]"):
            decoder_for(coding)
