"""The programs compared: where they are, and why one cannot run here.

The only place that knows how fetchd is started and where it puts a file.
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FETCHD = Path(sys.executable).parent / "fetchd"
PARALLEL = 64
NOT_AVAILABLE = "not available: this tree has none yet"


def fetchd_run(manifest: Path, output: Path, *options: str) -> list[str]:
    """Return the command line for one host: no politeness, 64 at once."""
    fixed = ["--profile", "lan", "-j", str(PARALLEL), "--per-host", str(PARALLEL), "--no-progress", "-q"]
    return [str(FETCHD), "run", str(manifest), "-o", str(output), *fixed, *options]


def fetchd_file(output: Path, port: int, path: str) -> Path:
    """Return where ``fetchd run`` puts what it fetched from ``127.0.0.1:port/path``."""
    return output / f"127.0.0.1+{port}" / path.lstrip("/")


@functools.cache
def missing_fetchd_run() -> str:
    """Return why ``fetchd run`` cannot be measured, empty when it can."""
    return "" if _answers([str(FETCHD), "run", "--help"]) else NOT_AVAILABLE


@functools.cache
def missing_fetchd_client() -> str:
    """Return why ``fetchd.client`` cannot be measured, empty when it can."""
    return "" if _answers([sys.executable, "-c", "from fetchd.client import ClientSession"]) else NOT_AVAILABLE


def missing_program(name: str) -> str:
    """Return why the program *name* cannot be measured, empty when it is installed."""
    return "" if shutil.which(name) else f"{name} is not installed on this machine"


def missing_modules(*names: str) -> str:
    """Return why a script that imports *names* cannot be measured, empty when all are installed."""
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    return f"not installed for {sys.executable}: {', '.join(absent)}" if absent else ""


def _answers(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
