"""Options from a file: ``--config FILE``, or ``fetchd.toml`` where the command is started (TOML).

    timeout = "2m"              # at the top: for every command that has the option
    header = ["X-Team: data"]   # repeatable options are lists

    [run]
    per-host = 2                # for one command; it takes the place of what stands at the top
    no-progress = true

Names are those of the options. What is typed on the command line takes the place of what the file says.
Not here: what the values mean (``options.py``); they are handed on as if they had been typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import typer

__all__ = ["FOUND", "read_config"]

FOUND: Final = "fetchd.toml"
"""Name of the file that is read without being asked for."""
_NOT_OF_A_FILE: Final = frozenset(("config", "help", "version"))
# Whoever can leave a file in a folder should not have commands run by all who work there.
_NOT_OF_A_FOUND_FILE: Final = frozenset(("on-done",))


def read_config(context: typer.Context, value: str | None) -> str | None:
    """Let the options of *context*'s command begin with what the file says; a callback of the option.

    Returns:
        The file that was read; None when there was none.

    Raises:
        BadParameter: It cannot be read, or says what no option can be.
    """
    path = Path(FOUND if value is None else value)
    if context.resilient_parsing or (value is None and not path.is_file()):
        return None
    try:
        told = _parse(path)
        known = {name: _settable(command.params) for name, command in _commands().items()}
        own = dict(_own(told, context.command.name or "", known))
        for refused in _NOT_OF_A_FOUND_FILE & own.keys() if value is None else ():
            raise ValueError(f"{refused} is taken only from a file that --config names")
        context.default_map = _values(own, _settable(context.command.params))
    except ValueError as exc:
        raise typer.BadParameter(f"{path}: {exc}") from exc
    return str(path)


def _commands() -> Mapping[str, Any]:
    """All commands: the one that is asked for is made alone, and a file may speak of the others, too."""
    from .app import every_command

    return every_command()


def _parse(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ValueError((exc.strerror or str(exc)).lower()) from exc
    except ValueError as exc:  # of TOML, and of UTF-8
        raise ValueError(f"no TOML: {exc}") from exc


def _settable(params: Iterable[Any]) -> dict[str, Any]:
    """The options among *params* by their long names."""
    options = (param for param in params if param.param_type_name == "option")
    named = ((opt.removeprefix("--"), param) for param in options for opt in param.opts if opt.startswith("--"))
    return {name: param for name, param in named if name not in _NOT_OF_A_FILE}


def _own(told: Mapping[str, Any], command: str, known: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[str, Any]]:
    """Names and values that *told* has for *command*; the later of one name counts.

    Raises:
        ValueError: A key that no command has.
    """
    tables = {name: value for name, value in told.items() if isinstance(value, dict)}
    for name, value in told.items():
        if name not in tables:
            key = _checked(name, known.values(), "")
            if key in known.get(command, {}):
                yield key, value
    for table, keys in tables.items():
        if table not in known:
            raise ValueError(f"no command [{table}]; expected one of {', '.join(sorted(known))}")
        for name, value in keys.items():
            key = _checked(name, [known[table]], f" in [{table}]")
            if table == command:
                yield key, value


def _checked(name: str, known: Iterable[Mapping[str, Any]], where: str) -> str:
    key = name.replace("_", "-")
    if any(key in options for options in known):
        return key
    raise ValueError(f"unknown key {name!r}{where}; expected the name of an option, as per-host")


def _values(own: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What the options begin with, by the names that they have in the program."""
    values: dict[str, Any] = {}
    for key, value in own.items():
        option = options[key]
        if option.is_flag:
            if not isinstance(value, bool):
                raise ValueError(f"{key} is {value!r}; expected true or false")
            values[option.name] = value
        elif option.multiple:
            values[option.name] = [_text(key, each) for each in (value if isinstance(value, list) else [value])]
        else:
            values[option.name] = _text(key, value)
    return values


def _text(key: str, value: Any) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{key} is {value!r}; expected a text or a number")
