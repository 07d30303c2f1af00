"""A download chained into an upload: out of nginx, by each way in, and how much memory it takes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from fetchd.client import BaseConnector, ClientSession, TCPConnector, UnixConnector
from tests.support.certs import client_context
from tests.support.nginx import Nginx
from tests.support.raw_server import RawConnection, raw_server, reply_with, response

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

LARGE = os.urandom(3_000_000)


@pytest.mark.parametrize("way", ["plain", "TLS", "unix"])
async def test_what_nginx_serves_arrives_as_it_lies_there(nginx: Nginx, way: str) -> None:
    """And its connection serves the next request."""
    (nginx.root / "large").write_bytes(LARGE)
    connector: BaseConnector = TCPConnector(ssl=client_context())
    if way == "unix":
        connector = UnixConnector(str(nginx.unix_path))
    url = {"plain": nginx.url, "TLS": nginx.tls_url, "unix": nginx.unix_url}[way]("/large")
    async with (
        raw_server(reply_with(response(201))) as sink,
        ClientSession(connector=connector) as session,
        ClientSession() as other,
    ):
        for _ in range(2):
            async with session.get(url) as r, other.put(sink.url(), data=r.content):
                assert sink.requests[-1].body == LARGE
        assert (session.connector.open_count, sink.accepted) == (1, 1)


FORM = """
import asyncio, re, sys
from fetchd.client import ClientSession

async def main(source, target):
    async with ClientSession() as session, session.get(source) as r:
        async with session.post(target, data={"file": r.content}) as answer:
            print(answer.status, await answer.text())
    print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_a_form_of_5_gib_takes_64_mib(nginx: Nginx) -> None:
    """The content is a field of a form, so that it passes through Python; the sink counts and forgets."""
    size = 5 << 30
    with (nginx.root / "huge").open("wb") as file:
        file.truncate(size)

    async def sink(conn: RawConnection) -> None:
        asked = await conn.read_request(body=False)
        left = int(asked.fields["Content-Length"])
        assert left > size
        while left:
            left -= len(await conn.receive())
        await conn.send(response(201, b"whole"))

    async with raw_server(sink) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FORM, nginx.url("/huge"), server.url(), stdout=subprocess.PIPE
        )
        said, _ = await process.communicate()
    status, hwm = said.decode().splitlines()
    assert status == "201 whole"
    assert int(hwm) < 64 * 1024
