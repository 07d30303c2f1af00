"""``before_redirect=`` of a session, and what an error tells of the redirections that led to it."""

from __future__ import annotations

import pytest

from fetchd.client import ClientResponse, ClientSession, ServerDisconnectedError
from tests.support.raw_server import RawConnection, raw_server, response

pytestmark = pytest.mark.usefixtures("no_leaked_fds")


async def script(conn: RawConnection) -> None:
    """``/a`` leads to ``/b``, ``/broken`` ends without an answer."""
    async for request in conn:
        if request.target == "/broken":
            return
        target = "/broken" if request.target == "/to-broken" else "/b"
        moved = response(302, b"elsewhere", [("Location", target)], reason="Found")
        await conn.send(response(200, b"here") if request.target == "/b" else moved)


async def test_it_is_awaited_with_each_redirection_before_it_is_followed() -> None:
    """And with nothing else; the content of the redirection is gone, its connection free."""
    seen: list[tuple[int, str, int]] = []
    async with raw_server(script) as server:

        async def before(redirection: ClientResponse) -> None:
            seen.append((redirection.status, redirection.url.path, len(server.requests)))

        async with ClientSession(before_redirect=before) as session:
            async with session.get(server.url("/b")) as answer:
                assert await answer.read() == b"here"
            async with session.get(server.url("/a")) as answer:
                assert await answer.read() == b"here"
        assert seen == [(302, "/a", 2)]
        assert server.accepted == 1


async def test_what_it_raises_ends_the_request_and_costs_no_connection() -> None:
    """The redirection is not followed."""

    async def before(_: ClientResponse) -> None:
        raise KeyError("no further")

    async with raw_server(script) as server, ClientSession(before_redirect=before) as session:
        with pytest.raises(KeyError):
            await session.get(server.url("/a"))
        assert [request.target for request in server.requests] == ["/a"]
        assert session.connector.open_count == 1


async def test_an_error_behind_a_redirection_tells_what_led_there() -> None:
    """So one can tell whether the host of the URL has answered."""
    async with raw_server(script) as server, ClientSession() as session:
        with pytest.raises(ServerDisconnectedError) as caught:
            await session.get(server.url("/to-broken"))
        assert [response.status for response in caught.value.history] == [302]
        with pytest.raises(ServerDisconnectedError) as caught:
            await session.get(server.url("/broken"))
        assert caught.value.history == ()
