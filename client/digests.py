"""Digests of content (RFC 9530): Content-Digest and Repr-Digest, from field values to a verdict. Pure.

Here: the structured dictionary (RFC 8941 section 3.2) that both fields are, which of them can be held to the octets at
hand, and the hashes themselves. Not here: where the octets come from (``checking``).

What is hashed. Both digests are over the content *with* its codings: Content-Digest over what the message holds,
Repr-Digest over the whole representation, of which a 206 holds a part. So both are the same octets for a 200, and
Repr-Digest of a 206 cannot be checked against the message.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from .exceptions import DigestMismatchError

__all__ = ["SECURE", "Announced", "Hashes", "algorithms_for", "announced", "parse_digests"]

SECURE: Final = ("sha-256", "sha-512")
"""What is checked unless others are asked for; the rest protects from accidents only (RFC 9530 section 5)."""

_HASHLIB_NAMES: Final = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5", "sha": "sha1"}

_KEY = r"[a-z*][a-z0-9_\-.*]*+"
_OCTETS = r":[A-Za-z0-9+/]*+={0,2}:"
_BARE = (
    rf"(?:{_OCTETS}|-?[0-9]{{1,15}}+(?:\.[0-9]{{1,3}}+)?+|\"(?:[ !#-\[\]-~]|\\[\"\\])*+\""
    r"|[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*+|\?[01])"
)
_PARAMETERS = rf"(?:; *+{_KEY}(?:={_BARE})?+)*+"
_LIST = rf"\( *+(?:{_BARE}{_PARAMETERS}(?: ++|(?=\))))*+\)"
_MEMBER: Final = re.compile(rf"({_KEY})(?:=({_BARE}|{_LIST}))?+{_PARAMETERS}").match
_COMMA: Final = re.compile(r"[ \t]*+,[ \t]*+").match


class Announced(NamedTuple):
    """One digest that a response announces.

    Attributes:
        field: Name of the field, ``Content-Digest`` or ``Repr-Digest``.
        algorithm: As registered, ``sha-256``.
        value: The digest.
    """

    field: str
    algorithm: str
    value: bytes


def parse_digests(values: Iterable[str]) -> dict[str, bytes]:
    """Return the digests of one field by algorithm.

    Args:
        values: The value of each field line, in order; a later member takes the place of an earlier one.

    A value that is no dictionary is ignored as a whole, and a member that is no byte sequence by itself: such a field
    is as good as none. Source: RFC 8941 section 4.2, RFC 9530 section 2.
    """
    text = ", ".join(values).strip(" ")
    digests: dict[str, bytes] = {}
    at = 0
    while at < len(text):
        member = _MEMBER(text, at)
        if member is None:
            return {}
        name, value = member.groups()
        digests.pop(name, None)
        if value is not None and value[0] == ":":
            octets = _from_base64(value[1:-1])
            if octets is None:
                return {}
            digests[name] = octets
        at = member.end()
        if at < len(text):
            comma = _COMMA(text, at)
            if comma is None or comma.end() == len(text):
                return {}
            at = comma.end()
    return digests


def _from_base64(text: str) -> bytes | None:
    bare = text.rstrip("=")
    try:
        return binascii.a2b_base64(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        return None


def announced(
    fields: Iterable[tuple[bytes, bytes]], *, method: str, status: int, algorithms: Collection[str]
) -> list[Announced]:
    """Return the digests in *fields* that can be held to the content of this response.

    Args:
        fields: Of the head or the trailer section, as received.
        method: Of the request. Repr-Digest is looked at for GET alone: the response to another method may speak of a
            representation that it does not enclose (RFC 9530 section 3).
        status: Of the response; a 206 encloses a part of what Repr-Digest is about.
        algorithms: Which to look at.
    """
    names = ["Content-Digest"]
    if method == "GET" and status != 206:
        names.append("Repr-Digest")
    lines = [(name.lower(), value.decode("latin-1").strip(" \t")) for name, value in fields]
    found = []
    for name in names:
        digests = parse_digests(value for seen, value in lines if seen == name.lower().encode())
        found += [Announced(name, key, value) for key, value in digests.items() if key in algorithms]
    return found


def algorithms_for(wish: bool | Collection[str]) -> frozenset[str]:
    """Return the algorithms that ``verify_digest=`` asks for: none for False, the secure ones for True.

    Raises:
        ValueError: A name that is not known here, or a text in the place of a collection of them.
    """
    if isinstance(wish, bool):
        return frozenset(SECURE if wish else ())
    names = frozenset((wish,) if isinstance(wish, str) else wish)
    if unknown := sorted(names - _HASHLIB_NAMES.keys()):
        raise ValueError(f"verify_digest: unknown algorithms {unknown}; expected some of {sorted(_HASHLIB_NAMES)}")
    return names


class Hashes:
    """Hashes one content by several algorithms at once, then compares.

    Args:
        algorithms: Which; known ones.
    """

    __slots__ = ("_hashes",)

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = {
            name: hashlib.new(_HASHLIB_NAMES[name], usedforsecurity=False) for name in sorted(set(algorithms))
        }

    def update(self, data: bytes) -> None:
        """Take the next octets."""
        for known in self._hashes.values():
            known.update(data)

    def check(self, digests: Iterable[Announced]) -> tuple[str, ...]:
        """Return which of *digests* were held to the octets taken, as ``Repr-Digest sha-256``.

        Raises:
            DigestMismatchError: One says something else.
        """
        checked = []
        for digest in digests:
            known = self._hashes.get(digest.algorithm)
            if known is None:
                continue  # a trailer speaks of an algorithm that the head did not: too late to begin
            if known.digest() != digest.value:
                raise DigestMismatchError(digest.field, digest.algorithm, digest.value, known.digest())
            checked.append(f"{digest.field} {digest.algorithm}")
        return tuple(checked)
