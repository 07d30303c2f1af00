"""One exchange, driven with octets: framing, strict ends, what is refused, flow control (RFC 9112, RFC 9110)."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetchd.client.exceptions import (
    BodyTooLargeError,
    ClientError,
    ClientPayloadError,
    ContentCodingError,
    IncompleteMessageError,
    ResponseHeadTooLargeError,
    ResponseProtocolError,
    ServerDisconnectedError,
)
from fetchd.client.exchange import ContentWishes, Exchange
from fetchd.client.limits import (
    DECODE_STEP_BYTES,
    DECODE_STEPS_PER_TURN,
    HIGH_WATER_BYTES,
    LOW_WATER_BYTES,
    MAX_CHUNKED_OVERHEAD_BYTES,
    MAX_FIELDS,
    MAX_HEAD_BYTES,
)
from fetchd.client.streams import StreamReader

Field = tuple[bytes, bytes]


class Wire:
    """A connection that writes down what its exchange asks of it."""

    def __init__(self) -> None:
        self.reusable: bool | None = None
        self.is_failed = False
        self.asked: list[str] = []

    def exchange_ended(self, exchange: Exchange, reusable: bool) -> None:
        """See ``Transport``."""
        assert self.reusable is None, "an exchange ends once"
        self.reusable = reusable

    def exchange_failed(self, exchange: Exchange) -> None:
        """See ``Transport``."""
        assert self.reusable is None, "an exchange ends once"
        self.reusable, self.is_failed = False, True

    def pause(self, exchange: Exchange) -> None:
        """See ``Transport``."""
        self.asked.append("pause")

    def resume(self, exchange: Exchange) -> None:
        """See ``Transport``."""
        self.asked.append("resume")


def start(
    method: str = "GET", *, decode: bool = True, follows: bool = False, max_body_bytes: int | None = None
) -> tuple[Exchange, Wire]:
    """An exchange whose request is sent, on a wire of its own."""
    exchange = Exchange(method, ContentWishes(decode, follows, max_body_bytes))
    wire = Wire()
    exchange.transport = wire
    exchange.is_sent = True
    return exchange, wire


def feed(exchange: Exchange, pieces: Iterable[bytes], *, eof: bool = False) -> Exchange:
    """What a connection does: it hands on what comes, until the exchange is over."""
    for piece in pieces:
        if exchange.is_over:
            return exchange
        if piece:
            exchange.receive(piece)
    if eof and not exchange.is_over:
        exchange.receive_eof()
    return exchange


class Events(NamedTuple):
    """All that an exchange tells of a response."""

    status: int
    reason: bytes
    version: str
    fields: list[Field]
    trailers: list[Field]
    content: bytes
    ended: bool
    reusable: bool | None
    error: str


def events(pieces: Iterable[bytes], method: str = "GET", *, eof: bool = False, **options: bool) -> Events:
    exchange, wire = start(method, **options)
    feed(exchange, pieces, eof=eof)
    error = exchange.error or exchange.body.exception
    return Events(
        exchange.status,
        exchange.reason,
        exchange.version,
        exchange.fields,
        exchange.trailers,
        exchange.body.take_all(),
        exchange.is_ended and exchange.body.is_eof,
        wire.reusable,
        "" if error is None else f"{type(error).__name__}: {error}",
    )


def by_octet(octets: bytes) -> Iterator[bytes]:
    return (octets[at : at + 1] for at in range(len(octets)))


def failure(octets: bytes, method: str = "GET") -> ClientError:
    """Why *octets* are refused: the same whole, by the octet and cut anywhere."""
    errors = []
    cuts = [[octets[:cut], octets[cut:]] for cut in range(min(len(octets), 200))]
    for pieces in [[octets], list(by_octet(octets)), *cuts]:
        exchange, wire = start(method)
        feed(exchange, pieces)
        assert isinstance(exchange.error, ClientError), f"not refused: {exchange!r}"
        assert wire.is_failed
        assert not exchange.is_ended
        errors.append(exchange.error)
    assert len({(type(error), str(error)) for error in errors}) == 1, errors
    return errors[0]


HELLO = b"hello, world"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b'5\r\nhello\r\n7;name;other=token;third="a \\"quoted\\" one"\r\n, world\r\n'
LAST = b"0;last\r\nExpires: never\r\nX-Empty:\r\n\r\n"
TE = [(b"Transfer-Encoding", b"chunked")]
CL = [(b"Content-Length", b"12")]
HELLO_GZIP = gzip.compress(HELLO, mtime=0)
GZIP = (b"Content-Encoding", b"gzip")


class Reply(NamedTuple):
    """A response and what is to be told of it."""

    method: str
    octets: bytes
    expected: Events
    eof: bool = False


def ok(
    fields: list[Field],
    content: bytes = HELLO,
    *,
    status: int = 200,
    reason: bytes = b"OK",
    version: str = "1.1",
    trailers: list[Field] | None = None,
    reusable: bool = True,
) -> Events:
    return Events(status, reason, version, fields, trailers or [], content, True, reusable, "")


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in (status, *lines, "")).encode("latin-1")


REPLIES: dict[str, Reply] = {
    "length": Reply("GET", LENGTH, ok(CL)),
    "length, many fields": Reply(
        "GET",
        head("Server: x", "content-length: 12 ", "X:", "Y: \t z", "Set-Cookie: a=b", "CONNECTION: keep-alive") + HELLO,
        ok(
            [
                (b"Server", b"x"),
                (b"content-length", b"12 "),
                (b"X", b""),
                (b"Y", b"z"),
                (b"Set-Cookie", b"a=b"),
                (b"CONNECTION", b"keep-alive"),
            ]
        ),
    ),
    "length 0": Reply("GET", head("Content-Length: 0"), ok([(b"Content-Length", b"0")], b"")),
    "no reason phrase": Reply(
        "GET", head("Content-Length: 0", status="HTTP/1.1 200"), ok([(b"Content-Length", b"0")], b"", reason=b"")
    ),
    "error status": Reply(
        "GET",
        head("Content-Length: 12", status="HTTP/1.1 503 Not \xfcber") + HELLO,
        ok(CL, status=503, reason=b"Not \xfcber"),
    ),
    "content that looks like a head": Reply(
        "GET",
        head("Content-Length: 21") + b"\r\n\r\nHTTP/1.1 200 OK\r\n",
        ok([(b"Content-Length", b"21")], b"\r\n\r\nHTTP/1.1 200 OK\r\n"),
    ),
    "chunked": Reply("GET", CHUNKED + b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n", ok(TE)),
    "chunked, sizes in upper and lower case": Reply(
        "GET", CHUNKED + b"00A\r\nhello, wor\r\na;x\r\nld hello, \r\n0\r\n\r\n", ok(TE, b"hello, world hello, ")
    ),
    "chunked, empty": Reply("GET", CHUNKED + b"000\r\n\r\n", ok(TE, b"")),
    "chunked, extensions and trailers": Reply(
        "GET", CHUNKED + CHUNKS + LAST, ok(TE, trailers=[(b"Expires", b"never"), (b"X-Empty", b"")])
    ),
    "to end of file": Reply("GET", head("Server: x") + HELLO, ok([(b"Server", b"x")], reusable=False), eof=True),
    "to end of file, empty": Reply("GET", head(), ok([], b"", reusable=False), eof=True),
    "HEAD with a length": Reply("HEAD", head("Content-Length: 12"), ok(CL, b"")),
    "HEAD, chunked": Reply("HEAD", CHUNKED, ok(TE, b"")),
    "HEAD, to end of file": Reply("HEAD", head("Server: x"), ok([(b"Server", b"x")], b"")),
    "HEAD after interim ones": Reply(
        "HEAD", head(status="HTTP/1.1 100 Continue") + head("A: b", status="HTTP/1.1 103 Early") + CHUNKED, ok(TE, b"")
    ),
    "204": Reply("GET", head(status="HTTP/1.1 204 No Content"), ok([], b"", status=204, reason=b"No Content")),
    "304 with the length of what there is": Reply(
        "GET", head("Content-Length: 12", status="HTTP/1.1 304 Same"), ok(CL, b"", status=304, reason=b"Same")
    ),
    "one interim response": Reply("GET", head(status="HTTP/1.1 100 Continue") + LENGTH, ok(CL)),
    "several interim responses": Reply(
        "GET",
        head(status="HTTP/1.1 100 Continue")
        + head("Link: </x>", "Link: </y>", status="HTTP/1.1 103 Early Hints") * 3
        + LENGTH,
        ok(CL),
    ),
    "interim responses that lie of their length": Reply(
        "GET",
        head("Content-Length: 7", status="HTTP/1.1 102 x")
        + head("Transfer-Encoding: chunked", status="HTTP/1.1 100 y")
        + LENGTH,
        ok(CL),
    ),
    "interim response of HTTP/1.0": Reply("GET", head(status="HTTP/1.0 100 Continue") + LENGTH, ok(CL)),
    "interim response that closes": Reply(
        "GET", head("Connection: close", status="HTTP/1.1 100 Continue") + LENGTH, ok(CL)
    ),
    "HTTP/1.0": Reply(
        "GET", head("Content-Length: 12", status="HTTP/1.0 200 OK") + HELLO, ok(CL, version="1.0", reusable=False)
    ),
    "HTTP/1.0 to end of file": Reply(
        "GET", head(status="HTTP/1.0 200 OK") + HELLO, ok([], version="1.0", reusable=False), eof=True
    ),
    "HTTP/1.0 kept alive": Reply(
        "GET",
        head("Connection: Keep-Alive", "Content-Length: 12", status="HTTP/1.0 200 OK") + HELLO,
        ok([(b"Connection", b"Keep-Alive"), *CL], version="1.0"),
    ),
    "HTTP/1.0 chunked is closed after": Reply(
        "GET",
        head("Connection: keep-alive", "Transfer-Encoding: chunked", status="HTTP/1.0 200 OK")
        + b"C\r\nhello, world\r\n0\r\n\r\n",
        ok([(b"Connection", b"keep-alive"), *TE], version="1.0", reusable=False),
    ),
    "Connection: close": Reply(
        "GET",
        head("Connection: close", "Content-Length: 12") + HELLO,
        ok([(b"Connection", b"close"), *CL], reusable=False),
    ),
    "Connection: close, chunked": Reply(
        "GET",
        head("Connection: x, Close", *["Transfer-Encoding: Chunked"]) + b"C\r\nhello, world\r\n0\r\n\r\n",
        ok([(b"Connection", b"x, Close"), (b"Transfer-Encoding", b"Chunked")], reusable=False),
    ),
    "an upgrade that is only offered": Reply(
        "GET",
        head("Connection: upgrade", "Upgrade: h2c", "Content-Length: 12") + HELLO,
        ok([(b"Connection", b"upgrade"), (b"Upgrade", b"h2c"), *CL]),
    ),
    "gzip, length": Reply(
        "GET",
        head(f"Content-Length: {len(HELLO_GZIP)}", "Content-Encoding: gzip") + HELLO_GZIP,
        ok([(b"Content-Length", b"%d" % len(HELLO_GZIP)), GZIP]),
    ),
    "gzip, chunked": Reply(
        "GET",
        head("Content-Encoding: gzip", "Transfer-Encoding: chunked")
        + b"".join(b"3;x\r\n%b\r\n" % HELLO_GZIP[at : at + 3] for at in range(0, 30, 3))
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(HELLO_GZIP) - 30, HELLO_GZIP[30:]),
        ok([GZIP, *TE]),
    ),
    "gzip, to end of file": Reply(
        "GET", head("Content-Encoding: gzip") + HELLO_GZIP, ok([GZIP], reusable=False), eof=True
    ),
    "gzip of deflate": Reply(
        "GET",
        head("Content-Encoding: deflate", "Content-Encoding: gzip") + gzip.compress(zlib.compress(HELLO)),
        ok([(b"Content-Encoding", b"deflate"), GZIP], reusable=False),
        eof=True,
    ),
    "gzip of nothing, length 0": Reply(
        "GET", head("Content-Encoding: gzip", "Content-Length: 0"), ok([GZIP, (b"Content-Length", b"0")], b"")
    ),
    "identity": Reply(
        "GET",
        head("Content-Encoding: identity", "Content-Length: 12") + HELLO,
        ok([(b"Content-Encoding", b"identity"), *CL]),
    ),
    "HEAD of gzip": Reply("HEAD", head("Content-Encoding: gzip", "Content-Length: 12"), ok([GZIP, *CL], b"")),
}
REPLY = pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())


# The framing table


@REPLY
def test_a_reply_fed_whole_gives_its_events(reply: Reply) -> None:
    """RFC 9112 section 6.3: what ends each kind of message, and section 9.3: whether the connection lasts."""
    assert events([reply.octets], reply.method, eof=reply.eof) == reply.expected


@REPLY
def test_a_reply_fed_octet_by_octet_gives_the_same_events(reply: Reply) -> None:
    assert events(by_octet(reply.octets), reply.method, eof=reply.eof) == reply.expected


@REPLY
def test_a_reply_cut_at_any_place_gives_the_same_events(reply: Reply) -> None:
    for cut in range(1, len(reply.octets)):
        pieces = [reply.octets[:cut], reply.octets[cut:]]
        assert events(pieces, reply.method, eof=reply.eof) == reply.expected, f"cut at {cut}"


@given(st.sampled_from(list(REPLIES.values())), st.lists(st.integers(0, 400), max_size=6))
def test_a_reply_cut_at_several_places_gives_the_same_events(reply: Reply, places: list[int]) -> None:
    edges = [0, *sorted(places), len(reply.octets)]
    pieces = [reply.octets[a:b] for a, b in itertools.pairwise(edges)]
    assert events(pieces, reply.method, eof=reply.eof) == reply.expected


@REPLY
def test_end_of_file_behind_a_complete_message_changes_nothing(reply: Reply) -> None:
    assert events([reply.octets], reply.method, eof=True) == reply.expected


# The ordinary head and the parser

NAMES = st.sampled_from(
    [
        "Content-Length",
        "content-LENGTH",
        "Transfer-Encoding",
        "Content-Encoding",
        "Connection",
        "Set-Cookie",
        "X",
        "x-y",
        "",
        " ",
        "a b",
    ]
)
VALUES = st.sampled_from(
    [
        "5",
        " 5 ",
        "\t5\t",
        "05",
        "+5",
        "5,5",
        "",
        " ",
        "keep-alive",
        " keep-alive",
        "close",
        "Keep-Alive",
        "x\t y  ",
        "\xe9",
        "chunked",
        "gzip",
        "a\0",
        "\x7f",
        "b\r",
        "c\n d",
    ]
) | st.text(st.characters(max_codepoint=255), max_size=6)


@given(
    status=st.sampled_from(
        [
            "HTTP/1.1 200 OK",
            "HTTP/1.1 204 ",
            "HTTP/1.1 304",
            "HTTP/1.0 200 OK",
            "HTTP/1.1 100 C",
            "HTTP/1.1 599 \t x",
            "HTTP/1.1 200 a\x01",
        ]
    ),
    fields=st.lists(st.tuples(NAMES, VALUES), max_size=4),
    rest=st.sampled_from(["", "hell", "hello", "hello!", "hello\r\n"]),
    method=st.sampled_from(["GET", "HEAD"]),
)
@example("HTTP/1.1 200 OK", [("Content-Length", " 5\t"), ("Connection", "keep-alive")], "hello", "GET")
@example(
    "HTTP/1.1 200 OK", [("Connection", "keep-alive"), ("Connection", "close"), ("Content-Length", "5")], "hello", "GET"
)
def test_an_ordinary_head_is_read_as_the_parser_reads_it(
    status: str, fields: list[tuple[str, str]], rest: str, method: str
) -> None:
    """A head in one piece may take the short way; behind its first octet it cannot. The events are the same."""
    octets = head(*(f"{name}:{value}" for name, value in fields), status=status) + rest.encode()
    short, long = events([octets], method, eof=True), events([octets[:1], octets[1:]], method, eof=True)
    if short.status and not short.error and long.ended:
        assert short == long
    else:
        assert (bool(short.error), short.ended) == (bool(long.error), long.ended)


# Strict ends


@REPLY
def test_a_reply_truncated_at_any_octet_is_an_error(reply: Reply) -> None:
    """RFC 9112 section 8: an incomplete message is told with what came and what was to come; never a clean end."""
    for cut in range(len(reply.octets)):
        exchange, wire = start(reply.method)
        feed(exchange, [reply.octets[:cut]], eof=True)
        if exchange.message is None:
            assert isinstance(exchange.error, ServerDisconnectedError), f"cut at {cut}"
            assert exchange.error.received == cut
        elif reply.eof:
            # The framing cannot tell; where there is a coding it does, but for no content at all.
            assert exchange.is_ended
            assert (GZIP in exchange.fields and exchange.received > 0) == isinstance(
                exchange.body.exception, ContentCodingError
            )
        else:
            assert isinstance(exchange.error, IncompleteMessageError), f"cut at {cut}"
            assert exchange.body.exception is exchange.error
            assert exchange.error.received == exchange.received
            assert exchange.error.expected == exchange.message.length
        assert not wire.reusable


def test_what_came_before_the_truncation_can_be_read() -> None:
    exchange, _ = start()
    feed(exchange, [LENGTH[:-4]], eof=True)
    assert exchange.body.take_all() == HELLO[:-4]
    assert str(exchange.error) == "incomplete content: connection closed after 8 octets, expected 12 octets"


def test_end_of_file_is_no_end_when_tls_was_cut_off() -> None:
    """RFC 9112 section 9.8: without close_notify nobody knows who has closed."""
    exchange, wire = start()
    feed(exchange, [head("Server: x") + HELLO])
    exchange.receive_eof(clean=False)
    assert isinstance(exchange.error, IncompleteMessageError)
    assert (exchange.error.received, exchange.error.expected) == (12, None)
    assert "close_notify" in str(exchange.error)
    assert wire.is_failed


def coded_replies() -> dict[str, tuple[bytes, bytes]]:
    plain = b"the same words over and over, " * 20
    raw = zlib.compressobj(wbits=-15)
    return {
        "gzip": (b"gzip", gzip.compress(plain)),
        "x-gzip": (b"x-gzip", gzip.compress(plain)),
        "two members of gzip": (b"gzip", gzip.compress(plain) + gzip.compress(b"x")),
        "deflate": (b"deflate", zlib.compress(plain)),
        "raw deflate": (b"deflate", raw.compress(plain) + raw.flush()),
        "deflate of gzip": (b"gzip, deflate", zlib.compress(gzip.compress(plain))),
    }


CODED = coded_replies()
IS_WHOLE_MEMBER = len(gzip.compress(b"the same words over and over, " * 20))


@pytest.mark.parametrize(("coding", "coded"), CODED.values(), ids=CODED.keys())
@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
def test_a_coding_cut_off_at_any_octet_is_an_error(framing: str, coding: bytes, coded: bytes) -> None:
    """A message whose framing is whole may still hold half a coding: an error, after the octets that came."""
    for cut in range(1, len(coded)):
        if cut == IS_WHOLE_MEMBER and len(coded) > cut and coding == b"gzip":
            continue  # between two members: what has come is whole
        part = coded[:cut]
        octets = b"HTTP/1.1 200 OK\r\nContent-Encoding: " + coding + b"\r\n"
        if framing == "length":
            octets += b"Content-Length: %d\r\n\r\n" % cut + part
        elif framing == "chunked":
            octets += b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (cut, part)
        else:
            octets += b"\r\n" + part
        for pieces in ([octets], by_octet(octets)):
            exchange, wire = start()
            feed(exchange, pieces, eof=True)
            assert isinstance(exchange.body.exception, ContentCodingError), f"cut at {cut}"
            assert not exchange.body.is_eof
            assert wire.reusable is (framing != "eof"), "the framing is whole, so the connection is sound"


def test_octets_behind_a_coding_are_an_error() -> None:
    exchange, _ = start()
    feed(exchange, [head("Content-Encoding: gzip") + HELLO_GZIP + b"more"])
    assert isinstance(exchange.error, ContentCodingError)
    assert exchange.message is not None, "the head was good"


# Desynchronisation

NEXT = [
    LENGTH,
    b"x",
    b"H",
    b"\r\n",
    b"\n",
    b"\r",
    b"\n\r\n\r\n",
    b"\r\r\n\r\n",
    b"\n\n\r\n\r\n",
    b"0\r\n\r\n",
    b"5",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"T: v\r\n\r\n",
    b"\0" * 5,
]
NEXT += [
    head("Connection: upgrade", "Upgrade: x", status="HTTP/1.1 101 Switching Protocols"),
    head(status="HTTP/1.1 100 C"),
]
NEXT += [b"z" * 300_000]
SOUND = {name: reply for name, reply in REPLIES.items() if not reply.eof}


@pytest.mark.parametrize("behind", NEXT, ids=lambda octets: repr(octets[:20]))
@pytest.mark.parametrize("reply", SOUND.values(), ids=SOUND.keys())
def test_octets_behind_a_message_cost_the_connection_and_nothing_else(reply: Reply, behind: bytes) -> None:
    """A second response, a content where there is none, a line end: nobody knows whose they are."""
    spoilt = reply.expected._replace(reusable=False)
    assert events([reply.octets + behind], reply.method) == spoilt
    assert events([reply.octets[:-1], reply.octets[-1:] + behind], reply.method) == spoilt
    cut = len(reply.octets) // 2
    assert events([reply.octets[:cut], reply.octets[cut:] + behind], reply.method) == spoilt


@pytest.mark.parametrize("content", [HELLO, b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"0\r\nT: v\r\n\r\n", b"5"])
@pytest.mark.parametrize(
    ("method", "status", "field"),
    [
        (m, s, f)
        for m, s in (("HEAD", "200 OK"), ("GET", "204 x"), ("GET", "304 x"))
        for f in ("X: y", "Content-Length: 12", "Transfer-Encoding: chunked")
    ],
)
def test_content_where_none_may_be_is_not_given_to_the_reader(
    method: str, status: str, field: str, content: bytes
) -> None:
    """RFC 9112 section 6.3, step 1: a response to HEAD, 204 and 304 end with the head, whatever they announce."""
    told = events([head(field, status=f"HTTP/1.1 {status}") + content], method)
    assert (told.content, told.trailers, told.ended, told.reusable, told.error) == (b"", [], True, False, "")


@pytest.mark.parametrize("whole", [True, False], ids=["at-once", "in-octets"])
@pytest.mark.parametrize("reply", [LENGTH, CHUNKED + b"0\r\n\r\n"], ids=["length", "chunked"])
def test_a_request_that_is_not_sent_whole_costs_the_connection(reply: bytes, whole: bool) -> None:
    exchange, wire = start()
    exchange.is_sent = False
    feed(exchange, [reply] if whole else [bytes((octet,)) for octet in reply])
    assert exchange.is_ended
    assert wire.reusable is False


def test_an_exchange_lets_go_of_its_connection_when_it_is_over() -> None:
    exchange, _ = start()
    feed(exchange, [LENGTH])
    assert exchange.transport is None
    exchange.fail(ClientPayloadError("too late"))
    exchange.abandon()
    assert exchange.error is None
    assert exchange.is_over


# What is refused

REFUSED_HEADS = {
    "length with transfer coding": ("Content-Length: 5", "Transfer-Encoding: chunked"),
    "transfer coding with length": ("Transfer-Encoding: chunked", "Content-Length: 5"),
    "two lengths that differ": ("Content-Length: 5", "Content-Length: 6"),
    "two lengths that agree (stricter than RFC 9112 6.3)": ("Content-Length: 5", "content-length: 5"),
    "a list of lengths": ("Content-Length: 5, 5",),
    "no length": ("Content-Length:",),
    "length of blanks": ("Content-Length: ",),
    "length +5": ("Content-Length: +5",),
    "length -1": ("Content-Length: -1",),
    "length 1_0": ("Content-Length: 1_0",),
    "length 1 0": ("Content-Length: 1 0",),
    "length 0x5": ("Content-Length: 0x5",),
    "length 5.0": ("Content-Length: 5.0",),
    "length in Arabic digits": ("Content-Length: \u0665".encode().decode("latin-1"),),
    "length beyond 64 bits": ("Content-Length: 18446744073709551616",),
    "length of 5,000 digits": ("Content-Length: " + "0" * 5000,),
    "blank before the colon": ("Content-Length : 5",),
    "folded field": ("A: b", " c"),
    "folded field, HTAB": ("A: b", "\tc"),
    "fold behind the status line": (" A: b",),
    "folded transfer coding": ("Transfer-Encoding:", " chunked"),
    "transfer coding gzip": ("Transfer-Encoding: gzip",),
    "transfer coding gzip, chunked": ("Transfer-Encoding: gzip, chunked",),
    "transfer coding chunked, gzip": ("Transfer-Encoding: chunked, gzip",),
    "chunked twice": ("Transfer-Encoding: chunked, chunked",),
    "chunked in two fields": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "transfer coding identity": ("Transfer-Encoding: identity",),
    "identity and chunked": ("Transfer-Encoding: identity", "Transfer-Encoding: chunked"),
    "chunked with a parameter": ("Transfer-Encoding: chunked;a=b",),
    "an empty element and chunked": ("Transfer-Encoding: ,chunked",),
    "chunked behind a no-break space": ("Transfer-Encoding: \xa0chunked",),
    "chunked before HTAB": ("Transfer-Encoding: chunked\t",),
    "chunked behind a vertical tab": ("Transfer-Encoding: \x0bchunked",),
    "no transfer coding": ("Transfer-Encoding:",),
    "no colon": ("abc",),
    "no name": (": b",),
    "name beyond ASCII": ("\xe9: b",),
    "bare LF in a value": ("A: b\nC: d",),
    "bare CR in a value": ("A: b\rC: d",),
}
REFUSED_HEADS |= {
    f"octet {octet:#x} in a value": (f"A: b{chr(octet)}c",) for octet in (*range(9), 11, 12, *range(14, 32), 127)
}
REFUSED_HEADS |= {
    f"octet {octet:#x} in a name": (f"A{chr(octet)}: c",) for octet in (0, 1, 9, 31, 32, 34, 40, 47, 64, 127, 128, 255)
}


@pytest.mark.parametrize("lines", REFUSED_HEADS.values(), ids=REFUSED_HEADS.keys())
def test_fields_that_leave_the_framing_in_doubt_are_refused(lines: tuple[str, ...]) -> None:
    assert type(failure(head(*lines) + HELLO)) is ResponseProtocolError
    if not any("Length" in line or "Transfer" in line for line in lines):  # what would be an ordinary head else
        assert type(failure(head("Content-Length: 12", *lines) + HELLO)) is ResponseProtocolError
        assert type(failure(head(*lines, "Content-Length: 12") + HELLO)) is ResponseProtocolError


REFUSED_LINES = {
    "HTTP/2.0": b"HTTP/2.0 200 OK",
    "HTTP/0.9": b"HTTP/0.9 200 OK",
    "HTTP/1.2": b"HTTP/1.2 200 OK",
    "HTTP/1": b"HTTP/1 200 OK",
    "lower case": b"http/1.1 200 OK",
    "RTSP": b"RTSP/1.0 200 OK",
    "ICE": b"ICE/1.0 200 OK",
    "a request": b"GET / HTTP/1.1",
    "a blank line before": b"\r\nHTTP/1.1 200 OK",
    "a blank before": b" HTTP/1.1 200 OK",
    "status 099": b"HTTP/1.1 099 OK",
    "status 000": b"HTTP/1.1 000 OK",
    "status 20": b"HTTP/1.1 20 OK",
    "status 2000": b"HTTP/1.1 2000 OK",
    "status +20": b"HTTP/1.1 +20 OK",
    "status in other digits": "HTTP/1.1 \u0662\u0660\u0660 OK".encode(),
    "no status": b"HTTP/1.1",
    "101": b"HTTP/1.1 101 Switching Protocols",
    "101 with its fields": b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket",
    "bare LF": b"HTTP/1.1 200 OK\nA: b",
    "bare CR": b"HTTP/1.1 200 OK\rA: b",
    "NUL in the reason": b"HTTP/1.1 200 O\0K",
    "control in the reason": b"HTTP/1.1 200 O\x1bK",
    "DEL in the reason": b"HTTP/1.1 200 O\x7fK",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01",
}


@pytest.mark.parametrize("line", REFUSED_LINES.values(), ids=REFUSED_LINES.keys())
def test_a_status_line_that_is_none_of_http_1_is_refused(line: bytes) -> None:
    octets = line + b"\r\nContent-Length: 5\r\n\r\nhello"
    for pieces in ([octets], by_octet(octets), [octets[:1], octets[1:]], [octets[:-5], b"hello"]):
        exchange, wire = start()
        feed(exchange, pieces)
        assert type(exchange.error) is ResponseProtocolError
        assert exchange.message is None, "no response is told of"
        assert wire.is_failed


def test_the_start_of_what_is_no_response_is_told() -> None:
    exchange, _ = start()
    feed(exchange, [b"SSH-2.0-OpenSSH_9.2\r\n"])
    assert str(exchange.error) == "expected 'HTTP/' at the start of a response, seen b'SSH-2.0-OpenSSH_'"


REFUSED_CHUNKS = {
    "size that is no hex": b"g\r\n",
    "size -1": b"-1\r\n",
    "size +5": b"+5\r\nhello\r\n",
    "size 0x5": b"0x5\r\nhello\r\n",
    "size 1_0": b"1_0\r\n",
    "size beyond 64 bits": b"10000000000000000\r\n",
    "no size": b"\r\nhello\r\n",
    "no size, but an extension": b";a=b\r\nhello\r\n",
    "blank before the size": b" 5\r\nhello\r\n",
    "blank behind the size": b"5 \r\nhello\r\n",
    "bare LF behind the size": b"5\nhello\r\n",
    "bare CR behind the size": b"5\rhello\r\n",
    "bare LF behind an extension": b"5;a\nhello\r\n",
    "control in an extension": b"5;a=\x01\r\nhello\r\n",
    "NUL in an extension": b"5;\0\r\nhello\r\n",
    "content longer than its size": b"5\r\nhello!\r\n0\r\n\r\n",
    "content shorter than its size": b"7\r\nhello\r\n0\r\n\r\n\r\n",
    "no line end behind the content": b"5\r\nhello0\r\n\r\n",
    "bare LF behind the content": b"5\r\nhello\n0\r\n\r\n",
    "bare CR behind the content": b"5\r\nhello\r0\r\n\r\n",
    "bare LF behind the last chunk": b"0\n\n",
    "bare LF behind a trailer": b"0\r\nT: v\n\r\n",
    "folded trailer": b"0\r\nT: v\r\n w\r\n\r\n",
    "NUL in a trailer": b"0\r\nT: \0\r\n\r\n",
    "trailer without a name": b"0\r\n: v\r\n\r\n",
    "Content-Length as a trailer": b"0\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("chunks", REFUSED_CHUNKS.values(), ids=REFUSED_CHUNKS.keys())
def test_chunks_that_leave_the_framing_in_doubt_are_refused(chunks: bytes) -> None:
    """RFC 9112 section 7.1: two readers of these would not agree where the message ends."""
    error = failure(CHUNKED + chunks)
    assert type(error) is ResponseProtocolError
    assert str(error).startswith("bad chunked content: ")


SCRAPS = [b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"\n", b"\r", b" ", b":", b";", b"0", b"\0", b"\xff", b"5\r\nhello\r\n"]
SCRAPS += [
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    head(status="HTTP/1.1 100 C"),
]
EDITS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 6), st.sampled_from(SCRAPS) | st.just(b"")), max_size=3)


@given(st.sampled_from(list(REPLIES.values())), EDITS, st.integers(0, 300))
def test_any_octets_are_accepted_or_refused_alike_however_they_come(
    reply: Reply, edits: list[tuple[int, int, bytes]], cut: int
) -> None:
    """A reply that was tampered with ends well or with an error of ours; which one may depend on what is seen first."""
    octets = reply.octets
    for place, count, scrap in edits:
        octets = octets[:place] + scrap + octets[place + count :]
    told = [
        events(pieces, reply.method, eof=True) for pieces in ([octets], by_octet(octets), [octets[:cut], octets[cut:]])
    ]
    for other in told[1:]:
        assert (told[0].ended, bool(told[0].error)) == (other.ended, bool(other.error))
        if told[0].ended:
            assert told[0]._replace(reusable=None) == other._replace(reusable=None)


# Limits


def sizes(octets: bytes) -> Iterator[list[bytes]]:
    """*octets* as they may come: in one go, in what a recv() gives, in small packets, one by one."""
    for size in (len(octets), 65_536, 65_535, 1448, 1):
        yield [octets[at : at + size] for at in range(0, len(octets), size)]


def fails_alike(octets: bytes, *, what: str, limit: int) -> None:
    for pieces in sizes(octets):
        exchange, wire = start()
        feed(exchange, pieces)
        assert isinstance(exchange.error, ResponseHeadTooLargeError), exchange
        assert (exchange.error.what, exchange.error.limit) == (what, limit)
        assert wire.is_failed


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", HELLO, b"x" * 400_000])
@pytest.mark.parametrize("before", [b"", head("A: b", status="HTTP/1.1 103 Early Hints") * 700])
def test_a_head_of_exactly_the_limit_passes_and_one_octet_more_does_not(before: bytes, content: bytes) -> None:
    """Interim responses count: the limit is of all that comes before the content, however it comes."""
    lines = f"Content-Length: {len(content)}"
    filler = MAX_HEAD_BYTES - len(before) - len(head(lines, "X: "))
    octets = before + head(lines, "X: " + "x" * filler)
    assert len(octets) == MAX_HEAD_BYTES
    for pieces in sizes(octets + content):
        told = events(pieces)
        assert (told.status, told.content, told.error) == (200, content, "")
        assert told.reusable
    fails_alike(octets.replace(b"X: ", b"X: x") + content, what="the response head", limit=MAX_HEAD_BYTES)


@pytest.mark.slow
@pytest.mark.parametrize("unfinished", [b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_head_that_does_not_end_is_given_up(unfinished: bytes) -> None:
    fails_alike(unfinished + b"x" * 300_000, what="the response head", limit=MAX_HEAD_BYTES)


def test_interim_responses_without_end_are_given_up() -> None:
    fails_alike(head(status="HTTP/1.1 100 Continue") * 3000, what="the response head", limit=MAX_HEAD_BYTES)


def test_a_head_has_no_more_fields_than_the_limit() -> None:
    for length in ("Content-Length: 12", "Transfer-Encoding: chunked"):
        octets = head(length, *["A: b"] * MAX_FIELDS) + HELLO
        fails_alike(octets, what="the number of fields", limit=MAX_FIELDS)
    fields = ["A: b"] * (MAX_FIELDS - 1)
    assert len(events([head("Content-Length: 12", *fields) + HELLO]).fields) == MAX_FIELDS
    assert len(events(by_octet(head("Content-Length: 12", *fields) + HELLO)).fields) == MAX_FIELDS


def test_a_message_has_no_more_trailers_than_the_limit() -> None:
    fails_alike(
        CHUNKED + b"0\r\n" + b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n",
        what="the number of trailer fields",
        limit=MAX_FIELDS,
    )
    octets = CHUNKED + b"0\r\n" + b"A: b\r\n" * MAX_FIELDS + b"\r\n"
    for pieces in sizes(octets):
        assert len(events(pieces).trailers) == MAX_FIELDS


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"x" * 100_000], ids=["small", "large"])
def test_a_trailer_section_has_a_limit_whatever_the_content(content: bytes) -> None:
    """A large content earns a share of chunk framing; it earns no larger trailers, which are held in memory."""
    start_of = CHUNKED + (b"%x\r\n%b\r\n" % (len(content), content) if content else b"") + b"0\r\n"
    whole = [b"A: " + b"b" * 70_000 + b"\r\n\r\n", (b"A: " + b"b" * 1000 + b"\r\n") * 80 + b"\r\n"]
    ways = [pieces for trailers in whole for pieces in sizes(start_of + trailers)]
    ways += list(sizes(start_of + b"A: " + b"b" * 400_000))[1:]  # no recv() gives all of that, and no end of it
    for pieces in ways:
        exchange, _ = start()
        feed(exchange, pieces)
        assert isinstance(exchange.error, ResponseHeadTooLargeError), exchange
        assert "trailer" in exchange.error.what
        assert exchange.error.limit == MAX_HEAD_BYTES
    for pieces in sizes(start_of + b"A: " + b"b" * 60_000 + b"\r\n\r\n"):
        assert events(pieces).reusable


@pytest.mark.slow
def test_chunk_extensions_have_a_limit() -> None:
    for chunks in (
        b"1;" + b"x" * 200_000,
        b"1;" + b"x" * 200_000 + b"\r\nx\r\n0\r\n\r\n",
        (b"1;" + b"x" * 300 + b"\r\ny\r\n") * 1000,
    ):
        for pieces in sizes(CHUNKED + chunks):
            exchange, _ = start()
            feed(exchange, pieces)
            assert isinstance(exchange.error, ResponseHeadTooLargeError), exchange
            assert "chunk extension" in exchange.error.what
            assert exchange.error.limit in (MAX_CHUNKED_OVERHEAD_BYTES, MAX_HEAD_BYTES)


def test_honest_extensions_of_a_large_content_pass() -> None:
    chunks = (b"400;signature=" + b"f" * 85 + b"\r\n" + b"x" * 1024 + b"\r\n") * 3000
    exchange, wire = start()
    exchange.body.collecting = True
    feed(exchange, next(iter(sizes(CHUNKED + chunks + b"0\r\n\r\n"))))
    assert exchange.received == 3000 * 1024
    assert wire.reusable


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_hundred_thousand_chunks_of_one_octet_cost_linear_time(
    coding: str, record_property: Callable[[str, object], None]
) -> None:
    """Twice as many take about twice as long; recorded only, for time is no property of a busy machine."""

    async def seconds(count: int) -> float:
        content = bytes(count)
        if coding == "gzip":
            content = gzip.compress(content, 0)[: count - 8] or content
        octets = CHUNKED.replace(b"\r\n\r\n", f"\r\nContent-Encoding: {coding}\r\n\r\n".encode())
        octets += b"".join(b"1\r\n%c\r\n" % octet for octet in content)
        exchange, _ = start()
        began = time.process_time()
        exchange.body.collecting = True
        feed(exchange, [octets[at : at + 65_536] for at in range(0, len(octets), 65_536)])
        assert exchange.error is None
        assert exchange.received == len(content)
        return time.process_time() - began

    asyncio.run(seconds(1000))
    for count in (25_000, 50_000, 100_000):
        record_property(f"{count} chunks", asyncio.run(seconds(count)))


# Bounds of the content

LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nhello, world!"


@pytest.mark.parametrize("pieces", [[LONG], list(by_octet(LONG))], ids=["whole", "by octet"])
def test_a_content_announced_too_large_is_refused_at_the_head(pieces: list[bytes]) -> None:
    exchange, wire = start(max_body_bytes=12)
    feed(exchange, pieces)
    assert isinstance(exchange.error, BodyTooLargeError)
    assert exchange.error.limit == 12
    assert exchange.message is None
    assert wire.is_failed


@pytest.mark.parametrize(
    "octets", [CHUNKED + b"d\r\nhello, world!\r\n0\r\n\r\n", head() + b"hello, world!"], ids=["chunked", "eof"]
)
def test_a_content_that_grows_too_large_fails_where_it_does(octets: bytes) -> None:
    for pieces in ([octets], by_octet(octets), [octets[:60], octets[60:]]):
        exchange, wire = start(max_body_bytes=12)
        feed(exchange, pieces, eof=True)
        assert isinstance(exchange.error, BodyTooLargeError)
        assert exchange.message is not None, "the head was good"
        assert exchange.body.size <= 12
        assert wire.is_failed


@pytest.mark.parametrize(
    "reply",
    [
        reply
        for name, reply in REPLIES.items()
        if name in ("length", "chunked", "to end of file", "HEAD with a length", "length 0")
    ],
)
def test_a_content_of_exactly_the_bound_passes(reply: Reply) -> None:
    for pieces in ([reply.octets], by_octet(reply.octets)):
        exchange, _ = start(reply.method, max_body_bytes=12)
        feed(exchange, pieces, eof=reply.eof)
        assert exchange.is_ended
        assert exchange.body.take_all() == reply.expected.content


def test_the_bound_is_of_the_octets_received_not_of_the_decoded_ones() -> None:
    coded = gzip.compress(bytes(1000))
    exchange, _ = start(max_body_bytes=len(coded))
    feed(exchange, [head(f"Content-Length: {len(coded)}", "Content-Encoding: gzip") + coded])
    assert exchange.body.take_all() == bytes(1000)


# Codings


@pytest.mark.parametrize(
    "field", ["Content-Encoding: exi", "Content-Encoding: gzip, x-unheard-of", "Content-Encoding: " + "gzip," * 6]
)
@pytest.mark.parametrize("framing", ["Content-Length: 12", "Transfer-Encoding: chunked", "Server: x"])
def test_an_unknown_coding_spoils_the_content_and_not_the_head(field: str, framing: str) -> None:
    octets = head(field, framing) + (b"C\r\nhello, world\r\n0\r\n\r\n" if "chunked" in framing else HELLO)
    for pieces in ([octets], by_octet(octets)):
        exchange, _ = start()
        feed(exchange, pieces, eof=True)
        assert exchange.status == 200
        assert exchange.message is not None
        assert isinstance(exchange.body.exception, ContentCodingError)
        assert exchange.body.take_all() == b""
        assert not exchange.body.is_eof


def test_an_unknown_coding_of_an_empty_content_spoils_it_too() -> None:
    exchange, _ = start()
    feed(exchange, [head("Content-Encoding: exi", "Transfer-Encoding: chunked") + b"0\r\n\r\n"])
    assert isinstance(exchange.body.exception, ContentCodingError)


def test_codings_stay_when_nobody_wants_them_removed() -> None:
    reply = REPLIES["gzip, length"]
    told = events([reply.octets], decode=False)
    assert told == reply.expected._replace(content=HELLO_GZIP)


def test_the_content_of_a_redirection_that_is_followed_is_not_decoded() -> None:
    """A bomb in a redirection would cost what nobody will read; without Location it is a response like others."""
    location = "Location: /x"
    for lines, content in (([location], HELLO_GZIP), ([], HELLO)):
        octets = head(
            "Content-Encoding: gzip", f"Content-Length: {len(HELLO_GZIP)}", *lines, status="HTTP/1.1 302 Found"
        )
        assert events([octets + HELLO_GZIP], follows=True).content == content
        assert events([octets + HELLO_GZIP], follows=False).content == HELLO


def test_a_decoded_content_is_told_to_be_decoded() -> None:
    exchange, _ = start()
    feed(exchange, [REPLIES["gzip, chunked"].octets[:80]])
    assert exchange.is_decoded
    plain, _ = start()
    feed(plain, [LENGTH])
    assert not plain.is_decoded


# Flow control


def part(size: int) -> bytes:
    return b"x" * size


def framed(framing: str, size: int) -> tuple[bytes, bytes]:
    """A head and a content of *size* octets behind it."""
    if framing == "length":
        return head(f"Content-Length: {size}"), part(size)
    if framing == "chunked":
        return CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (size, part(size))
    return head(), part(size)


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
def test_the_socket_rests_while_the_reader_is_behind(framing: str) -> None:
    """Paused once above the high-water mark, resumed once at or below the low-water mark."""
    octets, content = framed(framing, 4 * HIGH_WATER_BYTES)
    exchange, wire = start()
    feed(exchange, [octets, content[: HIGH_WATER_BYTES - 100]])
    assert wire.asked == []
    feed(exchange, [content[HIGH_WATER_BYTES - 100 : HIGH_WATER_BYTES + 100]])
    assert wire.asked == ["pause"]
    assert exchange.is_paused
    feed(exchange, [content[HIGH_WATER_BYTES + 100 : HIGH_WATER_BYTES + 300]])
    assert wire.asked == ["pause"], "a second time would be of no use"
    while exchange.body.size > LOW_WATER_BYTES + 1:
        exchange.body.take(exchange.body.size - LOW_WATER_BYTES - 1)
    assert wire.asked == ["pause"]
    exchange.body.take(1)
    assert wire.asked == ["pause", "resume"]
    assert not exchange.is_paused


def test_a_complete_message_pauses_nothing() -> None:
    octets, content = framed("length", 2 * HIGH_WATER_BYTES)
    exchange, wire = start()
    feed(exchange, [octets, content])
    assert wire.asked == []
    assert wire.reusable
    assert len(exchange.body.take_all()) == 2 * HIGH_WATER_BYTES


async def test_a_reader_of_the_whole_is_never_paused_for() -> None:
    octets, content = framed("eof", 4 * HIGH_WATER_BYTES)
    exchange, wire = start()
    feed(exchange, [octets])
    whole = asyncio.create_task(exchange.body.collect())
    await asyncio.sleep(0)
    feed(exchange, [content], eof=True)
    assert await whole == content
    assert wire.asked == []


async def test_a_reader_of_the_whole_that_comes_late_sets_the_socket_going() -> None:
    octets, content = framed("eof", 4 * HIGH_WATER_BYTES)
    exchange, wire = start()
    feed(exchange, [octets, content])
    assert wire.asked == ["pause"]
    whole = asyncio.create_task(exchange.body.collect())
    await asyncio.sleep(0)
    assert wire.asked == ["pause", "resume"]
    exchange.receive_eof()
    assert await whole == content


def test_a_paused_exchange_that_fails_keeps_what_was_held() -> None:
    octets, content = framed("eof", 2 * HIGH_WATER_BYTES)
    exchange, wire = start()
    feed(exchange, [octets, content])
    exchange.fail(IncompleteMessageError(1, None))
    assert exchange.body.take_all() == content
    assert wire.asked == ["pause"], "the connection is gone, there is nothing to resume"
    assert exchange.body.exception is exchange.error


INFLATED = 20 << 20
BOMB = gzip.compress(bytes(INFLATED), 6)
BOMB_HEAD = head("Content-Encoding: gzip", f"Content-Length: {len(BOMB)}")


@pytest.mark.slow
@pytest.mark.parametrize("ended", [True, False])
async def test_a_small_content_that_inflates_is_decoded_as_the_reader_takes_it(ended: bool) -> None:
    """Never more than the high-water mark and a step are held, and the end is told after the last octet."""
    exchange, wire = start()
    feed(exchange, [BOMB_HEAD, BOMB if ended else BOMB[:-1]])
    assert exchange.is_ended is ended
    total = 0
    while exchange.body.size:
        assert exchange.body.size <= HIGH_WATER_BYTES + DECODE_STEP_BYTES
        assert exchange.body.is_eof is (ended and total + exchange.body.size == INFLATED)
        total += len(exchange.body.take(100_000))
        if total == INFLATED and not ended:
            break
    if not ended:
        assert wire.asked.count("pause") == wire.asked.count("resume")
        feed(exchange, [BOMB[-1:]])
    assert total == INFLATED
    assert exchange.body.is_eof
    assert wire.reusable


@pytest.mark.slow
@pytest.mark.parametrize("ended", [True, False])
async def test_a_turn_of_the_loop_decodes_a_bounded_number_of_steps(ended: bool) -> None:
    """Others run between the turns, even when the reader wants the whole."""
    exchange, wire = start()
    feed(exchange, [BOMB_HEAD])
    whole = asyncio.create_task(exchange.body.collect())
    await asyncio.sleep(0)
    feed(exchange, [BOMB if ended else BOMB[:-1]])
    turns, seen = 0, 0
    while exchange.body.size < INFLATED:
        assert exchange.body.size - seen <= DECODE_STEPS_PER_TURN * DECODE_STEP_BYTES
        seen = exchange.body.size
        assert not exchange.body.is_eof
        await asyncio.sleep(0)
        turns += 1
    assert turns >= INFLATED // (DECODE_STEPS_PER_TURN * DECODE_STEP_BYTES) - 1
    await asyncio.sleep(0)
    if not ended:
        assert wire.asked == ["pause", "resume"], "nothing is received while there is work"
        feed(exchange, [BOMB[-1:]])
    assert len(await whole) == INFLATED


@pytest.mark.slow
async def test_a_stack_of_codings_that_inflates_beyond_measure_is_refused() -> None:
    """One coding gives 1032 octets for one at most; where two give a million, none of them was content."""
    bomb = gzip.compress(gzip.compress(bytes(40 << 20), 9), 9)
    exchange, wire = start()
    feed(exchange, [head("Content-Encoding: gzip, gzip", f"Content-Length: {len(bomb) + 1}") + bomb])
    while exchange.body.size:
        exchange.body.take_all()
    assert isinstance(exchange.body.exception, BodyTooLargeError)
    assert wire.is_failed


async def test_a_turn_that_comes_after_the_failure_does_nothing() -> None:
    exchange, wire = start()
    exchange.body.collecting = True
    feed(exchange, [BOMB_HEAD + BOMB[:-1]])
    assert exchange.is_paused
    held = exchange.body.size
    exchange.abandon()
    await asyncio.sleep(0)
    assert exchange.body.size == held
    assert wire.asked == ["pause"]


def test_a_coding_that_breaks_behind_the_pause_fails_when_it_is_reached() -> None:
    coded = gzip.compress(bytes(2 << 20), 9)
    for ended in (True, False):
        exchange, _ = start()
        feed(
            exchange,
            [head("Content-Encoding: gzip", f"Content-Length: {len(coded) + (not ended)}"), coded[:-6] + b"broken"],
        )
        assert exchange.body.exception is None
        assert exchange.is_ended is ended
        while exchange.body.size:
            exchange.body.take_all()
        assert isinstance(exchange.body.exception, ContentCodingError)
        assert not exchange.body.is_eof


# Content that nobody wants


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
def test_discarded_content_keeps_the_connection_up_to_its_limit(framing: str) -> None:
    octets, content = framed(framing, 100)
    exchange, wire = start()
    feed(exchange, [octets + content[:20]])
    exchange.discard(80 + 20)
    assert exchange.body.size == 0
    feed(exchange, by_octet(content[20:]), eof=framing == "eof")
    assert exchange.is_ended
    assert exchange.body.size == 0
    assert exchange.body.is_eof
    assert wire.reusable is (framing != "eof")


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
def test_discarded_content_above_its_limit_closes_the_connection(framing: str) -> None:
    octets, content = framed(framing, 100)
    exchange, wire = start()
    feed(exchange, [octets])
    exchange.discard(99)
    feed(exchange, [content], eof=True)
    assert isinstance(exchange.error, ClientPayloadError)
    assert wire.is_failed


def test_discarded_content_is_not_decoded_and_sets_a_paused_socket_going() -> None:
    exchange, wire = start()
    feed(exchange, [BOMB_HEAD, BOMB[:-10]])
    assert wire.asked == ["pause"]
    exchange.discard(10)
    assert wire.asked == ["pause", "resume"]
    assert exchange.body.size == 0
    feed(exchange, [BOMB[-10:]])
    assert exchange.is_ended
    assert exchange.body.size == 0
    assert wire.reusable


def test_the_rest_of_a_content_can_be_moved_by_another() -> None:
    exchange, wire = start()
    feed(exchange, [LENGTH[:-7]])
    assert exchange.take_over() == 7
    exchange.moved(3)
    assert exchange.take_over() == 4
    assert not exchange.is_ended
    exchange.moved(4)
    assert exchange.received == 12
    assert exchange.is_ended
    assert exchange.body.is_eof
    assert wire.reusable


# Who waits for the head, and who lets go


async def test_the_head_wakes_who_waits_for_it() -> None:
    for pieces in (
        [LENGTH],
        [LENGTH[:-1]],
        [REPLIES["chunked"].octets],
        [head(status="HTTP/1.1 100 C"), LENGTH],
        by_octet(LENGTH),
    ):
        exchange, _ = start()
        waiter = exchange.waiter = asyncio.get_running_loop().create_future()
        feed(exchange, pieces)
        assert waiter.result() is None
        assert exchange.waiter is None


async def test_an_interim_response_wakes_nobody() -> None:
    exchange, _ = start()
    waiter = exchange.waiter = asyncio.get_running_loop().create_future()
    feed(exchange, [head(status="HTTP/1.1 103 Early Hints")])
    assert not waiter.done()
    waiter.cancel()


async def test_a_failure_before_the_head_is_for_who_waits_and_later_ones_for_the_reader() -> None:
    exchange, _ = start()
    waiter = exchange.waiter = asyncio.get_running_loop().create_future()
    feed(exchange, [b"nonsense"])
    assert waiter.exception() is exchange.error
    for pieces in ([CHUNKED + b"g"], [CHUNKED, b"g"], [head("Content-Encoding: exi") + b"x"]):
        exchange, _ = start()
        waiter = exchange.waiter = asyncio.get_running_loop().create_future()
        feed(exchange, pieces)
        assert waiter.result() is None
        assert exchange.body.exception is exchange.error is not None


@pytest.mark.parametrize("octets", [LENGTH, LENGTH[:-1], b"nonsense", CHUNKED])
async def test_nobody_need_wait_any_more(octets: bytes) -> None:
    exchange, _ = start()
    exchange.waiter = asyncio.get_running_loop().create_future()
    exchange.waiter.cancel()
    feed(exchange, [octets])
    assert exchange.waiter is None


async def test_the_end_of_the_exchange_ends_the_upload() -> None:
    async def upload() -> None:
        await asyncio.sleep(60)

    for octets in (LENGTH, b"nonsense"):
        exchange, wire = start()
        exchange.is_sent = False
        exchange.upload = asyncio.create_task(upload())
        await asyncio.sleep(0)
        feed(exchange, [octets])
        assert not wire.reusable
        with pytest.raises(asyncio.CancelledError):
            await exchange.upload
        feed(exchange, [])


async def test_an_upload_that_is_done_is_left_alone() -> None:
    exchange, wire = start()
    exchange.upload = asyncio.create_task(asyncio.sleep(0))
    await exchange.upload
    feed(exchange, [LENGTH])
    assert wire.reusable


def test_a_response_that_is_closed_closes_its_connection() -> None:
    exchange, wire = start()
    feed(exchange, [LENGTH[:-1]])
    exchange.abandon()
    assert wire.is_failed
    assert isinstance(exchange.error, ClientPayloadError)
    assert str(exchange.error) == "the response was closed before its content was read"


def test_a_response_that_is_dropped_closes_its_connection_and_says_so() -> None:
    exchange, wire = start()
    feed(exchange, [LENGTH[:-1]])
    with pytest.warns(ResourceWarning, match="unread response dropped.*GET -> 200, 11 octets, open"):
        exchange.dropped()
    assert wire.is_failed


def test_a_complete_response_may_be_dropped() -> None:
    exchange, _ = start()
    feed(exchange, [LENGTH])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exchange.dropped()


def test_an_exchange_without_a_connection_may_fail_or_end() -> None:
    exchange = Exchange("GET")
    exchange.fail(ServerDisconnectedError())
    assert exchange.is_over
    for octets in (LENGTH, CHUNKED + b"0\r\n\r\n"):
        assert feed(Exchange("GET"), [octets]).is_ended
    exchange = Exchange("GET")
    feed(exchange, [head(), part(HIGH_WATER_BYTES + 1)])
    assert not exchange.is_paused, "there is nobody to pause"
    exchange.body.take_all()


def test_a_stream_that_is_dropped_tells_its_exchange() -> None:
    exchange, wire = start()
    feed(exchange, [LENGTH[:-1]])
    stream: StreamReader | None = StreamReader(_buffer=exchange.body, _owner=exchange)
    assert stream is not None
    with pytest.warns(ResourceWarning):
        stream = None
    assert wire.is_failed


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (b"HTTP/1.1", "<Exchange GET -> no head, 0 octets, open>"),
        (LENGTH[:-1], "<Exchange GET -> 200, 11 octets, open>"),
        (LENGTH, "<Exchange GET -> 200, 12 octets, ended>"),
        (CHUNKED + b"g", "<Exchange GET -> 200, 0 octets, failed>"),
    ],
)
def test_the_repr_shows_how_far_it_came(octets: bytes, shown: str) -> None:
    exchange, _ = start()
    feed(exchange, [octets])
    assert repr(exchange) == shown


# The head, in parts


def _sets_cookies(exchange: Exchange) -> bool:
    return exchange.message is not None and exchange.message.sets_cookies


def test_set_cookie_is_told_without_looking_at_every_field() -> None:
    for octets in (head("Set-Cookie: a=b", "Content-Length: 12"), head("set-cookie: a=b")):
        exchange, _ = start()
        feed(exchange, [octets])
        assert _sets_cookies(exchange)
    exchange, _ = start()
    assert not _sets_cookies(exchange)
    feed(exchange, [LENGTH])
    assert not _sets_cookies(exchange)


@pytest.mark.parametrize("rest", ["Content-Length: 0", "Transfer-Encoding: chunked"], ids=["ordinary", "parsed"])
@pytest.mark.parametrize("is_split", [False, True])
def test_one_field_is_had_by_its_name_however_it_is_written(rest: str, is_split: bool) -> None:
    exchange, _ = start()
    feed(exchange, [head('ETag: \t "x" ', "last-modified: y", "X-ETag: z", rest, "ETag: second", "Empty:")])
    if is_split:
        assert exchange.fields[0][0] == b"ETag"
    assert exchange.field(b"ETag") == b'"x"'
    assert exchange.field(b"eTAG") == b'"x"'
    assert exchange.field(b"Last-Modified") == b"y"
    assert exchange.field(b"Empty") == b""
    assert exchange.field(b"Tag") is None
    assert exchange.field(b"Absent") is None
