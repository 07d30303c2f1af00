"""The reference of the command line, from the options as they are declared: ``docs/reference.md``.

    python -m tests.support.reference

writes it anew; a test holds it to the declarations.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer

from fetchd.crawler.cli.app import app

__all__ = ["PLACE", "reference"]

PLACE = Path(__file__).parent.parent.parent / "docs" / "reference.md"

_HEAD = """\
# Commands and options

Made from the declarations by `python -m tests.support.reference`; what they mean together is in [run.md](run.md),
[manifests.md](manifests.md) and [mirror.md](mirror.md). Of `run`, `retry`, `mirror` and `get` every option but `--help`
may stand in a file of `--config` as well.
"""


def reference() -> str:
    """The whole text."""
    commands: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # of a group
    contents = " · ".join(f"[{name}](#fetchd-{name})" for name in commands)
    return "\n".join([_HEAD, contents, *(_section(name, command) for name, command in commands.items())])


def _section(name: str, command: Any) -> str:
    lines = [f"\n## fetchd {name}\n", inspect.cleandoc(command.help).partition("\n\n")[0] + "\n"]
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    lines += [f"- `{param.metavar}`: {_help(param)}" for param in arguments]
    lines += ["", "| option | what it does | unit, default |", "| --- | --- | --- |"]
    options = [param for param in command.params if param.param_type_name == "option"]
    return "\n".join([*lines, *map(_row, options), ""])


def _row(option: Any) -> str:
    text, _, rest = _help(option).rpartition(" (")
    names = ", ".join(f"`{opt}`" for opt in option.opts)
    value = "" if option.is_flag else f" `{option.metavar}`"
    return f"| {names}{value} | {text} | {rest.removesuffix(').')} |"


def _help(param: Any) -> str:
    return str(param.help).replace("|", "\\|")


if __name__ == "__main__":
    PLACE.write_text(reference())
