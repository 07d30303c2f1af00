"""One run a folder, and nothing to clean up after a kill."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fetchd.jobs.exceptions import LedgerError, LedgerLockedError, LocalFailureError
from fetchd.jobs.ledger_lock import FolderLock, _holder_among, holder_of
from tests.support.local_failures import largest_file, unprivileged
from tests.support.open_fds import open_fds

_HOLD = """
import sys, time
from pathlib import Path
from fetchd.jobs.ledger_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_the_second_run_is_told_the_first_one_s_process_and_a_kill_lets_go(tmp_path: Path) -> None:
    """kill -9 cleans up nothing, and nothing has to be cleaned up."""
    path = tmp_path / "lock"
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LedgerLockedError, match=f"process {holder.pid}") as raised:
            FolderLock(path)
        assert raised.value.pid == holder.pid
        assert raised.value.path == str(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        FolderLock(path).release()


def test_a_second_run_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    """A library may be asked twice."""
    before = open_fds()
    lock = FolderLock(tmp_path / "lock")
    with pytest.raises(LedgerLockedError, match=f"process {os.getpid()}"):
        FolderLock(tmp_path / "lock")
    lock.release()
    lock.release()
    FolderLock(tmp_path / "lock").release()
    assert open_fds() == before


@pytest.mark.parametrize("content", [b"", b"\n", b"nonsense"])
def test_a_holder_that_has_not_signed_yet_is_another_run(tmp_path: Path, content: bytes) -> None:
    """Between taking the lock and writing the number."""
    path = tmp_path / "lock"
    path.write_bytes(content)
    with path.open() as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(LedgerLockedError, match="another run is working in this folder") as raised:
            FolderLock(path)
    assert raised.value.pid is None


def test_the_lock_file_is_the_owner_s_alone_and_stays(tmp_path: Path) -> None:
    """Removing it would let two runs lock two files of the same name."""
    FolderLock(tmp_path / "lock").release()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems know none; to go on without would risk the ledger."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = open_fds()
    with pytest.raises(LedgerError, match="knows no locks"):
        FolderLock(tmp_path / "lock")
    assert open_fds() == before


def test_a_lock_file_that_cannot_be_made_or_written_is_a_failure_of_the_machine(tmp_path: Path) -> None:
    """No permission; a link in its place; no room for a process number."""
    before = open_fds()
    tmp_path.chmod(0o555)
    with unprivileged(), pytest.raises(LocalFailureError, match="permission denied"):
        FolderLock(tmp_path / "lock")
    tmp_path.chmod(0o755)
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(LocalFailureError):
        FolderLock(tmp_path / "link")
    with largest_file(0), pytest.raises(LocalFailureError, match="file too large"):
        FolderLock(tmp_path / "lock")
    assert open_fds() == before


def test_who_holds_the_lock_is_found_without_touching_it(tmp_path: Path) -> None:
    """Whoever looks is never the run that another one meets."""
    path = tmp_path / "lock"
    assert holder_of(path) is None
    lock = FolderLock(path)
    assert holder_of(path) == os.getpid()
    lock.release()
    assert holder_of(path) is None


@pytest.mark.parametrize(
    ("line", "holder"),
    [
        ("1: FLOCK  ADVISORY  WRITE 4711 fe:00:131090 0 EOF", 4711),
        ("2: FLOCK  ADVISORY  WRITE 4711 00:1f:131090 0 EOF", 4711),
        ("1: FLOCK  ADVISORY  WRITE 0 fe:00:131090 0 EOF", None),
        ("1: FLOCK  ADVISORY  WRITE 4711 fe:00:31090 0 EOF", None),
        ("1: POSIX  ADVISORY  WRITE 4711 fe:00:131090 0 EOF", None),
        ("1: -> FLOCK  ADVISORY  WRITE 4711 fe:00:131090 0 EOF", None),
        ("1: FLOCK", None),
        ("", None),
    ],
)
def test_a_list_of_locks_is_read_as_proc_locks_writes_it(line: str, holder: int | None) -> None:
    """Those who wait for a lock do not hold it; a process in another namespace has number 0."""
    assert _holder_among([line], 131090) == holder
