"""One measured process: wall time, processor time of its whole tree, peak resident memory.

Lives here: starting a command pinned to a core, waiting for it with a limit, reading what the
kernel counted. Not here: which command, and what its figures mean.

Processor time is what wait4(2) reports: user and system time of the process, its threads and every
descendant it waited for. Peak memory is VmHWM of /proc. The maximum that wait4 reports would be
exact too, but a child inherits the peak of the process that forked it across execve(2), so for
small programs it would be the memory of this harness: it is used only where it is larger than that.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .machine import REPOSITORY

# VmHWM only grows, so a look every 20 ms misses what is allocated in the last 20 ms. A look costs
# the harness about 30 us, on the server's core.
LOOK_INTERVAL = 0.02
# Finding descendants means walking /proc, which is 100 times dearer than one look.
SEARCH_INTERVAL = 0.5
KEPT_OUTPUT_BYTES = 4000


class BenchmarkError(Exception):
    """A measured program did not do its work, so its figures would mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one run of one command took.

    Attributes:
        exit_code: Negative for a signal, as subprocess has it.
        wall: Seconds from just before the start until the kernel reports the end.
        cpu: Seconds, user + system, of the process and all descendants that it waited for.
        peak_kib: VmHWM of the largest process of the tree, in KiB.
        output: Standard output, its last 4,000 octets.
        errors: Standard error, its last 4,000 octets.
        shared: Part of the time, 0 to 1, in which the core did something else: other programs, or
            nothing of ours because the host of a virtual machine took it. Ticks of 10 ms: a hint.
    """

    exit_code: int
    wall: float
    cpu: float
    peak_kib: int
    output: str
    errors: str
    shared: float


@dataclass(slots=True)
class _PeakWatch:
    """The largest VmHWM seen in the session of one process."""

    session: int
    peak_kib: int = 0
    members: list[int] = field(default_factory=list)
    next_search: float = 0.0

    def look(self, now: float) -> None:
        if now >= self.next_search:
            self.members = _processes_of_session(self.session)
            self.next_search = now + SEARCH_INTERVAL
        for pid in (self.session, *self.members):
            self.peak_kib = max(self.peak_kib, peak_of(pid))


def peak_of(pid: int | str) -> int:
    """Return VmHWM of a process in KiB (``"self"`` for this one), 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    _, found, rest = text.partition("VmHWM:")
    return int(rest.split(None, 1)[0]) if found else 0


def measure(command: Sequence[str], *, core: int, timeout: float, home: Path) -> Measurement:
    """Run *command* pinned to *core* and return what it took.

    Args:
        command: Program and arguments; no shell. Started in the repository's root.
        core: Number of the core that the program and its children are confined to.
        timeout: Seconds after which the program's own process group is killed.
        home: HOME of the program, an empty folder, so that no personal settings play a part.

    Raises:
        BenchmarkError: The program did not end within *timeout*, or could not be started.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        busy_before = _busy_seconds(core)
        started = time.perf_counter()
        try:
            process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=_environment(home),
                cwd=REPOSITORY,
                start_new_session=True,
            )
        except OSError as exc:
            raise BenchmarkError(f"cannot start {command[0]}: {exc}") from exc
        watch = _PeakWatch(process.pid)
        ended_in_time = _wait(process.pid, started + timeout, watch)
        wall = time.perf_counter() - started
        if not ended_in_time:
            os.killpg(process.pid, signal.SIGKILL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if not ended_in_time:
            raise BenchmarkError(f"{command[0]} did not end within {timeout:.0f} s")
        cpu = usage.ru_utime + usage.ru_stime
        exact = usage.ru_maxrss if usage.ru_maxrss > peak_of("self") else 0
        return Measurement(
            exit_code=process.returncode,
            wall=wall,
            cpu=cpu,
            peak_kib=max(watch.peak_kib, exact),
            output=_tail(output.fileno()),
            errors=_tail(errors.fileno()),
            shared=max(0.0, (_busy_seconds(core) - busy_before - cpu) / wall),
        )


def _wait(pid: int, deadline: float, watch: _PeakWatch) -> bool:
    """Return once the process has ended (True) or the deadline has passed (False); reap nothing."""
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        while not poll.poll(LOOK_INTERVAL * 1000):
            now = time.perf_counter()
            if now > deadline:
                return False
            watch.look(now)
        return True
    finally:
        os.close(handle)


def _processes_of_session(session: int) -> list[int]:
    """Return the members of a session other than its leader.

    The kernel's own list of children is a build option that many kernels are without.
    """
    members = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == session:
            continue
        try:
            text = Path("/proc", entry, "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        # The name, the second field, is in parentheses and may hold blanks; the session is the sixth.
        if int(text.rpartition(")")[2].split()[3]) == session:
            members.append(int(entry))
    return members


def _busy_seconds(core: int) -> float:
    """Return how long *core* was not idle since boot; time stolen by a host counts."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, ticks)
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _environment(home: Path) -> Mapping[str, str]:
    """A plain environment: no proxy variables, no Python switches, no personal settings."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "LC_ALL": "C.UTF-8"}


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    start = max(0, size - KEPT_OUTPUT_BYTES)
    return os.pread(descriptor, KEPT_OUTPUT_BYTES, start).decode("utf-8", "replace")
