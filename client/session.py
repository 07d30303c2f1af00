"""``ClientSession`` and ``request()``: what the user holds, the ready way of a plain request, one stale retry.

What a request goes through from hop to hop is in ``hops``, where its connection comes from in ``connectors``.
"""

from __future__ import annotations

import asyncio
import json as json_module
import os
import warnings
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack, cast

from .auth import Auth, check_auth
from .base_connector import BaseConnector
from .bodies import Body, BytesBody
from .connectors import TCPConnector
from .cookie_syntax import GivenCookies
from .cookies import CookieJar
from .exceptions import (
    ClientError,
    ClientOSError,
    ServerDisconnectedError,
    SessionClosedError,
)
from .exchange import ContentWishes, Exchange
from .heads import EXPECT_CONTENT, Fields, check_method, default_fields, lowered, merge_fields, request_head
from .hops import Hops, Plan, content_of, exchange_maker
from .limits import COALESCE_BYTES, REDIRECT_STATUSES
from .netrc_file import NetrcFile
from .options import RequestOptions
from .proxies import Proxy, environment_proxy, parse_proxy
from .redirects import resolve_reference
from .resolver import ThreadedResolver
from .response import ClientResponse
from .routes import Route
from .streams import StreamReader
from .timeouts import Timeout, as_timeout
from .tracing import TraceConfig
from .urls import Origin, locate, tell_url
from .watch import Watch

if TYPE_CHECKING:
    from yarl import URL

__all__ = ["ClientSession", "request"]

# RFC 9110 section 9.2.2: may be sent again when a reused connection turns out to be closed.
_IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))
# Fields that a session may have and that make its requests anything but ordinary.
_CONTENT_FIELDS: Final = frozenset(("content-type", "content-length", "transfer-encoding", "expect"))
# Heads made once for each origin; beyond it they are made anew.
_MAX_TAILS: Final = 1024
_NO_NAMES: Final[frozenset[str]] = frozenset()


class _RequestContext(Coroutine[Any, Any, ClientResponse]):
    """A request that is both awaitable and an asynchronous context manager; a coroutine to ``create_task``.

    Hot path: entering hands out the coroutine itself, which leaves its response here, and leaving hands out an
    awaitable that is done, so that ``async with`` costs no coroutines of its own.
    """

    __slots__ = ("_coro", "response")

    def __init__(self, session: ClientSession, method: str, url: str | URL, options: RequestOptions) -> None:
        if (
            session._is_plain
            and isinstance(url, str)
            and (method == "GET" if not options else _has_plain_content(method, options))
        ):
            self._coro = session._send_plain(self, method, url, options)
        else:
            self._coro = session._request(self, method, url, options)
        self.response: ClientResponse | None = None

    def __await__(self) -> Generator[Any, Any, ClientResponse]:
        return self._coro.__await__()

    def send(self, value: Any, /) -> Any:
        """See ``Coroutine``."""
        return self._coro.send(value)

    def throw(self, *args: Any) -> Any:
        """See ``Coroutine``."""
        try:
            return self._coro.throw(*args)
        finally:
            del args  # the traceback of what is thrown holds this frame

    def close(self) -> None:
        """See ``Coroutine``."""
        self._coro.close()

    def __aenter__(self) -> Coroutine[Any, Any, ClientResponse]:
        return self._coro

    def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> Coroutine[Any, Any, None]:
        response = self.response
        if response is None or response._exchange.is_ended:
            return _NOTHING
        return response.release()


def _has_plain_content(method: str, options: RequestOptions) -> bool:
    """Whether *options* hold octets, text, JSON or a stream that is there whole as content, and nothing else."""
    if len(options) != 1 or method not in EXPECT_CONTENT:
        return False
    data = options.get("data")
    if isinstance(data, (bytes, str)) or options.get("json") is not None:
        return True
    return type(data) is StreamReader and data._is_small_and_whole


class _Nothing:
    """What is done, as often as it is awaited. Hot path: awaiting it calls no Python."""

    __await__ = partial(iter, ())


_NOTHING: Final = cast(Coroutine[Any, Any, None], _Nothing())


class ClientSession:
    """Requests that share connections, fields and cookies. An asynchronous context manager.

    Args:
        base_url: Relative URLs are resolved against it (RFC 3986 section 5). Default None: URLs are absolute.
        connector: Where connections come from; default a ``TCPConnector()`` of the session's own.
        connector_owner: Whether ``close`` closes the connector too; default True.
        headers: Fields of every request. Accept, Accept-Encoding and User-Agent have defaults.
        cookies: Cookies of the session, sent to every host.
        cookie_jar: Your own jar; default a new one.
        timeout: Bounds of the phases of each request; a number is ``Timeout(total=number)``; default ``Timeout()``.
        raise_for_status: Whether a status of 400 and above raises ClientResponseError; default False.
        auto_decompress: Whether content codings are removed; default True. False gives the content as sent.
        max_body_bytes: Bound of a content as received; default None.
        max_decoded_bytes: Bound of a content with its codings removed. Default None: decoded octets are bounded by 1032
            for each coded one, which a number here takes the place of.
        verify_digest: Whether Content-Digest and Repr-Digest are held to the content (RFC 9530): True by sha-256 and
            sha-512, names of algorithms by these; default False.
        auth: Credentials of every request, whatever its host: ``BasicAuth``, ``BearerAuth``, ``DigestAuth``; not sent
            to another origin by a redirection, nor where the URL has user and password. Default None.
        trust_env: Whether credentials are looked up in the netrc file (``NETRC``, else ``~/.netrc``) for requests
            without, and whether ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy`` of the environment are
            obeyed, as they are when the session is made, unless the connector says itself where connections go;
            default False. Also a mapping in the place of the environment: with ``HOME`` or ``NETRC`` alone it is the
            netrc file that is trusted, which is read at once, and no proxy.
        proxy: URL of the proxy that all requests go through; default None. See ``ProxyConnector``.
        proxy_auth: Credentials for it, in place of those in its URL.
        fallback_charset_resolver: Asked for the encoding of a text, with the response and its content, when neither
            Content-Type nor a byte-order mark tells one that is known; a detector of charsets, for one. Default None:
            UTF-8.
        max_redirects: How many redirections are followed; default 10.
        before_redirect: Awaited with each redirection that is about to be followed, its content dropped; what it raises
            ends the request. Other than a ``TraceConfig`` it costs nothing where there is none. Default None.
        trace_configs: Who is told of what happens to the requests, see ``TraceConfig``; their handlers are frozen.
            Default None: nobody.
        skip_auto_headers: Names of fields that are not sent unless you give them: Accept, Accept-Encoding, User-Agent,
            Content-Type. Host and what the framing needs are always sent. Default None: all are.
        json_serialize: Makes the text of ``json=``, or its octets in UTF-8; default ``json.dumps``.
        timings: Whether each response has ``timings``, as it has with ``trace_configs``; default False,
            for what is timed does not go the ready way of a plain GET.

    Raises:
        ValueError: Fields with control characters, a digest algorithm that is not known, a netrc file that is none.
        InvalidURL: The proxy's URL is none.
    """

    def __init__(
        self,
        base_url: str | URL | None = None,
        *,
        connector: BaseConnector | None = None,
        connector_owner: bool = True,
        headers: Fields | None = None,
        cookies: GivenCookies | None = None,
        cookie_jar: CookieJar | None = None,
        timeout: Timeout | float | None = None,
        raise_for_status: bool = False,
        auto_decompress: bool = True,
        max_body_bytes: int | None = None,
        max_decoded_bytes: int | None = None,
        verify_digest: bool | Collection[str] = False,
        auth: Auth | None = None,
        trust_env: bool | Mapping[str, str] = False,
        proxy: str | URL | None = None,
        proxy_auth: Auth | None = None,
        fallback_charset_resolver: Callable[[ClientResponse, bytes], str] | None = None,
        max_redirects: int = 10,
        before_redirect: Callable[[ClientResponse], Awaitable[None]] | None = None,
        trace_configs: Sequence[TraceConfig] | None = None,
        skip_auto_headers: Iterable[str] | None = None,
        json_serialize: Callable[[Any], str | bytes] = json_module.dumps,
        timings: bool = False,
    ) -> None:
        self._base_url = None if base_url is None else str(base_url)
        if self._base_url is not None:
            locate(self._base_url)  # refuses a bad one now
        self._connector = TCPConnector() if connector is None else connector
        self._connector_owner = connector_owner
        skipped = _NO_NAMES if skip_auto_headers is None else lowered(skip_auto_headers)
        self._skips_type = "content-type" in skipped
        ours = [field for field in default_fields() if field[0].lower() not in skipped]
        given = None if headers is None else merge_fields((), headers)
        self._fields = merge_fields(ours, given)
        # Names of those of ours that are sent, which a request may do without.
        self._ours = frozenset(name.lower() for name, _ in ours if given is None or name not in given)
        self._dumps = json_serialize
        self._jar = CookieJar() if cookie_jar is None else cookie_jar
        if cookies:
            self._jar.update(cookies)
        self._timeout = as_timeout(timeout)
        self._raise_for_status = raise_for_status
        self._decode = auto_decompress
        self._max_body_bytes = max_body_bytes
        self._max_decoded_bytes = max_decoded_bytes
        self._verify_digest = verify_digest
        maker = exchange_maker(max_decoded_bytes, verify_digest)
        self._tails: dict[str, bytes] = {}  # what follows the request target, by origin
        self._plan = Plan(self._timeout, None, ContentWishes(auto_decompress, True, max_body_bytes), maker)
        # Whether an ordinary request is made of its method and URL and of what is the same for all.
        self._is_plain = (
            not (trace_configs or timings)
            and self._timeout.total is None
            and self._timeout.low_speed is None
            and maker is Exchange
            and self._base_url is None
            and auth is None
            and proxy is None
            and fallback_charset_resolver is None
            and not self._skips_type
            and not trust_env
            and self._connector.goes_direct
            and _CONTENT_FIELDS.isdisjoint(name.lower() for name in self._fields)
        )
        self._resolve_charset = fallback_charset_resolver
        self._is_watched = bool(trace_configs or timings)
        self._max_redirects = max_redirects
        self._before_redirect = before_redirect
        self._trace_configs = tuple(trace_configs or ())
        for config in self._trace_configs:
            config.freeze()
        self._auth = check_auth(auth)
        if auth is not None and "Authorization" in self._fields:
            raise ValueError("auth= and an Authorization field in headers= exclude each other")
        environment = os.environ if trust_env is True else trust_env or {}
        self._netrc = NetrcFile(environment) if trust_env else None
        if self._netrc is not None and trust_env is not True:
            self._netrc.load()
        self._proxy = None if proxy is None else parse_proxy(str(proxy), proxy_auth)
        self._environment = dict(environment) if self._connector.obeys_environment else {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<ClientSession {'closed' if self._closed else repr(self._connector)}>"

    def __del__(self) -> None:
        if not self.__dict__.get("_closed", True) and self._connector_owner and self._connector.open_count:
            warnings.warn(f"unclosed {self!r}; use 'async with' or close()", ResourceWarning, stacklevel=2)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def connector(self) -> BaseConnector:
        """Where connections come from."""
        return self._connector

    @property
    def cookie_jar(self) -> CookieJar:
        """The cookies of the session."""
        return self._jar

    @property
    def timeout(self) -> Timeout:
        """Bounds of the phases."""
        return self._timeout

    async def close(self) -> None:
        """Close the session and, if it owns it, the connector: idle connections and those in use."""
        if not self._closed:
            self._closed = True
            if self._connector_owner:
                await self._connector.close()

    # Requests.

    def request(self, method: str, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContext:
        """Send a request; returns at the response head. Await it, or use it as ``async with``.

        Args:
            method: Any token.
            url: Absolute, or relative to ``base_url``. Its octets are sent as they are.
            **options: See ``RequestOptions``.

        Raises:
            InvalidURL, ValueError, TypeError: What was given cannot be sent.
            ClientConnectionError: No connection, or it broke, or it took too long.
            ResponseProtocolError: What came is no HTTP/1.1.
            TooManyRedirects, RedirectError: A redirection cannot be followed.
            ClientResponseError: ``raise_for_status`` and a status of 400 or above.
        """
        return _RequestContext(self, check_method(method), url, options)

    def get(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContext:
        """GET; see ``request``."""
        return _RequestContext(self, "GET", url, options)

    def head(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContext:
        """HEAD; redirections are not followed unless ``allow_redirects=True``; see ``request``."""
        options.setdefault("allow_redirects", False)
        return _RequestContext(self, "HEAD", url, options)

    def options(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContext:
        """OPTIONS; see ``request``."""
        return _RequestContext(self, "OPTIONS", url, options)

    def post(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContext:
        """POST; see ``request``."""
        return _RequestContext(self, "POST", url, options)

    def put(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContext:
        """PUT; see ``request``."""
        return _RequestContext(self, "PUT", url, options)

    def patch(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContext:
        """PATCH; see ``request``."""
        return _RequestContext(self, "PATCH", url, options)

    def delete(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContext:
        """DELETE; see ``request``."""
        return _RequestContext(self, "DELETE", url, options)

    async def _request(
        self, context: _RequestContext, method: str, url: str | URL, options: RequestOptions
    ) -> ClientResponse:
        if self._closed:
            raise SessionClosedError("the session is closed")
        if self._base_url is not None:
            url = resolve_reference(self._base_url, str(url))
        context.response = response = await Hops(self, method, str(url), options).run(None)
        return response

    def _watch_for(self, options: RequestOptions) -> Watch | None:
        """Who watches a request with these options; None for nobody."""
        if not self._is_watched:
            return None
        return Watch(self, self._trace_configs, options.get("trace_request_ctx"))

    def _fields_without(self, skipped: Iterable[str]) -> list[tuple[str, str]]:
        """The fields of every request, without those of ours that are *skipped*."""
        names = self._ours & lowered(skipped)
        return [field for field in self._fields.items() if field[0].lower() not in names]

    def _auth_for(self, origin: Origin) -> Auth | None:
        """The credentials of the netrc file for *origin*, for a request that has none; None without."""
        return None if self._netrc is None else self._netrc.auth_for(origin.host)

    def _proxy_for(self, origin: Origin) -> Proxy | None:
        """The proxy for *origin* of a request that names none; None for the connector's, or none."""
        if self._proxy is not None or not self._environment:
            return self._proxy
        named = environment_proxy(origin, self._environment)
        return None if named is None else parse_proxy(named)

    async def _send_plain(
        self, context: _RequestContext, method: str, url: str, options: RequestOptions
    ) -> ClientResponse:
        """A request without anything of its own but small content, whose head is made from ready parts.

        Hot path: one coroutine from the caller to the socket. What turns out to be out of the ordinary (credentials in
        the URL, cookies, a redirection) goes the way of all other requests.
        """
        if self._closed:
            raise SessionClosedError("the session is closed")
        origin, target = locate(url)
        if self._jar or origin.authorization is not None:
            return await self._request(context, method, url, options)
        head = f"{method} {target}".encode() + (self._tails.get(origin.key) or self._make_tail(origin))
        first, body = head, None
        if options:
            data = options.get("data")
            if type(data) is StreamReader:
                if not data._is_small_and_whole:
                    return await self._request(context, method, url, options)
                options["data"] = data._take_whole()  # as octets it may also be sent again
            body = content_of(options, self._dumps)
            assert isinstance(body, BytesBody), "_has_plain_content was asked"
            head = first = _with_fields_of(head, body)
            if body.length <= COALESCE_BYTES:
                first, body = head + body.data, None
        plan = self._plan
        connection = self._connector.take_idle(origin.key)
        try:
            if connection is None:
                exchange = await self._perform(self._connector.route(origin), method, first, body, plan)
            else:
                exchange = Exchange(method, plan.content)
                waiter = connection.begin(exchange, first, body, plan.timeout)
                try:
                    await waiter
                    if exchange.upload is not None:
                        await connection.settle(exchange)
                except BaseException as exc:
                    can_repeat = isinstance(exc, (ServerDisconnectedError, ClientOSError)) and _can_repeat(
                        exchange, body
                    )
                    connection.give_up(exchange, waiter)
                    if exchange.upload is not None:
                        await connection.settle(exchange)
                    del exchange, waiter  # see Connection.perform
                    if not can_repeat:
                        raise
                    exchange = await self._perform_fresh(self._connector.route(origin), method, first, body, plan)
        except ClientError as exc:
            tell_url(exc, url)
            raise
        message = exchange.message
        if exchange.status in REDIRECT_STATUSES or message is None or message.sets_cookies:
            context.response = response = await Hops(self, method, url, options).run(exchange, head)
            return response
        context.response = response = ClientResponse(exchange, url)
        response._request_head = head
        if self._raise_for_status:
            response.raise_for_status()
        return response

    def _make_tail(self, origin: Origin) -> bytes:
        if len(self._tails) >= _MAX_TAILS:
            self._tails.clear()
        head = request_head("GET", "", origin, self._fields.copy(), None)
        tail = self._tails[origin.key] = head.removeprefix(b"GET ")
        return tail

    async def _perform(self, route: Route, method: str, head: bytes, body: Body | None, plan: Plan) -> Exchange:
        """Send one request, on a reused connection if there is one; once again if that one turns out to be closed.

        Source: RFC 9112 section 9.3.1 and RFC 9110 section 9.2.2: only idempotent methods, only when no octet of
        a response has come, only on a connection that had served before, only a body that can be sent again; any
        request of which nothing was sent.
        """
        connector, watch = self._connector, plan.watch
        if watch is not None:
            watch.begin()
            route = route._replace(watch=watch)
        connection = connector.take_idle(route.key) or await connector.acquire(route, plan.timeout, plan.total_at)
        is_reused = connection.served > 0
        sent = body if watch is None else await watch.about_to_send(connector, connection, head, body)
        exchange = plan.exchange(method, plan.content)
        exchange.total_at = plan.total_at
        if plan.expects:
            exchange.continued = asyncio.Event()
        try:
            await connection.perform(exchange, head, sent, plan.timeout)
            return exchange
        except (ServerDisconnectedError, ClientOSError):
            if not is_reused or not _can_repeat(exchange, body):
                raise
        finally:
            del exchange  # see Connection.perform
        return await self._perform_fresh(route, method, head, body, plan)

    async def _perform_fresh(self, route: Route, method: str, head: bytes, body: Body | None, plan: Plan) -> Exchange:
        connection = await self._connector.acquire(route, plan.timeout, plan.total_at, fresh=True)
        if plan.watch is not None:
            body = await plan.watch.about_to_send(self._connector, connection, head, body)
        exchange = plan.exchange(method, plan.content)
        exchange.total_at = plan.total_at
        if plan.expects:
            exchange.continued = asyncio.Event()
        try:
            await connection.perform(exchange, head, body, plan.timeout)
            return exchange
        finally:
            del exchange  # see Connection.perform


def _can_repeat(exchange: Exchange, body: Body | None) -> bool:
    """Whether a request may be sent again that met a closed connection; see ``ClientSession._perform``."""
    if exchange.head_octets:
        return False
    return exchange.is_unsent or (exchange.method in _IDEMPOTENT and (body is None or body.is_replayable))


def _with_fields_of(head: bytes, body: BytesBody) -> bytes:
    """*head*, which says nothing of content, with the fields of that of *body*."""
    fields = f"Content-Type: {body.content_type}\r\nContent-Length: {body.length}\r\n\r\n"
    return head[:-2] + fields.encode()


def request(
    method: str, url: str | URL, *, connector: BaseConnector | None = None, **options: Unpack[RequestOptions]
) -> _RequestContext:
    """Send one request without a session; returns at the response head. Await it, or use it as ``async with``.

    Without a connector the connection is closed after the response; a connector pools. Cookies are not kept, but by a
    connector with ``share_cookies=True``.

    Args:
        method: Any token.
        url: Absolute.
        connector: Where the connection comes from; it stays open, and yours.
        **options: See ``RequestOptions``.

    Raises:
        As ``ClientSession.request``.
    """
    if connector is None:
        connector = TCPConnector(force_close=True, resolver=ThreadedResolver())
    session = ClientSession(connector=connector, connector_owner=False, cookie_jar=connector.cookie_jar)
    return session.request(method, url, **options)
