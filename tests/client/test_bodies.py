"""Bodies: each kind of ``data=`` with its octets, its length, and whether it can be sent again."""

from __future__ import annotations

import array
import asyncio
import bz2
import gzip
import io
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiofiles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict, MultiDictProxy

from fetchd.client.bodies import Body, BytesBody, Data, StreamBody, as_body, json_body
from fetchd.client.buffers import Buffer
from fetchd.client.exceptions import ClientPayloadError, StreamConsumedError
from fetchd.client.formdata import FormData
from fetchd.client.limits import FILE_READ_BYTES, HIGH_WATER_BYTES, SAVE_BUFFER_BYTES
from fetchd.client.streams import StreamReader

OCTETS = "application/octet-stream"
LARGE = bytes(range(256)) * (FILE_READ_BYTES // 128) + b"end"


async def octets_of(body: Body, largest: int | None = None) -> bytes:
    pieces = [piece async for piece in body.pieces()]
    assert all(type(piece) is bytes for piece in pieces)
    assert largest is None or all(len(piece) <= largest for piece in pieces)
    return b"".join(pieces)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "large"
    file.write_bytes(LARGE)
    return file


# In memory


@pytest.mark.parametrize(
    ("data", "octets", "content_type"),
    [
        (b"abc", b"abc", OCTETS),
        (bytearray(b"abc"), b"abc", OCTETS),
        (memoryview(b"abc"), b"abc", OCTETS),
        (b"", b"", OCTETS),
        ("\xe9\u20ac", b"\xc3\xa9\xe2\x82\xac", "text/plain; charset=utf-8"),
        ("", b"", "text/plain; charset=utf-8"),
        ({"k": "v w", "n": 1, "f": 2.5}, b"k=v+w&n=1&f=2.5", "application/x-www-form-urlencoded"),
        ([("k", "1"), ["k", "2"]], b"k=1&k=2", "application/x-www-form-urlencoded"),
        (MultiDict([("k", "1"), ("k", "2")]), b"k=1&k=2", "application/x-www-form-urlencoded"),
        (MultiDictProxy(MultiDict([("k", "&=")])), b"k=%26%3D", "application/x-www-form-urlencoded"),
        ({"\xe9": "\u20ac"}, b"%C3%A9=%E2%82%AC", "application/x-www-form-urlencoded"),
        ({}, b"", "application/x-www-form-urlencoded"),
        ((pair for pair in [("k", "v")]), b"k=v", "application/x-www-form-urlencoded"),
        (FormData({"k": "v"}), b"k=v", "application/x-www-form-urlencoded"),
        (FormData({"k": "\xe9"}, charset="latin-1"), b"k=%E9", "application/x-www-form-urlencoded; charset=latin-1"),
        (memoryview(array.array("H", [0x6261, 0x6463])), b"abcd", OCTETS),
    ],
)
async def test_what_is_in_memory_is_sent_whole_and_can_be_sent_again(
    data: Data, octets: bytes, content_type: str
) -> None:
    body = as_body(data)
    assert isinstance(body, BytesBody)
    assert (body.length, body.content_type, body.is_replayable) == (len(octets), content_type, True)
    for _ in range(2):
        assert await octets_of(body) == body.data == octets


async def test_octets_that_change_later_are_sent_as_they_were_given() -> None:
    data = bytearray(b"abc")
    body = as_body(data)
    data[:] = b"xyz"
    assert await octets_of(body) == b"abc"


async def test_a_value_becomes_json() -> None:
    body = json_body({"a": [1, None, "\xe9"]})
    assert (body.data, body.content_type) == (b'{"a": [1, null, "\\u00e9"]}', "application/json")
    assert json_body(None).data == b"null"
    assert json_body({"a": 1}, dumps=lambda value: "\xe9").data == b"\xc3\xa9"


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=4))
def test_a_form_is_read_back_as_it_was_given(pairs: list[tuple[str, str]]) -> None:
    try:
        body = as_body(pairs)
    except UnicodeEncodeError:
        assert any(0xD800 <= ord(char) <= 0xDFFF for pair in pairs for text in pair for char in text)
        return
    assert isinstance(body, BytesBody)
    assert parse_qsl(body.data.decode("ascii"), keep_blank_values=True) == pairs


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (5, "data= cannot be int; expected octets, text, a form, a file or an iterable"),
        (None, "data= cannot be NoneType; expected octets, text, a form, a file or an iterable"),
        (object(), "data= cannot be object; expected octets, text, a form, a file or an iterable"),
        ({"k": None}, "form field 'k' must be text, a number, octets or a file, not NoneType"),
        ({"k": True}, "form field 'k' must be text, a number, octets or a file, not bool"),
        ({1: "v"}, "a form is a mapping, or pairs of a name and a value; seen tuple"),
        ([b"ab", b"cd"], "a form is a mapping, or pairs of a name and a value; seen bytes"),
        (["ab", "cd"], "a form is a mapping, or pairs of a name and a value; seen str"),
        ([1, 2], "a form is a mapping, or pairs of a name and a value; seen int"),
        ([("k", "v", "w")], "a form is a mapping, or pairs of a name and a value; seen tuple"),
        (io.StringIO("text"), "the file given as data= was opened as text; open it with mode 'rb'"),
    ],
)
def test_what_is_no_body_is_refused(data: Any, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        as_body(data)
    assert str(caught.value) == told


# Files


def in_memory(path: Path) -> Any:
    return io.BytesIO(path.read_bytes())


def buffered(path: Path) -> Any:
    return path.open("rb")


def unbuffered(path: Path) -> Any:
    return path.open("rb", buffering=0)


def for_update(path: Path) -> Any:
    return path.open("r+b")


def named_temporary(path: Path) -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115  # closed by who asks for it
    file.write(path.read_bytes())
    file.seek(0)
    return file


FILES: Mapping[str, Callable[[Path], Any]] = {
    open_.__name__: open_ for open_ in (in_memory, buffered, unbuffered, for_update, named_temporary)
}


@pytest.mark.parametrize("open_", FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("start", [0, 3, len(LARGE) - 1, len(LARGE), len(LARGE) + 5])
async def test_a_file_is_sent_from_where_it_stands_and_can_be_sent_again(
    open_: Callable[[Path], Any], path: Path, start: int
) -> None:
    with open_(path) as file:
        if start == 3:
            file.read(3)  # what is buffered stands further on
        else:
            file.seek(start)
        body = as_body(file)
        assert (body.length, body.content_type, body.is_replayable) == (len(LARGE[start:]), OCTETS, True)
        assert file.tell() == start, "to measure is not to move"
        for _ in range(2):
            assert await octets_of(body, FILE_READ_BYTES) == LARGE[start:]


async def test_what_is_written_and_not_flushed_counts(tmp_path: Path) -> None:
    with (tmp_path / "new").open("w+b") as file:
        file.write(b"abc")
        file.write(b"def")
        file.seek(1)
        file.write(b"B")
        body = as_body(file)
        assert body.length == 4
        assert await octets_of(body) == b"cdef"


@pytest.mark.parametrize("open_", [gzip.open, bz2.open], ids=["gzip", "bz2"])
async def test_the_length_of_a_decoding_file_is_not_that_of_its_descriptor(
    open_: Callable[..., Any], tmp_path: Path
) -> None:
    """The descriptor tells how long the coded octets are; content would be cut off there."""
    path = tmp_path / "coded"
    with open_(path, "wb") as file:
        file.write(LARGE)
    with open_(path, "rb") as file:
        for wrapped in (file, io.BufferedReader(file)):
            wrapped.seek(3)
            body = as_body(wrapped)
            assert body.length is None
            assert body.is_replayable
            for _ in range(2):
                assert await octets_of(body, FILE_READ_BYTES) == LARGE[3:]


class OnlyRead:
    """The least that is a file."""

    def __init__(self, data: Any) -> None:
        self._file = data

    def read(self, size: int) -> Any:
        """See ``io.RawIOBase``."""
        return self._file.read(size)


async def test_a_file_that_cannot_seek_is_sent_once_and_its_length_is_not_known() -> None:
    body = as_body(OnlyRead(io.BytesIO(LARGE)))  # type: ignore[arg-type]  # no IO[bytes], but it reads octets
    assert (body.length, body.is_replayable) == (None, False)
    assert await octets_of(body, FILE_READ_BYTES) == LARGE

    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        body = as_body(file)
        assert (body.length, body.is_replayable) == (None, False)
        assert await octets_of(body) == b"through a pipe"


@pytest.mark.parametrize("open_", [in_memory, for_update])
async def test_of_a_file_that_grows_as_much_is_sent_as_was_announced(open_: Callable[[Path], Any], path: Path) -> None:
    with open_(path) as file:
        body = as_body(file)
        file.seek(0, io.SEEK_END)
        file.write(b"more")
        assert body.length == len(LARGE)
        assert await octets_of(body) == LARGE


@pytest.mark.parametrize("open_", [in_memory, for_update])
@pytest.mark.parametrize("size", [0, FILE_READ_BYTES, FILE_READ_BYTES + 1])
async def test_a_file_that_shrinks_gives_fewer_octets_than_announced(
    open_: Callable[[Path], Any], path: Path, size: int
) -> None:
    """Who sends it sees that some are missing; it must not wait for them."""
    with open_(path) as file:
        body = as_body(file)
        file.truncate(size)
        assert body.length == len(LARGE)
        assert await octets_of(body) == LARGE[:size]


def test_a_text_file_is_refused(path: Path) -> None:
    with path.open(encoding="latin-1") as file, pytest.raises(TypeError, match="opened as text"):
        as_body(file)  # type: ignore[arg-type]  # what must be refused


async def test_a_file_that_gives_text_is_refused_when_it_does() -> None:
    body = as_body(OnlyRead(io.StringIO("text")))  # type: ignore[arg-type]  # what must be refused
    with pytest.raises(TypeError, match="gave str, not bytes; open it with mode 'rb'"):
        await octets_of(body)


# Files of aiofiles


async def test_an_asynchronous_file_is_sent_whole_and_can_be_sent_again(path: Path) -> None:
    async with aiofiles.open(path, "rb") as file:
        body = as_body(file)
        assert (body.length, body.is_replayable) == (len(LARGE), True)
        for _ in range(2):
            assert await octets_of(body, FILE_READ_BYTES) == LARGE


@pytest.mark.parametrize("mode", ["rb", "r+b"])
async def test_an_asynchronous_file_that_was_used_is_sent_from_where_it_stands(path: Path, mode: Any) -> None:
    """Only those who wait are told where that is, so its length is not known."""
    async with aiofiles.open(path, mode) as file:
        await file.read(3)
        body = as_body(file)
        assert (body.length, body.is_replayable) == (None, False)
        assert await octets_of(body, FILE_READ_BYTES) == LARGE[3:]


async def test_an_asynchronous_file_with_octets_not_flushed_is_not_measured(tmp_path: Path) -> None:
    async with aiofiles.open(tmp_path / "new", "w+b") as file:
        await file.write(b"abc")
        assert as_body(file).length is None


async def test_an_asynchronous_file_without_a_buffer_is_sent_once(path: Path) -> None:
    async with aiofiles.open(path, "rb", buffering=0) as file:
        body = as_body(file)
        assert (body.length, body.is_replayable) == (None, False)
        assert await octets_of(body) == LARGE


async def test_an_asynchronous_text_file_is_refused_when_it_gives_text(path: Path) -> None:
    async with aiofiles.open(path, encoding="latin-1") as file:
        body = as_body(file)  # type: ignore[arg-type]  # what must be refused
        with pytest.raises(TypeError, match="gave str"):
            await octets_of(body)


# Iterables


async def test_an_iterable_is_sent_once() -> None:
    async def source() -> AsyncIterator[Any]:
        yield b"ab"
        yield bytearray(b"cd")
        yield memoryview(b"ef")
        yield b""

    body = as_body(source())
    assert (body.length, body.content_type, body.is_replayable) == (None, OCTETS, False)
    assert await octets_of(body) == b"abcdef"
    with pytest.raises(StreamConsumedError, match="used up"):
        await octets_of(body)


class Iterable:
    """Not a generator: there is nothing to close."""

    def __init__(self) -> None:
        self._pieces = [b"a", b"b"]

    def __aiter__(self) -> Iterable:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop(0)


async def test_any_asynchronous_iterable_will_do() -> None:
    assert await octets_of(as_body(Iterable())) == b"ab"


@pytest.mark.parametrize("piece", ["text", 1, None, [1]])
async def test_an_iterable_gives_octets(piece: Any) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield piece

    with pytest.raises(ClientPayloadError, match=f"the request body gave {type(piece).__name__}, expected octets"):
        await octets_of(as_body(source()))


async def test_a_generator_is_closed_with_the_upload_and_not_when_it_is_collected() -> None:
    closed: list[str] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append("closed")

    given_one = source()
    pieces = as_body(given_one).pieces()
    assert await anext(pieces) == b"a"
    await pieces.aclose()
    assert closed == ["closed"]


async def test_what_a_generator_raises_is_for_who_sends_it() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"a"
        raise KeyError("of the caller")

    pieces = as_body(source()).pieces()
    assert await anext(pieces) == b"a"
    with pytest.raises(KeyError, match="of the caller"):
        await anext(pieces)


# Streams


async def test_a_stream_is_sent_as_it_is_fed() -> None:
    stream = StreamReader()
    body = as_body(stream)
    assert (body.length, body.content_type, body.is_replayable) == (None, OCTETS, False)
    sender = asyncio.create_task(octets_of(body, SAVE_BUFFER_BYTES))
    await stream.write(LARGE)
    await stream.write(LARGE)
    stream.feed_eof()
    assert await sender == LARGE * 2
    assert stream.exception() is None
    with pytest.raises(StreamConsumedError):
        await octets_of(body)


async def test_the_length_of_another_content_is_announced_until_it_is_read_from() -> None:
    stream = StreamReader(length=3)
    stream.feed_data(b"abc")
    stream.feed_eof()
    assert as_body(stream).length == 3
    await stream.read(1)
    body = as_body(stream)
    assert body.length is None
    assert await octets_of(body) == b"bc"


async def test_who_feeds_a_stream_learns_that_the_upload_has_ended() -> None:
    stream = StreamReader()
    pieces = as_body(stream).pieces()
    await stream.write(b"a")
    assert await anext(pieces) == b"a"
    writer = asyncio.create_task(stream.write(bytes(HIGH_WATER_BYTES + 1)))
    await asyncio.sleep(0)
    await pieces.aclose()
    with pytest.raises(ClientPayloadError, match="the upload that read this stream has ended"):
        await writer


async def test_a_failure_of_a_stream_is_for_who_sends_it() -> None:
    stream = StreamReader()
    stream.feed_data(b"a")
    error = ClientPayloadError("broken off")
    stream.set_exception(error)
    pieces = as_body(stream).pieces()
    assert await anext(pieces) == b"a"
    with pytest.raises(ClientPayloadError) as caught:
        await anext(pieces)
    assert caught.value is error


class Download:
    """A response that owns a stream."""

    def __init__(self) -> None:
        self.is_abandoned = False

    def dropped(self) -> None:
        """See ``streams.Owner``."""

    def abandon(self) -> None:
        """See ``streams.Owner``."""
        self.is_abandoned = True

    def keep_twin_of_failure(self) -> None:
        """See ``streams.Owner``."""


async def test_an_upload_takes_pieces_of_bounded_size() -> None:
    stream = StreamReader()
    stream.feed_data(bytes(SAVE_BUFFER_BYTES + 1))
    stream.feed_eof()
    body = StreamBody(stream)
    assert [len(piece) async for piece in body.pieces()] == [SAVE_BUFFER_BYTES, 1]
    assert body.delivered == SAVE_BUFFER_BYTES + 1


async def test_an_upload_that_ends_early_ends_the_download() -> None:
    """It has taken octets that nobody can have any more; the connection is closed, the content not broken for it."""
    download, buffer = Download(), Buffer()
    buffer.feed(b"abc")
    pieces = as_body(StreamReader(_buffer=buffer, _owner=download)).pieces()
    assert await anext(pieces) == b"abc"
    assert not download.is_abandoned
    await pieces.aclose()
    assert buffer.exception is None
    assert download.is_abandoned
