"""The house as it is meant to stand: which floor may import what, and what every module must have.

Everything here is read from the sources by ``ast``; nothing is imported but the public surface.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("client", "jobs", "crawler")

# What each floor may import of the others: the way is down, and only down.
MAY_IMPORT = {"client": set(), "jobs": {"client"}, "crawler": {"client", "jobs"}}
THIRD_PARTIES = {
    "client": {
        "aiofiles",
        "aiohappyeyeballs",
        "backports",
        "brotli",
        "compression",  # of the standard library from Python 3.14
        "httptools",
        "multidict",
        "publicsuffixlist",
        "python_socks",
        "yarl",
    },
    "jobs": {"awscrt", "botocore", "multidict", "pyarrow", "yarl"},
    "crawler": {"multidict", "rich", "typer", "uvloop", "yarl"},
}

# Who may look at the environment: the command, and the session when `trust_env` asks for it.
READS_ENVIRONMENT = ("crawler/", "client/session.py")
SOURCES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
PACKAGES = sorted(path.parent for path in SOURCES if path.name == "__init__.py")

each_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
each_package = pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))


def floor_of(path: Path) -> str:
    """Return which of the three floors *path* belongs to."""
    return path.relative_to(ROOT).parts[0]


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the parsed source."""
    return ast.parse(path.read_text(), str(path))


def imported_by(path: Path) -> Iterator[str]:
    """Yield the absolute name of every module that *path* imports, at its top, lazily, or for types."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            above = package[: len(package) - node.level + 1]
            assert above, f"{path}:{node.lineno} imports from above its floor"
            yield ".".join(["fetchd", *above, *([node.module] if node.module else [])])
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            # `from fetchd import client` names the floor only in the alias.
            below = (f"fetchd.{alias.name}" for alias in node.names)
            yield from below if node.module == "fetchd" else (node.module,)


def names_used(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything that is named in *path*: ``os.environ``, ``print`` ..."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Name | ast.Attribute):
            yield node.lineno, ast.unparse(node)


def settings() -> dict[str, Any]:
    """Return what pyproject.toml tells setuptools."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = pyproject["tool"]["setuptools"]
    assert isinstance(found, dict)
    return found


@each_source
def test_imports_go_down_the_house(path: Path) -> None:
    """crawler -> jobs -> client, and no other arrow."""
    for name in imported_by(path):
        parts = name.split(".")
        if parts[0] == "fetchd":
            assert parts[1] in MAY_IMPORT[floor_of(path)] | {floor_of(path)}, f"{path} imports {name}"


@each_source
def test_a_floor_imports_only_the_third_parties_it_may(path: Path) -> None:
    """Every further dependency of a floor is a decision, taken in the list above."""
    allowed = THIRD_PARTIES[floor_of(path)] | sys.stdlib_module_names | {"fetchd"}
    strangers = {name for name in imported_by(path) if name.split(".")[0] not in allowed}
    assert not strangers


@each_source
def test_no_module_is_imported_by_its_bare_name(path: Path) -> None:
    """``import client`` from the root of the repository would load every module a second time."""
    assert not [name for name in imported_by(path) if name.split(".")[0] in FLOORS]


@each_source
def test_imports_within_a_floor_are_relative(path: Path) -> None:
    """``from .pool import Pool``: a floor does not depend on where it is installed."""
    own = f"fetchd.{floor_of(path)}"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            assert not f"{node.module}.".startswith(f"{own}."), f"{path}:{node.lineno}"


@each_source
def test_only_the_crawler_floor_prints_or_exits(path: Path) -> None:
    """A library answers its caller; the command alone talks to people and ends processes."""
    loud = {"print", "sys.exit", "exit", "quit", "os._exit", "sys.stdout", "sys.stderr", "SystemExit"}
    if floor_of(path) != "crawler":
        assert not [(line, name) for line, name in names_used(path) if name in loud]


@each_source
def test_only_the_command_and_the_session_read_the_environment(path: Path) -> None:
    """Settings come in as arguments; variables are read in one place a floor at most."""
    if not str(path.relative_to(ROOT)).startswith(READS_ENVIRONMENT):
        readers = {"os.environ", "os.environb", "os.getenv", "environ", "getenv"}
        assert not [(line, name) for line, name in names_used(path) if name in readers]


@each_source
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """A docstring that is the module's charter."""
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("folder", [*FLOORS, "tests", "examples", "benchmarks", "fuzz"])
def test_nothing_is_left_for_later_and_no_machine_is_named(folder: str) -> None:
    """No notes of work undone, no path that exists on one machine only."""
    unwanted = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b|/wor[k]/|/roo[t]/|/hom[e]/")
    for path in (ROOT / folder).rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not unwanted.search(line), f"{path}:{number} {line}"


def test_setuptools_lists_every_package() -> None:
    """Sub-packages below a mapped folder are not found by themselves: each must be listed."""
    folders = {".".join(["fetchd", *folder.relative_to(ROOT).parts]) for folder in PACKAGES}
    assert set(settings()["packages"]) == folders


def test_every_folder_with_modules_is_a_package() -> None:
    """A folder without ``__init__.py`` would be left out of the wheel unseen."""
    assert {path.parent for path in SOURCES} == set(PACKAGES)


@pytest.mark.parametrize("floor", FLOORS)
def test_each_floor_is_mapped_typed_and_linked(floor: str) -> None:
    """The import name is mapped to the folder, its types are announced, type checkers find it."""
    assert settings()["package-dir"][f"fetchd.{floor}"] == floor
    assert (ROOT / floor / "py.typed").is_file()
    assert settings()["package-data"][f"fetchd.{floor}"] == ["py.typed"]
    link = ROOT / "typings" / "fetchd" / floor
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == ROOT / floor


@each_package
def test_what_a_package_exports_is_there(folder: Path) -> None:
    """Every name in ``__all__`` resolves, lazily or not, and none is listed twice."""
    module = importlib.import_module(".".join(["fetchd", *folder.relative_to(ROOT).parts]))
    exported = getattr(module, "__all__", [])
    assert len(exported) == len(set(exported))
    for name in exported:
        assert getattr(module, name) is not None


def test_every_error_can_be_caught_by_a_name_of_the_clients_root() -> None:
    """Users import from ``fetchd.client``: whatever it raises is there."""
    errors = importlib.import_module("fetchd.client.exceptions").__all__
    assert set(errors) <= set(importlib.import_module("fetchd.client").__all__)
