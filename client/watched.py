"""The parts of a request that somebody watches: exchange, body, response and stream, each in a class of its own.

Chosen once for a request, so that no other one is asked at each step whether it is watched. Loaded when somebody
watches.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Collection

from .bodies import Body, Trailed
from .buffers import Buffer
from .checking import CheckedExchange
from .exchange import ContentWishes, Exchange, Transport
from .response import ClientResponse
from .streams import StreamReader
from .timings import Stopwatch
from .watch import Watch

__all__ = ["WatchedBody", "WatchedExchange", "WatchedResponse"]


class _RememberingBuffer(Buffer):
    """A buffer that knows what nobody was told of yet.

    Attributes:
        untold: Pieces in the order in which they came; None while nobody wants to be told.
    """

    untold: list[bytes] | None = None

    def feed(self, data: bytes) -> None:
        """See ``Buffer``."""
        if self.untold is not None:
            self.untold.append(data)
        super().feed(data)


class WatchedExchange(CheckedExchange):
    """An exchange that holds a stopwatch.

    Args:
        watch: Who watches the request.

    The others are those of ``CheckedExchange``.
    """

    _buffer_class = _RememberingBuffer
    _stopwatch: Stopwatch
    _is_sent = False

    def __init__(
        self,
        method: str,
        wishes: ContentWishes,
        *,
        watch: Watch,
        max_decoded_bytes: int | None = None,
        algorithms: Collection[str] = (),
    ) -> None:
        super().__init__(method, wishes, max_decoded_bytes=max_decoded_bytes, algorithms=algorithms)
        self._stopwatch = watch.stopwatch
        self.timings = watch.stopwatch.timings

    @property
    def is_sent(self) -> bool:
        """See ``Exchange``."""
        return self._is_sent

    @is_sent.setter
    def is_sent(self, is_sent: bool) -> None:
        if is_sent:
            self._stopwatch.sent()
        self._is_sent = is_sent

    def receive(self, data: bytes) -> None:
        """See ``Exchange``."""
        self._stopwatch.received()
        super().receive(data)

    def _detach(self) -> Transport | None:
        self._stopwatch.ended()
        return super()._detach()


class WatchedBody:
    """A body each piece of which is told of before it is sent."""

    def __init__(self, body: Body, watch: Watch) -> None:
        self._body = body
        self._watch = watch
        self.length = body.length
        self.content_type = body.content_type
        self.is_replayable = body.is_replayable

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The pieces of the body."""
        async with contextlib.aclosing(self._body.pieces()) as pieces:
            async for piece in pieces:
                await self._watch.chunk_sent(piece)
                yield piece

    def trailer_section(self) -> bytes:
        """See ``Trailed``."""
        return self._body.trailer_section() if isinstance(self._body, Trailed) else b""


class WatchedResponse(ClientResponse):
    """A response that tells of its content before it gives it away."""

    def __init__(self, exchange: Exchange, url: str, watch: Watch) -> None:
        super().__init__(exchange, url)
        self._watch = watch

    async def read(self) -> bytes:
        """See ``ClientResponse``."""
        is_new = self._body is None
        body = await super().read()
        if is_new and body:
            await self._watch.chunk_received(self.method, self._url_text, body)
        return body

    def _make_stream(self, length: int | None) -> StreamReader:
        buffer = self._exchange.body
        if not isinstance(buffer, _RememberingBuffer):
            return super()._make_stream(length)
        untold = buffer.untold = list(buffer.chunks)
        return _WatchedReader(self._exchange, length, buffer, untold, self._watch, self._url_text)


class _WatchedReader(StreamReader):
    """A stream whose pieces are told of before they are given away."""

    def __init__(
        self, exchange: Exchange, length: int | None, buffer: Buffer, untold: list[bytes], watch: Watch, url: str
    ) -> None:
        super().__init__(length=length, _buffer=buffer, _owner=exchange)
        self._untold = untold
        self._watch = watch
        self._method = exchange.method
        self._url = url

    async def read(self, n: int = -1) -> bytes:
        """See ``StreamReader``."""
        data = await super().read(n)
        if n < 0:
            await self._tell()
        return data

    async def _fill(self) -> bool:
        while await super()._fill():
            await self._tell()
            if self._buffer.size:
                return True
        return False

    async def _tell(self) -> None:
        while self._untold:
            await self._watch.chunk_received(self._method, self._url, self._untold.pop(0))
