# Invariant: whatever a server sends, a request ends with a response or a ClientError, and the next request of the
# session gets its own answer and nothing of what came before; no connection is left open, no task running.
"""A whole session against a server that answers one request with the input, and every other one as it should."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from pathlib import Path

from fetchd.client import ClientError, ClientSession, CookieJar, Timeout, UnixConnector

from ..engine import Target
from . import bodies, heads

__all__ = ["TARGET"]

# How long an answer that does not come is waited for. What must hold does not depend on it.
_PATIENCE_S = 0.02
_SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"


def _generate(rng: random.Random) -> bytes:
    response = rng.choice((heads.TARGET, bodies.TARGET)).generate(rng)
    behind = heads.generate(rng) if rng.random() < 0.2 else b""
    return response + behind


async def _serve(first: bytes, closes: bool, path: Path) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                is_first = head.startswith(b"GET /first ")
                writer.write(first if is_first else _SECOND)
                await writer.drain()
                if is_first and closes:
                    break
        writer.close()

    return await asyncio.start_unix_server(answer, path)


async def _ask(session: ClientSession, path: str) -> bytes:
    async with session.get(f"http://h{path}", max_redirects=3) as reply:
        return await reply.read()


async def _scenario(data: bytes, path: Path) -> bool:
    async with await _serve(data, random.Random(data).random() < 0.8, path):
        connector = UnixConnector(str(path), limit=1)
        timeout = Timeout(first_byte=_PATIENCE_S, idle_read=_PATIENCE_S)
        is_accepted = True
        async with ClientSession(connector=connector, cookie_jar=CookieJar(), timeout=timeout) as session:
            try:
                await _ask(session, "/first")
            except ClientError:
                is_accepted = False
            assert await _ask_patiently(session) == b"second"
            assert connector.open_count == connector.idle_count
        assert connector.open_count == 0
    return is_accepted


async def _ask_patiently(session: ClientSession) -> bytes:
    async with session.get("http://h/second", timeout=Timeout()) as reply:
        assert reply.status == 200
        return await reply.read()


def _check(data: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_scenario(data, Path(folder, "s")))


TARGET = Target("sessions", _generate, _check, heads.TARGET.tokens)
