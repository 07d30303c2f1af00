"""Credentials end to end: who gets them, how challenges are answered, what the netrc file adds, shared cookies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import (
    Auth,
    BasicAuth,
    BearerAuth,
    ClientSession,
    DigestAuth,
    TCPConnector,
    UnixConnector,
    request,
)
from fetchd.client.netrc_file import NetrcFile
from tests.support.cancelling import Moment, cancelled_at_each_await
from tests.support.raw_proxy import http_proxy
from tests.support.raw_server import RawConnection, Request, Script, raw_server, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

BASIC = BasicAuth("me", "secret")


def challenge(nonce: str = "n1", more: str = "") -> tuple[str, str]:
    """A Digest challenge."""
    return "WWW-Authenticate", f'Digest realm="r", nonce="{nonce}", qop="auth", algorithm=SHA-256{more}'


async def echo(conn: RawConnection) -> None:
    """Answers with the Authorization field."""
    async for asked in conn:
        await conn.send(response(body=asked.fields.get("Authorization", "-").encode()))


def guarded(is_known: Callable[[Request], bool], field: tuple[str, str] | None = None, status: int = 401) -> Script:
    """Answers with the content of who is known, else with a challenge that has content."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if is_known(asked):
                await conn.send(response(body=asked.body or b"welcome"))
            else:
                await conn.send(response(status, b"who are you?", [field or challenge()]))

    return script


def moved_to(url: Callable[[], str], status: int = 302) -> Script:
    """Sends everybody elsewhere."""

    async def script(conn: RawConnection) -> None:
        async for _ in conn:
            await conn.send(response(status, fields=[("Location", url())]))

    return script


def nonce_of(asked: Request) -> str:
    """The nonce that a request answers; empty without."""
    return asked.fields.get("Authorization", "").partition('nonce="')[2].partition('"')[0]


class Renewed:
    """Credentials of one's own: a token that is renewed when the one of now is refused."""

    def __init__(self, *, gives_up: bool = True) -> None:
        self.renewals = 0
        self._gives_up = gives_up

    def authorize(self, method: str, target: str, content: bytes | None) -> str | None:
        """The token of now."""
        return f"Token {self.renewals}"

    def answer(
        self, challenges: Iterable[str], method: str, target: str, content: bytes | None, sent: str | None
    ) -> str | None:
        """The token of now if it is not the one that was refused, else the next."""
        if sent == self.authorize(method, target, content):
            if self.renewals and self._gives_up:
                return None
            self.renewals += 1
        return self.authorize(method, target, content)


# Who gets them.


@pytest.mark.parametrize(
    ("auth", "field"), [(BASIC, BASIC.encode()), (BearerAuth("t0ken"), "Bearer t0ken")], ids=["basic", "bearer"]
)
@pytest.mark.parametrize("given", ["session", "request"])
async def test_credentials_go_with_the_request(auth: Auth, field: str, given: str) -> None:
    """Of the session or of one request, which wins."""
    other = BasicAuth("other")
    async with raw_server(echo) as server:
        async with ClientSession(auth=auth if given == "session" else other) as session:
            options: dict[str, Any] = {"auth": auth} if given == "request" else {}
            async with session.get(server.url(), **options) as reply:
                assert await reply.text() == field
        async with request("get", server.url(), auth=auth) as reply:
            assert await reply.text() == field


async def test_user_and_password_of_a_url_outweigh_those_of_the_session() -> None:
    """They are meant for this request, the session's for all."""
    async with raw_server(echo) as server, ClientSession(auth=BASIC) as session:
        url = server.url().replace("http://", "http://other:word@")
        async with session.get(url) as reply:
            assert await reply.text() == BasicAuth("other", "word").encode()
        async with session.get(server.url()) as reply:
            assert await reply.text() == BASIC.encode()


async def test_credentials_in_two_places_are_a_mistake() -> None:
    """Which would be sent is anybody's guess; nothing of them is told."""
    async with ClientSession() as session:
        for url, options in (
            ("http://h/", {"headers": {"authorization": "Basic x"}}),
            ("http://me:secret@h/", {}),
        ):
            with pytest.raises(ValueError, match="exclude each other") as caught:
                await session.get(url, auth=BASIC, **options)  # type: ignore[arg-type]
            assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match="exclude each other"):
        ClientSession(auth=BASIC, headers={"Authorization": "Basic x"})


@pytest.mark.parametrize("given", ["session", "request", "field", "url"])
@pytest.mark.parametrize("digest", [False, True], ids=["basic", "digest"])
async def test_credentials_or_cookies_leak_across_origins(given: str, digest: bool) -> None:
    """Class 1 of the defects that others had: not by a redirection to another port, whatever way they were given."""
    auth: Auth = DigestAuth("me", "secret") if digest else BASIC
    async with raw_server(echo) as there, raw_server(moved_to(lambda: there.url("/there"))) as here:
        async with ClientSession(auth=auth if given == "session" else None) as session:
            options: dict[str, Any] = {"cookies": {"a": "1"}}
            url = here.url("/here")
            if given == "request":
                options["auth"] = auth
            elif given == "field":
                options["headers"] = [("Authorization", "Basic x"), ("AUTHORIZATION", "Basic y")]
            elif given == "url":
                url = url.replace("://", "://me:secret@")
            async with session.get(url, **options) as reply:
                assert await reply.text() == "-"
        assert [sorted(asked.fields) for asked in there.requests] == [
            ["Accept", "Accept-Encoding", "Host", "User-Agent"]
        ]


async def test_within_the_origin_credentials_follow_a_redirection() -> None:
    """Scheme, host and port are the same."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/here":
                await conn.send(response(302, fields=[("Location", "/there")]))
            else:
                await conn.send(response(body=asked.fields.get("Authorization", "-").encode()))

    async with (
        raw_server(script) as server,
        ClientSession(auth=BASIC) as session,
        session.get(server.url("/here")) as reply,
    ):
        assert await reply.text() == BASIC.encode()


# Digest.


async def test_digest_answers_once_and_then_at_once() -> None:
    """RFC 7616 section 3.6; the connection is kept, the 401 no part of the history."""
    async with raw_server(guarded(lambda asked: nonce_of(asked) == "n1")) as server:
        async with ClientSession(auth=DigestAuth("me", "secret")) as session:
            for _ in range(2):
                async with session.post(server.url("/x?y"), data=b"content") as reply:
                    assert await reply.read() == b"content"
                    assert (reply.status, reply.history) == (200, ())
        assert [nonce_of(asked) for asked in server.requests] == ["", "n1", "n1"]
        assert 'uri="/x?y"' in server.requests[1].fields["Authorization"]
        assert server.accepted == 1


async def test_cookies_of_a_challenge_go_with_its_answer() -> None:
    """The nonce may belong to a session that the cookie names; one set by hand is sent once all the same."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            known = nonce_of(asked) == "n1"
            await conn.send(response() if known else response(401, b"", [challenge("n1"), ("Set-Cookie", "id=7")]))

    async with raw_server(script) as server, ClientSession(auth=DigestAuth("me", "secret")) as session:
        async with session.get(server.url(), cookies={"once": "1"}, headers={"Cookie": "hand=2"}) as reply:
            assert reply.status == 200
        sent = [asked.fields.getall("Cookie") for asked in server.requests]
        assert sent == [["hand=2; once=1"], ["hand=2; id=7; once=1"]]
        assert [cookie.name for cookie in session.cookie_jar] == ["id"]


async def test_a_stale_nonce_is_answered_with_the_new_one() -> None:
    """RFC 7616 section 3.3."""
    fields = {"n1": challenge("n1"), "n2": challenge("n2", ", stale=true")}
    valid = ["n1"]

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            known = nonce_of(asked) == valid[-1]
            await conn.send(response(200, b"ok") if known else response(401, b"", [fields[valid[-1]]]))

    async with raw_server(script) as server, ClientSession(auth=DigestAuth("me", "secret")) as session:
        for nonce in ("n1", "n2"):
            valid.append(nonce)
            async with session.get(server.url()) as reply:
                assert reply.status == 200
        assert [nonce_of(asked) for asked in server.requests] == ["", "n1", "n1", "n2"]


async def test_wrong_credentials_are_offered_once() -> None:
    """The 401 is the response, its content there to be read."""
    async with raw_server(guarded(lambda _: False)) as server:
        async with ClientSession(auth=DigestAuth("me", "wrong")) as session, session.get(server.url()) as reply:
            assert (reply.status, await reply.read()) == (401, b"who are you?")
        assert len(server.requests) == 2


async def test_wrong_credentials_are_offered_once_though_each_challenge_has_a_nonce_of_its_own() -> None:
    """As Apache's have: each further one would count as one more failure of the user."""
    numbers = itertools.count()

    async def script(conn: RawConnection) -> None:
        async for _ in conn:
            await conn.send(response(401, b"", [challenge(f"n{next(numbers)}")]))

    async with raw_server(script) as server:
        async with ClientSession(auth=DigestAuth("me", "wrong")) as session, session.get(server.url()) as reply:
            assert reply.status == 401
        assert len(server.requests) == 2


async def test_requests_at_once_may_be_challenged_with_one_nonce() -> None:
    """They were all sent without credentials: the nonce that one of them made known has refused none of the others."""
    all_are_there = asyncio.Barrier(3)

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if nonce_of(asked) == "n1":
                await conn.send(response(200, b"ok"))
            else:
                await all_are_there.wait()
                await conn.send(response(401, b"", [challenge("n1")]))

    async with raw_server(script) as server, ClientSession(auth=DigestAuth("me", "secret")) as session:

        async def get() -> int:
            async with session.get(server.url()) as reply:
                return reply.status

        assert set(await asyncio.gather(get(), get(), get())) == {200}
        counts = [asked.fields.get("Authorization", "").partition("nc=")[2][:8] for asked in server.requests]
        assert sorted(counts) == ["", "", "", "00000001", "00000002", "00000003"]


async def test_a_server_that_never_has_enough_is_answered_a_few_times_only() -> None:
    """A new nonce each time would go on for ever."""
    numbers = itertools.count()

    async def script(conn: RawConnection) -> None:
        async for _ in conn:
            await conn.send(response(401, b"", [challenge(f"n{next(numbers)}", ", stale=true")]))

    async with raw_server(script) as server:
        async with ClientSession(auth=DigestAuth("me", "secret")) as session, session.get(server.url()) as reply:
            assert reply.status == 401
        assert len(server.requests) == 5


async def test_a_body_that_is_used_up_is_not_sent_again_empty() -> None:
    """The 401 is returned: the caller has what is needed to try again."""

    async def pieces() -> Any:
        yield b"once"

    async with raw_server(guarded(lambda asked: nonce_of(asked) == "n1")) as server:
        session = ClientSession(auth=DigestAuth("me", "secret"))
        async with session, session.post(server.url(), data=pieces()) as reply:
            assert reply.status == 401
        assert [asked.body for asked in server.requests] == [b"once"]


async def test_a_challenge_that_is_none_of_ours_is_the_response() -> None:
    """Basic was sent already; what is not known has no answer."""
    field = ("WWW-Authenticate", 'Negotiate, Basic realm="r"')
    async with raw_server(guarded(lambda _: False, field)) as server, ClientSession() as session:
        for auth in (BASIC, DigestAuth("me", "secret"), None):
            async with session.get(server.url(), auth=auth) as reply:
                assert reply.status == 401
        assert len(server.requests) == 3


async def test_proxy_and_origin_may_both_ask() -> None:
    """407 is answered to the proxy, 401 to the origin, each with its own."""
    proxying = http_proxy(
        lambda asked: (
            None
            if "Digest" in asked.fields.get("Proxy-Authorization", "")
            else response(407, b"", [("Proxy-Authenticate", challenge("p1")[1])])
        )
    )

    # The scripted proxy passes no fields of responses on, so that the origin cannot ask by its own.
    async with raw_server(proxying) as proxy, raw_server(echo) as origin, ClientSession(auth=BASIC) as session:
        auth = DigestAuth("you", "secret")
        async with session.get(origin.url(), proxy=proxy.url(), proxy_auth=auth) as reply:
            assert await reply.text() == BASIC.encode()
        assert not any("Proxy-Authorization" in asked.fields for asked in origin.requests)


@pytest.mark.parametrize("moment", Moment)
async def test_cancelled_between_challenge_and_answer_nothing_is_left(moment: Moment) -> None:
    """At each await."""
    async with raw_server(guarded(lambda asked: nonce_of(asked) == "n1")) as server:

        async def fetch() -> None:
            session = ClientSession(auth=DigestAuth("me", "secret"))
            async with session, session.get(server.url()) as reply:
                assert reply.status == 200

        async for _ in cancelled_at_each_await(fetch, moment):
            pass
        await server.until(lambda: server.open_connections == 0)


# The netrc file.

NETRC = "machine 127.0.0.1 login me password secret\nmachine localhost login you password other\n"


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A netrc file that the environment names."""
    path = tmp_path / "my.netrc"
    path.write_text(NETRC)
    monkeypatch.setenv("NETRC", str(path))
    return path


@pytest.mark.usefixtures("netrc")
async def test_the_netrc_file_is_for_who_trusts_the_environment() -> None:
    """And for requests without credentials of their own."""
    async with raw_server(echo) as server:
        async with ClientSession() as session, session.get(server.url()) as reply:
            assert await reply.text() == "-"
        async with ClientSession(trust_env=True) as session:
            for options, url, field in (
                ({}, server.url(), BasicAuth("me", "secret").encode()),
                ({"auth": BasicAuth("x")}, server.url(), BasicAuth("x").encode()),
                ({"headers": {"Authorization": "own"}}, server.url(), "own"),
                ({}, server.url().replace("://", "://a:b@"), BasicAuth("a", "b").encode()),
            ):
                async with session.get(url, **options) as reply:
                    assert await reply.text() == field


@pytest.mark.usefixtures("netrc")
async def test_each_host_of_a_redirection_gets_its_own_entry() -> None:
    """Never that of the host before."""
    async with (
        raw_server(echo) as there,
        raw_server(moved_to(lambda: there.url(host="localhost"))) as here,
        ClientSession(trust_env=True) as session,
        session.get(here.url()) as reply,
    ):
        assert await reply.text() == BasicAuth("you", "other").encode()
        assert here.requests[0].fields["Authorization"] == BasicAuth("me", "secret").encode()


def test_a_file_that_is_not_there_has_no_entries(tmp_path: Path) -> None:
    """Unless NETRC names it: then somebody wants it."""
    assert NetrcFile({"HOME": str(tmp_path)}).auth_for("h") is None
    assert NetrcFile({}).auth_for("h") is None
    with pytest.raises(ValueError, match="NETRC"):
        NetrcFile({"NETRC": str(tmp_path / "none")}).auth_for("h")


def test_the_home_folder_and_the_default_entry(tmp_path: Path) -> None:
    """As netrc(5) has them."""
    (tmp_path / ".netrc").write_text("machine h login a password b\ndefault login c password d\n")
    (tmp_path / ".netrc").chmod(0o600)
    file = NetrcFile({"HOME": str(tmp_path)})
    assert file.auth_for("h") == BasicAuth("a", "b", "utf-8")
    assert file.auth_for("other") == BasicAuth("c", "d", "utf-8")


@pytest.mark.parametrize("content", [b"machine h login a pasword secret", b"machine h login \xff\xfe", b"secret"])
def test_a_file_that_is_none_is_told_without_its_content(tmp_path: Path, content: bytes) -> None:
    """The word that is not understood may be a password."""
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no netrc file") as caught:
        NetrcFile({"NETRC": str(path)}).auth_for("h")
    assert "secret" not in str(caught.value)
    assert str(path) in str(caught.value)


# Shared cookies.


async def test_a_connector_shares_cookies_when_it_is_told_to() -> None:
    """Of request() with that connector; off by default, and nothing of a session's."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            await conn.send(response(body=asked.fields.get("Cookie", "-").encode(), fields=[("Set-Cookie", "a=1")]))

    async with raw_server(script) as server:
        for shares in (False, True):
            async with TCPConnector(share_cookies=shares) as connector:
                seen = []
                for _ in range(2):
                    async with request("get", server.url(), connector=connector) as reply:
                        seen.append(await reply.text())
                assert seen == ["-", "a=1" if shares else "-"]
                session = ClientSession(connector=connector, connector_owner=False)
                async with session, session.get(server.url()) as reply:
                    assert await reply.text() == "-"
                assert (connector.cookie_jar is not None) is shares
    assert UnixConnector(path="/x", share_cookies=True).cookie_jar is not None


# Credentials of one's own.


async def test_a_token_of_ones_own_is_renewed_once_for_all_who_were_refused() -> None:
    """Each is told what it was sent with, so that the second one refused takes the token that the first one renewed."""
    both = asyncio.Barrier(2)

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.fields["Authorization"] == "Token 0":
                await both.wait()  # neither is answered before both have come
                await conn.send(response(401, fields=[("WWW-Authenticate", "Token")]))
            else:
                await conn.send(response(200))

    auth = Renewed()
    async with raw_server(script) as server, ClientSession(auth=auth) as session:
        replies = await asyncio.gather(session.get(server.url("/1")), session.get(server.url("/2")))
        assert [reply.status for reply in replies] == [200, 200]
        for reply in replies:
            await reply.read()
        assert auth.renewals == 1
        assert sorted(asked.fields["Authorization"] for asked in server.requests) == ["Token 0"] * 2 + ["Token 1"] * 2


@pytest.mark.parametrize(("gives_up", "tokens"), [(True, 2), (False, 5)])
async def test_no_credentials_of_ones_own_are_offered_for_ever(gives_up: bool, tokens: int) -> None:
    """What always has another answer is asked four times; the last refusal is the response."""

    async def script(conn: RawConnection) -> None:
        async for _ in conn:
            await conn.send(response(401, fields=[("WWW-Authenticate", "Token")]))

    async with raw_server(script) as server, ClientSession(auth=Renewed(gives_up=gives_up)) as session:
        async with session.get(server.url()) as reply:
            assert reply.status == 401
        assert [asked.fields["Authorization"] for asked in server.requests] == [f"Token {n}" for n in range(tokens)]
