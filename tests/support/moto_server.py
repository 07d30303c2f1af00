"""A private moto: Amazon's S3 as a server on loopback, kept in memory."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support import s3

__all__ = ["Moto", "has_moto", "run_moto"]

_PATIENCE_S = 20.0  # for starting and stopping: generous on a busy machine, never reached
_SIGNED = (
    f"AWS4-HMAC-SHA256 Credential={s3.ACCESS_KEY}/20200101/{s3.REGION}/s3/aws4_request, SignedHeaders=host, Signature=0"
)
_BUCKET = (
    '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    f"<LocationConstraint>{s3.REGION}</LocationConstraint></CreateBucketConfiguration>"
)


class Moto:
    """A running server.

    Attributes:
        port: Where it listens on 127.0.0.1.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "moto.log"
        with socket.socket() as free:  # it takes no socket that is bound already
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                cwd=folder,
                env=os.environ | {"HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, target: str, content: str = "") -> tuple[int, bytes]:
        """Status and content of an answer, by the client of the standard library; any signature will do."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        try:
            connection.request(method, target, content, {"Authorization": _SIGNED})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def make_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        status, answer = self.ask("PUT", f"/{name}", _BUCKET)
        assert status == 200, answer

    def wait_ready(self) -> None:
        """Return when a request is answered; AssertionError with its log when none is."""
        due = time.monotonic() + _PATIENCE_S
        while True:
            try:
                self.ask("GET", "/")
            except OSError as exc:
                if time.monotonic() > due or self._process.poll() is not None:
                    raise AssertionError(f"moto did not start:\n{self._log.read_text()}") from exc
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End the process and wait for its end."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def has_moto() -> bool:
    """Whether it is installed."""
    return importlib.util.find_spec("moto") is not None


@contextlib.contextmanager
def run_moto(folder: Path) -> Iterator[Moto]:
    """Run one until the end of the ``with``."""
    server = Moto(folder)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
