"""What a caller is told of a request as it goes: ``TraceConfig``, its signals, and what each of them brings.

Names and meaning are aiohttp's. Data only: who tells is ``watch``, when is told by the modules that do the work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableSequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, cast, overload

from multidict import CIMultiDict

if TYPE_CHECKING:
    from yarl import URL

    from .response import ClientResponse
    from .session import ClientSession

__all__ = [
    "Signal",
    "TraceConfig",
    "TraceConnectionCreateEndParams",
    "TraceConnectionCreateStartParams",
    "TraceConnectionQueuedEndParams",
    "TraceConnectionQueuedStartParams",
    "TraceConnectionReuseconnParams",
    "TraceDnsCacheHitParams",
    "TraceDnsCacheMissParams",
    "TraceDnsResolveHostEndParams",
    "TraceDnsResolveHostStartParams",
    "TraceRequestChunkSentParams",
    "TraceRequestEndParams",
    "TraceRequestExceptionParams",
    "TraceRequestHeadersSentParams",
    "TraceRequestRedirectParams",
    "TraceRequestStartParams",
    "TraceResponseChunkReceivedParams",
    "TraceTLSEndParams",
    "TraceTLSStartParams",
]


class TraceRequestStartParams(NamedTuple):
    """A request begins. *headers* are those of session and request; what is put into them is sent."""

    method: str
    url: URL
    headers: CIMultiDict[str]


class TraceRequestHeadersSentParams(NamedTuple):
    """The head of a request is about to be sent. *headers* are all of its fields, credentials included."""

    method: str
    url: URL
    headers: CIMultiDict[str]


class TraceRequestChunkSentParams(NamedTuple):
    """A piece of the content is about to be sent, without the framing of chunks."""

    method: str
    url: URL
    chunk: bytes


class TraceResponseChunkReceivedParams(NamedTuple):
    """A piece of the content, its codings removed, is about to be given to the reader."""

    method: str
    url: URL
    chunk: bytes


class TraceRequestEndParams(NamedTuple):
    """The final response is there, its head complete."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    response: ClientResponse


class TraceRequestExceptionParams(NamedTuple):
    """The request has failed, or was cancelled."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    exception: BaseException


class TraceRequestRedirectParams(NamedTuple):
    """A redirection is about to be followed; *response* is the one that asked for it."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    response: ClientResponse


class TraceConnectionQueuedStartParams(NamedTuple):
    """The request waits for a slot of its connector."""


class TraceConnectionQueuedEndParams(NamedTuple):
    """It was given one."""


class TraceConnectionCreateStartParams(NamedTuple):
    """A connection is about to be made."""


class TraceConnectionCreateEndParams(NamedTuple):
    """It is made, TLS and proxy included."""


class TraceConnectionReuseconnParams(NamedTuple):
    """A connection that has served before is used again."""


class TraceDnsResolveHostStartParams(NamedTuple):
    """A name is about to be looked up; addresses are not."""

    host: str


class TraceDnsResolveHostEndParams(NamedTuple):
    """It has addresses."""

    host: str


class TraceDnsCacheHitParams(NamedTuple):
    """The answer for a name is known."""

    host: str


class TraceDnsCacheMissParams(NamedTuple):
    """The answer for a name is not known, so that it will be looked up."""

    host: str


class TraceTLSStartParams(NamedTuple):
    """TLS is about to be spoken to *host*: an origin, or an https proxy."""

    host: str
    port: int | None


class TraceTLSEndParams(NamedTuple):
    """The handshake is done and the certificate accepted."""

    host: str
    port: int | None


P = TypeVar("P")
_H = TypeVar("_H")

if TYPE_CHECKING:
    Handler = Callable[[ClientSession, Any, P], Awaitable[object]]


class _FreezableList(MutableSequence[_H]):
    """A list that takes no more changes once it is frozen."""

    def __init__(self) -> None:
        self._items: list[_H] = []
        self._is_frozen = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{' frozen' if self._is_frozen else ''} {self._items!r}>"

    @property
    def frozen(self) -> bool:
        """Whether it takes no more changes."""
        return self._is_frozen

    def freeze(self) -> None:
        """Take no more changes; may be called again."""
        self._is_frozen = True

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> _H: ...
    @overload
    def __getitem__(self, index: slice) -> list[_H]: ...
    def __getitem__(self, index: int | slice) -> _H | list[_H]:
        return self._items[index]

    @overload
    def __setitem__(self, index: int, value: _H) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[_H]) -> None: ...
    def __setitem__(self, index: int | slice, value: _H | Iterable[_H]) -> None:
        self._refuse_when_frozen()
        cast(Any, self._items)[index] = value

    def __delitem__(self, index: int | slice) -> None:
        self._refuse_when_frozen()
        del self._items[index]

    def insert(self, index: int, value: _H) -> None:
        """See ``list.insert``.

        Raises:
            RuntimeError: It is frozen.
        """
        self._refuse_when_frozen()
        self._items.insert(index, value)

    def _refuse_when_frozen(self) -> None:
        if self._is_frozen:
            raise RuntimeError("the handlers of a TraceConfig cannot be changed once a session uses it")


class Signal(_FreezableList["Handler[P]"], Generic[P]):
    """The handlers of one event, in the order in which they are awaited."""


class TraceConfig:
    """Handlers for what happens to the requests of a session: ``ClientSession(trace_configs=[config])``.

    Each handler is ``async def handler(session, trace_config_ctx, params)``. It is awaited where the event happens, in
    the task of the request; what it raises ends the request and is raised to its caller. The signals are lists, frozen
    as soon as a session has the config.

    Args:
        trace_config_ctx_factory: Makes the context of each request, which all handlers of this config are given;
            called with ``trace_request_ctx=``, what the request was given by that name, or None. Default
            ``SimpleNamespace``.

    Attributes:
        on_request_start: Before anything else; fields put into ``params.headers`` are sent.
        on_request_end: The head of the final response is complete.
        on_request_exception: The request failed or was cancelled before that, or by a handler.
        on_request_redirect: A redirection is about to be followed.
        on_request_headers_sent: A head is about to be sent; again for each redirection and each answer to a challenge.
        on_request_chunk_sent: A piece of the content is about to be sent.
        on_response_chunk_received: Content is about to be given to the reader: all at once by ``read()``, ``text()``
            and ``json()``, in the pieces in which it came by ``content``; not told of by ``save()``.
        on_connection_queued_start, on_connection_queued_end: The wait for a slot; not told of where there is one.
        on_connection_create_start, on_connection_create_end: A connection is made: DNS, TCP, proxy and TLS.
        on_connection_reuseconn: A connection is used again.
        on_dns_resolvehost_start, on_dns_resolvehost_end: A look-up.
        on_dns_cache_hit, on_dns_cache_miss: What the connector's cache says of a name.
        on_tls_start, on_tls_end: A TLS handshake.
    """

    def __init__(self, trace_config_ctx_factory: Callable[..., Any] = SimpleNamespace) -> None:
        self._make_context = trace_config_ctx_factory
        self.on_request_start: Final[Signal[TraceRequestStartParams]] = Signal()
        self.on_request_end: Final[Signal[TraceRequestEndParams]] = Signal()
        self.on_request_exception: Final[Signal[TraceRequestExceptionParams]] = Signal()
        self.on_request_redirect: Final[Signal[TraceRequestRedirectParams]] = Signal()
        self.on_request_headers_sent: Final[Signal[TraceRequestHeadersSentParams]] = Signal()
        self.on_request_chunk_sent: Final[Signal[TraceRequestChunkSentParams]] = Signal()
        self.on_response_chunk_received: Final[Signal[TraceResponseChunkReceivedParams]] = Signal()
        self.on_connection_queued_start: Final[Signal[TraceConnectionQueuedStartParams]] = Signal()
        self.on_connection_queued_end: Final[Signal[TraceConnectionQueuedEndParams]] = Signal()
        self.on_connection_create_start: Final[Signal[TraceConnectionCreateStartParams]] = Signal()
        self.on_connection_create_end: Final[Signal[TraceConnectionCreateEndParams]] = Signal()
        self.on_connection_reuseconn: Final[Signal[TraceConnectionReuseconnParams]] = Signal()
        self.on_dns_resolvehost_start: Final[Signal[TraceDnsResolveHostStartParams]] = Signal()
        self.on_dns_resolvehost_end: Final[Signal[TraceDnsResolveHostEndParams]] = Signal()
        self.on_dns_cache_hit: Final[Signal[TraceDnsCacheHitParams]] = Signal()
        self.on_dns_cache_miss: Final[Signal[TraceDnsCacheMissParams]] = Signal()
        self.on_tls_start: Final[Signal[TraceTLSStartParams]] = Signal()
        self.on_tls_end: Final[Signal[TraceTLSEndParams]] = Signal()

    def trace_config_ctx(self, trace_request_ctx: Any = None) -> Any:
        """A context for one request."""
        return self._make_context(trace_request_ctx=trace_request_ctx)

    def freeze(self) -> None:
        """Take no more handlers; a session does so when it is made."""
        for value in vars(self).values():
            if isinstance(value, Signal):
                value.freeze()
