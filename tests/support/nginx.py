"""A private nginx: one worker, all its files in a folder of its own, on free ports of 127.0.0.1.

What it serves (all of it on every way in: plain, TLS 1.2, TLS 1.3 and a Unix socket):

    /...            files below ``root``: Range, If-Range, ETag, Last-Modified, HEAD
    /gzip/...       the same files, compressed on the fly (chunked, weak ETag)
    /dav/...        the same files; PUT and DELETE
    /col/...        the same files; PUT into collections that are there, and MKCOL
    /few/...        the same files; a connection serves three requests and is closed
    /close/...      the same files; every connection serves one request
    /slow/...       the same files, 256 KiB a second
    /basic/...      the same files, for user ``me`` with password ``secret``
    /moved/...      302 to the same path without ``/moved``
    /status/NNN     an empty reply with that status: 204, 404, 429, 500, 503

The sockets are bound here and handed over (nginx takes inherited ones by the variable ``NGINX``, its
own way of upgrading a running server): no port can be taken between looking and binding. That needs the
master process: nginx 1.22 crashes when a single process (``master_process off``) inherits sockets.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import certs
from .proxies import write_credentials

__all__ = ["Access", "Nginx", "find_nginx", "run_nginx"]

_PATIENCE_S = 10.0  # for starting, stopping and the access log: generous on a busy machine, never reached

_WAYS_IN = ("plain", "tls_1_2", "tls_1_3")

_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path {folder}/temp/body;
    proxy_temp_path {folder}/temp/proxy;
    fastcgi_temp_path {folder}/temp/fastcgi;
    uwsgi_temp_path {folder}/temp/uwsgi;
    scgi_temp_path {folder}/temp/scgi;
    types {{ text/plain txt; text/html html; }}
    default_type application/octet-stream;
    log_format json escape=json '{{"connection":$connection,"nth":$connection_requests,'
        '"method":"$request_method","target":"$request_uri","status":$status,"sent":$body_bytes_sent,'
        '"range":"$http_range","tls":"$ssl_protocol","resumed":"$ssl_session_reused"}}';
    access_log {folder}/access.log json;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_max_body_size 0;
    ssl_certificate {pem};
    ssl_certificate_key {pem};
    ssl_session_cache shared:tests:1m;
    server {{
        listen {plain};
        listen unix:{unix};
        include {folder}/locations.conf;
    }}
    server {{
        listen {tls_1_2} ssl;
        ssl_protocols TLSv1.2;
        include {folder}/locations.conf;
    }}
    server {{
        listen {tls_1_3} ssl;
        ssl_protocols TLSv1.3;
        include {folder}/locations.conf;
    }}
}}
"""

_LOCATIONS = """
root {root};
location /gzip/ {{ alias {root}/; gzip on; gzip_min_length 0; gzip_types *; gzip_http_version 1.0; }}
location /dav/ {{ alias {root}/; dav_methods PUT DELETE; create_full_put_path on; }}
location /col/ {{ alias {root}/; dav_methods PUT DELETE MKCOL; }}
location /few/ {{ alias {root}/; keepalive_requests 3; }}
location /close/ {{ alias {root}/; keepalive_timeout 0; }}
location /slow/ {{ alias {root}/; limit_rate 256k; }}
location /nothing/ {{ access_log off; return 200; }}
location /basic/ {{ alias {root}/; auth_basic "fetchd, basic"; auth_basic_user_file {folder}/basic; }}
location ~ ^/moved(?<rest>/.*)$ {{ return 302 $rest$is_args$args; }}
location = /status/204 {{ return 204; }}
location = /status/404 {{ return 404; }}
location = /status/429 {{ add_header Retry-After 1 always; return 429; }}
location = /status/500 {{ return 500; }}
location = /status/503 {{ add_header Retry-After 1 always; return 503; }}
"""


@dataclass(frozen=True, slots=True)
class Access:
    """One line of the access log: ``nth`` is the number of the request on its connection, from 1."""

    connection: int
    nth: int
    method: str
    target: str
    status: int
    sent: int
    range: str
    tls: str
    resumed: str


class Nginx:
    """A running nginx.

    Attributes:
        root: Folder that is served; tests write their files there.
        unix_path: Path of the Unix socket.
        authority: PEM file of the authority that signed the certificate.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.root = folder / "root"
        self.unix_path = folder / "nginx.sock"
        self._folder = folder
        self._error_log = folder / "error.log"
        self.root.mkdir()
        (folder / "temp").mkdir()
        self.authority = certs.write_authority(folder)
        write_credentials(folder)
        with contextlib.ExitStack() as until_launched:
            listeners = {name: until_launched.enter_context(_listen()) for name in _WAYS_IN}
            self._addresses = {name: _address_of(sock) for name, sock in listeners.items()}
            self._write_configuration()
            self._process = self._launch(program, [sock.fileno() for sock in listeners.values()])

    def url(self, path: str = "/") -> str:
        """Return the URL of *path* in plain text."""
        return f"http://{self._addresses['plain']}{path}"

    def tls_url(self, path: str = "/", *, version: str = "1.3") -> str:
        """Return the URL of *path* over TLS *version*, ``1.2`` or ``1.3``."""
        return f"https://{self._addresses['tls_' + version.replace('.', '_')]}{path}"

    def unix_url(self, path: str = "/") -> str:
        """Return the URL of *path* for a client that is connected to ``unix_path``."""
        return f"http://localhost{path}"

    def access_log(self, at_least: int = 0) -> list[Access]:
        """Return the requests served so far, oldest first.

        nginx writes a line when a reply has been sent, so a client may be ahead of it.

        Args:
            at_least: Wait for so many lines; AssertionError when they do not come.
        """
        path = self._folder / "access.log"
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            lines = path.read_text().splitlines() if path.exists() else []
            if len(lines) >= at_least:
                return [Access(**json.loads(line)) for line in lines]
            assert time.monotonic() < deadline, f"{len(lines)} of {at_least} lines came: {lines}"
            time.sleep(0.005)

    def clear_access_log(self) -> None:
        """Forget the requests served so far, those whose lines are still to be written too.

        A request of our own goes behind them: one worker serves them, so its line is the last.
        """
        path = self._folder / "access.log"
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
            sock.settimeout(_PATIENCE_S)
            sock.connect(str(self.unix_path))
            sock.sendall(b"HEAD /fence HTTP/1.1\r\nHost: nginx\r\nConnection: close\r\n\r\n")
            while sock.recv(4096):
                pass
        deadline = time.monotonic() + _PATIENCE_S
        while not path.exists() or '"/fence"' not in path.read_text():
            assert time.monotonic() < deadline, "nginx does not write its log"
            time.sleep(0.002)
        os.truncate(path, 0)

    def error_log(self) -> str:
        """Return what nginx had to say, its last notices included."""
        return self._error_log.read_text() if self._error_log.exists() else ""

    def wait_ready(self) -> None:
        """Return when a request has been answered; AssertionError with the error log when none is."""
        connection = http.client.HTTPConnection(self._addresses["plain"], timeout=_PATIENCE_S)
        try:
            connection.request("GET", "/status/204")
            assert connection.getresponse().status == 204
        except OSError as exc:
            raise AssertionError(f"nginx did not start:\n{self.error_log()}") from exc
        finally:
            connection.close()
        self.access_log(at_least=1)
        self.clear_access_log()

    def stop(self) -> None:
        """End the process and wait for its end."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _write_configuration(self) -> None:
        values = {
            "folder": self._folder,
            # Started as root, nginx would serve as nobody, who may not enter the folders of pytest.
            "user": "user root;" if os.geteuid() == 0 else "",
            "root": self.root,
            "unix": self.unix_path,
            "pem": certs.write_server_pem(self._folder),
            **self._addresses,
        }
        (self._folder / "nginx.conf").write_text(_CONFIGURATION.format(**values))
        (self._folder / "locations.conf").write_text(_LOCATIONS.format(**values))

    def _launch(self, program: str, listeners: Sequence[int]) -> subprocess.Popen[bytes]:
        configuration = str(self._folder / "nginx.conf")
        command = [program, "-p", str(self._folder), "-c", configuration, "-e", str(self._error_log)]
        inherited = os.environ | {"NGINX": "".join(f"{fd};" for fd in listeners)}
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=inherited, pass_fds=listeners)


def _listen() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    return listener


def _address_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()
    return f"{host}:{port}"


def find_nginx() -> str | None:
    """Return the path of the program, None when there is none; Debian keeps it off a user's PATH."""
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


@contextlib.contextmanager
def run_nginx(program: str, folder: Path) -> Iterator[Nginx]:
    """Run nginx with everything it writes below *folder*, until the end of the ``with``."""
    server = Nginx(program, folder)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
