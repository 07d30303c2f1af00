"""The throw-away authority in the forms that programs take it in."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.support import certs


def test_the_authority_can_be_loaded_from_its_file(tmp_path: Path) -> None:
    """One certificate, an authority's."""
    context = ssl.create_default_context(cafile=str(certs.write_authority(tmp_path)))
    assert len(context.get_ca_certs()) == 1


def test_a_servers_file_holds_key_and_chain_and_is_private(tmp_path: Path) -> None:
    """One file is enough for nginx and for ``load_cert_chain``; only its owner may read the key."""
    path = certs.write_server_pem(tmp_path)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
    assert path.stat().st_mode & 0o077 == 0


def test_a_context_can_speak_one_version_only() -> None:
    """And each call gives a new one, for the test to change."""
    context = certs.client_context(certs.TLS_1_2)
    assert (context.minimum_version, context.maximum_version) == (certs.TLS_1_2, certs.TLS_1_2)
    assert certs.client_context() is not certs.client_context()
    assert certs.client_context().verify_mode is ssl.CERT_REQUIRED
