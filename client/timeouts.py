"""How long each phase of a request may take. Values only; who waits for what is told in the attributes."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["ClientTimeout", "Timeout", "as_timeout"]


@dataclass(frozen=True, slots=True)
class Timeout:
    """Bounds of a request in seconds; None is no bound. A phase that exceeds its bound raises its own error.

    Attributes:
        total: From the call to the last octet of the content, redirections included. Default None: a large download
            must not die of its size (TotalTimeoutError).
        pool: Waiting for a free connection slot (PoolTimeoutError). Default None.
        connect: DNS, TCP and TLS together (ConnectionTimeoutError). Default 30.
        first_byte: From the request sent to the whole response head (FirstByteTimeoutError). Default 60.
        idle_read: Between two arrivals of content (IdleReadTimeoutError); suspended while the reader is the slow side.
            Default 60.
        idle_write: While the peer takes nothing of the request (IdleWriteTimeoutError). Default 60.
        low_speed: ``(octets a second, seconds)``: content that comes more slowly than the first, on the average of each
            time of the second's length (LowSpeedTimeoutError). Time in which the reader is the slow side does not
            count; content that is sent is not looked at. Default None.

    Raises:
        ValueError: A number that is not above 0, or infinite.
        TypeError: No number.
    """

    total: float | None = None
    pool: float | None = None
    connect: float | None = 30.0
    first_byte: float | None = 60.0
    idle_read: float | None = 60.0
    idle_write: float | None = 60.0
    low_speed: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.low_speed is not None and not all(0 < value < math.inf for value in self.low_speed):
            raise ValueError(
                f"Timeout(low_speed={self.low_speed!r}): expected octets a second and seconds, both above 0"
            )
        for name in self.__slots__[:-1]:
            value = getattr(self, name)
            try:
                is_bound = value is None or 0 < value < math.inf
            except TypeError:
                kind = type(value).__name__
                raise TypeError(f"Timeout({name}=) of type {kind}; expected seconds, or None for no bound") from None
            if not is_bound:
                raise ValueError(f"Timeout({name}={value!r}): expected seconds above 0, or None for no bound")


def as_timeout(given: Timeout | float | None) -> Timeout:
    """*given*, or for a number the ``Timeout`` whose ``total`` it is; None is ``Timeout()``.

    Raises:
        ValueError, TypeError: As ``Timeout``.
    """
    return given if isinstance(given, Timeout) else Timeout(total=given)


def ClientTimeout(
    total: float | None = None,
    connect: float | None = None,
    sock_connect: float | None = None,
    sock_read: float | None = None,
) -> Timeout:
    """A ``Timeout`` said in the words of aiohttp, for code that comes from there.

    Args:
        total: The whole request, to the last octet of the content.
        connect: Waiting for a free connection; and opening one, unless *sock_connect* says less.
        sock_connect: Opening a connection: DNS, TCP, proxy and TLS together.
        sock_read: Waiting for the response head, and between two arrivals of content.

    Each is seconds; None and 0, as there, are no bound.

    Raises:
        ValueError: A number below 0.
    """
    opening = [seconds for seconds in (connect, sock_connect) if seconds]
    return Timeout(
        total=total or None,
        pool=connect or None,
        connect=min(opening, default=None),
        first_byte=sock_read or None,
        idle_read=sock_read or None,
    )
