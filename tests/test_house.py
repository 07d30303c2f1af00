"""What stands around the code keeps its promises: commands, versions, examples."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from fetchd.client.version import __version__

ROOT = Path(__file__).parent.parent


def test_make_tells_of_every_command_it_has() -> None:
    """`make` alone lists them; a target without a line, or a line without a target, is a mistake."""
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    told = set(re.findall(r'@echo "make (\w+) ', makefile))
    assert told == set(phony[1].split()) - {"help"}
    assert told >= {"demo", "test", "lint", "bench", "soak"}


def test_the_check_is_a_program_that_bash_understands() -> None:
    """Executable, and free of syntax errors."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_changelog_tells_of_the_version_there_is() -> None:
    """Its first entry is the version of the package."""
    [first, *_] = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == __version__


def test_every_example_is_run_by_a_test() -> None:
    """An example that nothing runs is soon a wrong one."""
    tests = (ROOT / "tests" / "test_examples.py").read_text()
    for example in sorted((ROOT / "examples").glob("*.py")):
        assert f'"{example.name}"' in tests, f"{example.name} is not run in tests/test_examples.py"
