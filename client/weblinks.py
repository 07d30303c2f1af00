"""Link fields (RFC 8288): what they point at and how that is related. Pure; the steps are those of its appendix B."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .parameters import decode_extended, read_parameters

__all__ = ["Link", "parse_links"]

# Of these the first counts (RFC 8288 sections 3.2 to 3.4.1).
_SINGLE = frozenset(("rel", "anchor", "media", "title", "title*", "type"))


class Link(NamedTuple):
    """One link.

    Attributes:
        target: A URI reference, as written.
        relations: Relation types, lower-case (they are compared without regard to case); empty without.
        parameters: Names, lower-case, and values as written, ``title*`` decoded; ``rel`` is among them.
    """

    target: str
    relations: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]


def parse_links(values: Iterable[str]) -> list[Link]:
    """The links of all fields *values*, in order; what cannot be read ends its field (RFC 8288 appendix B.2)."""
    return [link for value in values for link in _links_of(value)]


def _links_of(value: str) -> list[Link]:
    links: list[Link] = []
    position = 0
    while True:
        while value[position : position + 1] in (" ", "\t", ","):
            position += 1
        end = value.find(">", position)
        if end < 0 or value[position] != "<":
            return links
        target = value[position + 1 : end]
        position = end + 1
        while value[position : position + 1] in (" ", "\t"):
            position += 1
        parameters, position = read_parameters(value, position, in_list=True)
        kept = _kept(parameters)
        relations = next((text for name, text in kept if name == "rel"), "").lower().split()
        links.append(Link(target.strip(" \t"), tuple(dict.fromkeys(relations)), tuple(kept)))
        if value[position : position + 1] != ",":
            return links


def _kept(parameters: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """*parameters* without those that come a second time and may not, and those that cannot be decoded."""
    kept: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, value in parameters:
        if name in _SINGLE and name in seen:
            continue
        seen.add(name)
        text = decode_extended(value) if name.endswith("*") else value
        if text is not None:
            kept.append((name, text))
    return kept
