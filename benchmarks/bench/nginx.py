"""The server that every row is measured against: nginx, one worker, pinned to one core.

Lives here: its configuration, its start and its end, its certificate. Not here: the files it
serves (``bench.site``).

It is set up so that the client is what is measured: files are sent by sendfile(2) with their
descriptors cached, connections are kept for ever, nothing is logged. The TLS listener speaks
TLS 1.2 with AES-256-GCM only, so that every client does the same cryptographic work.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from .process import BenchmarkError

START_LIMIT = 10.0
# Few enough that descriptors are left for connections: with more, nginx answers 500 now and then.
CACHED_FILES = 2_000

CONFIGURATION = """\
{user}daemon off;
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; use epoll; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    open_file_cache max={cached_files} inactive=1h;
    open_file_cache_valid 1h;
    default_type application/octet-stream;
    root {root};
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /none/ {{ return 404; }}
        location = /served {{ stub_status; }}
        location /in/ {{ dav_methods PUT; create_full_put_path on; client_max_body_size 0; }}
        location = /taken {{ return 200 "taken"; }}
    }}
{tls}
}}
"""

TLS_SERVER = """\
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        ssl_protocols TLSv1.2;
        ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384;
        ssl_session_cache shared:bench:10m;
        output_buffers 2 512k;
    }}"""


class Nginx:
    """An nginx of its own on 127.0.0.1, serving *root*; a context manager.

    Attributes:
        url: Origin of the plain listener, without a trailing slash.
        tls_url: Origin of the TLS listener, or None when there is no trustme to make a certificate.
        port, tls_port: Their ports.
        ca: PEM file of the authority that signed the server's certificate.
    """

    def __init__(self, root: Path, folder: Path, core: int) -> None:
        """Prepare the server.

        Args:
            root: What is served.
            folder: Where configuration, certificate and log go; must exist.
            core: The core that it is confined to.
        """
        self.port, self.tls_port = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ca = folder / "ca.pem"
        self.tls_url = f"https://127.0.0.1:{self.tls_port}" if _make_certificate(folder) else None
        self._root, self._folder, self._core = root, folder, core
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise BenchmarkError("nginx is not installed; every row is measured against it")
        settings = self._folder / "nginx.conf"
        settings.write_text(self._configuration(), encoding="utf-8")
        command = [program, "-p", str(self._folder), "-c", str(settings)]
        self._process = subprocess.Popen(["taskset", "-c", str(self._core), *command])
        try:
            self._wait_until_up()
        except BenchmarkError:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def requests_served(self) -> int:
        """Return how many requests the plain listener has answered, this one included."""
        with urllib.request.urlopen(f"{self.url}/served", timeout=10) as response:
            lines = response.read().decode("ascii").splitlines()
        return int(lines[2].split()[2])

    def _configuration(self) -> str:
        # A master started by root hands its worker to "nobody", who may not enter the scratch folder.
        user = "user root;\n" if os.getuid() == 0 else ""
        tls = TLS_SERVER.format(port=self.tls_port, folder=self._folder) if self.tls_url else ""
        return CONFIGURATION.format(
            user=user,
            folder=self._folder,
            root=self._root,
            port=self.port,
            tls=tls,
            descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            cached_files=CACHED_FILES,
        )

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        log = self._folder / "error.log"
        seen = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        raise BenchmarkError(f"nginx did not start: {seen.strip() or 'no message'}")

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _make_certificate(folder: Path) -> bool:
    """Write authority, certificate and key into *folder*; False where trustme is missing."""
    try:
        import trustme
    except ImportError:
        return False
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_pem.write_to_path(folder / "server.key")
    for number, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(folder / "server.pem", append=number > 0)
    return True
