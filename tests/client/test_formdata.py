"""Forms: what a field may be, and which encoding a form needs."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from multidict import MultiDict

from fetchd.client import FormData, StreamReader
from fetchd.client.formdata import FormField


async def lines() -> AsyncIterator[bytes]:
    yield b"a\n"


class Named(io.BytesIO):
    """A file in memory that says what it is called."""

    def __init__(self, name: Any) -> None:
        super().__init__(b"octets")
        self.name = name


# Which encoding


@pytest.mark.parametrize("value", ["text", "", 1, 2.5])
def test_text_and_numbers_alone_are_url_encoded(value: str | float) -> None:
    form = FormData({"k": value})
    assert not form.is_multipart
    assert form.urlencoded() == b"k=" + str(value).encode()


@pytest.mark.parametrize(
    "value",
    [b"octets", bytearray(b"o"), memoryview(b"o"), io.BytesIO(), lines(), StreamReader(), ("a.csv", "text")],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_no_text_makes_a_form_multipart(value: Any) -> None:
    assert FormData([("k", "v"), ("file", value)]).is_multipart


@pytest.mark.parametrize("options", [{"content_type": "text/csv"}, {"filename": "a"}, {"filename": ""}])
def test_a_type_or_a_file_name_makes_a_form_multipart(options: dict[str, str]) -> None:
    form = FormData()
    form.add_field("k", "v", content_type=options.get("content_type"), filename=options.get("filename"))
    assert form.is_multipart


# What a field may be


def test_fields_keep_their_order_and_repeat() -> None:
    form = FormData(MultiDict([("a", "1"), ("b", "2"), ("a", "3")]))
    form.add_fields(("c", 4), ["a", "5"], {"d": "6", "e": "7"}, MultiDict([("a", "8")]))
    assert form.urlencoded() == b"a=1&b=2&a=3&c=4&a=5&d=6&e=7&a=8"


def test_a_tuple_is_a_file_of_that_name_and_type() -> None:
    form = FormData({"a": ("a.csv", "x,y\n"), "b": ("b", b"octets", "image/png")})
    assert form.fields == [
        FormField("a", "x,y\n", None, "a.csv"),
        FormField("b", b"octets", "image/png", "b"),
    ]


@pytest.mark.parametrize(
    ("file", "filename"),
    [
        (Named("/tmp/report.xls"), "report.xls"),
        (Named("<stdin>"), "field"),
        (Named(7), "field"),
        (Named("folder/"), "field"),
        (io.BytesIO(), "field"),
    ],
    ids=["path", "no path", "descriptor", "folder", "memory"],
)
def test_a_file_is_named_after_its_path_else_after_its_field(file: Any, filename: str) -> None:
    """Never with the folders above it, which are nobody's business."""
    form = FormData({"field": file})
    assert form.fields[0].filename == filename


def test_a_file_without_a_field_is_a_field_of_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a")
    with path.open("rb") as file:
        assert FormData(file).fields[0][:1] == ("a.txt",)
        assert FormData([file]).fields[0].filename == "a.txt"
    assert FormData(io.BytesIO()).fields[0].name == "unknown"


def test_a_stream_is_a_value_unless_it_is_given_a_file_name() -> None:
    form = FormData({"a": StreamReader(), "b": lines()})
    assert [field.filename for field in form.fields] == [None, None]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (5, "a form is a mapping, or pairs of a name and a value; seen int"),
        ([("a",)], "a form is a mapping, or pairs of a name and a value; seen tuple"),
        ([(1, "a")], "a form is a mapping, or pairs of a name and a value; seen tuple"),
        ({"k": None}, "form field 'k' must be text, a number, octets or a file, not NoneType"),
        ({"k": False}, "form field 'k' must be text, a number, octets or a file, not bool"),
        ({"k": ["v"]}, "form field 'k' must be text, a number, octets or a file, not list"),
        (
            {"k": ("a", "b", "c", "d")},
            "form field 'k' is a tuple of 4; expected (filename, content) or (filename, content, content_type)",
        ),
        ({"k": (b"a", "b")}, "the file name of a form field must be text, not bytes"),
        ({"k": ("a", "b", 1)}, "the content type of a form field must be text, not int"),
    ],
)
def test_what_no_form_can_have_is_refused(fields: Any, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        FormData(fields)
    assert str(caught.value) == told


@pytest.mark.parametrize("name", [None, 1, b"a"])
def test_the_name_of_a_field_is_text(name: Any) -> None:
    with pytest.raises(TypeError, match=f"the name of a form field must be text, not {type(name).__name__}"):
        FormData().add_field(name, "v")


@pytest.mark.parametrize("control", ["\r\n", "\r", "\n", "\0", "\x1f", "\x7f"])
def test_control_characters_in_a_content_type_are_refused(control: str) -> None:
    """It stands in the part's head as it is: a field could be smuggled in (class 9)."""
    with pytest.raises(ValueError, match="the value of field 'Content-Type' holds control characters"):
        FormData().add_field("a", b"b", content_type=f"text/plain{control}X: y")


# Charset


def test_a_charset_is_that_of_names_and_values() -> None:
    assert FormData({"\xe9": "\xe8"}, charset="latin-1").urlencoded() == b"%E9=%E8"
    assert FormData({"\xe9": "\xe8"}).urlencoded() == b"%C3%A9=%C3%A8"


def test_a_character_that_the_charset_lacks_is_an_error_and_not_a_question_mark() -> None:
    with pytest.raises(UnicodeEncodeError):
        FormData({"k": "\u20ac"}, charset="latin-1").urlencoded()


def test_an_unknown_charset_is_refused_at_once() -> None:
    with pytest.raises(LookupError):
        FormData(charset="no-such")


def test_a_form_shows_its_kind_and_nothing_of_its_content() -> None:
    assert repr(FormData({"password": "secret"})) == "<FormData url-encoded, 1 fields>"
    assert repr(FormData({"a": b""})) == "<FormData multipart, 1 fields>"


@pytest.mark.parametrize("charset", ["utf-8\r\n", "utf 8", "utf-16", "utf-7", "unicode_escape\n", "hz"])
def test_a_charset_that_no_server_could_read_is_refused(charset: str) -> None:
    with pytest.raises(ValueError, match="charset"):
        FormData(charset=charset)
