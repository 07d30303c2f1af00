"""Request heads: what goes on the wire, and what a caller cannot smuggle in (RFC 9112 2 and 3, RFC 9110 5)."""

from __future__ import annotations

import platform
from collections.abc import AsyncGenerator
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, MultiDict

from fetchd.client.bodies import Body, BytesBody
from fetchd.client.heads import Fields, check_method, check_value, default_fields, merge_fields, request_head
from fetchd.client.urls import locate

ORIGIN = locate("http://h.example/")[0]
CONTROLS = [chr(code) for code in (*range(0x20), 0x7F)]
CONTROL = pytest.mark.parametrize("char", CONTROLS, ids=lambda char: f"{ord(char):#x}")
TOKEN_CHARS = "!#$%&'*+.^_`|~-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
NO_TOKEN_CHARS = [*' \t"(),/:;<=>?@[\\]{}', "\x80", "\xe9", "\u0131", "\u212a", "\uff21", "\udc80"]


class Chunked:
    """A body of unknown length."""

    length = None
    content_type: str | None = "application/octet-stream"
    is_replayable = False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """See ``Body``."""
        yield b"x"


def sent(
    fields: Fields = (), *, method: str = "GET", body: Body | None = None, url: str = "http://h.example/x?y"
) -> bytes:
    origin, target = locate(url)
    return request_head(method, target, origin, merge_fields((), fields), body)


# The head as octets


def test_a_head_is_a_request_line_a_host_and_the_fields_in_order() -> None:
    assert sent([("B", "2"), ("A", "1"), ("b", "3")]) == (
        b"GET /x?y HTTP/1.1\r\nHost: h.example\r\nB: 2\r\nA: 1\r\nb: 3\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://h:8080", b"h:8080"),
        ("https://h:443", b"h"),
        ("http://[fe80::1%25eth0]:81", b"[fe80::1]:81"),
        ("http://u:p@\xfc.example", b"xn--tda.example"),
    ],
)
def test_the_host_field_is_that_of_the_origin(url: str, host: bytes) -> None:
    """RFC 9112 section 3.2: first of the fields; without userinfo."""
    assert sent(url=url).startswith(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n")


def test_a_host_given_by_hand_takes_the_place_of_the_origins() -> None:
    assert sent({"hOsT": "other.example"}) == b"GET /x?y HTTP/1.1\r\nHost: other.example\r\n\r\n"
    assert sent([("Host", "a"), ("Host", "b")]).count(b"Host:") == 1, "two would be refused by every server"


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [
        ("GET", None, b""),
        ("DELETE", None, b""),
        ("POST", None, b"Content-Length: 0\r\n"),
        ("PUT", None, b"Content-Length: 0\r\n"),
        ("PATCH", None, b"Content-Length: 0\r\n"),
        ("POST", BytesBody(b"", None), b"Content-Length: 0\r\n"),
        ("GET", BytesBody(b"abc", None), b"Content-Length: 3\r\n"),
        ("POST", BytesBody(b"abc", "text/plain"), b"Content-Type: text/plain\r\nContent-Length: 3\r\n"),
        ("POST", Chunked(), b"Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n"),
    ],
)
def test_the_framing_fields_tell_of_the_body(method: str, body: Body | None, expected: bytes) -> None:
    """RFC 9110 section 8.6: a method that expects content says 0 when there is none."""
    assert sent(method=method, body=body).partition(b"Host: h.example\r\n")[2] == expected + b"\r\n"


def test_framing_fields_given_by_hand_are_replaced_by_true_ones() -> None:
    """Both of them, or a wrong one, would let the content be read as the next request."""
    lies = [
        ("content-length", "1"),
        ("Content-Length", "99"),
        ("Transfer-Encoding", "chunked"),
        ("transfer-encoding", "gzip"),
    ]
    for method, body in (("GET", None), ("POST", None), ("POST", BytesBody(b"abc", None)), ("POST", Chunked())):
        assert sent(lies, method=method, body=body) == sent(method=method, body=body)


def test_a_content_type_given_by_hand_is_kept() -> None:
    head = sent({"content-type": "a/b"}, method="POST", body=BytesBody(b"x", "text/plain"))
    assert b"content-type: a/b\r\n" in head
    assert b"text/plain" not in head


def test_credentials_of_the_url_are_sent_unless_others_are_given() -> None:
    assert b"\r\nAuthorization: Basic dTpw\r\n" in sent(url="http://u:p@h/")
    given_one = sent({"authorization": "Bearer t"}, url="http://u:p@h/")
    assert b"Basic" not in given_one
    assert b"authorization: Bearer t\r\n" in given_one


def test_values_beyond_ascii_travel_as_utf_8() -> None:
    assert b"\r\nX: \xc3\xa9\xe2\x82\xac\r\n" in sent({"X": "\xe9\u20ac"})


def test_blanks_around_a_value_are_no_part_of_it() -> None:
    assert b"\r\nX: a \t b\r\nY: \r\n" in sent([("X", " \ta \t b\t "), ("Y", "  ")])


@given(st.lists(st.tuples(st.text(TOKEN_CHARS, min_size=1, max_size=8), st.text(max_size=12)), max_size=5))
def test_what_is_accepted_is_read_back_and_nothing_else(fields: list[tuple[str, str]]) -> None:
    """Whatever the values: a head of one request line and so many field lines, or a refusal."""
    framing = {"host", "content-length", "transfer-encoding"}
    fields = [(name, value) for name, value in fields if name.lower() not in framing]
    try:
        octets = sent(fields)
    except ValueError:
        assert any(char in CONTROLS or 0xD800 <= ord(char) <= 0xDFFF for _, value in fields for char in value)
        return
    head, end, rest = octets.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert (end, rest) == (b"\r\n\r\n", b"")
    assert lines[:2] == [b"GET /x?y HTTP/1.1", b"Host: h.example"]
    assert [line.partition(b": ")[::2] for line in lines[2:]] == [
        (name.encode(), value.strip(" \t").encode()) for name, value in fields
    ]


# What a caller gives is checked


@CONTROL
def test_control_characters_never_reach_the_wire(char: str) -> None:
    """RFC 9110 section 5.5; HTAB may stand in a value and nowhere else. The value itself is not told."""
    for text in (char, f"a{char}", f"{char}a", f"a{char}b", f"a\r\nX: y{char}"):
        with pytest.raises(ValueError, match="is no token"):
            check_method(text)
        with pytest.raises(ValueError, match="is no token"):
            merge_fields((), {text: "value"})
        if char == "\t" and "\r" not in text:
            assert check_value("X", text) == text
            continue
        for fields in ({"X": text}, [("X", "fine"), ("X", text)], CIMultiDict({"X": text})):
            with pytest.raises(ValueError, match="the value of field 'X' holds control characters") as caught:
                merge_fields((), fields)
            assert str(caught.value) == "the value of field 'X' holds control characters"


@pytest.mark.parametrize("char", NO_TOKEN_CHARS, ids=ascii)
def test_a_method_and_a_name_are_tokens(char: str) -> None:
    for text in (char, f"a{char}", f"{char}a", f"a{char}b"):
        with pytest.raises(ValueError, match="is no token"):
            check_method(text)
        with pytest.raises(ValueError, match="is no token"):
            merge_fields((), {text: "value"})


def test_the_empty_token_is_none() -> None:
    with pytest.raises(ValueError, match="method '' is no token"):
        check_method("")
    with pytest.raises(ValueError, match="field name '' is no token"):
        merge_fields((), {"": "value"})


@pytest.mark.parametrize("char", TOKEN_CHARS)
def test_every_token_is_accepted(char: str) -> None:
    assert check_method(char) == char.upper()
    assert list(merge_fields((), {char: "v"}).items()) == [(char, "v")]


@pytest.mark.parametrize("fields", [{"X": 1}, {1: "x"}, {"X": b"x"}, {"X": None}, [("X", ["y"])]])
def test_names_and_values_are_text(fields: Fields) -> None:
    with pytest.raises(TypeError, match=r"a field is two texts, seen (str|int) and (str|int|bytes|NoneType|list)"):
        merge_fields((), fields)


def test_what_stands_for_an_octet_goes_out_as_that_octet() -> None:
    """As it came in a cookie, or in a field of a response that is passed on."""
    assert b"\r\nX: \xe1\xff\r\n" in sent({"X": "\udce1\udcff"})


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC7F, 0xDD00, 0xDFFF], ids=hex)
def test_half_of_a_character_is_refused(code: int) -> None:
    """It stands for nothing that could be sent."""
    with pytest.raises(ValueError, match="the value of field 'X' holds half of a character"):
        merge_fields((), {"X": f"a{chr(code)}b"})


# Fields on top of others


@pytest.mark.parametrize(
    ("given_fields", "expected"),
    [
        (None, [("A", "1"), ("B", "2"), ("a", "3")]),
        ({}, [("A", "1"), ("B", "2"), ("a", "3")]),
        ({"C": "4"}, [("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")]),
        ({"a": "4"}, [("B", "2"), ("a", "4")]),
        ([("b", "4"), ("B", "5")], [("A", "1"), ("a", "3"), ("b", "4"), ("B", "5")]),
        (MultiDict([("A", "4"), ("A", "5")]), [("B", "2"), ("A", "4"), ("A", "5")]),
        (iter([("A", "4")]), [("B", "2"), ("A", "4")]),
    ],
)
def test_a_name_that_is_given_replaces_all_of_its_base_values(
    given_fields: Fields | None, expected: list[tuple[str, str]]
) -> None:
    base = CIMultiDict([("A", "1"), ("B", "2"), ("a", "3")])
    assert list(merge_fields(base.items(), given_fields).items()) == expected
    assert len(base) == 3, "the base is another request's too"


def test_the_defaults_are_fit_to_be_sent_and_name_the_client() -> None:
    assert sent(default_fields())
    fields = dict(default_fields())
    assert fields["User-Agent"] == f"fetchd/{version('fetchd')} Python/{platform.python_version()}"
    assert fields["Accept-Encoding"] == "gzip, deflate, br, zstd", "what codings can remove, no more"
