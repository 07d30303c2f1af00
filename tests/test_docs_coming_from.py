"""The pages for who comes from another command: what they tell of ours exists."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from fetchd.crawler.cli.app import app
from fetchd.jobs.templates import Template

PAGES = [
    Path(__file__).parent.parent / "docs" / f"coming-from-{name}.md"
    for name in ("aria2", "wget", "curl", "img2dataset")
]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@cache
def options() -> dict[str, set[str]]:
    """The options of each command, long and short."""
    import typer

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return {name: {opt for param in command.params for opt in param.opts} for name, command in commands.items()}


def ours(page: Path) -> list[str]:
    """The last cells of the tables: what is said of fetchd."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    return [re.split(r" \| ", line.strip("| "))[-1] for line in lines]


@each_page
def test_every_command_line_is_one_that_is_understood(page: Path) -> None:
    """Command and options; what stands for a value is whatever follows."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("fetchd ")]
    told = [code for cell in ours(page) for code in re.findall(r"`(fetchd [^`]+)`", cell)]
    assert lines
    for line in [*lines, *told]:
        words = shlex.split(line.partition(" | ")[0])
        assert words[1] in options(), line
        assert {word for word in words[2:] if re.match(r"-[a-zA-Z-]", word)} <= options()[words[1]], line


@each_page
def test_every_option_that_is_told_exists(page: Path) -> None:
    """Of one command or another; and each row names one, or says what is so without."""
    every = set().union(*options().values())
    for cell in ours(page):
        for code in re.findall(r"`([^`]+)`", cell):
            named = {word for word in code.split() if re.fullmatch(r"--?[a-zA-Z][a-z-]*", word)}
            assert named <= every, cell


@each_page
def test_every_template_is_one(page: Path) -> None:
    """Where a value has braces."""
    for text in re.findall(r"--name '([^']+)'", page.read_text()):
        Template.parse(text)


@each_page
def test_a_page_is_linked_to_from_the_readme(page: Path) -> None:
    """Or nobody finds it."""
    assert f"docs/{page.name}" in (page.parent.parent / "README.md").read_text()
