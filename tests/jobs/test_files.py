"""The output folder: whole files under their names, nothing outside of it, errors a person understands."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.exceptions import (
    CollisionError,
    JobError,
    LocalFailureError,
    PolicyError,
    SettingsError,
)
from fetchd.jobs.sinks import Folder, files
from tests.support.local_failures import largest_file, unprivileged
from tests.support.open_fds import open_fds


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """An output folder that leaves no descriptor behind."""
    before = open_fds()
    with Folder(tmp_path / "out") as made:
        yield made
    assert open_fds() == before


class FailingSystem:
    """The module os, of which the call number *n* that changes something fails with *code*."""

    _CHANGES = frozenset({"open", "write", "close", "rename", "mkdir", "utime"})

    def __init__(self, n: int, code: int) -> None:
        self.left = n
        self._code = code

    def __getattr__(self, name: str) -> object:
        call = getattr(os, name)
        return self._counted(name, call) if name in self._CHANGES else call

    def _counted(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            self.left -= 1
            if self.left != 0:
                return call(*args, **kwargs)
            if name == "close":  # close(2) gives the descriptor back also when it fails
                call(*args)
            raise OSError(self._code, os.strerror(self._code))

        return counted


# What a file goes through


@pytest.mark.parametrize("path", ["f", "h/f", "h/a/b/c/f", "h/ä ö/日本.txt", "h/" + "x" * 200])
def test_a_file_gets_its_name_when_it_is_published_and_not_before(folder: Folder, path: str) -> None:
    """Until then its octets stand beside it under .part."""
    folder.write_part(path, b"content")
    assert (folder.size(path), folder.part_size(path)) == (None, 7)
    folder.publish(path)
    assert (folder.size(path), folder.part_size(path)) == (7, None)
    assert (folder.root / path).read_bytes() == b"content"


def test_a_published_file_takes_the_place_of_the_one_before(folder: Folder) -> None:
    """A file that is fetched again is there whole, the old one or the new one, at any moment."""
    for content in (b"old", b"newer"):
        folder.write_part("h/f", content)
        folder.publish("h/f")
    assert (folder.root / "h/f").read_bytes() == b"newer"


def test_an_empty_body_is_a_file_too(folder: Folder) -> None:
    """Length 0 is a length."""
    folder.write_part("h/f", b"")
    folder.publish("h/f")
    assert folder.size("h/f") == 0


def test_a_part_is_begun_anew_unless_it_is_resumed(folder: Folder) -> None:
    """Without resume the old octets are gone; with it they stay, and writing begins at the first."""
    folder.write_part("h/f", b"0123456789")
    fd = folder.open_part("h/f", resume=True)
    assert os.fstat(fd).st_size == 10
    os.pwrite(fd, b"ab", 10)
    os.close(fd)
    assert folder.part_size("h/f") == 12
    os.close(folder.open_part("h/f"))
    assert folder.part_size("h/f") == 0


def test_resuming_what_is_not_there_makes_an_empty_part(folder: Folder) -> None:
    """The caller sees by its size that there is nothing to go on from."""
    os.close(folder.open_part("h/new/f", resume=True))
    assert folder.part_size("h/new/f") == 0


def test_descriptors_are_not_inherited_by_programs(folder: Folder) -> None:
    """A command started on the way must not keep files or folders open."""
    fd = folder.open_part("h/f")
    assert not any(os.get_inheritable(each) for each in (fd, folder._root_fd, *folder._folders.values()))
    os.close(fd)


def test_a_part_can_be_removed_and_removing_nothing_is_no_error(folder: Folder) -> None:
    """An item that fails for good leaves nothing half-named."""
    folder.write_part("h/f", b"x")
    folder.remove_part("h/f")
    folder.remove_part("h/f")
    folder.remove_part("elsewhere/f")
    assert os.listdir(folder.root / "h") == []
    assert not (folder.root / "elsewhere").exists()


def test_modification_times_are_set_with_the_content_or_later(folder: Folder) -> None:
    """Seconds since 1970, from Last-Modified."""
    folder.write_part("h/a", b"x", modified=1_000_000_000.0)
    folder.write_part("h/b", b"x")
    folder.set_modified("h/b", 1_000_000_001.0)
    assert (folder.root / "h/a.part").stat().st_mtime == 1_000_000_000
    assert (folder.root / "h/b.part").stat().st_mtime == 1_000_000_001


def test_sizes_are_looked_at_without_making_anything(folder: Folder) -> None:
    """A look at ten million items of which none is there leaves the disk as it is."""
    assert folder.size("h/a/b") is None
    assert folder.part_size("f") is None
    assert os.listdir(folder.root) == []


@pytest.mark.parametrize("max_open", [1, 2, 128])
def test_few_folders_are_kept_open_however_many_there_are(tmp_path: Path, max_open: int) -> None:
    """The ones not used for longest are closed, also within one deep path."""
    before = len(open_fds())
    with Folder(tmp_path, max_open=max_open) as folder:
        for n in range(300):
            folder.write_part(f"h/{n % 17}/{n}/f", b"x")
            folder.publish(f"h/{n % 17}/{n}/f")
            assert len(open_fds()) <= before + 1 + max_open
        assert all(folder.size(f"h/{n % 17}/{n}/f") == 1 for n in range(300))


@given(
    st.integers(1, 3),
    st.lists(
        st.tuples(st.sampled_from(["", "a/", "a/b/", "a/c/", "d/"]), st.sampled_from("xyz"), st.binary()),
        max_size=30,
    ),
)
def test_whatever_is_published_is_found_by_its_path(
    tmp_path_factory: pytest.TempPathFactory, max_open: int, writes: list[tuple[str, str, bytes]]
) -> None:
    """The kept descriptors change nothing: each folder holds what was written there last."""
    with Folder(tmp_path_factory.mktemp("law"), max_open=max_open) as folder:
        for head, name, content in writes:
            folder.write_part(head + name, content)
            folder.publish(head + name)
        expected = {head + name: content for head, name, content in writes}
        found = {path: (folder.root / path).read_bytes() for path in expected}
        assert found == expected
        assert {path: folder.size(path) for path in expected} == {p: len(c) for p, c in expected.items()}


def test_a_folder_that_somebody_removes_is_made_again(folder: Folder) -> None:
    """The kept descriptor of a removed folder is of no use: the path is walked anew."""
    folder.write_part("h/a/f", b"x")
    folder.remove_part("h/a/f")
    (folder.root / "h/a").rmdir()
    (folder.root / "h").rmdir()
    folder.write_part("h/a/f", b"y")
    folder.publish("h/a/f")
    assert (folder.root / "h/a/f").read_bytes() == b"y"


def test_a_tree_that_is_moved_away_and_back_is_found_for_publishing(folder: Folder) -> None:
    """The .part is looked for again by its path before it is called gone."""
    folder.write_part("h/f", b"x")
    (folder.root / "h").rename(folder.root / "g")
    (folder.root / "h").mkdir()
    (folder.root / "g/f.part").rename(folder.root / "h/f.part")
    folder.publish("h/f")
    assert (folder.root / "h/f").read_bytes() == b"x"


def test_a_part_in_the_output_folder_itself_is_published_too(folder: Folder) -> None:
    """The shortest path there is."""
    os.close(folder.open_part("f"))
    folder.publish("f")
    assert folder.size("f") == 0


def test_a_part_that_somebody_removed_cannot_be_published(folder: Folder) -> None:
    """Somebody works in the folder: that ends the run rather than to call done what is not there."""
    folder.write_part("h/f", b"x")
    (folder.root / "h/f.part").unlink()
    with pytest.raises(LocalFailureError, match=r"h/f\.part: no such file") as raised:
        folder.publish("h/f")
    assert raised.value.errno == errno.ENOENT


# Staying inside


@pytest.mark.parametrize("target", ["folder", "dangling", "loop"])
def test_a_symbolic_link_in_place_of_a_folder_leads_nowhere(folder: Folder, tmp_path: Path, target: str) -> None:
    """Nothing is written behind it, nothing behind it is seen, and the item fails as policy."""
    outside = tmp_path / "outside"
    if target == "folder":
        outside.mkdir()
        (outside / "f").write_bytes(b"secret")
    (folder.root / "h").mkdir()
    (folder.root / "h/link").symlink_to("link" if target == "loop" else outside)
    with pytest.raises(PolicyError, match="h/link: is a symbolic link"):
        folder.write_part("h/link/deep/f", b"x")
    assert folder.size("h/link/f") is None
    if target == "folder":
        assert os.listdir(outside) == ["f"]
    else:
        assert not outside.exists()


def test_a_link_planted_after_the_folder_was_opened_leads_nowhere(folder: Folder, tmp_path: Path) -> None:
    """What is open is the folder itself, not its name."""
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.write_part("h/f", b"x")
    (folder.root / "h").rename(folder.root / "moved")
    (folder.root / "h").symlink_to(outside)
    folder.publish("h/f")
    folder.write_part("h/g", b"x")
    assert os.listdir(outside) == []
    assert sorted(os.listdir(folder.root / "moved")) == ["f", "g.part"]


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "pipe"])
def test_a_new_part_is_a_new_file_whatever_stood_in_its_place(folder: Folder, tmp_path: Path, kind: str) -> None:
    """It is neither followed nor written to: it is removed."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep me")
    part = folder.root / "f.part"
    if kind == "symbolic link":
        part.symlink_to(precious)
    elif kind == "hard link":
        part.hardlink_to(precious)
    else:
        os.mkfifo(part)
    folder.write_part("f", b"x")
    folder.publish("f")
    assert precious.read_bytes() == b"keep me"
    assert stat.S_ISREG(os.lstat(folder.root / "f").st_mode)


def test_a_part_that_is_a_symbolic_link_is_not_resumed(folder: Folder, tmp_path: Path) -> None:
    """Going on would write where it leads."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep me")
    (folder.root / "f.part").symlink_to(precious)
    assert folder.part_size("f") is None
    with pytest.raises(PolicyError, match=r"f\.part: a symbolic link stands in its way"):
        folder.open_part("f", resume=True)
    assert precious.read_bytes() == b"keep me"


def test_a_part_that_is_a_pipe_is_not_resumed(folder: Folder) -> None:
    """And opening it does not wait for a reader."""
    os.mkfifo(folder.root / "f.part")
    with pytest.raises(PolicyError, match="is no regular file"):
        folder.open_part("f", resume=True)


def test_a_link_under_a_file_s_name_is_replaced_and_not_followed(folder: Folder, tmp_path: Path) -> None:
    """rename(2) replaces the link itself; before that the file counts as not there."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep me")
    (folder.root / "f").symlink_to(precious)
    assert folder.size("f") is None
    folder.write_part("f", b"x")
    folder.publish("f")
    assert (precious.read_bytes(), folder.size("f")) == (b"keep me", 1)


@pytest.mark.parametrize("path", ["", "..", "../f", "a/../f", "a/..", "./f", "/etc/f", "a//f", "a/", "a/\0/f", "a/\0"])
def test_a_path_that_is_not_one_of_ours_is_refused(folder: Folder, path: str) -> None:
    """Names are made safe elsewhere; this is the second lock on the same door."""
    with pytest.raises(PolicyError, match="no name for a"):
        folder.write_part(path, b"x")
    assert sorted(os.listdir(folder.root)) in ([], ["a"])


# Places that are taken


def test_a_file_where_a_folder_must_be_is_a_collision(folder: Folder) -> None:
    """/a beside /a/b: whichever comes later has lost."""
    folder.write_part("h/a", b"x")
    folder.publish("h/a")
    with pytest.raises(CollisionError, match="h/a/b"):
        folder.write_part("h/a/b", b"x")
    with pytest.raises(CollisionError):
        folder.write_part("h/a/b/c", b"x")
    assert folder.size("h/a/b") is None
    assert folder.size("h/a") == 1


def test_a_folder_where_a_file_must_go_is_a_collision(folder: Folder) -> None:
    """Seen when it is published; a folder is no file and has no size."""
    folder.write_part("h/a/b", b"x")
    folder.write_part("h/a", b"x")
    assert folder.size("h/a") is None
    with pytest.raises(CollisionError, match="h/a: its place is taken"):
        folder.publish("h/a")
    assert folder.part_size("h/a") == 1


def test_a_folder_in_place_of_a_part_is_a_collision(folder: Folder) -> None:
    """It is not ours to remove."""
    (folder.root / "f.part").mkdir()
    with pytest.raises(CollisionError):
        folder.write_part("f", b"x")
    with pytest.raises(CollisionError):
        folder.remove_part("f")


def test_a_name_too_long_for_the_file_system_fails_the_item_alone(folder: Folder) -> None:
    """Some file systems take less than the 255 octets of the usual ones."""
    assert folder.size("h/" + "x" * 256) is None
    with pytest.raises(PolicyError, match="does not take the name"):
        folder.write_part("h/" + "x" * 256, b"x")


def test_a_part_that_comes_back_as_often_as_it_is_removed_is_given_up(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loop is without end, whatever another program does."""
    (folder.root / "f.part").write_bytes(b"")
    monkeypatch.setattr(folder, "remove_part", lambda path: None)
    with pytest.raises(CollisionError, match="another program"):
        folder.open_part("f")


def test_a_folder_made_by_somebody_else_in_the_same_moment_will_do(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our look and our mkdir."""
    make = os.mkdir

    def made_twice(path: str, mode: int, *, dir_fd: int) -> None:
        make(path, mode, dir_fd=dir_fd)
        make(path, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", made_twice)
    folder.write_part("h/f", b"x")
    assert folder.part_size("h/f") == 1


# When the machine fails


def test_a_disk_that_is_full_in_mid_write_leaves_no_part_of_a_small_body(folder: Folder) -> None:
    """The system takes the first octets and refuses the rest; there is room again, and it goes on."""
    with largest_file(5), pytest.raises(LocalFailureError, match="h/f: file too large") as raised:
        folder.write_part("h/f", b"0123456789")
    assert raised.value.errno == errno.EFBIG
    assert os.listdir(folder.root / "h") == []
    folder.write_part("h/f", b"0123456789")
    folder.publish("h/f")
    assert folder.size("h/f") == 10


def test_a_body_is_written_whole_when_the_system_takes_it_bit_by_bit(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """write(2) may take less than it is given."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:3])))
    folder.write_part("f", b"0123456789")
    assert (folder.root / "f.part").read_bytes() == b"0123456789"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "no space left on device"),
        (errno.EDQUOT, "disk quota exceeded"),
        (errno.EROFS, "read-only file system"),
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "operation not permitted"),
        (errno.EIO, "input/output error"),
        (errno.EMFILE, "too many open files"),
    ],
)
def test_whichever_call_fails_nothing_is_lost_and_it_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    """The first call fails, then the second, and so on until all of them go well."""
    before = open_fds()
    for n in range(1, 50):
        with Folder(tmp_path / str(n)) as folder:
            system = FailingSystem(n, code)
            with monkeypatch.context() as patch:
                patch.setattr(files, "os", system)
                error = _outcome(folder)
            if error is None:
                break
            assert isinstance(error, LocalFailureError)
            assert (error.errno, error.reason) == (code, words)
            assert folder.size("h/a/f") is None
            _store(folder)
            assert folder.size("h/a/f") == 1
        assert open_fds() == before
    assert n == 12  # open, mkdir, open for each of two folders; then open, write, utime, close, rename


def _store(folder: Folder) -> None:
    folder.write_part("h/a/f", b"x", modified=1.0)
    folder.publish("h/a/f")


def _outcome(folder: Folder) -> JobError | None:
    """Store a file; return how that failed."""
    try:
        _store(folder)
    except JobError as exc:
        return exc
    return None


def test_a_failure_of_cleaning_up_does_not_hide_the_first_one(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full and the .part cannot be removed either: the disk is what is told."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "unlink", refused)
    with largest_file(0), pytest.raises(LocalFailureError) as raised:
        folder.write_part("f", b"x")
    assert raised.value.errno == errno.EFBIG


def test_a_folder_without_permission_ends_the_run(folder: Folder) -> None:
    """With the path and the reason."""
    (folder.root / "h").mkdir(mode=0o555)
    with unprivileged(), pytest.raises(LocalFailureError, match=r"h/f\.part: permission denied") as raised:
        folder.write_part("h/f", b"x")
    assert raised.value.path == str(folder.root / "h/f.part")


@pytest.mark.parametrize("act", [Folder.publish, Folder.remove_part, Folder.size])
def test_an_existing_file_without_permission_ends_the_run(folder: Folder, act: Callable[[Folder, str], object]) -> None:
    """A look that is refused is not the same as a file that is not there."""
    folder.write_part("h/a/f", b"x")
    (folder.root / "h/a").chmod(0o444)
    with unprivileged(), pytest.raises(LocalFailureError, match="permission denied"):
        act(folder, "h/a/f")


def test_times_of_a_part_that_is_gone_cannot_be_set(folder: Folder) -> None:
    """The same error as for publishing it."""
    with pytest.raises(LocalFailureError, match=r"h/f\.part: no such file"):
        folder.set_modified("h/f", 1.0)


def test_a_failed_walk_leaves_no_closed_folder_in_use(tmp_path: Path) -> None:
    """The folder used last is closed to make room on a walk that then fails: it must not be used again."""
    with Folder(tmp_path, max_open=1) as folder:
        folder.write_part("a/f", b"x")
        (tmp_path / "b").mkdir()
        (tmp_path / "b/file").write_bytes(b"")
        with pytest.raises(CollisionError):
            folder.write_part("b/file/f", b"x")
        folder.publish("a/f")
    assert (tmp_path / "a/f").read_bytes() == b"x"


@pytest.mark.parametrize("below", ["", "/deep"])
def test_an_output_folder_that_is_a_file_is_a_mistake_in_the_settings(tmp_path: Path, below: str) -> None:
    """The user chose it, the user must choose another one."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match="is no folder"):
        Folder(Path(f"{tmp_path}/file{below}"))


def test_an_output_folder_that_cannot_be_made_is_a_failure_of_the_machine() -> None:
    """/proc takes no folders, not even from root."""
    with pytest.raises(LocalFailureError, match="/proc/fetchd-test: no such file"):
        Folder(Path("/proc/fetchd-test"))


def test_the_output_folder_may_be_a_link(tmp_path: Path) -> None:
    """That is the user's choice; only what is below it may not."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    with Folder(tmp_path / "out") as folder:
        folder.write_part("f", b"x")
    assert os.listdir(tmp_path / "disk") == ["f.part"]


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    """And a descriptor that has been given to somebody else meanwhile stays open."""
    folder = Folder(tmp_path)
    folder.close()
    other = os.open(tmp_path, os.O_RDONLY)
    folder.close()
    os.fstat(other)
    os.close(other)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EISDIR, errno.ELOOP, errno.EINVAL])
def test_failures_on_a_part_s_descriptor_are_told_in_the_same_words(folder: Folder, code: int) -> None:
    """Who writes to the descriptor has the folder say what an error means."""
    error = folder.failure("h/f", OSError(code, os.strerror(code)))
    assert isinstance(error, JobError)
    assert "h/f: " in str(error)


def test_a_folder_is_empty_until_something_but_the_ledger_is_in_it(folder: Folder) -> None:
    """Asked twice, because a descriptor remembers how far it was read."""
    (folder.root / ".fetchd").mkdir()
    assert folder.is_empty()
    assert folder.is_empty()
    folder.write_part("f", b"x")
    assert not folder.is_empty()
