"""The examples do what they say, run as a user runs them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from examples.origin import File, Manner, Origin, table
from tests.support import certs
from tests.support.raw_proxy import http_proxy
from tests.support.raw_server import RawConnection, RawServer, Request, raw_server, reply_with, response

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
MIB = 1 << 20


@contextlib.asynccontextmanager
async def origin_of(*files: File) -> AsyncIterator[Origin]:
    """Serve *files* on the test's loop."""
    async with Origin(list(files)) as origin:
        yield origin


def _fetch(url: str, method: str, fields: Mapping[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
    target = urlsplit(url)
    connection = http.client.HTTPConnection(str(target.hostname), target.port)
    try:
        connection.request(method, target.path, headers=dict(fields))
        reply = connection.getresponse()
        return reply, reply.read()
    finally:
        connection.close()


async def fetch(
    url: str, method: str = "GET", fields: Mapping[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """Ask once, by the client of the standard library in a thread."""
    return await asyncio.to_thread(_fetch, url, method, fields or {})


def whole(file: File) -> bytes:
    """Return the content of *file*."""
    return b"".join(file.blocks(0, file.size))


def test_the_table_is_the_same_in_each_call_and_has_every_manner() -> None:
    """300 files from 0 octets to 20 MiB; a shorter table keeps the kinds."""
    assert table() == table()
    assert len(table()) == 300
    assert {file.size for file in table()} >= {0, 20 * MIB}
    for count in (50, 60, 300):
        assert {file.manner for file in table(count)} == set(Manner)
        assert sum(file.manner is Manner.MISSING for file in table(count)) == 1


def test_content_is_the_same_from_whichever_octet_it_is_read() -> None:
    """Blocks are computed from their number, so any range can be made alone."""
    file = File("a", 200_000)
    content = whole(file)
    assert len(content) == 200_000
    assert file.sha256() == hashlib.sha256(content).hexdigest()
    for start, end in [(0, 1), (65_535, 65_537), (65_536, 131_072), (199_999, 200_000), (5, 5)]:
        assert b"".join(file.blocks(start, end)) == content[start:end]
    assert whole(File("b", 100)) != content[:100]


@pytest.mark.parametrize("manner", [Manner.LENGTH, Manner.CHUNKED, Manner.TO_EOF, Manner.PACED])
@pytest.mark.parametrize("size", [0, 1, 100_000])
async def test_each_framing_carries_the_content(manner: Manner, size: int) -> None:
    """By length, in chunks, or to the end of the connection (RFC 9112 section 6.3)."""
    file = File("a", size, manner, rate=100 * MIB)
    async with origin_of(file) as origin:
        reply, body = await fetch(f"{origin.url}/a")
    assert body == whole(file)
    assert reply.headers["ETag"] == file.etag
    assert (reply.headers["Content-Length"] is None) == (manner in (Manner.CHUNKED, Manner.TO_EOF))
    assert reply.headers["Connection"] == ("close" if manner is Manner.TO_EOF else None)


async def test_head_says_what_get_would_and_sends_no_content() -> None:
    """RFC 9110 section 9.3.2."""
    async with origin_of(File("a", 1000)) as origin:
        reply, body = await fetch(f"{origin.url}/a", "HEAD")
        assert (reply.headers["Content-Length"], body) == ("1000", b"")
        reply, _ = await fetch(f"{origin.url}/a", "POST")
        assert reply.status == 405


@pytest.mark.parametrize(
    ("fields", "status", "extent"),
    [
        ({"Range": "bytes=10-19"}, 206, (10, 20)),
        ({"Range": "bytes=990-"}, 206, (990, 1000)),
        ({"Range": "bytes=990-5000"}, 206, (990, 1000)),
        ({"Range": "bytes=990-", "If-Range": File("a", 1000).etag}, 206, (990, 1000)),
        ({"Range": "bytes=990-", "If-Range": "Thu, 01 Jan 2026 00:00:00 GMT"}, 206, (990, 1000)),
        ({"Range": "bytes=990-", "If-Range": '"another"'}, 200, (0, 1000)),
        ({"Range": "bytes=1000-"}, 416, (0, 0)),
        ({"Range": "lines=1-2"}, 200, (0, 1000)),
    ],
)
async def test_ranges_are_honoured(fields: dict[str, str], status: int, extent: tuple[int, int]) -> None:
    """RFC 9110 section 14.2, with If-Range of section 13.1.5."""
    file = File("a", 1000)
    async with origin_of(file) as origin:
        reply, body = await fetch(f"{origin.url}/a", fields=fields)
    start, end = extent
    assert (reply.status, body) == (status, whole(file)[start:end])
    if status == 206:
        assert reply.headers["Content-Range"] == f"bytes {start}-{end - 1}/1000"


async def test_a_file_is_dropped_in_mid_body_once() -> None:
    """The rest can be had by range; the log tells from where it was asked."""
    file = File("a", MIB, Manner.DROPPED)
    async with origin_of(file) as origin:
        with pytest.raises(http.client.IncompleteRead) as caught:
            await fetch(f"{origin.url}/a")
        got = caught.value.partial
        assert 0 < len(got) < MIB
        _, rest = await fetch(f"{origin.url}/a", fields={"Range": f"bytes={len(got)}-"})
        assert got + rest == whole(file)
        assert origin.log == [("a", 200, 0), ("a", 206, len(got))]


async def test_a_file_is_busy_once_and_another_is_missing() -> None:
    """503 says when to come again; 404 stays."""
    async with origin_of(File("a", 10, Manner.BUSY), File("b", 0, Manner.MISSING)) as origin:
        reply, _ = await fetch(f"{origin.url}/a")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
        assert [(await fetch(f"{origin.url}/{name}"))[0].status for name in "abb"] == [200, 404, 404]
        assert origin.manifest() == f"{origin.url}/a\n{origin.url}/b\n"


async def test_the_origin_tells_what_it_has_and_what_was_asked() -> None:
    """As JSON, for whoever looks at it from another process."""
    file = File("a", 10)
    async with origin_of(file, File("b", 0, Manner.MISSING)) as origin:
        await fetch(f"{origin.url}/a")
        assert json.loads((await fetch(f"{origin.url}/-/expected"))[1]) == {"a": [10, file.sha256()]}
        assert json.loads((await fetch(f"{origin.url}/-/log"))[1]) == [["a", 200, 0]]


@pytest.mark.slow
def test_the_origin_runs_as_a_program(tmp_path: Path) -> None:
    """It writes the manifest, then prints its URL, and ends quietly with connections open."""
    manifest = tmp_path / "manifest.txt"
    command = [sys.executable, str(EXAMPLES / "origin.py"), "--files", "50", "--manifest-out", str(manifest)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        lines = manifest.read_text().splitlines()
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        connection.request("GET", urlsplit(lines[0]).path)
        assert connection.getresponse().status == 200
        process.terminate()
        _, errors = process.communicate(timeout=10)
        connection.close()
    assert (process.returncode, errors, len(lines)) == (0, "", 50)


def demonstrate(folder: Path, *options: str) -> None:
    """Run the demonstration; what it said is shown when it fails."""
    command = [sys.executable, str(EXAMPLES / "demo.py"), "--output", str(folder / "demo"), *options]
    ran = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_demonstration_succeeds(tmp_path: Path) -> None:
    """Killed half way and started again, everything is there once: with fewer files, to be quick."""
    demonstrate(tmp_path, "--files", "60")


@pytest.mark.soak
@pytest.mark.parametrize("kill_at", [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_the_demonstration_succeeds_wherever_the_kill_falls(tmp_path: Path, kill_at: float) -> None:
    """The whole table, killed early and late."""
    demonstrate(tmp_path, "--kill-at", str(kill_at))


async def run_python(*arguments: str | Path, folder: Path | None = None) -> tuple[int, str, str]:
    """Run this Python as a program of its own, in *folder*; return exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(str(argument) for argument in arguments),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


_SLOW = re.compile(r"Executing <.*> took \d+\.\d+ seconds$")


async def example(name: str, *arguments: str | Path) -> str:
    """Run an example that must succeed without a word of complaint; return what it printed."""
    code, output, errors = await run_python("-X", "dev", EXAMPLES / name, *arguments)
    # That a callback took more than 0.1 s says something of the machine, whose other cores may be busy.
    complaints = [line for line in errors.splitlines() if not _SLOW.match(line)]
    assert (code, complaints) == (0, []), output
    return output


@contextlib.asynccontextmanager
async def target_of(reply: bytes = response(201, reason="Created")) -> AsyncIterator[RawServer]:
    """Serve what takes uploads: it reads each request to its end, then answers *reply*."""
    async with raw_server(reply_with(reply)) as server:
        yield server


@pytest.mark.slow
async def test_get_tells_head_and_content() -> None:
    """Status, type and length are known before the content is read."""
    async with origin_of(File("a", 1000)) as origin:
        output = await example("get.py", f"{origin.url}/a")
    assert output.startswith(f"200 OK from {origin.url}/a\n")
    assert "announced octets 1000\n1000 octets came" in output


@pytest.mark.slow
async def test_stream_to_disk_saves_a_large_body_under_its_name(tmp_path: Path) -> None:
    """The file is there when it is whole, and nothing else is."""
    file = File("a", 5 * MIB)
    async with origin_of(file) as origin:
        output = await example("stream_to_disk.py", f"{origin.url}/a", tmp_path / "a.bin")
    assert output == f"{5 * MIB} octets in {tmp_path / 'a.bin'}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == whole(file)


@pytest.mark.slow
async def test_stream_to_disk_leaves_nothing_of_a_body_that_broke_off(tmp_path: Path) -> None:
    """A truncated body is an error with what came and what was announced."""
    async with origin_of(File("a", 5 * MIB, Manner.DROPPED)) as origin:
        code, _, errors = await run_python(EXAMPLES / "stream_to_disk.py", f"{origin.url}/a", tmp_path / "a.bin")
    assert code == 1
    assert f"after {3 * MIB} octets, expected {5 * MIB} octets" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
async def test_post_sends_each_kind_of_body() -> None:
    """Each with its own type, and with a length wherever that is known before."""
    async with target_of() as server:
        output = await example("post.py", server.url())
    assert output.count(": 201\n") == 5
    seen = [
        (request.fields["Content-Type"], request.fields.get("Content-Length"), request.body)
        for request in server.requests
    ]
    source = (EXAMPLES / "post.py").read_bytes()
    assert seen == [
        ("application/json", "38", b'{"name": "fetchd", "tags": ["a", "b"]}'),
        ("application/x-www-form-urlencoded", "18", b"name=fetchd&page=2"),
        ("text/plain; charset=utf-8", "11", "grüß Gott".encode()),
        ("text/x-python", str(len(source)), source),
        ("application/octet-stream", None, b"0\n1\n2\n"),
    ]


@pytest.mark.slow
async def test_multipart_sends_forms_with_files(tmp_path: Path) -> None:
    """With a length where that of each part is known, chunked where one is made on the way."""
    path = tmp_path / "report.xls"
    path.write_bytes(b"\0\1")
    async with target_of() as server:
        output = await example("multipart.py", server.url(), path)
    assert output == "mapping: 201\nfield by field: 201\n"
    mapping, by_field = server.requests
    assert all(request.fields["Content-Type"].startswith("multipart/form-data; ") for request in server.requests)
    assert int(mapping.fields["Content-Length"]) == len(mapping.body)
    assert (
        b'name="file"; filename="report.xls"\r\nContent-Type: application/vnd.ms-excel\r\n\r\n\0\1\r\n' in mapping.body
    )
    assert b'filename="report.csv"\r\nContent-Type: text/csv\r\n\r\nsome,data\n\r\n' in mapping.body
    assert by_field.fields["Transfer-Encoding"] == "chunked"
    assert b'filename="squares.csv"\r\nContent-Type: text/csv\r\n\r\n0,0\n1,1\n2,4\n\r\n' in by_field.body


@pytest.mark.slow
async def test_unix_socket_asks_the_service_behind_it(tmp_path: Path) -> None:
    """The host of the URL goes no further than the Host field."""
    path = tmp_path / "socket"
    async with raw_server(reply_with(response(200, b"all is well")), unix=path) as server:
        assert await example("unix_socket.py", path, "http://app.invalid/status") == "200: all is well\n"
    assert [(request.target, request.fields["Host"]) for request in server.requests] == [("/status", "app.invalid")]


async def test_cookies_shared_are_sent_by_the_second_request_and_kept(tmp_path: Path) -> None:
    """In a file that the next start reads."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            await conn.send(
                response(200, asked.fields.get("Cookie", "-").encode(), [("Set-Cookie", "a=1; Max-Age=60")])
            )

    async with raw_server(script) as server:
        output = await example("cookies_shared.py", server.url("/a"), server.url("/b"), tmp_path / "cookies.txt")
        assert output == f"a=1\n1 cookies kept in {tmp_path / 'cookies.txt'}\n"
        await example("cookies_shared.py", server.url("/a"), server.url("/b"), tmp_path / "cookies.txt")
        assert [asked.fields.get("Cookie") for asked in server.requests] == [None, "a=1", "a=1", "a=1"]


@pytest.mark.parametrize(
    ("kind", "credentials", "sent"),
    [("basic", ("me", "secret"), "Basic "), ("bearer", ("t0ken",), "Bearer t0ken"), ("digest", ("me", "x"), "Digest ")],
)
async def test_auth_shows_who_asks(kind: str, credentials: tuple[str, ...], sent: str) -> None:
    """By each of the three ways."""
    challenge = ("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            known = asked.fields.get("Authorization", "").startswith(sent)
            await conn.send(response(200, b"welcome") if known else response(401, b"", [challenge]))

    async with raw_server(script) as server:
        assert await example("auth.py", kind, server.url(), *credentials) == "200: welcome\n"


async def test_tls_contexts_shows_whom_each_trusts(tmp_path: Path) -> None:
    """The server asks for a client certificate, which only the roots of our own come with."""
    authority, identity = certs.write_authority(tmp_path), certs.write_client_identity(tmp_path)
    pin = certs.fingerprint().hex(":").upper()
    async with raw_server(reply_with(response(200)), tls=certs.server_context()) as server:
        output = await example("tls_contexts.py", server.url(), authority, pin)
        lines = dict(line.split(": ", 1) for line in output.splitlines())
        assert "certificate verify failed" in lines.pop("the system's roots")
        assert lines == {"roots of our own": "200", "one certificate": "200", "anybody": "200"}
        output = await example("tls_contexts.py", server.url(), authority, "00" * 32)
        assert "one certificate: 200" not in output
    async with raw_server(reply_with(response(200)), tls=certs.demanding_server_context()) as server:
        output = await example("tls_contexts.py", server.url(), authority, pin, *identity)
        assert "roots of our own: 200\n" in output
        assert "anybody: 200\n" not in output


async def test_timeouts_tells_which_bound_was_exceeded() -> None:
    """And fetches what is quick enough."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/quick":
                await conn.send(response(200, b"octets"))
                continue
            await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")
            while True:
                await conn.send(b"x")
                await asyncio.sleep(0.1)

    async with raw_server(script) as server:
        assert await example("timeouts.py", server.url("/quick")) == "6 octets\n"
        code, output, errors = await run_python(EXAMPLES / "timeouts.py", server.url("/drip"))
    assert (code, output) == (1, "")
    assert errors.startswith("LowSpeedTimeoutError: the content came at ")


async def test_proxy_asks_through_it() -> None:
    """And says what is wrong when there is none."""
    async with raw_server(http_proxy()) as proxy, raw_server(reply_with(response(200, b"hello"))) as server:
        assert await example("proxy.py", proxy.url(), server.url("/page")) == "200: hello\n"
        assert [request.target for request in proxy.requests] == [server.url("/page")]
    code, output, errors = await run_python(EXAMPLES / "proxy.py", proxy.url(), server.url("/page"))
    assert (code, output) == (1, "")
    assert f"cannot use the proxy 127.0.0.1:{proxy.port}" in errors


@pytest.mark.slow
async def test_trace_prints_what_happens_to_two_requests() -> None:
    """The second one finds the connection open."""
    async with origin_of(File("a", 1000)) as origin:
        output = await example("trace.py", f"{origin.url}/a")
    first, _, second = output.partition("200, 1000 octets in ")
    events = [[line.split()[2] for line in part.splitlines() if line.startswith(" ")] for part in (first, second)]
    assert events[0][0] == events[1][0] == "request_start"
    assert "connection_create_end" in events[0]
    assert "connection_reuseconn" in events[1]


@pytest.mark.slow
@pytest.mark.parametrize("manner", [Manner.LENGTH, Manner.CHUNKED, Manner.TO_EOF])
async def test_chain_get_into_post_relays_every_octet(manner: Manner) -> None:
    """A length that is announced goes along; without one the upload is chunked."""
    file = File("a", 3 * MIB, manner)
    async with origin_of(file) as origin, target_of() as server:
        output = await example("chain_get_into_post.py", f"{origin.url}/a", server.url())
    assert output.endswith("the answer is 201\n")
    [request] = server.requests
    assert request.body == whole(file)
    expected = str(3 * MIB) if manner is Manner.LENGTH else None
    assert request.fields.get("Content-Length") == expected


@pytest.mark.slow
async def test_mirror_goes_on_when_the_source_drops() -> None:
    """In one upload, with the digest of the whole."""
    file = File("a", 3 * MIB, Manner.DROPPED)
    async with origin_of(file) as origin, target_of() as server:
        output = await example("mirror.py", f"{origin.url}/a", server.url("/a"))
    assert output == f"sent {3 * MIB} octets (sha256 {file.sha256()[:16]}), the answer is 201\n"
    [request] = server.requests
    assert (request.method, request.body) == ("PUT", whole(file))


@pytest.mark.slow
async def test_hash_while_uploading_prints_the_digest_of_what_it_relayed() -> None:
    """The digest is the one of the octets that the target got."""
    file = File("a", 3 * MIB)
    async with origin_of(file) as origin, target_of() as server:
        output = await example("hash_while_uploading.py", f"{origin.url}/a", server.url("/a"))
    assert output == f"sha256 {file.sha256()}, the answer is 201\n"
    [request] = server.requests
    assert (request.method, request.body) == ("PUT", whole(file))


@pytest.mark.slow
async def test_hash_while_uploading_breaks_the_upload_when_the_source_breaks() -> None:
    """The target must not take a part for the whole: its request ends before the announced length."""
    async with origin_of(File("a", 3 * MIB, Manner.DROPPED)) as origin, target_of() as server:
        code, _, errors = await run_python(EXAMPLES / "hash_while_uploading.py", f"{origin.url}/a", server.url())
    assert code == 1
    assert "IncompleteMessageError" in errors
    assert len(server.requests) == 0, "recorded when it was read to its end"


@pytest.mark.slow
async def test_hash_while_uploading_tells_the_answer_of_a_target_that_refuses_early() -> None:
    """What ended the upload is its answer, not a broken pipe."""

    async def refuse(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.send(response(413, reason="Content Too Large"))
        await conn.read_eof()

    async with origin_of(File("a", 20 * MIB)) as origin, raw_server(refuse) as server:
        output = await example("hash_while_uploading.py", f"{origin.url}/a", server.url())
    assert output.endswith("the answer is 413\n")


@pytest.mark.slow
async def test_run_as_library_fetches_a_manifest_and_goes_on(tmp_path: Path) -> None:
    """The second run has nothing to fetch but what failed."""
    manifest, folder = tmp_path / "manifest.txt", tmp_path / "downloads"
    async with origin_of(File("a", 1000), File("b", MIB), File("c", 0, Manner.MISSING)) as origin:
        manifest.write_text(origin.manifest())
        first = await example("run_as_library.py", manifest, folder)
        second = await example("run_as_library.py", manifest, folder)
    failed = f"failed: {origin.url}/c: status 404 Not Found\n"
    assert first == f"{failed}3 read = 2 done + 0 skipped + 1 failed\n"
    assert second == f"{failed}3 read = 0 done + 2 skipped + 1 failed\n"


@pytest.mark.slow
async def test_streamed_upload_sends_a_file_and_a_table(tmp_path: Path) -> None:
    """The file when it is wanted, the table coded."""
    path = tmp_path / "file"
    path.write_bytes(bytes(MIB))

    async def script(conn: RawConnection) -> None:
        for _ in range(2):
            asked = await conn.read_request(body=False)
            if "Expect" in asked.fields:
                await conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            bodies.append((asked, (await conn.read_body(asked))[0]))
            await conn.send(response(201, reason="Created"))

    bodies: list[tuple[Request, bytes]] = []
    async with raw_server(script) as server:
        assert await example("streamed_upload.py", server.url(), path) == "the file: 201\nthe table: 201\n"
    (file, content), (table_, coded) = bodies
    assert (file.method, file.fields["Content-Length"], content) == ("PUT", str(MIB), bytes(MIB))
    assert table_.fields["Content-Encoding"] == "gzip"
    assert gzip.decompress(coded).endswith(b"\n99999,9999800001\n")


@pytest.mark.slow
@pytest.mark.parametrize("announced", [b"content", b"other", None])
async def test_verify_digest_keeps_what_is_right(announced: bytes | None, tmp_path: Path) -> None:
    """And nothing else."""
    fields = []
    if announced is not None:
        sha256 = base64.b64encode(hashlib.sha256(announced).digest()).decode()
        fields.append(("Repr-Digest", f"sha-256=:{sha256}:"))
    async with raw_server(reply_with(response(body=b"content", fields=fields))) as server:
        code, output, errors = await run_python(EXAMPLES / "verify_digest.py", server.url(), tmp_path / "file")
        assert server.requests[0].fields["Want-Repr-Digest"] == "sha-256=10"
    if announced == b"other":
        assert code == 1
        assert f"seen {hashlib.sha256(b'content').hexdigest()}" in errors
        assert list(tmp_path.iterdir()) == []
    else:
        by = "nothing" if announced is None else "Repr-Digest sha-256"
        assert (code, output, errors) == (0, f"7 octets, verified by {by}\n", "")
        assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.slow
async def test_query_follows_the_pages() -> None:
    """The query as it was given, then the links."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            link = [] if "page=2" in asked.target else [("Link", '</search?page=2>; rel="next"')]
            await conn.send(response(body=b"page", fields=link))

    async with raw_server(script) as server:
        output = await example("query.py", server.url("/search?x=%2F"), "tag=a b", "tag=c")
        targets = ["/search?x=%2F&tag=a+b&tag=c", "/search?page=2"]
        assert [asked.target for asked in server.requests] == targets
        assert output == "".join(f"{server.url(target)}: 4 characters\n" for target in targets)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_without_its_arguments_says_how_it_is_called(path: Path) -> None:
    """And ends with an error, but for those that need none."""
    if path.stem in ("demo", "origin"):
        return
    ended = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert f"python examples/{path.name} " in ended.stderr
    assert "Traceback" not in ended.stderr
