"""The error tree: what each error is, what it knows, and the sentence it makes of that."""

from __future__ import annotations

import errno
import gzip
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from fetchd import client
from fetchd.client import ClientResponse, ClientSession
from fetchd.client import exceptions as tree
from fetchd.client.exceptions import (
    BodyTooLargeError,
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientOSError,
    ClientPayloadError,
    ClientResponseError,
    ConnectionTimeoutError,
    ContentCodingError,
    ContentTypeError,
    FirstByteTimeoutError,
    IdleReadTimeoutError,
    IdleWriteTimeoutError,
    IncompleteMessageError,
    InvalidURL,
    LowSpeedTimeoutError,
    PoolTimeoutError,
    RedirectError,
    ResponseHeadTooLargeError,
    ResponseProtocolError,
    ServerDisconnectedError,
    ServerFingerprintMismatch,
    ServerTimeoutError,
    SessionClosedError,
    StreamConsumedError,
    TooManyRedirects,
    TotalTimeoutError,
)
from tests.support.raw_server import RawConnection, Script, raw_server, reply_with, response

ALL = [getattr(tree, name) for name in tree.__all__]


def drawn() -> dict[str, tuple[str, ...]]:
    """Name and parents of every error as the module's docstring draws them."""
    parents: dict[str, tuple[str, ...]] = {}
    above: list[str] = []
    for line in (tree.__doc__ or "").splitlines():
        found = re.match(r"    ((?:\|   |    )*)(\+-- )?(\w+)(?: \((?:also )?(\w+)\))?", line)
        if found is None:
            continue
        depth = len(found[1]) // 4 + bool(found[2])
        del above[depth:]
        parents[found[3]] = tuple(name for name in (above[-1] if above else "", found[4]) if name)
        above.append(found[3])
    return parents


def test_the_tree_is_as_it_is_drawn() -> None:
    parents = drawn()
    assert set(parents) == set(tree.__all__)
    for name, expected in parents.items():
        bases = tuple(base.__name__ for base in getattr(tree, name).__bases__)
        assert bases == (expected or ("Exception",)), name


def test_all_but_misuse_of_a_stream_can_be_caught_as_client_error() -> None:
    assert [error for error in ALL if not issubclass(error, ClientError)] == [StreamConsumedError]
    assert all(issubclass(error, Exception) for error in ALL)


def test_every_error_says_when_it_is_raised_and_is_had_from_the_root() -> None:
    for error in ALL:
        assert error.__doc__
        assert getattr(client, error.__name__) is error


# The names that users of aiohttp catch, where the meaning is the same


@pytest.mark.parametrize(
    "error",
    [
        PoolTimeoutError,
        ConnectionTimeoutError,
        FirstByteTimeoutError,
        IdleReadTimeoutError,
        IdleWriteTimeoutError,
        TotalTimeoutError,
    ],
)
def test_a_timeout_is_a_timeout_error_and_a_server_timeout(error: type[ServerTimeoutError]) -> None:
    assert issubclass(error, TimeoutError)
    assert issubclass(error, ServerTimeoutError)
    assert issubclass(error, ClientConnectionError)
    assert error(2.5).seconds == 2.5


def test_content_that_comes_too_slowly_is_a_timeout_too() -> None:
    """It says how much came."""
    error = LowSpeedTimeoutError(30, 1000, 360)
    assert isinstance(error, ServerTimeoutError)
    assert (error.seconds, error.rate, error.received) == (30, 1000, 360)
    assert repr(pickle.loads(pickle.dumps(error))) == repr(error)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InvalidURL("http://h:x", "expected a port"), "invalid URL 'http://h:x': expected a port"),
        (ServerDisconnectedError(), "server disconnected after 0 octets of the response head"),
        (ServerDisconnectedError(received=7), "server disconnected after 7 octets of the response head"),
        (ServerDisconnectedError("gone", 7), "gone after 7 octets of the response head"),
        (
            ClientOSError(errno.ECONNRESET, "Connection reset by peer"),
            f"[Errno {errno.ECONNRESET}] Connection reset by peer",
        ),
        (ClientConnectorError("h", 80, []), "cannot connect to h:80: "),
        (
            ClientConnectorError("h", 80, [OSError(111, "refused"), OSError(113, "no route")]),
            "cannot connect to h:80: [Errno 111] refused; [Errno 113] no route",
        ),
        (ClientConnectorError("/run/x", None, [ValueError("odd")]), "cannot connect to /run/x: odd"),
        (ClientConnectorDNSError("h", 80, [OSError(-2, "unknown")]), "cannot resolve h: [Errno -2] unknown"),
        (ClientConnectorSSLError("h", 443, [ValueError("bad")]), "TLS handshake with h:443 failed: bad"),
        (
            ClientConnectorCertificateError("h", 443, [ValueError("expired")]),
            "certificate of h:443 was not accepted: expired",
        ),
        (
            ServerFingerprintMismatch(b"\1" * 32, b"\2" * 32, "h", 443),
            f"certificate of h:443 was not accepted: SHA-256 {'02' * 32}, expected {'01' * 32}",
        ),
        (ServerTimeoutError(1), "the request took longer than 1 s"),
        (PoolTimeoutError(0.25), "waiting for a free connection took longer than 0.25 s"),
        (ConnectionTimeoutError(30.0), "connecting took longer than 30 s"),
        (FirstByteTimeoutError(60), "waiting for the response head took longer than 60 s"),
        (IdleReadTimeoutError(60), "waiting for more of the content took longer than 60 s"),
        (
            LowSpeedTimeoutError(30, 1000, 360),
            "the content came at 12 octets/s over 30 s; expected at least 1000",
        ),
        (IdleWriteTimeoutError(60), "sending the request took longer than 60 s"),
        (TotalTimeoutError(0.5), "the request took longer than 0.5 s"),
        (ClientResponseError("http://h/", status=404, message="Not Found"), "404 Not Found from http://h/"),
        (ResponseHeadTooLargeError("the response head", 65536), "the response head exceeds the limit of 65536"),
        (
            IncompleteMessageError(5, 12),
            "incomplete content: connection closed after 5 octets, expected 12 octets",
        ),
        (
            IncompleteMessageError(5, None, "reset"),
            "incomplete content: reset after 5 octets, expected more of it",
        ),
        (BodyTooLargeError("decoded content", 100), "decoded content exceeds the limit of 100"),
        (ContentCodingError("gzip content is broken"), "gzip content is broken"),
        (SessionClosedError("the session is closed"), "the session is closed"),
        (ResponseProtocolError("bad chunked content"), "bad chunked content"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_makes_its_sentence_of_what_it_knows(error: ClientError, sentence: str) -> None:
    assert str(error) == sentence
    assert repr(error).startswith(type(error).__name__)


def test_a_failed_connection_keeps_every_attempt() -> None:
    attempts = [OSError(errno.ECONNREFUSED, "refused"), TimeoutError("slow")]
    error = ClientConnectorError("h", 80, attempts)
    assert isinstance(error, OSError)
    assert (error.host, error.port, error.where) == ("h", 80, "h:80")
    assert (error.errno, error.attempts) == (errno.ECONNREFUSED, tuple(attempts))
    assert ClientConnectorError("h", None, [ValueError("x")]).errno is None


def test_an_incomplete_message_says_what_came_and_what_was_to_come() -> None:
    error = IncompleteMessageError(5, 12, "reset")
    assert isinstance(error, ClientPayloadError)
    assert (error.received, error.expected, error.cause) == (5, 12, "reset")


@pytest.mark.parametrize("error", [ResponseHeadTooLargeError("x", 7), BodyTooLargeError("x", 7)])
def test_a_limit_that_was_exceeded_is_told(error: ResponseHeadTooLargeError | BodyTooLargeError) -> None:
    assert (error.what, error.limit) == ("x", 7)


@pytest.mark.parametrize("kind", [ClientResponseError, TooManyRedirects, RedirectError, ContentTypeError])
def test_a_response_that_is_not_what_was_asked_for_is_told_of(kind: type[ClientResponseError]) -> None:
    bare = kind("http://h/")
    assert (bare.url, bare.status, bare.message, bare.headers, bare.history) == ("http://h/", 0, "", None, ())
    error = kind("http://h/", status=302, message="Found", headers={"Location": "x"}, history=["first"])
    assert (error.status, error.message, error.headers, error.history) == (302, "Found", {"Location": "x"}, ("first",))


def test_a_bad_url_is_a_value_error_and_misuse_is_a_runtime_error() -> None:
    assert isinstance(InvalidURL("x", "y"), ValueError)
    assert issubclass(SessionClosedError, RuntimeError)
    assert issubclass(StreamConsumedError, RuntimeError)


async def _never(conn: RawConnection) -> None:
    await conn.close()


_GZIP = [("Content-Encoding", "gzip")]
FAILURES: dict[str, tuple[Script, dict[str, Any]]] = {
    "no-response": (_never, {}),
    "no-response-with-options": (_never, {"headers": {"X": "y"}}),
    "no-http": (reply_with(b"ICE/1.0 200 OK\r\n\r\n"), {}),
    "cut-off": (reply_with(response(body=b"x" * 200)[:-1], close=True), {}),
    "cut-off-chunked": (reply_with(response(body=b"x", framing="chunked")[:-1], close=True), {}),
    "bad-coding": (reply_with(response(body=b"no gzip", fields=_GZIP)), {}),
    "late-bad-coding": (reply_with(response(body=gzip.compress(b"x")[:-1], fields=_GZIP)), {}),
    "too-large": (reply_with(response(body=b"xx")), {"max_body_bytes": 1}),
}


@pytest.mark.parametrize(("script", "options"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("how", ["read", "save", "stream"])
async def test_an_error_tells_which_url_was_asked_for(
    script: Script, options: dict[str, Any], how: str, tmp_path: Path
) -> None:
    """Without user and password, so that one who catches it around many requests knows which of them it was."""
    async with raw_server(script) as server, ClientSession() as session:
        with pytest.raises(ClientError) as caught:
            async with session.get(server.url("/x").replace("//", "//me:secret@"), **options) as reply:
                await (
                    reply.save(tmp_path / "file") if how == "save" else reply.read() if how == "read" else _all(reply)
                )
        assert caught.value.url == server.url("/x")


async def _all(reply: ClientResponse) -> None:
    async for _ in reply.content.iter_any():
        pass


async def test_an_error_behind_a_redirection_tells_where_it_has_led() -> None:
    """And one of a connection that could not be made is no exception."""
    gone = "http://127.0.0.1:1/there"
    async with raw_server(reply_with(response(302, fields=[("Location", gone)]))) as server, ClientSession() as session:
        for url in (server.url(), gone):
            with pytest.raises(ClientConnectorError) as caught:
                await session.get(url)
            assert caught.value.url == gone


@pytest.mark.parametrize("name", tree.__all__)
def test_every_error_says_who_should_act(name: str) -> None:
    """In one form, so that it can be looked for: the caller, who runs the server, or nobody: another try will do."""
    paragraphs = inspect.cleandoc(getattr(tree, name).__doc__ or "").split("\n\n")
    acts = [text for text in paragraphs if text.startswith("Who acts: ")]
    assert len(acts) == 1
    assert acts[0].endswith(".")
    assert paragraphs[0].endswith(".")
