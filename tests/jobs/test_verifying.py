"""``verifying.py``: files are held to what the ledger says of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fetchd.jobs.checksums import Hashes, spelled
from fetchd.jobs.failures import FailureClass
from fetchd.jobs.ledger import Row, State
from fetchd.jobs.sinks import Folder
from fetchd.jobs.verifying import Compared, Verified, hash_file, verify

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

CONTENT = b"octets"
DIGEST = spelled(("sha256", hashlib.sha256(CONTENT).digest()))


def row(name: str, digest: str | None = DIGEST) -> Row:
    """A file that is done."""
    return Row(f"http://h/{name}", f"h/{name}", State.DONE, size=len(CONTENT), digest=digest)


def verified(tmp_path: Path, rows: list[Row], threads: int = 2) -> list[Verified]:
    """What became of *rows*."""
    with Folder(tmp_path) as folder:
        return list(verify(rows, folder, threads))


def write(tmp_path: Path, name: str, content: bytes = CONTENT) -> None:
    """Make a file."""
    path = tmp_path / "h" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_file_is_held_to_its_digest_or_to_its_size(tmp_path: Path) -> None:
    """And it is said which."""
    write(tmp_path, "good")
    write(tmp_path, "changed", b"0ctets")
    found = verified(tmp_path, [row("good"), row("good", None), row("changed"), row("changed", None)])
    assert [(each.compared, each.failure_class) for each in found] == [
        (Compared.DIGEST, None),
        (Compared.SIZE, None),
        (Compared.DIGEST, FailureClass.CHECKSUM),
        (Compared.SIZE, None),
    ]
    assert found[2].problem == f"sha256 is {hashlib.sha256(b'0ctets').hexdigest()}; expected {DIGEST[7:]}"


def test_a_digest_of_an_unknown_kind_leaves_the_size(tmp_path: Path) -> None:
    """Written by a later version."""
    write(tmp_path, "a")
    assert verified(tmp_path, [row("a", "sha9:00")])[0].compared is Compared.SIZE


def test_what_is_gone_or_of_another_size_is_bad(tmp_path: Path) -> None:
    """No link is followed, and no pipe waited for."""
    write(tmp_path, "short", b"oct")
    (tmp_path / "h" / "link").symlink_to("/etc/passwd")
    (tmp_path / "h" / "folder").mkdir()
    os.mkfifo(tmp_path / "h" / "pipe")
    (tmp_path / "k").symlink_to(tmp_path / "h")
    names = ["short", "gone", "link", "folder", "pipe"]
    rows = [*(row(name) for name in names), Row("http://k/short", "k/short", State.DONE, size=3)]
    found = verified(tmp_path, rows)
    assert [each.failure_class for each in found] == ["size", "disk", "disk", "disk", "disk", "disk"]
    assert found[0].problem == "3 octets; expected 6"


def test_many_files_are_hashed_in_order_and_none_stays_open(tmp_path: Path) -> None:
    """More than are ahead at a time, and a caller that stops early."""
    names = [f"{number:03}" for number in range(100)]
    for name in names:
        write(tmp_path, name)
    found = verified(tmp_path, [row(name) for name in names], threads=3)
    assert [each.row.path for each in found] == [f"h/{name}" for name in names]
    assert all(each.compared is Compared.DIGEST and each.failure_class is None for each in found)
    with Folder(tmp_path) as folder:
        begun = verify([row(name) for name in names], folder, 3)
        next(begun)
        begun.close()  # type: ignore[attr-defined]


def test_a_part_of_a_file_is_hashed_from_where_the_hash_stands(tmp_path: Path) -> None:
    """What is on disk already is taken in pieces, to an end that is given."""
    content = os.urandom(3 << 20)
    write(tmp_path, "large", content)
    fd = os.open(tmp_path / "h" / "large", os.O_RDONLY)
    try:
        hashes = Hashes(["sha1"])
        hashes.update(content[:1000])
        hash_file(fd, hashes, (2 << 20) + 7)
        assert hashes.digest("sha1")[1] == hashlib.sha1(content[: (2 << 20) + 7]).digest()
        hash_file(fd, hashes)
        assert hashes.digest("sha1")[1] == hashlib.sha1(content).digest()
    finally:
        os.close(fd)
