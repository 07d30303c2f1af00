"""``ClientResponse``: what a request gives. Its head is complete; its content comes as it is read.

Whatever costs something and may never be asked for (fields, URL objects, cookies, a stream object) is made on demand.
"""

from __future__ import annotations

import asyncio
import contextlib
import json as json_module
import os
import re
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy

from .connection import Connection
from .cookie_syntax import simple_cookies
from .dispositions import ContentDisposition, parse_disposition
from .exceptions import ClientResponseError, ContentTypeError, StreamConsumedError
from .exchange import Exchange
from .framing import Framing
from .heads import split_head
from .large_json import loads_in_turns
from .limits import LARGE_JSON_CHARS, MAX_DRAIN_BYTES
from .mediatypes import charset_of, codec_for, media_type_of
from .pacing import Pace
from .redirects import resolve_reference
from .saving import FileWriter, move_rest
from .streams import StreamReader
from .targets import ObjectWriter, Writable, has_descriptor, open_target
from .urls import exact_url, without_userinfo

if TYPE_CHECKING:
    from http.cookies import SimpleCookie

    from yarl import URL

    from .timings import Timings

__all__ = ["ClientResponse", "RequestInfo"]

# How long the rest of a content that nobody wants is awaited; a new connection costs less than this on most networks.
_DRAIN_S = 0.5


class RequestInfo(NamedTuple):
    """A request as it was sent.

    Attributes:
        url: Its URL.
        method: In upper case.
        headers: Fields as they were sent, in order; credentials and cookies are among them.
        real_url: The same as ``url``.
    """

    url: URL
    method: str
    headers: CIMultiDictProxy[str]
    real_url: URL

    def __repr__(self) -> str:
        return f"<RequestInfo {self.method} {without_userinfo(str(self.url))}>"  # fields may be secret


class _Guard:
    """Closes the connection of a response that is dropped before its end; only responses that can be have one."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange: Exchange | None = exchange

    def __del__(self) -> None:
        if self._exchange is not None:
            try:
                self._exchange.dropped()
            finally:
                self._exchange.abandon()  # where warnings are errors, the warning is raised

    def disarm(self) -> None:
        """Somebody else takes care from here on."""
        self._exchange = None


class ClientResponse:
    """The response to a request, its head complete. Use it as ``async with``, or read it to the end, or close it.

    A response that is dropped with content unread closes its connection and warns (ResourceWarning).

    Attributes:
        status: Status code (RFC 9110 section 15).
        history: Responses that led here by redirection, oldest first.
    """

    # Hot path: class attributes until they change, one of these is made for every request.
    _url: URL | None = None
    _headers: CIMultiDictProxy[str] | None = None
    _content: StreamReader | None = None
    _body: bytes | None = None
    _is_claimed = False
    _guard: _Guard | None = None  # None when the message has come whole: dropping such a response costs nobody anything
    history: tuple[ClientResponse, ...] = ()
    # Set by who makes it: the head of the request as sent, and what is asked for a charset that nobody tells.
    _request_head = b""
    _resolve_charset: Callable[[ClientResponse, bytes], str] | None = None

    def __init__(self, exchange: Exchange, url: str) -> None:
        self._exchange = exchange
        if not exchange.is_ended:
            self._guard = _Guard(exchange)
            exchange.tell_url(url)
        elif exchange._decoder is not None:
            exchange.tell_url(url)
        self._url_text = url
        self.status = exchange.status

    def __repr__(self) -> str:
        head = f"{self.method} {without_userinfo(self._url_text)} [{self.status} {self.reason}]"
        return f"<ClientResponse {head}{self._progress()}>"

    def _progress(self) -> str:
        """How much of the content has come, its codings not removed; nothing once all has."""
        exchange = self._exchange
        if exchange.is_ended:
            return ""
        message = exchange.message
        length = None if message is None else message.length
        came = f" {exchange.received} octets so far" if length is None else f" {exchange.received} of {length} octets"
        return came if exchange.error is None else f"{came}, failed"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if not self._exchange.is_over:
            await self.release()

    # The head.

    @property
    def method(self) -> str:
        """Method of the request that was answered, after redirections."""
        return self._exchange.method

    @property
    def reason(self) -> str:
        """Reason phrase as received; may be empty."""
        return self._exchange.reason.decode("latin-1")

    @property
    def version(self) -> str:
        """HTTP version of the response."""
        return self._exchange.version

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """Fields in the order received, names case-insensitive; octets beyond ASCII as UTF-8 with surrogate escapes."""
        if self._headers is None:
            self._headers = _decoded(self._exchange.fields)
        return self._headers

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Fields as they came on the wire: names as written, repeated ones repeated."""
        return tuple(self._exchange.fields)

    def raw_field(self, name: bytes) -> bytes | None:
        """Value of the first field *name* as it came on the wire; None without. Cheaper than ``headers`` for one field.

        Args:
            name: As it is usually written, ``Last-Modified``; it is found however it is written.
        """
        return self._exchange.field(name)

    def has_field_like(self, pattern: re.Pattern[bytes]) -> bool:
        """Whether *pattern* is found in the field lines as they came; cheaper than ``headers`` for one look at all.

        Args:
            pattern: Searched in the octets of all lines; each has a line feed before it: ``(?i)\\nx-.*-hash:``.
        """
        return self._exchange.has_field_like(pattern)

    @property
    def is_complete(self) -> bool:
        """Whether the whole message has come, so that reading it will not wait for the peer."""
        return self._exchange.is_ended

    @property
    def trailers(self) -> CIMultiDictProxy[str]:
        """Fields of the trailer section (RFC 9112 section 7.1.2); empty until the content was read."""
        return _decoded(self._exchange.trailers)

    @property
    def interim(self) -> tuple[tuple[int, CIMultiDictProxy[str]], ...]:
        """Status and fields of each interim response that came before, such as 103 Early Hints (RFC 8297)."""
        return tuple((status, _decoded(fields)) for status, fields in self._exchange.interim)

    @property
    def timings(self) -> Timings | None:
        """Seconds that each phase of the request took, for a session with ``timings=True`` or traces; None else."""
        return self._exchange.timings

    @property
    def verified_digests(self) -> tuple[str, ...]:
        """What ``verify_digest=`` has held to the content, as ``("Repr-Digest sha-256",)``; empty until it was read."""
        return self._exchange.verified_digests

    @property
    def url(self) -> URL:
        """The URL that was requested, its octets as they were sent, fragment included."""
        if self._url is None:
            self._url = exact_url(self._url_text)
        return self._url

    @property
    def real_url(self) -> URL:
        """The same as ``url``, which here has its fragment as well."""
        return self.url

    @property
    def host(self) -> str | None:
        """Host of ``url``, lower-case, an IPv6 address without brackets."""
        return self.url.host

    @property
    def request_info(self) -> RequestInfo:
        """The request that was answered, as it was sent last: after redirections, with credentials and cookies."""
        fields = split_head(self._request_head)
        return RequestInfo(self.url, self.method, _decoded(fields), self.url)

    @property
    def cookies(self) -> SimpleCookie:
        """What Set-Cookie fields of this response say; one that cannot be parsed is left out."""
        return simple_cookies(self.headers.getall("Set-Cookie", ()))

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def content_length(self) -> int | None:
        """Content-Length as announced; None without. The response to HEAD has one and no content."""
        message = self._exchange.message
        return None if message is None else message.length

    @property
    def content_type(self) -> str:
        """Media type without parameters, lower-case; ``application/octet-stream`` without one (RFC 9110 8.3)."""
        value = self.headers.get("Content-Type")
        return "application/octet-stream" if value is None else media_type_of(value)

    @property
    def charset(self) -> str | None:
        """The charset parameter of Content-Type, lower-case; None without."""
        return charset_of(self.headers.get("Content-Type", ""))

    @property
    def links(self) -> MultiDictProxy[MultiDictProxy[str | URL]]:
        """Link fields (RFC 8288) by relation type, lower-case; by the URL for a link without one.

        Each is a mapping of its parameters, and ``url``: the target, resolved against the URL of the response, of which
        no octet is changed. One with several relation types stands under each; what is no URL is left out.
        """
        from .weblinks import parse_links  # most responses are never asked

        found: MultiDict[MultiDictProxy[str | URL]] = MultiDict()
        for link in parse_links(self.headers.getall("Link", ())):
            try:
                url = exact_url(resolve_reference(self._url_text, link.target))
            except ValueError:
                continue
            entry: MultiDict[str | URL] = MultiDict([*link.parameters, ("url", url)])
            for relation in link.relations or (str(url),):
                found.add(relation, MultiDictProxy(entry))
        return MultiDictProxy(found)

    @property
    def content_disposition(self) -> ContentDisposition | None:
        """What Content-Disposition says (RFC 6266); None without one, or when it says nothing sensible."""
        value = self.headers.get("Content-Disposition")
        if value is None:
            return None
        return parse_disposition(value)

    def raise_for_status(self) -> None:
        """Raise for a status of 400 and above, closing the response.

        Raises:
            ClientResponseError: With status, reason and fields.
        """
        if not self.ok:
            self.close()
            raise ClientResponseError(
                without_userinfo(self._url_text),
                status=self.status,
                message=self.reason,
                headers=self.headers,
                history=self.history,
            )

    # The content.

    @property
    def content(self) -> StreamReader:
        """The content as a stream."""
        if self._content is None:
            message = self._exchange.message
            length = None if message is None or self._exchange.changes_length else message.length
            if message is not None and message.framing is Framing.NONE:
                length = 0
            buffer = self._exchange.body
            if self._body is not None:
                buffer.take_all()  # it was read, and is not given a second time
            if self._guard is not None:  # the stream lives on without the response, and takes care itself
                self._guard.disarm()
            self._content = self._make_stream(length)
        return self._content

    def _make_stream(self, length: int | None) -> StreamReader:
        return StreamReader(length=length, _buffer=self._exchange.body, _owner=self._exchange)

    def _claim(self) -> None:
        if self._content is not None:
            self._content._claim_whole()
        elif self._is_claimed:
            raise StreamConsumedError("the content was already saved or is being read")
        self._is_claimed = True

    async def read(self) -> bytes:
        """Read the content to its end; the same object when called again.

        Raises:
            ClientPayloadError: The content is truncated, cannot be decoded, or is too large.
            ServerTimeoutError: It took too long.
            StreamConsumedError: Streaming had begun.
        """
        if self._body is None:
            whole = self._exchange.whole
            if whole is not None and not self._is_claimed:
                self._is_claimed = True
                self._body = whole
                return whole
            self._claim()
            buffer = self._exchange.body
            try:
                self._body = buffer.take_all() if buffer.is_eof else await buffer.collect()
            except BaseException:
                self._is_claimed = False
                self._exchange.keep_twin_of_failure()
                raise
        return self._body

    async def text(self, encoding: str | None = None, errors: str = "strict") -> str:
        """Read the content as text.

        Args:
            encoding: Default: see ``get_encoding``.
            errors: As for ``bytes.decode``.

        Raises:
            UnicodeDecodeError, LookupError: The octets are not in that encoding, or it is unknown.
        """
        body = await self.read()
        return body.decode(encoding or self.get_encoding(), errors)

    def get_encoding(self) -> str:
        """What ``text`` decodes by: the charset of Content-Type, else a byte-order mark, else what the session's
        ``fallback_charset_resolver`` says, else UTF-8. That resolver is asked about a charset that is unknown, too, and
        never about JSON.

        Raises:
            RuntimeError: The content was not read, and Content-Type does not tell.
            LookupError: The charset is unknown and there is no resolver.
        """
        charset, resolve, body = self.charset, self._resolve_charset, self._body
        if charset is not None:
            try:
                return codec_for(charset)
            except LookupError:
                if resolve is None:
                    raise
        if body is None:
            raise RuntimeError("Content-Type has no charset that is known, and the content was not read: read() it")
        found = _bom_encoding(body)
        if found is None:
            # JSON is UTF-8 (RFC 8259 section 8.1).
            found = "utf-8" if resolve is None or self._is_type("application/json") else resolve(self, body)
        return found

    async def json(
        self,
        *,
        encoding: str | None = None,
        loads: Callable[[str], Any] = json_module.loads,
        content_type: str | None = "application/json",
    ) -> Any:
        """Read the content as JSON.

        A document of more than 1,048,576 characters is parsed in steps between which others have their turns.

        Args:
            encoding: As for ``text``.
            loads: The parser. Any but the default is called once, with the whole text.
            content_type: Expected media type; ``application/json`` also takes ``*/*+json``. None takes any.

        Raises:
            ContentTypeError: Another media type.
            ValueError: No JSON.
        """
        if content_type is not None and not self._is_type(content_type):
            raise ContentTypeError(
                without_userinfo(self._url_text),
                status=self.status,
                message=f"content is {self.content_type}, expected {content_type}; json(content_type=None) takes any",
                headers=self.headers,
                history=self.history,
            )
        text = await self.text(encoding)
        if loads is json_module.loads and len(text) > LARGE_JSON_CHARS:
            return await loads_in_turns(text)
        return loads(text)

    def _is_type(self, expected: str) -> bool:
        seen = self.content_type
        return seen == expected or (expected == "application/json" and seen.endswith("+json"))

    async def save(
        self, target: str | os.PathLike[str] | int | Writable, *, offset: int | None = None, pace: Pace | None = None
    ) -> int:
        """Write the content to a file by the cheapest way there is, and give the number of octets written.

        Identity content of known length never passes through Python (``splice(2)`` on plain sockets), and larger ones
        are moved by a worker thread. When this raises, the file keeps what had come.

        Args:
            target: A path, which is created or cut to *offset*; or a descriptor or file object open for writing, which
                is neither cut nor closed. An object that is more than a file of the system (``gzip.open``,
                ``io.BytesIO``, aiofiles) is given the octets by its ``write``, in a worker thread. The path of a pipe
                waits for a reader.
            offset: Where in the file to begin. None, the default, is 0 for a path and the current position else.
            pace: Says how quickly content is taken; while it lets nothing be taken the idle time does not count. None,
                the default, is as quickly as it comes.

        Raises:
            ClientError: As ``read``.
            OSError: The file cannot take it.
        """
        self._claim()
        try:
            if isinstance(target, (str, os.PathLike)):
                return await self._save_to_path(target, offset or 0, pace)
            if not isinstance(target, int):
                if not has_descriptor(target):
                    return await self._save(await ObjectWriter.at(target, offset), pace)
                target.flush()
                target = target.fileno()
            if offset is not None:
                os.lseek(target, offset, os.SEEK_SET)
            return await self._save(FileWriter(target), pace)
        except BaseException:
            self._exchange.abandon()
            self._exchange.keep_twin_of_failure()
            raise

    async def _save_to_path(self, path: str | os.PathLike[str], offset: int, pace: Pace | None) -> int:
        fd = await open_target(path, cut=not offset)
        try:
            if offset:
                os.ftruncate(fd, offset)
                os.lseek(fd, offset, os.SEEK_SET)
            return await self._save(FileWriter(fd), pace)
        finally:
            os.close(fd)

    async def _save(self, writer: FileWriter | ObjectWriter, pace: Pace | None) -> int:
        exchange, buffer = self._exchange, self._exchange.body
        message = exchange.message
        assert message is not None, "a response has a head"
        # While the request is still being sent the loop has the channel: TLS takes no two threads at once.
        fd = writer.regular_fd
        is_direct = message.framing is Framing.LENGTH and not exchange.is_decoded and exchange.is_sent
        written = 0
        while True:
            while data := buffer.take_all():
                await writer.write(data)
                written += len(data)
                if pace is not None:
                    pace.spend(len(data))
            connection = exchange.transport
            if fd is not None and is_direct and isinstance(connection, Connection) and not connection.is_tapped:
                written += exchange.take_over()
                await move_rest(exchange, connection, fd, pace)
                return written
            if buffer.exception is not None:
                raise buffer.exception
            if buffer.is_eof:
                return written
            if pace is not None:
                await pace.turn()
            await buffer.wait()

    # The end.

    def close(self) -> None:
        """Let go of the response now; a connection with content still to come is closed."""
        self._exchange.abandon()

    async def release(self) -> None:
        """Let go of the response and keep its connection if that is cheap.

        Content that is still to come is dropped when it is at most 64 KiB and comes within half a second; else the
        connection is closed.
        """
        exchange = self._exchange
        message = exchange.message
        if exchange.is_over or message is None:
            return
        try:
            # Draining is for a connection that can serve again. What another task still reads breaks off for it.
            if message.keep_alive and exchange.is_sent and exchange.body.waiter is None:
                exchange.discard(MAX_DRAIN_BYTES)
                if exchange.take_over() <= MAX_DRAIN_BYTES:
                    await self._drain()
        finally:
            exchange.abandon()

    async def _drain(self) -> None:
        exchange = self._exchange
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while not exchange.is_over:
                    await exchange.body.wait()


def _decoded(fields: list[tuple[bytes, bytes]]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(
        CIMultiDict([(n.decode("ascii"), v.decode("utf-8", "surrogateescape").strip(" \t")) for n, v in fields])
    )


def _bom_encoding(body: bytes) -> str | None:
    if body.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    return None
