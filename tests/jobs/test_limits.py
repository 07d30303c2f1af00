"""When a run has had enough: values in, a word out."""

from __future__ import annotations

from typing import Any

import pytest

from fetchd.crawler.cli.exit_codes import _LIMITS
from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.limits import STOPPING_LIMITS, Limits


def test_nothing_is_limited_by_default() -> None:
    """Whatever happens."""
    assert Limits().exceeded(failed=10**9, received=10**18, seconds=1e9) is None


@pytest.mark.parametrize(
    ("limits", "state", "reached"),
    [
        ({"max_failures": 3}, {"failed": 2}, None),
        ({"max_failures": 3}, {"failed": 3}, "max-failures"),
        ({"max_total_bytes": 10}, {"received": 9}, None),
        ({"max_total_bytes": 10}, {"received": 10}, "max-total-bytes"),
        ({"max_time": 1.5}, {"seconds": 1.4}, None),
        ({"max_time": 1.5}, {"seconds": 1.5}, "max-time"),
    ],
)
def test_a_limit_is_exceeded_when_it_is_reached(
    limits: dict[str, Any], state: dict[str, Any], reached: str | None
) -> None:
    """The words are those of the options."""
    assert Limits(**limits).exceeded(**state) == reached
    assert reached is None or reached in STOPPING_LIMITS


def test_the_exit_code_knows_all_of_them() -> None:
    """It cannot import them, and this holds the two together."""
    assert frozenset(STOPPING_LIMITS) == _LIMITS


@pytest.mark.parametrize("name", ["rate", "per_host_rate", "bandwidth", "max_failures", "max_total_bytes", "max_time"])
def test_a_limit_is_above_0(name: str) -> None:
    """With 0 nothing could ever happen."""
    bounds: dict[str, Any] = {name: 0}
    with pytest.raises(SettingsError, match=f"{name} is 0; expected more than 0"):
        Limits(**bounds)
