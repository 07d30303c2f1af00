"""How often requests may be sent: a bucket of tokens for all of them, and one for each host. Pure: ``now`` comes in.

A bucket fills at its rate and holds one token, or a twentieth of a second's worth where that is more: a timer is late
by a millisecond or two, and at a thousand a second what it was late for must be made up. So of any t seconds it may be
said that no more than ``rate * t`` requests were sent in them, and one bucketful. Up to 20 a second that bucketful is
one request, and two requests are never closer than the rate says.

A bucket is one number, the time at which it is full again (the generic cell rate algorithm, ITU-T I.371 annex A): a
request moves it on by the time one token takes. Buckets that are full say nothing and are dropped, so memory follows
the requests of the last interval, not the hosts.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Rates"]

_CATCH_UP_S: Final = 0.05
_LONG_AGO: Final = float("-inf")
_FIRST_SWEEP: Final = 1024


class _Bucket:
    """What one rate comes to: seconds a token takes, and how far before "full again" a request may be sent."""

    __slots__ = ("interval", "slack")

    def __init__(self, rate: float) -> None:
        self.interval = 1.0 / rate
        self.slack = max(0.0, _CATCH_UP_S - self.interval)


class Rates:
    """The rates of a run. Not thread-safe.

    Args:
        rate: Requests a second in all, above 0; None is no bound.
        per_host: The same for each host.
    """

    def __init__(self, rate: float | None = None, per_host: float | None = None) -> None:
        self._all = None if rate is None else _Bucket(rate)
        self._each = None if per_host is None else _Bucket(per_host)
        self._full_at = _LONG_AGO
        self._host_full_at: dict[str, float] = {}
        self._sweep_at = _FIRST_SWEEP

    @property
    def ready_at(self) -> float:
        """When a request may be sent, as far as the rate for all goes; a time that has passed means now."""
        return _LONG_AGO if self._all is None else self._full_at - self._all.slack

    def host_ready_at(self, host: str) -> float:
        """The same, as far as the rate of *host* goes."""
        return _LONG_AGO if self._each is None else self._host_full_at.get(host, _LONG_AGO) - self._each.slack

    def take(self, host: str, now: float) -> float:
        """Count a request to *host*, and return when it may be sent: *now*, or later when it is early.

        An early one has its turn all the same, and those after it wait the longer: so are counted the requests that
        follow from one that was let through, such as redirections.
        """
        at = max(now, self.ready_at, self.host_ready_at(host))
        if self._all is not None:
            self._full_at = max(self._full_at, at) + self._all.interval
        if self._each is not None:
            full_at = self._host_full_at.get(host, _LONG_AGO)
            self._host_full_at[host] = max(full_at, at) + self._each.interval
            if len(self._host_full_at) >= self._sweep_at:
                self._sweep(now)
        return at

    def _sweep(self, now: float) -> None:
        """Drop the buckets that are full. As many come again before the next sweep: constant cost a request."""
        self._host_full_at = {host: at for host, at in self._host_full_at.items() if at > now}
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._host_full_at))

    def __len__(self) -> int:
        """Hosts that are remembered."""
        return len(self._host_full_at)
