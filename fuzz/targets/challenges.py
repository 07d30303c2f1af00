# Invariant: any fields are read as challenges, at most 16, and never raise; an answer to one of them can stand in
# a field, holds no password, and is read back as what it says.
"""WWW-Authenticate, one field a line, and Digest's answer to it (RFC 9110 section 11.6.1, RFC 7616)."""

from __future__ import annotations

import random
import re

from fetchd.client.auth import DigestAuth
from fetchd.client.challenges import parse_challenges

from ..engine import Target

__all__ = ["TARGET"]

_NO_FIELD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_SCHEMES = "Digest", "Digest", "digest", "Basic", "Bearer", "Negotiate YII=", "Negotiate"
_PARAMETERS = (
    *('realm="a"', 'realm="a\\"b, c"', "realm=a", 'nonce="n"', 'nonce="\\\\"', "nonce=n", 'opaque="x"', 'qop="auth"'),
    *('qop="auth,auth-int"', "qop=auth-int", "algorithm=MD5", "algorithm=SHA-256-sess", 'algorithm="SHA-512-256"'),
    *("algorithm=x", "stale=true", "userhash=true", "charset=UTF-8", 'domain="/ /x"', 'realm="é"', "realm*=UTF-8''a"),
)
_MARKS = ",", ", ", "=", '"', "\\", " ", "\t", "\n", "é", "==", "\udcff", "\0"
_TOKENS = tuple(text.encode("utf-8", "surrogateescape") for text in (*_SCHEMES, *_PARAMETERS, *_MARKS))


def _generate(rng: random.Random) -> bytes:
    lines = []
    for _ in range(rng.choice((1, 1, 2))):
        challenges = []
        for _ in range(rng.choice((1, 1, 2, 20))):
            parameters = ", ".join(['nonce="n"', *rng.sample(_PARAMETERS, rng.randint(0, 4))])
            challenges.append(f"{rng.choice(_SCHEMES)} {parameters}")
        lines.append(", ".join(challenges))
    return "\n".join(lines).encode()


def _check(data: bytes) -> bool:
    # As a response gives them: octets that are no UTF-8 as surrogates, no control octets but HTAB.
    lines = [_NO_CONTROLS.sub("", line) for line in data.decode("utf-8", "surrogateescape").split("\n")]
    challenges = parse_challenges(lines)
    assert len(challenges) <= 16
    for challenge in challenges:
        assert challenge.scheme == challenge.scheme.lower()
        assert all(name == name.lower() for name in challenge.parameters)
    auth = DigestAuth("user", "hunter2", make_cnonce=lambda: "c")
    answer = auth.answer(lines, "GET", "/x?y", b"content", None)
    if answer is None:
        return False
    assert _NO_FIELD_VALUE(answer) is None
    answer.encode()
    assert "hunter2" not in answer
    [read_back] = parse_challenges([answer])
    assert read_back.scheme == "digest"
    assert read_back.parameters["nonce"] in {each.parameters.get("nonce") for each in challenges}
    assert read_back.parameters["uri"] == "/x?y"
    assert len(read_back.parameters["response"]) in (32, 64)
    assert auth.answer(lines, "GET", "/x?y", b"content", answer) is None or "stale" in "".join(lines).lower()
    return True


_NO_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

TARGET = Target("challenges", _generate, _check, _TOKENS)
