"""Real server programs for the tests of this folder, each started once a session.

Where a program is missing its tests are skipped, so that ``make test`` works on any machine; with
``CI`` or ``FETCHD_REQUIRE_REAL_SERVERS`` set they fail instead, so that nothing is left out unseen.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apache import Apache, run_apache
from tests.support.httpbin import Httpbin, has_httpbin, run_httpbin
from tests.support.moto_server import Moto, has_moto, run_moto
from tests.support.nginx import Nginx, find_nginx, run_nginx
from tests.support.proxies import RealProxy, find_program, run_squid, run_tinyproxy

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder ``realserver``."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.realserver)


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """A running nginx whose ``root`` the tests fill; see ``tests/support/nginx.py`` for what it serves."""
    program = find_nginx()
    if program is None:
        _missing("nginx")
    else:
        with run_nginx(program, tmp_path_factory.mktemp("nginx")) as server:
            yield server


@pytest.fixture(scope="session")
def httpbin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Httpbin]:
    """A running httpbin; it keeps nothing from one request to the next."""
    if not has_httpbin():
        _missing("httpbin")
    else:
        with run_httpbin(tmp_path_factory.mktemp("httpbin")) as server:
            yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """A running S3, whose buckets the tests make."""
    if not has_moto():
        _missing("moto")
    else:
        with run_moto(tmp_path_factory.mktemp("moto")) as server:
            yield server


@pytest.fixture(scope="session", params=["", "basic", "digest"])
def squid(request: pytest.FixtureRequest) -> Iterator[tuple[RealProxy, str]]:
    """A running squid, and what credentials it demands: none, ``basic`` or ``digest``."""
    program = find_program("squid")
    if program is None:
        _missing("squid")
    else:
        # Not in a folder of pytest's: squid lays root down and could not enter it.
        with (
            tempfile.TemporaryDirectory(prefix="fetchd-squid-") as folder,
            run_squid(program, Path(folder), auth=request.param) as server,
        ):
            yield server, request.param


@pytest.fixture(scope="session", params=["", "basic"])
def tinyproxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RealProxy, str]]:
    """A running tinyproxy, and what credentials it demands: none or ``basic``."""
    program = find_program("tinyproxy")
    if program is None:
        _missing("tinyproxy")
    else:
        with run_tinyproxy(program, tmp_path_factory.mktemp("tinyproxy"), auth=request.param) as server:
            yield server, request.param


@pytest.fixture(scope="session")
def apache() -> Iterator[Apache]:
    """A running Apache httpd that demands credentials."""
    program = find_program("apache2")
    if program is None:
        _missing("apache2")
    else:
        # Not in a folder of pytest's: it lays root down and could not enter it.
        with (
            tempfile.TemporaryDirectory(prefix="fetchd-apache-") as folder,
            run_apache(program, Path(folder)) as server,
        ):
            yield server


def _missing(program: str) -> None:
    if os.environ.get("CI") or os.environ.get("FETCHD_REQUIRE_REAL_SERVERS"):
        pytest.fail(f"{program} is not installed, and real servers are required here", pytrace=False)
    pytest.skip(f"{program} is not installed")
