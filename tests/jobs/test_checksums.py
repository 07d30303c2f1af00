"""``checksums.py``: names, hashes, and where an expected digest is found."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.checksums import (
    ALGORITHMS,
    Digest,
    Hashes,
    Sidecar,
    algorithm_named,
    head_digests,
    parse_digest,
    spelled,
)
from fetchd.jobs.crcs import CRC_OCTETS, Crc

CONTENT = b"what was sent"
MD5 = hashlib.md5(CONTENT).digest()
SHA1 = hashlib.sha1(CONTENT).digest()
SHA256 = hashlib.sha256(CONTENT).digest()
SHA512 = hashlib.sha512(CONTENT).digest()


def b64(octets: bytes) -> str:
    """Base64 as fields have it."""
    return base64.b64encode(octets).decode()


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("sha256", "sha256"),
        ("SHA-256", "sha256"),
        ("sha_512", "sha512"),
        ("sha", "sha1"),
        ("CRC-32C", "crc32c"),
        ("crc24", None),
        ("", None),
    ],
)
def test_an_algorithm_is_known_however_it_is_written(name: str, means: str | None) -> None:
    """Metalink, aria2 and RFC 9530 each have their way."""
    assert algorithm_named(name) == means


def reference(name: str, content: bytes) -> bytes:
    """The digest by the standard library; ``test_crcs`` looks at those that it has not."""
    if name in CRC_OCTETS:
        crc = Crc(name)
        crc.update(content)
        return crc.digest()
    return zlib.crc32(content).to_bytes(4, "big") if name == "crc32" else hashlib.new(name, content).digest()


@given(st.lists(st.binary(max_size=40)))
def test_the_digests_are_those_of_the_whole(pieces: list[bytes]) -> None:
    """However it was cut."""
    hashes = Hashes(ALGORITHMS)
    for piece in pieces:
        hashes.update(piece)
    whole = b"".join(pieces)
    assert hashes.octets == len(whole)
    for name in ALGORITHMS:
        expected = reference(name, whole)
        assert hashes.digest(name) == (name, expected)
        assert parse_digest(spelled((name, expected))) == (name, expected)


def test_a_mismatch_names_both() -> None:
    """And what is right is nothing to speak of."""
    hashes = Hashes(["md5", "sha1"])
    hashes.update(CONTENT)
    assert hashes.mismatch([("md5", MD5), ("sha1", SHA1)]) == ""
    assert hashes.mismatch([("md5", MD5), ("sha1", bytes(20))]) == f"sha1 is {SHA1.hex()}; expected {'0' * 40}"


@pytest.mark.parametrize("text", ["", "sha256", "sha256:", "sha256:00", "sha256:zz", "sha3:00", "crc32:0011223344"])
def test_what_is_no_digest_is_refused(text: str) -> None:
    """With what was expected."""
    with pytest.raises(ValueError, match="expected"):
        parse_digest(text)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("Repr-Digest", f"sha-256=:{b64(SHA256)}:, unixsum=:AAA=:", [("sha256", SHA256)]),
        ("content-digest", f"sha-512=:{b64(SHA512)}:", [("sha512", SHA512)]),
        ("Content-MD5", b64(MD5), [("md5", MD5)]),
        ("Content-MD5", "nonsense", []),
        ("Content-MD5", b64(SHA1), []),
        ("X-Goog-Hash", f"crc32c=AAAAAA==,md5={b64(MD5)}", [("crc32c", bytes(4)), ("md5", MD5)]),
        ("x-goog-hash", "crc32c=AAAAAA==", [("crc32c", bytes(4))]),
        ("x-goog-hash", "crc24=AAAA", []),
        ("x-amz-checksum-sha256", b64(SHA256), [("sha256", SHA256)]),
        ("x-amz-checksum-crc32", b64(zlib.crc32(CONTENT).to_bytes(4, "big")), [("crc32", b"~\xd4\x12\xd8")]),
        ("x-amz-checksum-crc32c", "AAAAAA==", [("crc32c", bytes(4))]),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=", [("crc64nvme", bytes(8))]),
        ("x-amz-checksum-sha256", f"{b64(SHA256)}-3", []),
        ("Repr-Digest", "sha-256=:AAAA:", []),
        ("ETag", b64(MD5), []),
    ],
)
def test_a_head_tells_digests_in_many_ways(name: str, value: str, found: list[Digest]) -> None:
    """What is no digest, or cannot be computed, is passed over."""
    if name == "x-amz-checksum-crc32":
        found = [("crc32", zlib.crc32(CONTENT).to_bytes(4, "big"))]
    assert head_digests([(b"Date", b"today"), (name.encode(), value.encode())], 200) == found


def test_of_a_part_only_what_is_about_the_whole_counts() -> None:
    """A 206 has a content of its own; Repr-Digest and x-goog-hash speak of the representation."""
    fields = [
        (b"Repr-Digest", f"sha-256=:{b64(SHA256)}:".encode()),
        (b"Content-Digest", f"sha-512=:{b64(SHA512)}:".encode()),
        (b"Content-MD5", b64(bytes(16)).encode()),
        (b"x-goog-hash", f"md5={b64(MD5)}".encode()),
        (b"x-amz-checksum-sha1", b64(SHA1).encode()),
    ]
    assert head_digests(fields, 206) == [("sha256", SHA256), ("md5", MD5)]
    assert len(head_digests(fields, 200)) == 5


def test_a_checksum_of_checksums_says_nothing() -> None:
    """Objects that were uploaded in parts."""
    fields = [(b"x-amz-checksum-sha256", b64(SHA256).encode()), (b"x-amz-checksum-type", b"COMPOSITE")]
    assert head_digests(fields, 200) == []


def test_a_hash_of_what_is_stored_is_not_held_to_what_was_unpacked() -> None:
    """The store sends a gzip as plain text to who asks for identity, with the hash of the gzip."""
    fields = [(b"x-goog-hash", f"md5={b64(MD5)}".encode()), (b"x-goog-stored-content-encoding", b"gzip")]
    assert head_digests(fields, 200) == []
    assert head_digests([*fields, (b"Content-Encoding", b"gzip")], 200) == [("md5", MD5)]


SIDECAR = f"""\ufeff# made today
{SHA256.hex()}  b.iso
{SHA256.hex().upper()} *./a/b.iso
SHA1 (c d.iso) = {SHA1.hex()}

SHA512 (short) = 00
{MD5.hex()}\tfour
\\{MD5.hex()}  back\\\\slash
no entry
"""


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://h/b.iso", ("sha256", SHA256)),
        ("http://h/x/a/b.iso?token=1", ("sha256", SHA256)),
        ("http://h/c%20d.iso", ("sha1", SHA1)),
        ("http://h/x/four", ("md5", MD5)),
        ("http://h/back%5Cslash", ("md5", MD5)),
        ("http://h/xb.iso", None),
        ("http://h/", None),
    ],
)
def test_a_sidecar_is_matched_by_the_end_of_the_path(url: str, found: Digest | None) -> None:
    """Whole components of it, decoded."""
    assert Sidecar.parse(SIDECAR).of(url) == found


def test_what_a_sidecar_has_and_is_no_entry_is_told() -> None:
    """By its line; comments and blank lines are none."""
    assert Sidecar.parse(SIDECAR).unread == (6, 9)
    assert Sidecar.parse("") == ({}, ())


def test_the_longest_entry_is_meant() -> None:
    """A list for a tree has folders in its names."""
    text = f"{MD5.hex()}  b\n{SHA1.hex()}  a/b\n"
    assert Sidecar.parse(text).of("http://h/a/b") == ("sha1", SHA1)
    assert Sidecar.parse(text).of("http://h/z/b") == ("md5", MD5)


@given(st.text())
def test_any_text_is_a_sidecar(text: str) -> None:
    """Perhaps one without entries."""
    Sidecar.parse(text)
