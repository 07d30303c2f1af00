"""Manifests: which lines they have, and reading them as they come, beside the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.exceptions import ManifestError
from fetchd.jobs.manifests import (
    MAX_LINE_BYTES,
    STANDARD_INPUT,
    BadLine,
    Batch,
    Line,
    ManifestSource,
    open_manifest,
    plain_lines,
)
from fetchd.jobs.manifests.lines import BATCH_LINES, MAX_SHOWN
from tests.support.local_failures import unprivileged

_AHEAD = 4


def lines_of(*chunks: bytes) -> Batch:
    """All lines, batches joined."""
    return [line for batch in plain_lines(chunks) for line in batch]


# Which lines a manifest has


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (b"", []),
        (b"\n\r\n \t\n", []),
        (b"http://h/a\nhttp://h/b\n", [(1, "http://h/a"), (2, "http://h/b")]),
        (b"http://h/a\nhttp://h/b", [(1, "http://h/a"), (2, "http://h/b")]),
        (b"http://h/a\r\nhttp://h/b\r\n", [(1, "http://h/a"), (2, "http://h/b")]),
        (b"http://h/a\r", [(1, "http://h/a")]),
        (b"  http://h/a \t\n", [(1, "http://h/a")]),
        (b"# about\nhttp://h/a\n\n  # more\nhttp://h/b\n", [(2, "http://h/a"), (5, "http://h/b")]),
        (b"http://h/a#part\n", [(1, "http://h/a#part")]),
        (b"\xef\xbb\xbfhttp://h/a\n", [(1, "http://h/a")]),
        (b"\xef\xbb\xbf# about\nhttp://h/a\n", [(2, "http://h/a")]),
        (b"\xef\xbb\xbf", []),
        ("http://h/é\nhttp://日本/\n".encode(), [(1, "http://h/é"), (2, "http://日本/")]),
        (b"http://h/a\rhttp://h/b\n", [(1, "http://h/a\rhttp://h/b")]),
        (b"no URL at all\n", [(1, "no URL at all")]),
        ("\N{NO-BREAK SPACE}http://h/a\x1c\n".encode(), [(1, "\N{NO-BREAK SPACE}http://h/a\x1c")]),
    ],
)
def test_a_plain_manifest_has_a_url_a_line(manifest: bytes, expected: list[tuple[int, str]]) -> None:
    """Numbered as an editor does; blank lines and comments count and are no items."""
    assert lines_of(manifest) == [Line(number, url) for number, url in expected]


@pytest.mark.parametrize(
    ("line", "text", "reason"),
    [
        (b"http://h/\xff\xfe", r"http://h/\xff\xfe", "not UTF-8 at octet 10; expected UTF-8 text"),
        (b"h\0t\0", r"h\x00t\x00", "NUL in the line; expected UTF-8 text (is it UTF-16?)"),
        (b"http://me:secret@h/\xff", r"http://h/\xff", "not UTF-8 at octet 20; expected UTF-8 text"),
        (b"\x1b[2J\xff", r"\x1b[2J\xff", "not UTF-8 at octet 5; expected UTF-8 text"),
        (b"x" * 65_537, "x" * 200, "longer than 65536 octets"),
        (b" " * 65_537, "", "longer than 65536 octets"),
        (b"http://me:" + b"s" * 70_000 + b"@h/", "http://...", "longer than 65536 octets"),
        (b"//" + b"s" * 70_000, "//...", "longer than 65536 octets"),
        (b"http://h/" + b"s" * 70_000, "http://h/" + "s" * 191, "longer than 65536 octets"),
    ],
)
def test_a_line_that_cannot_be_a_url_is_an_outcome_of_its_own(line: bytes, text: str, reason: str) -> None:
    """The others are read on; what is shown of it is harmless and holds no password."""
    before, bad, after = lines_of(b"http://h/a\n" + line + b"\nhttp://h/b\n")
    assert (before, after) == (Line(1, "http://h/a"), Line(3, "http://h/b"))
    assert bad == BadLine(2, text, reason)


@pytest.mark.parametrize("end", [b"\n", b"", b"\r\n"])
def test_the_longest_line_is_taken_and_one_octet_more_is_not(end: bytes) -> None:
    """The limit counts the octets before the LF, a CR too."""
    longest = b"h" * (MAX_LINE_BYTES - len(end.rstrip(b"\n")))
    assert lines_of(longest + end) == [Line(1, longest.decode())]
    assert [type(line) for line in lines_of(b"h" + longest + end)] == [BadLine]


def test_a_comment_may_be_as_long_as_it_likes() -> None:
    """It is no item, whatever its length."""
    assert lines_of(b"  #" + b"x" * 1_000_000 + b"\nhttp://h/a") == [Line(2, "http://h/a")]


_PIECES = st.sampled_from(
    [b"http://h/a", b"\n", b"\r\n", b"\r", b"#", b" ", b"\0", b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf", b"//"]
) | st.sampled_from([b"x" * (MAX_LINE_BYTES - 1), b" " * (MAX_LINE_BYTES + 1), b"\n" * 600, b"u\n" * 600])
_MANIFESTS = st.lists(_PIECES, max_size=12).map(b"".join)


@given(_MANIFESTS, st.lists(st.integers(0, 300_000), max_size=8))
def test_how_the_octets_are_cut_changes_nothing(manifest: bytes, cuts: list[int]) -> None:
    """Any chunks give the lines of the whole."""
    places = sorted({min(cut, len(manifest)) for cut in cuts})
    chunks = [manifest[a:b] for a, b in zip([0, *places], [*places, len(manifest)], strict=True)]
    assert lines_of(*chunks) == lines_of(manifest)


def test_one_octet_at_a_time_is_read_in_linear_time() -> None:
    """A line of the longest kind, typed: no copy of it with each octet."""
    line = b"http://h/" + b"a" * (MAX_LINE_BYTES - 9)
    octets = (line[i : i + 1] for i in range(len(line)))
    assert [type(line) for batch in plain_lines(octets) for line in batch] == [Line]


@given(_MANIFESTS)
def test_each_line_is_accounted_for_once(manifest: bytes) -> None:
    """Numbers rise; what is missing is blank or a comment; batches are neither empty nor too long."""
    batches = list(plain_lines([manifest]))
    numbers = [line.number for batch in batches for line in batch]
    assert all(1 <= len(batch) <= BATCH_LINES for batch in batches)
    assert numbers == sorted(set(numbers))
    for number, line in enumerate(manifest.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        is_item = bool(line.strip(b" \t\r\v\f")) and not line.lstrip(b" \t\r\v\f").startswith(b"#")
        if len(line) < MAX_LINE_BYTES:
            assert (number in numbers) == is_item


@given(st.binary(max_size=400))
def test_what_is_shown_of_a_bad_line_can_be_shown(octets: bytes) -> None:
    """Visible characters only, not too many."""
    for line in lines_of(octets + b"\0"):
        assert not isinstance(line, BadLine) or (line.text.isprintable() and len(line.text) <= MAX_SHOWN)


@pytest.mark.slow
@pytest.mark.parametrize("piece", [b"x" * 65_536, b"http://h/a\n" * 6_000])
def test_memory_is_bounded_however_long_the_manifest_is(piece: bytes) -> None:
    """One line without an end, or very many of them."""

    def read(chunks: int) -> int:
        tracemalloc.start()
        for _ in plain_lines(piece for _ in range(chunks)):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    few = read(3)
    assert few < 3_000_000
    assert read(30) < few + 200_000


# Reading it beside the loop


def manifest_threads() -> list[threading.Thread]:
    """The threads that read manifests."""
    return [thread for thread in threading.enumerate() if thread.name == "fetchd-manifest"]


@pytest.fixture(autouse=True)
async def no_thread_left() -> AsyncIterator[None]:
    """Each thread ends with its source."""
    yield
    for thread in manifest_threads():
        await asyncio.to_thread(thread.join)


@pytest.fixture
def pipe(no_leaked_fds: None) -> Iterator[tuple[int, int]]:
    """The two ends of a pipe."""
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            pass  # the test has closed it


async def read_all(source: ManifestSource) -> Batch:
    """Read to the end and close."""
    async with source:
        return [line async for batch in source for line in batch]


async def test_a_file_is_read_to_its_end(tmp_path: Path, no_leaked_fds: None) -> None:
    """All of its lines, then the end, and the source knows it."""
    path = tmp_path / "list.txt"
    path.write_text("".join(f"http://h/{n}\n" for n in range(20_000)))
    source = open_manifest(str(path))
    assert not source.eof_seen
    lines = await read_all(source)
    assert lines == [Line(n + 1, f"http://h/{n}") for n in range(20_000)]
    assert (source.lines_read, source.eof_seen) == (20_000, True)


async def test_an_empty_file_ends_at_once(tmp_path: Path, no_leaked_fds: None) -> None:
    """And counts as read."""
    (tmp_path / "list.txt").touch()
    source = open_manifest(str(tmp_path / "list.txt"))
    assert await read_all(source) == []
    assert (source.lines_read, source.eof_seen) == (0, True)


async def test_a_line_is_delivered_before_the_next_one_arrives(pipe: tuple[int, int]) -> None:
    """A program that writes a URL and waits for its file is served."""
    reader, writer = pipe
    async with ManifestSource(reader, "-", plain_lines) as source:
        for number in range(1, 4):
            os.write(writer, b"http://h/a\n")
            assert await anext(source) == [Line(number, "http://h/a")]
            assert (source.lines_read, source.eof_seen) == (number, False)
        os.write(writer, b"http://h/last")
        os.close(writer)
        assert await anext(source) == [Line(4, "http://h/last")]
        assert [batch async for batch in source] == []
        assert source.eof_seen


async def test_standard_input_is_read_and_left_open(pipe: tuple[int, int]) -> None:
    """It is the process's, not ours."""
    reader, writer = pipe
    os.write(writer, b"http://h/a\n")
    os.close(writer)
    kept = os.dup(0)
    os.dup2(reader, 0)
    try:
        assert await read_all(open_manifest(STANDARD_INPUT)) == [Line(1, "http://h/a")]
        assert os.read(0, 1) == b""
    finally:
        os.dup2(kept, 0)
        os.close(kept)


async def test_standard_input_that_is_closed_or_a_folder_is_refused(tmp_path: Path) -> None:
    """As a manifest that cannot be read."""
    kept = os.dup(0)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        os.close(0)
        with pytest.raises(ManifestError, match="cannot read manifest standard input: bad file descriptor"):
            open_manifest(STANDARD_INPUT)
        os.dup2(folder, 0)
        with pytest.raises(ManifestError, match="standard input: it is a folder"):
            open_manifest(STANDARD_INPUT)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(folder)


async def test_a_named_pipe_is_read_when_its_writer_comes(tmp_path: Path, no_leaked_fds: None) -> None:
    """Opening it does not wait, and no writer yet is not the end."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    async with open_manifest(str(path)) as source:
        first = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0)
        writer = await asyncio.to_thread(os.open, path, os.O_WRONLY)
        os.write(writer, b"http://h/a\n")
        assert await first == [Line(1, "http://h/a")]
        os.close(writer)
        assert [batch async for batch in source] == []


async def test_closing_does_not_wait_for_what_nobody_types(pipe: tuple[int, int]) -> None:
    """The reader's thread ends, whoever waited gets the end, and no octet is taken any more."""
    reader, writer = pipe
    source = ManifestSource(reader, "-", plain_lines, close_fd=False)
    waiting = asyncio.ensure_future(anext(source, None))
    await asyncio.sleep(0)
    assert len(manifest_threads()) == 1
    await source.aclose()
    assert await waiting is None
    os.write(writer, b"for somebody else")
    assert os.read(reader, 100) == b"for somebody else"
    assert not source.eof_seen
    assert await anext(source, None) is None


async def test_closing_drops_what_was_read_ahead(tmp_path: Path, no_leaked_fds: None) -> None:
    """What was not handed out is unread, also when the thread had come to the end."""
    path = tmp_path / "list.txt"
    path.write_bytes(b"http://h/a\n" * (2 * BATCH_LINES))
    source = open_manifest(str(path))
    await anext(source)
    for thread in manifest_threads():
        await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)
    await source.aclose()
    assert (source.eof_seen, source.lines_read) == (False, BATCH_LINES)
    assert [batch async for batch in source] == []


async def test_what_arrives_after_closing_is_dropped(pipe: tuple[int, int]) -> None:
    """The thread had handed it over, and the loop had not come to it."""
    reader, writer = pipe
    os.write(writer, b"http://h/a\n")
    os.close(writer)
    source = ManifestSource(reader, "-", plain_lines)
    waiting = asyncio.ensure_future(anext(source, None))
    await asyncio.sleep(0)
    for thread in manifest_threads():
        thread.join()
    await source.aclose()
    assert await waiting is None
    assert not source.eof_seen


async def test_closing_before_the_first_batch_and_closing_twice(tmp_path: Path, no_leaked_fds: None) -> None:
    """Nothing is left open, and a descriptor given to somebody else meanwhile stays so."""
    (tmp_path / "list.txt").touch()
    source = open_manifest(str(tmp_path / "list.txt"))
    await source.aclose()
    other = os.open(tmp_path, os.O_RDONLY)
    await source.aclose()
    os.fstat(other)
    os.close(other)
    await ManifestSource(-1, "never opened", plain_lines, close_fd=False).aclose()


async def test_no_more_than_a_few_batches_are_read_ahead(pipe: tuple[int, int]) -> None:
    """A manifest of any length costs the memory of those."""
    made = 0

    def counting(chunks: Iterable[bytes]) -> Iterator[Batch]:
        nonlocal made
        for _ in range(200):
            made += 1
            yield [Line(made, "http://h/a")]

    taken = 0
    async with ManifestSource(pipe[0], "-", counting, close_fd=False) as source:
        async for _ in source:
            taken += 1
            assert made <= taken + _AHEAD + 1  # one more is made and waits for room
    assert taken == 200


async def test_a_reader_that_waits_for_room_is_stopped_too(pipe: tuple[int, int]) -> None:
    """Closing ends the thread wherever it stands."""

    def endless(chunks: Iterable[bytes]) -> Iterator[Batch]:
        while True:
            yield [Line(1, "http://h/a")]

    async with ManifestSource(pipe[0], "-", endless, close_fd=False) as source:
        await anext(source)
    for thread in manifest_threads():
        await asyncio.to_thread(thread.join)


async def test_cancelling_a_wait_loses_no_line(pipe: tuple[int, int]) -> None:
    """The next one who asks gets it."""
    reader, writer = pipe
    async with ManifestSource(reader, "-", plain_lines) as source:
        waiting = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        os.write(writer, b"http://h/a\n")
        assert await anext(source) == [Line(1, "http://h/a")]


async def test_two_tasks_on_one_manifest_are_told_apart(pipe: tuple[int, int]) -> None:
    """A mistake that would share out the lines by chance."""
    async with ManifestSource(pipe[0], "-", plain_lines) as source:
        waiting = asyncio.ensure_future(anext(source, None))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="two tasks"):
            await anext(source)
        await source.aclose()
        assert await waiting is None


async def test_somebody_else_who_reads_from_the_same_pipe_is_no_end(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The octets that poll has promised may be gone."""
    reader, writer = pipe
    read, calls = os.read, 0

    def read_by_another(fd: int, count: int) -> bytes:
        nonlocal calls
        calls += fd == reader
        if fd == reader and calls == 1:
            raise BlockingIOError
        return read(fd, count)

    monkeypatch.setattr(os, "read", read_by_another)
    os.write(writer, b"http://h/a\n")
    async with ManifestSource(reader, "-", plain_lines) as source:
        assert await anext(source) == [Line(1, "http://h/a")]
    assert calls == 2


async def test_a_loop_that_ends_without_closing_ends_the_thread_at_its_next_line() -> None:
    """Nobody is left to read; the thread closes what it holds."""
    reader, writer = os.pipe()

    async def anext_of(source: ManifestSource) -> None:
        await anext(source)

    def run_and_write() -> None:
        source = ManifestSource(reader, "-", plain_lines)
        os.write(writer, b"http://h/a\n")
        asyncio.run(anext_of(source))
        os.write(writer, b"http://h/b\n")
        for thread in manifest_threads():
            thread.join()
        assert source._reader is not None
        os.close(source._reader._stop_writer)  # what aclose would have done

    await asyncio.to_thread(run_and_write)
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"nobody reads")
    os.close(writer)


# What cannot be read


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.txt", "no such file or directory"),
        ("", "no such file or directory"),
        (".", "it is a folder; expected a file"),
        ("nul\0.txt", "no name for a file"),
    ],
)
def test_a_manifest_that_is_not_there_is_told_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    """Before anything is started for it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ManifestError) as raised:
        open_manifest(name)
    assert (raised.value.path, raised.value.reason) == (name, reason)


def test_a_manifest_without_permission_is_told_when_it_is_opened(tmp_path: Path) -> None:
    """The system's own words."""
    path = tmp_path / "list.txt"
    path.touch(mode=0)
    with unprivileged(), pytest.raises(ManifestError, match="permission denied"):
        open_manifest(str(path))


async def test_a_read_that_fails_is_told_after_the_lines_before_it(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that breaks in mid-manifest: what was read is fetched, and the run knows that there was more."""
    reader, writer = pipe
    os.write(writer, b"http://h/a\nhttp://h/b")
    read, calls = os.read, 0

    def broken(fd: int, count: int) -> bytes:
        nonlocal calls
        calls += fd == reader
        if fd == reader and calls == 2:
            raise OSError(5, "Input/output error")
        return read(fd, count)

    monkeypatch.setattr(os, "read", broken)
    async with ManifestSource(reader, "list.txt", plain_lines) as source:
        assert await anext(source) == [Line(1, "http://h/a")]
        os.write(writer, b"more")
        for _ in range(2):
            with pytest.raises(ManifestError, match=r"list\.txt: input/output error"):
                await anext(source)
        assert not source.eof_seen


async def test_a_manifest_that_the_system_cannot_read_is_told(no_leaked_fds: None) -> None:
    """/proc/self/mem opens and gives no octet at offset 0: a real error of a real file."""
    with pytest.raises(ManifestError, match="/proc/self/mem: input/output error"):
        await read_all(open_manifest("/proc/self/mem"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_parser_that_breaks_down_is_not_the_end_of_the_manifest(pipe: tuple[int, int]) -> None:
    """A fault of ours must not look like a manifest that was read to its end."""

    def broken(chunks: Iterable[bytes]) -> Iterator[Batch]:
        yield [Line(1, "http://h/a")]
        raise ZeroDivisionError

    async with ManifestSource(os.dup(pipe[0]), "-", broken) as source:
        await anext(source)
        with pytest.raises(ManifestError, match="the parser broke down"):
            await anext(source)
        assert not source.eof_seen
    # The thread tells of the fault when the source is closed already; that belongs to this test and to no later one.
    for thread in threading.enumerate():
        if thread.name == "fetchd-manifest":
            thread.join()


@pytest.mark.slow
async def test_closing_leaves_a_thread_that_hangs_in_a_read_behind(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network disk may hold a read for minutes; the run's end does not wait for it."""
    let_go = threading.Event()

    def hanging(chunks: Iterable[bytes]) -> Iterator[Batch]:
        let_go.wait()
        yield [Line(1, "http://h/a")]

    monkeypatch.setattr("fetchd.jobs.manifests.source._STOP_SECONDS", 0.01)
    source = ManifestSource(pipe[0], "-", hanging, close_fd=False)
    waiting = asyncio.ensure_future(anext(source, None))
    await asyncio.sleep(0)
    await source.aclose()
    assert await waiting is None
    assert len(manifest_threads()) == 1
    let_go.set()
