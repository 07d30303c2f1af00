"""Content codings: what comes out, how much of it at a time, and what is refused (RFC 1950 to 1952)."""

from __future__ import annotations

import gzip
import itertools
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client.codings import DEFAULT_MAX_RATIO, BoundedDecoder, CountingDecoder, Decoder, decoder_for
from fetchd.client.exceptions import BodyTooLargeError, ClientPayloadError, ContentCodingError

STEP = 64 * 1024
TEXT = b"the same words over and over, " * 400
NOISE = random.Random(9110).randbytes(5000)
PLAIN = TEXT + NOISE

BODIES = st.binary(max_size=2000) | st.sampled_from([b"", TEXT, NOISE, bytes(100_000)])


def gzip_member(plain: bytes, level: int = 6) -> bytes:
    return gzip.compress(plain, level, mtime=0)


def raw_deflate(plain: bytes, level: int = 6, wbits: int = -15) -> bytes:
    coder = zlib.compressobj(level, zlib.DEFLATED, wbits)
    return coder.compress(plain) + coder.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip_member,
    "x-gzip": gzip_member,
    "deflate": zlib.compress,
    "raw": raw_deflate,
}
CODED = {label: encode(PLAIN) for label, encode in ENCODERS.items()}


def content_encoding(label: str) -> str:
    return "deflate" if label == "raw" else label


def some_decoder(value: str) -> CountingDecoder:
    decoder = decoder_for(value)
    assert decoder is not None
    return decoder


def pieces_of(decoder: Decoder, *chunks: bytes, max_length: int = STEP) -> list[bytes]:
    """Feed *chunks* as the protocol of Decoder asks, and finish."""
    pieces = []
    for chunk in chunks:
        pieces.append(decoder.decode(chunk, max_length))
        while decoder.has_pending:
            pieces.append(decoder.decode(b"", max_length))
    decoder.finish()
    return pieces


def decode(value: str, *chunks: bytes, max_length: int = STEP) -> bytes:
    return b"".join(pieces_of(some_decoder(value), *chunks, max_length=max_length))


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


# The value of Content-Encoding


@pytest.mark.parametrize("value", ["", "identity", "Identity", " , ,", "identity, identity"])
def test_nothing_to_remove_has_no_decoder(value: str) -> None:
    """identity and empty list elements stand for no coding (RFC 9110 sections 5.6.1.2 and 8.4.1)."""
    assert decoder_for(value) is None


@pytest.mark.parametrize("value", ["gzip", "GZIP", " gzip\t", "x-gzip", "X-Gzip", "identity, gzip", ",gzip,"])
def test_names_of_codings_are_found_whatever_case_and_blanks(value: str) -> None:
    assert decode(value, gzip_member(PLAIN)) == PLAIN


@pytest.mark.parametrize("value", ["lzma", "exi", "gzip;q=1", "gzip br", "gzip, compress", "gzip\x00"])
def test_a_coding_that_is_not_known_is_an_error(value: str) -> None:
    with pytest.raises(ContentCodingError, match="not known; expected gzip, deflate"):
        decoder_for(value)


def test_more_than_five_codings_are_an_error_and_identity_does_not_count() -> None:
    assert decoder_for("identity, gzip, gzip, gzip, gzip, gzip") is not None
    with pytest.raises(ContentCodingError, match="6 content codings; expected at most 5"):
        decoder_for("gzip, gzip, gzip, gzip, gzip, deflate")


# Whole bodies


@pytest.mark.parametrize("label", ENCODERS)
@pytest.mark.parametrize("max_length", [1, 7, 4096, 1 << 30])
def test_decoded_content_is_what_was_encoded_in_pieces_of_at_most_the_bound(label: str, max_length: int) -> None:
    pieces = pieces_of(some_decoder(content_encoding(label)), CODED[label], max_length=max_length)
    assert b"".join(pieces) == PLAIN
    assert max(map(len, pieces)) <= max_length


@given(plain=BODIES, level=st.integers(0, 9), wbits=st.integers(9, 15))
def test_every_zlib_window_and_level_is_told_from_raw_deflate(plain: bytes, level: int, wbits: int) -> None:
    """deflate is zlib by the RFC and raw by some servers; the first octet tells which."""
    coder = zlib.compressobj(level, zlib.DEFLATED, wbits)
    assert decode("deflate", coder.compress(plain) + coder.flush()) == plain
    assert decode("deflate", raw_deflate(plain, level, -wbits)) == plain


@given(
    label=st.sampled_from(sorted(ENCODERS)),
    plain=BODIES,
    cuts=st.lists(st.integers(0, 1 << 20), max_size=8),
    max_length=st.integers(1, 5000),
)
def test_any_split_of_the_input_gives_the_same_content(
    label: str, plain: bytes, cuts: list[int], max_length: int
) -> None:
    chunks = split(ENCODERS[label](plain), cuts)
    assert decode(content_encoding(label), *chunks, max_length=max_length) == plain


@given(plains=st.lists(BODIES, min_size=1, max_size=5), cuts=st.lists(st.integers(0, 1 << 20), max_size=8))
def test_several_gzip_members_are_one_content_however_split(plains: list[bytes], cuts: list[int]) -> None:
    """Members simply follow one another (RFC 1952 section 2.2)."""
    coded = b"".join(map(gzip_member, plains))
    assert decode("gzip", *split(coded, cuts)) == b"".join(plains)


@given(chunks=st.lists(st.integers(1, 3000), min_size=1, max_size=20), max_length=st.integers(1, 3000))
def test_a_caller_who_does_not_drain_before_feeding_loses_nothing(chunks: list[int], max_length: int) -> None:
    """The protocol asks for a drain; without one the octets wait, in order."""
    decoder = some_decoder("deflate, gzip")
    coded = gzip_member(zlib.compress(PLAIN))
    got = b""
    for size in chunks:
        got += decoder.decode(coded[:size], max_length)
        coded = coded[size:]
    assert got + b"".join(pieces_of(decoder, coded)) == PLAIN


@pytest.mark.parametrize("label", ENCODERS)
def test_octet_by_octet_in_and_out(label: str) -> None:
    chunks = [CODED[label][i : i + 1] for i in range(len(CODED[label]))]
    assert decode(content_encoding(label), *chunks, max_length=1) == PLAIN


def test_a_gzip_header_with_every_optional_field_is_read_over() -> None:
    """FEXTRA, FNAME, FCOMMENT and FHCRC of RFC 1952 section 2.3."""
    head = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x03\x00abc" + b"name\0" + b"comment\0"
    head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    trailer = zlib.crc32(PLAIN).to_bytes(4, "little") + len(PLAIN).to_bytes(4, "little")
    coded = head + raw_deflate(PLAIN) + trailer
    assert decode("gzip", *split(coded, [5, 11, 14, 20])) == PLAIN


@pytest.mark.parametrize("value", ["gzip", "deflate", "gzip, deflate"])
def test_content_of_no_octets_passes(value: str) -> None:
    """Servers announce codings for bodies of length 0; that it is empty is proven by the framing."""
    decoder = some_decoder(value)
    decoder.finish()
    assert decoder.decode(b"", 10) == b""
    assert not decoder.has_pending
    decoder.finish()


# Stacks


@given(
    stack=st.lists(st.sampled_from(sorted(ENCODERS)), min_size=2, max_size=5),
    plain=BODIES,
    cuts=st.lists(st.integers(0, 1 << 20), max_size=6),
    max_length=st.integers(1, 5000),
)
def test_stacks_are_removed_from_the_last_applied_to_the_first(
    stack: list[str], plain: bytes, cuts: list[int], max_length: int
) -> None:
    coded = plain
    for label in stack:
        coded = ENCODERS[label](coded)
    value = ", ".join(map(content_encoding, stack))
    assert decode(value, *split(coded, cuts), max_length=max_length) == plain


def test_the_order_of_a_stack_matters() -> None:
    coded = zlib.compress(gzip_member(PLAIN))
    assert decode("gzip, deflate", coded) == PLAIN
    with pytest.raises(ContentCodingError):
        decode("deflate, gzip", coded)


# Ends


@pytest.mark.parametrize("label", ENCODERS)
@given(cut=st.integers(1, 1 << 20))
def test_any_truncation_is_an_error(label: str, cut: int) -> None:
    """A coding that is not at its end is never content: neither cut in its data nor in its checksum."""
    coded = CODED[label][: 1 + cut % (len(CODED[label]) - 1)]
    with pytest.raises(ContentCodingError, match=f"cut off after {len(coded)} octets"):
        decode(content_encoding(label), coded)


@pytest.mark.parametrize("cut", range(1, 20))
def test_truncation_in_either_stage_of_a_stack_is_an_error(cut: int) -> None:
    with pytest.raises(ContentCodingError, match="gzip content is cut off"):
        decode("deflate, gzip", gzip_member(zlib.compress(b"words"))[:-cut])
    with pytest.raises(ContentCodingError, match="deflate content is cut off"):
        decode("deflate, gzip", gzip_member(zlib.compress(NOISE)[:-cut]))


def test_a_second_gzip_member_that_is_cut_off_is_an_error() -> None:
    second = gzip_member(PLAIN)
    for cut in (1, 2, 9, 10, 11, len(second) - 8, len(second) - 1):
        with pytest.raises(ContentCodingError, match="cut off"):
            decode("gzip", gzip_member(TEXT) + second[:cut])


@given(zeros=st.integers(1, 40_000), cuts=st.lists(st.integers(0, 1 << 20), max_size=4))
def test_zero_octets_after_the_last_gzip_member_are_padding(zeros: int, cuts: list[int]) -> None:
    """As for gzip(1): tape blocks and some appliances pad with zeros."""
    assert decode("gzip", *split(gzip_member(TEXT) + bytes(zeros), cuts)) == TEXT


@pytest.mark.parametrize(
    "rest",
    [
        b"garbage",
        b"\x00garbage",
        bytes(20_000) + b"x",
        b"\x00" + gzip_member(b"again"),
        b"\x1fgarbage",
        b"\n",
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_what_is_no_member_after_a_gzip_member_is_an_error(rest: bytes, size: int) -> None:
    coded = gzip_member(TEXT) + rest
    with pytest.raises(ContentCodingError, match=r"goes on after the end|broken"):
        decode("gzip", *[coded[i : i + size] for i in range(0, len(coded), size)])


@pytest.mark.parametrize("rest", [b"\0", b"x", zlib.compress(b"again")])
@pytest.mark.parametrize("label", ["deflate", "raw"])
def test_anything_after_deflate_is_an_error(label: str, rest: bytes) -> None:
    with pytest.raises(ContentCodingError, match="deflate content goes on after the end"):
        decode("deflate", CODED[label] + rest)


@pytest.mark.parametrize(
    ("value", "coded"),
    [
        ("gzip", b"<html>no gzip at all</html>"),
        ("gzip", zlib.compress(PLAIN)),
        ("gzip", bytes(100)),
        ("deflate", b"<html>no deflate at all</html>"),
        ("deflate", gzip_member(PLAIN)),
        ("gzip", gzip_member(PLAIN)[:-8] + b"\0\0\0\0" + gzip_member(PLAIN)[-4:]),
        ("gzip", gzip_member(PLAIN)[:-1] + b"\x7f"),
        ("deflate", zlib.compress(PLAIN)[:-1] + b"\x00"),
    ],
    ids=["html", "zlib", "zeros", "html in deflate", "gzip in deflate", "crc", "length", "adler"],
)
def test_broken_data_is_an_error(value: str, coded: bytes) -> None:
    """Another format, a wrong checksum, a wrong length."""
    with pytest.raises(ContentCodingError, match="is broken"):
        decode(value, coded)


@given(data=st.binary(max_size=300), value=st.sampled_from(["gzip", "deflate", "gzip, deflate"]))
def test_arbitrary_octets_give_content_or_a_coding_error(data: bytes, value: str) -> None:
    """No other exception, and the same verdict octet by octet."""

    def verdict(*chunks: bytes) -> bytes | None:
        try:
            return decode(value, *chunks)
        except ContentCodingError:
            return None

    assert verdict(data) == verdict(*[data[i : i + 1] for i in range(len(data))])


def test_a_decoder_that_failed_does_not_recover() -> None:
    decoder = some_decoder("gzip")
    for _ in range(2):
        with pytest.raises(ContentCodingError):
            decoder.decode(b"no gzip", STEP)


# Bounds


def test_a_step_of_no_octets_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length is 0"):
        some_decoder("gzip").decode(b"", 0)


def test_finish_before_everything_was_decoded_is_a_fault_of_the_caller() -> None:
    decoder = some_decoder("gzip")
    decoder.decode(gzip_member(PLAIN), 10)
    assert decoder.has_pending
    with pytest.raises(RuntimeError, match="pending"):
        decoder.finish()


@pytest.mark.slow
def test_a_bomb_is_decoded_in_small_steps_and_little_memory() -> None:
    decoder = some_decoder("gzip")
    bomb = gzip_member(bytes(32 << 20))
    tracemalloc.start()
    try:
        largest = len(decoder.decode(bomb, STEP))
        while decoder.has_pending:
            largest = max(largest, len(decoder.decode(b"", STEP)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert decoder.produced == 32 << 20
    assert largest == STEP
    assert peak < 1 << 20


def test_a_total_bound_stops_a_bomb_within_one_octet() -> None:
    decoder = BoundedDecoder(some_decoder("gzip"), max_total=100_000, max_ratio=None)
    with pytest.raises(BodyTooLargeError, match="decoded content exceeds the limit of 100000") as caught:
        pieces_of(decoder, gzip_member(bytes(1 << 20)))
    assert caught.value.limit == 100_000
    assert decoder.produced == 100_001


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000])
def test_content_of_exactly_the_total_bound_passes(size: int) -> None:
    decoder = BoundedDecoder(some_decoder("gzip"), max_total=100_000)
    assert b"".join(pieces_of(decoder, gzip_member(bytes(size)))) == bytes(size)


def test_a_total_bound_of_zero_admits_empty_content_only() -> None:
    assert pieces_of(BoundedDecoder(some_decoder("gzip"), max_total=0), gzip_member(b"")) == [b""]
    with pytest.raises(BodyTooLargeError):
        pieces_of(BoundedDecoder(some_decoder("gzip"), max_total=0), gzip_member(b"x"))


@pytest.mark.slow
def test_the_default_ratio_never_refuses_one_coding() -> None:
    """Deflate cannot exceed 1032 : 1, so a file of zeros is content, not a bomb."""
    for encode, value in ((gzip_member, "gzip"), (zlib.compress, "deflate"), (raw_deflate, "deflate")):
        coded = encode(bytes(32 << 20))
        assert (32 << 20) / len(coded) > 1000
        assert sum(map(len, pieces_of(BoundedDecoder(some_decoder(value)), coded))) == 32 << 20


def test_a_ratio_bound_stops_a_stack_that_multiplies() -> None:
    bomb = gzip_member(gzip_member(bytes(64 << 20), 9), 9)
    decoder = BoundedDecoder(some_decoder("gzip, gzip"))
    with pytest.raises(BodyTooLargeError, match="ratio") as caught:
        pieces_of(decoder, bomb)
    assert caught.value.limit == DEFAULT_MAX_RATIO
    assert decoder.produced <= max(1 << 20, DEFAULT_MAX_RATIO * len(bomb)) + STEP


def test_a_ratio_is_not_looked_at_below_a_mebibyte() -> None:
    coded = gzip_member(bytes(1 << 20))
    assert pieces_of(BoundedDecoder(some_decoder("gzip"), max_ratio=1), coded)
    with pytest.raises(BodyTooLargeError):
        pieces_of(BoundedDecoder(some_decoder("gzip"), max_ratio=1), gzip_member(bytes((1 << 20) + 1)))


@pytest.mark.parametrize(
    "filler", [gzip_member(b"") * 100_000, gzip_member(b"") + bytes(8 << 20)], ids=["members", "padding"]
)
def test_a_bomb_that_comes_out_as_nothing_is_stopped_and_each_step_is_short(filler: bytes) -> None:
    """A middle stage that inflates counts too, and no call moves more than one step of it."""
    bomb = gzip_member(gzip_member(filler, 9), 9)
    decoder = BoundedDecoder(some_decoder("gzip, gzip, gzip"))
    steps = [0]

    def run_on() -> None:
        decoder.decode(bomb, STEP)
        while decoder.has_pending:
            steps.append(decoder.produced)
            assert decoder.decode(b"", STEP) == b""

    with pytest.raises(BodyTooLargeError):
        run_on()
    assert max(after - before for before, after in itertools.pairwise(steps)) <= STEP


def test_bounds_are_errors_of_the_content() -> None:
    """One except clause for a caller who only wants to know that the content is of no use."""
    assert issubclass(BodyTooLargeError, ClientPayloadError)
    assert issubclass(ContentCodingError, ClientPayloadError)


# Cost


def seconds_for_octets(coded: bytes) -> float:
    decoder = some_decoder("gzip")
    start = time.process_time()
    for i in range(len(coded)):
        decoder.decode(coded[i : i + 1], STEP)
    return time.process_time() - start


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_million_feeds_of_one_octet_cost_ten_times_a_hundred_thousand() -> None:
    """Linear: nothing that grows is copied or searched on each feed."""
    coded = gzip_member(random.Random(1).randbytes(1_000_000))
    seconds_for_octets(coded[:10_000])
    tenth = seconds_for_octets(coded[:100_000])
    assert seconds_for_octets(coded[:1_000_000]) < 30 * tenth


def test_a_hundred_thousand_empty_gzip_members_cost_ten_times_ten_thousand() -> None:
    """A flood of members, in one chunk, is linear and yields nothing."""
    flood = gzip_member(b"") * 100_000

    def seconds_for(coded: bytes) -> float:
        start = time.process_time()
        assert decode("gzip", coded) == b""
        return time.process_time() - start

    tenth = seconds_for(flood[: len(flood) // 10])
    assert seconds_for(flood) < 30 * tenth


def test_a_large_chunk_drained_in_small_pieces_is_linear() -> None:
    """What waits is not copied again for each piece: four times the chunk, about four times the time."""

    def seconds_for(size: int) -> float:
        coded = zlib.compress(random.Random(2).randbytes(size), 0)
        start = time.process_time()
        assert len(decode("deflate", coded, max_length=1024)) == size
        return time.process_time() - start

    quarter = seconds_for(4 << 20)
    assert seconds_for(16 << 20) < 12 * quarter
