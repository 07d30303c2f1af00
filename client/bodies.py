"""What a caller gives as ``data=`` or ``json=``, made into a body that can be sent, and sent again if it can.

Lives here: the kinds of body, their length, whether they are replayable. Not here: how they travel (``connection``),
what a form is (``formdata``), the parts of multipart/form-data (``multipart``).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import json as json_module
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from typing import IO, Any, Protocol, runtime_checkable

from .continued import ContinuedContent
from .exceptions import ClientError, ClientPayloadError, StreamConsumedError
from .formdata import FormData
from .limits import FILE_READ_BYTES, SAVE_BUFFER_BYTES
from .mediatypes import codec_for
from .streams import StreamReader

__all__ = ["Body", "BytesBody", "Data", "StreamBody", "Trailed", "as_body", "json_body"]

# What a field may be is told by FormData.add_field: a narrower type than object would refuse {"k": "v", "f": file}.
Form = FormData | Mapping[str, object] | Iterable[tuple[str, object]]
Data = bytes | bytearray | memoryview | str | Form | IO[bytes] | AsyncIterable[bytes] | StreamReader | ContinuedContent


class Body(Protocol):
    """The content of a request.

    Attributes:
        length: Octets; None when not known before (sent chunked).
        content_type: Content-Type to be sent when the caller gives none; None for none.
        is_replayable: Whether ``pieces`` may be called again, for a redirection or a retry.
    """

    content_type: str | None

    @property
    def length(self) -> int | None: ...
    @property
    def is_replayable(self) -> bool: ...
    def pieces(self) -> AsyncGenerator[bytes, None]: ...


@runtime_checkable
class Trailed(Protocol):
    """A body that is sent in chunks, with fields behind it."""

    def trailer_section(self) -> bytes:
        """Lines of the trailer section (RFC 9112 section 7.1.2), each with its end; asked for behind the content."""


class BytesBody:
    """Octets in memory."""

    is_replayable = True

    def __init__(self, data: bytes, content_type: str | None) -> None:
        self.data = data
        self.length: int = len(data)
        self.content_type = content_type

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The octets, as one piece."""
        yield self.data


class FileBody:
    """A file object opened for reading octets, from where it stands; read by a worker thread.

    An aiofiles object will do as well. A file that can seek is replayable: it is set back to where it stood. Its
    length is known when it is a file of the system or in memory; that of others (gzip, for one) could only be told by
    reading them through, so they are sent chunked.
    """

    content_type: str | None = "application/octet-stream"

    def __init__(self, file: Any) -> None:
        self._file = file
        self._is_async = inspect.iscoroutinefunction(file.read)
        self._start: int | None = None
        self.length: int | None = None
        if not self._is_async:
            if getattr(file, "seekable", None) is not None and file.seekable():
                self._start = file.tell()
                self.length = _length(file, self._start)
        elif _is_untouched(raw := getattr(file, "raw", None)):
            # What stands above the raw file tells its position only to those who wait; here both are at its start.
            self._start = 0
            self.length = _length(raw, 0)

    @property
    def is_replayable(self) -> bool:
        """Whether the file can be set back."""
        return self._start is not None

    @property
    def start(self) -> int:
        """Where the file stood when it was given; 0 for one that does not tell."""
        return self._start or 0

    def lend(self) -> int | None:
        """A descriptor of the file for sendfile(2), the caller's to close; None when the file must be read.

        One of its own: the file may be closed by who gave it as soon as there is a response, and its number be
        another's then. A file that is more than the standard library's own may give other octets than the system has.
        """
        if self._start is None or self.length is None or not _is_plain(self._file):
            return None
        self._file.seek(self._start)  # what was written to it and not flushed is flushed
        fd = os.dup(self._file.fileno())
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        return None

    def passed(self, count: int) -> None:
        """*count* octets were sent by ``lend``: the file stands behind them, as if they had been read."""
        with contextlib.suppress(ValueError):  # it may be closed by now
            self._file.seek(self.start + count)

    async def _call(self, method: Callable[..., Any], *args: int) -> Any:
        return await method(*args) if self._is_async else await asyncio.to_thread(method, *args)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The file's octets in pieces of 256 KiB, no more of them than its length was when it was given."""
        if self._start is not None:
            await self._call(self._file.seek, self._start)
        left = self.length
        while left is None or left > 0:
            piece = await self._call(self._file.read, FILE_READ_BYTES if left is None else min(left, FILE_READ_BYTES))
            if not isinstance(piece, bytes):
                raise TypeError(
                    f"the file given as data= gave {type(piece).__name__}, not bytes; open it with mode 'rb'"
                )
            if not piece:
                return  # the sender sees that octets are missing
            if left is not None:
                left -= len(piece)
            yield piece


def _is_plain(file: Any) -> bool:
    """Whether *file* is just what ``open`` gives."""
    return type(file) is io.FileIO or (
        type(file) in (io.BufferedReader, io.BufferedRandom) and type(file.raw) is io.FileIO
    )


def _is_untouched(raw: Any) -> bool:
    """Whether *raw* is a file of the system opened for reading from which nothing was read."""
    return isinstance(raw, io.FileIO) and not raw.writable() and raw.seekable() and raw.tell() == 0


def _length(file: Any, start: int) -> int | None:
    """Octets from *start* to the end of *file*, which stands there; None when that is not cheap to tell."""
    plain = getattr(file, "file", file)  # what tempfile.NamedTemporaryFile gives is a wrapper
    while isinstance(plain, (io.BufferedReader, io.BufferedRandom)):
        plain = plain.raw
    if not isinstance(plain, (io.FileIO, io.BytesIO)):
        return None
    end: int = file.seek(0, io.SEEK_END)
    file.seek(start)
    return max(0, end - start)


class IterableBody:
    """An asynchronous iterable of octets; used once."""

    content_type: str | None = "application/octet-stream"
    is_replayable = False

    def __init__(self, source: AsyncIterable[bytes], length: int | None = None) -> None:
        self._source: AsyncIterable[bytes] | None = source
        self.length = length

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """What the iterable gives."""
        source, self._source = self._source, None
        if source is None:
            raise StreamConsumedError("the request body is used up and cannot be sent again")
        iterator = aiter(source)
        try:
            async for piece in iterator:
                if not isinstance(piece, (bytes, bytearray, memoryview)):
                    raise ClientPayloadError(f"the request body gave {type(piece).__name__}, expected octets")
                yield bytes(piece)
        finally:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()  # now, and not when the collector comes


class StreamBody:
    """A ``StreamReader``: fed by the caller, or the content of another response, which may go on with a further one.

    Attributes:
        delivered: Octets that were sent; content that breaks off is gone on with from there.
    """

    content_type: str | None = "application/octet-stream"
    is_replayable = False

    def __init__(self, stream: StreamReader, continued: ContinuedContent | None = None) -> None:
        self._stream: StreamReader | None = stream
        self._continued = continued
        self.length = None if stream.started else stream.length
        self.delivered = 0

    def begin(self) -> StreamReader:
        """The stream, once.

        Raises:
            StreamConsumedError: It was given before, or is a response's and was read to its end.
        """
        stream, self._stream = self._stream, None
        if stream is None or stream.is_used_up:
            raise StreamConsumedError("the request body is used up and cannot be sent again")
        return stream

    def sent(self, count: int) -> None:
        """*count* further octets were sent."""
        self.delivered += count
        if self._continued is not None:
            self._continued.delivered = self.delivered

    async def go_on(self, failure: ClientError) -> StreamReader:
        """What is to be read after a stream that was broken by *failure*; raises when there is nothing."""
        if self._continued is None:
            raise failure
        return await self._continued.go_on(self.delivered, failure)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """What the stream gives; one who feeds it learns when nobody reads it any more."""
        stream: StreamReader | None = self.begin()
        while stream is not None:
            failure: ClientError | None = None
            try:
                while piece := await stream.read(SAVE_BUFFER_BYTES):
                    yield piece
                    self.sent(len(piece))
            except ClientError as exc:
                failure = exc
            finally:
                stream._end_upload()
            stream = None if failure is None else await self.go_on(failure)


def json_body(value: object, dumps: Callable[[Any], str | bytes] = json_module.dumps) -> BytesBody:
    """*value* as JSON in UTF-8."""
    text = dumps(value)
    return BytesBody(text if isinstance(text, bytes) else text.encode(), "application/json")


def as_body(data: Data, charset: str | None = None) -> Body:
    """Make *data* a body.

    Args:
        data: Octets or text, sent as they are (text as UTF-8); a mapping, pairs or a ``FormData``, sent as a form; a
            file object opened for octets; an asynchronous iterable of octets; a ``StreamReader``; a
            ``ContinuedContent``.
        charset: Of a text, when the caller's Content-Type has one; None is UTF-8.

    Raises:
        TypeError: Anything else, and a form with values that no form can have.
        ValueError: A form's content type or charset cannot be sent, or *charset* lacks a character.
        LookupError: *charset* is unknown.
    """
    if isinstance(data, (bytes, bytearray, memoryview)):
        return BytesBody(bytes(data), "application/octet-stream")
    if isinstance(data, str):
        encoding = "utf-8" if charset is None else codec_for(charset)
        return BytesBody(data.encode(encoding), "text/plain; charset=utf-8")
    if isinstance(data, StreamReader):
        return StreamBody(data)
    if isinstance(data, ContinuedContent):
        return StreamBody(data.first, data)
    if hasattr(data, "read"):
        if isinstance(data, io.TextIOBase):
            raise TypeError("the file given as data= was opened as text; open it with mode 'rb'")
        return FileBody(data)
    if isinstance(data, AsyncIterable):
        return IterableBody(data)
    if isinstance(data, FormData):
        return _form_body(data)
    if isinstance(data, (Mapping, Iterable)):
        return _form_body(FormData(data))
    raise TypeError(f"data= cannot be {type(data).__name__}; expected octets, text, a form, a file or an iterable")


def _form_body(form: FormData) -> Body:
    if form.is_multipart:
        from .multipart import multipart_body  # stands above this module, and most programs send no files in forms

        return multipart_body(form)
    content_type = "application/x-www-form-urlencoded"
    if form.charset is not None:
        content_type += f"; charset={form.charset}"
    return BytesBody(form.urlencoded(), content_type)
