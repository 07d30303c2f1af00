"""The machine as the benchmarks see it: which core serves, which core loads, where files live.

Lives here: core assignment, the scratch folder, what is written above a table so that a figure
can be judged later. Not here: anything that starts a measured program.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MEMORY_FILE_SYSTEM = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Cores:
    """One core for the server and the harness, one for the program measured.

    Both are the same number where the machine gives this process only one core; figures are
    then of little use, and the table says so.
    """

    server: int
    client: int

    @property
    def apart(self) -> bool:
        """Whether server and client have a core each."""
        return self.server != self.client


def assign_cores() -> Cores:
    """Take the first core allowed for the server and the last one for the client."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(server=allowed[0], client=allowed[-1])


def scratch_folder() -> Path:
    """Make a folder for the files of this run, on a memory file system where there is one.

    The caller removes it.
    """
    usable = MEMORY_FILE_SYSTEM.is_dir() and os.access(MEMORY_FILE_SYSTEM, os.W_OK)
    return Path(tempfile.mkdtemp(prefix="fetchd-bench-", dir=MEMORY_FILE_SYSTEM if usable else None))


def file_system_of(folder: Path) -> str:
    """Return the type of the file system that holds *folder* (``tmpfs``), or ``unknown``."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, mount_type, *_ = line.split()
        if folder.is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, mount_type
    return kind


def warm_memory(folder: Path, size: int) -> None:
    """Write *size* octets below *folder* and delete them, so that as much free memory is backed.

    A virtual machine hands free pages back to its host after about two seconds (free page
    reporting), and the first touch of each is then a fault in the host, charged to whoever
    touches it: writing 1 GiB to tmpfs took 0.48 s of processor time at once after such a
    write and 1.5 s a few seconds later. Without this the order of the contenders would decide.
    """
    block = bytes(1024 * 1024)
    path = folder / "warm"
    with path.open("wb", buffering=0) as file:
        for _ in range(size // len(block) + 1):
            file.write(block)
    path.unlink()


def describe(cores: Cores, scratch: Path) -> list[tuple[str, str]]:
    """Return what a reader must know to compare these figures with others, as (name, value)."""
    pinning = f"server on core {cores.server}, client on core {cores.client}"
    return [
        ("commit", _commit()),
        ("machine", f"{_cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}"),
        ("cores", pinning if cores.apart else "ONE core for server and client: figures are of little use"),
        ("load before the run", f"{os.getloadavg()[0]:.2f} (more than 0.5 and others were at work)"),
        ("files on", file_system_of(scratch)),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("packages", ", ".join(_package_versions("uvloop", "httptools", "aiohttp", "pycurl", "pyreqwest"))),
        ("programs", ", ".join(_program_versions())),
    ]


def _commit() -> str:
    head = _first_line(["git", "-C", str(REPOSITORY), "rev-parse", "--short=10", "HEAD"])
    dirty = _first_line(["git", "-C", str(REPOSITORY), "status", "--porcelain", "--untracked-files=no"])
    return f"{head or 'unknown'}{' with local changes' if dirty else ''}"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _package_versions(*names: str) -> list[str]:
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} not installed")
    return versions


def _program_versions() -> list[str]:
    """nginx prints its version on standard error, the others on standard output."""
    versions = []
    for name, flag in (("nginx", "-v"), ("curl", "-V"), ("wget2", "-V"), ("aria2c", "-v")):
        found = shutil.which(name)
        line = _first_line([found, flag]) if found else f"{name} not installed"
        versions.append(_name_and_version(name, line))
    return versions


def _name_and_version(name: str, line: str) -> str:
    """Shorten "aria2 version 1.36.0" or "nginx version: nginx/1.22.1" to "aria2c 1.36.0"."""
    found = re.search(r"\d+(\.\d+)+", line)
    return f"{name} {found.group()}" if found else line


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].strip() if lines else ""
