"""An exchange without a connection: fed with octets, it tells what it made of them. Shared by several targets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from fetchd.client.exceptions import ClientError
from fetchd.client.exchange import ContentWishes, Exchange
from fetchd.client.framing import RawFields

from .engine import pieces

__all__ = ["Told", "alike", "tell"]

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search


class Told(NamedTuple):
    """All that an exchange tells of a response; *is_reusable* counts octets that stood behind it against it."""

    status: int
    reason: bytes
    version: str
    fields: RawFields
    trailers: RawFields
    content: bytes
    is_ended: bool
    is_reusable: bool
    error: BaseException | None


class _Wire:
    """A connection that remembers whether it would be kept."""

    is_reusable = False

    def exchange_ended(self, exchange: Exchange, reusable: bool) -> None:
        self.is_reusable = reusable

    def exchange_failed(self, exchange: Exchange) -> None:
        self.is_reusable = False

    def pause(self, exchange: Exchange) -> None:
        """The reader of a target takes all when all has come."""

    def resume(self, exchange: Exchange) -> None:
        """See ``pause``."""


def tell(parts: Sequence[bytes], method: str = "GET", *, eof: bool = True) -> Told:
    """Feed *parts* to a new exchange, then the end of the connection if *eof*; content codings stay.

    Raises:
        AssertionError: It failed by something that is no ClientError, or told what no response may hold.
    """
    exchange, wire = Exchange(method, ContentWishes(decode=False)), _Wire()
    exchange.transport = wire
    exchange.is_sent = True
    left = 0
    for part in parts:
        if exchange.is_over:
            left += len(part)
        elif part:
            exchange.receive(part)
    if eof and not exchange.is_over:
        exchange.receive_eof()
    error = exchange.error or exchange.body.exception
    assert error is None or isinstance(error, ClientError), f"no error of ours: {error!r}"
    if exchange.message is not None:
        _check_head(exchange)
    return Told(
        exchange.status,
        exchange.reason,
        exchange.version,
        exchange.fields,
        exchange.trailers,
        exchange.body.take_all(),
        exchange.is_ended,
        wire.is_reusable and not left,
        error,
    )


def _check_head(exchange: Exchange) -> None:
    """What a caller is given of a head is fit to be shown, stored and passed on (RFC 9110 section 5)."""
    assert 200 <= exchange.status <= 999
    assert _CONTROL(exchange.reason) is None
    for name, value in [*exchange.fields, *exchange.trailers]:
        assert _TOKEN(name), f"field name {name!r}"
        assert _CONTROL(value) is None, f"value of field {name!r}"


def alike(data: bytes, method: str = "GET", *, eof: bool = True) -> Told:
    """What *data* means, whole; and the same however it comes.

    Which error ends a message may depend on what is seen first; that there is one may not.
    """
    first, *others = (tell(parts, method, eof=eof) for parts in pieces(data))
    for other in others:
        assert (first.is_ended, first.error is None) == (other.is_ended, other.error is None), f"{first} but {other}"
        assert not first.is_ended or first == other, f"{first} but {other}"
    return first
