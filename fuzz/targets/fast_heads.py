# Invariant: what the fast way reads, the parser reads in the same way: status, reason, fields and framing.
"""The ordinary head by one expression, beside the parser that it stands in for (``fetchd.client.fasthead``)."""

from __future__ import annotations

from fetchd.client.exchange import ContentWishes, Exchange
from fetchd.client.fasthead import ordinary_head, split_fields

from ..engine import Target
from . import heads

__all__ = ["TARGET"]


def _check(data: bytes) -> bool:
    found = ordinary_head(data)
    if found is None:
        return False
    status, reason, fields, message = found
    exchange = Exchange("GET", ContentWishes(decode=False))
    # Behind its first octet a head cannot take the fast way any more.
    exchange.receive(data[:1])
    exchange.receive(data[1:])
    assert exchange.message == message, f"{exchange.message} by the parser, {message} by the fast way"
    assert (exchange.status, exchange.reason, exchange.version) == (status, reason, "1.1")
    assert exchange.fields == split_fields(fields)
    return True


TARGET = Target("fast_heads", heads.generate, _check, heads.TARGET.tokens)
