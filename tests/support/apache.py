"""A private Apache httpd that asks who comes, by Basic and by Digest: user ``me``, password ``secret``.

Below ``/dav/`` it is a WebDAV server (mod_dav); below ``/dav/private/`` one that asks by Basic.
"""

from __future__ import annotations

import contextlib
import grp
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from .proxies import RealProxy, give_to, running, write_credentials

__all__ = ["CONTENT", "Apache", "run_apache"]

CONTENT = bytes(range(256)) * 400

_MODULES = (
    "mpm_event",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_user",
    "auth_basic",
    "auth_digest",
    "dav",
    "dav_fs",
)
_PATIENCE_S = 10.0
_USER = "www-data"  # the one that Debian's Apache serves as; as root it refuses to serve

_CONFIGURATION = """
ServerRoot {folder}
ServerName localhost
DefaultRuntimeDir {folder}
PidFile {folder}/httpd.pid
Listen 127.0.0.1:{port}
{modules}
{user}
ErrorLog {folder}/error.log
LogFormat "%m %U%q %>s %u" short
CustomLog {folder}/access.log short
DocumentRoot {folder}/root
StartServers 1
DavLockDB {folder}/davlock
<Location /dav>
    Dav On
</Location>
<Location /dav/private>
    AuthType Basic
    AuthName "fetchd, basic"
    AuthBasicProvider file
    AuthUserFile {folder}/basic
    Require valid-user
</Location>
<Location /basic>
    AuthType Basic
    AuthName "fetchd, basic"
    AuthBasicProvider file
    AuthUserFile {folder}/basic
    Require valid-user
</Location>
<Location /digest>
    AuthType Digest
    AuthName fetchd
    AuthDigestProvider file
    AuthDigestQop auth
    AuthUserFile {folder}/digest
    Require valid-user
</Location>
"""


class Apache:
    """A running Apache; ``CONTENT`` is at ``/open``, ``/basic/file`` and ``/digest/file``.

    Attributes:
        dav: Folder of what is below ``/dav/``.
    """

    def __init__(self, process: RealProxy, folder: Path) -> None:
        self.dav = folder / "root" / "dav"
        self._process = process
        self._folder = folder

    def url(self, path: str, credentials: str = "") -> str:
        """Return the URL of *path*, with ``user:password`` if that is given."""
        return self._process.url(credentials) + path

    def statuses(self, path: str, at_least: int) -> list[int]:
        """Return the statuses of the requests for *path*, oldest first, when there are so many of them.

        A line is written when a reply has been sent, so a client may be ahead of it.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            log = (self._folder / "access.log").read_text()
            found = re.findall(rf"^\w+ {re.escape(path)} (\d+) ", log, re.MULTILINE)
            if len(found) >= at_least:
                return [int(status) for status in found]
            assert time.monotonic() < deadline, f"{found}: {at_least} lines are awaited"
            time.sleep(0.005)


@contextlib.contextmanager
def run_apache(program: str, folder: Path) -> Iterator[Apache]:
    """Run Apache until the end of the ``with``, with everything that it reads and writes below *folder*."""
    write_credentials(folder)
    for place in ("open", "basic/file", "digest/file"):
        path = folder / "root" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
    (folder / "root" / "dav" / "private").mkdir(parents=True)
    user = ""
    if os.geteuid() == 0:
        user = f"User {_USER}\nGroup {grp.getgrnam(_USER).gr_name}"
        give_to(_USER, folder)
        for place in ("dav", "dav/private"):
            give_to(_USER, folder / "root" / place)
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES)

    def command(port: int) -> list[str]:
        text = _CONFIGURATION.format(folder=folder, port=port, modules=modules, user=user)
        (folder / "httpd.conf").write_text(text)
        return [program, "-DFOREGROUND", "-f", str(folder / "httpd.conf")]

    with running(command, folder) as process:
        yield Apache(process, folder)
