"""Content-Disposition (RFC 6266): how content is meant to be shown, and the name a file of it may have. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from .parameters import decode_extended, read_parameters

__all__ = ["ContentDisposition", "parse_disposition"]

_TYPE: Final = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?=;|\Z)").match
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class ContentDisposition(NamedTuple):
    """What a Content-Disposition field says.

    Attributes:
        type: Disposition type, lower-case: ``attachment``, ``inline`` or another.
        parameters: Names, lower-case, and values; the first of a name counts. Those with ``*`` are decoded, or left out
            when they cannot be.
        filename: The name for a file: ``filename*`` before ``filename``, of a path its last part, without control
            characters; None without one. It names no other folder, but it is a stranger's word all the same: what
            it does with an existing file, or a name that the system has for itself, is the caller's to decide.
    """

    type: str
    parameters: Mapping[str, str]
    filename: str | None


def parse_disposition(value: str) -> ContentDisposition | None:
    """What *value* says; None when it begins with no disposition type (RFC 6266 section 4.1)."""
    match = _TYPE(value)
    if match is None:
        return None
    parameters: dict[str, str] = {}
    for name, text in read_parameters(value, match.end(), in_list=False)[0]:
        decoded = decode_extended(text) if name.endswith("*") else text
        if decoded is not None:
            parameters.setdefault(name, decoded)
    filename = _safe(parameters.get("filename*")) or _safe(parameters.get("filename"))
    return ContentDisposition(match[1].lower(), MappingProxyType(parameters), filename)


def _safe(name: str | None) -> str | None:
    """The last part of *name* (RFC 6266 section 4.3); None when nothing is left that could name a file."""
    if name is None:
        return None
    last = _CONTROL.sub("", name.replace("\\", "/").rpartition("/")[2]).strip()
    return None if last in ("", ".", "..") else last
