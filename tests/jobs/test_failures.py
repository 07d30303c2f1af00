"""The taxonomy of failure: each class, its verdict, and how long to wait."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client.exceptions import (
    BodyTooLargeError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientOSError,
    ClientPayloadError,
    ClientResponseError,
    ConnectionTimeoutError,
    ContentCodingError,
    ContentTypeError,
    FirstByteTimeoutError,
    IdleReadTimeoutError,
    IdleWriteTimeoutError,
    IncompleteMessageError,
    InvalidURL,
    LowSpeedTimeoutError,
    PoolTimeoutError,
    RedirectError,
    ResponseHeadTooLargeError,
    ResponseProtocolError,
    ServerDisconnectedError,
    TooManyRedirects,
    TotalTimeoutError,
)
from fetchd.jobs.exceptions import CollisionError, LocalFailureError, PolicyError
from fetchd.jobs.failures import (
    MAX_RETRY_AFTER,
    Failure,
    FailureClass,
    HostSign,
    classify,
    classify_status,
    parse_retry_after,
    retry_delay,
    verdict,
    was_unasked,
)

REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
URL = "http://h/"

EXCEPTIONS: list[tuple[BaseException, str]] = [
    (InvalidURL("x:", "no host"), "invalid"),
    (ClientConnectorDNSError("h", 80, [socket.gaierror(-2, "unknown")]), "dns"),
    (socket.gaierror(-2, "unknown"), "dns"),
    (ClientConnectorError("h", 80, [REFUSED]), "connect"),
    # A firewall's "not permitted" comes as a connection error: it is not the disk's.
    (ClientConnectorError("h", 80, [PermissionError(errno.EPERM, "no")]), "connect"),
    (ClientOSError(errno.ECONNRESET, "reset"), "connect"),
    (ServerDisconnectedError(), "connect"),
    (ServerDisconnectedError(received=17), "truncated"),
    (REFUSED, "connect"),
    (BrokenPipeError(errno.EPIPE, "pipe"), "connect"),
    (OSError(errno.ENETUNREACH, "unreachable"), "connect"),
    (TimeoutError(errno.ETIMEDOUT, "the kernel gave up"), "connect"),
    (ClientConnectorSSLError("h", 443, [ssl.SSLError(1, "alert")]), "tls"),
    (ClientConnectorCertificateError("h", 443, [ssl.SSLError(1, "expired")]), "tls"),
    (ssl.SSLError(1, "alert"), "tls"),
    (ConnectionTimeoutError(30), "timeout-connect"),
    (FirstByteTimeoutError(60), "timeout-first-byte"),
    (IdleReadTimeoutError(60), "timeout-idle"),
    (IdleWriteTimeoutError(60), "timeout-idle"),
    (LowSpeedTimeoutError(30.0, 1024.0, 9), "low-speed"),
    (TotalTimeoutError(60), "timeout-total"),
    (PoolTimeoutError(60), "timeout-total"),
    (TimeoutError(), "timeout-total"),
    (asyncio.TimeoutError(), "timeout-total"),  # noqa: UP041 - the older name must mean the same
    (ResponseProtocolError("no status line"), "protocol"),
    (ResponseHeadTooLargeError("head", 1), "protocol"),
    (ContentCodingError("cut off"), "protocol"),
    (IncompleteMessageError(1, 2), "truncated"),
    (ClientPayloadError("broken"), "truncated"),
    (BodyTooLargeError("max_body_bytes", 9), "size"),
    (ContentTypeError(URL, status=200), "type"),
    (TooManyRedirects(URL, status=302), "redirect"),
    (RedirectError(URL, status=302), "redirect"),
    (ClientResponseError(URL, status=404), "http-4xx"),
    (ClientResponseError(URL, status=429), "http-429"),
    (ClientResponseError(URL, status=502), "http-5xx"),
    (ClientResponseError(URL), "protocol"),
    (ClientError("something"), "protocol"),
    (PolicyError("h/a", "a symbolic link"), "policy"),
    (CollisionError("h/a", "taken"), "policy"),
    (LocalFailureError("h/a", errno.ENOSPC), "disk"),
    (OSError(errno.ENOSPC, "full"), "disk"),
    (OSError(errno.EIO, "failing"), "disk"),
    (FileNotFoundError(errno.ENOENT, "no", "h/a"), "disk"),
    (KeyError("a fault of ours"), "protocol"),
]


@pytest.mark.parametrize(("exc", "expected"), EXCEPTIONS, ids=lambda value: repr(value)[:60])
def test_every_exception_has_a_class(exc: BaseException, expected: str) -> None:
    """What the client, the sinks and the system raise maps to one class each."""
    assert classify(exc) == expected


STATUSES: list[tuple[int, str | None]] = [
    (100, "protocol"),
    (200, None),
    (204, None),
    (206, None),
    (226, None),
    (300, "redirect"),
    (302, "redirect"),
    (304, "protocol"),
    (308, "redirect"),
    (400, "http-4xx"),
    (404, "http-4xx"),
    (429, "http-429"),
    (499, "http-4xx"),
    (500, "http-5xx"),
    (503, "http-5xx"),
    (599, "http-5xx"),
    (600, "protocol"),
    (0, "protocol"),
]


@pytest.mark.parametrize(("status", "expected"), STATUSES)
def test_every_status_code_has_a_class(status: int, expected: str | None) -> None:
    """2xx is no failure; 304 was not asked for (RFC 9110 section 15.4.5)."""
    assert classify_status(status) == expected


# class, status: sign of the host, retried, counts
VERDICTS: list[tuple[str, int | None, HostSign, bool, bool]] = [
    ("dns", None, HostSign.AT_FAULT, True, False),
    ("connect", None, HostSign.AT_FAULT, True, False),
    ("tls", None, HostSign.AT_FAULT, True, True),
    ("timeout-connect", None, HostSign.AT_FAULT, True, False),
    ("timeout-first-byte", None, HostSign.AT_FAULT, True, True),
    ("timeout-idle", 200, HostSign.ANSWERED, True, True),
    ("timeout-total", None, HostSign.SILENT, True, True),
    ("timeout-total", 200, HostSign.ANSWERED, True, True),
    ("low-speed", 200, HostSign.ANSWERED, True, True),
    ("protocol", None, HostSign.ANSWERED, True, True),
    ("truncated", 200, HostSign.ANSWERED, True, True),
    ("http-4xx", 404, HostSign.ANSWERED, False, True),
    ("http-4xx", 403, HostSign.ANSWERED, False, True),
    ("http-4xx", 408, HostSign.ANSWERED, True, True),
    ("http-4xx", 425, HostSign.ANSWERED, True, True),
    ("http-4xx", None, HostSign.ANSWERED, False, True),
    ("http-429", 429, HostSign.THROTTLING, True, False),
    ("http-5xx", 500, HostSign.ANSWERED, True, True),
    ("http-5xx", 501, HostSign.ANSWERED, False, True),
    ("http-5xx", 502, HostSign.ANSWERED, True, True),
    ("http-5xx", 503, HostSign.THROTTLING, True, False),
    ("http-5xx", 504, HostSign.ANSWERED, True, True),
    ("http-5xx", 505, HostSign.ANSWERED, False, True),
    ("http-5xx", 511, HostSign.ANSWERED, False, True),
    ("http-5xx", 520, HostSign.THROTTLING, True, False),
    ("http-5xx", 524, HostSign.THROTTLING, True, False),
    ("http-5xx", 525, HostSign.ANSWERED, True, True),
    ("http-5xx", 529, HostSign.THROTTLING, True, False),
    ("redirect", 302, HostSign.ANSWERED, False, True),
    ("checksum", 200, HostSign.ANSWERED, True, True),
    ("size", 200, HostSign.ANSWERED, False, True),
    ("type", 200, HostSign.ANSWERED, False, True),
    ("policy", None, HostSign.NONE, False, True),
    ("disk", None, HostSign.NONE, False, True),
    ("invalid", None, HostSign.NONE, False, True),
]


@pytest.mark.parametrize(("name", "status", "sign", "retry", "counts"), VERDICTS)
def test_verdict_says_whose_fault_and_what_next(
    name: str, status: int | None, sign: HostSign, retry: bool, counts: bool
) -> None:
    """Each class, and each status code that differs from its class."""
    found = verdict(Failure(FailureClass(name), "", status))
    assert (found.sign, found.retry, found.counts) == (sign, retry, counts)
    assert found.host_at_fault is (sign is HostSign.AT_FAULT)


def test_the_table_above_names_every_class() -> None:
    """A class that is added needs a verdict and a row."""
    assert {name for name, *_ in VERDICTS} == {str(value) for value in FailureClass}


@given(st.sampled_from(FailureClass), st.none() | st.integers(0, 999))
def test_every_failure_has_a_verdict(failure_class: FailureClass, status: int | None) -> None:
    """No combination is left out, and what does not count is retried (else it would end uncounted)."""
    found = verdict(Failure(failure_class, "", status))
    assert found.retry or found.counts
    assert found.base_delay > 0


@pytest.mark.parametrize(
    ("attempt", "bound"), [(0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (10_000, 60.0)]
)
def test_the_bound_of_the_wait_doubles_up_to_the_cap(attempt: int, bound: float) -> None:
    """Exponential backoff; the highest random number shows the bound."""
    assert retry_delay(attempt, None, lambda: 1.0) == bound


def test_full_jitter_reaches_down_to_nothing() -> None:
    """Items that failed together do not come back together."""
    assert retry_delay(5, None, lambda: 0.0) == 0.0
    assert retry_delay(5, None, lambda: 0.25) == 4.0


def test_base_and_cap_can_be_given() -> None:
    """The base is the class's, the cap the caller's."""
    assert retry_delay(2, None, lambda: 1.0, base=0.5) == 1.0
    assert retry_delay(9, None, lambda: 1.0, cap=5.0) == 5.0


@given(st.integers(), st.floats(0, MAX_RETRY_AFTER), st.floats(0, 1, exclude_max=True))
def test_retry_after_is_a_floor_that_the_cap_does_not_lower(attempt: int, asked: float, random: float) -> None:
    """What the server asks for is kept whatever the backoff says."""
    delay = retry_delay(attempt, asked, lambda: random)
    assert asked <= delay <= max(asked, 60.0)


NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT

RETRY_AFTER: list[tuple[str, float | None]] = [
    ("0", 0.0),
    ("120", 120.0),
    (" 120 ", 120.0),
    ("86400", MAX_RETRY_AFTER),
    ("9" * 5000, MAX_RETRY_AFTER),
    ("Sun, 06 Nov 1994 08:51:37 GMT", 120.0),
    ("Sun Nov  6 08:51:37 1994", 120.0),
    ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
    ("Tue, 06 Nov 2040 08:49:37 GMT", MAX_RETRY_AFTER),
    ("", None),
    ("-5", None),
    ("1.5", None),
    ("+3", None),
    ("1e3", None),
    ("\u0661\u0662", None),  # digits to Python, not to HTTP
    ("soon", None),
    ("Sun, 99 Nov 1994 08:51:37 GMT", None),
]


@pytest.mark.parametrize(("value", "expected"), RETRY_AFTER)
def test_retry_after_is_seconds_or_a_date(value: str, expected: float | None) -> None:
    """Both forms of RFC 9110 section 10.2.3, bounded; nonsense is None."""
    assert parse_retry_after(value, NOW) == expected


@given(st.text())
def test_retry_after_never_raises(value: str) -> None:
    """Whatever a server sends is a bounded number of seconds or nothing."""
    found = parse_retry_after(value, NOW)
    assert found is None or 0 <= found <= MAX_RETRY_AFTER


@pytest.mark.parametrize("failure_class", list(FailureClass))
def test_behind_a_redirection_nothing_is_held_against_the_items_own_host(failure_class: FailureClass) -> None:
    """It has answered; and the attempts count, for no breaker ends them."""
    here, behind = verdict(Failure(failure_class, "x")), verdict(Failure(failure_class, "x", redirected=True))
    assert not behind.host_at_fault
    assert behind.retry == here.retry
    assert behind.counts or not here.host_at_fault


@pytest.mark.parametrize(
    ("number", "unasked"),
    [
        (socket.EAI_NONAME, False),
        (socket.EAI_NODATA, False),
        (socket.EAI_AGAIN, True),
        (socket.EAI_FAIL, True),
        (socket.EAI_SYSTEM, True),
    ],
)
def test_a_name_that_is_none_is_told_from_one_that_could_not_be_asked_for(number: int, unasked: bool) -> None:
    """The first is an answer, the second says nothing of the host."""
    assert was_unasked(ClientConnectorDNSError("h", 80, [socket.gaierror(number, "x")])) is unasked


def test_only_the_name_service_can_be_unasked() -> None:
    """Whatever else has no answer."""
    assert not was_unasked(ConnectionTimeoutError(8))
    assert not was_unasked(ClientConnectorDNSError("h", 80, []))
