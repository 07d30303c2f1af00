"""``cli/app.py``: help for everything, mistakes on the command line, and how little help costs."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import typer

from fetchd.crawler.cli.app import _part_for, app, main
from fetchd.crawler.cli.exit_codes import ExitCode
from fetchd.jobs.settings import RunSettings
from tests.crawler.command import FETCHD, environment, fetchd

GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = dict(GROUP.commands)
OPTIONS = [(name, option) for name, command in COMMANDS.items() for option in command.params]

each_option = pytest.mark.parametrize(
    ("command", "option"), OPTIONS, ids=[f"{command}-{option.name}" for command, option in OPTIONS]
)

# What only work needs: the engine, event loops, what draws on a terminal, and what Typer converts values with.
FOR_WORK = ("fetchd.client", "fetchd.jobs", "asyncio", "uvloop", "rich", "pydantic", "yarl", "sqlite3", "ssl")

_LIST_MODULES = """
import contextlib, sys
from fetchd.crawler.cli import main
with contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
"""


def test_the_commands_are_those_that_are_built() -> None:
    """What is not there yet is not in the help."""
    assert set(COMMANDS) == {"run", "mirror", "get", "plan", "status", "report", "retry", "verify"}


@each_option
def test_every_option_has_a_help_that_ends_with_unit_and_default(command: str, option: Any) -> None:
    """One sentence in the imperative; an argument has a unit alone, because there must be one."""
    help_text = option.help or ""
    ending = r"\([a-zA-Z]+\)\.$" if option.param_type_name == "argument" else r"\([a-z]+; default .+\)\.$"
    assert re.search(ending, help_text), help_text
    assert re.match(r"[A-Z][a-z]+ ", help_text), help_text
    assert "\n" not in help_text


@pytest.mark.parametrize("command", [GROUP, *COMMANDS.values()], ids=["fetchd", *COMMANDS])
def test_every_command_has_a_help_of_its_own(command: Any) -> None:
    """The first line says what it does; those that do work have an example."""
    told = inspect.cleandoc(command.help)
    assert re.match(r"[A-Z][a-z]+ [^\n]+\.\n\n", told)
    assert command is GROUP or re.search(r"^Example:  fetchd ", told, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("output", "downloads"),
        ("concurrency", "64"),
        ("per_host", "6"),
        ("retries", "4"),
        ("timeout", "none"),
        ("connect_timeout", "30s"),
        ("idle_timeout", "60s"),
        ("max_bytes", "none"),
        ("name", "{host}/{path}"),
        ("on_collision", "error"),
        ("existing", "keep"),
        ("checksum", "none"),
        ("checksums", "none"),
        ("durability", "process"),
        ("unix_socket", "none"),
    ],
)
def test_the_defaults_that_help_tells_are_those_of_a_run(name: str, default: str) -> None:
    """They stand in two places, and this holds them together."""
    value = getattr(RunSettings(manifest="-"), name)
    told = "none" if value is None else f"{value:g}s" if isinstance(value, float) else str(value)
    assert told == default
    for command, option in OPTIONS:
        if option.name == name and (name != "output" or command == "run"):
            assert option.help.endswith(f"default {default}).")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_that_is_made_alone_is_what_it_is_among_all(name: str) -> None:
    """Making all of them takes longer than some of them work."""
    alone: Any = typer.main.get_command(_part_for([name]))
    assert set(alone.commands) == {name}
    command, known = alone.commands[name], COMMANDS[name]
    context = typer.Context(command, info_name=name)
    assert command.get_help(context) == known.get_help(typer.Context(known, info_name=name))
    assert [option.name for option in alone.params] == [option.name for option in GROUP.params]


@pytest.mark.parametrize("words", [[], ["--help"], ["no-command"]])
def test_who_names_no_command_is_told_of_all(words: list[str]) -> None:
    """Help lists them, and a slip is answered with the nearest."""
    assert _part_for(words) is app


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["get", "-h"], ["status", "--help"], ["run", "--nonsense"], []],
)
def test_help_imports_nothing_that_only_work_needs(arguments: list[str]) -> None:
    """Asking costs what Typer costs; so does a mistake that is seen before the work."""
    ran = subprocess.run(
        [sys.executable, "-c", _LIST_MODULES, *arguments], capture_output=True, text=True, env=environment(), check=True
    )
    loaded = set(ran.stderr.splitlines()[-1].split())
    assert "typer" in loaded
    assert not {name for name in loaded if name.startswith(FOR_WORK)}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["run", "m", "--retries", "x"], ["get", "http://h/", "--retries", "x"]])
def test_values_are_not_converted_by_typer(arguments: list[str]) -> None:
    """Its schemas cost as much as all the rest (see ``cli/plain.py``)."""
    ran = subprocess.run(
        [sys.executable, "-c", _LIST_MODULES, *arguments], capture_output=True, text=True, env=environment(), check=True
    )
    assert "pydantic" not in ran.stderr.splitlines()[-1].split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "missing argument 'MANIFEST' (see fetchd run --help)"),
        (["get"], "missing argument 'URL' (see fetchd get --help)"),
        (["status"], "missing argument 'DIR' (see fetchd status --help)"),
        (["run", "--such-a-thing", "5", "m"], "no such option: --such-a-thing"),
        (["rum"], "no such command 'rum'. Did you mean 'run'? (see fetchd --help)"),
        (["run", "a", "b"], "got unexpected extra argument"),
        (["run", "m", "-j"], "option '-j' requires an argument"),
        (["run", "m", "-j", "many"], "--concurrency is 'many'; expected a whole number, 1 or more"),
        (["get", "gopher://h/"], "cannot fetch 'gopher://h/': unknown scheme 'gopher'; expected http or https"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """What is wrong, and where to look; nothing on standard output."""
    assert main(arguments) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"fetchd: {message}")
    assert captured.err.count("\n") == 1


def test_the_bare_command_shows_its_help_as_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error: it is no data."""
    assert main([]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Usage: fetchd [OPTIONS] COMMAND")


def test_help_and_version_are_data(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, code 0."""
    assert main(["--version"]) == 0
    assert re.fullmatch(r"fetchd \S+\n", capsys.readouterr().out)
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for code in (0, 1, 2, 3, 4, 5, 130, 143):
        assert re.search(rf"\b{code}\b", told)


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    """It is written once, and the metadata is made from it."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fetchd {importlib.metadata.version('fetchd')}\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, typer.Abort])
def test_ctrl_c_before_the_work_is_130_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: type[BaseException]
) -> None:
    """While modules are being imported, nobody minds signals."""

    def interrupted(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(typer.main, "get_command", interrupted)
    assert main(["run", "m"]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
async def test_a_reader_that_leaves_is_no_error(arguments: list[str]) -> None:
    """``fetchd --help | head -1``: code 0 and silence."""
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run([FETCHD, *arguments], stdout=write, stderr=subprocess.PIPE, env=environment(), check=False)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.slow
async def test_the_command_is_installed_and_answers() -> None:
    """The entry point of the package."""
    ran = await fetchd("--version")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(b"fetchd ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands_and_options(shell: str) -> None:
    """``fetchd --show-completion SHELL`` prints what asks the command; here it is asked as bash does."""
    shown = subprocess.run([FETCHD, "--show-completion", shell], capture_output=True, text=True, timeout=30, check=True)
    assert "_FETCHD_COMPLETE" in shown.stdout
    for words, expected in (
        ("fetchd re", {"report", "retry"}),
        ("fetchd run --per", {"--per-host", "--per-host-rate"}),
    ):
        variables = environment(_FETCHD_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")))
        told = subprocess.run([FETCHD], capture_output=True, text=True, timeout=30, check=True, env=variables)
        assert set(told.stdout.split()) == expected
