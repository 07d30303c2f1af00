"""``Watch``: one request of a caller under the eyes of its session's traces, and with a stopwatch.

It goes with the request: ``hops`` tells it where the request is, the ``Route`` takes it to the connector and to what
opens connections. Where there is none, nothing is paid but the question. Handlers are awaited in the task of the
request; who holds something when an event is told gives it here to be closed should a handler raise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from multidict import CIMultiDict

from . import tracing
from .bodies import Body
from .heads import split_head
from .resolver import AddrInfo, CachingResolver, Resolver, literal_address
from .timings import Phase, Stopwatch
from .urls import exact_url, without_userinfo

if TYPE_CHECKING:
    from yarl import URL

    from .connection import Connection
    from .response import ClientResponse
    from .session import ClientSession

__all__ = ["Watch", "timed"]

_UNTIMED: Final = contextlib.nullcontext()


def timed(watch: Watch | None, phase: Phase) -> contextlib.AbstractContextManager[None]:
    """Have what is done inside counted as *phase*, if somebody watches."""
    return _UNTIMED if watch is None else watch.stopwatch.phase(phase)


def _shown(url: str) -> URL:

    return exact_url(without_userinfo(url))


class _Closable(Protocol):
    def close(self) -> None: ...


class _Keeper(Protocol):
    """A connector, as far as it is needed here."""

    def give_back(self, connection: Connection) -> None: ...


class Watch:
    """One request, watched.

    Args:
        session: Whose it is.
        configs: Who wants to be told.
        request_context: The request's ``trace_request_ctx``.

    Attributes:
        stopwatch: Of the hop that is under way.
    """

    def __init__(self, session: ClientSession, configs: Sequence[tracing.TraceConfig], request_context: object) -> None:
        self._session = session
        self._traces = [(config, config.trace_config_ctx(trace_request_ctx=request_context)) for config in configs]
        self._method = ""
        self._url = ""
        self._fields: CIMultiDict[str] = CIMultiDict()
        self.stopwatch = Stopwatch()

    async def _tell(self, event: str, params: object, closing: _Closable | None = None) -> None:
        try:
            for config, context in self._traces:
                for handler in getattr(config, event):
                    await handler(self._session, context, params)
        except BaseException:
            if closing is not None:
                closing.close()
            raise

    def _where(self) -> tuple[str, URL, CIMultiDict[str]]:
        return self._method, _shown(self._url), self._fields

    # The request.

    def at(self, method: str, url: str, fields: CIMultiDict[str]) -> None:
        """The next hop is *method* *url* with *fields* of session and request."""
        self._method, self._url, self._fields = method, url, fields

    async def request_start(self) -> None:
        """The request begins."""
        if self._traces:
            await self._tell("on_request_start", tracing.TraceRequestStartParams(*self._where()))

    async def request_end(self, response: ClientResponse) -> None:
        """*response* is final."""
        if self._traces:
            await self._tell("on_request_end", tracing.TraceRequestEndParams(*self._where(), response), response)

    async def request_exception(self, exc: BaseException) -> None:
        """The request has failed by *exc*."""
        if self._traces:
            await self._tell("on_request_exception", tracing.TraceRequestExceptionParams(*self._where(), exc))

    async def redirected(self, response: ClientResponse) -> None:
        """*response* leads elsewhere, and is followed."""
        if self._traces:
            params = tracing.TraceRequestRedirectParams(*self._where(), response)
            await self._tell("on_request_redirect", params, response)

    def begin(self) -> None:
        """The request, or its repetition with credentials, begins anew."""
        self.stopwatch = Stopwatch()

    async def about_to_send(
        self, keeper: _Keeper, connection: Connection, head: bytes, body: Body | None
    ) -> Body | None:
        """The request is about to be sent by *connection*, which is given back when a handler raises.

        Returns:
            What to send in the place of *body*.
        """
        try:
            if connection.served:
                await self._tell("on_connection_reuseconn", tracing.TraceConnectionReuseconnParams())
            body = await self._tell_of_sending(head, body)
        except BaseException:
            keeper.give_back(connection)
            raise
        self.stopwatch.sending()
        return body

    async def _tell_of_sending(self, head: bytes, body: Body | None) -> Body | None:
        if not self._traces:
            return body
        fields = CIMultiDict((name.decode(), value.decode()) for name, value in split_head(head))
        content = head.partition(b"\r\n\r\n")[2]
        params = tracing.TraceRequestHeadersSentParams(self._method, _shown(self._url), fields)
        await self._tell("on_request_headers_sent", params)
        if content:  # a small one goes out with the head
            await self.chunk_sent(content)
        if body is None or not self._has("on_request_chunk_sent"):
            return body
        from .watched import WatchedBody

        return WatchedBody(body, self)

    def _has(self, event: str) -> bool:
        return any(getattr(config, event) for config, _ in self._traces)

    async def chunk_sent(self, chunk: bytes) -> None:
        """*chunk* of the content is about to be sent."""
        params = tracing.TraceRequestChunkSentParams(self._method, _shown(self._url), chunk)
        await self._tell("on_request_chunk_sent", params)

    @property
    def wants_content(self) -> bool:
        """Whether ``chunk_received`` is to be called."""
        return self._has("on_response_chunk_received")

    async def chunk_received(self, method: str, url: str, chunk: bytes) -> None:
        """*chunk* of the content of the response to *method* *url* is about to be given to the reader."""
        params = tracing.TraceResponseChunkReceivedParams(method, _shown(url), chunk)
        await self._tell("on_response_chunk_received", params)

    # The connection.

    async def queued_start(self) -> None:
        """The request waits for a slot."""
        await self._tell("on_connection_queued_start", tracing.TraceConnectionQueuedStartParams())

    async def queued_end(self) -> None:
        """It has one."""
        await self._tell("on_connection_queued_end", tracing.TraceConnectionQueuedEndParams())

    async def create_start(self) -> None:
        """A connection is about to be made."""
        await self._tell("on_connection_create_start", tracing.TraceConnectionCreateStartParams())

    async def create_end(self, made: _Closable) -> None:
        """It is *made*."""
        await self._tell("on_connection_create_end", tracing.TraceConnectionCreateEndParams(), made)

    async def resolve(self, resolver: Resolver, host: str, port: int, family: int) -> list[AddrInfo]:
        """Ask *resolver*; see ``Resolver.resolve``."""
        if literal_address(host, port, family) is not None:
            return await resolver.resolve(host, port, family)
        is_known = isinstance(resolver, CachingResolver) and resolver.knows(host, family)
        if is_known:
            await self._tell("on_dns_cache_hit", tracing.TraceDnsCacheHitParams(host))
        else:
            if isinstance(resolver, CachingResolver):
                await self._tell("on_dns_cache_miss", tracing.TraceDnsCacheMissParams(host))
            await self._tell("on_dns_resolvehost_start", tracing.TraceDnsResolveHostStartParams(host))
        with self.stopwatch.phase("dns"):
            found = await resolver.resolve(host, port, family)
        if not is_known:
            await self._tell("on_dns_resolvehost_end", tracing.TraceDnsResolveHostEndParams(host))
        return found

    async def tls_start(self, host: str, port: int | None, sock: _Closable) -> None:
        """TLS is about to be spoken on *sock*."""
        await self._tell("on_tls_start", tracing.TraceTLSStartParams(host, port), sock)

    async def tls_end(self, host: str, port: int | None, made: _Closable) -> None:
        """It is spoken by *made*."""
        await self._tell("on_tls_end", tracing.TraceTLSEndParams(host, port), made)
