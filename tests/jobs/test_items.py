"""Items and outcomes: values, without behaviour but for what is shown of them."""

from __future__ import annotations

import sys

import pytest

from fetchd.jobs.items import Failure, FailureClass, Item, Outcome, Result


def test_a_new_item_is_only_a_url_and_a_line() -> None:
    """Everything else is filled in on the way."""
    item = Item("http://h/a", 3)
    assert (item.url, item.line, item.name) == ("http://h/a", 3, None)
    assert (item.scheme, item.host, item.path) == ("", "", "")
    assert (item.attempts, item.throttles, item.row, item.resume) == (0, 0, 0, None)


def test_two_items_of_one_url_are_two_items() -> None:
    """An item is compared by identity, so that it can be a key while it changes."""
    first, second = Item("http://h/a", 1), Item("http://h/a", 1)
    assert first != second
    assert len({first, second}) == 2


def test_an_item_never_shows_credentials() -> None:
    """A repr ends up in logs."""
    item = Item("http://user:secret@h/a", 3)
    assert repr(item) == "<Item line 3: http://h/a>"
    assert item.shown_url == "http://h/a"
    assert item.url == "http://user:secret@h/a"


def test_an_item_is_small_and_takes_no_further_attribute() -> None:
    """A window holds 100,000 of them."""
    item = Item("http://h/a", 1)
    assert sys.getsizeof(item) <= 136
    assert not hasattr(item, "__dict__")


def test_results_are_the_words_of_the_summary() -> None:
    """They stand in reports."""
    assert [str(result) for result in Result] == ["done", "skipped", "failed", "invalid"]


def test_an_outcome_is_frozen() -> None:
    """What happened does not change afterwards."""
    failure = Failure(FailureClass.DNS, "cannot resolve h")
    outcome = Outcome(Item("http://h/a", 1), Result.FAILED, failure)
    with pytest.raises(AttributeError):
        outcome.size = 1  # type: ignore[misc]  # that it is refused is the point
    assert outcome.failure is failure
