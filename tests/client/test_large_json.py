"""Large JSON: what is parsed in steps is what ``json.loads`` gives, and no step is a large one."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client import ClientSession
from fetchd.client.large_json import loads_in_turns, parse
from fetchd.client.limits import LARGE_JSON_CHARS
from tests.support.raw_server import raw_server, reply_with, response

pytestmark = pytest.mark.usefixtures("nothing_left")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.text('"\\,[]{} :')
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=4), inner, max_size=8),
    max_leaves=60,
)
LAYOUTS: list[dict[str, Any]] = [{}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}]


def parsed(text: str, step_chars: int) -> Any:
    """What the steps end in."""
    steps = parse(text, step_chars)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def outcome(text: str, step_chars: int | None) -> object:
    """The value as a text that tells 1 from 1.0 and shows the order of names; or where it is no JSON, and why."""
    try:
        return repr(json.loads(text) if step_chars is None else parsed(text, step_chars))
    except json.JSONDecodeError as exc:
        return type(exc), exc.pos, exc.msg


@given(VALUES, st.sampled_from(LAYOUTS), st.integers(1, 80))
def test_the_steps_give_what_one_call_gives(value: object, layout: dict[str, Any], step_chars: int) -> None:
    """Whatever the shape, the blanks and the size of a step."""
    text = json.dumps(value, **layout)
    assert outcome(text, step_chars) == outcome(text, None) == repr(value)


def spread(value: object, blanks: Callable[[], str]) -> str:
    """*value* as JSON with blanks wherever they may be, no two places alike."""
    if isinstance(value, list):
        inner = ",".join(spread(item, blanks) for item in value) or blanks()
        return f"{blanks()}[{inner}]{blanks()}"
    if isinstance(value, dict):
        names = (f"{blanks()}{json.dumps(name)}{blanks()}:{spread(item, blanks)}" for name, item in value.items())
        return f"{blanks()}{{{','.join(names) or blanks()}}}{blanks()}"
    return f"{blanks()}{json.dumps(value)}{blanks()}"


@given(VALUES, st.integers(1, 80), st.randoms(use_true_random=False))
def test_blanks_may_be_anywhere_and_differ(value: object, step_chars: int, random: Random) -> None:
    """What is between the first two members tells nothing of what is between others."""
    text = spread(value, lambda: random.choice(["", "", "", " ", "\n\t", "\r  "]))
    assert outcome(text, step_chars) == outcome(text, None) == repr(value)


@given(VALUES, st.sampled_from(LAYOUTS), st.integers(1, 80), st.data())
def test_what_is_no_json_is_refused_in_the_same_place(
    value: object, layout: dict[str, Any], step_chars: int, data: st.DataObject
) -> None:
    """A text with a character more or less, or another: JSON or not, it is the same to both."""
    text = json.dumps(value, **layout)
    at = data.draw(st.integers(0, len(text)))
    changed = (
        text[:at] + data.draw(st.text('[]{},:" 0-e\\n\ufeff', max_size=2)) + text[at + data.draw(st.integers(0, 2)) :]
    )
    expected, seen = outcome(changed, None), outcome(changed, step_chars)
    if sys.version_info >= (3, 13) and isinstance(expected, tuple) and "trailing comma" in expected[2]:
        assert isinstance(seen, tuple), "a comma too many, which later decoders show in the place of what it is before"
    elif changed.startswith("\ufeff"):
        assert type(expected) is type(seen) is tuple, "told in other words"
    else:
        assert seen == expected


@pytest.mark.parametrize(
    "text",
    [
        "[-1000000,null, null]",
        "[1,,2]",
        "[1, 2, , 3]",
        "[1, 2, ]",
        '{"a": 1, , "b": 2}',
        '{"a": 1, "b": 2, 3}',
        '{"a": 1 "b": 2}',
        '["a, b", "c, d", "e", "f\\", g", "h"]',
        '{"a": {"x": 1}, "a": {"x": 2}, "b": {"a": {"x": 3}, "c": 4}, "a": 5}',
        '[{"n": [{"n": []}, {"n": []}]}, {"n": []}, {"n": [{"n": []}]}]',
        "[1, -Infinity, NaN, 1e5, 12345678901234567890]",
        "[[1, 2], [3, [4, 5], 6], [7], []] ",
        "[1, 2, 3] 4",
        "",
        "  ",
        "12345",
        '"' + "x" * 200 + '"',
        '["' + "x" * 200,
        "[" * 30 + "]" * 30,
        "[" * 30 + "}" * 30,
    ],
)
def test_what_is_cut_in_the_wrong_place_is_parsed_all_the_same(text: str) -> None:
    """Commas within texts, nested values that look like members, members that are none: at every size of a step."""
    for step_chars in range(1, len(text) + 2):
        assert outcome(text, step_chars) == outcome(text, None), step_chars


@pytest.mark.parametrize("error", [ValueError, RecursionError])
def test_limits_of_the_interpreter_hold(error: type[Exception]) -> None:
    """An integer of too many digits, and values nested too deeply."""
    text = f"[1, {'7' * 5000}]" if error is ValueError else "[" * 200_000
    for step_chars in (64, 65_536):
        with pytest.raises(error):
            parsed(text, step_chars)


DOCUMENTS = {
    "records": [{"id": n, "tags": ["a", "b"], "at": {"x": n / 2}} for n in range(2000)],
    "by-name": {f"name {n}": {"id": n, "sub": {"id": n}} for n in range(2000)},
    "numbers": list(range(20_000)),
    "points": {"features": [{"coordinates": [[[n, n / 3] for n in range(6000)]]}]},
    "trees": [{"n": n, "sub": [{"n": m, "sub": []} for m in range(5)]} for n in range(500)],
}


@pytest.mark.parametrize("layout", LAYOUTS[:3], ids=["default", "compact", "indented"])
@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_no_step_looks_at_more_than_a_window(document: object, layout: dict[str, Any]) -> None:
    """Between two yields the decoder gets a few windows at most, and over all little more than the document."""
    text, step_chars = json.dumps(document, **layout), 2000
    decoder, looked_at = json.JSONDecoder(), [0]

    def decode(part: str, at: int) -> tuple[Any, int]:
        assert len(part) <= step_chars + 2
        looked_at[-1] += len(part) - at  # what fails may have looked at all of it
        value, end = decoder.raw_decode(part, at)
        looked_at[-1] -= len(part) - end
        return value, end

    steps, value = parse(text, step_chars, decode), None
    while value is None:
        try:
            next(steps)
            looked_at.append(0)
        except StopIteration as done:
            value = done.value
    assert value == document
    assert max(looked_at) <= 3 * step_chars
    assert sum(looked_at) <= 2.5 * len(text) + 3 * step_chars


def test_no_step_walks_through_many_small_members() -> None:
    """Where they cannot be parsed together, for what is between the first two is between no others."""
    text = "[1,[]" + ",1" * 20_000 + "]"
    assert sum(1 for _ in parse(text, 65_536)) >= 20_000 // 1024


async def test_others_have_their_turns_while_a_large_document_is_parsed() -> None:
    """2 MiB: parsed by one call nobody else had any."""
    text = json.dumps([{"id": n, "name": f"name {n}", "tags": ["a", "b"]} for n in range(40_000)])
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    try:
        assert len(await loads_in_turns(text)) == 40_000
    finally:
        task.cancel()
    assert turns >= 3


async def test_a_response_parses_small_documents_at_once_and_large_ones_in_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And leaves those of a parser of the caller's to it."""
    seen: list[int] = []

    async def counted(text: str) -> Any:
        seen.append(len(text))
        return await loads_in_turns(text)

    monkeypatch.setattr("fetchd.client.response.loads_in_turns", counted)
    for length in (LARGE_JSON_CHARS, LARGE_JSON_CHARS + 1):
        reply = response(body=b"[%b]" % (b"7" + b" " * (length - 3)), fields=[("Content-Type", "application/json")])
        async with (
            raw_server(reply_with(reply)) as server,
            ClientSession() as session,
            session.get(server.url()) as got,
        ):
            assert await got.json() == [7]
            assert await got.json(loads=len) == length
    assert seen == [LARGE_JSON_CHARS + 1]


async def test_a_large_document_that_is_cut_off_is_refused() -> None:
    """Where ``json.loads`` would, and as it would."""
    text = json.dumps(list(range(300_000)))[:-1]
    with pytest.raises(json.JSONDecodeError) as caught:
        await loads_in_turns(text)
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(text)
    assert (caught.value.pos, str(caught.value)) == (expected.value.pos, str(expected.value))
    assert math.isnan(await loads_in_turns(" NaN "))
