"""A channel moves octets and readiness, and gives a descriptor back exactly once, on any loop."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import fetchd.client.channel as channel_module
from fetchd.client.channel import Channel, wait_ready
from tests.support.open_fds import open_fds

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

FOLDER = Path(channel_module.__file__).parent
# How descriptors are told to a loop and taken from it.
REGISTRATIONS = {"add_reader", "add_writer", "remove_reader", "remove_writer"}


@contextlib.contextmanager
def pair() -> Iterator[tuple[Channel, socket.socket]]:
    """A channel and its peer."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    channel = Channel(asyncio.get_running_loop(), ours)
    try:
        yield channel, theirs
    finally:
        channel.close()
        theirs.close()


class Heard:
    """A reader that counts its calls, and takes what is there."""

    def __init__(self, channel: Channel) -> None:
        self.calls = 0
        self.octets = b""
        self._channel = channel
        self._event = asyncio.Event()
        channel.set_reader(self)

    def __call__(self) -> None:
        self.calls += 1
        self.octets += self._channel.recv(65_536)
        self._event.set()

    async def more(self) -> bytes:
        """Wait for the next call; everything heard so far."""
        self._event.clear()
        await self._event.wait()
        return self.octets


async def turns(count: int = 5) -> None:
    """Let the loop look at its descriptors a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


# Where descriptors are registered.


def test_only_the_channel_registers_descriptors_with_a_loop() -> None:
    """Register, unregister and close are kept in one place, because their order is what everything hangs on."""
    users = {
        path.name
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in REGISTRATIONS
    }
    assert users == {"channel.py"}


# Octets.


async def test_octets_arrive_and_an_end_is_an_empty_answer() -> None:
    """What the peer sends, then b"" as often as asked."""
    with pair() as (channel, peer):
        heard = Heard(channel)
        peer.sendall(b"hello")
        assert await heard.more() == b"hello"
        channel.pause_reading()
        peer.shutdown(socket.SHUT_WR)
        assert (channel.recv(10), channel.recv(10)) == (b"", b"")
        assert channel.recv_into(memoryview(bytearray(10))) == 0


async def test_nothing_to_be_had_is_told_from_the_end() -> None:
    """``recv`` raises BlockingIOError, ``recv_into`` gives None."""
    with pair() as (channel, _):
        with pytest.raises(BlockingIOError):
            channel.recv(10)
        assert channel.recv_into(memoryview(bytearray(10))) is None


async def test_recv_into_fills_the_front_of_the_buffer() -> None:
    """As much as there is, and no more."""
    with pair() as (channel, peer):
        peer.sendall(b"abc")
        buffer = bytearray(b"......")
        assert channel.recv_into(memoryview(buffer)) == 3
        assert buffer == b"abc..."


async def test_sending_says_how_much_was_taken_and_waits_for_room() -> None:
    """Full buffers refuse; ``wait_writable`` ends when the peer has read."""
    with pair() as (channel, peer):
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += channel.send(bytes(65_536))
        waiting = asyncio.create_task(channel.wait_writable())
        await turns()
        assert not waiting.done()
        left = sent
        while left:
            left -= len(peer.recv(left))
        await waiting
        assert channel.send(b"more") == 4


async def test_a_broken_connection_raises() -> None:
    """The peer is gone: sending fails with the system's own error."""
    with pair() as (channel, peer):
        peer.close()
        with pytest.raises(BrokenPipeError):
            channel.send(b"x")


# Readiness.


async def test_a_paused_reader_hears_nothing_until_it_is_resumed() -> None:
    """No call is made for octets that nobody wants now, and none is lost."""
    with pair() as (channel, peer):
        heard = Heard(channel)
        channel.pause_reading()
        channel.pause_reading()
        assert not channel.is_reading
        peer.sendall(b"later")
        await turns()
        assert heard.calls == 0
        channel.resume_reading()
        assert await heard.more() == b"later"


async def test_a_new_reader_replaces_the_one_before() -> None:
    """Octets go to the last one set."""
    with pair() as (channel, peer):
        first, second = Heard(channel), Heard(channel)
        peer.sendall(b"x")
        assert await second.more() == b"x"
        assert first.calls == 0


@pytest.mark.parametrize("how", ["wake", "close", "cancel"])
async def test_a_wait_for_room_ends_by_other_means_too(how: str) -> None:
    """Woken, closed or cancelled: the wait is over and no writer is left with the loop."""
    with pair() as (channel, _):
        with contextlib.suppress(BlockingIOError):
            while True:
                channel.send(bytes(65_536))
        waiting = asyncio.create_task(channel.wait_writable())
        await turns()
        if how == "wake":
            channel.wake_writer()
        elif how == "close":
            channel.close()
        else:
            waiting.cancel()
        await asyncio.wait((waiting,))
        assert waiting.cancelled() is (how == "cancel")
        channel.wake_writer()


async def test_a_closed_channel_has_room_for_nothing_and_waits_for_nothing() -> None:
    """Whoever comes late finds it closed at once."""
    with pair() as (channel, _):
        channel.close()
        await channel.wait_writable()
        for call in (lambda: channel.recv(1), lambda: channel.send(b"x")):
            with pytest.raises(OSError, match="closed"):
                call()
        channel.set_reader(lambda: None)
        assert (channel.is_closed, channel.is_reading) == (True, False)


@pytest.mark.parametrize("for_writing", [False, True], ids=["reading", "writing"])
async def test_waiting_for_a_bare_descriptor_leaves_nothing_with_the_loop(for_writing: bool) -> None:
    """Done or cancelled, the descriptor can be closed and its number be used by another."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        if for_writing:
            with contextlib.suppress(BlockingIOError):
                while True:
                    ours.send(bytes(65_536))
        waiting = asyncio.create_task(wait_ready(loop, ours.fileno(), for_writing=for_writing))
        await turns()
        waiting.cancel()
        await asyncio.wait((waiting,))
        assert waiting.cancelled()
        remove = loop.remove_writer if for_writing else loop.remove_reader
        assert not remove(ours.fileno())
        theirs.setblocking(False)
        theirs.send(b"x")
        with contextlib.suppress(BlockingIOError):
            while theirs.recv(65_536):
                pass
        await wait_ready(loop, ours.fileno(), for_writing=for_writing)
        assert not remove(ours.fileno())


# Silence: what an idle connection is asked before it is used again.


async def test_silence_is_when_nothing_has_come() -> None:
    """Asked of the system, and not of a loop that may not have looked yet."""
    with pair() as (channel, peer):
        assert channel.is_silent()
        peer.send(b"x")
        assert not channel.is_silent()
        channel.recv(1)
        assert channel.is_silent()
        peer.shutdown(socket.SHUT_WR)
        assert not channel.is_silent()


async def test_a_reset_or_closed_connection_is_not_silent() -> None:
    """Neither is fit for a request."""
    with pair() as (channel, peer):
        peer.send(b"unread")
        peer.close()
        channel.close()
        assert not channel.is_silent()
    with pair() as (channel, peer):
        channel.send(b"unread by the peer")
        peer.close()
        assert not channel.is_silent()


# The end.


async def test_closing_sends_the_end_at_once() -> None:
    """No turn of the loop is needed: a loop that held the socket would keep the peer waiting (uvloop did)."""
    with pair() as (channel, peer):
        Heard(channel)
        await turns()
        channel.close()
        channel.close()
        peer.setblocking(False)
        assert peer.recv(1) == b""


async def test_a_descriptor_used_again_at_once_has_its_own_reader() -> None:
    """The number of a closed channel goes to the next socket, whose reader must work."""
    for _ in range(3):
        with pair() as (old, _):
            Heard(old)
            number = old.fd
            await turns(2)
            old.close()
            with pair() as (new, peer):
                assert number in (new.fd, peer.fileno())
                heard = Heard(new)
                old.close()
                old.pause_reading()
                old.resume_reading()
                peer.send(b"mine")
                assert await heard.more() == b"mine"


async def test_closing_inside_of_the_reader_is_safe() -> None:
    """The loop is in the middle of telling of this very descriptor."""
    with pair() as (channel, peer):
        done = asyncio.Event()

        def on_readable() -> None:
            channel.close()
            done.set()

        channel.set_reader(on_readable)
        peer.send(b"x")
        await done.wait()
        await turns()
        assert channel.is_closed


# A worker thread that uses the descriptor.


async def test_a_held_descriptor_outlives_its_channel() -> None:
    """Closed while a worker has it, the number stays taken until the worker is done; the peer sees the end now."""
    with pair() as (channel, peer):
        heard = Heard(channel)
        fd = channel.hold()
        assert not channel.is_reading
        channel.close()
        assert channel.is_closed
        assert fd in open_fds()
        assert os.read(fd, 10) == b""
        peer.setblocking(False)
        assert peer.recv(1) == b""
        channel.release()
        assert f"socket:[{fd}]" not in open_fds().values()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
        assert heard.calls == 0


async def test_a_released_channel_reads_on() -> None:
    """Nothing is lost of what came while a worker had it."""
    with pair() as (channel, peer):
        heard = Heard(channel)
        channel.hold()
        peer.send(b"meanwhile")
        await turns()
        assert heard.calls == 0
        channel.release()
        assert await heard.more() == b"meanwhile"


async def test_its_state_can_be_seen() -> None:
    """``repr`` shows the descriptor and whether it reads."""
    with pair() as (channel, _):
        assert repr(channel) == f"<Channel fd={channel.fd}>"
        Heard(channel)
        assert repr(channel).endswith(" reading>")
        channel.close()
        assert repr(channel) == "<Channel fd=-1>"
