"""Challenges of a server or proxy: WWW-Authenticate and Proxy-Authenticate (RFC 9110 section 11.6.1). Pure.

One field may hold several challenges, and a challenge several parameters, with the same comma between either. What
tells them apart: a token that is not followed by ``=`` begins a challenge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

__all__ = ["Challenge", "parse_challenges", "quoted"]

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# A scheme, with a token68 if that follows, or a parameter. Possessive: linear whatever comes.
_ITEM: Final = re.compile(
    rf"[ \t,]*+(?:(?P<name>{_TOKEN})[ \t]*+=[ \t]*+"
    rf"(?:\"(?P<quoted>(?:[^\"\\]|\\.)*+)\"|(?P<value>{_TOKEN}))(?=[ \t,]|$)"
    rf"|(?P<scheme>{_TOKEN})(?:[ ]++(?P<token68>[A-Za-z0-9._~+/-]++=*+)(?=[ \t]*+(?:,|$)))?(?=[ \t,]|$))",
    re.DOTALL,
)
_MAX_CHALLENGES: Final = 16  # a guess; browsers see two or three


class Challenge(NamedTuple):
    """One challenge.

    Attributes:
        scheme: Authentication scheme, lower-case: ``basic``, ``digest``, ``bearer`` ...
        parameters: Names, lower-case, and values, quotes removed; the first of a name counts.
    """

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """The challenges of all fields *values*, in order; what cannot be read ends its field.

    Args:
        values: Values of WWW-Authenticate or Proxy-Authenticate.
    """
    challenges: list[Challenge] = []
    for value in values:
        position = 0
        parameters: dict[str, str] | None = None
        while (item := _ITEM.match(value, position)) is not None and len(challenges) <= _MAX_CHALLENGES:
            position = item.end()
            if item["scheme"] is not None:
                parameters = {}
                challenges.append(Challenge(item["scheme"].lower(), parameters))
            elif parameters is None:
                break  # a parameter of nothing
            else:
                text = item["value"] if item["quoted"] is None else re.sub(r"\\(.)", r"\1", item["quoted"], flags=re.S)
                parameters.setdefault(item["name"].lower(), text)
    return challenges[:_MAX_CHALLENGES]


def quoted(text: str) -> str:
    """*text* as a quoted-string (RFC 9110 section 5.6.4)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
