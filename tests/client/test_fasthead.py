"""The ordinary head: read with one expression, or left to the parser; never read otherwise than the parser would."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetchd.client.exceptions import ResponseProtocolError
from fetchd.client.fasthead import ordinary_head, split_fields
from fetchd.client.framing import Framing, Message, RawFields, describe
from fetchd.client.limits import MAX_FIELDS

ORDINARY = b'HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 12\r\nConnection: keep-alive\r\nETag: \t"y"\r\n\r\n'


class Parsed:
    """What llhttp makes of a head."""

    def __init__(self) -> None:
        self.fields: RawFields = []
        self.reason = b""
        self.is_complete = False

    def on_status(self, reason: bytes) -> None:
        """See ``httptools``."""
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """See ``httptools``."""
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        """See ``httptools``."""
        self.is_complete = True


def parsed(head: bytes) -> tuple[int, bytes, RawFields, Message] | None:
    """The reference: the same head by the parser and ``describe``; None where either refuses it."""
    seen = Parsed()
    parser = httptools.HttpResponseParser(seen)
    try:
        parser.feed_data(head)
        if not seen.is_complete:
            return None
        message = describe("GET", parser.get_status_code(), parser.get_http_version(), seen.fields)
    except (httptools.HttpParserError, ResponseProtocolError):
        return None
    return parser.get_status_code(), seen.reason, seen.fields, message


def test_an_ordinary_head_is_read() -> None:
    found = ordinary_head(ORDINARY + b"hello, world")
    assert found is not None
    status, reason, fields, message = found
    assert (status, reason) == (200, b"OK")
    assert message == Message(Framing.LENGTH, 12, True, "", False)
    assert split_fields(fields) == [
        (b"Server", b"x"),
        (b"Content-Length", b"12"),
        (b"Connection", b"keep-alive"),
        (b"ETag", b'"y"'),
    ]


def test_an_ordinary_head_may_set_cookies() -> None:
    found = ordinary_head(ORDINARY.replace(b"Server", b"SET-cookie"))
    assert found is not None
    assert found[3].sets_cookies


@pytest.mark.parametrize("cut", range(len(ORDINARY)))
def test_a_head_that_is_not_whole_is_left_to_the_parser(cut: int) -> None:
    assert ordinary_head(ORDINARY[:cut]) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"HTTP/1.1", b"HTTP/2.0"),
        (b"200 OK", b"100 Continue"),
        (b"200 OK", b"101 Switching Protocols"),
        (b"200 OK", b"204 No Content"),
        (b"200 OK", b"304 Not Modified"),
        (b"200 OK", b"600 OK"),
        (b"200 OK", b"200"),
        (b"200 OK", b"2000 OK"),
        (b"200 OK", b"200 O\0K"),
        (b"200 OK", b"200 O\nK"),
        (b"Server: x", b"Transfer-Encoding: chunked"),
        (b"Server: x", b"Content-Encoding: gzip"),
        (b"Server: x", b"Content-Length: 12"),
        (b"Server: x", b"Connection: close"),
        (b"Server: x", b"X : y"),
        (b"Server: x", b" folded"),
        (b"Server: x", b"Server: x\nX: y"),
        (b"Server: x", b"Server: x\rX: y"),
        (b"Server: x", b"Server: \x7f"),
        (b"Server: x", b"Server"),
        (b"Server: x", b": x"),
        (b"Server: x", b"\xe9: x"),
        (b"Server: x", b"X:\r\n" * MAX_FIELDS + b"Y: z"),
        (b"Content-Length: 12", b"X: y"),
        (b"Content-Length: 12", b"Content-Length:"),
        (b"Content-Length: 12", b"Content-Length: +12"),
        (b"Content-Length: 12", b"Content-Length: 1_2"),
        (b"Content-Length: 12", b"Content-Length: 1,2"),
        (b"Content-Length: 12", "Content-Length: \u0661\u0662".encode()),
        (b"Content-Length: 12", b"Content-Length: \xb2"),
        (b"Content-Length: 12", b"Content-Length: 1" + b"0" * 18),
        (b"keep-alive", b"close"),
        (b"keep-alive", b"keep-alive, close"),
        (b"keep-alive", b"upgrade"),
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_the_parser(old: bytes, new: bytes) -> None:
    assert ordinary_head(ORDINARY) is not None
    assert ordinary_head(ORDINARY.replace(old, new)) is None


NAMES = st.sampled_from(
    [b"Content-Length", b"CONTENT-LENGTH", b"Connection", b"Transfer-Encoding", b"Content-Encoding"]
)
NAMES |= st.sampled_from([b"Set-Cookie", b"X", b"Content-Length-X", b"X-Connection"]) | st.binary(max_size=4)
VALUES = st.sampled_from(
    [b"12", b" 12", b"\t12 ", b"012", b"", b" keep-alive", b"keep-alive", b" Keep-Alive", b"close"]
)
VALUES |= st.sampled_from([b" a \t b \t", b"x\r\nContent-Length: 7", b"\xff"]) | st.binary(max_size=6)


@given(
    line=st.sampled_from([b"200 OK", b"404 ", b"599 \t\xe9", b"200", b"204 x"]) | st.binary(max_size=6),
    fields=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    behind=st.binary(max_size=8),
)
@example(b"200 OK", [(b"X", b""), (b"Content-Length", b" 5"), (b"Y", b" z ")], b"hello")
def test_a_head_is_read_as_the_parser_reads_it_or_not_at_all(
    line: bytes, fields: list[tuple[bytes, bytes]], behind: bytes
) -> None:
    head = b"HTTP/1.1 " + line + b"\r\n" + b"".join(b"%b:%b\r\n" % field for field in fields) + b"\r\n"
    found = ordinary_head(head + behind)
    if found is not None:
        status, reason, octets, message = found
        end = len(b"HTTP/1.1 200 ") + len(reason) + len(octets)
        assert (head + behind)[:end].endswith(b"\r\n\r\n"), "the content stands right behind"
        assert parsed((head + behind)[:end]) == (status, reason, split_fields(octets), message)
