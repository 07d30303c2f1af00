"""What is told of a host whose account has changed: that it asks to wait, fails, is given up, or answers again. Pure.

Only changes are told. A halt that is put off by less than a second is none: while a host throttles, every answer that
was under way says once more what the first has said.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .events import HostChanged, HostStanding
from .failures import Failure
from .hosts import BreakerState, HostBudget

__all__ = ["UNTROUBLED", "Account", "account_of", "news_of"]

_WORTH_TELLING: Final = 1.0  # seconds

_STANDINGS: Final = {
    BreakerState.CLOSED: HostStanding.ANSWERS,
    BreakerState.PROBING: HostStanding.FAILS,
    BreakerState.DEAD: HostStanding.DEAD,
}


class Account(NamedTuple):
    """Where a host stands.

    Attributes:
        state: Of its breaker.
        gate: Monotonic seconds before which nothing starts because it asked for that.
    """

    state: BreakerState
    gate: float


UNTROUBLED: Final = Account(BreakerState.CLOSED, float("-inf"))
"""The account of a host that has no budget."""


def account_of(budget: HostBudget | None) -> Account:
    """Return where a host with *budget* stands."""
    return UNTROUBLED if budget is None else Account(budget.state, budget.gate_until)


def news_of(host: str, before: Account, after: Account, now: float, failure: Failure | None) -> list[HostChanged]:
    """Return what has changed of *host* from *before* to *after*, because of *failure* or (None) of an answer."""
    message = "" if failure is None else failure.message
    news = []
    if after.state is not before.state:
        news.append(HostChanged(host, _STANDINGS[after.state], 0.0, message))
    if after.gate - max(before.gate, now) > (_WORTH_TELLING if before.gate > now else 0.0):
        news.append(HostChanged(host, HostStanding.WAITS, after.gate - now, message))
    return news
