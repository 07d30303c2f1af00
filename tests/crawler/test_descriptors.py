"""``cli/descriptors.py``: open files, before they run out."""

from __future__ import annotations

import resource

import pytest

from fetchd.crawler.cli.descriptors import allow_descriptors, descriptors_of
from fetchd.jobs.exceptions import SettingsError

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "concurrency", "raised_to"),
    [
        ((1024, 4096), 64, None),
        ((1024, 4096), 140, None),
        ((1024, 4096), 500, (2820, 4096)),
        ((256, UNLIMITED), 500, (2820, UNLIMITED)),
        ((256, 640), 64, (640, 640)),
        ((UNLIMITED, UNLIMITED), 500, None),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_it_must_be(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], concurrency: int, raised_to: tuple[int, int] | None
) -> None:
    """And left alone when it will do."""
    made: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: made.append(new))
    allow_descriptors(concurrency)
    assert made == ([] if raised_to is None else [raised_to])


def test_a_hard_limit_that_is_too_low_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what would fit."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    with pytest.raises(SettingsError) as caught:
        allow_descriptors(1000)
    assert str(caught.value) == (
        "--concurrency 1000 may need 5320 open files and the system allows 4096;"
        " expected at most 755 (or raise ulimit -n)"
    )
    allow_descriptors(755)


def test_a_run_with_default_settings_fits_the_limit_that_shells_have() -> None:
    """1,024."""
    assert descriptors_of(64) < 1024
