"""The bounds of the phases of a request: values, defaults, what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from fetchd.client.timeouts import Timeout

PHASES = [field.name for field in dataclasses.fields(Timeout)]


def test_a_large_download_does_not_die_of_its_size() -> None:
    """The defaults bound every phase in which nothing happens, and not the whole."""
    assert Timeout() == Timeout(total=None, pool=None, connect=30.0, first_byte=60.0, idle_read=60.0, idle_write=60.0)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("value", [0.001, 1, 86_400.0, None])
def test_a_bound_is_seconds_above_0_or_none(phase: str, value: float | None) -> None:
    assert getattr(Timeout(**{phase: value}), phase) == value


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("value", [0, 0.0, -1, float("nan"), float("inf"), float("-inf")])
def test_what_is_no_bound_is_refused(phase: str, value: float) -> None:
    """Endless is said by None: a timer for infinity is an error on some loops."""
    with pytest.raises(
        ValueError, match=rf"Timeout\({phase}={value!r}\): expected seconds above 0, or None for no bound"
    ):
        Timeout(**{phase: value})


def test_bounds_do_not_change_once_they_are_set() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Timeout().total = 1.0  # type: ignore[misc]  # what must be refused
