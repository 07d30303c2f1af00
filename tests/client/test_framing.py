"""How long a response is and whether its connection lasts, from its head alone (RFC 9112 sections 6.3 and 9.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client import framing
from fetchd.client.exceptions import ResponseProtocolError
from fetchd.client.framing import Framing, Message, RawFields, describe, keep_alive_terms

CL: RawFields = [(b"Content-Length", b"12")]
TE: RawFields = [(b"Transfer-Encoding", b"chunked")]


@pytest.mark.parametrize(
    ("method", "status", "fields", "expected"),
    [
        ("HEAD", 200, CL, (Framing.NONE, 12)),
        ("HEAD", 200, TE, (Framing.NONE, None)),
        ("HEAD", 200, [], (Framing.NONE, None)),
        ("GET", 204, CL, (Framing.NONE, 12)),
        ("GET", 304, CL, (Framing.NONE, 12)),
        ("GET", 304, TE, (Framing.NONE, None)),
        ("GET", 200, TE, (Framing.CHUNKED, None)),
        ("GET", 205, TE, (Framing.CHUNKED, None)),
        ("POST", 500, [(b"transfer-encoding", b" CHUNKED ")], (Framing.CHUNKED, None)),
        ("GET", 200, CL, (Framing.LENGTH, 12)),
        ("GET", 200, [(b"CONTENT-LENGTH", b"0")], (Framing.LENGTH, 0)),
        ("GET", 200, [(b"content-length", b" 007 ")], (Framing.LENGTH, 7)),
        ("GET", 200, [], (Framing.EOF, None)),
        ("CONNECT", 400, [(b"X-Content-Length", b"5")], (Framing.EOF, None)),
    ],
)
def test_the_steps_of_section_6_3(
    method: str, status: int, fields: RawFields, expected: tuple[Framing, int | None]
) -> None:
    message = describe(method, status, "1.1", fields)
    assert (message.framing, message.length) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"gzip",
        b"gzip, chunked",
        b"chunked, gzip",
        b"chunked,chunked",
        b"identity",
        b"chunked;q=1",
        b",chunked",
        b"chunked\t",
        b"\xa0chunked",
        b"x" * 1000,
    ],
)
def test_any_transfer_coding_but_chunked_alone_is_refused(value: bytes) -> None:
    """Stricter than RFC 9112 section 6.3, which would read to the end of the connection."""
    with pytest.raises(ResponseProtocolError, match=r"transfer coding '.{1,160}'; expected chunked alone$"):
        describe("GET", 200, "1.1", [(b"Transfer-Encoding", value)])


def test_chunked_in_two_fields_is_refused() -> None:
    with pytest.raises(ResponseProtocolError, match="'chunked,chunked'"):
        describe("GET", 200, "1.1", TE * 2)


def test_a_transfer_coding_matters_only_where_there_is_content() -> None:
    assert describe("HEAD", 200, "1.1", [(b"Transfer-Encoding", b"gzip")]).framing is Framing.NONE


def test_a_length_of_more_digits_than_can_be_converted_is_refused() -> None:
    """Leading zeros by the thousand pass the parser; Python converts 4,300 digits at most."""
    with pytest.raises(ResponseProtocolError, match="Content-Length of 5001 digits"):
        describe("GET", 200, "1.1", [(b"Content-Length", b"0" * 5000 + b"5")])


@pytest.mark.parametrize(
    ("version", "values", "expected"),
    [
        ("1.1", [], True),
        ("1.0", [], False),
        ("1.1", [b"keep-alive"], True),
        ("1.0", [b"keep-alive"], True),
        ("1.0", [b"Keep-Alive"], True),
        ("1.1", [b"close"], False),
        ("1.0", [b"close"], False),
        ("1.1", [b"Close"], False),
        ("1.1", [b" upgrade ,\tCLOSE "], False),
        ("1.1", [b"keep-alive, close"], False),
        ("1.0", [b"keep-alive", b"close"], False),
        ("1.1", [b"close", b"keep-alive"], False),
        ("1.1", [b"keep-alive", b"keep-alive"], True),
        ("1.0", [b"x", b"keep-alive"], True),
        ("1.1", [b"x-close"], True),
        ("1.0", [b"x-keep-alive"], False),
        ("1.1", [b""], True),
        ("1.0", [b""], False),
        ("1.1", [b"upgrade"], True),
    ],
)
def test_the_steps_of_section_9_3(version: str, values: list[bytes], expected: bool) -> None:
    fields = [*CL, *((b"Connection", value) for value in values)]
    assert describe("GET", 200, version, fields).keep_alive is expected
    assert describe("HEAD", 200, version, fields).keep_alive is expected


def test_what_ends_with_the_connection_does_not_outlive_it() -> None:
    assert describe("GET", 200, "1.1", [(b"Connection", b"keep-alive")]).keep_alive is False


def test_a_chunked_message_of_http_1_0_is_faulty_and_closed_after() -> None:
    """RFC 9112 section 6.1."""
    assert describe("GET", 200, "1.0", [*TE, (b"Connection", b"keep-alive")]).keep_alive is False


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        ([b"gzip"], "gzip"),
        ([b" GZIP "], "gzip"),
        ([b"\xa0gzip"], "\xa0gzip"),  # blank and tab are what may stand there (RFC 9110 section 5.6.3)
        ([b"deflate", b"gzip"], "deflate,gzip"),
        ([b"deflate, x", b"gzip"], "deflate, x,gzip"),
        ([b""], ""),
    ],
)
def test_content_codings_are_joined_in_their_order(values: list[bytes], expected: str) -> None:
    fields = [(b"Content-Encoding", value) for value in values]
    for method in ("GET", "HEAD"):
        assert describe(method, 200, "1.1", [*CL, *fields]).codings == expected
    assert describe("GET", 200, "1.1", [*TE, *fields]).codings == expected
    assert describe("GET", 200, "1.1", fields).codings == expected


@pytest.mark.parametrize("name", [b"Set-Cookie", b"set-cookie", b"SET-COOKIE", b"sEt-CoOkIe"])
def test_cookies_are_told_of(name: bytes) -> None:
    assert describe("GET", 200, "1.1", [*CL, (name, b"a=b")]) == Message(Framing.LENGTH, 12, True, "", True)
    assert not describe("GET", 200, "1.1", [*CL, (b"X-" + name, b"a=b")]).sets_cookies


def test_names_are_learnt_but_not_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names come from the peer: a table of them grows to its bound, and long ones are never kept."""
    monkeypatch.setattr(framing, "_KINDS", dict(framing._KINDS))
    for count in range(3 * framing._MAX_KINDS):
        describe("GET", 200, "1.1", [(b"X-%d" % count, b"")])
    assert len(framing._KINDS) == framing._MAX_KINDS
    assert describe("GET", 200, "1.1", [(b"cOntent-Length", b"12")]).length == 12, "names are known without the table"

    monkeypatch.setattr(framing, "_KINDS", dict(list(framing._KINDS.items())[:5]))
    describe("GET", 200, "1.1", [(b"x" * 64, b""), (b"y" * 63, b"")])
    assert list(framing._KINDS)[5:] == [b"y" * 63]


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=5))
def test_fields_that_mean_nothing_here_change_nothing(fields: RawFields) -> None:
    known = {b"content-length", b"connection", b"transfer-encoding", b"content-encoding", b"set-cookie"}
    others = [(name, value) for name, value in fields if name.lower() not in known]
    assert describe("GET", 200, "1.1", [*others, *CL, *others]) == describe("GET", 200, "1.1", CL)


# Keep-Alive


@pytest.mark.parametrize(
    ("field", "seconds", "count"),
    [
        (b"timeout=5, max=100", 4.0, 100),
        (b"Timeout=60", 59.0, None),
        (b'max=2, timeout = "20"', 19.0, 2),
        (b"timeout=1", 0.5, None),
        (b"timeout=0", 0.0, None),
        (b"max=100", None, 100),
        (b"timeout=5, max=1", 4.0, 1),
        (b"max=0", None, 1),
        (b"", None, None),
        (b"timeout", None, None),
        (b"timeout=-5, timeout=x, timeout=5.5, max=-1", None, None),
        (b"timeout=99999999999999999999999, max=1e3", None, None),
        (b"cats, =, timeout=10", 9.0, None),
    ],
)
def test_a_connection_is_kept_a_little_shorter_than_its_server_keeps_it(
    field: bytes, seconds: float | None, count: int | None
) -> None:
    """A second less, at least half of it; what is no number says nothing (RFC 2068 section 19.7.1)."""
    assert keep_alive_terms(field) == (seconds, count)


@given(st.binary(max_size=60))
def test_no_keep_alive_field_is_an_error(field: bytes) -> None:
    """It is a courtesy, and comes from the peer."""
    seconds, count = keep_alive_terms(field)
    assert seconds is None or 0 <= seconds < 10**9
    assert count is None or 1 <= count < 10**9
