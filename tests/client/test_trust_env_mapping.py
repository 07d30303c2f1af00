"""``trust_env=`` with a mapping in the place of the environment, and ``max_redirects=`` of a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchd.client import BasicAuth, ClientSession, RequestOptions, TooManyRedirects
from tests.support.raw_proxy import http_proxy
from tests.support.raw_server import raw_server, reply_with, response

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

HERE = reply_with(response(200, b"here"))


async def test_a_mapping_says_alone_what_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is not looked at; the netrc file alone can be trusted, and proxies alone."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login her password other\n")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with raw_server(HERE) as server, raw_server(http_proxy()) as proxy:
        async with ClientSession(trust_env={"HOME": str(tmp_path)}) as session, session.get(server.url()):
            pass
        variables = {"http_proxy": f"http://127.0.0.1:{proxy.port}"}
        async with ClientSession(trust_env=variables) as session, session.get(server.url()):
            pass
        sent = [request.fields.get("Authorization") for request in server.requests]
        assert sent == [BasicAuth("her", "other").encode(), None]
        assert len(proxy.requests) == 1


async def test_a_netrc_file_of_a_mapping_is_read_at_once(tmp_path: Path) -> None:
    """So that a mistake in it is one of the session, not of a request."""
    (tmp_path / "netrc").write_text("nonsense\n")
    with pytest.raises(ValueError, match="no netrc file"):
        ClientSession(trust_env={"NETRC": str(tmp_path / "netrc")})


async def test_an_empty_mapping_trusts_nothing(tmp_path: Path) -> None:
    """As False."""
    async with raw_server(HERE) as server, ClientSession(trust_env={}) as session, session.get(server.url()) as answer:
        assert await answer.read() == b"here"


@pytest.mark.parametrize(("of_session", "of_request", "asked"), [(1, None, 2), (1, 3, 4), (0, None, 1)])
async def test_a_session_says_how_many_redirections_are_followed(
    of_session: int, of_request: int | None, asked: int
) -> None:
    """A request may say otherwise."""
    moved = response(302, b"", [("Location", "/again")], reason="Found")
    async with raw_server(reply_with(moved)) as server, ClientSession(max_redirects=of_session) as session:
        options: RequestOptions = {} if of_request is None else {"max_redirects": of_request}
        with pytest.raises(TooManyRedirects):
            await session.get(server.url(), **options)
        assert len(server.requests) == asked
