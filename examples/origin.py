"""A small origin on loopback that behaves as origins do: some of its files come slowly, some break off.

It serves generated files over HTTP/1.1 (RFC 9112) with validators and ranges (RFC 9110 sections 8.8
and 14), and keeps count of what was asked. Only the standard library is used.

    python examples/origin.py --port 0 --manifest-out manifest.txt

prints the URL it serves at and goes on until it is interrupted. Beside the files it serves
``/-/expected`` (size and SHA-256 of every file) and ``/-/log`` (every request so far), as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB
_BLOCK = 64 * KIB
_LAST_MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Manner(StrEnum):
    """How a file is served."""

    LENGTH = "length"  # with Content-Length; ranges are honoured
    CHUNKED = "chunked"  # without a length, in chunks
    TO_EOF = "to-eof"  # without a length, up to the end of the connection
    PACED = "paced"  # with a length, no faster than the file's rate
    DROPPED = "dropped"  # with a length; the first time the connection ends in mid-body
    BUSY = "busy"  # the first time 503 with Retry-After
    MISSING = "missing"  # 404


@dataclass(frozen=True, slots=True)
class File:
    """One file: its path without the leading slash, octets, manner and, when paced, octets a second."""

    name: str
    size: int
    manner: Manner = Manner.LENGTH
    rate: int | None = None

    @property
    def etag(self) -> str:
        """A strong validator: the name and the size say all there is to say of the content."""
        return f'"{hashlib.blake2b(f"{self.name} {self.size}".encode(), digest_size=8).hexdigest()}"'

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        """Generate the octets from *start* up to *end*; block n is a hash of name and n, so one may seek."""
        while start < end:
            number, offset = divmod(start, _BLOCK)
            block = hashlib.shake_128(f"{self.name} {number}".encode()).digest(_BLOCK)
            piece = block[offset : offset + end - start]
            yield piece
            start += len(piece)

    def sha256(self) -> str:
        """Return the digest of the whole file."""
        digest = hashlib.sha256()
        for block in self.blocks(0, self.size):
            digest.update(block)
        return digest.hexdigest()


def table(count: int = 300) -> list[File]:
    """Return the files of an origin of *count* (at least 50) files, the same ones in each call."""
    small = (0, 1, 1000, KIB, 4 * KIB, 20_000, 64 * KIB, 100_001, 300_000, MIB + 1)
    files = []
    for i in range(count):
        size = small[i * 7 % len(small)]
        if i == count // 8:
            files.append(File(f"missing/{i:03}.bin", 0, Manner.MISSING))
        elif i == count * 3 // 4:
            files.append(File(f"busy/{i:03}.bin", size, Manner.BUSY))
        elif i % 75 == 40:
            files.append(File(f"large/{i:03}.bin", 20 * MIB, Manner.PACED, 8 * MIB))
        elif i % 50 == 20:
            files.append(File(f"slow/{i:03}.bin", 256 * KIB, Manner.PACED, 128 * KIB))
        elif i % 30 == 15:
            files.append(File(f"dropped/{i:03}.bin", 3 * MIB, Manner.DROPPED))
        elif i % 10 == 4:
            files.append(File(f"chunked/{i:03}.bin", size, Manner.CHUNKED))
        elif i % 10 == 8:
            files.append(File(f"to-eof/{i:03}.bin", size, Manner.TO_EOF))
        else:
            files.append(File(f"plain/{i:03}.bin", size))
    return files


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Reply:
    """A reply to come: octets *start* up to *end* of *file*, of which *sent* is where it breaks off."""

    status: str
    fields: tuple[str, ...] = ()
    file: File | None = None
    start: int = 0
    end: int = 0
    broken_at: int | None = None


class Origin:
    """Serves a table of files on 127.0.0.1, from the start to the end of an ``async with``.

    Attributes:
        files: Name to file.
        log: Every request for a file so far: name, status code and first octet that was sent.
        url: Where it serves, without a slash at the end.
    """

    def __init__(self, files: list[File], port: int = 0) -> None:
        self.files = {file.name: file for file in files}
        self.log: list[tuple[str, int, int]] = []
        self.url = ""
        self._port = port
        self._asked_before: set[str] = set()
        self._serving: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Origin:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        await asyncio.gather(*(task for task in self._serving if task))

    def manifest(self) -> str:
        """Return the URLs of all files, one a line."""
        return "".join(f"{self.url}/{name}\n" for name in self.files)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._serving[task] = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._exchange(_parse(await reader.readuntil(b"\r\n\r\n")), writer):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        del self._serving[task]

    async def _exchange(self, request: _Request, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection may serve another."""
        if request.target.startswith("/-/"):
            return await self._tell(request.target, writer)
        reply = self._decide(request)
        file = reply.file
        close = request.fields.get("connection", "").lower() == "close"
        close = close or (file is not None and file.manner is Manner.TO_EOF) or reply.broken_at is not None
        fields = [*reply.fields, "Connection: close"] if close else reply.fields
        writer.write("\r\n".join([f"HTTP/1.1 {reply.status}", *fields, "", ""]).encode())
        if file is not None and request.method != "HEAD":
            await _send_content(file, reply, writer)
        await writer.drain()
        return not close

    def _decide(self, request: _Request) -> _Reply:
        """Choose the reply and log it; the first request for some files is answered otherwise."""
        name = request.target.removeprefix("/")
        file = self.files.get(name)
        first = name not in self._asked_before
        if request.method == "GET":
            self._asked_before.add(name)
        if request.method not in ("GET", "HEAD"):
            reply = _Reply("405 Method Not Allowed", ("Allow: GET, HEAD", "Content-Length: 0"))
        elif file is None or file.manner is Manner.MISSING:
            reply = _Reply("404 Not Found", ("Content-Length: 0",))
        elif file.manner is Manner.BUSY and first:
            reply = _Reply("503 Service Unavailable", ("Retry-After: 1", "Content-Length: 0"))
        elif file.manner in (Manner.CHUNKED, Manner.TO_EOF):
            coding = ("Transfer-Encoding: chunked",) if file.manner is Manner.CHUNKED else ()
            reply = _Reply("200 OK", (f"ETag: {file.etag}", *coding), file, 0, file.size)
        else:
            reply = _ranged(file, request.fields, drop=file.manner is Manner.DROPPED and first)
        self.log.append((name, int(reply.status[:3]), reply.start))
        return reply

    async def _tell(self, target: str, writer: asyncio.StreamWriter) -> bool:
        if target == "/-/log":
            answer = json.dumps(self.log)
        else:
            files = [file for file in self.files.values() if file.manner is not Manner.MISSING]
            answer = json.dumps({file.name: [file.size, file.sha256()] for file in files})
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n{answer}".encode())
        await writer.drain()
        return True


def _parse(head: bytes) -> _Request:
    line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = line.split(" ", 2)
    pairs = (text.split(":", 1) for text in lines)
    return _Request(method, target, {name.lower(): value.strip() for name, value in pairs})


def _ranged(file: File, fields: dict[str, str], *, drop: bool) -> _Reply:
    """Decide between the whole and a part (RFC 9110 sections 13.1.5 and 14.2)."""
    common: tuple[str, ...] = (
        "Accept-Ranges: bytes",
        f"ETag: {file.etag}",
        f"Last-Modified: {_LAST_MODIFIED}",
    )
    start, end, status = 0, file.size, "200 OK"
    asked = _RANGE.fullmatch(fields.get("range", ""))
    if asked and fields.get("if-range", file.etag) in (file.etag, _LAST_MODIFIED):
        start, end = int(asked[1]), min(int(asked[2] or file.size) + 1, file.size)
        if start >= file.size:
            extent = f"Content-Range: bytes */{file.size}"
            return _Reply("416 Range Not Satisfiable", (*common, extent, "Content-Length: 0"))
        status = "206 Partial Content"
        common = (*common, f"Content-Range: bytes {start}-{end - 1}/{file.size}")
    broken_at = start + (end - start) * 3 // 5 if drop else None
    return _Reply(status, (*common, f"Content-Length: {end - start}"), file, start, end, broken_at)


async def _send_content(file: File, reply: _Reply, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    began, sent = loop.time(), 0
    end = reply.end if reply.broken_at is None else reply.broken_at
    chunked = file.manner is Manner.CHUNKED
    for block in file.blocks(reply.start, end):
        writer.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        await writer.drain()
        sent += len(block)
        if file.rate is not None:
            await asyncio.sleep(began + sent / file.rate - loop.time())
    if chunked:
        writer.write(b"0\r\n\r\n")


async def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve generated files on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--files", type=int, default=300, help="how many files to serve; at least 50")
    parser.add_argument("--manifest-out", type=Path, help="file to write the URLs to, one a line")
    options = parser.parse_args()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Origin(table(options.files), options.port) as origin:
        if options.manifest_out:
            options.manifest_out.write_text(origin.manifest())
        print(origin.url, flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
