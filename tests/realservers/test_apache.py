"""Credentials as Apache httpd asks for them: mod_auth_basic and mod_auth_digest."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from fetchd.client import BasicAuth, ClientSession, DigestAuth
from tests.support.apache import CONTENT, Apache

AUTHS = {"basic": BasicAuth, "digest": DigestAuth}
kinds = pytest.mark.parametrize("kind", ["basic", "digest"])
_numbers = itertools.count()


def own_path(kind: str) -> str:
    """A request target that no other test has, so that its lines of the log are this test's."""
    return f"/{kind}/file?{next(_numbers)}&x=%2F"


@kinds
async def test_credentials_open_what_is_closed(apache: Apache, kind: str) -> None:
    """Digest is challenged once and then answers by itself; Basic goes with the first request."""
    path = own_path(kind)
    async with ClientSession(auth=AUTHS[kind]("me", "secret")) as session:
        for method in ("GET", "HEAD", "GET", "GET"):
            async with session.request(method, apache.url(path)) as reply:
                assert reply.status == 200
                assert await reply.read() == (b"" if method == "HEAD" else CONTENT)
        assert session.connector.idle_count == 1
    expected = [*([401] * (kind == "digest")), 200, 200, 200, 200]
    assert apache.statuses(path, len(expected)) == expected


@kinds
async def test_wrong_credentials_are_sent_once(apache: Apache, kind: str) -> None:
    """The response is the 401 itself, though Apache makes a nonce for each challenge: servers count failures."""
    path = own_path(kind)
    async with ClientSession(auth=AUTHS[kind]("me", "wrong")) as session, session.get(apache.url(path)) as reply:
        assert reply.status == 401
        assert (await session.get(apache.url("/open"))).status == 200
    expected = [401] * (2 if kind == "digest" else 1)
    assert apache.statuses(path, len(expected)) == expected


@kinds
async def test_many_at_once_share_their_credentials(apache: Apache, kind: str) -> None:
    """The count of a nonce is each request's own."""
    auth = AUTHS[kind]("me", "secret")

    async def get(session: ClientSession) -> bytes:
        async with session.get(apache.url(f"/{kind}/file"), auth=auth) as reply:
            assert reply.status == 200
            return await reply.read()

    async with ClientSession() as session:
        assert set(await asyncio.gather(*(get(session) for _ in range(20)))) == {CONTENT}


async def test_credentials_of_the_url_open_basic(apache: Apache) -> None:
    """And none are needed where nothing is closed."""
    async with ClientSession() as session:
        async with session.get(apache.url("/basic/file", "me:secret")) as reply:
            assert (reply.status, await reply.read()) == (200, CONTENT)
        async with session.get(apache.url("/basic/file")) as reply:
            assert reply.status == 401
        async with session.get(apache.url("/open")) as reply:
            assert (reply.status, await reply.read()) == (200, CONTENT)
