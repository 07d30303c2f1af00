"""Digests of content: their names, their hashes, and where an expected one is found. Pure.

    a manifest     algorithm and octets, as the item carries them
    a sidecar      lines of SHA256SUMS and its kin, by coreutils or BSD, matched by the end of the URL's path
    a response     Repr-Digest, Content-Digest (RFC 9530), Content-MD5 (RFC 1864), x-goog-hash, x-amz-checksum-*

A response's digests are about the octets as they were sent, so they are of use only while nothing is decoded, and of a
206, which holds a part, only those that are about the whole. A field by an algorithm that cannot be computed here
(crc32c and crc64nvme without their extra, see ``crcs.py``) is as good as none.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol, Self
from urllib.parse import unquote

from fetchd.client.digests import parse_digests

from .crcs import CRC_OCTETS, Crc, missing_for
from .targets import parse_target

__all__ = [
    "ALGORITHMS",
    "Digest",
    "Hash",
    "Hashes",
    "Sidecar",
    "algorithm_named",
    "digest_octets",
    "head_digests",
    "missing_for",
    "new_hash",
    "parse_digest",
    "spelled",
]

Digest = tuple[str, bytes]
"""Algorithm, a name of `ALGORITHMS`, and the octets."""

_OCTETS: Final[Mapping[str, int]] = {
    "md5": 16,
    "sha1": 20,
    "sha224": 28,
    "sha256": 32,
    "sha384": 48,
    "sha512": 64,
    "blake2b": 64,
    "crc32": 4,
    **CRC_OCTETS,
}
ALGORITHMS: Final = tuple(_OCTETS)
"""What is known, by the names that reports and the ledger use; some only with an extra, see `missing_for`."""

_OTHER_NAMES: Final = {"sha": "sha1"}
# By the number of hexadecimal digits, for lists that do not name their algorithm.
_BY_LENGTH: Final = {2 * octets: name for name, octets in _OCTETS.items() if name != "blake2b" and "crc" not in name}


class Hash(Protocol):
    """What takes octets and gives their digest."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take the next octets."""

    def digest(self) -> bytes:
        """Return the digest of what was taken."""


class _Crc32:
    """CRC-32 of ISO 3309 in the manner of ``hashlib``; four octets, the first the most significant."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        """See `Hash`."""
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        """See `Hash`."""
        return self._value.to_bytes(4, "big")


def algorithm_named(name: str) -> str | None:
    """Return which of `ALGORITHMS` *name* means, however it is written (``SHA-256``); None for none of them."""
    plain = name.strip().lower().replace("-", "").replace("_", "")
    plain = _OTHER_NAMES.get(plain, plain)
    return plain if plain in _OCTETS else None


def digest_octets(algorithm: str, value: str | bytes) -> bytes:
    """Return the octets of a digest that is written in hexadecimal digits or base64, or given as it is.

    Raises:
        ValueError: It is none of these, or has another length than the digests of *algorithm*, one of `ALGORITHMS`;
            or that cannot be computed here.
    """
    if missing := missing_for(algorithm):
        raise ValueError(missing)
    length = _OCTETS[algorithm]
    if isinstance(value, bytes) and len(value) == length:
        return value
    try:
        text = value.decode("ascii") if isinstance(value, bytes) else value
        text = text.strip()
        octets = bytes.fromhex(text) if len(text) == 2 * length else binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        octets = b""
    if len(octets) != length:
        raise ValueError(f"no {algorithm} digest; expected {2 * length} hexadecimal digits or their base64")
    return octets


def new_hash(algorithm: str) -> Hash:
    """Return a hash that has taken nothing yet; *algorithm* is one of `ALGORITHMS`.

    Raises:
        ValueError: It cannot be computed here.
    """
    if algorithm in CRC_OCTETS:
        return Crc(algorithm)
    return _Crc32() if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)


def spelled(digest: Digest) -> str:
    """Return *digest* as the ledger and reports have it: ``sha256:`` and hexadecimal digits."""
    return f"{digest[0]}:{digest[1].hex()}"


def parse_digest(text: str) -> Digest:
    """Return the digest that `spelled` wrote.

    Raises:
        ValueError: It is none, its algorithm is not known or cannot be computed here, or it has another length than
            that algorithm's.
    """
    name, _, digits = text.partition(":")
    algorithm = algorithm_named(name)
    if algorithm is None:
        raise ValueError(f"unknown algorithm {name[:20]!r}; expected one of {', '.join(ALGORITHMS)}")
    if missing := missing_for(algorithm):
        raise ValueError(missing)
    try:
        octets = bytes.fromhex(digits)
    except ValueError:
        octets = b""
    if len(octets) != _OCTETS[algorithm]:
        raise ValueError(f"no {algorithm} digest; expected {2 * _OCTETS[algorithm]} hexadecimal digits")
    return algorithm, octets


class Hashes:
    """Several hashes of one content.

    Attributes:
        octets: How many were taken.
    """

    __slots__ = ("_hashes", "octets")

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = {name: new_hash(name) for name in sorted(set(algorithms))}
        self.octets = 0

    @property
    def algorithms(self) -> frozenset[str]:
        """What is computed."""
        return frozenset(self._hashes)

    def update(self, data: bytes | memoryview) -> None:
        """Take the next octets."""
        for known in self._hashes.values():
            known.update(data)
        self.octets += len(data)

    def digest(self, algorithm: str) -> Digest:
        """Return the digest by one of the algorithms."""
        return algorithm, self._hashes[algorithm].digest()

    def mismatch(self, expected: Iterable[Digest]) -> str:
        """Say how the content differs from what is *expected*, "" when it does not."""
        for algorithm, octets in expected:
            seen = self.digest(algorithm)
            if seen[1] != octets:
                return f"{algorithm} is {seen[1].hex()}; expected {octets.hex()}"
        return ""


# Digests in a response.


def head_digests(fields: Iterable[tuple[bytes, bytes]], status: int) -> list[Digest]:
    """Return the digests that a response tells of the whole that it is, or is a part of.

    Args:
        fields: Names and values as received.
        status: 206 leaves only Repr-Digest and x-goog-hash, which are about the whole (RFC 9530 section 3).
    """
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip(" \t"))
    found = _structured(values.get("repr-digest", ()))
    if _is_stored_as_sent(values):
        found += _google(values.get("x-goog-hash", ()))
    if status != 206:
        found += _structured(values.get("content-digest", ()))
        found += _base64("md5", values.get("content-md5", ()))
        found += _amazon(values)
    return [digest for digest in dict.fromkeys(found) if not missing_for(digest[0])]


def _structured(values: Iterable[str]) -> list[Digest]:
    """Repr-Digest and Content-Digest, whose keys are those of RFC 9530 section 5."""
    members = ((algorithm_named(name), octets) for name, octets in parse_digests(values).items())
    return [(name, octets) for name, octets in members if name is not None and len(octets) == _OCTETS[name]]


def _is_stored_as_sent(values: Mapping[str, list[str]]) -> bool:
    """Whether x-goog-hash, which is about what is stored, is about what is sent: a gzip may be unpacked on the way."""
    stored = values.get("x-goog-stored-content-encoding", ["identity"])[0].lower()
    sent = values.get("content-encoding", ["identity"])[0].lower()
    return stored == sent


def _google(values: Iterable[str]) -> list[Digest]:
    """``crc32c=AAAAAA==,md5=...``, in one field or in several."""
    members = (member.strip().partition("=") for value in values for member in value.split(","))
    return [digest for name, _, text in members if name in _OCTETS for digest in _base64(name, (text,))]


def _amazon(values: Mapping[str, list[str]]) -> list[Digest]:
    """``x-amz-checksum-sha256`` and its like; a checksum of the checksums of parts says nothing of the octets."""
    if values.get("x-amz-checksum-type", [""])[0].upper() == "COMPOSITE":
        return []
    pairs = ((algorithm_named(name.removeprefix("x-amz-checksum-")), texts) for name, texts in values.items())
    return [digest for name, texts in pairs if name is not None for digest in _base64(name, texts)]


def _base64(algorithm: str, texts: Iterable[str]) -> list[Digest]:
    """The first of *texts* if it is a digest of the right length; ``...-3``, of three parts, is none."""
    for text in texts:
        try:
            octets = binascii.a2b_base64(text.strip(), strict_mode=True)
        except ValueError:
            return []
        return [(algorithm, octets)] if len(octets) == _OCTETS[algorithm] else []
    return []


# A sidecar.

_COREUTILS: Final = re.compile(r"(\\?)([0-9A-Fa-f]{32,128})[ \t]+\*?(.+)").fullmatch
_BSD: Final = re.compile(r"(\\?)([A-Za-z0-9-]+) ?\((.+)\) ?= ?([0-9A-Fa-f]+)").fullmatch
_ESCAPED: Final = re.compile(r"\\([\\nr])")


class Sidecar(NamedTuple):
    """The digests of a list such as SHA256SUMS, by name.

    Attributes:
        digests: By the path that the list has, without a leading ``./``.
        unread: Numbers of the lines that are neither entry nor comment nor blank, from 1.
    """

    digests: Mapping[str, Digest]
    unread: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read lines of coreutils (``HEX  name``) and BSD (``SHA256 (name) = HEX``), mixed as they like."""
        digests: dict[str, Digest] = {}
        unread = []
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
            entry = _entry(line.strip())
            if entry is not None:
                digests[entry[0]] = entry[1]
            elif line.strip() and not line.startswith("#"):
                unread.append(number)
        return cls(digests, tuple(unread))

    def of(self, url: str) -> Digest | None:
        """Return the digest of *url*, a valid one: of the longest entry that its path ends with; None for none.

        The path is compared decoded, component by component: ``b.iso`` and ``a/b.iso`` are entries of ``/x/a/b.iso``.
        """
        parts = unquote(parse_target(url).raw_path).lstrip("/").split("/")
        for start in range(len(parts)):
            found = self.digests.get("/".join(parts[start:]))
            if found is not None:
                return found
        return None


def _entry(line: str) -> tuple[str, Digest] | None:
    """Return name and digest of a line; None when it has none, or an algorithm that is not known."""
    if found := _COREUTILS(line):
        escape, digits, name = found.groups()
        algorithm = _BY_LENGTH.get(len(digits))
    elif found := _BSD(line):
        escape, algorithm_name, name, digits = found.groups()
        algorithm = algorithm_named(algorithm_name)
    else:
        return None
    if algorithm is None or len(digits) != 2 * _OCTETS[algorithm]:
        return None
    if escape:
        name = _ESCAPED.sub(lambda match: {"n": "\n", "r": "\r"}.get(match[1], match[1]), name)
    return name.removeprefix("./"), (algorithm, bytes.fromhex(digits))
