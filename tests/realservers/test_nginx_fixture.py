"""The private nginx serves what its module says, on each way in: tests of a test's tool."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

from tests.support import certs
from tests.support.nginx import Nginx

BODY = b"0123456789" * 1000


@pytest.fixture(autouse=True)
def _files(nginx: Nginx) -> None:
    (nginx.root / "ten.txt").write_bytes(BODY)
    nginx.clear_access_log()


def fetch(
    url: str, method: str = "GET", fields: Mapping[str, str] | None = None, body: bytes | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """Ask once on a connection of its own, by a client that is not ours."""
    target = urlsplit(url)
    assert target.hostname
    if target.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            target.hostname, target.port, context=certs.client_context()
        )
    else:
        connection = http.client.HTTPConnection(target.hostname, target.port)
    try:
        connection.request(method, target.path, body, dict(fields or {}))
        reply = connection.getresponse()
        return reply, reply.read()
    finally:
        connection.close()


@pytest.mark.parametrize("way", ["plain", "1.2", "1.3"])
def test_a_file_is_served_on_each_way_in(nginx: Nginx, way: str) -> None:
    """Plain and TLS; the access log names the version."""
    url = nginx.url("/ten.txt") if way == "plain" else nginx.tls_url("/ten.txt", version=way)
    reply, body = fetch(url)
    assert (reply.status, body) == (200, BODY)
    [access] = nginx.access_log(at_least=1)
    assert (access.target, access.sent, access.nth) == ("/ten.txt", len(BODY), 1)
    assert access.tls == ("" if way == "plain" else f"TLSv{way}")


def test_tls_listeners_speak_one_version_only(nginx: Nginx) -> None:
    """Asked for TLS 1.3, the TLS 1.2 port refuses."""
    target = urlsplit(nginx.tls_url(version="1.2"))
    with socket.create_connection((target.hostname, target.port)) as plain, pytest.raises(ssl.SSLError):
        certs.client_context(certs.TLS_1_3).wrap_socket(plain, server_hostname="localhost")


def test_the_unix_socket_is_served(nginx: Nginx) -> None:
    """The same files by a path."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(nginx.unix_path))
        sock.sendall(b"GET /ten.txt HTTP/1.0\r\n\r\n")
        assert b"".join(iter(lambda: sock.recv(65536), b"")).endswith(b"\r\n\r\n" + BODY)


def test_ranges_and_validators_are_honoured(nginx: Nginx) -> None:
    """206 for the representation that If-Range names, 200 for another (RFC 9110 section 13.1.5)."""
    etag = fetch(nginx.url("/ten.txt"), "HEAD")[0].headers["ETag"]
    reply, body = fetch(nginx.url("/ten.txt"), fields={"Range": "bytes=9990-", "If-Range": etag})
    assert (reply.status, body) == (206, BODY[9990:])
    reply, body = fetch(nginx.url("/ten.txt"), fields={"Range": "bytes=9990-", "If-Range": '"other"'})
    assert (reply.status, body) == (200, BODY)


def test_gzip_is_made_on_the_fly(nginx: Nginx) -> None:
    """Coded, and so without a length: chunked."""
    reply, body = fetch(nginx.url("/gzip/ten.txt"), fields={"Accept-Encoding": "gzip"})
    assert reply.headers["Content-Encoding"] == "gzip"
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert len(body) < len(BODY)


def test_put_writes_below_the_root(nginx: Nginx) -> None:
    """Folders are made on the way."""
    assert fetch(nginx.url("/dav/new/file"), "PUT", body=BODY)[0].status == 201
    assert (nginx.root / "new" / "file").read_bytes() == BODY
    assert fetch(nginx.url("/dav/new/file"), "DELETE")[0].status == 204


@pytest.mark.parametrize(("folder", "served"), [("few", 3), ("close", 1)])
def test_connections_end_after_so_many_requests(nginx: Nginx, folder: str, served: int) -> None:
    """``/few/`` and ``/close/`` say ``Connection: close`` with the last one."""
    target = urlsplit(nginx.url())
    connection = http.client.HTTPConnection(str(target.hostname), target.port)
    replies = []
    for _ in range(served):
        connection.request("GET", f"/{folder}/ten.txt")
        reply = connection.getresponse()
        reply.read()
        replies.append(reply.headers["Connection"])
    connection.close()
    assert replies == ["keep-alive"] * (served - 1) + ["close"]


@pytest.mark.parametrize("status", [204, 404, 429, 500, 503])
def test_any_status_can_be_had(nginx: Nginx, status: int) -> None:
    """429 and 503 say when to come again."""
    reply, _ = fetch(nginx.url(f"/status/{status}"))
    assert reply.status == status
    assert reply.headers["Retry-After"] == ("1" if status in (429, 503) else None)


def test_moved_leads_to_the_file(nginx: Nginx) -> None:
    """302 with the path that is left."""
    reply, _ = fetch(nginx.url("/moved/ten.txt"))
    assert (reply.status, urlsplit(reply.headers["Location"]).path) == (302, "/ten.txt")
