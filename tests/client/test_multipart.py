"""multipart/form-data: the octets of the parts, how long they are, and whether they can be sent again (RFC 7578)."""

from __future__ import annotations

import email
import email.policy
import io
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiofiles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client import ClientSession, FormData, StreamReader
from fetchd.client.bodies import Body, BytesBody, as_body
from fetchd.client.exceptions import ClientPayloadError, RedirectError
from fetchd.client.limits import COALESCE_BYTES
from fetchd.client.multipart import multipart_body
from tests.support.raw_server import RawConnection, raw_server, reply_with, response

LARGE = bytes(range(256)) * (COALESCE_BYTES // 128)


async def lines() -> AsyncIterator[bytes]:
    yield b"one\n"
    yield b"two\n"


async def octets_of(body: Body) -> bytes:
    return b"".join([piece async for piece in body.pieces()])


def boundary_of(body: Body) -> bytes:
    assert body.content_type is not None
    prefix, _, boundary = body.content_type.partition("boundary=")
    assert prefix == "multipart/form-data; "
    return boundary.encode()


def parts_of(content_type: str, octets: bytes) -> list[tuple[str, str | None, str | None, bytes]]:
    """Name, file name, type and content of each part, as a parser that is not ours reads them."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + octets, policy=email.policy.HTTP)
    parts = []
    for part in message.iter_parts():
        assert isinstance(part, EmailMessage)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        disposition = part["Content-Disposition"].params
        parts.append((disposition["name"], disposition.get("filename"), part["Content-Type"], content))
    return parts


# The octets


async def test_parts_stand_between_boundaries_in_the_order_given() -> None:
    """Values without a Content-Type, as browsers send them, files with one (RFC 7578 section 4.4)."""
    body = as_body([("a", "text"), ("f", ("report.csv", "some,data\n")), ("a", 2), ("b", b"\0\xff")])
    boundary = boundary_of(body)
    expected = b"\r\n".join(
        [
            b"--%b",
            b'Content-Disposition: form-data; name="a"',
            b"",
            b"text",
            b"--%b",
            b'Content-Disposition: form-data; name="f"; filename="report.csv"',
            b"Content-Type: text/csv",
            b"",
            b"some,data\n",
            b"--%b",
            b'Content-Disposition: form-data; name="a"',
            b"",
            b"2",
            b"--%b",
            b'Content-Disposition: form-data; name="b"',
            b"Content-Type: application/octet-stream",
            b"",
            b"\0\xff",
            b"--%b--",
            b"",
        ]
    ).replace(b"%b", boundary)
    assert await octets_of(body) == expected
    assert body.length == len(expected)
    assert isinstance(body, BytesBody), "small and in memory: it travels with the head"


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("a.txt", "text/plain"),
        ("a.PNG", "image/png"),
        ("a.csv.gz", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("a.no-such-type", "application/octet-stream"),
    ],
)
async def test_the_type_of_a_file_is_told_by_its_name(filename: str, expected: str) -> None:
    """A coding is no part of it: text/csv of octets that gzip made would be a lie."""
    body = as_body({"f": (filename, b"octets")})
    assert body.content_type is not None
    assert parts_of(body.content_type, await octets_of(body)) == [("f", filename, expected, b"octets")]


async def test_a_type_that_is_given_is_sent() -> None:
    form = FormData()
    form.add_field("a", "x", content_type="text/html")
    body = as_body(form)
    assert b'name="a"\r\nContent-Type: text/html\r\n\r\nx\r\n' in await octets_of(body)


async def test_a_charset_encodes_names_and_texts_and_is_told() -> None:
    form = FormData({"\xe9": "\xe8", "f": b""}, charset="latin-1")
    octets = await octets_of(as_body(form))
    assert b'name="\xe9"\r\nContent-Type: text/plain; charset=latin-1\r\n\r\n\xe8\r\n' in octets


# Names that must do no harm

CONTROLS = [*map(chr, range(0x20)), "\x7f"]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: f"{ord(control):02x}")
async def test_control_characters_of_names_never_reach_the_wire(control: str) -> None:
    """In a name or file name they would end the part's head and begin what the caller never wrote (class 9)."""
    name = f"a{control}b"
    body = as_body({name: (name, b"")})
    octets = await octets_of(body)
    encoded = b"a%%%02Xb" % ord(control)
    assert b'; name="%b"; filename="%b"\r\n' % (encoded, encoded) in octets
    frame = octets.replace(encoded, b"")
    assert octets.count(control.encode()) == frame.count(control.encode()) == (6 if control in "\r\n" else 0)


async def test_names_are_encoded_as_the_html_standard_does() -> None:
    """Quotes, CR and LF percent-encoded, all else as it is: a backslash, a percent sign, and UTF-8."""
    body = as_body({'a"b\\c%22': ('\xfc"\r\n\u20ac.txt', b"")})
    octets = await octets_of(body)
    assert 'name="a%22b\\c%22"; filename="\xfc%22%0D%0A\u20ac.txt"\r\n'.encode() in octets


async def test_names_that_are_not_to_be_encoded_are_quoted_with_backslashes() -> None:
    octets = await octets_of(as_body(FormData({'a"b\\c': ("\xfc", b"")}, quote_fields=False)))
    assert 'name="a\\"b\\\\c"; filename="\xfc"\r\n'.encode() in octets


@pytest.mark.parametrize("control", ["\r", "\n", "\0", "\t", "\x7f"])
@pytest.mark.parametrize("where", ["name", "filename"])
def test_names_that_are_not_to_be_encoded_have_no_control_characters(control: str, where: str) -> None:
    name, filename = (f"a{control}", "b") if where == "name" else ("a", f"b{control}")
    with pytest.raises(ValueError, match="holds control characters, which quote_fields=False refuses"):
        as_body(FormData({name: (filename, b"")}, quote_fields=False))


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4))
async def test_any_octets_are_the_content_of_a_part(given_ones: list[bytes]) -> None:
    """Whatever stands in a part, line ends and dashes included, is its content and no boundary."""
    body = as_body([(f"n{number}", content) for number, content in enumerate(given_ones)])
    octets = await octets_of(body)
    boundary = boundary_of(body)
    sections = octets.split(b"--" + boundary)
    assert (sections[0], sections[-1]) == (b"", b"--\r\n")
    contents = [section.split(b"\r\n\r\n", 1)[1] for section in sections[1:-1]]
    assert contents == [content + b"\r\n" for content in given_ones]


def test_no_two_boundaries_are_alike() -> None:
    """Who could guess one could write a part's end into a part."""
    boundaries = {boundary_of(as_body({"f": b""})) for _ in range(100)}
    assert len(boundaries) == 100
    assert all(len(boundary) == 32 for boundary in boundaries)


# Length, and again


async def test_every_kind_of_content_may_be_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(LARGE)
    stream = StreamReader()
    stream.feed_data(b"of a stream")
    stream.feed_eof()
    with path.open("rb") as file:
        async with aiofiles.open(path, "rb") as other:
            body = as_body([("s", "text"), ("f", file), ("g", other), ("i", lines()), ("r", stream), ("b", LARGE)])
            assert (body.length, body.is_replayable) == (None, False)
            octets = await octets_of(body)
    assert body.content_type is not None
    parts = octets.split(b"--" + boundary_of(body))
    assert [part.split(b"\r\n\r\n", 1)[1] for part in parts[1:-1]] == [
        content + b"\r\n" for content in (b"text", LARGE, LARGE, b"one\ntwo\n", b"of a stream", LARGE)
    ]


async def test_where_all_lengths_are_known_so_is_that_of_the_whole_and_it_can_be_sent_again(tmp_path: Path) -> None:
    """A file is set back to where it stood."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"skipped" + LARGE)
    with path.open("rb") as file:
        file.seek(len(b"skipped"))
        body = as_body({"f": file, "b": LARGE, "c": ("c", "text")})
        assert body.is_replayable
        first = await octets_of(body)
        assert (body.length, first.count(LARGE), b"skipped" in first) == (len(first), 2, False)
        assert await octets_of(body) == first


async def test_small_parts_are_joined_and_large_ones_are_not_copied() -> None:
    pieces = [piece async for piece in as_body([("a", "1"), ("b", LARGE), ("c", "2")]).pieces()]
    assert len(pieces) == 3
    assert pieces[1] is LARGE


async def test_what_a_slow_source_gives_is_not_held_back() -> None:
    pieces = as_body({"i": lines(), "j": "end"}).pieces()
    assert (await anext(pieces)).endswith(b"\r\n\r\none\n")
    assert await anext(pieces) == b"two\n"
    assert (await anext(pieces)).endswith(b"--\r\n")


async def test_a_part_that_shrinks_is_an_error_even_when_another_one_grows() -> None:
    """Together they would be as long as announced, and the server would take them."""
    shrinks, grows = io.BytesIO(b"x" * 100), b"y" * COALESCE_BYTES
    body = as_body({"a": shrinks, "b": grows})
    shrinks.truncate(50)
    with pytest.raises(ClientPayloadError, match="the form field 'a' gave 50 octets, announced were 100; did its file"):
        await octets_of(body)


async def test_a_part_that_gives_more_than_its_length_is_an_error() -> None:
    stream = StreamReader(length=3)
    stream.feed_data(b"abcd")
    stream.feed_eof()
    with pytest.raises(ClientPayloadError, match="the form field 'a' gave more octets, announced were 3"):
        await octets_of(as_body({"a": stream}))


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("a")
    with path.open(encoding="ascii") as file, pytest.raises(TypeError, match="opened as text; open it with mode 'rb'"):
        as_body({"f": file})


# On the wire


async def test_a_form_with_a_file_arrives_with_its_length(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(LARGE)
    async with raw_server(reply_with(response(200))) as server, ClientSession() as session:
        with path.open("rb") as file:
            async with session.post(server.url(), data={"k": "v", "f": file}) as answer:
                assert answer.status == 200
    [request] = server.requests
    assert int(request.fields["Content-Length"]) == len(request.body)
    assert parts_of(request.fields["Content-Type"], request.body) == [
        ("k", None, None, b"v"),
        ("f", "a.txt", "text/plain", LARGE),
    ]


async def test_a_form_with_a_part_of_unknown_length_is_chunked() -> None:
    async with raw_server(reply_with(response(200))) as server, ClientSession() as session:
        answer = await session.post(server.url(), data={"i": ("i.txt", lines(), "text/plain")})
        assert (answer.status, await answer.read()) == (200, b"")
    [request] = server.requests
    assert request.fields["Transfer-Encoding"] == "chunked"
    assert parts_of(request.fields["Content-Type"], request.body) == [("i", "i.txt", "text/plain", b"one\ntwo\n")]


async def test_a_redirection_sends_the_form_again_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(LARGE)

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await conn.send(response(307, fields=[("Location", "/next")]))
        await conn.read_request()
        await conn.send(response(200))

    async with raw_server(script) as server, ClientSession() as session:
        with path.open("rb") as file:
            file.seek(5)
            async with session.post(server.url(), data={"f": file}) as answer:
                assert answer.status == 200
    first, second = server.requests
    assert first.body == second.body
    assert LARGE[5:] in first.body


async def test_a_form_that_is_used_up_is_not_sent_again() -> None:
    reply = response(307, fields=[("Location", "/next")])
    async with raw_server(reply_with(reply)) as server, ClientSession() as session:
        with pytest.raises(RedirectError, match="which can be sent only once"):
            await session.post(server.url(), data={"i": lines()})
    assert len(server.requests) == 1


async def test_a_file_that_shrinks_under_the_upload_breaks_it(tmp_path: Path, nothing_left: None) -> None:
    """The server must not take a part for the whole."""
    path = tmp_path / "a.bin"
    path.write_bytes(LARGE)

    async def shrinking() -> AsyncIterator[bytes]:
        yield b"x"
        path.write_bytes(b"")

    async with raw_server(reply_with(response(200))) as server, ClientSession() as session:
        with path.open("rb") as file, pytest.raises(ClientPayloadError, match="the form field 'f' gave 0 octets"):
            await session.post(server.url(), data=[("i", shrinking()), ("f", file)])
    assert not server.requests


# Nothing of the caller's writes into the head of a part


@pytest.mark.parametrize("filename", ["data:text/x\r\nInjected: 1,", "data:text/html;x=1,a.csv", "data:,x"])
def test_a_file_name_that_reads_like_a_url_gives_its_part_no_type(filename: str) -> None:
    form = FormData()
    form.add_field("f", b"x", filename=filename)
    body = multipart_body(form)
    assert isinstance(body, BytesBody)
    head = body.data.partition(b"\r\n\r\n")[0]
    assert head.count(b"\r\n") == 2
    assert b"Injected: 1" not in head.splitlines()
    assert head.splitlines()[2].startswith((b"Content-Type: application/octet-stream", b"Content-Type: text/csv"))


def test_a_charset_that_writes_a_name_with_escapes_is_refused() -> None:
    form = FormData(charset="iso-2022-jp")
    form.add_field("\u3042", b"x")
    with pytest.raises(ValueError, match="with control octets"):
        multipart_body(form)
