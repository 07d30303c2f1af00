"""Values as people write them: sizes, times, counts, field lines. Pure: text in, value or one phrase of what is wrong.

Every function raises ValueError with a phrase that says what is expected; ``options.py`` adds which option it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from fetchd.jobs.checksums import ALGORITHMS, algorithm_named
from fetchd.jobs.request_fields import parse_field

__all__ = [
    "parse_algorithm",
    "parse_count",
    "parse_field",
    "parse_fields",
    "parse_rate",
    "parse_seconds",
    "parse_size",
]

_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+"
_SIZE: Final = re.compile(rf"({_NUMBER})\s*(?:([kmgtp]?)(i?b)?)", re.IGNORECASE | re.ASCII).fullmatch
# A unit behind each number but a lone one: so there is one way to read a text, and matching is linear.
_TIME: Final = re.compile(rf"(?:{_NUMBER})|(?:(?:{_NUMBER})\s*(?:ms|[smhd])\s*)+", re.ASCII).fullmatch
_TIME_PART: Final = re.compile(rf"({_NUMBER})\s*(ms|[smhd])?", re.ASCII)
_RATE: Final = re.compile(rf"({_NUMBER})\s*(?:/\s*([smh]))?", re.ASCII).fullmatch

_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MAX_DIGITS: Final = 18  # beyond it int() and float() answer with nonsense or an error of their own


def parse_size(text: str) -> int:
    """Return octets: ``500``, ``10MiB``, ``1.5GB``.

    ``kB MB GB`` are powers of 1000, ``KiB MiB GiB`` and a bare ``K M G`` powers of 1024, as curl and wget read them.

    Raises:
        ValueError: *text* is no size.
    """
    match = _SIZE(text.strip()) if len(text) <= 2 * _MAX_DIGITS else None
    if match is None:
        raise ValueError("expected a size such as 500, 10MiB or 1.5GB")
    number, prefix, suffix = match[1], (match[2] or "").lower(), (match[3] or "").lower()
    if suffix == "ib" and not prefix:
        raise ValueError("expected a size such as 500, 10MiB or 1.5GB")
    base = 1000 if suffix == "b" else 1024
    return round(float(number) * base ** _POWERS[prefix]) if prefix or "." in number else int(number)


def parse_seconds(text: str) -> float:
    """Return seconds: ``1.5``, ``1.5s``, ``500ms``, ``2m``, ``1h30m``. A number alone is seconds.

    Raises:
        ValueError: *text* is no time, or not above 0.
    """
    text = text.strip()
    if len(text) > 2 * _MAX_DIGITS or _TIME(text) is None:
        raise ValueError("expected a time such as 1.5s, 500ms, 2m or 1h30m")
    seconds = sum(float(number) * _UNITS[unit or "s"] for number, unit in _TIME_PART.findall(text))
    if not seconds > 0:
        raise ValueError("expected a time above 0")
    return seconds


def parse_rate(text: str) -> float:
    """Return how often a second: ``5``, ``0.5``, ``5/s``, ``30/m``, ``100/h``. A number alone is a second's.

    Raises:
        ValueError: *text* is no rate, or not above 0.
    """
    match = _RATE(text.strip()) if len(text) <= 2 * _MAX_DIGITS else None
    if match is None:
        raise ValueError("expected a rate such as 5, 0.5, 30/m or 100/h")
    per_second = float(match[1]) / _UNITS[match[2] or "s"]
    if not per_second > 0:
        raise ValueError("expected a rate above 0")
    return per_second


def parse_count(text: str, least: int) -> int:
    """Return a whole number of at least *least*.

    Raises:
        ValueError: *text* is none.
    """
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS) or int(text) < least:
        raise ValueError(f"expected a whole number, {least} or more")
    return int(text)


def parse_algorithm(text: str) -> str:
    """Return the algorithm of a digest, by the name that the ledger uses.

    Raises:
        ValueError: *text* is none.
    """
    found = algorithm_named(text)
    if found is None:
        raise ValueError(f"expected one of {', '.join(ALGORITHMS)}")
    return found


def parse_fields(texts: Iterable[str], read_text: Callable[[str], str]) -> tuple[tuple[str, str], ...]:
    """Return the fields that *texts* say; ``@file`` stands for a file of them, one a line.

    Blank lines of a file and those that begin with ``#`` are passed over.

    Args:
        texts: As they stand on the command line.
        read_text: Gives the content of the file it is told.

    Raises:
        ValueError: As `parse_field`.
        OSError: From *read_text*.
    """
    fields: list[tuple[str, str]] = []
    for text in texts:
        if not text.startswith("@"):
            fields.append(parse_field(text))
            continue
        for number, line in enumerate(read_text(text[1:]).splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                fields.append(_field_of_line(text[1:], number, line))
    return tuple(fields)


def _field_of_line(name: str, number: int, line: str) -> tuple[str, str]:
    try:
        return parse_field(line)
    except ValueError as exc:
        raise ValueError(f"line {number} of {name}: {exc}") from None
