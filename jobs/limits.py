"""How fast a run may go, and when it has had enough: one frozen value, and what of it is exceeded. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from .exceptions import SettingsError

__all__ = ["STOPPING_LIMITS", "Limits"]

STOPPING_LIMITS: Final = ("max-failures", "max-total-bytes", "max-time")
"""What ``Summary.stopped_by`` says of a run that one of them ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a run as a whole; None, the default of each, is no bound.

    Attributes:
        rate: Requests a second, redirections and repetitions included.
        per_host_rate: The same for each host (name and port).
        bandwidth: Octets of content a second that are taken, over all transfers.
        max_failures: Items that may fail; with so many the run ends.
        max_total_bytes: Octets of content with which the run ends, counted as they come, twenty times a second.
        max_time: Seconds after which the run ends.

    Raises:
        SettingsError: One is not above 0.
    """

    rate: float | None = None
    per_host_rate: float | None = None
    bandwidth: float | None = None
    max_failures: int | None = None
    max_total_bytes: int | None = None
    max_time: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise SettingsError(f"{field.name} is {value:g}; expected more than 0")

    def exceeded(self, *, failed: int = 0, received: int = 0, seconds: float = 0.0) -> str | None:
        """Return which of `STOPPING_LIMITS` is reached; None for none.

        Args:
            failed: Items that failed.
            received: Octets that came.
            seconds: How long the run has been going.
        """
        if self.max_failures is not None and failed >= self.max_failures:
            return "max-failures"
        if self.max_total_bytes is not None and received >= self.max_total_bytes:
            return "max-total-bytes"
        if self.max_time is not None and seconds >= self.max_time:
            return "max-time"
        return None
