"""The guard against leaked descriptors sees what is left, and only that."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from tests.support.open_fds import no_new_fds, open_sockets


@pytest.mark.slow
async def test_a_socket_left_open_is_named() -> None:
    """The message leads to the descriptor."""
    held = []
    with pytest.raises(AssertionError, match=r"left open: \d+ -> socket:\[\d+\]"):
        async with no_new_fds():
            held.append(socket.socket())
    held.pop().close()


async def test_what_is_closed_a_turn_later_is_no_leak() -> None:
    """The loop may have closings under way when the body ends."""
    async with no_new_fds():
        sock = socket.socket()
        assert f"socket:[{os.fstat(sock.fileno()).st_ino}]" in open_sockets()
        asyncio.get_running_loop().call_later(0.01, sock.close)
