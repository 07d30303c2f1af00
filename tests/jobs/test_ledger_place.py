"""A folder has one ledger for good, where it was first put, and a ledger has one folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fetchd.jobs.exceptions import LedgerError, LedgerLockedError, LocalFailureError, SettingsError
from fetchd.jobs.ledger import Ledger, LedgerReader, Row, State
from fetchd.jobs.ledger_place import POINTER_NAME, ledger_of
from tests.support.local_failures import unprivileged
from tests.support.open_fds import open_fds


def open_ledger(folder: Path, elsewhere: Path | None = None) -> Ledger:
    """The ledger of *folder*, in a run of its own."""
    ledger = Ledger.open(
        folder, template="{host}/{path}", derive=lambda url: url.partition("://")[2], elsewhere=elsewhere
    )
    ledger.begin_run("list.txt", 1000.0)
    return ledger


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder, not made yet."""
    return tmp_path / "out"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Where a ledger shall be, in a folder that is not made yet."""
    return tmp_path / "disk" / "of-out.sqlite3"


def test_a_ledger_elsewhere_is_found_by_its_folder_alone(out: Path, there: Path) -> None:
    """By the next run and by who only looks; in the folder there is no second one."""
    with open_ledger(out, there) as ledger:
        ledger.commit([Row("http://h/a", "h/a", State.FAILED, failure_class="dns")])
        assert ledger.path == there
        assert there.stat().st_mode & 0o777 == 0o600
        with LedgerReader.open_readonly(out) as reader:
            assert reader.counts()[State.FAILED] == 1
            assert reader.holder() == os.getpid()
    with open_ledger(out) as again:
        assert again.path == there
        assert again.counts()[State.FAILED] == 1
    assert sorted(os.listdir(out / ".fetchd")) == [POINTER_NAME, "lock"]


def test_naming_it_again_is_no_error_and_a_relative_name_is_of_the_working_folder(
    out: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is absolute: the next command may stand elsewhere."""
    there.parent.mkdir()
    monkeypatch.chdir(there.parent)
    open_ledger(out, Path(there.name)).close()
    monkeypatch.chdir("/")
    open_ledger(out, there).close()
    assert ledger_of(out) == there


def test_naming_the_folder_s_own_place_is_no_error(out: Path) -> None:
    """It is where the ledger is."""
    own = out / ".fetchd" / "ledger.sqlite3"
    open_ledger(out).close()
    open_ledger(out, own).close()
    assert ledger_of(out) == own


@pytest.mark.parametrize("first", [False, True])
def test_a_folder_that_has_a_ledger_takes_no_other(out: Path, there: Path, tmp_path: Path, first: bool) -> None:
    """Whether it has it in itself or elsewhere; nothing is made."""
    open_ledger(out, tmp_path / "first" if first else None).close()
    with pytest.raises(SettingsError, match=f"the ledger of {out} is .*, not {there}"):
        open_ledger(out, there)
    assert not there.exists()


def test_a_ledger_of_one_folder_is_not_taken_by_another(out: Path, there: Path, tmp_path: Path) -> None:
    """At work or not: what it calls done is in the other folder."""
    with open_ledger(out, there):
        with pytest.raises(SettingsError, match="is there already and not this folder's"):
            open_ledger(tmp_path / "other", there)
        with pytest.raises(LedgerLockedError):
            open_ledger(out, there)
    with pytest.raises(SettingsError, match="is there already and not this folder's"):
        open_ledger(tmp_path / "other", there)
    open_ledger(tmp_path / "other").close()  # and the lock was let go of


def test_a_ledger_that_is_away_is_not_begun_anew(out: Path, there: Path) -> None:
    """Its disk may not be mounted, and everything would be fetched again."""
    open_ledger(out, there).close()
    there.rename(there.with_name("away"))
    before = open_fds()
    for look in (open_ledger, LedgerReader.open_readonly):
        with pytest.raises(LedgerError, match=r"is not there, and .*ledger\.path names it"):
            look(out)
    assert open_fds() == before
    assert not there.exists()
    there.with_name("away").rename(there)
    open_ledger(out).close()


@pytest.mark.parametrize("text", ["", "ledger.sqlite3\n", "/a\0b\n"])
def test_a_pointer_that_names_no_file_is_an_error(out: Path, text: str) -> None:
    """And not a folder without a ledger."""
    (out / ".fetchd").mkdir(parents=True)
    (out / ".fetchd" / POINTER_NAME).write_text(text)
    with pytest.raises(LedgerError, match="does not hold the absolute path"):
        open_ledger(out)


def test_a_name_with_a_line_break_is_refused(out: Path, tmp_path: Path) -> None:
    """The pointer is one line."""
    with pytest.raises(SettingsError, match="without a line break"):
        open_ledger(out, tmp_path / "a\nb")
    assert not (tmp_path / "a\nb").exists()


def test_a_place_that_cannot_be_written_is_a_failure_of_the_machine(out: Path, tmp_path: Path) -> None:
    """And the folder is as before: another place may be tried."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with unprivileged(), pytest.raises(LocalFailureError, match="permission denied"):
        open_ledger(out, closed / "ledger")
    open_ledger(out, tmp_path / "open").close()


def test_where_the_pointer_cannot_be_written_the_claimed_file_goes(
    out: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be in the way of the next try."""

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(LocalFailureError, match="no space left"):
            open_ledger(out, there)
    assert not there.exists()
    open_ledger(out, there).close()
    assert ledger_of(out) == there
