"""The client through real proxies, squid and tinyproxy, with and without credentials, to nginx with and without TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchd.client import BasicAuth, ClientHttpProxyError, ClientSession, DigestAuth, ProxyConnector, client_context
from tests.support.nginx import Nginx
from tests.support.proxies import RealProxy

CONTENT = bytes(range(256)) * 4096
AUTHS: dict[str, BasicAuth | DigestAuth | None] = {
    "": None,
    "basic": BasicAuth("me", "secret"),
    "digest": DigestAuth("me", "secret"),
}


def session_of(nginx: Nginx, proxy: RealProxy, auth: BasicAuth | DigestAuth | None) -> ClientSession:
    """A session through *proxy*."""
    context = client_context(nginx.authority)
    return ClientSession(connector=ProxyConnector(proxy.url(), proxy_auth=auth, ssl_context=context))


async def fetch_all(nginx: Nginx, session: ClientSession, folder: Path) -> None:
    """Plain, TLS 1.2 and 1.3, several requests on each, read and saved."""
    (nginx.root / "proxied").write_bytes(CONTENT)
    for url in (
        nginx.url("/proxied"),
        nginx.tls_url("/proxied", version="1.2"),
        nginx.tls_url("/proxied", version="1.3"),
    ):
        for _ in range(3):
            async with session.get(url) as response:
                assert response.status == 200
                assert await response.read() == CONTENT
        async with session.get(url) as response:
            assert await response.save(folder / "saved") == len(CONTENT)
        assert (folder / "saved").read_bytes() == CONTENT
        async with session.get(url + "-not") as response:
            assert response.status == 404


async def test_squid_carries_requests(nginx: Nginx, squid: tuple[RealProxy, str], tmp_path: Path) -> None:
    """By every credentials that it can demand."""
    proxy, demanded = squid
    async with session_of(nginx, proxy, AUTHS[demanded]) as session:
        await fetch_all(nginx, session, tmp_path)
        assert session.connector.open_count == 3, "one to the proxy, and a tunnel for each TLS origin"


async def test_squid_refuses_who_is_not_known(nginx: Nginx, squid: tuple[RealProxy, str]) -> None:
    """407: the response itself for http, an error for https."""
    proxy, demanded = squid
    if not demanded:
        return
    wrong = BasicAuth("me", "wrong") if demanded == "basic" else DigestAuth("me", "wrong")
    async with session_of(nginx, proxy, wrong) as session:
        async with session.get(nginx.url("/proxied")) as response:
            assert response.status == 407
        with pytest.raises(ClientHttpProxyError) as caught:
            await session.get(nginx.tls_url("/proxied"))
        assert caught.value.status == 407


async def test_tinyproxy_carries_requests(nginx: Nginx, tinyproxy: tuple[RealProxy, str], tmp_path: Path) -> None:
    """It closes after each forwarded request, which costs a connection and nothing else."""
    proxy, demanded = tinyproxy
    async with session_of(nginx, proxy, AUTHS[demanded]) as session:
        await fetch_all(nginx, session, tmp_path)


async def test_the_environment_of_a_user_is_obeyed(
    nginx: Nginx, squid: tuple[RealProxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the credentials in the URL, as they are written there."""
    proxy, demanded = squid
    if demanded == "digest":
        return  # a URL says nothing of how its credentials are to be sent: they go as Basic
    monkeypatch.setenv("http_proxy", proxy.url("me:secret" if demanded else ""))
    monkeypatch.setenv("no_proxy", "")
    (nginx.root / "proxied").write_bytes(CONTENT)
    async with ClientSession(trust_env=True) as session, session.get(nginx.url("/proxied")) as response:
        assert await response.read() == CONTENT
        assert "squid" in response.headers["Via"]
