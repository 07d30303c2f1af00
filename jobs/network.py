"""By which way, and as whom, a run goes to its hosts: one frozen value, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from fetchd.client import BasicAuth, BearerAuth, DigestAuth

from .exceptions import SettingsError

__all__ = ["Network"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What is out of the ordinary on the way to the hosts. By default nothing is.

    Attributes:
        proxy: URL of the proxy that all requests go through; None for none.
        no_proxy: Hosts with what is below them, addresses and ranges, with commas, that are gone to directly, in place
            of those of *environment*. None for those, and for none with *proxy*.
        environment: Variables that are obeyed as the client's ``trust_env`` does: those of proxies, and ``NETRC`` or
            ``HOME`` for the netrc file. Default empty: none is.
        max_redirects: Redirections that are followed. Default 10.
        family: IP version that is used alone, 4 or 6; None for both.
        resolve: Addresses by ``host:port``, in place of what names resolve to.
        interface: Network interface, or address of this machine, that connections begin at; None for any.
        cert: Client certificate (PEM) shown to every server that asks; None for none.
        key: Its private key (PEM); None when it is in *cert*.
        pin: SHA-256 of the one certificate that every server must show, which is verified no further; None for none.
        pins: The same for single servers by ``host:port``, and for none but these.
        auth: Credentials sent to every host of the manifest; None for none.
        cookies: File of cookies in Netscape's format that are sent; None for none.
        save_cookies: File that the cookies are written to at the end, in the same format; None for none.
        low_speed: Octets a second and seconds: content that comes more slowly than that, on the average of each such
            time, is given up. None for no bound.

    Raises:
        SettingsError: Two that exclude each other, or one out of range.
    """

    proxy: str | None = None
    no_proxy: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    max_redirects: int = 10
    family: Literal[4, 6] | None = None
    resolve: Mapping[str, Sequence[str]] = field(default_factory=lambda: MappingProxyType({}))
    interface: str | None = None
    cert: Path | None = None
    key: Path | None = None
    pin: bytes | None = None
    pins: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    auth: BasicAuth | BearerAuth | DigestAuth | None = None
    cookies: Path | None = None
    save_cookies: Path | None = None
    low_speed: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.max_redirects < 0:
            raise SettingsError(f"max_redirects is {self.max_redirects}; expected 0 or more")
        if self.key is not None and self.cert is None:
            raise SettingsError("key belongs to a cert, which is missing")
        if self.pin is not None and self.cert is not None:
            raise SettingsError("pin and cert exclude each other")
        if self.low_speed is not None and not min(self.low_speed) > 0:
            raise SettingsError(f"low_speed is {self.low_speed}; expected octets a second and seconds above 0")

    @property
    def way(self) -> tuple[str | None, Mapping[str, str]]:
        """The proxy that all requests go through, None for none, and the variables that are obeyed."""
        if self.no_proxy is None or not (self.proxy or self.environment):
            return self.proxy, self.environment
        variables = {**self.environment, "no_proxy": self.no_proxy}
        if self.proxy is not None:
            variables |= {"http_proxy": self.proxy, "https_proxy": self.proxy}
        return None, variables

    @property
    def is_tcp_only(self) -> bool:
        """Whether something is asked for that a Unix socket cannot do."""
        asked = (self.proxy, self.family, self.interface)
        return any(value is not None for value in asked) or bool(self.resolve)
