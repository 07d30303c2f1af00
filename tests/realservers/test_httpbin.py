"""What a user writes, against a real httpbin: what arrives is what was said, what comes back is what is read."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from multidict import MultiDict

from fetchd.client import (
    BasicAuth,
    BearerAuth,
    ClientResponseError,
    ClientSession,
    ContentTypeError,
    DigestAuth,
    FirstByteTimeoutError,
    IdleReadTimeoutError,
    TCPConnector,
    Timeout,
    TooManyRedirects,
    TotalTimeoutError,
    request,
)
from tests.support.httpbin import Httpbin

pytestmark = [pytest.mark.usefixtures("no_leaked_fds"), pytest.mark.slow]


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """A session with everything as it comes."""
    async with ClientSession() as opened:
        yield opened


async def told(session: ClientSession, method: str, url: str, **options: Any) -> Any:
    """What httpbin says that it got."""
    async with session.request(method, url, **options) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.json()


# What is asked for.


async def test_a_request_needs_no_session(httpbin: Httpbin) -> None:
    """A coroutine: awaited, entered, made a task."""
    reply = await request("get", httpbin.url("/get"))
    assert (reply.status, reply.reason, reply.ok) == (200, "OK", True)
    assert (await reply.json())["url"] == httpbin.url("/get")
    async with request("get", httpbin.url("/get")) as reply:
        assert reply.headers["content-TYPE"] == "application/json"
        assert reply.content_type == "application/json"
        await reply.read()
    task = asyncio.create_task(request("head", httpbin.url("/get")))
    assert (await task).status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_each_method_arrives_as_itself(httpbin: Httpbin, session: ClientSession, method: str) -> None:
    got = await told(session, method.lower(), httpbin.url("/anything"))
    assert (got["method"], got["data"]) == (method, "")


async def test_options_and_head_have_no_content_to_speak_of(httpbin: Httpbin, session: ClientSession) -> None:
    async with session.options(httpbin.url("/get")) as reply:
        assert "GET" in reply.headers["Allow"]
    async with session.head(httpbin.url("/get")) as reply:
        assert (reply.status, await reply.read()) == (200, b"")


@pytest.mark.parametrize(
    ("params", "args"),
    [
        ({"key1": "v1", "n": 2}, {"key1": "v1", "n": "2"}),
        ([("key", "v1"), ("key", "v2")], {"key": ["v1", "v2"]}),
        (MultiDict([("key", "v1"), ("other", "x"), ("key", "v2")]), {"key": ["v1", "v2"], "other": "x"}),
        ("a=b%20c", {"a": "b c"}),
        ({"é": "ü&=+ /?"}, {"é": "ü&=+ /?"}),
    ],
)
async def test_a_query_arrives_as_it_was_given(
    httpbin: Httpbin, session: ClientSession, params: Any, args: dict[str, Any]
) -> None:
    """Behind what the URL has."""
    got = await told(session, "get", httpbin.url("/get?first=1"), params=params)
    assert got["args"] == {"first": "1", **args}


async def test_fields_arrive_and_some_are_sent_unasked(httpbin: Httpbin, session: ClientSession) -> None:
    got = await told(session, "get", httpbin.url("/headers"), headers={"X-One": "1", "accept": "text/plain"})
    fields = got["headers"]
    assert (fields["X-One"], fields["Accept"], fields["Host"]) == ("1", "text/plain", f"127.0.0.1:{httpbin.port}")
    assert fields["User-Agent"].startswith("fetchd/")
    assert (await told(session, "get", httpbin.url("/user-agent")))["user-agent"] == fields["User-Agent"]


# What is sent.


@pytest.mark.parametrize("data", [{"k": "v", "n": 1}, [("k", "v"), ("n", 1)]])
async def test_a_form_arrives_as_a_form(httpbin: Httpbin, session: ClientSession, data: Any) -> None:
    got = await told(session, "post", httpbin.url("/post"), data=data)
    assert got["form"] == {"k": "v", "n": "1"}


async def test_a_repeated_name_of_a_form_arrives_repeated(httpbin: Httpbin, session: ClientSession) -> None:
    got = await told(session, "post", httpbin.url("/post"), data=[("k", "1"), ("k", "2")])
    assert got["form"] == {"k": ["1", "2"]}


async def test_json_arrives_as_json(httpbin: Httpbin, session: ClientSession) -> None:
    document = {"text": "é", "list": [1, 2.5, None, True]}
    assert (await told(session, "post", httpbin.url("/post"), json=document))["json"] == document
    by_hand = {"data": json.dumps(document), "headers": {"content-type": "application/json"}}
    assert (await told(session, "put", httpbin.url("/put"), **by_hand))["json"] == document


@pytest.mark.parametrize("data", [b"octets", "text é", bytearray(b"more")])
async def test_octets_and_text_arrive_as_they_are(httpbin: Httpbin, session: ClientSession, data: Any) -> None:
    got = await told(session, "patch", httpbin.url("/patch"), data=data)
    assert got["data"] == (data if isinstance(data, str) else bytes(data).decode())


async def test_a_file_arrives_with_its_length(httpbin: Httpbin, session: ClientSession, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"line\n" * 100_000)
    with path.open("rb") as file:
        got = await told(session, "post", httpbin.url("/post"), data=file)
    assert got["data"] == "line\n" * 100_000
    assert got["headers"]["Content-Length"] == "500000"


async def test_a_generator_arrives_chunked(httpbin: Httpbin, session: ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d," % number

    got = await told(session, "post", httpbin.url("/post"), data=pieces())
    assert got["data"] == "".join(f"{number}," for number in range(100))
    assert got["headers"]["Transfer-Encoding"] == "chunked"


async def test_a_download_is_chained_into_an_upload(httpbin: Httpbin, session: ClientSession) -> None:
    source = await session.get(httpbin.url("/encoding/utf8"))
    got = await told(session, "post", httpbin.url("/post"), data=source.content)
    assert "∮ E⋅da = Q" in got["data"]


# What comes back.


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_codings_are_removed(httpbin: Httpbin, session: ClientSession, coding: str) -> None:
    """And what is sent is there for who wants it."""
    path = f"/{coding}"
    async with session.get(httpbin.url(path)) as reply:
        assert reply.headers["Content-Encoding"] == coding
        assert "gzip" in (await reply.json())["headers"]["Accept-Encoding"]
    async with session.get(httpbin.url(path), auto_decompress=False) as reply:
        assert len(await reply.read()) == reply.content_length


@pytest.mark.parametrize("status", [200, 204, 400, 404, 418, 500, 503])
async def test_statuses_are_told(httpbin: Httpbin, session: ClientSession, status: int) -> None:
    async with session.get(httpbin.url(f"/status/{status}")) as reply:
        assert (reply.status, reply.ok) == (status, status < 400)
        if status >= 400:
            with pytest.raises(ClientResponseError) as caught:
                reply.raise_for_status()
            assert caught.value.status == status


async def test_text_is_decoded(httpbin: Httpbin, session: ClientSession) -> None:
    async with session.get(httpbin.url("/encoding/utf8")) as reply:
        assert reply.charset == "utf-8"
        assert "STARGΛ̊TE" in await reply.text()


async def test_json_of_something_else_is_refused_unless_waived(httpbin: Httpbin, session: ClientSession) -> None:
    async with session.get(httpbin.url("/html")) as reply:
        with pytest.raises(ContentTypeError):
            await reply.json()
    fields = {"Content-Type": "text/plain"}
    async with session.get(httpbin.url("/response-headers"), params=fields) as reply:
        assert (await reply.json(content_type=None))["Content-Type"] == ["application/json", "text/plain"]


async def test_fields_of_a_response_keep_their_repetitions(httpbin: Httpbin, session: ClientSession) -> None:
    async with session.get(httpbin.url("/response-headers?X-A=1&X-A=2&x-b=3")) as reply:
        assert (reply.headers.getall("x-a"), reply.headers["X-B"]) == (["1", "2"], "3")


async def test_content_is_streamed_by_every_way_of_reading(httpbin: Httpbin, session: ClientSession) -> None:
    url = httpbin.url("/bytes/100000?seed=7")
    async with session.get(url) as reply:
        whole = await reply.read()
    assert len(whole) == 100_000
    async with session.get(url) as reply:
        assert reply.content.length == 100_000
        first = await reply.content.read(10)
        exact = await reply.content.readexactly(1000)
        buffer = bytearray(500)
        count = await reply.content.readinto(buffer)
        rest = [chunk async for chunk in reply.content.iter_chunked(8192)]
        assert max(map(len, rest)) <= 8192
        assert first + exact + bytes(buffer[:count]) + b"".join(rest) == whole
    async with session.get(httpbin.url("/stream-bytes/100000?seed=7&chunk_size=777")) as reply:
        assert reply.content.length is None
        assert b"".join([chunk async for chunk in reply.content.iter_any()]) == whole


async def test_lines_come_as_they_are_made(httpbin: Httpbin, session: ClientSession) -> None:
    async with session.get(httpbin.url("/stream/5")) as reply:
        assert [json.loads(line)["id"] async for line in reply.content] == [0, 1, 2, 3, 4]


async def test_content_goes_to_a_file(httpbin: Httpbin, session: ClientSession, tmp_path: Path) -> None:
    for name in ("bytes", "stream-bytes"):
        async with session.get(httpbin.url(f"/{name}/50000?seed=3")) as reply:
            assert await reply.save(tmp_path / name) == 50_000
    assert (tmp_path / "bytes").read_bytes() == (tmp_path / "stream-bytes").read_bytes()


async def test_a_range_is_what_was_asked_for(httpbin: Httpbin, session: ClientSession) -> None:
    alphabet = b"".join(bytes([97 + number % 26]) for number in range(1000))
    async with session.get(httpbin.url("/range/1000"), headers={"Range": "bytes=10-29"}) as reply:
        assert (reply.status, reply.headers["Content-Range"]) == (206, "bytes 10-29/1000")
        assert await reply.read() == alphabet[10:30]
    async with session.get(httpbin.url("/range/1000?chunk_size=7")) as reply:
        assert await reply.read() == alphabet


async def test_a_validator_saves_the_content(httpbin: Httpbin, session: ClientSession) -> None:
    """304 has the fields and no content (RFC 9110 section 15.4.5)."""
    async with session.get(httpbin.url("/etag/abc"), headers={"If-None-Match": '"abc"'}) as reply:
        assert (reply.status, await reply.read()) == (304, b"")
    async with session.get(httpbin.url("/etag/abc"), headers={"If-Match": '"other"'}) as reply:
        assert reply.status == 412


# Where it leads.


@pytest.mark.parametrize("kind", ["redirect", "relative-redirect", "absolute-redirect"])
async def test_redirections_are_followed_and_remembered(httpbin: Httpbin, session: ClientSession, kind: str) -> None:
    async with session.get(httpbin.url(f"/{kind}/3")) as reply:
        assert (await reply.json())["url"] == httpbin.url("/get")
        assert [hop.status for hop in reply.history] == [302, 302, 302]
        assert str(reply.url) == httpbin.url("/get")
    async with session.get(httpbin.url(f"/{kind}/1"), allow_redirects=False) as reply:
        assert (reply.status, reply.history) == (302, ())
    with pytest.raises(TooManyRedirects) as caught:
        await session.get(httpbin.url(f"/{kind}/4"), max_redirects=3)
    assert len(caught.value.history) == 4


@pytest.mark.parametrize(
    ("status", "method", "data"),
    [(301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "body"), (308, "POST", "body")],
)
async def test_a_post_goes_on_as_its_redirection_says(
    httpbin: Httpbin, session: ClientSession, status: int, method: str, data: str
) -> None:
    """RFC 9110 section 15.4."""
    params = {"url": httpbin.url("/anything"), "status_code": status}
    got = await told(session, "post", httpbin.url("/redirect-to"), params=params, data=b"body")
    assert (got["method"], got["data"]) == (method, data)
    assert ("Content-Type" in got["headers"]) == bool(data)


# What is remembered.


async def test_cookies_are_set_sent_and_deleted(httpbin: Httpbin, session: ClientSession) -> None:
    """On the redirection itself, which is where httpbin sets them."""
    got = await told(session, "get", httpbin.url("/cookies/set?a=1&b=2"))
    assert got["cookies"] == {"a": "1", "b": "2"}
    got = await told(session, "get", httpbin.url("/cookies"), cookies={"c": "3"})
    assert got["cookies"] == {"a": "1", "b": "2", "c": "3"}
    assert (await told(session, "get", httpbin.url("/cookies/delete?a")))["cookies"] == {"b": "2"}


async def test_a_response_shows_the_cookies_that_it_sets(httpbin: Httpbin, session: ClientSession) -> None:
    async with session.get(httpbin.url("/cookies/set/name/value"), allow_redirects=False) as reply:
        assert reply.cookies["name"].value == "value"


async def test_requests_with_a_connector_share_no_cookies_unasked(httpbin: Httpbin) -> None:
    async with TCPConnector() as connector:
        reply = await request("get", httpbin.url("/cookies/set?a=1"), connector=connector)
        await reply.read()
        got = await request("get", httpbin.url("/cookies"), connector=connector)
        assert (await got.json())["cookies"] == {}
        assert connector.idle_count == 1


# Who asks.


async def test_credentials_of_the_url_open_basic(httpbin: Httpbin, session: ClientSession) -> None:
    url = httpbin.url("/basic-auth/user/pa%3Ass")
    assert (await told(session, "get", url.replace("//", "//user:pa%3Ass@", 1)))["user"] == "user"
    async with session.get(url.replace("//", "//user:wrong@", 1)) as reply:
        assert reply.status == 401
    async with session.get(url) as reply:
        assert reply.headers["WWW-Authenticate"].startswith("Basic ")


async def test_a_bearer_opens_what_it_is_for(httpbin: Httpbin, session: ClientSession) -> None:
    got = await told(session, "get", httpbin.url("/bearer"), headers={"Authorization": "Bearer abc"})
    assert got == {"authenticated": True, "token": "abc"}


# How long it takes.


async def test_wait_for_bounds_what_it_wraps_and_leaves_the_session_fit(
    httpbin: Httpbin, session: ClientSession
) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(session.request("get", httpbin.url("/delay/5")), 0.1)
    assert session.connector.open_count == 0
    assert (await told(session, "get", httpbin.url("/get")))["args"] == {}


async def test_a_head_that_does_not_come_is_a_timeout_of_its_phase(httpbin: Httpbin, session: ClientSession) -> None:
    with pytest.raises(FirstByteTimeoutError):
        await session.get(httpbin.url("/delay/5"), timeout=Timeout(first_byte=0.1))


async def test_content_that_drips_is_bounded_by_its_pauses_or_as_a_whole(
    httpbin: Httpbin, session: ClientSession
) -> None:
    """Five octets, one each 0.2 s: an idle bound above that passes; one below it, or a total one, does not."""
    url = httpbin.url("/drip?numbytes=5&duration=1&delay=0")
    async with session.get(url, timeout=Timeout(idle_read=10)) as reply:
        assert await reply.read() == b"*****"
    for timeout, error in ((Timeout(idle_read=0.05), IdleReadTimeoutError), (Timeout(total=0.5), TotalTimeoutError)):
        async with session.get(url, timeout=timeout) as reply:
            with pytest.raises(error):
                await reply.read()
    assert session.connector.open_count == 0


async def test_many_at_once_get_each_its_own(httpbin: Httpbin) -> None:
    """200 by 8 connections, whose numbers come back."""
    async with ClientSession(connector=TCPConnector(limit=8)) as session:

        async def ask(number: int) -> int:
            return int((await told(session, "get", httpbin.url("/get"), params={"n": number}))["args"]["n"])

        assert await asyncio.gather(*map(ask, range(200))) == list(range(200))
        assert session.connector.open_count <= 8


async def test_links_lead_from_page_to_page(httpbin: Httpbin, session: ClientSession) -> None:
    """A little crawl with redirections: ten pages, each the same list without itself."""
    texts = []
    for number in range(10):
        async with session.get(httpbin.url(f"/links/10/{number}")) as reply:
            texts.append(await reply.text())
    assert all(text.count("<a href=") == 9 for text in texts)
    assert all(first != second for first, second in itertools.pairwise(texts))


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("quality", ["auth", "auth-int"])
async def test_digest_is_answered_as_a_server_wants_it(httpbin: Httpbin, algorithm: str, quality: str) -> None:
    """RFC 7616 by somebody else's reading of it; wrong credentials are refused."""
    url = httpbin.url(f"/digest-auth/{quality}/me/secret/{algorithm}")
    for password, status in (("secret", 200), ("wrong", 401)):
        # httpbin insists on a cookie that its challenge sets; a jar has it.
        async with ClientSession(auth=DigestAuth("me", password)) as digest:
            async with digest.get(url) as first:
                await first.read()
            async with digest.get(url) as reply:
                assert reply.status == status


async def test_basic_and_bearer_by_auth(httpbin: Httpbin, session: ClientSession) -> None:
    """As by hand."""
    async with session.get(httpbin.url("/basic-auth/me/secret"), auth=BasicAuth("me", "secret")) as reply:
        assert (await reply.json())["authenticated"] is True
    async with session.get(httpbin.url("/basic-auth/me/secret"), auth=BasicAuth("me", "wrong")) as reply:
        assert reply.status == 401
    got = await told(session, "get", httpbin.url("/bearer"), auth=BearerAuth("abc"))
    assert got["token"] == "abc"
