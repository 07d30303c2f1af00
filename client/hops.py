"""One request of a caller and the redirections that follow it: from hop to hop until a response is final.

Lives here: the order of the steps. What each step decides is elsewhere: the URL (``urls``), the head (``heads``),
cookies (``cookies``), redirections (``redirects``). How one hop is performed is the session's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from multidict import CIMultiDict

from .auth import Auth, check_auth, is_refusal
from .bodies import Body, BytesBody, as_body, json_body
from .cookie_syntax import given_by_hand
from .exceptions import ClientError, RedirectError, TooManyRedirects
from .exchange import ContentWishes, Exchange
from .heads import check_trailers, check_value, lowered, merge_fields, request_head
from .limits import COALESCE_BYTES, REDIRECT_STATUSES
from .mediatypes import charset_of
from .options import RequestOptions, check_options
from .proxies import Proxy, parse_proxy
from .redirects import Redirect, redirect_decision, strip_fields
from .response import ClientResponse
from .routes import Route
from .timeouts import Timeout, as_timeout
from .trust import TLS_OPTIONS, tls_wishes
from .urls import exact_url, locate, tell_url, with_params, without_userinfo
from .watch import Watch

if TYPE_CHECKING:
    from .session import ClientSession

__all__ = ["Hops", "Plan", "content_of", "exchange_maker"]

_CHALLENGING: Final = frozenset((401, 407))
# Answers in a row: one to the proxy, one to the origin, and one each for a nonce that had become stale.
_MAX_ANSWERS: Final = 4


class _Party(NamedTuple):
    """One that may ask who we are.

    Attributes:
        status: Status code of its challenges.
        asks: Field of its challenges, lower-case.
        field: Field of the credentials.
        auth: What answers.
        target: Request target as that party sees it.
    """

    status: int
    asks: bytes
    field: str
    auth: Auth
    target: str


class Plan(NamedTuple):
    """What stays the same over the hops of one request."""

    timeout: Timeout
    total_at: float | None
    content: ContentWishes
    exchange: Callable[..., Exchange] = Exchange
    expects: bool = False
    watch: Watch | None = None


def exchange_maker(
    max_decoded_bytes: int | None, verify_digest: bool | Collection[str], watch: Watch | None = None
) -> Callable[..., Exchange]:
    """What makes the exchange of a request with these wishes.

    Raises:
        ValueError: A digest algorithm that is not known, a bound below 0.
    """
    if max_decoded_bytes is None and verify_digest is False and watch is None:
        return Exchange
    from .checking import CheckedExchange
    from .digests import algorithms_for

    if max_decoded_bytes is not None and max_decoded_bytes < 0:
        raise ValueError(f"max_decoded_bytes is {max_decoded_bytes}; expected 0 octets or more, or None")
    algorithms = algorithms_for(verify_digest)
    if watch is None:
        return partial(CheckedExchange, max_decoded_bytes=max_decoded_bytes, algorithms=algorithms)
    from .watched import WatchedExchange

    return partial(WatchedExchange, watch=watch, max_decoded_bytes=max_decoded_bytes, algorithms=algorithms)


_CHECKS = frozenset(("max_decoded_bytes", "verify_digest"))
_SHAPES = frozenset(("compress", "chunked", "trailers"))


class Hops:
    """One request of a caller and the redirections that follow it."""

    def __init__(self, session: ClientSession, method: str, url: str, options: RequestOptions) -> None:
        check_options(options)
        self._session = session
        self._method = method
        self._options = options
        params = options.get("params")
        self._url = url if params is None else with_params(url, params)
        skipped = options.get("skip_auto_headers")
        base = session._fields.items() if skipped is None else session._fields_without(skipped)
        self._fields: CIMultiDict[str] = merge_fields(base, options.get("headers"))
        self._cookies = dict(given_by_hand(options.get("cookies") or ()))
        self._body = self._body_of(options, skipped)
        if options.get("expect100"):
            self._fields["Expect"] = "100-continue"
        self._auth = self._auth_of(options)
        self._proxy = _proxy_of(options)
        self._history: list[ClientResponse] = []
        self._tls = None if TLS_OPTIONS.isdisjoint(options) else tls_wishes(options)
        timeout = as_timeout(options.get("timeout", session._timeout))
        self._watch = watch = session._watch_for(options)
        is_unchecked = watch is None and _CHECKS.isdisjoint(options)
        now = asyncio.get_running_loop().time()
        self._plan = Plan(
            timeout,
            None if timeout.total is None else now + timeout.total,
            ContentWishes(
                options.get("auto_decompress", session._decode),
                options.get("allow_redirects", True),
                options.get("max_body_bytes", session._max_body_bytes),
            ),
            session._plan.exchange if is_unchecked else self._exchange_maker(),
            watch=watch,
        )

    def _body_of(self, options: RequestOptions, skipped: Iterable[str] | None) -> Body | None:
        session, fields = self._session, self._fields
        # The caller's Content-Type says how a text is encoded.
        is_told = isinstance(options.get("data"), str) and "Content-Type" in fields
        body = content_of(options, session._dumps, charset_of(fields["Content-Type"]) if is_told else None)
        if body is None:
            if options.get("trailers"):
                raise ValueError("trailers= goes with content: a trailer stands behind it")
            return None
        if session._skips_type or (skipped is not None and "content-type" in lowered(skipped)):
            body.content_type = None
        return body if _SHAPES.isdisjoint(options) else self._shaped(body, options)

    def _shaped(self, body: Body, options: RequestOptions) -> Body:
        """*body* as ``compress=``, ``chunked=`` and ``trailers=`` want it."""
        from .compressing import check_coding, reshaped

        chunked, trailers = bool(options.get("chunked")), options.get("trailers")
        if trailers:
            self._fields["Trailer"] = check_trailers(trailers)
            chunked = True

        coding = check_coding(options.get("compress"))
        if coding is not None and "Content-Encoding" in self._fields:
            raise ValueError("compress= and a Content-Encoding field exclude each other: who sets it compresses")
        if body.length == 0:
            coding = None  # an empty content becomes no smaller
        if coding is not None:
            self._fields["Content-Encoding"] = coding
        elif not chunked:
            return body
        return reshaped(body, coding, chunked=chunked, trailers=trailers)

    def _exchange_maker(self) -> Callable[..., Exchange]:
        session, options = self._session, self._options
        return exchange_maker(
            options.get("max_decoded_bytes", session._max_decoded_bytes),
            options.get("verify_digest", session._verify_digest),
            self._watch,
        )

    async def run(self, exchange: Exchange | None, head: bytes = b"") -> ClientResponse:
        """Go from hop to hop until a response is final; *exchange*, of *head*, is the first hop if it was made."""
        self._head = head
        try:
            return await (self._run(exchange) if self._watch is None else self._run_watched(self._watch))
        except ClientError as exc:
            tell_url(exc, self._url)
            raise

    async def _run_watched(self, watch: Watch) -> ClientResponse:
        watch.at(self._method, self._url, self._fields)
        await watch.request_start()
        try:
            self._fields = merge_fields((), self._fields)  # what a handler has put in is looked at like all the others
            response = await self._run(None)
            await watch.request_end(response)
            return response
        except GeneratorExit:  # given up by the loop that ran it: nothing can be awaited any more
            raise
        except BaseException as exc:
            await watch.request_exception(exc)
            raise

    async def _run(self, exchange: Exchange | None) -> ClientResponse:
        session, watch = self._session, self._watch
        while True:
            if exchange is None:
                exchange = await self._hop_of_many() if self._history else await self._hop()
            response = self._response(exchange)
            response.history = tuple(self._history)
            response._request_head = self._head
            response._resolve_charset = session._resolve_charset
            self._keep_cookies(response)
            redirect = self._decide(response)
            if redirect is None:
                if self._options.get("raise_for_status", session._raise_for_status):
                    response.raise_for_status()
                return response
            exchange = None
            if watch is not None:
                await watch.redirected(response)
            await response.release()
            if session._before_redirect is not None:
                await session._before_redirect(response)
            self._follow(redirect, response)
            if watch is not None:
                watch.at(self._method, self._url, self._fields)

    async def _hop_of_many(self) -> Exchange:
        """A hop after others, whose error tells of them."""
        try:
            return await self._hop()
        except ClientError as exc:
            exc.history = tuple(self._history)
            raise

    def _response(self, exchange: Exchange) -> ClientResponse:
        if self._watch is None or not self._watch.wants_content:
            return ClientResponse(exchange, self._url)
        from .watched import WatchedResponse

        return WatchedResponse(exchange, self._url, self._watch)

    async def _hop(self) -> Exchange:
        session = self._session
        origin, target = locate(self._url)
        route = session._connector.route(origin, self._tls, self._proxy or session._proxy_for(origin))
        proxy = route.forwarding_proxy
        fields = self._fields.copy()
        self._add_cookies(fields)
        parties: list[_Party] = []
        auth = self._auth
        if auth is None and origin.authorization is None and "Authorization" not in fields:
            auth = session._auth_for(origin)
        if auth is not None:
            parties.append(_Party(401, b"www-authenticate", "Authorization", auth, target))
        if proxy is None:
            fields.popall("Proxy-Authorization", None)  # set by hand: it is for no origin
        else:
            target = f"{origin.scheme}://{origin.host_field}{target}"  # absolute-form, RFC 9112 section 3.2.2
            fields.extend(proxy.fields)
            if proxy.auth is not None:
                parties.append(_Party(407, b"proxy-authenticate", "Proxy-Authorization", proxy.auth, target))
        if parties:
            return await self._send_with_auth(route, target, fields, parties)
        return await self._send(route, target, fields)

    def _auth_of(self, options: RequestOptions) -> Auth | None:
        """The credentials that the caller gave for the origin.

        Raises:
            ValueError: They are given in another place, too.
            TypeError: They are no ``Auth``.
        """
        auth = check_auth(options.get("auth")) or self._session._auth
        if auth is None:
            return None
        if options.get("auth") is None and locate(self._url)[0].authorization is not None:
            return None  # what the URL says is meant for this request, the session's for all
        if "Authorization" in self._fields:
            raise ValueError("auth= and an Authorization field exclude each other")
        if locate(self._url)[0].authorization is not None:
            raise ValueError("auth= and user and password in the URL exclude each other")
        return auth

    async def _send_with_auth(
        self, route: Route, target: str, fields: CIMultiDict[str], parties: list[_Party]
    ) -> Exchange:
        """Send a request with credentials, and again with the answers to challenges (RFC 9110 section 11.2)."""
        content = b"" if self._body is None else self._body.data if isinstance(self._body, BytesBody) else None
        for party in parties:
            credentials = party.auth.authorize(self._method, party.target, content)
            if credentials is not None:
                fields[party.field] = check_value(party.field, credentials)
        given: set[str] = set()  # fields of credentials that answer a challenge of this very request
        for _ in range(_MAX_ANSWERS):
            exchange = await self._send(route, target, fields)
            answered = self._answer(exchange, parties, content, fields, given)
            if answered is None:
                return exchange
            challenge = ClientResponse(exchange, self._url)
            await challenge.release()
            if challenge.status == 401:  # a 407 is the proxy's, which sets no cookies of the origin
                self._keep_cookies(challenge)
                self._add_cookies(fields)
            field, credentials = answered
            fields[field] = check_value(field, credentials)
            given.add(field)
        return await self._send(route, target, fields)

    def _answer(
        self,
        exchange: Exchange,
        parties: list[_Party],
        content: bytes | None,
        sent: Mapping[str, str],
        given: set[str],
    ) -> tuple[str, str] | None:
        """Field and credentials in answer to a challenge; None when there is none, or the body is used up.

        Args:
            sent: Fields of the request that was challenged.
            given: Fields of credentials that were such an answer before: they are wrong unless the server says stale.
        """
        if exchange.status not in _CHALLENGING or not (self._body is None or self._body.is_replayable):
            return None
        for party in parties:
            if party.status == exchange.status:
                challenges = [value.decode("latin-1") for name, value in exchange.fields if name.lower() == party.asks]
                if party.field in given and is_refusal(challenges):
                    return None
                credentials = party.auth.answer(challenges, self._method, party.target, content, sent.get(party.field))
                return None if credentials is None else (party.field, credentials)
        return None

    async def _send(self, route: Route, target: str, fields: CIMultiDict[str]) -> Exchange:
        body = self._body
        if "Expect" in fields:
            return await self._send_when_wanted(route, target, fields)
        head = self._head = request_head(self._method, target, route.origin, fields, body)
        if isinstance(body, BytesBody) and body.length <= COALESCE_BYTES:
            head, body = head + body.data, None
        return await self._session._perform(route, self._method, head, body, self._plan)

    async def _send_when_wanted(self, route: Route, target: str, fields: CIMultiDict[str]) -> Exchange:
        """Send the head, and the content when the server wants it; once more without asking after a 417.

        Source: RFC 9110 section 10.1.1. Without content there is nothing to ask for, so the field is left out.
        """
        body = self._body
        expects = fields["Expect"].strip().lower() == "100-continue"
        if body is None or body.length == 0:
            if expects:
                del fields["Expect"]
                return await self._send(route, target, fields)
            expects = False
        head = self._head = request_head(self._method, target, route.origin, fields, body)
        exchange = await self._session._perform(route, self._method, head, body, self._plan._replace(expects=expects))
        continued = exchange.continued
        if exchange.status != 417 or continued is None or continued.is_set():
            return exchange
        await ClientResponse(exchange, self._url).release()
        del fields["Expect"]
        return await self._send(route, target, fields)

    def _add_cookies(self, fields: CIMultiDict[str]) -> None:
        jar = self._session._jar
        pairs = [f"{name}={value}" for name, value in self._cookies.items()]
        if jar:
            stored = jar.cookie_header(exact_url(self._url)).split("; ")
            # What the request gives itself takes the place of what is known: of two, servers take now this, now that.
            pairs[:0] = [pair for pair in stored if pair and pair.partition("=")[0] not in self._cookies]
        if pairs:
            fields.popall("Cookie", None)
            given = self._fields.getall("Cookie", ())
            fields["Cookie"] = check_value("Cookie", "; ".join([*given, *pairs]))

    def _keep_cookies(self, response: ClientResponse) -> None:
        message = response._exchange.message
        if message is not None and message.sets_cookies:
            self._session._jar.update_from_response(response.headers.getall("Set-Cookie"), response.url)

    def _decide(self, response: ClientResponse) -> Redirect | None:
        if response.status not in REDIRECT_STATUSES or not self._plan.content.follows:
            return None
        try:
            return redirect_decision(response.status, self._method, self._url, response.headers.get("Location"))
        except RedirectError:
            response.close()
            raise

    def _follow(self, redirect: Redirect, response: ClientResponse) -> None:
        """Make the request that *redirect* asks for.

        Raises:
            TooManyRedirects: The bound is reached.
            RedirectError: The body would have to be sent again and cannot be.
        """
        self._history.append(response)
        limit = self._options.get("max_redirects", self._session._max_redirects)
        shown = without_userinfo(redirect.url)
        if len(self._history) > limit:
            message = f"more than {limit} redirections, the last one to {shown};"
            raise TooManyRedirects(
                without_userinfo(self._url), status=response.status, message=message, history=self._history
            )
        if redirect.keep_body and self._body is not None and not self._body.is_replayable:
            message = f"the redirection to {shown} asks for the body again, which can be sent only once;"
            raise RedirectError(
                without_userinfo(self._url), status=response.status, message=message, history=self._history
            )
        before, after = locate(self._url)[0], locate(redirect.url)[0]
        if before.authorization is not None and after.authorization is None:
            # The userinfo of a URL is for its whole origin; when that is left, it is taken off with the rest below.
            self._fields.setdefault("Authorization", before.authorization)
        strip_fields(self._fields, cross_origin=redirect.cross_origin, keep_body=redirect.keep_body)
        if redirect.cross_origin:
            self._cookies.clear()
            self._auth = None
            if self._tls is not None:
                self._tls = self._tls._replace(server_hostname=None)
        if not redirect.keep_body:
            self._body = None
        self._url, self._method = redirect.url, redirect.method


def _proxy_of(options: RequestOptions) -> Proxy | None:
    proxy, auth, fields = options.get("proxy"), options.get("proxy_auth"), options.get("proxy_headers")
    if proxy is not None:
        return parse_proxy(str(proxy), auth, fields)
    if auth is not None or fields is not None:
        raise ValueError("proxy_auth= and proxy_headers= are for the proxy= of the same request; give that, too")
    return None


def content_of(options: RequestOptions, dumps: Callable[[Any], str | bytes], charset: str | None = None) -> Body | None:
    """The content that *options* ask for; None for none.

    Args:
        options: Those of a request.
        dumps: Makes JSON of ``json=``.
        charset: Of a text given as ``data=``; None for UTF-8.

    Raises:
        ValueError, TypeError: It cannot be sent; see ``as_body``.
    """
    data, json = options.get("data"), options.get("json")
    if data is not None and json is not None:
        raise ValueError("data= and json= exclude each other")
    if json is not None:
        return json_body(json, dumps)
    return None if data is None else as_body(data, charset)
