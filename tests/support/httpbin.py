"""A private httpbin under gunicorn: what a client sent, told back as JSON, and replies of every kind.

The socket is bound here and handed over, so that no port can be taken between looking and binding, and so that the
first request waits in the backlog until the server is up.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Httpbin", "has_httpbin", "run_httpbin"]

_PATIENCE_S = 20.0  # for starting and stopping: generous on a busy machine, never reached


class Httpbin:
    """A running httpbin.

    Attributes:
        port: Where it listens on 127.0.0.1.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "httpbin.log"
        with socket.socket() as listener, self._log.open("wb") as log:
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            self.port = int(listener.getsockname()[1])
            fd = listener.fileno()
            options = ["--worker-class", "gthread", "--threads", "16", "--keep-alive", "5", "--no-control-socket"]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--bind", f"fd://{fd}", *options, "httpbin:app"],
                cwd=folder,
                env=os.environ | {"HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[fd],
            )

    def url(self, path: str = "/") -> str:
        """Return the URL of *path*."""
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_ready(self) -> None:
        """Return when a request has been answered; AssertionError with its log when none is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        try:
            connection.request("GET", "/status/204")
            assert connection.getresponse().status == 204
        except OSError as exc:
            raise AssertionError(f"httpbin did not start:\n{self._log.read_text()}") from exc
        finally:
            connection.close()

    def stop(self) -> None:
        """End the process and wait for its end."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def has_httpbin() -> bool:
    """Whether httpbin and gunicorn are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("httpbin", "gunicorn"))


@contextlib.contextmanager
def run_httpbin(folder: Path) -> Iterator[Httpbin]:
    """Run httpbin with what it writes below *folder*, until the end of the ``with``."""
    server = Httpbin(folder)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
