"""``fetchd run``: an order, the run, what is said about it, and the exit code.

    options.run_order  ->  Run.execute on uvloop  ->  events to display and JSON lines  ->  summary, exit code

Lives here: what of a run is told to whom. Not here: what the words are (``words.py``), how progress looks
(``progress.py``), what the code is (``exit_codes.py``).
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable
from typing import Final

from fetchd.jobs.events import Event, ItemFinished, Progress, RunFinished, RunStarted, Summary
from fetchd.jobs.exceptions import JobError, LedgerError, LocalFailureError, ManifestError, SettingsError
from fetchd.jobs.items import Result
from fetchd.jobs.run import OnEvent, Run
from fetchd.jobs.targets import without_userinfo

from ..progress import Display, choose_display
from ..words import failure_line, next_step, number, summary_lines
from .descriptors import allow_descriptors
from .event_loop import new_event_loop
from .exit_codes import ExitCode, exit_code
from .json_lines import JsonLines
from .log_file import LogFile
from .on_done import OnDone
from .options import RawRun, RunOrder, Voice, run_order
from .report_command import tell_report
from .signals import TwoSignals
from .streams import read_text, say

__all__ = ["conduct", "run_manifest", "run_ordered"]

_FAILURES: Final = (Result.FAILED, Result.INVALID)


def run_manifest(raw: RawRun) -> int:
    """Do what ``fetchd run`` was asked for; return the exit code."""
    try:
        order = run_order(raw, read_text, os.environ)
    except SettingsError as exc:
        say(str(exc))
        return ExitCode.USAGE
    return run_ordered(order)


def run_ordered(order: RunOrder) -> int:
    """Do a run whose options were understood; return the exit code."""
    kind: type[Run] = Run
    if order.is_spider:
        from fetchd.jobs.spider import SpiderRun

        kind = SpiderRun
    return conduct(order, lambda on_event: kind(order.settings, on_event, tell_all=order.tells_all))


def conduct(order: RunOrder, make_run: Callable[[OnEvent], Run], command: str = "run") -> int:
    """Do a run of any kind and tell of it; return the exit code.

    Args:
        order: What to do, and how much to say.
        make_run: Gives the run, called in its loop.
        command: How it was asked for, for what is said.
    """
    try:
        reporter = Reporter(order, command)
    except LocalFailureError as exc:
        say(str(exc))
        return ExitCode.LOCAL_FAILURE
    for note in order.notes if order.voice is not Voice.QUIET else ():
        say(note)
    try:
        # What was imported lives as long as the process: the collector need not walk it again and again.
        gc.freeze()
        allow_descriptors(order.settings.concurrency)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            summary, signal_number = runner.run(_execute(make_run, reporter))
    except JobError as exc:
        reporter.failed(_with_advice(exc))
        return code_of_error(exc, reporter.has_started)
    except BaseException:
        reporter.close()
        raise
    reporter.conclude(summary, is_stopped=signal_number is not None)
    code = exit_code(summary, signal_number)
    if code == ExitCode.DONE and reporter.on_done is not None and reporter.on_done.failed:
        code = ExitCode.SOME_FAILED
    if order.report is not None:
        told = tell_report(str(order.settings.output), format=None, output=str(order.report), redact=False)
        return code if told == ExitCode.DONE else told
    return code


async def _execute(make_run: Callable[[OnEvent], Run], reporter: Reporter) -> tuple[Summary, int | None]:
    run = make_run(reporter.on_event)

    def stop(_: int) -> None:
        reporter.stopping()
        run.stop("signal")
        if reporter.on_done is not None:
            reporter.on_done.stop()

    reporter.begin(run)
    with TwoSignals(stop) as signals:
        summary = await run.execute()
        if reporter.on_done is not None:
            await reporter.on_done.finish(is_stopped=summary.stopped_by is not None)
    return summary, signals.number


def code_of_error(exc: JobError, has_started: bool) -> ExitCode:
    """Return the exit code of a run that ended with an error in the place of a summary.

    Args:
        exc: The error.
        has_started: Whether the ledger was ours already: from then on its failure is one of this machine.
    """
    if isinstance(exc, LocalFailureError) or (has_started and isinstance(exc, LedgerError)):
        return ExitCode.LOCAL_FAILURE
    return ExitCode.USAGE


def _with_advice(exc: JobError) -> str:
    if isinstance(exc, ManifestError) and "://" in exc.path:
        return f"{exc}; for a single URL: fetchd get URL"
    if isinstance(exc, LocalFailureError):
        return f"{exc}; mend that and run the same command again"
    return str(exc)


def _is_of_success(event: Event) -> bool:
    return isinstance(event, ItemFinished) and event.outcome.result in (Result.DONE, Result.SKIPPED)


class Reporter:
    """Hears the events of a run and tells of them: progress, failures if wanted, JSON lines, the summary.

    Attributes:
        has_started: Whether the run has begun, the ledger being ours.
        on_done: Runs a command for each file; None for none.

    Raises:
        LocalFailureError: The log cannot be opened.
    """

    def __init__(self, order: RunOrder, command: str = "run") -> None:
        self.has_started = False
        self.on_done: OnDone | None = None
        self._order = order
        self._log = None if order.log_file is None else LogFile(order.log_file, say)
        self._lines = JsonLines() if order.json else None
        self._command = command
        self._examples: dict[str, str] = {}
        settings = order.settings
        # Events and a live display on one terminal would write over each other.
        is_shared = order.json and sys.stdout.isatty()
        self._display: Display = choose_display(
            say,
            sys.stderr,
            f"fetchd {command} {settings.manifest} -o {settings.output}",
            wanted=order.progress and not is_shared,
        )

    def begin(self, run: Run) -> None:
        """*run* is about to begin, in this loop."""
        order = self._order
        if self._log is not None:
            self._log.write(f"fetchd {self._command} {without_userinfo(order.settings.manifest)} begins")
        if order.on_done:
            self.on_done = OnDone(
                order.on_done,
                order.settings.output,
                pause=run.pause,
                resume=run.resume,
                say=self._display.message,
                limit=len(os.sched_getaffinity(0)),
            )

    def on_event(self, event: Event) -> None:
        """Take in one event. Called between two requests, so it only counts what is not to be told at once."""
        if self._lines is not None:
            self._lines.write(event)
        if self._log is not None and not (_is_of_success(event) and self._order.voice is not Voice.VERBOSE):
            self._log.on_event(event)
        if isinstance(event, ItemFinished):
            if event.outcome.result in _FAILURES:
                self._failed(event)
            elif self.on_done is not None and event.outcome.result is Result.DONE:
                self.on_done.done(event.outcome)
        elif isinstance(event, Progress):
            self._display.update(event.snapshot, time.monotonic())
        elif isinstance(event, RunStarted):
            self.has_started = True
        elif isinstance(event, RunFinished):
            self._display.close()

    def _failed(self, event: ItemFinished) -> None:
        failure = event.outcome.failure
        name = str(failure.failure_class) if failure is not None else "failed"
        is_verbose = self._order.voice is Voice.VERBOSE
        if not is_verbose and name in self._examples:
            return
        line = failure_line(event.outcome)
        self._examples.setdefault(name, line)
        if is_verbose:
            self._display.message(f"{name}: {line}")

    def stopping(self) -> None:
        """Say that the run is being stopped."""
        self._display.close()
        self._say("stopping, what is in flight is kept; once more to quit at once")

    def conclude(self, summary: Summary, *, is_stopped: bool) -> None:
        """Say how it went, and what to do next."""
        self.close()
        if summary.read:
            for line in summary_lines(summary, self._examples):
                self._say(line)
        if self.on_done is not None and (self.on_done.failed or self.on_done.left):
            self._say(f"--on-done: {number(self.on_done.failed)} failed, {number(self.on_done.left)} were not run")
        settings = self._order.settings
        advice = next_step(summary, settings.manifest, str(settings.output), is_stopped=is_stopped)
        if summary.local_failure is not None or not summary.read:
            say(advice)
        elif advice:
            self._say(advice)

    def failed(self, text: str) -> None:
        """Say what has ended the run before its time."""
        if self._log is not None:
            self._log.write(text)
        self.close()
        say(text)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._display.close()
        if self._log is not None:
            self._log.close()

    def _say(self, text: str) -> None:
        if self._order.voice is not Voice.QUIET:
            say(text)
