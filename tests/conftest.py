"""What every test stands on: a clean environment and reproducible properties.

Servers, certificates and counters of open descriptors live in ``tests/support``; fixtures that
start real server programs live in ``tests/realservers/conftest.py``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings

from tests.support.open_fds import no_new_fds

# Time is not a property of a law, and these machines are shared: no deadline. In CI the examples
# are the same in every run, so that a red run can be repeated; elsewhere they go on searching.
settings.register_profile("fetchd", deadline=None)
settings.register_profile("fetchd-ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("fetchd-ci" if os.environ.get("CI") else "fetchd")

# What would change where a request goes or whom it trusts.
_LEANINGS = (
    "ALL_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NETRC",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SSLKEYLOGFILE",
)


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Requests go where the test says, whatever proxies the machine is set up with."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _LEANINGS:
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        yield


@pytest.fixture
async def no_leaked_fds() -> AsyncIterator[None]:
    """The test leaves no descriptor open that was not open before it."""
    async with no_new_fds():
        yield
