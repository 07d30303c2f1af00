"""Certificates and TLS contexts for tests: one throw-away authority a process, made on first use.

Contexts are new for each call, so that a test can change its own. The leaves are cached: making a
key costs milliseconds, sharing one costs nothing.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import ssl
from pathlib import Path

import trustme

__all__ = [
    "NAMES",
    "TLS_1_2",
    "TLS_1_3",
    "authority_pem",
    "client_context",
    "demanding_server_context",
    "expired_server_context",
    "fingerprint",
    "server_context",
    "untrusted_server_context",
    "write_authority",
    "write_client_identity",
    "write_server_pem",
    "wrong_name_server_context",
]

TLS_1_2 = ssl.TLSVersion.TLSv1_2
TLS_1_3 = ssl.TLSVersion.TLSv1_3

# Every name under which a loopback server is reached in tests.
NAMES = ("localhost", "127.0.0.1", "::1", "*.example.test", "example.test")


@functools.cache
def _authority() -> trustme.CA:
    return trustme.CA(organization_name="fetchd tests")


@functools.cache
def _leaf() -> trustme.LeafCert:
    return _authority().issue_cert(*NAMES)


@functools.cache
def _wrong_name_leaf() -> trustme.LeafCert:
    return _authority().issue_cert("elsewhere.test")


@functools.cache
def _expired_leaf() -> trustme.LeafCert:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    return _authority().issue_cert(*NAMES, not_before=now - 30 * day, not_after=now - day)


@functools.cache
def _untrusted_leaf() -> trustme.LeafCert:
    return trustme.CA(organization_name="nobody's authority").issue_cert(*NAMES)


@functools.cache
def _client_leaf(name: str) -> trustme.LeafCert:
    return _authority().issue_cert(name)


def _server_context(leaf: trustme.LeafCert, version: ssl.TLSVersion | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def server_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a context for a server with a good certificate for every name of ``NAMES``.

    Args:
        version: The only version spoken (``TLS_1_2`` or ``TLS_1_3``); None leaves it open.
    """
    return _server_context(_leaf(), version)


def demanding_server_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a good server's context that asks for a client certificate of the tests' authority."""
    context = server_context(version)
    _authority().configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def fingerprint() -> bytes:
    """Return the SHA-256 digest of the good server's certificate."""
    pem = _leaf().cert_chain_pems[0].bytes().decode()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()


def wrong_name_server_context() -> ssl.SSLContext:
    """Return a server's context whose certificate is trusted, but for another name."""
    return _server_context(_wrong_name_leaf(), None)


def expired_server_context() -> ssl.SSLContext:
    """Return a server's context whose certificate is trusted, but ran out yesterday."""
    return _server_context(_expired_leaf(), None)


def untrusted_server_context() -> ssl.SSLContext:
    """Return a server's context whose certificate is of an authority that nobody trusts."""
    return _server_context(_untrusted_leaf(), None)


def client_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a verifying client's context that trusts the tests' authority and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _authority().configure_trust(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def authority_pem() -> bytes:
    """Return the certificate of the tests' authority."""
    return _authority().cert_pem.bytes()


def write_authority(folder: Path) -> Path:
    """Write the authority's certificate as a file, for ``--cacert`` and its like."""
    path = folder / "authority.pem"
    path.write_bytes(authority_pem())
    return path


def write_server_pem(folder: Path) -> Path:
    """Write key and certificate chain of the good server into one file, for server programs."""
    path = folder / "server.pem"
    path.write_bytes(_leaf().private_key_and_cert_chain_pem.bytes())
    path.chmod(0o600)
    return path


def write_client_identity(folder: Path, name: str = "client@example.test") -> tuple[Path, Path]:
    """Write a client's certificate chain and its key; return both paths."""
    leaf = _client_leaf(name)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return certificate, key
