"""Digests of RFC 9530: what a field says, and what of it can be held to the octets at hand."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client import DigestMismatchError
from fetchd.client.digests import SECURE, Announced, Hashes, algorithms_for, announced, parse_digests

CONTENT = b'{"hello": "world"}\n'  # RFC 9530 appendix B.1
SHA256 = "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="


def field(data: bytes, algorithm: str = "sha-256") -> str:
    """The value that announces *data*."""
    octets = hashlib.new(algorithm.replace("-", ""), data).digest()
    return f"{algorithm}=:{base64.b64encode(octets).decode()}:"


def test_the_example_of_the_rfc_is_understood() -> None:
    """RFC 9530 appendix B.1."""
    assert field(CONTENT) == f"sha-256=:{SHA256}:"
    assert parse_digests([f"sha-256=:{SHA256}:"]) == {"sha-256": hashlib.sha256(CONTENT).digest()}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        ([""], {}),
        (["a=:AQ==:, b=:Ag==:"], {"a": b"\1", "b": b"\2"}),
        (["a=:AQ==:", "b=:Ag==:"], {"a": b"\1", "b": b"\2"}),
        (["a=:AQ==:,\t a=:Ag==:"], {"a": b"\2"}),
        (["a=:AQ==:, a=1"], {}),
        (["a=:AQ==:;p=1;q, b"], {"a": b"\1"}),
        (['x=(1 "two" three);p, a=:AQ==:, y=?1, z=-1.5, w="a, b"'], {"a": b"\1"}),
        (["a=:AQ:"], {"a": b"\1"}),
        (["a=::"], {"a": b""}),
        (["a=:AQ==:,"], {}),
        (["a=:AQ==: b=:Ag==:"], {}),
        (["A=:AQ==:"], {}),
        (["a=:A:"], {}),
        (["a=:AQ==:, =:AQ==:"], {}),
        (["sha-256=AQ=="], {}),
    ],
)
def test_a_field_is_a_structured_dictionary(values: list[str], expected: dict[str, bytes]) -> None:
    """RFC 8941 section 4.2: what is none is ignored as a whole, a later member replaces an earlier one."""
    assert parse_digests(values) == expected


@given(st.lists(st.text(max_size=100), max_size=4))
def test_no_field_breaks_the_reading(values: list[str]) -> None:
    """Fields come from outside."""
    assert all(isinstance(value, bytes) for value in parse_digests(values).values())


def test_hostile_fields_cost_linear_time() -> None:
    """64 KiB of what nearly is a dictionary."""
    for text in ("a;" * 30_000, "a=(" + "1 " * 30_000, "a, " * 20_000 + "=", 'a="' + "\\" * 60_000, " " * 60_000):
        parse_digests([text])


@given(st.binary(), st.sampled_from(SECURE))
def test_what_was_announced_and_is_there_is_right_and_nothing_else(data: bytes, algorithm: str) -> None:
    """One octet more is an error that shows both."""
    digests = announced(
        [(b"content-digest", field(data, algorithm).encode())], method="POST", status=200, algorithms=SECURE
    )
    right, wrong = Hashes([algorithm]), Hashes([algorithm])
    right.update(data)
    wrong.update(data + b"?")
    assert right.check(digests) == (f"Content-Digest {algorithm}",)
    with pytest.raises(DigestMismatchError) as caught:
        wrong.check(digests)
    assert caught.value.expected == digests[0].value


@pytest.mark.parametrize(
    ("method", "status", "fields"),
    [
        ("GET", 200, ["Content-Digest", "Repr-Digest"]),
        ("GET", 206, ["Content-Digest"]),
        ("POST", 200, ["Content-Digest"]),
        ("GET", 404, ["Content-Digest", "Repr-Digest"]),
    ],
)
def test_only_what_the_message_encloses_can_be_checked(method: str, status: int, fields: list[str]) -> None:
    """A 206 holds a part of the representation; the response to a POST may speak of another one."""
    lines = [(name, field(b"x").encode()) for name in (b"CONTENT-DIGEST", b"Repr-Digest")]
    found = announced(lines, method=method, status=status, algorithms=SECURE)
    assert [digest.field for digest in found] == fields


def test_algorithms_are_the_secure_ones_unless_named() -> None:
    """MD5 protects from accidents only; a name that is not known is a mistake."""
    assert algorithms_for(False) == frozenset()
    assert algorithms_for(True) == {"sha-256", "sha-512"}
    assert algorithms_for(["md5"]) == algorithms_for("md5") == {"md5"}
    with pytest.raises(ValueError, match="crc32c"):
        algorithms_for(["sha-256", "crc32c"])
    lines = [(b"Repr-Digest", (field(b"x") + ", " + field(b"x", "md5")).encode())]
    assert [d.algorithm for d in announced(lines, method="GET", status=200, algorithms=SECURE)] == ["sha-256"]


def test_an_algorithm_that_was_not_hashed_is_passed_over() -> None:
    """A trailer that speaks of it comes too late."""
    assert Hashes(["sha-256"]).check([Announced("Repr-Digest", "sha-512", b"?")]) == ()
