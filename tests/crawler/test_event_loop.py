"""``cli/event_loop.py``: uvloop where there is one."""

from __future__ import annotations

import asyncio
import sys

import pytest
import uvloop

from fetchd.crawler.cli.event_loop import new_event_loop


def test_the_loop_is_uvloop_s() -> None:
    """Where it is installed."""
    loop = new_event_loop()
    loop.close()
    assert isinstance(loop, uvloop.Loop)


def test_without_uvloop_it_is_asyncio_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slower, and just as good."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = new_event_loop()
    loop.close()
    assert isinstance(loop, asyncio.SelectorEventLoop)
