"""Amounts, outcomes and summaries in words, for people. Pure: values in, text out; who prints it is elsewhere.

Whatever comes from outside (URLs, reason phrases) passes `printable` before it reaches a terminal: an escape sequence
in a server's answer must not move anybody's cursor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fetchd.jobs.events import Summary
    from fetchd.jobs.items import Outcome

__all__ = [
    "duration",
    "failure_line",
    "next_step",
    "number",
    "octets",
    "printable",
    "quoted",
    "rate",
    "reasons",
    "summary_lines",
]

_STEPS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_NETWORK: Final = frozenset(("dns", "connect", "tls"))
_SETTLED: Final = frozenset(("policy", "size"))  # classes that end alike in every run with the same settings
_SKIPPED: Final = {
    "done": "done before",
    "duplicate": "duplicate",
    "kept": "kept",
    "collision": "name taken",
    "present": "there already",
    "same": "the same already",
}


def number(count: int) -> str:
    """Return *count* with its thousands apart: ``12,345``."""
    return f"{count:,}"


def octets(count: float) -> str:
    """Return an amount of octets: ``0 B``, ``12.3 MiB``."""
    step = 0
    while count >= 1023.95 and step < len(_STEPS) - 1:  # 1023.95 would be shown as 1024.0
        count /= 1024
        step += 1
    return f"{count:,.0f} {_STEPS[0]}" if not step else f"{count:,.1f} {_STEPS[step]}"


def rate(octets_per_second: float) -> str:
    """Return a rate: ``12.3 MiB/s``."""
    return f"{octets(octets_per_second)}/s"


def duration(seconds: float) -> str:
    """Return a time: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d 4 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def printable(text: str) -> str:
    """Return *text* on one line and without anything that a terminal would act on."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quoted(text: str) -> str:
    """Return *text* as a shell takes it for one word."""
    import shlex  # 1 ms of the start, for what a run says at its end if it says anything

    return printable(shlex.quote(text))


def reasons(counts: Mapping[str, int]) -> str:
    """Return counts by name, most first: ``12 http-4xx, 3 connect``."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{number(count)} {name}" for name, count in ordered)


def failure_line(outcome: Outcome) -> str:
    """Return one line on an item that failed or was invalid: which, and why."""
    item, failure = outcome.item, outcome.failure
    return printable(f"{item.shown_url} (line {item.line}): {failure.message if failure else 'no reason known'}")


BOUND_S: Final = 10.0
"""Seconds for which one host kept slots empty, from which on that is worth a line of the summary."""


def summary_lines(summary: Summary, examples: Mapping[str, str]) -> list[str]:
    """Return the summary of a run: the account, the amounts, and what failed.

    Args:
        summary: How the run ended.
        examples: For each failure class (and ``invalid``) one line of `failure_line`.
    """
    lines = [_account(summary), _amounts(summary)]
    lines += [
        f"bound by {printable(host)} for {duration(seconds)}: most waited for it, --per-host at a time"
        for host, seconds in summary.bound_by
        if seconds >= BOUND_S
    ]
    failures = {str(name): count for name, count in summary.failures.items()}
    if summary.invalid:
        failures["invalid"] = failures.get("invalid", 0) + summary.invalid
    for name, count in sorted(failures.items(), key=lambda pair: -pair[1]):
        example = examples.get(name)
        lines.append(f"{number(count)} {name}" + (f", such as {example}" if example else ""))
    return lines


def next_step(summary: Summary, manifest: str, folder: str, *, is_stopped: bool) -> str:
    """Return what to do after a run: one sentence, empty when everything is done.

    Args:
        summary: How the run ended.
        manifest: As it was named on the command line.
        folder: The output folder, as it was named.
        is_stopped: Whether a signal ended it.
    """
    name = "standard input" if manifest == "-" else printable(manifest)
    if summary.local_failure is not None:
        return f"{summary.local_failure}; mend that and run the same command again: it goes on from here"
    if is_stopped:
        return "stopped; run the same command again to go on"
    if summary.stopped_by is not None and summary.stopped_by.startswith("max-") and (summary.left or summary.unread):
        return f"stopped by --{summary.stopped_by}; run the same command again to go on"
    if not summary.read:
        return f"no items in {name}; expected a URL a line"
    if summary.invalid == summary.read:
        return f"no line of {name} is a URL; expected http://host/... or https://host/..., one a line"
    if summary.failed and not summary.done and set(summary.failures) <= _NETWORK:
        return "nothing could be reached; when the network works, run the same command again"
    if summary.failed and set(summary.failures) <= _SETTLED:
        return "what failed fails again unless something is changed: --on-collision, --max-bytes, or the folder"
    if summary.failed:
        return f"to try again what failed: fetchd retry {quoted(folder)}"
    return "run the same command again to go on" if summary.left or summary.unread else ""


def _account(summary: Summary) -> str:
    """The equation; what is zero is left out, but for what is done."""
    skipped = {_SKIPPED.get(name, name): count for name, count in summary.skip_reasons.items()}
    parts = [
        (summary.done, "done", ""),
        (summary.skipped, "skipped", f" ({reasons(skipped)})" if skipped else ""),
        (summary.failed, "failed", ""),
        (summary.invalid, "invalid", ""),
        (summary.left, "left", ""),
    ]
    told = " + ".join(f"{number(count)} {name}{why}" for count, name, why in parts if count or name == "done")
    noun = "item" if summary.read == 1 else "items"
    unread = "; the rest of the manifest is unread" if summary.unread else ""
    return f"{number(summary.read)} {noun} read = {told}{unread}"


def _amounts(summary: Summary) -> str:
    average = summary.bytes / summary.seconds if summary.seconds > 0 else 0.0
    return f"{octets(summary.bytes)} in {duration(summary.seconds)}, {rate(average)}"
