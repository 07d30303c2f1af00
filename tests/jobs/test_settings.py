"""What a run may be asked to do, and what it says of what it may not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fetchd.jobs.exceptions import JobError, SettingsError
from fetchd.jobs.settings import RunSettings


def test_the_defaults_are_those_that_are_published() -> None:
    """The command line shows them; a change is a change for users."""
    settings = RunSettings(manifest="list.txt")
    published = {
        "output": Path("downloads"),
        "concurrency": 64,
        "per_host": 6,
        "retries": 4,
        "timeout": None,
        "connect_timeout": 30.0,
        "first_byte_timeout": 60.0,
        "idle_timeout": 60.0,
        "max_bytes": None,
        "on_collision": "error",
        "window": 100_000,
    }
    assert {name: getattr(settings, name) for name in published} == published


@pytest.mark.parametrize(
    "changes",
    [
        {"concurrency": 1, "per_host": 1, "window": 1},
        {"retries": 0},
        {"max_bytes": 0},
        {"timeout": 0.001},
        {"timeout": None},
        {"per_host": 1000},
        {"on_collision": "skip"},
        {"on_collision": "number"},
        {"insecure": True},
        {"cacert": Path("ca.pem")},
    ],
)
def test_bounds_themselves_are_allowed(changes: dict[str, Any]) -> None:
    """And each value by itself."""
    settings = RunSettings(manifest="-", **changes)
    assert {name: getattr(settings, name) for name in changes} == changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concurrency": 0}, "concurrency is 0; expected 1 or more"),
        ({"per_host": -1}, "per_host is -1; expected 1 or more"),
        ({"window": 0}, "window is 0; expected 1 or more"),
        ({"retries": -1}, "retries is -1; expected 0 or more"),
        ({"max_bytes": -1}, "max_bytes is -1; expected 0 or more"),
        ({"timeout": 0}, "timeout is 0 s; expected more than 0"),
        ({"connect_timeout": -0.5}, "connect_timeout is -0.5 s; expected more than 0"),
        ({"first_byte_timeout": 0.0}, "first_byte_timeout is 0 s; expected more than 0"),
        ({"idle_timeout": float("nan")}, "idle_timeout is nan s; expected more than 0"),
        ({"on_collision": "erase"}, "on_collision is 'erase'; expected one of ('error', 'skip', 'number', 'replace')"),
        ({"existing": "skip"}, "existing is 'skip'; expected one of ('keep', 'verify', 'update', 'replace')"),
        ({"durability": "none"}, "durability is 'none'; expected one of ('process', 'power')"),
        ({"checksum": "crc"}, "checksum is 'crc'; expected one of md5, "),
        ({"name": "/x"}, "name template '/x': an absolute path"),
        ({"insecure": True, "cacert": Path("ca.pem")}, "insecure and cacert exclude each other"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_expected(changes: dict[str, Any], message: str) -> None:
    """When the value is made, before anything is opened."""
    with pytest.raises(SettingsError) as caught:
        RunSettings(manifest="list.txt", **changes)
    assert str(caught.value).startswith(message)
    assert isinstance(caught.value, JobError)


def test_settings_do_not_change() -> None:
    """A run may rely on them."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunSettings(manifest="-").retries = 1  # type: ignore[misc]  # that is the point
