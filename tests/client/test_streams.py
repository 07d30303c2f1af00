"""``StreamReader``: every way of reading against a reference, flow control, failures, one task at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client.buffers import Buffer
from fetchd.client.exceptions import ClientPayloadError, StreamConsumedError
from fetchd.client.limits import HIGH_WATER_BYTES, LOW_WATER_BYTES
from fetchd.client.streams import StreamReader

CHUNKS = st.lists(st.binary(min_size=1, max_size=12), max_size=12)
LINES = st.lists(st.text("ab\n", min_size=1, max_size=6).map(str.encode), max_size=12)


def stream_of(chunks: list[bytes], *, eof: bool = True) -> StreamReader:
    stream = StreamReader()
    for chunk in chunks:
        stream.feed_data(chunk)
    if eof:
        stream.feed_eof()
    return stream


async def feed_slowly(stream: StreamReader, chunks: list[bytes], error: Exception | None = None) -> None:
    """One chunk a turn of the loop, so that a reader waits for each."""
    for chunk in chunks:
        await asyncio.sleep(0)
        stream.feed_data(chunk)
    await asyncio.sleep(0)
    if error is None:
        stream.feed_eof()
    else:
        stream.set_exception(error)


async def turn(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


# Every way of reading: what it gives does not depend on how the octets came


async def by_read(stream: StreamReader) -> bytes:
    return await stream.read()


async def by_read_3(stream: StreamReader) -> bytes:
    whole = b""
    while data := await stream.read(3):
        assert len(data) <= 3
        whole += data
    return whole


async def by_readany(stream: StreamReader) -> bytes:
    whole = b""
    while data := await stream.readany():
        whole += data
    return whole


async def by_readinto(stream: StreamReader) -> bytes:
    whole = b""
    buffer = bytearray(5)
    while count := await stream.readinto(buffer):
        whole += buffer[:count]
    return whole


async def by_iter_chunked(stream: StreamReader) -> bytes:
    pieces = [piece async for piece in stream.iter_chunked(4)]
    assert all(0 < len(piece) <= 4 for piece in pieces)
    return b"".join(pieces)


async def by_iter_any(stream: StreamReader) -> bytes:
    pieces = [piece async for piece in stream.iter_any()]
    assert all(pieces)
    return b"".join(pieces)


async def by_line(stream: StreamReader) -> bytes:
    return b"".join([line async for line in stream])


READERS: list[Callable[[StreamReader], Awaitable[bytes]]] = [
    by_read,
    by_read_3,
    by_readany,
    by_readinto,
    by_iter_chunked,
    by_iter_any,
    by_line,
]
WAYS = pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)


@WAYS
@given(chunks=CHUNKS)
def test_every_way_of_reading_gives_all_octets_in_order(
    read: Callable[[StreamReader], Awaitable[bytes]], chunks: list[bytes]
) -> None:
    async def scenario() -> None:
        held = stream_of(chunks)
        assert await read(held) == b"".join(chunks)
        assert held.at_eof()
        assert await held.read() == b""

        awaited = StreamReader()
        feeder = asyncio.create_task(feed_slowly(awaited, chunks))
        assert await read(awaited) == b"".join(chunks)
        assert awaited.at_eof()
        await feeder

    asyncio.run(scenario())


def lines_of(data: bytes) -> list[bytes]:
    """The reference: split behind each line feed."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]] + ([last] if (last := data.split(b"\n")[-1]) else [])


@given(chunks=LINES)
def test_lines_are_the_same_however_they_came(chunks: list[bytes]) -> None:
    async def scenario() -> None:
        awaited = StreamReader()
        feeder = asyncio.create_task(feed_slowly(awaited, chunks))
        assert [line async for line in awaited] == lines_of(b"".join(chunks))
        await feeder
        assert [line async for line in stream_of(chunks)] == lines_of(b"".join(chunks))

    asyncio.run(scenario())


@given(
    chunks=st.lists(st.text("ab", min_size=1, max_size=5).map(str.encode), max_size=10),
    separator=st.text("ab", min_size=1, max_size=4).map(str.encode),
    limit=st.integers(1, 30),
)
def test_readuntil_is_find_on_the_whole(chunks: list[bytes], separator: bytes, limit: int) -> None:
    """A separator over any number of chunks is found where ``bytes.find`` finds it; the limit is exact."""

    async def scenario(stream: StreamReader) -> None:
        rest = b"".join(chunks)
        while rest:
            place = rest.find(separator)
            end = place + len(separator) if place >= 0 else len(rest)
            if end > limit:
                with pytest.raises(ValueError, match=f"no separator within the limit of {limit} octets"):
                    await stream.readuntil(separator, limit=limit)
                assert await stream.read() == rest, "what was looked through stays to be read"
                return
            assert await stream.readuntil(separator, limit=limit) == rest[:end]
            rest = rest[end:]
        assert await stream.readuntil(separator, limit=limit) == b""

    async def both() -> None:
        await scenario(stream_of(chunks))
        awaited = StreamReader()
        feeder = asyncio.create_task(feed_slowly(awaited, chunks))
        await scenario(awaited)
        await feeder

    asyncio.run(both())


@given(chunks=CHUNKS, data=st.data())
def test_methods_may_be_mixed(chunks: list[bytes], data: st.DataObject) -> None:
    """Whatever was read by one method is not there for the next, and nothing is lost between them."""

    async def scenario() -> None:
        rest = b"".join(chunks)
        stream = stream_of(chunks)
        while rest:
            way = data.draw(st.sampled_from(["read", "readexactly", "readline", "readinto", "readany"]))
            count = data.draw(st.integers(1, 8))
            if way == "read":
                got = await stream.read(count)
            elif way == "readexactly":
                got = await stream.readexactly(min(count, len(rest)))
                assert len(got) == min(count, len(rest))
            elif way == "readline":
                got = await stream.readline()
                assert got == lines_of(rest)[0]
            elif way == "readinto":
                buffer = bytearray(count)
                read_count = await stream.readinto(memoryview(buffer))
                got = bytes(buffer[:read_count])
            else:
                got = await stream.readany()
                assert got == rest
            assert rest.startswith(got)
            assert got
            rest = rest[len(got) :]
        assert stream.at_eof()

    asyncio.run(scenario())


# One method at a time


async def test_read_gives_at_least_one_octet_and_waits_for_it() -> None:
    stream = StreamReader()
    reader = asyncio.create_task(stream.read(10))
    await turn()
    assert not reader.done()
    stream.feed_data(b"ab")
    assert await reader == b"ab"
    assert await stream.read(0) == b""


async def test_read_of_nothing_and_into_nothing_never_waits() -> None:
    stream = StreamReader()
    assert await stream.read(0) == b""
    assert await stream.readinto(bytearray()) == 0
    assert await stream.readexactly(0) == b""


async def test_readexactly_takes_neither_more_nor_less() -> None:
    stream = stream_of([b"abc", b"def", b"ghi"])
    assert await stream.readexactly(4) == b"abcd"
    assert await stream.readexactly(1) == b"e"
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await stream.readexactly(5)
    assert (caught.value.partial, caught.value.expected) == (b"fghi", 5)
    assert stream.at_eof()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda stream: stream.readexactly(-1), "readexactly(-1): expected 0 octets or more"),
        (lambda stream: stream.readuntil(b""), "separator must hold at least one octet"),
        (lambda stream: anext(stream.iter_chunked(0)), "iter_chunked(0): expected pieces of 1 octet or more"),
    ],
)
async def test_sizes_that_make_no_sense_are_refused(
    call: Callable[[StreamReader], Awaitable[bytes]], told: str
) -> None:
    stream = stream_of([b"abc"])
    with pytest.raises(ValueError, match=r"expected|must") as caught:
        await call(stream)
    assert str(caught.value) == told
    assert await stream.read() == b"abc"


async def test_a_line_has_a_limit_of_64_kib() -> None:
    line = b"x" * 65_535 + b"\n"
    stream = stream_of([line, b"x" + line])
    assert await stream.readline() == line
    with pytest.raises(ValueError, match="65536"):
        await stream.readline()
    assert await stream.read() == b"x" + line


async def test_a_large_chunk_read_in_small_pieces_stays_where_it_is() -> None:
    """To cut it at every read would copy all of it every time."""
    chunk = b"0123456\n" * 32_768
    stream = stream_of([chunk, b"end"])
    for _ in range(1000):
        assert await stream.read(3) == b"012"
        assert await stream.readline() == b"3456\n"
        assert await stream.readuntil(b"6\n") == b"0123456\n"
        assert stream._buffer.chunks[0] is chunk
    assert await stream.read(5) == b"01234"
    assert await stream.readany() == chunk[16_005:] + b"end"


async def test_putting_back_is_the_reverse_of_taking() -> None:
    buffer = Buffer()
    buffer.feed(b"abcdef")
    assert buffer.take(2) == b"ab"
    buffer.unread(b"")
    assert buffer.first_size == 4
    buffer.unread(b"ab")
    assert (buffer.size, buffer.take_all()) == (6, b"abcdef")
    assert buffer.take(1) == b""
    buffer.unread(b"xy")
    assert (buffer.size, buffer.take(5), buffer.size) == (2, b"xy", 0)


@given(st.lists(st.binary(min_size=1, max_size=4), min_size=1), st.integers(0, 50), st.integers(1, 3))
def test_joining_the_newest_octets_changes_no_octet(chunks: list[bytes], old: int, taken: int) -> None:
    """What was fed before them, and may be half taken, stays as it is."""
    buffer = Buffer()
    for chunk in chunks[:old]:
        buffer.feed(chunk)
    start = len(buffer.take(taken))
    before = len(buffer.chunks)
    for chunk in chunks[old:]:
        buffer.feed(chunk)
    buffer.join_newest(sum(map(len, chunks[old:])))
    assert len(buffer.chunks) == before + bool(chunks[old:])
    assert buffer.take_all() == b"".join(chunks)[start:]


@given(st.binary(min_size=1), st.binary(), st.lists(st.binary(min_size=1, max_size=4)), st.integers(1, 9))
def test_octets_behind_a_head_are_taken_without_it(content: bytes, head: bytes, more: list[bytes], size: int) -> None:
    """They are fed with what stood before them, which nobody sees."""
    for take in (lambda held: held.take_all(), lambda held: b"".join(iter(lambda: held.take(size), b""))):
        buffer = Buffer()
        buffer.feed_from(head + content, len(head))
        for chunk in more:
            buffer.feed(chunk)
        whole = content + b"".join(more)
        assert buffer.size == len(whole)
        assert take(buffer) == whole
        assert (buffer.size, buffer.take(1)) == (0, b"")


# Failures, cancellation


@WAYS
@given(chunks=CHUNKS)
def test_a_failure_is_raised_behind_the_octets_that_came_before_it(
    read: Callable[[StreamReader], Awaitable[bytes]], chunks: list[bytes]
) -> None:
    """What can be had piece by piece is had; the read that reaches the failure raises it, and so do all later ones."""

    async def scenario() -> None:
        error = ClientPayloadError("broken off")
        stream = stream_of(chunks, eof=False)
        stream.set_exception(error)
        assert b"".join([await stream.read(12) for _ in chunks]) == b"".join(chunks)
        for _ in range(2):
            with pytest.raises(ClientPayloadError) as caught:
                await read(stream)
            assert caught.value is error

        awaited = StreamReader()
        feeder = asyncio.create_task(feed_slowly(awaited, chunks, error))
        with pytest.raises(ClientPayloadError) as caught:
            await read(awaited)
        await feeder
        assert caught.value is error is awaited.exception()
        assert not awaited.at_eof()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "call",
    [lambda stream: stream.readexactly(9), lambda stream: stream.readline(), lambda stream: stream.read()],
    ids=["readexactly", "readline", "read"],
)
async def test_a_read_that_fails_or_is_cancelled_half_way_leaves_its_octets(
    call: Callable[[StreamReader], Awaitable[bytes]],
) -> None:
    for is_cancelled in (True, False):
        stream = stream_of([b"ab", b"cd"], eof=False)
        reader = asyncio.ensure_future(call(stream))
        await turn()
        if is_cancelled:
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
        else:
            stream.set_exception(ClientPayloadError("broken off"))
            with pytest.raises(ClientPayloadError):
                await reader
        assert await stream.readexactly(3) == b"abc"
        if is_cancelled:
            stream.feed_data(b"e")
            stream.feed_eof()
            assert await stream.read() == b"de"
        else:
            assert await stream.read(3) == b"d"
            with pytest.raises(ClientPayloadError):
                await stream.read(3)


async def test_the_first_failure_counts_and_none_after_the_end() -> None:
    first, second = ClientPayloadError("first"), ClientPayloadError("second")
    stream = StreamReader()
    stream.set_exception(first)
    stream.set_exception(second)
    assert stream.exception() is first
    whole = stream_of([b"x"])
    whole.set_exception(first)
    assert whole.exception() is None
    assert await whole.read() == b"x"


# One task at a time

CALLS: dict[str, Callable[[StreamReader], Awaitable[object]]] = {
    "read": lambda stream: stream.read(),
    "read(1)": lambda stream: stream.read(1),
    "readany": lambda stream: stream.readany(),
    "readexactly": lambda stream: stream.readexactly(1),
    "readline": lambda stream: stream.readline(),
    "readinto": lambda stream: stream.readinto(bytearray(1)),
}


@pytest.mark.parametrize("second", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("first", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("held", [b"", b"x", b"x\n"])
async def test_a_second_reader_is_refused_at_once_and_the_first_gets_its_octets(
    first: Callable[[StreamReader], Awaitable[object]], second: Callable[[StreamReader], Awaitable[object]], held: bytes
) -> None:
    """Even between the wake of the first and its turn, and while it collects the whole with octets held."""
    stream = StreamReader()
    reader = asyncio.ensure_future(first(stream))
    await turn()
    assert not reader.done()
    if held:
        stream.feed_data(held)
    with pytest.raises(RuntimeError, match="two tasks read from one stream at the same time"):
        await second(stream)
    stream.feed_data(b"yz\n")
    stream.feed_eof()
    got = await asyncio.wait_for(reader, 5)
    rest = await stream.read()
    if isinstance(got, bytes):
        assert got + rest == held + b"yz\n"
    else:
        assert len(rest) == len(held) + 2


# The whole


async def test_a_reader_of_the_whole_is_woken_once() -> None:
    """Feeders need not pause for it, nor wake it before the end."""
    buffer = Buffer()
    whole = asyncio.create_task(buffer.collect())
    await turn()
    waiter = buffer.waiter
    for _ in range(1000):
        buffer.feed(b"x" * 1000)
        assert waiter is not None
        assert not waiter.done()
    buffer.feed_eof()
    assert await whole == b"x" * 1_000_000
    assert not buffer.collecting


async def test_a_whole_that_is_there_is_given_at_once() -> None:
    reading = stream_of([b"ab", b"c"]).read()
    with pytest.raises(StopIteration) as stopped:
        reading.send(None)
    assert stopped.value.value == b"abc"


async def test_what_was_not_collected_is_there_for_the_next() -> None:
    buffer = Buffer()
    whole = asyncio.create_task(buffer.collect())
    await turn()
    buffer.feed(b"abc")
    whole.cancel()
    with pytest.raises(asyncio.CancelledError):
        await whole
    assert not buffer.collecting
    assert buffer.take_all() == b"abc"


# Flow control between buffer and feeder


async def test_a_feeder_that_paused_is_called_once_at_the_low_water_mark() -> None:
    calls: list[int] = []
    buffer = Buffer()
    buffer.feed(bytes(LOW_WATER_BYTES + 10))
    buffer.on_drain = lambda: calls.append(buffer.size)
    buffer.take(9)
    assert calls == []
    buffer.take(1)
    assert calls == [LOW_WATER_BYTES]
    buffer.take_all()
    assert calls == [LOW_WATER_BYTES]


async def test_a_reader_of_the_whole_calls_a_paused_feeder_at_once() -> None:
    calls: list[int] = []
    buffer = Buffer()
    buffer.feed(bytes(LOW_WATER_BYTES + 10))
    buffer.on_drain = lambda: calls.append(buffer.size)
    whole = asyncio.create_task(buffer.collect())
    await turn()
    assert calls == [LOW_WATER_BYTES + 10]
    buffer.feed_eof()
    assert len(await whole) == LOW_WATER_BYTES + 10


@pytest.mark.parametrize("end", [lambda buffer: buffer.feed_eof(), lambda buffer: buffer.fail(ClientPayloadError("x"))])
async def test_a_stream_that_is_over_calls_no_feeder(end: Callable[[Buffer], None]) -> None:
    buffer = Buffer()
    buffer.feed(b"abc")
    buffer.on_drain = lambda: pytest.fail("nobody feeds any more")
    end(buffer)
    assert not buffer.is_over
    buffer.take_all()
    assert buffer.is_over


async def test_waiting_for_a_signal_needs_one() -> None:
    """Who moves octets past the buffer waits for a wake, whatever is held."""
    buffer = Buffer()
    buffer.feed(b"abc")
    await buffer.wait()
    signal = asyncio.create_task(buffer.wait_signal())
    await turn()
    assert not signal.done()
    buffer.wake()
    buffer.wake()
    await signal
    buffer.wake()
    assert buffer.waiter is None


# The writing end


async def test_write_waits_from_the_high_water_mark_to_the_low_one() -> None:
    stream = StreamReader()
    await stream.write(bytes(HIGH_WATER_BYTES))
    writer = asyncio.create_task(stream.write(b"x"))
    await turn()
    assert not writer.done()
    assert len(await stream.read(HIGH_WATER_BYTES - LOW_WATER_BYTES)) == HIGH_WATER_BYTES - LOW_WATER_BYTES
    await turn()
    assert not writer.done(), "one octet above the mark"
    await stream.read(1)
    await turn()
    assert writer.done()
    await writer
    await stream.write(b"more")


async def test_write_goes_on_waiting_when_it_was_woken_too_early() -> None:
    stream = StreamReader()
    writer = asyncio.create_task(stream.write(bytes(HIGH_WATER_BYTES + 1)))
    await turn()
    await stream.readexactly(HIGH_WATER_BYTES + 1)
    stream.feed_data(bytes(HIGH_WATER_BYTES + 1))
    await turn()
    assert not writer.done()
    await stream.readany()
    await writer


async def test_write_does_not_wait_for_a_reader_that_wants_the_whole() -> None:
    """Such a reader takes nothing before the end; both would wait for ever."""
    stream = StreamReader()
    early = asyncio.create_task(stream.write(bytes(HIGH_WATER_BYTES + 1)))
    await turn()
    whole = asyncio.create_task(stream.read())
    await asyncio.wait_for(early, 5)
    await asyncio.wait_for(stream.write(bytes(HIGH_WATER_BYTES + 1)), 5)
    stream.feed_eof()
    assert len(await whole) == 2 * HIGH_WATER_BYTES + 2


async def test_a_second_writer_is_refused_and_adds_nothing() -> None:
    stream = StreamReader()
    writer = asyncio.create_task(stream.write(bytes(HIGH_WATER_BYTES + 1)))
    await turn()
    with pytest.raises(RuntimeError, match="two tasks write to one stream at the same time"):
        await stream.write(b"x")
    assert len(await stream.readany()) == HIGH_WATER_BYTES + 1
    await writer


async def test_a_write_that_is_cancelled_has_written() -> None:
    stream = StreamReader()
    writer = asyncio.create_task(stream.write(bytes(HIGH_WATER_BYTES + 1)))
    await turn()
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    assert len(await stream.readany()) == HIGH_WATER_BYTES + 1
    await stream.write(b"x")


async def test_a_waiting_write_ends_with_the_stream() -> None:
    error = ClientPayloadError("nobody reads this any more")
    broken, ended = StreamReader(), StreamReader()
    writers = [asyncio.create_task(stream.write(bytes(HIGH_WATER_BYTES + 1))) for stream in (broken, ended)]
    await turn()
    broken.set_exception(error)
    with pytest.raises(ClientPayloadError) as caught:
        await writers[0]
    assert caught.value is error
    for _ in range(2):
        with pytest.raises(ClientPayloadError):
            await broken.write(b"x")
        with pytest.raises(ClientPayloadError):
            broken.feed_data(b"x")
    ended.feed_eof()
    assert not writers[1].done(), "what it wrote is still to be read"
    assert len(await ended.readany()) == HIGH_WATER_BYTES + 1
    await asyncio.wait_for(writers[1], 5)


async def test_nothing_is_fed_behind_the_end() -> None:
    stream = stream_of([])
    with pytest.raises(RuntimeError, match=r"feed_data\(\) after feed_eof\(\)"):
        stream.feed_data(b"x")
    stream.feed_eof()
    assert await stream.read() == b""


async def test_what_is_fed_is_copied() -> None:
    stream, chunk = StreamReader(), bytearray(b"abc")
    stream.feed_data(chunk)
    stream.feed_data(b"")
    chunk[0] = 0
    stream.feed_eof()
    assert await stream.read() == b"abc"


# What a stream tells of itself


class Keeper:
    """Owns a stream and learns that it was dropped."""

    def __init__(self) -> None:
        self.dropped_count = 0

    def dropped(self) -> None:
        """See ``Owner``."""
        self.dropped_count += 1

    def abandon(self) -> None:
        """See ``Owner``."""

    def keep_twin_of_failure(self) -> None:
        """See ``Owner``."""


async def test_an_owned_stream_is_fed_by_its_owner_alone() -> None:
    stream = StreamReader(_owner=Keeper())
    calls: list[Callable[[], None]] = [lambda: stream.feed_data(b"x"), stream.feed_eof]
    for call in calls:
        with pytest.raises(RuntimeError, match="fed by a response"):
            call()
    with pytest.raises(RuntimeError, match="fed by a response"):
        await stream.write(b"x")
    stream._end_upload()
    assert stream.exception() is None, "the content of another response is its owner's to break"


@pytest.mark.parametrize(
    ("end", "count"),
    [
        (lambda buffer: None, 1),
        (lambda buffer: buffer.feed_eof(), 0),
        (lambda buffer: buffer.fail(ClientPayloadError("x")), 0),
    ],
)
def test_an_owner_learns_that_its_stream_was_dropped_before_its_end(end: Callable[[Buffer], None], count: int) -> None:
    keeper, buffer = Keeper(), Buffer()
    stream: StreamReader | None = StreamReader(_buffer=buffer, _owner=keeper)
    end(buffer)
    assert keeper.dropped_count == 0
    stream = None
    assert stream is None
    assert keeper.dropped_count == count


async def test_the_content_is_had_whole_once_and_not_after_streaming() -> None:
    stream = stream_of([b"abc"])
    assert not stream.started
    stream._claim_whole()
    assert stream.started
    for started in (stream, stream_of([b"abc"])):
        await started.read(1)
        with pytest.raises(StreamConsumedError, match="already read as a stream"):
            started._claim_whole()


async def test_the_repr_shows_what_is_held_and_how_it_stands() -> None:
    stream = StreamReader(length=7)
    assert stream.length == 7
    assert repr(stream) == "<StreamReader 0 octets held, open>"
    stream.feed_data(b"abc")
    stream.feed_eof()
    assert repr(stream) == "<StreamReader 3 octets held, eof>"
    assert not stream.at_eof()
    broken = StreamReader()
    broken.set_exception(ClientPayloadError("x"))
    assert repr(broken) == "<StreamReader 0 octets held, ClientPayloadError('x')>"


# What aiohttp's users know besides


async def test_read_nowait_takes_what_is_there() -> None:
    """And waits for nothing: b"" when nothing is held, what broke the stream once nothing is."""
    stream = stream_of([b"abc", b"de"], eof=False)
    assert stream.read_nowait(0) == b""
    assert stream.read_nowait(2) == b"ab"
    assert stream.read_nowait() == b"cde"
    assert stream.read_nowait() == b""
    stream.feed_data(b"f")
    stream.set_exception(ClientPayloadError("broken"))
    assert stream.read_nowait(5) == b"f"
    with pytest.raises(ClientPayloadError, match="broken"):
        stream.read_nowait()


async def test_read_nowait_takes_nothing_from_a_task_that_waits() -> None:
    """As any second reader."""
    stream = StreamReader()
    waiting = asyncio.create_task(stream.read(1))
    await turn()
    with pytest.raises(RuntimeError, match="two tasks"):
        stream.read_nowait()
    stream.feed_data(b"x")
    assert await waiting == b"x"


async def test_total_bytes_counts_what_has_come() -> None:
    """Read or not."""
    stream = stream_of([b"abc", b"de"], eof=False)
    assert stream.total_bytes == 5
    await stream.readexactly(4)
    with pytest.raises(ValueError, match="separator"):
        await stream.readuntil(limit=0)
    assert stream.total_bytes == 5
    stream.feed_data(b"f")
    assert stream.total_bytes == 6


async def chunks_of(stream: StreamReader) -> list[tuple[bytes, bool]]:
    return [pair async for pair in stream.iter_chunks()]


async def test_iter_chunks_knows_no_ends_where_there_are_no_chunks() -> None:
    """What is fed by hand has none."""
    assert await chunks_of(stream_of([b"abc", b"de"])) == [(b"abc", False), (b"de", False)]


@given(chunks=st.lists(CHUNKS.filter(bool), max_size=8))
def test_iter_chunks_tells_every_end(chunks: list[list[bytes]]) -> None:
    """However the pieces of a chunk came."""

    async def read() -> None:
        buffer = Buffer()
        for pieces in chunks:
            for piece in pieces:
                buffer.feed(piece)
            buffer.end_chunk()
        buffer.feed_eof()
        seen = await chunks_of(StreamReader(_buffer=buffer))
        whole = [b"".join(pieces) for pieces in chunks]
        for expected in whole:
            data, is_end = b"", False
            while not is_end:
                piece, is_end = seen.pop(0)
                data += piece
            assert data == expected
        assert not seen

    asyncio.run(read())


@pytest.mark.parametrize("has_ended", [True, False])
async def test_chunks_that_were_made_one_have_one_end(has_ended: bool) -> None:
    """Where the last of them has one; for each of a few octets a number would be kept else."""
    buffer = Buffer()
    for data in (b"ab", b"c", b"d", b"e"):
        buffer.feed(data)
        if data != b"e" or has_ended:
            buffer.end_chunk()
    buffer.join_newest(3)
    if not has_ended:
        buffer.end_chunk()
    buffer.feed_eof()
    assert await chunks_of(StreamReader(_buffer=buffer)) == [(b"ab", True), (b"cde", True)]


async def test_iter_chunks_tells_an_end_that_comes_late_by_an_empty_piece() -> None:
    """The octets were given when it was not known yet."""
    buffer = Buffer()
    chunks = StreamReader(_buffer=buffer).iter_chunks()
    for data in (b"abc", b"de"):
        buffer.feed(data)
        if data == b"de":
            assert await anext(chunks) == (b"", True)
        assert await anext(chunks) == (data, False)
        buffer.end_chunk()
    buffer.feed_eof()
    assert [pair async for pair in chunks] == [(b"", True)]


async def test_iter_chunks_may_be_mixed_with_other_ways_of_reading() -> None:
    """Ends that were read past are not told."""
    buffer = Buffer()
    for data in (b"abc", b"de", b"fgh", b"i"):
        buffer.feed(data)
        buffer.end_chunk()
    buffer.feed_eof()
    stream = StreamReader(_buffer=buffer)
    chunks = stream.iter_chunks()
    assert await anext(chunks) == (b"abc", True)
    assert await stream.readexactly(3) == b"def"
    assert [pair async for pair in chunks] == [(b"gh", True), (b"i", True)]


def test_ends_that_are_passed_are_forgotten() -> None:
    """A content of endless small chunks that nobody asks about takes no memory that grows."""
    buffer = Buffer()
    for _ in range(100_000):
        buffer.feed(b"x")
        buffer.end_chunk()
        buffer.take(1)
    assert buffer._ends is not None
    assert len(buffer._ends._places) <= 2048
