"""The taxonomy of failure: which class, whose fault, retried or not, and after how long.

One table says it for each class (``_VERDICTS``), one for the status codes that differ from their class.
Pure: values in, verdict out. It does not wait, count attempts or keep hosts: ``run.py`` counts,
``hosts.py`` and ``scheduler.py`` keep. Jitter comes from a random source the caller gives.

Sources: status codes RFC 9110 section 15, 429 RFC 6585 section 4, 425 RFC 8470 section 5.2,
Retry-After RFC 9110 section 10.2.3.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Final, NamedTuple

from fetchd.client.exceptions import (
    BodyTooLargeError,
    ClientConnectionError,
    ClientConnectorDNSError,
    ClientConnectorSSLError,
    ClientError,
    ClientPayloadError,
    ClientResponseError,
    ConnectionTimeoutError,
    ContentCodingError,
    ContentTypeError,
    FirstByteTimeoutError,
    IdleReadTimeoutError,
    IdleWriteTimeoutError,
    InvalidURL,
    LowSpeedTimeoutError,
    RedirectError,
    ResponseProtocolError,
    ServerDisconnectedError,
    ServerTimeoutError,
    TooManyRedirects,
)

from .exceptions import LocalFailureError, PolicyError
from .httpdates import parse_http_date

__all__ = [
    "MAX_RETRY_AFTER",
    "Failure",
    "FailureClass",
    "HostSign",
    "Verdict",
    "classify",
    "classify_status",
    "parse_retry_after",
    "retry_delay",
    "verdict",
    "was_unasked",
]

MAX_RETRY_AFTER: Final = 3600.0
"""Seconds. A longer Retry-After is taken as this much: an hour is when free retries of an item end anyway."""


class FailureClass(StrEnum):
    """How an attempt failed. The values stand in ledgers, reports and on the command line: they stay."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT_CONNECT = "timeout-connect"
    TIMEOUT_FIRST_BYTE = "timeout-first-byte"
    TIMEOUT_IDLE = "timeout-idle"
    TIMEOUT_TOTAL = "timeout-total"
    LOW_SPEED = "low-speed"
    PROTOCOL = "protocol"
    TRUNCATED = "truncated"
    HTTP_4XX = "http-4xx"
    HTTP_429 = "http-429"
    HTTP_5XX = "http-5xx"
    REDIRECT = "redirect"
    CHECKSUM = "checksum"
    SIZE = "size"
    TYPE = "type"
    POLICY = "policy"
    DISK = "disk"
    INVALID = "invalid"


class Failure(NamedTuple):
    """How one attempt failed.

    Attributes:
        failure_class: The class; it decides what happens next (see `verdict`).
        message: One sentence for a person, without credentials.
        status: Status code when a response head came, else None. Give it whenever it is known,
            with a truncated or timed-out body too: it proves that the host answers.
        retry_after: Seconds the server asked to be left alone for, None when it did not.
        redirected: Whether a redirection led to where it failed: then the item's host has answered.
        unasked: Whether the name servers could not be asked, or gave no answer in time: nothing was learnt of the host,
            not even that it has no name.
        of_sink: Whether it is that of the server that content is sent to: it tells nothing of the item's host.
    """

    failure_class: FailureClass
    message: str
    status: int | None = None
    retry_after: float | None = None
    redirected: bool = False
    unasked: bool = False
    of_sink: bool = False


class HostSign(Enum):
    """What an attempt tells of the host, whatever it means for the item."""

    ANSWERED = "answered"
    """The host works: this failure is the item's."""
    AT_FAULT = "at fault"
    """The host could not be reached or did not answer."""
    THROTTLING = "throttling"
    """The host works and asks for less."""
    SILENT = "silent"
    """Nothing came before the caller's own bound: a fault of a host that never answered, else no sign."""
    NONE = "none"
    """Nothing was learnt of the host: the failure is ours."""


class Verdict(NamedTuple):
    """What follows from a failure.

    Attributes:
        sign: What it tells of the host.
        retry: Whether the item is tried again at all.
        counts: Whether the attempt is one of the item's ``--retries``. Attempts that do not count are
            bounded apart (20, or one hour, an item), so that a throttled host costs no item its tries.
        base_delay: Seconds, the base of the exponential backoff (see `retry_delay`).
    """

    sign: HostSign
    retry: bool
    counts: bool
    base_delay: float = 1.0

    @property
    def host_at_fault(self) -> bool:
        """Whether the failure is one of those that open a host's breaker."""
        return self.sign is HostSign.AT_FAULT


# Looked up along the exception's method resolution order: the most derived class that is listed decides.
_CLASSES: Final[dict[type[BaseException], FailureClass]] = {
    InvalidURL: FailureClass.INVALID,
    ClientConnectorDNSError: FailureClass.DNS,
    ClientConnectorSSLError: FailureClass.TLS,
    ClientConnectionError: FailureClass.CONNECT,
    ConnectionTimeoutError: FailureClass.TIMEOUT_CONNECT,
    FirstByteTimeoutError: FailureClass.TIMEOUT_FIRST_BYTE,
    IdleReadTimeoutError: FailureClass.TIMEOUT_IDLE,
    IdleWriteTimeoutError: FailureClass.TIMEOUT_IDLE,
    LowSpeedTimeoutError: FailureClass.LOW_SPEED,
    # The whole exchange, and waiting for a connection slot: bounds of our own, no phase of the host's.
    ServerTimeoutError: FailureClass.TIMEOUT_TOTAL,
    TooManyRedirects: FailureClass.REDIRECT,
    RedirectError: FailureClass.REDIRECT,
    ContentTypeError: FailureClass.TYPE,
    ResponseProtocolError: FailureClass.PROTOCOL,
    BodyTooLargeError: FailureClass.SIZE,
    ContentCodingError: FailureClass.PROTOCOL,
    ClientPayloadError: FailureClass.TRUNCATED,
    ClientError: FailureClass.PROTOCOL,
    PolicyError: FailureClass.POLICY,
    LocalFailureError: FailureClass.DISK,
    socket.gaierror: FailureClass.DNS,
    ssl.SSLError: FailureClass.TLS,
    ConnectionError: FailureClass.CONNECT,
}

# Errors of the system that no socket gives: the disk's, or the permission to write.
_LOCAL_ERRNOS: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.EFBIG,
        errno.EACCES,
        errno.EPERM,
        errno.ENAMETOOLONG,
    }
)


# Errors of getaddrinfo that are an answer: there is no such name, or it has no such address.
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY})


def classify(exc: BaseException) -> FailureClass:
    """Return the class of a failed attempt.

    A bare TimeoutError without error number is the caller's own bound (``asyncio.timeout``): timeout-total.
    A connection closed before any octet of a response is ``connect``, within a response ``truncated``.
    An OSError that is not from the client is the disk's when it names a file or has a disk's error
    number, else ``connect``. What is not known is ``protocol``: retried, never held against the host.
    """
    if isinstance(exc, ServerDisconnectedError):
        return FailureClass.TRUNCATED if exc.received else FailureClass.CONNECT
    if isinstance(exc, ClientResponseError) and type(exc) is ClientResponseError:
        return classify_status(exc.status) or FailureClass.PROTOCOL
    for cls in type(exc).__mro__:
        found = _CLASSES.get(cls)
        if found is not None:
            return found
    if isinstance(exc, OSError):
        return _classify_os_error(exc)
    return FailureClass.PROTOCOL


def _classify_os_error(exc: OSError) -> FailureClass:
    """Tell apart what only an error number tells apart."""
    if isinstance(exc, TimeoutError) and exc.errno is None:
        return FailureClass.TIMEOUT_TOTAL
    if exc.filename is not None or exc.errno in _LOCAL_ERRNOS:
        return FailureClass.DISK
    return FailureClass.CONNECT


def was_unasked(exc: BaseException) -> bool:
    """Whether *exc* says that a name could not be asked for; else there is no such name, or it is about something else.

    Source: getaddrinfo(3). EAI_NONAME and its like are answers, EAI_AGAIN and the rest are none.
    """
    if not isinstance(exc, ClientConnectorDNSError):
        return False
    causes = [cause for cause in exc.attempts if isinstance(cause, socket.gaierror)]
    return bool(causes) and all(cause.errno not in _NO_SUCH_NAME for cause in causes)


def classify_status(status: int) -> FailureClass | None:
    """Return the class of a final status code; None for 2xx, which is no failure.

    300 to 399 are ``redirect``: a redirection that was not followed has no usable target. 304 is
    ``protocol``, because nothing conditional was asked; so are 1xx as a final answer and codes
    outside 100 to 599.
    """
    if 200 <= status <= 299:
        return None
    if status == 429:
        return FailureClass.HTTP_429
    if 400 <= status <= 499:
        return FailureClass.HTTP_4XX
    if 500 <= status <= 599:
        return FailureClass.HTTP_5XX
    if 300 <= status <= 399 and status != 304:
        return FailureClass.REDIRECT
    return FailureClass.PROTOCOL


_HOST_DOWN: Final = Verdict(HostSign.AT_FAULT, retry=True, counts=False)
_HOST_REFUSES: Final = Verdict(HostSign.AT_FAULT, retry=True, counts=True)
_TRY_AGAIN: Final = Verdict(HostSign.ANSWERED, retry=True, counts=True)
_GO_ON_SOON: Final = Verdict(HostSign.ANSWERED, retry=True, counts=True, base_delay=0.5)
_THROTTLED: Final = Verdict(HostSign.THROTTLING, retry=True, counts=False, base_delay=2.0)
_FINAL: Final = Verdict(HostSign.ANSWERED, retry=False, counts=True)
_OURS: Final = Verdict(HostSign.NONE, retry=False, counts=True)
_NOTHING_CAME: Final = Verdict(HostSign.SILENT, retry=True, counts=True)

_VERDICTS: Final[dict[FailureClass, Verdict]] = {
    FailureClass.DNS: _HOST_DOWN,
    FailureClass.CONNECT: _HOST_DOWN,
    FailureClass.TIMEOUT_CONNECT: _HOST_DOWN,
    # A certificate seldom mends itself, and a server that hangs does so on this item again: these count.
    FailureClass.TLS: _HOST_REFUSES,
    FailureClass.TIMEOUT_FIRST_BYTE: _HOST_REFUSES,
    # What came is kept and gone on from, so there is less reason to wait.
    FailureClass.TRUNCATED: _GO_ON_SOON,
    FailureClass.TIMEOUT_IDLE: _GO_ON_SOON,
    FailureClass.LOW_SPEED: _GO_ON_SOON,
    FailureClass.TIMEOUT_TOTAL: _NOTHING_CAME,
    FailureClass.PROTOCOL: _TRY_AGAIN,
    FailureClass.CHECKSUM: _TRY_AGAIN,
    FailureClass.HTTP_5XX: _TRY_AGAIN,
    FailureClass.HTTP_429: _THROTTLED,
    FailureClass.HTTP_4XX: _FINAL,
    FailureClass.REDIRECT: _FINAL,
    FailureClass.SIZE: _FINAL,
    FailureClass.TYPE: _FINAL,
    FailureClass.POLICY: _OURS,
    FailureClass.DISK: _OURS,
    FailureClass.INVALID: _OURS,
}

# Status codes that do not follow their class.
_STATUS_VERDICTS: Final[dict[int, Verdict]] = {
    408: _TRY_AGAIN,  # the server waited too long for the request (RFC 9110 15.5.9 invites to repeat it)
    425: _TRY_AGAIN,  # too early (RFC 8470)
    503: _THROTTLED,  # overloaded or under maintenance, often with Retry-After
    529: _THROTTLED,  # "site is overloaded", several large services
    # 520 to 524: the edge of a large network could not reach its origin; asking less is what helps.
    **dict.fromkeys(range(520, 525), _THROTTLED),
    # Not implemented, version, negotiation, loop, extension, captive portal: the next answer is the same.
    **dict.fromkeys((501, 505, 506, 508, 510, 511), _FINAL),
}


def verdict(failure: Failure) -> Verdict:
    """Say whose fault a failure is, whether the item is tried again, and whether the attempt counts.

    The one place that knows. ``disk`` is not retried because it ends the run; the item stays for the next.
    """
    failure_class, status = failure.failure_class, failure.status
    if failure.of_sink:
        return verdict(failure._replace(of_sink=False))._replace(sign=HostSign.NONE)
    if failure_class is FailureClass.HTTP_5XX or failure_class is FailureClass.HTTP_4XX:
        return _STATUS_VERDICTS.get(status or 0) or _VERDICTS[failure_class]
    if failure_class is FailureClass.TIMEOUT_TOTAL and status is not None:
        return _GO_ON_SOON
    found = _VERDICTS[failure_class]
    # A dead host behind a redirection: the item's own host lives, so no breaker ends the attempts. They count.
    return _TRY_AGAIN if failure.redirected and found.host_at_fault else found


def retry_delay(
    attempt: int,
    retry_after: float | None,
    rng: Callable[[], float],
    *,
    base: float = 1.0,
    cap: float = 60.0,
) -> float:
    """Return the seconds to wait before the next attempt: exponential backoff with full jitter.

    Full jitter (anything between nothing and the bound) spreads items that failed together best, and
    with it the load on a host that comes back.

    Args:
        attempt: How many attempts have failed, from 1.
        retry_after: Seconds the server asked for, a floor that *cap* does not lower; None for none.
        rng: Gives a number in [0, 1).
        base: Bound of the first wait, seconds; it doubles with each attempt.
        cap: Bound of every wait, seconds.
    """
    # 2**30 seconds is beyond any cap; the exponent is bounded so that it cannot overflow.
    bound = min(cap, base * 2.0 ** min(max(attempt, 1) - 1, 30))
    delay = rng() * bound
    return delay if retry_after is None else max(delay, retry_after)


def parse_retry_after(value: str, now_wall: float) -> float | None:
    """Return the seconds a Retry-After field asks for, or None when it is nonsense.

    Both forms are read, seconds and HTTP-date (RFC 9110 section 10.2.3). A date in the past is 0;
    nothing is more than `MAX_RETRY_AFTER`.

    Args:
        value: The field's value.
        now_wall: The time of day, seconds since 1970 (the Date field of the response, or our clock).
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        # More digits than ten are beyond the bound anyway, and int() refuses very many of them.
        return min(float(int(text[:10])), MAX_RETRY_AFTER) if len(text) <= 10 else MAX_RETRY_AFTER
    when = parse_http_date(text)
    if when is None:
        return None
    return min(max(when - now_wall, 0.0), MAX_RETRY_AFTER)
