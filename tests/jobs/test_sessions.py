"""``jobs/sessions.py``: from settings to a session of the client."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchd.client import TCPConnector, UnixConnector
from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.sessions import open_session
from fetchd.jobs.settings import RunSettings
from tests.support.raw_server import raw_server, reply_with, response

pytestmark = pytest.mark.usefixtures("no_leaked_fds")


async def test_a_session_asks_for_identity_and_sends_the_fields_of_the_settings() -> None:
    """Also the User-Agent; and what comes coded is left so."""
    reply = response(body=b"not gzip at all", fields=[("Content-Encoding", "gzip")])
    settings = RunSettings(manifest="-", headers=(("X-One", "1"), ("X-One", "2")), user_agent="test/1")
    async with (
        raw_server(reply_with(reply)) as server,
        open_session(settings) as session,
        session.get(server.url()) as answer,
    ):
        assert await answer.read() == b"not gzip at all"
    fields = server.requests[0].fields
    assert fields.getall("Accept-Encoding") == ["identity"]
    assert fields.getall("X-One") == ["1", "2"]
    assert fields.getall("User-Agent") == ["test/1"]


async def test_timeouts_and_limits_come_from_the_settings() -> None:
    """Idle covers both directions; every slot may hold two connections."""
    settings = RunSettings(
        manifest="-", concurrency=3, connect_timeout=1.5, first_byte_timeout=2.5, idle_timeout=3.5, max_bytes=10
    )
    async with open_session(settings) as session:
        timeout = session.timeout
        assert (timeout.connect, timeout.first_byte, timeout.idle_read, timeout.idle_write) == (1.5, 2.5, 3.5, 3.5)
        assert timeout.total is None
        assert isinstance(session.connector, TCPConnector)


async def test_a_unix_socket_takes_every_host(tmp_path: Path) -> None:
    """Whatever the URL names."""
    path = tmp_path / "socket"
    settings = RunSettings(manifest="-", unix_socket=path)
    async with raw_server(reply_with(response(body=b"here")), unix=path), open_session(settings) as session:
        assert isinstance(session.connector, UnixConnector)
        async with session.get("http://elsewhere.test/") as answer:
            assert await answer.read() == b"here"


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_certificates_that_cannot_be_loaded_are_a_fault_of_the_settings(
    tmp_path: Path, content: str | None
) -> None:
    """A file that is not there, or holds none."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=r"cannot load certificates from .*ca\.pem"):
        async with open_session(RunSettings(manifest="-", cacert=path)):
            pass


async def test_a_field_that_cannot_be_sent_is_a_fault_of_the_settings() -> None:
    """The value is not told: it may be secret."""
    with pytest.raises(SettingsError, match="X-Key") as caught:
        async with open_session(RunSettings(manifest="-", headers=(("X-Key", "secret\r\nX: y"),))):
            pass
    assert "secret" not in str(caught.value)
