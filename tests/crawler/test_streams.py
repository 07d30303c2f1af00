"""``cli/streams.py``: what is said, and who listens no more."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from fetchd.crawler.cli.streams import read_text, say, silence_output


def test_what_is_said_is_one_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, whatever is in it."""
    say("two\nlines \x1b[2J")
    captured = capsys.readouterr()
    assert captured.err == "fetchd: two\\nlines \\x1b[2J\n"
    assert captured.out == ""


@pytest.mark.parametrize("is_closed", [True, False])
def test_nobody_listening_is_no_error(monkeypatch: pytest.MonkeyPatch, is_closed: bool) -> None:
    """A closed stream, and a pipe whose reader left."""
    read, write = os.pipe()
    os.close(read)
    stream = io.TextIOWrapper(io.FileIO(write, "w"), write_through=True)
    if is_closed:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    say("anybody?")
    if not is_closed:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, write)
        os.close(null)
        stream.close()


def test_output_that_is_silenced_leads_nowhere() -> None:
    """The descriptor stays open, so that nothing else gets its number."""
    before = os.dup(1)
    try:
        silence_output()
        assert os.readlink("/proc/self/fd/1") == "/dev/null"
    finally:
        os.dup2(before, 1)
        os.close(before)


def test_text_is_read_as_utf_8(tmp_path: Path) -> None:
    """Whatever the locale."""
    path = tmp_path / "fields"
    path.write_bytes("X-Ä: ö".encode())
    assert read_text(str(path)) == "X-Ä: ö"
