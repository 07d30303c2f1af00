"""The options that bound a run as a whole, from text to ``Limits``, and the profiles. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.limits import Limits

from .values import parse_count, parse_rate, parse_seconds, parse_size

__all__ = ["PROFILES", "Profile", "RawLimits", "limits_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLimits:
    """Options of ``run``, as typed; None where not given. The names are those of ``Limits``."""

    rate: str | None = None
    per_host_rate: str | None = None
    bandwidth: str | None = None
    max_failures: str | None = None
    max_total_bytes: str | None = None
    max_time: str | None = None


class Profile(NamedTuple):
    """What a name stands for, unless an option says otherwise.

    Attributes:
        per_host: Items of one host at a time; None for the default.
        has_whole_host: Whether one host may have all of ``--concurrency``.
        per_host_rate: Requests a second to one host; None for no bound.
        note: What is said when it is taken; empty for nothing.
    """

    per_host: int | None = None
    has_whole_host: bool = False
    per_host_rate: float | None = None
    note: str = ""


PROFILES: Final = {
    "polite": Profile(
        per_host=1,
        per_host_rate=1.0,
        note="polite: one request a second to a host, one at a time; robots.txt is not looked at",
    ),
    "default": Profile(),
    "lan": Profile(has_whole_host=True),
}

_PARSERS: Final[dict[str, Callable[[str], float | int]]] = {
    "rate": parse_rate,
    "per_host_rate": parse_rate,
    "bandwidth": lambda text: _above_0(parse_size(text.strip().removesuffix("/s"))),
    "max_failures": lambda text: parse_count(text, 1),
    "max_total_bytes": lambda text: _above_0(parse_size(text)),
    "max_time": parse_seconds,
}


def limits_of(raw: RawLimits, profile: Profile) -> Limits:
    """Return the limits that *raw* asks for, with what *profile* says where it does not.

    Raises:
        SettingsError: An option that cannot be used.
    """
    given: dict[str, Any] = {}
    for field in fields(raw):
        text = getattr(raw, field.name)
        if text is None:
            continue
        try:
            given[field.name] = _PARSERS[field.name](text)
        except ValueError as exc:
            raise SettingsError(f"--{field.name.replace('_', '-')} is {text!r}; {exc}") from exc
    given.setdefault("per_host_rate", profile.per_host_rate)
    return Limits(**given)


def _above_0(size: int) -> int:
    if not size:
        raise ValueError("expected a size above 0")
    return size
