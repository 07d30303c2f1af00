"""Large JSON documents, parsed in steps so that the event loop has its turns meanwhile.

The problem: ``json.loads`` is one call that holds the interpreter's lock, 10 to 30 ms for each megabyte. A worker
thread changes nothing in that (8 MiB: the loop stood still for 150 ms either way), and what another process parses has
to be unpickled here, which takes as long again.

Ours: no step parses more than a window of the text. A value that ends within the window is parsed by the decoder of the
standard library, in one call. An array or object that does not is walked member by member, each of which is such a
value again. Where members are small, many are parsed together: what stands between the first two is looked for near the
end of the window, and the members up to there are parsed as an array or object of their own. That is a guess about the
place, which costs a call when it is wrong and never gives other values: what was cut within a string or a nested
value does not parse, and then each member is parsed by itself.

Not here: which documents are large (``limits``), and in which encoding they come (``response``).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple, Self

from .limits import JSON_STEP_CHARS, JSON_TURN_S

__all__ = ["loads_in_turns", "parse"]

_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_CLOSING: Final = {"[": "]", "{": "}"}
_DECODE: Final = json.JSONDecoder().raw_decode
# Members walked in a step, 1 us each: a window may hold 32,768 of them.
_STEP_MEMBERS: Final = 1024
_Found = tuple[Any, int]  # a value, and where it ends


async def loads_in_turns(text: str) -> Any:
    """Parse *text* as ``json.loads`` does, and leave the loop to others every few milliseconds.

    A string or number is one step, however long it is.

    Raises:
        json.JSONDecodeError: No JSON.
        ValueError, RecursionError: As ``json.loads``: an integer of too many digits, values that are nested too deeply.
    """
    steps = parse(text, JSON_STEP_CHARS)
    due = time.perf_counter() + JSON_TURN_S
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value
        if time.perf_counter() >= due:
            await asyncio.sleep(0)
            due = time.perf_counter() + JSON_TURN_S


def parse(
    text: str, step_chars: int, decode: Callable[[str, int], tuple[Any, int]] = _DECODE
) -> Generator[None, None, Any]:
    """Parse *text* in steps of about *step_chars* characters; the generator returns the value.

    Args:
        text: The document.
        step_chars: At least 1.
        decode: Gives the value that begins at a place of a text, and where it ends.

    Raises:
        As ``loads_in_turns``.
    """
    document = _Document(text, step_chars, decode)
    at = document.skip(0)
    value, end = document.small(at) or (yield from document.large(at))
    end = document.skip(end)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


class _Between(NamedTuple):
    """What stands between two members: the comma, its blanks, and what tells it from commas elsewhere.

    Attributes:
        text: From the last character of a member to the first ones of the next.
        left: Characters of *text* that belong to the member before.
        right: Characters of *text* that belong to the member behind.
    """

    text: str
    left: int
    right: int

    @classmethod
    def of(cls, text: str, end: int, at: int) -> Self:
        """Between a member that ends at *end* and one that begins at *at*."""
        left = 1 if text[end - 1] in '"]}' else 0
        opening = _OPENING.match(text, at)
        right = 0 if opening is None else len(opening[0])
        return cls(text[end - left : at + right], left, right)

    def last(self, text: str, at: int, limit: int) -> tuple[int, int] | None:
        """The last place like this before *limit*: where a member ends, and the next one begins."""
        found = text.rfind(self.text, at, limit)
        return None if found < 0 else (found + self.left, found + len(self.text) - self.right)


# How a member begins, if not with a number. Of objects the first name, too: nested ones begin by another.
_OPENING: Final = re.compile(r'["\[]|\{(?:[ \t\n\r]{0,64}"[^"\\]{0,64}")?')


class _Document:
    """The text, and the window of it that is looked at."""

    def __init__(self, text: str, step_chars: int, decode: Callable[[str, int], tuple[Any, int]]) -> None:
        self._text = text
        self._step_chars = step_chars
        self._decode = decode
        self._window = text[:step_chars]
        self._base = 0  # where in the text the window begins

    def skip(self, at: int) -> int:
        """Where the blanks at *at* end."""
        match = _BLANKS.match(self._text, at)
        assert match is not None, "it matches nothing, too"
        return match.end()

    def small(self, at: int) -> _Found | None:
        """The value at *at* if it ends within the window; None for others, and for what is no JSON."""
        window, base = self._window, self._base
        if at >= base + len(window):
            return None
        try:
            value, end = self._decode(window, at - base)
        except ValueError:
            return None
        if end == len(window) or window[end] in ".eE":  # a number that may go on behind the window
            return None
        return value, base + end

    def large(self, at: int) -> Generator[None, None, _Found]:
        """The value at *at*, which is not known to be a small one."""
        yield
        self._base, self._window = at, self._text[at : at + self._step_chars]
        found = self.small(at)
        if found is None:
            yield
            opening = self._text[at : at + 1]
            if opening in _CLOSING:
                found = yield from self._members(at, opening)
            else:
                found = self._decode(self._text, at)
        return found

    def _members(self, at: int, opening: str) -> Generator[None, None, _Found]:
        """The array or object that begins at *at*."""
        text, closing = self._text, _CLOSING[opening]
        array: list[Any] = []
        members: dict[str, Any] = {}
        between: _Between | None = None
        tries_many, walked = True, 0
        at = self.skip(at + 1)
        mark = text[at : at + 1]
        while mark != closing:
            many, next_at = self._many(opening, at, between)
            if many:
                yield
                if opening == "[":
                    array.extend(many)
                else:
                    members.update(many)
                at = next_at
                continue
            if between is not None:
                between, tries_many = None, False
            walked += 1
            if walked % _STEP_MEMBERS == 0:
                yield
            if opening == "[":
                value, end = self.small(at) or (yield from self.large(at))
                array.append(value)
            else:
                key, at = yield from self._key(at)
                members[key], end = self.small(at) or (yield from self.large(at))
            at = self.skip(end)
            mark = text[at : at + 1]
            if mark == ",":
                at = self.skip(at + 1)
                if tries_many:
                    between = _Between.of(text, end, at)
            elif mark != closing:
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        return (array if opening == "[" else members), at + 1

    def _many(self, opening: str, at: int, between: _Between | None) -> tuple[Any, int]:
        """Members from *at* on, parsed together, and where the next one begins; nothing when that cannot be done."""
        place = None if between is None else between.last(self._text, at, at + self._step_chars)
        if place is None:
            return None, at
        end, next_at = place[0], self.skip(place[1])
        text = f"{opening}{self._text[at:end]}{_CLOSING[opening]}"
        try:
            many, end = self._decode(text, 0)
        except ValueError:
            return None, at
        return (many if end == len(text) else None), next_at

    def _key(self, at: int) -> Generator[None, None, tuple[str, int]]:
        """The name of the member that begins at *at*, and where its value begins."""
        text = self._text
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        key, end = self.small(at) or (yield from self.large(at))
        at = self.skip(end)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
        return key, self.skip(at + 1)
