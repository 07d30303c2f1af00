# Invariant: a response with coded content gives its reader the same octets however it comes, those that its framing
# and then its coding give one after the other; or a ClientError, behind a part of them at most.
"""Framing and content codings together, as a reader sees them. Input: a whole response."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from fetchd.client.exceptions import ClientError
from fetchd.client.exchange import Exchange

from ..engine import Target, pieces
from ..exchanges import tell
from . import chunked, codings, heads

__all__ = ["TARGET"]

_MAX_TURNS = 10_000


def _generate(rng: random.Random) -> bytes:
    names, _, content = codings.TARGET.generate(rng).partition(b"\n")
    fields = [b"HTTP/1.1 200 OK", *(b"Content-Encoding: " + name for name in names.split(b", "))]
    framing = rng.random()
    if framing < 0.4:
        fields.append(b"Content-Length: %d" % len(content))
    elif framing < 0.8:
        fields.append(b"Transfer-Encoding: chunked")
        size = rng.choice((1, 7, 100, 5000))
        parts = [content[at : at + size] for at in range(0, len(content), size)]
        content = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return b"\r\n".join([*fields, b"", content])


async def _read(parts: Sequence[bytes]) -> tuple[bytes, bool]:
    """What a reader gets of *parts* and then the end of the connection; whether it is whole."""
    exchange = Exchange("GET")
    for part in parts:
        if part and not exchange.is_over:
            exchange.receive(part)
    if not exchange.is_over:
        exchange.receive_eof()
    body, content = exchange.body, b""
    for _ in range(_MAX_TURNS):
        content += body.take_all()
        if body.is_over:
            break
        await asyncio.sleep(0)
    assert body.is_over, "a reader would wait for ever"
    assert body.exception is None or isinstance(body.exception, ClientError), body.exception
    return content, body.exception is None


async def _read_each_way(data: bytes) -> list[tuple[bytes, bool]]:
    return [await _read(parts) for parts in pieces(data)]


def _check(data: bytes) -> bool:
    (first, is_whole), *others = asyncio.run(_read_each_way(data))
    for content, other_is_whole in others:
        assert is_whole == other_is_whole
        assert not is_whole or content == first
    if not is_whole:
        return False
    raw = tell([data])
    assert raw.is_ended
    names = b", ".join(value for name, value in raw.fields if name.lower() == b"content-encoding")
    if raw.content and names.strip():
        assert codings.decoded(names.decode("utf-8", "surrogateescape"), [raw.content]) == first
    return True


TARGET = Target("bodies", _generate, _check, (*heads.TARGET.tokens, *chunked.TARGET.tokens, *codings.TARGET.tokens))
