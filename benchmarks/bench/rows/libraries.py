"""Libraries as contenders: one script of ``benchmarks.clients`` each, run as a process of its own.

Processor time is the process's own count between the first measured request and the last: imports, event loop
and connection set-up are before it, on every side.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ..process import BenchmarkError, Measurement
from ..rounds import Contender, Figures, expect_exit
from .programs import missing_fetchd_client, missing_modules

__all__ = ["Script", "contender"]


@dataclass(frozen=True, slots=True)
class Script:
    """A module of ``benchmarks.clients`` and what it imports."""

    name: str
    module: str
    imports: tuple[str, ...]


def contender(script: Script, arguments: Sequence[str], *, requests: int, octets: int, label: str = "") -> Contender:
    """Return *script* with *arguments*, which must do *requests* and receive *octets* in all."""
    missing = missing_modules(*script.imports)
    if script.module.endswith("_fetchd"):
        missing = missing or missing_fetchd_client()
    return Contender(
        name=script.name + label,
        command=[sys.executable, "-m", f"benchmarks.clients.{script.module}", *arguments],
        figures=lambda measured: _figures(measured, requests, octets),
        missing=missing,
    )


def _figures(measured: Measurement, requests: int, octets: int) -> Figures:
    expect_exit(measured, 0)
    try:
        told = json.loads(measured.output)
    except ValueError as exc:
        raise BenchmarkError(f"no JSON in {measured.output[-200:]!r}") from exc
    if told["requests"] != requests or told["body_bytes"] != octets:
        raise BenchmarkError(
            f"{told['requests']} requests, {told['body_bytes']} octets; expected {requests} and {octets}"
        )
    return {
        "cpu_s": told["cpu_s"],
        "cpu_us": told["cpu_s"] / requests * 1e6,
        "wall_s": told["wall_s"],
        "requests_per_s": requests / told["wall_s"],
        "peak_mib": measured.peak_kib / 1024,
    }
