"""The account of a run is really checked: tests of a test's tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchd.jobs.events import ItemFinished, RunFinished, RunStarted, Summary
from fetchd.jobs.items import Failure, FailureClass, Item, Outcome, Result

from .runs import Ran, files_below, run_lines

ITEM = Item("http://h/a", 1)
DONE = ItemFinished(Outcome(ITEM, Result.DONE))
FAILED = ItemFinished(Outcome(Item("http://h/b", 2), Result.FAILED, Failure(FailureClass.DNS, "no such host")))
SKIPPED = ItemFinished(Outcome(Item("http://h/a", 3), Result.SKIPPED, reason="duplicate"))
SUMMARY = Summary(
    read=4, done=1, failed=1, skipped=1, left=1, failures={FailureClass.DNS: 1}, skip_reasons={"duplicate": 1}
)


def ran(summary: Summary, *ends: ItemFinished) -> Ran:
    """A run with these ends."""
    return Ran(summary, [RunStarted(Path("out")), *ends, RunFinished(summary)])


def test_a_good_account_is_good() -> None:
    """And each line's end can be read off it."""
    good = ran(SUMMARY, DONE, FAILED, SKIPPED)
    good.check()
    assert good.results == {1: "done", 2: "failed: dns", 3: "skipped: duplicate"}


@pytest.mark.parametrize(
    "bad",
    [
        ran(SUMMARY, DONE, DONE, FAILED, SKIPPED),
        ran(SUMMARY, DONE, SKIPPED),
        ran(Summary(read=3, done=1), DONE),
        ran(Summary(read=1, done=2, left=-1), DONE, ItemFinished(Outcome(Item("http://h/c", 9), Result.DONE))),
        ran(Summary(read=1, failed=1), FAILED),
        ran(Summary(read=1, skipped=1), SKIPPED),
        Ran(Summary(read=1, done=1), [DONE, RunFinished(Summary(read=1, done=1))]),
        Ran(Summary(read=1, done=1), [RunStarted(Path("out")), DONE]),
    ],
)
def test_a_bad_account_is_refused(bad: Ran) -> None:
    """Ended twice, not told, not adding up, without its reasons, without beginning or end."""
    with pytest.raises(AssertionError):
        bad.check()


async def test_lines_are_run_and_files_found(tmp_path: Path) -> None:
    """What belongs to fetchd itself is left out."""
    seen: list[type[object]] = []
    result = await run_lines(tmp_path, b"nonsense\n")
    result.then = lambda event: seen.append(type(event))
    result.listen(DONE)
    assert seen == [ItemFinished]
    (tmp_path / "out" / "h").mkdir()
    (tmp_path / "out" / "h" / "a").write_bytes(b"x")
    assert files_below(tmp_path / "out") == {"h/a": b"x"}
