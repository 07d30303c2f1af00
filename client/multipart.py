"""A form as multipart/form-data (RFC 7578, RFC 2046 section 5.1): its parts, one after the other, as they are read.

Lives here: the heads of the parts, the boundary, length and order. What a form is, is in ``formdata``; how the content
of one part is read, in ``bodies``. Nothing is collected: a part of any size is streamed.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from .bodies import Body, BytesBody, as_body
from .exceptions import ClientPayloadError
from .formdata import FormData, FormField
from .limits import COALESCE_BYTES

__all__ = ["MultipartBody", "multipart_body"]

# The HTML standard encodes '"', CR and LF; the other control characters are no part of a field's value either
# (RFC 9110 section 5.5), and go the same way.
_UNSAFE: Final = re.compile(r'[\x00-\x1f"\x7f]')
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
# In a head as it goes out: some charsets (ISO-2022-JP) write escape octets for what is no control character.
_CONTROL_OCTETS: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Octets of the boundary: with 128 bits of chance nobody can have written it into a part before.
_BOUNDARY_OCTETS: Final = 16
# Pieces up to this size are joined: to copy 32 KiB costs 3 us, a send of its own more (a guess, never measured here).
_JOINED_BYTES: Final = 32_768


class Part(NamedTuple):
    """One part: the octets before its content, and its content.

    Attributes:
        name: Of the field, for messages.
    """

    name: str
    head: bytes
    body: Body


class MultipartBody:
    """Parts between boundaries, in the order of the form's fields.

    Its length is known when that of each part is; it can be sent again when each part can. Small pieces are joined, so
    that the frame around a part costs no send of its own.
    """

    def __init__(self, parts: list[Part], boundary: str) -> None:
        self._parts = parts
        self._end = f"--{boundary}--\r\n".encode()
        self.content_type: str | None = f"multipart/form-data; boundary={boundary}"
        self.length = self._measure()

    def _measure(self) -> int | None:
        total = len(self._end)
        for part in self._parts:
            if part.body.length is None:
                return None
            total += len(part.head) + part.body.length + len(b"\r\n")
        return total

    @property
    def is_replayable(self) -> bool:
        """Whether each part can be sent again."""
        return all(part.body.is_replayable for part in self._parts)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The parts and what stands between them.

        Raises:
            ClientPayloadError: A part gave more or fewer octets than its length. Told at that part: what another one
                has too many could make up for what this one lacks.
        """
        held = bytearray()
        for part in self._parts:
            held += part.head
            async with contextlib.aclosing(_joined(part, held)) as pieces:
                async for piece in pieces:
                    yield piece
            held += b"\r\n"
        yield bytes(held + self._end)


async def _joined(part: Part, held: bytearray) -> AsyncGenerator[bytes, None]:
    """The content of *part* behind what is *held*, small pieces joined; what is not given is held after it."""
    body, given = part.body, 0
    async with contextlib.aclosing(body.pieces()) as pieces:
        async for piece in pieces:
            given += len(piece)
            if body.length is not None and given > body.length:
                break
            if len(piece) <= _JOINED_BYTES:
                held += piece
                piece = b""
            # What comes by and by must not wait for what comes later.
            if held and (piece or body.length is None or len(held) > _JOINED_BYTES):
                yield bytes(held)
                held.clear()
            if piece:
                yield piece
    if body.length is not None and given != body.length:
        seen = "more" if given > body.length else str(given)
        raise ClientPayloadError(
            f"the form field {part.name!r} gave {seen} octets, announced were {body.length}; did its file change?"
        )


def multipart_body(form: FormData) -> Body:
    """*form* as a body: in memory when all of it is and it is small, so that it travels with the head.

    Raises:
        TypeError: A file that was opened as text.
        ValueError: A name that ``quote_fields=False`` cannot write; a character that the charset lacks, or writes with
            control octets in a name.
    """
    boundary = os.urandom(_BOUNDARY_OCTETS).hex()
    parts = [_part(form, field, boundary) for field in form.fields]
    body = MultipartBody(parts, boundary)
    if body.length is None or body.length > COALESCE_BYTES:
        return body
    octets = []
    for part in parts:
        if not isinstance(part.body, BytesBody):
            return body
        octets += [part.head, part.body.data, b"\r\n"]
    return BytesBody(b"".join(octets) + body._end, body.content_type)


def _part(form: FormData, field: FormField, boundary: str) -> Part:
    charset = form.charset or "utf-8"
    value = field.value.encode(charset) if isinstance(field.value, str) else field.value
    lines = [f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(form, field.name)}"']
    if field.filename is not None:
        lines.append(f'; filename="{_quoted(form, field.filename)}"')
    content_type = field.content_type or _type_of(form, field)
    if content_type is not None:
        lines.append(f"\r\nContent-Type: {content_type}")
    lines.append("\r\n\r\n")
    head = "".join(lines).encode(charset)
    if _CONTROL_OCTETS.search(head):
        raise ValueError(f"charset {charset!r} writes form field {field.name!r} with control octets; use utf-8")
    return Part(field.name, head, as_body(value))


def _type_of(form: FormData, field: FormField) -> str | None:
    """Content-Type of a part that was given none: by file name; none for plain text in UTF-8 (RFC 7578 section 4.4)."""
    if field.filename is not None:
        import mimetypes  # reads the system's tables; only forms with files need it

        # The ending alone: guess_type takes a name that begins with "data:" for a URL, and gives back what that says.
        guessed, coding = mimetypes.guess_type("x" + os.path.splitext(field.filename)[1])
        # What the tables call text/csv with coding gzip is no text/csv, and a part has no Content-Encoding.
        return guessed if guessed is not None and coding is None else "application/octet-stream"
    if not isinstance(field.value, str):
        return "application/octet-stream"
    return None if form.charset is None else f"text/plain; charset={form.charset}"


def _quoted(form: FormData, text: str) -> str:
    """*text* fit to stand between quotes; control characters never come out as they are."""
    if form.quote_fields:
        return _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", text)
    if _CONTROL.search(text):
        raise ValueError(f"form field or file name {text!r} holds control characters, which quote_fields=False refuses")
    return text.replace("\\", "\\\\").replace('"', '\\"')
