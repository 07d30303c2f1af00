"""A whole run on a machine that fails it: the n-th call on the disk, for every n; and a disk that is really full."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetchd.crawler.cli.exit_codes import ExitCode
from fetchd.jobs.exceptions import JobError
from fetchd.jobs.ledger import State
from tests.crawler.command import fetchd
from tests.support.failing_calls import KINDS, failing
from tests.support.raw_server import RawConnection, Request, response
from tests.support.runs import files_below, prepare, rows_of, run_lines
from tests.support.sites import Page, Site, broken_off

pytestmark = [pytest.mark.usefixtures("no_leaked_fds"), pytest.mark.slow]

LARGE = random.Random(3).randbytes(1_500_000)
DIGEST = hashlib.sha256(LARGE).hexdigest()
FIELDS = [("ETag", '"v1"'), ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")]
SMALL = {f"/folder/{n}/small": f"content {n}".encode() for n in range(3)}
CONTENTS = {**SMALL, "/large": LARGE, "/hashed": LARGE, "/broken": LARGE}


async def large(conn: RawConnection, request: Request) -> None:
    """The large body, from whatever octet it is asked for."""
    start = int(request.fields.get("Range", "bytes=0-")[6:-1])
    extent = ("Content-Range", f"bytes {start}-{len(LARGE) - 1}/{len(LARGE)}")
    await conn.send(response(206, LARGE[start:], [*FIELDS, extent]) if start else response(200, LARGE, FIELDS))


def pages() -> dict[str, Page]:
    """Bodies of every way to the disk: written at once, spliced, hashed on the way, gone on with."""
    begun = broken_off(response(200, LARGE, FIELDS)[:-500_000])
    small = {target: response(200, content, FIELDS) for target, content in SMALL.items()}
    return {**small, "/large": large, "/hashed": large, "/broken": [begun, large]}


def lines_for(url: str) -> list[str]:
    """A manifest of all pages; what it says of a digest sends that body through our hands."""
    lines = [{"url": url + target} for target in CONTENTS if target != "/hashed"]
    return [json.dumps(line) for line in [*lines, {"url": f"{url}/hashed", "sha256": DIGEST}]]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff takes no time: the jitter gives its lowest value."""
    monkeypatch.setattr("random.random", lambda: 0.0)


async def fail_and_go_on(folder: Path, kind: str, fail_at: int, code: int) -> bool:
    """Run with one call that fails, look at everything, run again; return whether the call was made."""
    folder.mkdir()
    site = Site(pages())
    async with site.serve() as server:
        lines = lines_for(server.url(""))
        running, ran = prepare(folder, lines, concurrency=3, durability="power", retries=2)
        told = None
        with failing(kind, fail_at, code) as calls:
            try:
                ran.summary = await running.execute()
                told = ran.summary.local_failure
                ran.check()
            except JobError as exc:
                told = str(exc)
        if told is not None:
            assert str(folder) in told, told
            assert os.strerror(code).lower() in told, told
        if calls.failed and told is None:
            # A call that the run can do without: the time of a file's change, the note of how far it is.
            assert ran.summary.done + ran.summary.failed == len(CONTENTS)
        _check_what_is_there(folder)
        done = {outcome.item.url for outcome in ran.outcomes if outcome.result == "done"}
        asked = dict(site.asked)
        again = await run_lines(folder, lines, retries=2)
        assert again.summary.done + again.summary.skipped == len(CONTENTS), again.results
        assert all(site.asked[target] == asked[target] for target in CONTENTS if server.url(target) in done)
        expected = {f"127.0.0.1+{server.port}{target}": content for target, content in CONTENTS.items()}
        assert files_below(folder / "out") == expected
        assert {row.state for row in rows_of(folder)} == {State.DONE}
    return calls.failed


def _check_what_is_there(folder: Path) -> None:
    """What has a name is whole and right; what the ledger calls done has its name."""
    files = {path: content for path, content in files_below(folder / "out").items() if not path.endswith(".part")}
    assert all(content == CONTENTS[path[path.index("/") :]] for path, content in files.items()), list(files)
    try:
        done = {row.path for row in rows_of(folder, [State.DONE])}
    except JobError:
        return  # it failed before the ledger had its tables
    assert done <= set(files)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", KINDS)
async def test_whichever_system_call_fails_the_run_ends_in_order_and_the_next_completes_it(
    tmp_path: Path, at_once: None, kind: str
) -> None:
    """The n-th one, for the first eight, and from there in steps; until the run has no such call any more."""
    n, made = 0, True
    while made:
        n += 1 if n < 8 else 7
        made = await fail_and_go_on(tmp_path / str(n), kind, n, errno.ENOSPC)
    assert n > 3


@pytest.mark.soak
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
@pytest.mark.parametrize("kind", KINDS)
async def test_every_single_system_call_may_fail(tmp_path: Path, at_once: None, kind: str, code: int) -> None:
    """The n-th one, for n = 1, 2, 3 ... until the run has no such call any more."""
    n = 1
    while await fail_and_go_on(tmp_path / str(n), kind, n, code):
        shutil.rmtree(tmp_path / str(n))
        n += 1
    assert n > 3


class SmallDisk:
    """A disk of its own, in memory.

    Attributes:
        root: Where it is mounted.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def resize(self, kibibytes: int, *, mounted: bool = True) -> None:
        """Give it another size.

        Raises:
            subprocess.CalledProcessError: The system does not let us.
        """
        options = f"size={kibibytes}k,mode=755"
        how = ["-o", f"remount,{options}"] if mounted else ["-t", "tmpfs", "-o", options, "none"]
        subprocess.run(["mount", *how, self.root], check=True, capture_output=True, text=True)

    def close(self) -> None:
        """Give it back."""
        subprocess.run(["umount", self.root], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk to be filled; only root may mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = SmallDisk(tmp_path / "disk")
    disk.root.mkdir()
    try:
        disk.resize(64, mounted=False)
    except subprocess.CalledProcessError as exc:
        pytest.skip(f"no small disk can be mounted here: {exc.stderr.strip()}")
    try:
        yield disk
    finally:
        disk.close()


@pytest.mark.parametrize(
    ("kibibytes", "durability"),
    [(8, "process"), (160, "process"), (1000, "process"), (2500, "process"), (2500, "power"), (4400, "process")],
)
async def test_a_full_disk_ends_the_command_with_3_and_it_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: SmallDisk, kibibytes: int, durability: str
) -> None:
    """Whatever the disk had room for: not even the ledger, small files, a part of a large one, nearly all."""
    small_disk.resize(kibibytes)
    site = Site(pages())
    async with site.serve() as server:
        manifest = tmp_path / "list.jsonl"
        manifest.write_text("".join(f"{line}\n" for line in lines_for(server.url(""))))
        output = str(small_disk.root / "out")
        command = ["run", str(manifest), "-o", output, "--durability", durability, "-j", "2"]
        full = await fetchd(*command)
        assert full.code == ExitCode.LOCAL_FAILURE, full.err
        assert [line for line in full.lines if "no space left on device" in line], full.err
        _check_what_is_there(small_disk.root)
        small_disk.resize(16_384)
        assert (await fetchd(*command)).code == ExitCode.DONE
        expected = {f"127.0.0.1+{server.port}{target}": content for target, content in CONTENTS.items()}
    assert files_below(small_disk.root / "out") == expected
    assert {row.state for row in rows_of(small_disk.root)} == {State.DONE}
    if kibibytes >= 2500:
        assert [request for request in server.requests if "If-Range" in request.fields], "nothing was gone on with"
