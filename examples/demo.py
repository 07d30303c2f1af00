"""The demonstration: a run that is killed half way and started again ends as if nothing had happened.

    make demo          or          python examples/demo.py

starts ``examples/origin.py`` as a program of its own, runs ``fetchd run`` on its manifest, kills it
without warning (SIGKILL) when half of the files are there, runs it again, and then checks what is on
disk against what the origin says it served. Exits with 0 only if everything is right.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FETCHD = Path(sys.executable).with_name("fetchd")
ORIGIN = Path(__file__).with_name("origin.py")
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
_SOME_FAILED = 1  # exit code: finished, and some items failed (here the one that is missing)


@dataclass
class Report:
    """What was found; ``faults`` is empty when all is right."""

    faults: list[str] = field(default_factory=list)

    def check(self, holds: bool, text: str) -> None:
        """Print *text* with its mark, and remember it when it does not hold."""
        print(f"  {'ok ' if holds else 'BAD'}  {text}")
        if not holds:
            self.faults.append(text)


class Origin:
    """The origin's program, seen from outside."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def expected(self) -> dict[str, tuple[int, str]]:
        """Return size and SHA-256 of every file there is."""
        return {name: (size, digest) for name, (size, digest) in self._ask("expected").items()}

    def log(self) -> list[tuple[str, int, int]]:
        """Return every request so far: name, status code, first octet sent."""
        return [(name, status, start) for name, status, start in self._ask("log")]

    def _ask(self, what: str) -> Any:
        with self._opener.open(f"{self.url}/-/{what}", timeout=30) as reply:
            return json.load(reply)


@contextlib.contextmanager
def run_origin(manifest: Path, files: int) -> Iterator[Origin]:
    """Run the origin until the end of the ``with``; it writes *manifest*."""
    command = [sys.executable, str(ORIGIN), "--manifest-out", str(manifest), "--files", str(files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Origin(process.stdout.readline().strip())
        finally:
            process.terminate()


def start_run(manifest: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start ``fetchd run``; what it says goes where ours goes."""
    command = [str(FETCHD), "run", str(manifest), "-o", str(folder)]
    print(f"$ fetchd run {manifest} -o {folder}", flush=True)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=_ENVIRONMENT)


def finished(tree: Path) -> set[str]:
    """Return the names of the files that are there under their own name."""
    files = (path for path in tree.rglob("*") if path.is_file() and path.suffix != ".part")
    return {str(path.relative_to(tree)) for path in files}


def run_and_kill(manifest: Path, folder: Path, tree: Path, enough: int) -> bool:
    """Run until *enough* files are there, then kill; False when the run ended before that."""
    process = start_run(manifest, folder)
    while len(finished(tree)) < enough and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    return process.wait() < 0


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_disk(report: Report, tree: Path, expected: dict[str, tuple[int, str]]) -> None:
    """Compare what is on disk with what the origin has."""
    there = finished(tree)
    good = [name for name in there & set(expected) if sha256(tree / name) == expected[name][1]]
    size = sum(expected[name][0] for name in good)
    report.check(len(good) == len(expected), f"digests right: {len(good)} of {len(expected)}, {size:,} bytes")
    report.check(there == set(expected), "no file is there that should not be")
    report.check(not list(tree.rglob("*.part")), "no .part is left")


def check_log(report: Report, log: list[tuple[str, int, int]], before: set[str], at_kill: int) -> None:
    """Look at the origin's log: what was asked again after the kill, and what from its middle."""
    after = log[at_kill:]
    again = {name for name, _, _ in after} & before
    report.check(not again, f"finished before the kill and asked for again: {len(again)} of {len(before)}")
    resumed = sum(status == 206 and start > 0 for _, status, start in log)
    report.check(resumed > 0, f"times that a body went on from where it had broken off: {resumed}")
    print(f"       requests before the kill: {at_kill}, after it: {len(after)}")


def demonstrate(folder: Path, files: int, kill_at: float) -> list[str]:
    """Do it all below *folder*; return what was wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    manifest, output, report = folder / "manifest.txt", folder / "downloads", Report()
    with run_origin(manifest, files) as origin:
        tree = output / origin.url.removeprefix("http://").replace(":", "+")
        began = time.monotonic()
        killed = run_and_kill(manifest, output, tree, int(files * kill_at))
        before, at_kill = finished(tree), len(origin.log())
        print(f"-- killed with {len(before)} of {files} files there --", flush=True)
        code = start_run(manifest, output).wait()
        seconds = time.monotonic() - began
        log, expected = origin.log(), origin.expected()
    print(f"\nTwo runs, {seconds:.1f} s in all:")
    report.check(killed, f"the first run was killed with {len(before)} files finished")
    report.check(code == _SOME_FAILED, f"exit code of the second run: {code} ({_SOME_FAILED}: some items failed)")
    missing = {name for name, status, _ in log if status == 404}
    report.check(len(missing) == 1, f"what failed is what the origin has not: {', '.join(missing)}")
    check_disk(report, tree, expected)
    check_log(report, log, before, at_kill)
    return report.faults


def main() -> int:
    """Parse the options, demonstrate, return the exit code."""
    parser = argparse.ArgumentParser(description="Download, be killed, go on, compare.")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder to work in, emptied")
    parser.add_argument("--files", type=int, default=300, help="how many files; at least 50")
    parser.add_argument("--kill-at", type=float, default=0.5, help="kill when this part of the files is there")
    options = parser.parse_args()
    if not FETCHD.exists():
        print(f"there is no {FETCHD}: run this with the Python that fetchd is installed for", file=sys.stderr)
        return 2
    faults = demonstrate(options.output, options.files, options.kill_at)
    print("Everything is right." if not faults else f"{len(faults)} things are wrong.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
