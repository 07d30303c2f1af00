"""``ProxyConnector``: a ``TCPConnector`` whose way leads through one proxy. How it leads there is in ``tunnel``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Unpack

from .auth import Auth
from .connectors import TCPConnector, TCPOptions
from .proxies import Proxy, parse_proxy
from .routes import Route
from .trust import TLSWishes
from .urls import Origin

if TYPE_CHECKING:
    from yarl import URL

__all__ = ["ProxyConnector"]


class ProxyConnector(TCPConnector):
    """Connections through one proxy, pooled and kept alive.

    Requests for http are sent to the proxy with their whole URL, those for https go through a tunnel (CONNECT), so
    that the proxy sees host and port and nothing else. SOCKS proxies tunnel everything and need the extra ``socks``.

    Args:
        proxy: ``http://user:password@host:port``; also https, socks5 (names are resolved here) and socks5h (by the
            proxy). Without a scheme it is http.
        proxy_auth: Credentials in place of those in the URL: ``BasicAuth``, or ``DigestAuth`` for http and https.
        proxy_headers: Further fields for the proxy.
        **options: See ``TCPConnector``.

    Raises:
        InvalidURL: *proxy* is none.
        ValueError: Credentials in the URL and in *proxy_auth*.
    """

    goes_direct = False
    obeys_environment = False

    def __init__(
        self,
        proxy: str | URL,
        *,
        proxy_auth: Auth | None = None,
        proxy_headers: Mapping[str, str] | None = None,
        **options: Unpack[TCPOptions],
    ) -> None:
        super().__init__(**options)
        self._proxy = parse_proxy(str(proxy), proxy_auth, proxy_headers)

    def _shown_way(self) -> str:
        return f"{self.proxy} "

    @property
    def proxy(self) -> str:
        """The proxy's URL, without credentials."""
        return self._proxy.shown

    def route(self, origin: Origin, wishes: TLSWishes | None = None, proxy: Proxy | None = None) -> Route:
        """See ``BaseConnector.route``; a proxy of the request's own takes the place of the connector's."""
        return super().route(origin, wishes, proxy or self._proxy)
