"""Commands of Typer that take every value as it was typed, so that asking for help or for a file costs little.

The installed Typer (0.29) hands each value to a schema of Pydantic, text to text included, and imports it for that:
0.12 s of CPU and 14 MiB before the command has begun, once even for ``fetchd run --help``. Our options are text that
``values.py`` parses, and flags; so there is nothing to convert. ``process_value`` is where Typer, and Click in older
versions, does the converting. Measured on the machine of ``benchmarks/``, Python 3.11: ``fetchd run --help`` 0.20 s
before, 0.08 s after.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["PlainCommand", "PlainGroup"]


class PlainCommand(TyperCommand):
    """A command of options that are text, lists of text, or flags."""

    def get_params(self, ctx: Any) -> list[Any]:
        """See Click; the help option is among them."""
        return _as_typed(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """The same for the command that has the others below it."""

    def get_params(self, ctx: Any) -> list[Any]:
        """See Click."""
        return _as_typed(super().get_params(ctx))


def _as_typed(params: list[Any]) -> list[Any]:
    for param in params:
        if not isinstance(param.process_value, partial):
            param.process_value = partial(_process_value, param, param.process_value)
    return params


def _process_value(param: Any, convert: Any, ctx: Any, value: Any) -> Any:
    """What Click's own does, without the conversion; what is missing is left to *convert* to complain about."""
    if param.required and param.value_is_missing(value):
        return convert(ctx, value)
    if value is None and (param.nargs == -1 or getattr(param, "multiple", False)):
        value = ()
    return value if param.callback is None else param.callback(ctx, param, value)
