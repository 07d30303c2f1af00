"""The bounds of the phases of a request: values, defaults, what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fetchd.client.timeouts import ClientTimeout, Timeout

PHASES = [field.name for field in dataclasses.fields(Timeout) if field.name != "low_speed"]


def test_a_large_download_does_not_die_of_its_size() -> None:
    """The defaults bound every phase in which nothing happens, and not the whole."""
    assert Timeout() == Timeout(total=None, pool=None, connect=30.0, first_byte=60.0, idle_read=60.0, idle_write=60.0)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("value", [0.001, 1, 86_400.0, None])
def test_a_bound_is_seconds_above_0_or_none(phase: str, value: float | None) -> None:
    bounds: Any = {phase: value}
    assert getattr(Timeout(**bounds), phase) == value


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("value", [0, 0.0, -1, float("nan"), float("inf"), float("-inf")])
def test_what_is_no_bound_is_refused(phase: str, value: float) -> None:
    """Endless is said by None: a timer for infinity is an error on some loops."""
    bounds: Any = {phase: value}
    with pytest.raises(
        ValueError, match=rf"Timeout\({phase}={value!r}\): expected seconds above 0, or None for no bound"
    ):
        Timeout(**bounds)


def test_bounds_do_not_change_once_they_are_set() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Timeout().total = 1.0  # type: ignore[misc]  # what must be refused


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, Timeout(connect=None, first_byte=None, idle_read=None)),
        ({"total": 5}, Timeout(total=5, connect=None, first_byte=None, idle_read=None)),
        ({"connect": 3}, Timeout(pool=3, connect=3, first_byte=None, idle_read=None)),
        ({"connect": 3, "sock_connect": 2}, Timeout(pool=3, connect=2, first_byte=None, idle_read=None)),
        ({"sock_connect": 2}, Timeout(connect=2, first_byte=None, idle_read=None)),
        ({"sock_read": 7}, Timeout(connect=None, first_byte=7, idle_read=7)),
        ({"total": 0, "connect": 0, "sock_connect": 0, "sock_read": 0}, ClientTimeout()),
    ],
)
def test_the_words_of_aiohttp_are_taken(words: dict[str, float], expected: Timeout) -> None:
    """With its meaning: what is not said is not bounded, and 0 is no bound."""
    assert ClientTimeout(**words) == expected


def test_a_bound_below_nothing_is_a_mistake_in_its_words_too() -> None:
    """As for Timeout."""
    with pytest.raises(ValueError, match="total"):
        ClientTimeout(total=-1)


@pytest.mark.parametrize("pair", [(0, 1), (1, 0), (-1, 1), (float("nan"), 1), (1, float("inf"))])
def test_a_speed_is_two_numbers_above_0(pair: tuple[float, float]) -> None:
    """Octets a second, and the seconds over which they are counted."""
    assert Timeout(low_speed=(1000, 30)).low_speed == (1000, 30)
    with pytest.raises(ValueError, match="expected octets a second and seconds, both above 0"):
        Timeout(low_speed=pair)
