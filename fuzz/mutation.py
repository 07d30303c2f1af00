"""Octets tampered with: by what means a sound message becomes an unsound one. Deterministic for a given generator."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

__all__ = ["MAX_OCTETS", "mutate"]

# An input is cut here. Every limit that a short input cannot reach has a test of its own.
MAX_OCTETS = 8192
_MAX_MUTATIONS = 4

_ODD_OCTETS = b'\0\t\n\r\x0b\x1b "%&+,-/:;<=?@[\\]_\x7f\x80\xa0\xff'
_ODD_NUMBERS = (
    *(b"0", b"1", b"-1", b"+5", b"1_0", b"007", b"0x10", b"1e3", b"5,5", b"255", b"65535", b"65536", b"2147483648"),
    *(
        b"4294967296",
        b"9223372036854775807",
        b"18446744073709551616",
        b"9" * 40,
        "٣".encode(),
        b"ff",
        b"FFFFFFFFFFFFFFFF",
    ),
)
_NUMBERS = re.compile(rb"[0-9]+")

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutate(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """*data* after up to four mutations, at most ``MAX_OCTETS`` of it; none at all is one of the choices.

    Args:
        rng: Where chance comes from.
        data: A sound input, or one that was tampered with before.
        tokens: What means something to the parser: put in where it does not belong.
    """
    for _ in range(rng.randint(0, _MAX_MUTATIONS)):
        data = rng.choice(_MUTATIONS)(rng, data, tokens)[:MAX_OCTETS]
    return data


def _slice(rng: random.Random, data: bytes, longest: int = 24) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.randint(1, longest))


def _flip(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _put_octet(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + bytes([rng.choice(_ODD_OCTETS)]) + data[at + rng.randint(0, 1) :]


def _put_token(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    start, end = _slice(rng, data)
    return data[:start] + rng.choice(tokens) + data[rng.choice((start, end)) :]


def _delete(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    start, end = _slice(rng, data)
    return data[:start] + data[end:]


def _repeat(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    start, end = _slice(rng, data, 64)
    return data[:end] + data[start:end] * rng.choice((1, 1, 2, 8, 200)) + data[end:]


def _move(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    start, end = _slice(rng, data)
    rest = data[:start] + data[end:]
    at = rng.randint(0, len(rest))
    return rest[:at] + data[start:end] + rest[at:]


def _truncate(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    return data[: rng.randint(0, len(data))]


def _change_number(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    numbers = list(_NUMBERS.finditer(data))
    if not numbers:
        return data
    number = rng.choice(numbers)
    return data[: number.start()] + rng.choice(_ODD_NUMBERS) + data[number.end() :]


def _change_case(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    start, end = _slice(rng, data)
    return data[:start] + data[start:end].swapcase() + data[end:]


def _shuffle_lines(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    lines = data.split(b"\r\n")
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    if rng.random() < 0.5:
        lines[at], lines[to] = lines[to], lines[at]
    else:
        lines.insert(at, lines[to])
    return rng.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r")).join(lines)


_MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _put_octet,
    _put_token,
    _put_token,
    _delete,
    _repeat,
    _move,
    _truncate,
    _change_number,
    _change_case,
    _shuffle_lines,
)
