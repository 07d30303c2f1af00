"""Whom TLS trusts: what ``ssl=``, ``verify_ssl=`` and ``ssl_context=`` mean, certificate pins, the name asked for.

Values and their rules; no I/O but that a context reads its roots when it is first used. How TLS is spoken is in
``tls``, when in ``dial``.
"""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .exceptions import InvalidURL, ServerFingerprintMismatch
from .tls import default_context, make_fit, unverified_context
from .urls import locate

__all__ = ["SSL", "TLS_OPTIONS", "Fingerprint", "TLSSettings", "TLSWishes", "tls_wishes", "trust_of"]

_SHA256_OCTETS: Final = 32


class Fingerprint:
    """The SHA-256 digest of the one certificate that a server may show: a pin.

    As in aiohttp a pin stands in the place of verification: authority, name and dates are not looked at, so that it
    works for self-signed certificates. It is compared after the handshake and before anything else is sent.

    Args:
        fingerprint: 32 octets, the SHA-256 of the server's own certificate in DER:
            ``openssl x509 -in cert.pem -outform der | sha256sum`` shows them in hexadecimal.

    Raises:
        ValueError: No SHA-256 digest. MD5 and SHA-1 are not taken: certificates can be made that share one.
    """

    __slots__ = ("_digest",)

    def __init__(self, fingerprint: bytes) -> None:
        if len(fingerprint) != _SHA256_OCTETS:
            raise ValueError(f"a fingerprint of {len(fingerprint)} octets; expected the 32 of SHA-256")
        self._digest = bytes(fingerprint)

    def __repr__(self) -> str:
        return f"<Fingerprint sha256 {self._digest.hex()}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    @property
    def fingerprint(self) -> bytes:
        """The digest."""
        return self._digest

    def check(self, certificate: bytes, host: str, port: int | None) -> None:
        """Compare with *certificate*, in DER; b"" is the certificate of a server that showed none.

        Raises:
            ServerFingerprintMismatch: It is another one.
        """
        from hashlib import sha256

        got = sha256(certificate).digest()
        if got != self._digest:
            raise ServerFingerprintMismatch(self._digest, got, host, port)


SSL = bool | ssl_module.SSLContext | Fingerprint
"""What ``ssl=`` takes: True verifies, False trusts anybody, a context says it all, a fingerprint pins."""


class TLSWishes(NamedTuple):
    """What one request wants of TLS beside its connector.

    Attributes:
        trust: In place of the connector's; None for the connector's.
        server_hostname: Name asked for (SNI) and looked for in the certificate; None for the host of the URL.
    """

    trust: SSL | None
    server_hostname: str | None


class TLSSettings(NamedTuple):
    """How TLS is spoken on a route. Equal settings may share a connection; they are part of the pool's key.

    Attributes:
        trust: Who is trusted. A context equals itself only, so that another client certificate is another key.
        server_hostname: See ``TLSWishes``.
    """

    trust: SSL = True
    server_hostname: str | None = None

    @property
    def context(self) -> ssl_module.SSLContext:
        """What to shake hands with; the default ones are made at the first use and shared."""
        if isinstance(self.trust, ssl_module.SSLContext):
            return self.trust
        return default_context() if self.trust is True else unverified_context()

    @property
    def pin(self) -> Fingerprint | None:
        """The certificate to be shown; None when any that is trusted will do."""
        return self.trust if isinstance(self.trust, Fingerprint) else None

    def with_wishes(self, wishes: TLSWishes) -> TLSSettings:
        """These settings of a connector with the *wishes* of a request on top.

        ``ssl=True`` is the connector's own, as in aiohttp, but for one that verifies nothing: who asks for verification
        gets it.
        """
        trust = wishes.trust
        if trust is None or (trust is True and self.trust is not False):
            trust = self.trust
        return TLSSettings(trust, wishes.server_hostname or self.server_hostname)


def trust_of(ssl: SSL | None, verify_ssl: bool | None, ssl_context: ssl_module.SSLContext | None) -> SSL | None:
    """What the three ways to say it say; None when nothing is said.

    Raises:
        ValueError: Two of them are given: which would win is not for the reader of the code to guess.
        TypeError: Something else is given.
    """
    given = [value for value in (ssl, verify_ssl, ssl_context) if value is not None]
    if len(given) > 1:
        raise ValueError("ssl=, verify_ssl= and ssl_context= exclude each other: say it by one of them, best ssl=")
    if not given:
        return None
    trust = given[0]
    if not isinstance(trust, (bool, ssl_module.SSLContext, Fingerprint)):
        raise TypeError(f"ssl= of type {type(trust).__name__}; expected a bool, an ssl.SSLContext or a Fingerprint")
    if isinstance(trust, ssl_module.SSLContext):
        make_fit(trust)
    return trust


TLS_OPTIONS: Final = frozenset(("ssl", "verify_ssl", "ssl_context", "server_hostname"))
"""The options of a request that make ``TLSWishes``."""


def tls_wishes(options: Mapping[str, Any]) -> TLSWishes:
    """What the *options* of a request want of TLS.

    Raises:
        ValueError, TypeError: See ``trust_of``; or ``server_hostname`` is no host.
    """
    name = options.get("server_hostname")
    trust = trust_of(options.get("ssl"), options.get("verify_ssl"), options.get("ssl_context"))
    return TLSWishes(trust, None if name is None else _host(name))


def _host(name: str) -> str:
    """*name* as a host of a URL is written on the wire: IDNA, lower-case, without a last dot."""
    try:
        if not any(mark in name for mark in "/?#@[]"):
            return locate(f"https://[{name}]/" if ":" in name else f"https://{name}/")[0].host.rstrip(".")
    except InvalidURL:
        pass
    raise ValueError(f"server_hostname={name!r}: expected a host name or an address")
