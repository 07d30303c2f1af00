"""Private squid and tinyproxy: real proxies for tests, with and without credentials.

Neither takes a socket that is bound already, so a port is looked for and, when it was taken meanwhile, another one.
Both refuse nothing but what the tests ask them to refuse.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

__all__ = ["RealProxy", "find_program", "give_to", "run_squid", "run_tinyproxy", "running", "write_credentials"]

_PATIENCE_S = 20.0  # for starting and stopping: generous on a busy machine, never reached
_TRIES = 5

_SQUID = """
http_port 127.0.0.1:{port}
pid_filename none
cache deny all
cache_log {folder}/cache.log
access_log stdio:{folder}/access.log
coredump_dir {folder}
shutdown_lifetime 0 seconds
pinger_enable off
netdb_filename none
cache_effective_user {user}
{auth}
http_access allow all
"""

_SQUID_AUTH = {
    "": "",
    "basic": "auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/basic\n",
    "digest": "auth_param digest program /usr/lib/squid/digest_file_auth -c {folder}/digest\n"
    "auth_param digest realm fetchd\n",
}
_SQUID_REQUIRED = "acl known proxy_auth REQUIRED\nhttp_access deny !known"

# As crypt(3) makes it.
_SHA512_OF_SECRET = "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG."

_TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
MaxClients 50
LogFile "{folder}/access.log"
LogLevel Connect
{auth}
"""


class RealProxy:
    """A running proxy.

    Attributes:
        port: Where it listens on 127.0.0.1.
    """

    def __init__(self, command: Sequence[str], folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder
        with (folder / "output.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def url(self, credentials: str = "") -> str:
        """Return its URL, with ``user:password`` if that is given."""
        return f"http://{credentials}{'@' if credentials else ''}127.0.0.1:{self.port}"

    def log(self) -> str:
        """Return what it has written, requests and complaints."""
        return "".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log")))

    def is_ready(self) -> bool:
        """Wait until it takes connections; False when it has ended."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return True
            time.sleep(0.02)
        raise AssertionError(f"the proxy did not start:\n{self.log()}")

    def stop(self) -> None:
        """End the process and wait for its end."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def find_program(name: str) -> str | None:
    """Return the path of a program; Debian keeps some off a user's PATH."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


@contextlib.contextmanager
def run_squid(program: str, folder: Path, *, auth: str = "") -> Iterator[RealProxy]:
    """Run squid until the end of the ``with``.

    Args:
        program: Its path.
        folder: Where it writes, all of it.
        auth: ``basic`` or ``digest`` to demand credentials (user ``me``, password ``secret``); empty for none.
    """
    write_credentials(folder)
    demanded = _SQUID_AUTH[auth].format(folder=folder) + (_SQUID_REQUIRED if auth else "")
    user = pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:  # squid lays root down, and must be able to write
        user = "proxy"
        give_to(user, folder)

    def command(port: int) -> list[str]:
        text = _SQUID.format(port=port, folder=folder, auth=demanded, user=user)
        (folder / "squid.conf").write_text(text)
        return [program, "-N", "-f", str(folder / "squid.conf")]

    with running(command, folder) as proxy:
        yield proxy


@contextlib.contextmanager
def run_tinyproxy(program: str, folder: Path, *, auth: str = "") -> Iterator[RealProxy]:
    """Run tinyproxy until the end of the ``with``; *auth* is empty or ``basic`` (user ``me``, password ``secret``)."""

    def command(port: int) -> list[str]:
        demanded = "BasicAuth me secret" if auth else ""
        (folder / "tinyproxy.conf").write_text(_TINYPROXY.format(port=port, folder=folder, auth=demanded))
        return [program, "-d", "-c", str(folder / "tinyproxy.conf")]

    with running(command, folder) as proxy:
        yield proxy


@contextlib.contextmanager
def running(command: Callable[[int], list[str]], folder: Path) -> Iterator[RealProxy]:
    """Run what *command* gives for a port, until the end of the ``with``."""
    for _ in range(_TRIES):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        proxy = RealProxy(command(port), folder, port)
        try:
            if proxy.is_ready():
                yield proxy
                return
        finally:
            proxy.stop()
    raise AssertionError(f"the proxy ended {_TRIES} times at its start:\n{proxy.log()}")


def write_credentials(folder: Path) -> None:
    """What htpasswd and htdigest would write for me:secret."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    (folder / "basic").write_text(f"me:{_SHA512_OF_SECRET}\n")
    (folder / "digest").write_text(f"me:fetchd:{md5('me:fetchd:secret')}\n")


def give_to(user: str, folder: Path) -> None:
    """Let *user* own *folder*, which must not be below those of pytest: they are private to who runs it."""
    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    for path in folder.iterdir():
        os.chown(path, entry.pw_uid, entry.pw_gid)
