# Invariant: any fields are read as digests or ignored, never raise; however the lines are joined they mean the same, so
# do they written anew; content passes if and only if each digest that is looked at is that of the content.
"""Content-Digest and Repr-Digest, one field a line (RFC 9530)."""

from __future__ import annotations

import base64
import hashlib
import random
import re

from fetchd.client.digests import Hashes, algorithms_for, announced, parse_digests
from fetchd.client.exceptions import DigestMismatchError

from ..engine import Target

__all__ = ["TARGET"]

_CONTENT = b"hello"
_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5", "sha": "sha1"}


def _member(name: str, content: bytes = _CONTENT) -> str:
    value = hashlib.new(_ALGORITHMS[name], content, usedforsecurity=False).digest()
    return f"{name}=:{base64.b64encode(value).decode()}:"


_MEMBERS = (
    *(_member(name) for name in _ALGORITHMS),
    *(_member("sha-256", b"another"), "sha-256=::", "sha-256=:x:", "sha-256", "sha-256=?1", "sha-512=1.5", "unixsum=7"),
    *('x="a, b=:YQ==:"', "x=(1 2 :YQ==:)", "crc32c=:AAAA:;p=1;q", "sha-256=:YQ:", "SHA-256=:YQ==:", "*=tok/en"),
)
_MARKS = ",", ", ", " ,\t", "=", ":", ";", "(", ")", '"', "\\", "\n", " ", "\xff", "\0", "?2", "-"
_TOKENS = tuple(text.encode("latin-1") for text in (*_MEMBERS, *_MARKS))


def _generate(rng: random.Random) -> bytes:
    lines = [", ".join(rng.sample(_MEMBERS, rng.randint(0, 4))) for _ in range(rng.choice((1, 1, 2, 4)))]
    return "\n".join(lines).encode("latin-1")


def _check(data: bytes) -> bool:
    lines = data.split(b"\n")
    texts = [line.decode("latin-1") for line in lines]
    digests = parse_digests(texts)
    assert all(_KEY.fullmatch(name) for name in digests)
    assert parse_digests([", ".join(texts)]) == digests
    anew = ", ".join(f"{name}=:{base64.b64encode(value).decode()}:" for name, value in digests.items())
    assert parse_digests([anew]) == digests
    _check_content(lines)
    return bool(digests)


def _check_content(lines: list[bytes]) -> None:
    algorithms = algorithms_for(tuple(_ALGORITHMS))
    fields = [(b"Repr-Digest" if number % 3 else b"content-DIGEST", line) for number, line in enumerate(lines)]
    found = announced(fields, method="GET", status=200, algorithms=algorithms)
    wrong = [
        each
        for each in found
        if hashlib.new(_ALGORITHMS[each.algorithm], _CONTENT, usedforsecurity=False).digest() != each.value
    ]
    hashes = Hashes(each.algorithm for each in found)
    hashes.update(_CONTENT[:2])
    hashes.update(_CONTENT[2:])
    try:
        checked = hashes.check(found)
    except DigestMismatchError:
        assert wrong
    else:
        assert not wrong
        assert len(checked) == len(found)
    partial = announced(fields, method="GET", status=206, algorithms=algorithms)
    assert partial == [each for each in found if each.field == "Content-Digest"]


TARGET = Target("digest_fields", _generate, _check, _TOKENS)
