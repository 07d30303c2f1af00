"""One request and its response: what has come of it and what is still to come.

The exchange is the protocol object of the parser, fed by its ``Connection``, and it is detached from the connection
before that is given back to the pool, so that nothing of one request can reach the next. It does no I/O: the tests
drive it with octets. Lives here: response head, framing, decoding, the end of the message. Not here: sockets, clocks.

A connection is fit for another request only on positive proof: request fully sent, message complete, not an octet
left over, no exception, and both sides willing.
"""

from __future__ import annotations

import asyncio
import copy
import re
import warnings
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import httptools

from .buffers import Buffer
from .codings import BoundedDecoder, CountingDecoder, Decoder, decoder_for
from .exceptions import (
    BodyTooLargeError,
    ClientError,
    ClientPayloadError,
    ContentCodingError,
    IncompleteMessageError,
    ResponseHeadTooLargeError,
    ResponseProtocolError,
    ServerDisconnectedError,
)
from .fasthead import ordinary_head, split_fields
from .framing import Framing, Message, RawFields, describe
from .limits import (
    DECODE_STEP_BYTES,
    DECODE_STEPS_PER_TURN,
    HIGH_WATER_BYTES,
    LITTLE_STEP_BYTES,
    LITTLE_STEP_COST,
    MAX_CHUNKED_OVERHEAD_BYTES,
    MAX_CHUNKED_OVERHEAD_RATIO,
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    REDIRECT_STATUSES,
)
from .urls import tell_url

if TYPE_CHECKING:
    from .speed import SpeedWatch
    from .timings import Timings

__all__ = ["ContentWishes", "Exchange", "Transport"]

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
_H: Final = ord("H")
_STATUS_LINE_OCTETS: Final = len(b"HTTP/1.1 200 ")
_BLANK_LINE: Final = b"\r\n\r\n"
_LINE_ENDS: Final = b"\r\n"
# A head, or chunked content, ends with one blank line and no more; known by this many octets.
_TAIL_OCTETS: Final = 5
# Chunks in a buffer from which on it is worth a look whether they are tiny; more than any ordinary response has.
_MANY_CHUNKS: Final = 64
# Stands for the coded content of an exchange that has none; never appended to.
_NOTHING: Final[list[bytes]] = []


def _ends_there(data: bytes, end: int) -> bool:
    """Whether one blank line, and no line end before it, stands at *end* of *data*."""
    return data.startswith(_BLANK_LINE, end - 4) and data[end - 5] not in _LINE_ENDS


class _Undecodable:
    """Stands for a coding that we do not know: the head is of use still, the content is not."""

    has_pending = False

    def __init__(self, exc: ContentCodingError) -> None:
        self._exc = exc

    def decode(self, data: bytes, max_length: int) -> bytes:
        raise self._exc

    def finish(self) -> None:
        raise self._exc


class Transport(Protocol):
    """What an exchange asks of its connection."""

    def exchange_ended(self, exchange: Exchange, reusable: bool) -> None: ...
    def exchange_failed(self, exchange: Exchange) -> None: ...
    def pause(self, exchange: Exchange) -> None: ...
    def resume(self, exchange: Exchange) -> None: ...


class ContentWishes(NamedTuple):
    """What a request wants of the content of its response.

    Attributes:
        decode: Whether content codings are removed.
        follows: Whether a redirection will be followed, so that its content need not be decoded.
        max_body_bytes: Bound of the content as received; None is no bound.
    """

    decode: bool = True
    follows: bool = False
    max_body_bytes: int | None = None


_NO_WISHES: Final = ContentWishes()


class Exchange:
    """The response to one request, growing as octets come.

    Args:
        method: Method of the request.
        wishes: Of its content.

    Attributes:
        transport: The connection, None once the exchange is over.
        waiter: Set when the response head is complete or the exchange has failed.
        message: Framing of the final response; None until its head is complete.
        interim: Status and fields of the interim responses (1xx) that came before it, in order.
        status, reason, version: The final response's status line.
        received: Octets of content, codings not removed.
        is_sent: Whether the request was written to its last octet.
        continued: Set when the server wants the content (100 Continue), for a request that asked; None for others.
        is_unsent: Whether the exchange failed before the first octet of the request was written.
        is_ended: Whether the message is complete.
        error: Why the exchange failed.
        head_octets: Octets that have come before the head was complete.
        total_at: Loop time by which all must be done; None is no bound.
        speed: Sees to it that the content does not come too slowly; None for nobody.
        timings: How long its phases took; None when nobody wants to know.
    """

    # Hot path: what most exchanges never change are class attributes, so that making one sets few (0.9 us less), and
    # what stays the same for a session is one object (0.3 us less).
    transport: Transport | None = None
    waiter: asyncio.Future[None] | None = None
    upload: asyncio.Task[None] | None = None
    message: Message | None = None
    interim: tuple[tuple[int, RawFields], ...] = ()
    status = 0
    reason = b""
    version = "1.1"
    received = 0
    is_sent = False
    continued: asyncio.Event | None = None
    is_unsent = False
    is_ended = False
    is_paused = False
    error: BaseException | None = None
    head_octets = 0
    total_at: float | None = None
    speed: SpeedWatch | None = None
    timings: Timings | None = None
    _url: str | None = None  # of the response, for failures of its content
    whole: bytes | None = None  # the content, when it came whole with an ordinary head and nobody made a Buffer of it
    _buffer_class: type[Buffer] = Buffer
    _buffer: Buffer | None = None
    _ordinary: bytes | None = None  # octets of the fields of an ordinary head, not split yet
    _trailers: RawFields | None = None
    _is_new = True
    _coded: list[bytes] = _NOTHING
    _fields: RawFields | None = None
    _parser: httptools.HttpResponseParser | None = None
    _remaining = 0
    _overhead = 0
    _silence = 0  # octets of chunked framing since content last came
    _trailer_octets = 0
    _tail = b""  # the last octets that the parser was given, as many as the end of a message is known by
    _is_interim = False
    _interims = 0  # interim responses that have ended in the octets at hand
    _is_leftover = False
    _discard_until: int | None = None  # octets; None while the content is wanted
    _noted: ClientError | None = None  # an error inside a callback of the parser, where none may be raised
    _decoder: Decoder | None = None

    def __init__(self, method: str, wishes: ContentWishes = _NO_WISHES) -> None:
        self.method = method
        self._wishes = wishes

    def __repr__(self) -> str:
        state = "failed" if self.error else "ended" if self.is_ended else "open"
        return f"<Exchange {self.method} -> {self.status or 'no head'}, {self.received} octets, {state}>"

    @property
    def has_leftover(self) -> bool:
        """Whether octets came behind the message, which belong to nobody."""
        return self._is_leftover

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come: complete or failed."""
        return self.is_ended or self.error is not None

    # What has come.

    @property
    def fields(self) -> RawFields:
        """Fields of the final response's head, as received."""
        if self._ordinary is not None:
            self._fields, self._ordinary = split_fields(self._ordinary), None
        fields = self._fields
        if fields is None:
            fields = self._fields = []
        return fields

    def field(self, name: bytes) -> bytes | None:
        """Value of the first field *name*, without the blanks around it; None without."""
        ordinary = self._ordinary
        if ordinary is not None:
            at = ordinary.find(b"\r\n" + name + b":")
            if at >= 0:
                start = at + len(name) + 3
                return ordinary[start : ordinary.find(b"\r", start)].strip(b" \t")
        low = name.lower()
        found = (value for name, value in self.fields if len(name) == len(low) and name.lower() == low)
        value = next(found, None)
        return None if value is None else value.strip(b" \t")

    def has_field_like(self, pattern: re.Pattern[bytes]) -> bool:
        """Whether *pattern* is found in the field lines, each with a line end before it."""
        ordinary = self._ordinary
        if ordinary is None:
            ordinary = b"".join(b"\r\n%b:%b" % field for field in self.fields)
        return pattern.search(ordinary) is not None

    @property
    def trailers(self) -> RawFields:
        """Fields of the trailer section (RFC 9112 section 7.1.2)."""
        if self._trailers is None:
            self._trailers = []
        return self._trailers

    @property
    def body(self) -> Buffer:
        """Content on its way to the reader."""
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = self._buffer_class()
            if self.whole:
                buffer.feed(self.whole)
            self.whole = None
            if self.is_ended and self._decoder is None:
                buffer.feed_eof()
            elif self.error is not None:
                buffer.fail(self.error)
        return buffer

    # What comes from the socket.

    def receive(self, data: bytes) -> None:
        """Take octets from the connection."""
        if self._is_new:
            self._is_new = False
            if self.method != "HEAD" and self._wishes.max_body_bytes is None and self._receive_ordinary(data):
                return
            self._parser = httptools.HttpResponseParser(self)
        had_head = self.message is not None
        if self._parser is None:
            self._take_identity(data)
        elif not self._parse(data, self._parser):
            return
        if self.is_ended:
            self._end_message()
        elif self.error is not None:
            return
        elif self.message is None:
            self.head_octets += len(data)
            return
        elif self._decoder is not None:
            self._decode_some()
        elif self.body.size > HIGH_WATER_BYTES and not self.body.collecting and not self.is_paused:
            self._pause()
        if not had_head:
            self._wake()

    def _receive_ordinary(self, data: bytes) -> bool:
        """Take the first octets of a response if they hold an ordinary head; False leaves them to the parser."""
        found = ordinary_head(data)
        if found is None:
            return False
        self.status, self.reason, self._ordinary, message = found
        self.message = message
        length = message[1]
        assert length is not None, "an ordinary head has one"
        start = len(self.reason) + len(self._ordinary) + _STATUS_LINE_OCTETS
        count = len(data) - start
        if count >= length:
            self._is_leftover = count > length
            self.whole = data[start : start + length]
            self.received = length
            self.is_ended = True
            transport = self._detach()
            if transport is not None:
                transport.exchange_ended(self, self.is_sent and count == length)
        else:
            self.received = count
            self._remaining = length - count
            if count:
                self.body.feed_from(data, start)
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return True

    def receive_eof(self, *, clean: bool = True) -> None:
        """The peer has closed its side; *clean* is False when TLS was cut off without its close_notify."""
        message = self.message
        if message is None:
            self.fail(ServerDisconnectedError(received=self.head_octets))
        elif message.framing is Framing.EOF and clean:
            self.is_ended = True
            self._end_message()
        else:
            cause = "connection closed" if clean else "TLS connection cut off without close_notify"
            self.fail(IncompleteMessageError(self.received, message.length, cause))

    def fail(self, exc: BaseException) -> None:
        """End the exchange with *exc*; the connection is closed. Nothing happens when it is over already."""
        if self.is_over:
            return
        self.error = exc
        if self._url is not None:
            tell_url(exc, self._url)
        self._parser = self._decoder = None
        self._coded.clear()
        transport = self._detach()
        if transport is not None:
            transport.exchange_failed(self)
        if self._buffer is not None:
            self._buffer.fail(exc)
        if self.message is not None:
            self._wake()  # the head is good; the failure is for whoever reads the content
            return
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(exc)

    def keep_twin_of_failure(self) -> None:
        """Let go of the failure that is being raised: its traceback will hold the reader, who holds this exchange."""
        failure = self.body.exception
        if failure is not None:
            twin = self.body.exception = _twin(failure)
            if self.error is failure:
                self.error = twin

    def tell_url(self, url: str) -> None:
        """What breaks the content, now or later, says that *url* was asked for."""
        self._url = url
        for failure in (self.error, None if self._buffer is None else self._buffer.exception):
            if failure is not None:
                tell_url(failure, url)

    def abandon(self) -> None:
        """Nobody wants the rest: close the connection, unless the message is complete."""
        self.fail(ClientPayloadError("the response was closed before its content was read"))

    def dropped(self) -> None:
        """The user let go of the response without reading or closing it: close the connection, and say so."""
        if not self.is_over:
            warnings.warn(f"unread response dropped, its connection is closed: {self!r}", ResourceWarning, stacklevel=2)
            self.abandon()

    def discard(self, limit: int) -> None:
        """Drop content that comes from here on, decoding nothing; above *limit* octets the exchange fails."""
        self._discard_until = self.received + limit
        self._decoder = None
        self._coded.clear()
        self.body.take_all()

    def take_over(self) -> int:
        """Let the caller move the rest of an identity content of known length by itself; how many octets that is."""
        return self._remaining

    def moved(self, count: int) -> None:
        """The caller of ``take_over`` has moved *count* octets of content."""
        self.received += count
        self._remaining -= count
        if not self._remaining:
            self.is_ended = True
            self._end_message()

    # Inside: octets to events.

    def _parse(self, data: bytes, parser: httptools.HttpResponseParser) -> bool:
        had_head = self.message is not None
        head_octets = self.head_octets
        if not head_octets and data[0] != _H and not had_head:
            # The parser would take "RTSP/" and "ICE/", and blank lines before the status line.
            self.fail(ResponseProtocolError(f"expected 'HTTP/' at the start of a response, seen {data[:16]!r}"))
            return False
        before = self.received
        try:
            if head_octets + len(data) <= MAX_HEAD_BYTES or had_head:
                parser.feed_data(data)
            else:
                self._parse_long(data, parser)
        except httptools.HttpParserUpgrade:
            pass  # status 101: refused when its head was complete, or behind the message and seen there
        except httptools.HttpParserError as exc:
            if not self.is_ended:
                self._fail_parse(exc)
                return False
            self._is_leftover = True  # what follows a complete message only costs the connection
        if self._noted is not None:
            self._fail_noted()
            return False
        message = self.message
        content = self.received - before
        if message is None:
            self._remember(data)
        elif message.framing is Framing.CHUNKED:
            return self._follow_chunked(data, content, is_only_framing=had_head and not content)
        elif not self.is_ended:
            self._parser = None  # identity content is counted, not parsed
        elif not self._is_leftover:
            # Hot path: most responses end here, with the octets they came with.
            end = len(data) - content
            if end < 6 or message.framing is not Framing.LENGTH or data[-1] in b"\r\n" or not _ends_there(data, end):
                self._is_leftover = not self._is_whole(data, end)
        return True

    def _parse_long(self, data: bytes, parser: httptools.HttpResponseParser) -> None:
        """Parse *data*, in which the head must end before its limit."""
        room = MAX_HEAD_BYTES - self.head_octets
        parser.feed_data(data[:room])
        if self.message is None:
            self._note(ResponseHeadTooLargeError("the response head", MAX_HEAD_BYTES))
        else:
            parser.feed_data(data[room:])

    def _follow_chunked(self, data: bytes, content: int, *, is_only_framing: bool) -> bool:
        """Count what the parser does not: *data* came, with *content* octets of content. False when it is too much."""
        if self._is_leftover:
            return True
        overhead = self._overhead = self._overhead + len(data) - content
        self._silence = self._silence + len(data) if is_only_framing else 0
        if overhead > MAX_CHUNKED_OVERHEAD_BYTES or self._silence > MAX_HEAD_BYTES:
            self._bound_overhead(overhead)
            if self.error is not None:
                return False
        buffer = self._buffer
        if (
            8 * (len(data) - content) > content
            and buffer is not None
            and len(buffer.chunks) > _MANY_CHUNKS
            and self._decoder is None
        ):
            # Chunks of a few octets each: an object for every one of them takes up to twenty times the memory.
            buffer.join_newest(content)
        if self.is_ended:
            self._is_leftover = not self._is_whole(data, len(data))
        else:
            self._tail = data[-_TAIL_OCTETS:] if len(data) > _TAIL_OCTETS else (self._tail + data)[-_TAIL_OCTETS:]
        return True

    def _bound_overhead(self, overhead: int) -> None:
        """Fail the exchange if *overhead*, octets of chunked framing in all, is too much for its content."""
        share = MAX_CHUNKED_OVERHEAD_RATIO * self.received
        if self._silence > MAX_HEAD_BYTES:
            # The parser holds an unfinished field; its bound must not grow with the content.
            error = ResponseHeadTooLargeError("a chunk extension or the trailer section", MAX_HEAD_BYTES)
        elif overhead > MAX_CHUNKED_OVERHEAD_BYTES + MAX_HEAD_BYTES + share:
            error = ResponseHeadTooLargeError("chunk extensions and trailers", MAX_CHUNKED_OVERHEAD_BYTES)
        else:
            return
        self.is_ended = False
        self.fail(error)

    def _remember(self, data: bytes) -> None:
        """Keep the octets by which the end of the head may be known."""
        tail = (self._tail + data[-_TAIL_OCTETS:])[-_TAIL_OCTETS:]
        self._tail = tail.rpartition(_BLANK_LINE)[2]  # without the end of an interim response
        self._interims = 0

    def _is_whole(self, data: bytes, end: int) -> bool:
        """Whether the message ends at *end* of *data*, or its content begins there.

        The parser takes further line ends in silence, and the chunks of a content that a response to HEAD has.
        """
        if self._tail:
            data, end = self._tail + data, end + len(self._tail)
        if not _ends_there(data, end):
            return False
        message = self.message
        if message is None or message.framing is Framing.CHUNKED:
            return True
        # Content that ends in a blank line, and as many line ends behind it as it is long, look like a longer head.
        return data.count(_BLANK_LINE, 0, end) == 1 + self._interims

    def _fail_parse(self, exc: httptools.HttpParserError) -> None:
        where = "chunked content" if self.message is not None else "response head"
        error = ResponseProtocolError(f"bad {where}: {exc}")
        error.__cause__ = exc
        self.fail(self._noted or error)

    def _note(self, exc: ClientError) -> None:
        self._noted = self._noted or exc

    def _fail_noted(self) -> None:
        if self._noted is not None:
            self.is_ended = False
            self.fail(self._noted)

    def _take_identity(self, data: bytes) -> None:
        if self.message is not None and self.message.framing is Framing.LENGTH:
            if len(data) > self._remaining:
                self._is_leftover = True
                data = data[: self._remaining]
            self.on_body(data)
            self.is_ended = not self._remaining
        else:
            self.on_body(data)
        self._fail_noted()

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        """A status line begins: of the final response, after interim ones, or of a message nobody asked for."""
        if self.message is not None:
            self._is_leftover = True

    def on_status(self, reason: bytes) -> None:
        if self.message is None:
            self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.message is None:
            self.fields.append((name, value))
        elif not self._is_leftover and not self.is_ended:
            self._add_trailer(name, value)

    def _add_trailer(self, name: bytes, value: bytes) -> None:
        self.trailers.append((name, value))
        self._trailer_octets += len(name) + len(value) + 4
        if len(self.trailers) > MAX_FIELDS:
            self._note(ResponseHeadTooLargeError("the number of trailer fields", MAX_FIELDS))
        elif self._trailer_octets > MAX_HEAD_BYTES:
            self._note(ResponseHeadTooLargeError("the trailer section", MAX_HEAD_BYTES))

    def on_headers_complete(self) -> None:
        if self.message is not None:
            return
        parser = self._parser
        assert parser is not None, "the parser calls back only while it is fed"
        status = parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._is_interim = True
            self.interim = (*self.interim, (status, self.fields))
            if status == 100 and self.continued is not None:
                self.continued.set()
            if not parser.should_keep_alive():
                # The final response follows all the same (RFC 9110 section 15.2): HTTP/1.0 proxies relay such a 100.
                parser.set_dangerous_leniencies(lenient_keep_alive=True)
            return
        self.status = status
        try:
            self._begin_message(parser.get_http_version())
        except ClientError as exc:
            self._note(exc)

    def on_body(self, data: bytes) -> None:
        if self.is_ended or not data:
            self._is_leftover = self._is_leftover or bool(data)
            return
        self.received += len(data)
        self._remaining -= len(data)
        limit = self._wishes.max_body_bytes
        if limit is not None and self.received > limit:
            self._note(BodyTooLargeError("max_body_bytes: the content", limit))
        elif self._discard_until is not None:
            if self.received > self._discard_until:
                self._note(ClientPayloadError("the content that nobody wants is too long to keep the connection for"))
        elif self._decoder is None:
            (self._buffer or self.body).feed(data)  # hot path: the property costs 60 ns a chunk
        else:
            self._coded.append(data)

    def on_chunk_complete(self) -> None:
        """A chunk has ended, which only tells something to a reader of the octets as they came."""
        if self._decoder is None and not self.is_ended:
            (self._buffer or self.body).end_chunk()

    def on_message_complete(self) -> None:
        if self._is_interim:
            self._is_interim = False
            self._interims += 1
            self.reason = b""
            self._fields = None
        else:
            self.is_ended = True

    # Inside: the message.

    def _begin_message(self, version: str) -> None:
        if version not in ("1.1", "1.0") or self.status < 200:
            raise ResponseProtocolError(f"HTTP/{version} with status {self.status}; expected a final HTTP/1.x response")
        if len(self.fields) > MAX_FIELDS:
            raise ResponseHeadTooLargeError("the number of fields", MAX_FIELDS)
        if _CONTROL(self.reason) is not None:
            raise ResponseProtocolError("control characters in the reason phrase")
        self.version = version
        message = describe(self.method, self.status, version, self.fields)
        if message.codings and self._wishes.decode and message.framing is not Framing.NONE and message.length != 0:
            self._decoder = self._choose_decoder(message.codings)
            self._coded = []
        limit = self._wishes.max_body_bytes
        if limit is not None and message.framing is Framing.LENGTH and (message.length or 0) > limit:
            raise BodyTooLargeError("max_body_bytes: the announced content", limit)
        self._remaining = (message.length or 0) if message.framing is Framing.LENGTH else 0
        self.message = message
        if message.framing is Framing.NONE:
            self.is_ended = True

    def _is_followed(self) -> bool:
        """Whether the response only leads elsewhere: nobody reads its content, and it is not decoded."""
        if not self._wishes.follows or self.status not in REDIRECT_STATUSES:
            return False
        return any(name.lower() == b"location" for name, _ in self.fields)

    def _choose_decoder(self, codings: str) -> Decoder | None:
        if self._is_followed():
            return None
        try:
            decoder = decoder_for(codings)
        except ContentCodingError as exc:
            return _Undecodable(exc)
        return None if decoder is None else self._bounded(decoder)

    def _bounded(self, decoder: CountingDecoder) -> Decoder:
        # gzip or deflate alone cannot exceed the default ratio; a stack, br or zstd that does is a bomb.
        return BoundedDecoder(decoder)

    @property
    def verified_digests(self) -> tuple[str, ...]:
        """Digests that were held to the content and found right; none here, see ``CheckedExchange``."""
        return ()

    @property
    def is_decoded(self) -> bool:
        """Whether a content coding is removed, or a digest verified: the reader's octets pass through a decoder."""
        return self._decoder is not None

    @property
    def changes_length(self) -> bool:
        """Whether the reader gets other octets than came: a content coding is removed."""
        return self._decoder is not None

    def _end_message(self) -> None:
        """The message is complete: give the connection back, then let the reader have the rest."""
        message = self.message
        assert message is not None, "a message ends after its head"
        self._parser = None
        reusable = message.keep_alive and self.is_sent and not self._is_leftover
        transport = self._detach()
        if transport is not None:
            transport.exchange_ended(self, reusable)
        if self._decoder is None:
            if self._buffer is not None:
                self._buffer.feed_eof()
        else:
            self._decode_some()

    def _detach(self) -> Transport | None:
        transport, self.transport = self.transport, None
        if self.upload is not None and not self.upload.done():
            self.upload.cancel()
        if self._buffer is not None and not self.is_ended:
            self._buffer.on_drain = None
        return transport

    def _wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # Inside: flow control and decoding.

    def _pause(self) -> None:
        self.body.on_drain = self._resume
        if self.transport is not None and not self.is_paused:
            self.is_paused = True
            self.transport.pause(self)

    def _resume(self) -> None:
        if self._decoder is not None and not self._decode_some():
            return
        if self.transport is not None and self.is_paused:
            self.is_paused = False
            self.transport.resume(self)

    def _decode_some(self) -> bool:
        """Decode until the reader has enough or a turn's work is done; True when all that came is decoded."""
        decoder, coded, body = self._decoder, self._coded, self.body
        assert decoder is not None, "called for coded content"
        steps = 0
        try:
            while coded or decoder.has_pending:
                if body.size > HIGH_WATER_BYTES and not body.collecting:
                    self._pause()
                    return False
                if steps >= DECODE_STEPS_PER_TURN:
                    self._pause()
                    body.on_drain = None
                    asyncio.get_running_loop().call_soon(self._resume)
                    return False
                # Small chunks are joined, so that a step is worth its cost; the decoder is drained first, so that it
                # has nothing to join them to.
                data = b""
                if not decoder.has_pending:
                    data = b"".join(coded)
                    coded.clear()
                data = decoder.decode(data, DECODE_STEP_BYTES)
                # What gives little may have worked as hard: a step of empty gzip members takes 6 ms.
                steps += 1 if len(data) > LITTLE_STEP_BYTES else LITTLE_STEP_COST
                if data:
                    body.feed(data)
            if self.is_ended:
                decoder.finish()
                body.feed_eof()
        except ClientPayloadError as exc:
            self._fail_content(exc)
            return False
        return True

    def _fail_content(self, exc: ClientError) -> None:
        self._coded.clear()
        if self.is_ended:
            if self._url is not None:
                tell_url(exc, self._url)
            self.body.fail(exc)
        else:
            self.fail(exc)


def _twin(exc: BaseException) -> BaseException:
    """An exception that says the same, without the traceback."""
    try:
        twin = copy.copy(exc)
    except TypeError:  # one of the caller's own, by way of an upload, that cannot be made anew from its arguments
        return exc
    twin.__cause__ = exc.__cause__
    return twin
