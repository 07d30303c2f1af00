"""What both sides tell of a body's digests. Pure. The hashes and fields themselves are those of ``checksums``.

Source: RFC 9530. What the source tells in the head of its answer, or the manifest, is expected of the octets and told
on to the destination.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

from fetchd.client import ClientResponse

from ..checksums import Digest, head_digests

__all__ = ["DIGEST", "digests_of", "field_of", "is_same"]

DIGEST: Final = "sha256"
"""Algorithm of a digest that a destination is told and nobody has chosen."""
_REGISTERED: Final = {"md5": "md5", "sha1": "sha", "sha256": "sha-256", "sha512": "sha-512"}


def digests_of(response: ClientResponse) -> list[Digest]:
    """What the head of *response*, whose content is as it was sent, tells of it."""
    return head_digests(response.raw_headers, response.status)


def field_of(digests: Iterable[Digest]) -> str:
    """*digests* as the value of a Repr-Digest field; empty when none has a name there (RFC 9530 section 5)."""
    named = [(_REGISTERED[name], octets) for name, octets in digests if name in _REGISTERED]
    return ", ".join(f"{name}=:{base64.b64encode(octets).decode()}:" for name, octets in named)


def is_same(by: str, ours: ClientResponse, theirs: ClientResponse, known: Iterable[Digest] = ()) -> bool:
    """Whether two answers to HEAD tell the same of the representation; what one does not tell is no proof.

    Args:
        by: ``length`` (Content-Length), ``etag`` (both strong and equal: RFC 9110 section 8.8.3.2), or ``digest``
            (by an algorithm that both tell).
        ours: Of the source.
        theirs: Of the destination.
        known: Digests that the manifest has.
    """
    if by == "digest":
        here, there = dict([*digests_of(ours), *known]), dict(digests_of(theirs))
        common = here.keys() & there.keys()
        return bool(common) and all(here[name] == there[name] for name in common)
    name = "ETag" if by == "etag" else "Content-Length"
    value = ours.headers.get(name)
    return value is not None and value == theirs.headers.get(name) and not value.startswith("W/")
