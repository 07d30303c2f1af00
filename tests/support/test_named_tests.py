"""Names of tests are looked up as pytest would find them."""

from __future__ import annotations

import pytest

from .named_tests import is_test


def test_a_test_is_found_by_its_name() -> None:
    assert is_test("support/test_named_tests.py::test_a_test_is_found_by_its_name")


@pytest.mark.parametrize("name", ["support/test_named_tests.py::test_none", "support/test_named_tests.py"])
def test_what_is_no_test_is_not(name: str) -> None:
    assert not is_test(name)


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(FileNotFoundError):
        is_test("support/test_nothing.py::test_none")
