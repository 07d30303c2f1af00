"""Which proxy a request goes through, and what a proxy is. Pure; the environment is given as a mapping.

Lives here: the URL of a proxy, the variables ``http_proxy`` ... and what ``no_proxy`` excepts. Not here: how a
connection through one is made (``tunnel``), what shares a connection (``routes``).

There is no RFC for the variables; what is done here is what curl documents, with the address ranges that Go and
Python's requests know: lower-case names before upper-case ones, and HTTP_PROXY not where a web server may have made it
of a request's Proxy field (CGI sets REQUEST_METHOD; CVE-2016-5385).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .auth import Auth, BasicAuth, check_auth
from .exceptions import InvalidURL
from .heads import merge_fields
from .urls import Origin, as_shown, locate

__all__ = ["Proxy", "environment_proxy", "parse_proxy"]

_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


class Proxy(NamedTuple):
    """A proxy.

    Attributes:
        scheme: ``http`` or ``https`` (what is spoken to it), ``socks5`` (names are resolved here) or ``socks5h``
            (by the proxy).
        host: Host as it is connected to.
        port: Its port.
        auth: Credentials for it; None for none.
        fields: Further fields for it, on CONNECT and on requests that it forwards.
    """

    scheme: str
    host: str
    port: int
    auth: Auth | None = None
    fields: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"<Proxy {self.shown}>"

    @property
    def shown(self) -> str:
        """Its URL without credentials, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_socks(self) -> bool:
        """Whether it passes octets on without looking at them."""
        return self.scheme.startswith("socks")

    def forwards(self, origin: Origin) -> bool:
        """Whether requests to *origin* are sent to the proxy itself, with the whole URL (RFC 9112 section 3.2.2)."""
        return not origin.is_tls and not self.is_socks


def parse_proxy(url: str, auth: Auth | None = None, fields: Mapping[str, str] | None = None) -> Proxy:
    """The proxy of *url*; without a scheme it is an http one.

    Args:
        url: ``scheme://user:password@host:port``; all but the host may be missing.
        auth: Credentials; not together with some in the URL.
        fields: Further fields for the proxy.

    Raises:
        InvalidURL: Another scheme, or no host. It shows no credentials.
        ValueError: Credentials in both places; a field's name that is no token, a value with control characters.
        TypeError: *auth* is no ``Auth``.
    """
    check_auth(auth)
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        scheme, rest = "http", url.strip()
    scheme = scheme.lower()
    if scheme not in _PORTS:
        raise InvalidURL(as_shown(url), f"no scheme of a proxy; expected one of {', '.join(_PORTS)}")
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    userinfo, _, place = authority.rpartition("@")
    try:
        # The rules for hosts and ports are those of any URL; only the default port is another.
        origin, _ = locate(f"{'https' if scheme == 'https' else 'http'}://{place}/")
    except InvalidURL as exc:
        raise InvalidURL(f"{scheme}://{place}", f"no proxy: {exc.reason}") from None
    if userinfo:
        if auth is not None:
            raise ValueError("credentials of the proxy in its URL and in proxy_auth= exclude each other")
        auth = BasicAuth.from_url(userinfo)
    has_port = place.rpartition("]")[2].partition(":")[2] != ""
    port = origin.port if has_port else _PORTS[scheme]
    return Proxy(scheme, origin.host, port, auth, tuple(merge_fields((), fields).items()))


def environment_proxy(origin: Origin, environment: Mapping[str, str]) -> str | None:
    """The URL of the proxy that *environment* names for *origin*; None for none.

    Args:
        origin: Where the request goes.
        environment: ``http_proxy``, ``https_proxy``, ``all_proxy``, ``no_proxy`` and their upper-case forms.
    """
    if _is_excepted(origin, _variable(environment, "no_proxy")):
        return None
    return _variable(environment, f"{origin.scheme}_proxy") or _variable(environment, "all_proxy") or None


def _variable(environment: Mapping[str, str], name: str) -> str:
    if name in environment:
        return environment[name].strip()  # empty, too, says something: no proxy
    if name == "http_proxy" and "REQUEST_METHOD" in environment:
        return ""
    return environment.get(name.upper(), "").strip()


def _is_excepted(origin: Origin, exceptions: str) -> bool:
    """Whether *origin* is named in ``no_proxy``: hosts with what is below them, addresses, ranges, ``*``; commas."""
    host = origin.host.rstrip(".").lower()
    address = _address(host)
    for exception in exceptions.replace(" ", ",").split(","):
        if not exception:
            continue
        if exception == "*":
            return True
        name, port = _split_port(exception.lower())
        if port and port != str(origin.port):
            continue
        if address is not None:
            if _holds(name, address):
                return True
        elif host == name.lstrip(".").rstrip(".") or host.endswith("." + name.lstrip("*").lstrip(".").rstrip(".")):
            return True
    return False


def _split_port(exception: str) -> tuple[str, str]:
    """Name and port of one exception; an IPv6 address with a port stands in brackets."""
    if exception.startswith("["):
        name, _, rest = exception[1:].partition("]")
        return name + (rest if rest.startswith("/") else ""), rest.lstrip(":") if rest.startswith(":") else ""
    if exception.count(":") == 1:
        name, _, port = exception.partition(":")
        return name, port
    return exception, ""


def _address(host: str) -> object:
    """*host* as an address, None when it is a name."""
    from ipaddress import ip_address

    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _holds(exception: str, address: object) -> bool:
    """Whether an exception, an address or a range (RFC 4632, RFC 4291), holds *address*."""
    from ipaddress import ip_network

    try:
        return address in ip_network(exception, strict=False)
    except (ValueError, TypeError):
        return False
