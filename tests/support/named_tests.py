"""Tests by name, for tables that claim that one exists: ``client/test_x.py::test_y``."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

__all__ = ["is_test"]

_TESTS = Path(__file__).parent.parent


def is_test(name: str) -> bool:
    """Whether *name*, a file below ``tests/`` and a function in it joined by ``::``, is there."""
    file, _, function = name.partition("::")
    return function in _defined_in(file)


@cache
def _defined_in(file: str) -> frozenset[str]:
    tree = ast.parse((_TESTS / file).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))
