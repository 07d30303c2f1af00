"""The error tree of ``fetchd.client``. A leaf: it imports nothing of the package.

    ClientError
    +-- InvalidURL (also ValueError)              the caller: what was given is no http(s) URL
    +-- ClientConnectionError                     no usable connection
    |   +-- SessionClosedError (also RuntimeError)   closed by you: the session or connector was used after close()
    |   +-- ServerDisconnectedError               closed by the peer before a whole response head came
    |   +-- ClientOSError (also OSError)          the socket broke under a request (reset, broken pipe ...)
    |   |   +-- ClientConnectorError              no connection could be made; ``attempts`` holds every failure
    |   |       +-- AddressNotAllowedError        ``allow_address`` refused every address; ``addresses``
    |   |       +-- ClientConnectorDNSError       the name did not resolve
    |   |       +-- ClientConnectorSSLError       the TLS handshake failed
    |   |       |   +-- ClientConnectorCertificateError   the certificate was not accepted
    |   |       |       +-- ServerFingerprintMismatch     it is not the one that was pinned
    |   |       +-- ClientProxyConnectionError    the proxy cannot be reached, or cannot be used
    |   |       +-- DescriptorLimitError          this process can open no more files; ``limit``
    |   +-- ServerTimeoutError (also TimeoutError)        a phase took longer than its bound
    |       +-- PoolTimeoutError                  waiting for a free connection slot
    |       +-- ConnectionTimeoutError            DNS, TCP and TLS together
    |       +-- FirstByteTimeoutError             request sent, no response head yet
    |       +-- IdleReadTimeoutError              no octet of the body for too long
    |       +-- IdleWriteTimeoutError             the peer took no octet of the request for too long
    |       +-- LowSpeedTimeoutError              the content came too slowly: ``rate``, ``received``
    |       +-- TotalTimeoutError                 ``Timeout.total``, up to the last octet of the body
    +-- ClientResponseError                       a response came, and it is not what was asked for
    |   +-- ClientHttpProxyError                  a proxy refused the tunnel (its status)
    |   +-- TooManyRedirects
    |   +-- RedirectError                         a redirection that must not or cannot be followed
    |   +-- ContentTypeError                      ``json()`` of something else
    +-- ResponseProtocolError                     the peer does not speak HTTP/1.1 (RFC 9112)
    |   +-- ResponseHeadTooLargeError             a limit of the response head (``limit``)
    +-- ClientPayloadError                        the content is not whole or not usable
        +-- IncompleteMessageError                ended early: ``received``, ``expected``
        +-- ContentCodingError                    a content coding that is broken, cut off or unknown
        +-- BodyTooLargeError                     ``max_body_bytes`` or the decoded-size bound (``limit``)
        +-- DigestMismatchError                   not what its digest says: ``expected``, ``seen``
    StreamConsumedError (RuntimeError)            the caller: the content was already read as a stream

Each class tells in its docstring who should act, in a paragraph that begins with "Who acts:".
Messages never hold credentials: URLs are given to these classes without userinfo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AddressNotAllowedError",
    "BodyTooLargeError",
    "ClientConnectionError",
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientError",
    "ClientHttpProxyError",
    "ClientOSError",
    "ClientPayloadError",
    "ClientProxyConnectionError",
    "ClientResponseError",
    "ConnectionTimeoutError",
    "ContentCodingError",
    "ContentTypeError",
    "DescriptorLimitError",
    "DigestMismatchError",
    "FirstByteTimeoutError",
    "IdleReadTimeoutError",
    "IdleWriteTimeoutError",
    "IncompleteMessageError",
    "InvalidURL",
    "LowSpeedTimeoutError",
    "PoolTimeoutError",
    "RedirectError",
    "ResponseHeadTooLargeError",
    "ResponseProtocolError",
    "ServerDisconnectedError",
    "ServerFingerprintMismatch",
    "ServerTimeoutError",
    "SessionClosedError",
    "StreamConsumedError",
    "TooManyRedirects",
    "TotalTimeoutError",
]


class ClientError(Exception):
    """Root of everything the client raises on purpose; catch it to catch them all.

    Who acts: what the class says that is raised.

    Attributes:
        url: Target of the request, after redirections, without userinfo; None where no request is at fault.
        history: Responses that led here by redirection, oldest first: with some it was not the host of the URL that
            failed.
    """

    url: str | None = None
    history: tuple[Any, ...] = ()


class InvalidURL(ClientError, ValueError):
    """The URL cannot be requested.

    Who acts: the caller, who corrects the URL; trying again is of no use.

    Attributes:
        url: The URL as given, without userinfo.
        reason: What is wrong with it, one phrase.
    """

    url: str

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(url, reason)

    def __str__(self) -> str:
        return f"invalid URL {self.url!r}: {self.reason}"


class ClientConnectionError(ClientError):
    """No usable connection.

    Who acts: usually nobody; try again, after a pause.
    """


class SessionClosedError(ClientConnectionError, RuntimeError):
    """A session or connector was used after it was closed.

    Who acts: the caller, whose code uses what it has closed.
    """


class ServerDisconnectedError(ClientConnectionError):
    """The peer closed the connection before a whole response head came.

    Who acts: nobody; try again. A request that may have had an effect was not sent again by the client.

    Attributes:
        received: Octets of the head that had come.
    """

    def __init__(self, message: str = "server disconnected", received: int = 0) -> None:
        self.received = received
        super().__init__(message, received)

    def __str__(self) -> str:
        return f"{self.args[0]} after {self.received} octets of the response head"


class ClientOSError(ClientConnectionError, OSError):
    """The operating system reported that the connection broke; ``errno`` says how.

    Who acts: nobody; try again, after a pause. When it goes on, who runs the server or the network between.
    """


class ClientConnectorError(ClientOSError):
    """No connection to the origin could be made: every address failed.

    Who acts: the caller where host or port are wrong, else who runs the server; try again later.

    Attributes:
        host: Host name or socket path.
        port: Port, None for a Unix socket.
        attempts: The failure of each address, in the order they were tried.
    """

    def __init__(self, host: str, port: int | None, attempts: Sequence[BaseException]) -> None:
        self.host = host
        self.port = port
        self.attempts = tuple(attempts)
        first = self.attempts[0] if self.attempts else None
        errno = first.errno if isinstance(first, OSError) else None
        super().__init__(errno, "; ".join(str(a) for a in self.attempts))

    @property
    def where(self) -> str:
        """``host:port``, or the path of the Unix socket."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"cannot connect to {self.where}: {self.args[1]}"


class AddressNotAllowedError(ClientConnectorError):
    """Every address of the host was refused by the connector's ``allow_address``. Nothing was connected to.

    Who acts: the caller, whose policy this is; trying again is of no use.

    Attributes:
        addresses: What was refused.
    """

    def __init__(self, host: str, port: int | None, addresses: Sequence[str]) -> None:
        self.addresses = tuple(addresses)
        super().__init__(host, port, (ValueError(f"allow_address refuses {', '.join(self.addresses)}"),))


class DescriptorLimitError(ClientConnectorError):
    """This process can open no more files, and no idle connection was left to give way.

    Who acts: the caller, who raises the limit (``ulimit -n``), lowers the connector's ``limit``, or looks for what is
    left open.

    Attributes:
        limit: RLIMIT_NOFILE of the process; None when it has none and the system is at its end.
    """

    def __init__(self, host: str, port: int | None, attempts: Sequence[BaseException], limit: int | None) -> None:
        self.limit = limit
        super().__init__(host, port, attempts)

    def __str__(self) -> str:
        bound = (
            "the system can open no more" if self.limit is None else f"the process may open {self.limit} (ulimit -n)"
        )
        return f"cannot connect to {self.where}: no file can be opened, {bound}: {self.args[1]}"


class ClientConnectorDNSError(ClientConnectorError):
    """The host name did not resolve.

    Who acts: the caller where the name is wrong, else who runs the resolver or the domain; try again later.
    """

    def __str__(self) -> str:
        return f"cannot resolve {self.host}: {self.args[1]}"


class ClientConnectorSSLError(ClientConnectorError):
    """The TLS handshake failed.

    Who acts: who runs the server, unless your own context is too strict for it; trying again is of little use.
    """

    def __str__(self) -> str:
        return f"TLS handshake with {self.where} failed: {self.args[1]}"


class ClientConnectorCertificateError(ClientConnectorSSLError):
    """The certificate of the server was not accepted. Nothing was sent.

    Who acts: who runs the server; or the caller, who lacks the authority that signed it or asked for another name.
    """

    def __str__(self) -> str:
        return f"certificate of {self.where} was not accepted: {self.args[1]}"


class ServerFingerprintMismatch(ClientConnectorCertificateError):
    """The server showed another certificate than the pinned one. Nothing was sent.

    Who acts: the caller. Either the server has a new certificate, and the pin must be renewed from a source you trust,
    or somebody else answers.

    Attributes:
        expected: SHA-256 digest that was pinned.
        got: SHA-256 digest of the certificate that was shown.
    """

    def __init__(self, expected: bytes, got: bytes, host: str, port: int | None) -> None:
        self.expected = expected
        self.got = got
        super().__init__(host, port, (ValueError(f"SHA-256 {got.hex()}, expected {expected.hex()}"),))


class ClientProxyConnectionError(ClientConnectorError):
    """The proxy cannot be reached, or what it says cannot be used.

    Who acts: the caller where its address or port are wrong, else who runs the proxy.
    """

    def __str__(self) -> str:
        return f"cannot use the proxy {self.where}: {self.args[1]}"


class ServerTimeoutError(ClientConnectionError, TimeoutError):
    """A phase of the request took longer than its bound.

    Who acts: nobody; try again later, or the caller, whose bound is too short for this server.

    Attributes:
        seconds: The bound that was exceeded.
    """

    phase = "the request"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(seconds)

    def __str__(self) -> str:
        return f"{self.phase} took longer than {self.seconds:g} s"


class PoolTimeoutError(ServerTimeoutError):
    """No connection slot became free in time (``Timeout.pool``).

    Who acts: the caller, who asks for more at once than the connector's ``limit`` lets through.
    """

    phase = "waiting for a free connection"


class ConnectionTimeoutError(ServerTimeoutError):
    """DNS, TCP and TLS together took too long (``Timeout.connect``).

    Who acts: nobody; try again later, or who runs the server or the network between.
    """

    phase = "connecting"


class FirstByteTimeoutError(ServerTimeoutError):
    """The request was sent and no response head came in time (``Timeout.first_byte``).

    Who acts: who runs the server, or the caller, whose bound is too short for what was asked.
    """

    phase = "waiting for the response head"


class IdleReadTimeoutError(ServerTimeoutError):
    """No octet of the content came for too long (``Timeout.idle_read``).

    Who acts: nobody; try again, and go on from where it broke off (Range, If-Range).
    """

    phase = "waiting for more of the content"


class IdleWriteTimeoutError(ServerTimeoutError):
    """The peer took no octet of the request for too long (``Timeout.idle_write``).

    Who acts: who runs the server; try again later.
    """

    phase = "sending the request"


class LowSpeedTimeoutError(ServerTimeoutError):
    """The content came too slowly (``Timeout.low_speed``).

    Who acts: nobody; another server, or another hour, may be quicker.

    Attributes:
        seconds: Over how many the average was taken.
        rate: Octets a second that were expected.
        received: Octets that came in these seconds.
    """

    def __init__(self, seconds: float, rate: float, received: int) -> None:
        super().__init__(seconds)
        self.rate = rate
        self.received = received
        self.args = (seconds, rate, received)

    def __str__(self) -> str:
        seen = self.received / self.seconds
        return f"the content came at {seen:.0f} octets/s over {self.seconds:g} s; expected at least {self.rate:g}"


class TotalTimeoutError(ServerTimeoutError):
    """The whole exchange, up to the last octet of content, took too long (``Timeout.total``).

    Who acts: the caller, whose bound is too short for what was asked, or nobody: try again.
    """


class ClientResponseError(ClientError):
    """A response came and it is not what was asked for.

    Who acts: by ``status``, the caller (4xx) or who runs the server (5xx, 429: try again later).

    Attributes:
        status: Status code (RFC 9110 section 15).
        message: Reason phrase, or what is wrong.
        headers: Fields of the response.
        url: Target of the request, without userinfo.
        history: Responses that led here by redirection, oldest first.
    """

    url: str

    def __init__(
        self,
        url: str,
        *,
        status: int = 0,
        message: str = "",
        headers: Mapping[str, str] | None = None,
        history: Sequence[Any] = (),
    ) -> None:
        self.url = url
        self.status = status
        self.message = message
        self.headers = headers
        self.history = tuple(history)
        super().__init__(url, status, message)

    def __str__(self) -> str:
        return f"{self.status} {self.message} from {self.url}"


class ClientHttpProxyError(ClientResponseError):
    """A proxy refused to open a tunnel.

    Who acts: by ``status``, the caller (407: it asks for credentials, or for other ones) or who runs the proxy.
    """

    def __str__(self) -> str:
        return f"{self.status} {self.message} from the proxy {self.url}"


class TooManyRedirects(ClientResponseError):
    """More redirections than ``max_redirects``, or a loop without end.

    Who acts: who runs the server; or the caller, who lets cookies through or raises ``max_redirects``.
    """


class RedirectError(ClientResponseError):
    """A redirection that must not be followed (scheme) or cannot be (a body that is used up).

    Who acts: the caller, who asks for the target, or gives content that can be sent twice.
    """


class ContentTypeError(ClientResponseError):
    """``json()`` of a response whose Content-Type is not JSON.

    Who acts: the caller, who looks at what came; ``content_type=None`` waives the look.
    """


class ResponseProtocolError(ClientError):
    """The peer's octets are no HTTP/1.1 response (RFC 9112). The connection is closed.

    Who acts: who runs the server, or what stands before it; trying again is of little use.
    """


class ResponseHeadTooLargeError(ResponseProtocolError):
    """The response head, or the trailer section, exceeds a limit.

    Who acts: who runs the server; the limits are constants of ``fetchd.client.limits``.

    Attributes:
        what: Which part.
        limit: The bound that was exceeded, octets or fields.
    """

    def __init__(self, what: str, limit: int) -> None:
        self.what = what
        self.limit = limit
        super().__init__(what, limit)

    def __str__(self) -> str:
        return f"{self.what} exceeds the limit of {self.limit}"


class ClientPayloadError(ClientError):
    """The content did not arrive whole, or cannot be used.

    Who acts: nobody; throw away what came, or go on from there, and try again.
    """


class IncompleteMessageError(ClientPayloadError):
    """The message ended before its framing says it does (RFC 9112 section 8).

    Who acts: nobody; try again, and go on from ``received`` (Range, If-Range).

    Attributes:
        received: Octets of content that came, content codings not removed.
        expected: Octets that were announced; None when the framing does not tell (chunked, to end of file).
    """

    def __init__(self, received: int, expected: int | None, cause: str = "connection closed") -> None:
        self.received = received
        self.expected = expected
        self.cause = cause
        super().__init__(received, expected, cause)

    def __str__(self) -> str:
        expected = "more of it" if self.expected is None else f"{self.expected} octets"
        return f"incomplete content: {self.cause} after {self.received} octets, expected {expected}"


class ContentCodingError(ClientPayloadError):
    """The content coding (gzip, deflate, br, zstd) is broken, unknown or cut off.

    Who acts: who runs the server; or the caller, who installs the extra for br and zstd, or asks for identity.
    """


class BodyTooLargeError(ClientPayloadError):
    """The content exceeds a bound.

    Who acts: the caller, whose bound this is.

    Attributes:
        what: Which bound.
        limit: Its value in octets (or the ratio).
    """

    def __init__(self, what: str, limit: int) -> None:
        self.what = what
        self.limit = limit
        super().__init__(what, limit)

    def __str__(self) -> str:
        return f"{self.what} exceeds the limit of {self.limit}"


class DigestMismatchError(ClientPayloadError):
    """The content came whole, and is not what its digest says (RFC 9530).

    Who acts: the caller, who throws away what was made of it and tries again; then who runs the server.

    Attributes:
        field: ``Content-Digest`` or ``Repr-Digest``.
        algorithm: As registered, ``sha-256``.
        expected: The digest that was announced.
        seen: The digest of what came.
    """

    def __init__(self, field: str, algorithm: str, expected: bytes, seen: bytes) -> None:
        self.field = field
        self.algorithm = algorithm
        self.expected = expected
        self.seen = seen
        super().__init__(field, algorithm, expected, seen)

    def __str__(self) -> str:
        return (
            f"the content is not what {self.field} says: {self.algorithm} {self.seen.hex()}, "
            f"expected {self.expected.hex()}"
        )


class StreamConsumedError(RuntimeError):
    """``read()``, ``text()``, ``json()`` or ``save()`` after streaming had begun.

    Who acts: the caller, whose code reads the content twice.
    """
