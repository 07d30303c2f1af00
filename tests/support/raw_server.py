"""A scripted server: a test says, octet by octet, what each connection does (RFC 9112, and its breaches).

A script is an async function that is run once for each accepted connection::

    async def script(conn: RawConnection) -> None:
        request = await conn.read_request()
        assert request.target == "/a"
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
        conn.reset()

    async with raw_server(script) as server:
        async with session.get(server.url("/a")) as response: ...
    assert server.accepted == 1

The scripts run on the test's own loop, not in a thread: a script and a test can then share plain
variables and events, nothing is seen half-way, and what happens first is not left to the scheduler.
A client that blocks the loop blocks its own server, and fails by the limit of the test.

A script may end early because the peer left (``PeerLeft``, a reset, a broken pipe): that is what
peers do. Anything else that it raises, a failed assert above all, fails the test at the end of the
``async with``. Requests are parsed strictly, so a malformed one fails the test too.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

from multidict import CIMultiDict

from .raw_wire import Wire

__all__ = [
    "PeerLeft",
    "RawConnection",
    "RawServer",
    "Request",
    "Script",
    "raw_server",
    "reply_with",
    "response",
]

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/(1\.[01])")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[^\r\n]*)?")


class PeerLeft(ConnectionError):
    """The peer ended the connection where the script waited for more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One request as the server saw it.

    Attributes:
        head: The exact octets of the head, the empty line included.
        body: Content with the chunked coding removed.
        connection: Number of the connection it came by, counted from 0.
        trailers: Fields of the trailer section of a chunked request.
    """

    method: str
    target: str
    version: str
    fields: CIMultiDict[str]
    head: bytes
    connection: int
    body: bytes = b""
    trailers: CIMultiDict[str] = dataclasses.field(default_factory=CIMultiDict)


class RawConnection:
    """One accepted connection in the hands of a script.

    Attributes:
        number: 0 for the first connection of the server, and so on.
        tls: The TLS object (``version()``, ``session_reused``, ``cipher()``), None when plain.
    """

    def __init__(self, wire: Wire, server: RawServer, number: int) -> None:
        self.number = number
        self.tls = wire.tls
        self._wire = wire
        self._server = server
        self._buffer = bytearray()

    async def read_request(self, *, body: bool = True) -> Request:
        """Read one request, whole, and record it in ``server.requests``.

        Args:
            body: False to stop after the head and leave the content unread (``Expect: 100-continue``,
                a server that refuses early); ``read_body`` reads it afterwards.

        Raises:
            PeerLeft: The connection ended first.
            AssertionError: These octets are no well-formed request.
        """
        head = await self.read_until(b"\r\n\r\n")
        request = _parse_head(head, self.number)
        if body:
            content, trailers = await self.read_body(request)
            request = dataclasses.replace(request, body=content, trailers=trailers)
        self._server._record(request)
        return request

    def __aiter__(self) -> RawConnection:
        """Iterate over the requests until the peer ends the connection."""
        return self

    async def __anext__(self) -> Request:
        if not self._buffer:
            with contextlib.suppress(ConnectionError):
                self._buffer += await self._wire.receive()
        if not self._buffer:
            raise StopAsyncIteration
        return await self.read_request()

    async def read_body(self, request: Request) -> tuple[bytes, CIMultiDict[str]]:
        """Return the content of *request* and its trailer fields (RFC 9112 section 6)."""
        lengths = request.fields.getall("Content-Length", [])
        codings = request.fields.getall("Transfer-Encoding", [])
        assert not (lengths and codings), f"Content-Length and Transfer-Encoding: {request.head!r}"
        if codings:
            assert codings == ["chunked"], f"unexpected transfer codings {codings}"
            return await self._read_chunked()
        if not lengths:
            return b"", CIMultiDict()
        assert len(lengths) == 1, f"Content-Length {len(lengths)} times: {request.head!r}"
        assert re.fullmatch(r"[0-9]+", lengths[0]), f"bad Content-Length {lengths[0]!r}"
        return await self.read_exactly(int(lengths[0])), CIMultiDict()

    async def read_until(self, end: bytes) -> bytes:
        """Return the octets up to *end*, which is included."""
        searched = 0
        while (at := self._buffer.find(end, searched)) < 0:
            searched = max(0, len(self._buffer) - len(end) + 1)
            await self._more()
        return self._take(at + len(end))

    async def read_exactly(self, count: int) -> bytes:
        """Return exactly *count* octets."""
        while len(self._buffer) < count:
            await self._more()
        return self._take(count)

    async def read_eof(self) -> bytes:
        """Read until the peer ends its side; return what came before that. A reset counts as an end."""
        with contextlib.suppress(ConnectionError):
            while data := await self._wire.receive():
                self._buffer += data
        return self._take(len(self._buffer))

    async def receive(self) -> bytes:
        """Return what comes next, whatever it is; b"" at the end, a reset included."""
        if self._buffer:
            return self._take(len(self._buffer))
        with contextlib.suppress(ConnectionError):
            return await self._wire.receive()
        return b""

    async def send(self, data: bytes) -> None:
        """Send *data* in one go; returns when the kernel has taken all of it."""
        await self._wire.send(data)

    async def send_slowly(self, data: bytes, step: int = 1, pause: float = 0.0) -> None:
        """Send *data* in pieces of *step* octets, *pause* seconds apart.

        With no pause the loop turns twice between two pieces, so that a reader which waits on the
        same loop sees each piece alone: one turn finds the socket readable, the next has read it.
        """
        for start in range(0, len(data), step):
            await self._wire.send(data[start : start + step])
            await asyncio.sleep(pause)
            await asyncio.sleep(0)

    async def half_close(self) -> None:
        """End the server's side (under TLS after its farewell); reading goes on."""
        await self._wire.half_close()

    async def close(self) -> None:
        """End the connection in order: under TLS with the farewell."""
        with contextlib.suppress(OSError):
            await self._wire.half_close()
        self._wire.cut()

    def cut(self) -> None:
        """Close at once; under TLS without the farewell."""
        self._wire.cut()

    def reset(self) -> None:
        """Close by RST: the peer's next read fails with ECONNRESET."""
        self._wire.reset()

    async def _more(self) -> None:
        data = await self._wire.receive()
        if not data:
            raise PeerLeft(f"the peer ended connection {self.number} after {bytes(self._buffer)!r}")
        self._buffer += data

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def _read_chunked(self) -> tuple[bytes, CIMultiDict[str]]:
        content = bytearray()
        while True:
            line = await self.read_until(b"\r\n")
            size = _CHUNK_SIZE.fullmatch(line[:-2])
            assert size, f"bad chunk-size line {line!r}"
            if int(size[1], 16) == 0:
                break
            content += await self.read_exactly(int(size[1], 16))
            assert await self.read_exactly(2) == b"\r\n", "chunk data does not end in CRLF"
        lines = []
        while (line := await self.read_until(b"\r\n")) != b"\r\n":
            lines.append(line[:-2])
        return bytes(content), _parse_fields(lines)


Script = Callable[[RawConnection], Awaitable[None]]


class RawServer:
    """What the server saw, and where it is.

    Attributes:
        port: Port it listens on; 0 for a Unix socket.
        accepted: Connections accepted so far, those whose handshake failed included.
        requests: Every request that was read, in order.
        tls_failures: What the TLS handshakes failed by.
    """

    def __init__(self, script: Script, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        self.accepted = 0
        self.port = 0 if listener.family == socket.AF_UNIX else int(listener.getsockname()[1])
        self.requests: list[Request] = []
        self.tls_failures: list[Exception] = []
        self._script = script
        self._listener = listener
        self._tls = tls
        self._scripts: set[asyncio.Task[None]] = set()
        self._faults: list[BaseException] = []
        self._changed = asyncio.Event()

    @property
    def open_connections(self) -> int:
        """Connections whose script has not ended; ``async for request in conn`` ends with its peer."""
        return len(self._scripts)

    def url(self, path: str = "/", *, host: str | None = None) -> str:
        """Return a URL of this server. *host*: by which name; None for its address."""
        scheme = "http" if self._tls is None else "https"
        if self._listener.family == socket.AF_UNIX:
            return f"{scheme}://{host or 'localhost'}{path}"
        address = "[::1]" if self._listener.family == socket.AF_INET6 else "127.0.0.1"
        return f"{scheme}://{host or address}:{self.port}{path}"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* holds; looked at whenever a connection or a request comes or goes.

        Raises:
            TimeoutError: It did not within 15 s.
        """
        async with asyncio.timeout(15):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def stop_listening(self) -> None:
        """Refuse connections from now on; those that are open go on."""
        self._acceptor.cancel()
        # The descriptor is closed only when the loop has let go of it.
        await asyncio.gather(self._acceptor, return_exceptions=True)
        self._listener.close()

    def _start(self) -> None:
        self._acceptor = asyncio.create_task(self._accept())

    async def _stop(self) -> None:
        tasks = [self._acceptor, *self._scripts]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._faults:
            # The test's own failure may only be the consequence: it stays visible as the context.
            raise BaseExceptionGroup("a server script failed", self._faults)

    def _record(self, request: Request) -> None:
        self.requests.append(request)
        self._changed.set()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = loop.create_task(self._serve(sock, self.accepted))
            self.accepted += 1
            self._scripts.add(task)
            task.add_done_callback(self._ended)
            self._changed.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._scripts.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            self._faults.append(fault)
        self._changed.set()

    async def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.closing(sock):
            wire = Wire(sock, self._tls)
            try:
                await wire.handshake()
            except OSError as exc:  # ssl.SSLError is one: refused, or left
                self.tls_failures.append(exc)
                return
            conn = RawConnection(wire, self, number)
            with contextlib.suppress(ConnectionError):  # the peer left or reset
                await self._script(conn)
                await conn.close()


@contextlib.asynccontextmanager
async def raw_server(
    script: Script,
    *,
    tls: ssl.SSLContext | None = None,
    unix: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[RawServer]:
    """Serve every connection by *script* until the end of the ``async with``.

    Args:
        script: Run once a connection; the connection is closed in order when it returns.
        tls: The server's context, None for plain text.
        unix: Path of a Unix socket to listen on instead of TCP.
        host: Address to listen on, ``127.0.0.1`` or ``::1``.
        port: Port of a server that comes back; 0 for a free one, chosen by the system.

    Raises:
        ExceptionGroup: At the end, what scripts raised. Scripts still running are cancelled.
    """
    with _listener(unix, host, port) as listener:
        server = RawServer(script, listener, tls)
        server._start()
        try:
            yield server
        finally:
            await server._stop()


def _listener(unix: Path | None, host: str, port: int) -> socket.socket:
    if unix is not None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(unix))
    else:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    listener.setblocking(False)
    listener.listen(1024)
    return listener


def response(
    status: int = 200,
    body: bytes = b"",
    fields: Iterable[tuple[str, str]] = (),
    *,
    reason: str = "OK",
    framing: str = "length",
) -> bytes:
    """Return a well-formed reply with *body*.

    Args:
        status: Status code.
        body: Content.
        fields: Field lines in order, framing fields left out.
        reason: Reason phrase.
        framing: ``length`` (Content-Length), ``chunked`` (one chunk), or ``eof`` (no framing field:
            the reply ends with the connection).
    """
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in fields)]
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        body = chunk + b"0\r\n\r\n"
    else:
        assert framing == "eof", framing
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def reply_with(*replies: bytes, close: bool = False) -> Script:
    """Return a script that gives the n-th request of the whole server the n-th reply, then the last again.

    Args:
        replies: The exact octets of each reply.
        close: Whether the connection ends after each reply.
    """
    answered = 0

    async def script(conn: RawConnection) -> None:
        nonlocal answered
        async for _ in conn:
            reply = replies[min(answered, len(replies) - 1)]
            answered += 1
            await conn.send(reply)
            if close:
                return

    return script


def _parse_head(head: bytes, connection: int) -> Request:
    line, *field_lines = head[:-4].split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    assert match, f"malformed request line {line!r}"
    method, target, version = (part.decode("ascii") for part in match.groups())
    fields = _parse_fields(field_lines)
    assert version == "1.0" or len(fields.getall("Host", [])) == 1, f"not exactly one Host: {head!r}"
    return Request(method, target, version, fields, head, connection)


def _parse_fields(lines: Iterable[bytes]) -> CIMultiDict[str]:
    fields: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        match = _FIELD_LINE.fullmatch(line)
        assert match, f"malformed field line {line!r}"
        fields.add(match[1].decode("ascii"), match[2].decode("latin-1"))
    return fields
