"""Content-Disposition taken apart (RFC 6266), whatever it holds."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client.dispositions import parse_disposition
from fetchd.client.parameters import decode_extended


@pytest.mark.parametrize(
    ("value", "kind", "filename"),
    [
        ("inline", "inline", None),
        ("Attachment", "attachment", None),
        ('attachment; filename="a b.txt"', "attachment", "a b.txt"),
        ("attachment; FILENAME=a.txt", "attachment", "a.txt"),
        ("attachment ;filename = a.txt ", "attachment", "a.txt"),
        ('attachment; filename="a\\"b;.txt"', "attachment", 'a"b;.txt'),
        ("attachment; filename=a, b.txt", "attachment", "a, b.txt"),
        ("attachment; filename=a b.txt; x=y", "attachment", "a b.txt"),
        ('attachment; filename="a.txt', "attachment", "a.txt"),
        ('attachment; filename="€.txt"', "attachment", "€.txt"),
        # The extended value counts, wherever it stands, unless it cannot be read (RFC 6266 section 4.3).
        ("attachment; filename=a.txt; filename*=UTF-8''%e2%82%ac.txt", "attachment", "€.txt"),
        ("attachment; filename*=utf-8'en'%E2%82%AC.txt; filename=a.txt", "attachment", "€.txt"),
        ("attachment; filename*=iso-8859-1''%a3.txt", "attachment", "£.txt"),
        ("attachment; filename*=UTF-8''%e2%82.txt; filename=a.txt", "attachment", "a.txt"),
        ("attachment; filename*=UTF-8''%zz; filename=a.txt", "attachment", "a.txt"),
        ("attachment; filename*=utf-16''a; filename=a.txt", "attachment", "a.txt"),
        ("attachment; filename*=a.txt", "attachment", None),
        ("attachment; filename=a; filename=b", "attachment", "a"),
        ("form-data; name=x", "form-data", None),
    ],
)
def test_type_and_file_name(value: str, kind: str, filename: str | None) -> None:
    """As the RFC's examples have them, and as people write them."""
    read = parse_disposition(value)
    assert read is not None
    assert (read.type, read.filename) == (kind, filename)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("/etc/passwd", "passwd"),
        ("..\\\\..\\\\a.txt", "a.txt"),
        ("..", None),
        (".", None),
        ("a/", None),
        ("", None),
        ("a\tb", "ab"),
        (" a ", "a"),
    ],
)
def test_a_file_name_names_no_other_folder(name: str, safe: str | None) -> None:
    """The last part of a path (RFC 6266 section 4.3), no control characters; what is as written stays to be had."""
    read = parse_disposition(f'attachment; filename="{name}"')
    assert read is not None
    assert read.filename == safe
    assert read.parameters["filename"] == name.replace("\\\\", "\\")


def test_an_extended_name_may_hold_what_a_field_may_not() -> None:
    """Percent-encoded line ends and slashes are taken out all the same."""
    read = parse_disposition("attachment; filename*=UTF-8''..%2F%2e%2e%5ca%0d%0ab%00")
    assert read is not None
    assert read.filename == "ab"


@pytest.mark.parametrize("value", ["", ";", "; filename=a", "=", '"attachment"', "a b; filename=x", "filename=a.txt"])
def test_without_a_type_nothing_is_said(value: str) -> None:
    """RFC 6266 section 4.1 has it first."""
    assert parse_disposition(value) is None


@given(st.text(st.characters(min_codepoint=32, codec="utf-8")))
def test_what_is_written_is_read_back(name: str) -> None:
    """As a quoted-string, and as an extended value."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    encoded = "".join(f"%{octet:02x}" for octet in name.encode())
    read = parse_disposition(f"""attachment; a="{quoted}"; b*=UTF-8''{encoded}; c=d""")
    assert read is not None
    assert read.parameters == {"a": name, "b*": name, "c": "d"}


@given(st.text("attchmen;=\"\\/.%'*- é\x00\udcff"))
def test_any_value_is_read(value: str) -> None:
    """Nothing is raised; a name for a file stays in its folder."""
    read = parse_disposition(f"attachment;{value}")
    if read is not None and read.filename is not None:
        assert read.filename not in ("", ".", "..")
        assert not set(read.filename) & {"/", "\\", "\0"}
    decode_extended(value)


@pytest.mark.parametrize("piece", [";", '"', "\\", "a=", ";a", ';a="', ";a=\\", " ", "a", ";a*=UTF-8''%41", "%"])
def test_reading_takes_linear_time(piece: str) -> None:
    """64 KiB, which is as much as a head may have, in a moment."""
    began = time.thread_time()
    parse_disposition("attachment" + piece * (65_536 // len(piece)))
    parse_disposition("attachment;a*=UTF-8''" + piece * (65_536 // len(piece)))
    assert time.thread_time() - began < 0.5
