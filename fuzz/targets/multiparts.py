# Invariant: any names, file names, types and contents make a form that a strict reader takes apart into the same parts,
# of the length that is announced, or are refused by a ValueError; no head of a part holds a line of somebody else's.
"""Forms as multipart/form-data (RFC 7578). Input: a field a line; name, file name, type and content between bars."""

from __future__ import annotations

import random
import re

from fetchd.client.bodies import Body
from fetchd.client.formdata import FormData
from fetchd.client.multipart import multipart_body

from ..engine import Target

__all__ = ["TARGET"]

_NAMES = "a", "", "file", 'a"b', "a\r\nX: y", "é", "日本", "%22", "a;b=c", "\\", '\\"', "\0", "\x7f", "--", "x" * 300
_FILES = "-", "-", "", "a.txt", "b.tar.gz", "data:,x.csv", 'q".png', "../up", "a\nb.html", "ü.JPG"
_TYPES = "-", "-", "text/plain", "image/png; x=y", "a\r\nb: c", "", "text/html; charset=é"
_CONTENTS = "", "x", "--", "\r", "\r\n--", "content " * 20, "\0\xff"
_TOKENS = tuple(
    text.encode() for text in (*_NAMES, *_FILES, *_TYPES, *_CONTENTS, "|", "\n", "\r\n", '"', "%0A", "\x1b")
)
_CHARSETS = None, None, None, "utf-8", "latin-1", "iso-2022-jp", "shift_jis"
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_UNSAFE = re.compile(r'[\x00-\x1f"\x7f]')


def _generate(rng: random.Random) -> bytes:
    lines = []
    for _ in range(rng.choice((1, 1, 2, 5))):
        lines.append("|".join(rng.choice(choices) for choices in (_NAMES, _FILES, _TYPES, _CONTENTS)))
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _octets_of(body: Body) -> bytes:
    """All of *body*, whose parts are in memory: nothing is waited for."""

    async def collect() -> bytes:
        return b"".join([piece async for piece in body.pieces()])

    coro = collect()
    try:
        coro.send(None)
    except StopIteration as stop:
        octets: bytes = stop.value
        return octets
    raise AssertionError("waited for something")


def _check(data: bytes) -> bool:
    rng = random.Random(data)
    charset, quotes = rng.choice(_CHARSETS), rng.random() < 0.7
    given = []
    try:
        form = FormData((), quotes, charset)
        for line in data.split(b"\n"):
            *words, content = [*line.split(b"|", 3), b"-", b"-", b"-"][:4]
            texts = [word.decode("utf-8", "surrogateescape") for word in words]
            optional = [None if text == "-" else text for text in texts[1:]]
            form.add_field(texts[0], content, filename=optional[0], content_type=optional[1])
            given.append((texts[0], optional[0], content))
        body = multipart_body(form)
    except ValueError:  # UnicodeEncodeError is one
        return False
    octets = _octets_of(body)
    assert len(octets) == body.length
    assert body.content_type is not None
    boundary = body.content_type.removeprefix("multipart/form-data; boundary=").encode()
    assert re.fullmatch(rb"[0-9a-f]{32}", boundary)
    first, *parts, last = (b"\r\n" + octets).split(b"\r\n--" + boundary)
    assert (first, last) == (b"", b"--\r\n")
    assert len(parts) == len(given)
    for part, (name, filename, content) in zip(parts, given, strict=True):
        head, _, received = part.partition(b"\r\n\r\n")
        assert received == content
        empty, disposition, *others = head.split(b"\r\n")
        assert empty == b""
        assert len(others) <= 1
        assert all(line.startswith(b"Content-Type: ") for line in others)
        assert not any(_CONTROLS.search(line.replace(b"\t", b"")) for line in (disposition, *others)) or charset
        expected = f'Content-Disposition: form-data; name="{_quoted(name, quotes)}"'
        expected += "" if filename is None else f'; filename="{_quoted(filename, quotes)}"'
        assert disposition == expected.encode(charset or "utf-8")
    return True


def _quoted(text: str, quotes: bool) -> str:
    """As the HTML standard, or with backslashes (RFC 2183)."""
    if quotes:
        return _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", text)
    return re.sub(r'(["\\])', r"\\\1", text)


TARGET = Target("multiparts", _generate, _check, _TOKENS)
