"""What one attempt at an item gives: a body that came whole, or a failure. Who makes attempts is elsewhere."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from fetchd.client import ClientResponse

from .failures import Failure, FailureClass, classify_status, parse_retry_after
from .items import Item

__all__ = ["AttemptFailedError", "Attempts", "Fetched", "status_failure"]


class AttemptFailedError(Exception):
    """An attempt failed; the run decides what follows.

    Attributes:
        failure: How.
        delay: Seconds after which the item is to come again, for an attempt that was not made, 0 for behind those that
            wait; None for one that was made.
        is_final: Whether no further attempt is of use, whatever the failure is.
        wait: Seconds until the next attempt, in the place of those that follow from the failure; None for those.
    """

    def __init__(self, failure: Failure, *, delay: float | None = None, is_final: bool = False) -> None:
        self.failure = failure
        self.delay = delay
        self.is_final = is_final
        self.wait: float | None = None
        super().__init__(failure.message)


def status_failure(response: ClientResponse, of: str = "", *, of_sink: bool = False) -> Failure:
    """The failure that the status of *response* is; *of* stands before it."""
    retry_after = response.headers.get("Retry-After")
    return Failure(
        classify_status(response.status) or FailureClass.PROTOCOL,
        f"{of}status {response.status} {response.reason}".rstrip(),
        response.status,
        None if retry_after is None else parse_retry_after(retry_after, time.time()),
        of_sink=of_sink,
    )


@dataclass(slots=True)
class Fetched:
    """A body that came whole.

    Attributes:
        size: Octets of the whole file.
        data: The content, to be written; None when it is in the ``.part`` file.
        status: Status code of the answer.
        final_url: Where redirections led; None when that is the item's URL.
        modified: Last-Modified, seconds since 1970; None when it was not told.
        digest: For the ledger, as ``checksums.spelled`` writes it; None when none is to be kept.
        file: Where it goes, where only the response tells that; None where the item is.
        etag: As sent, where it is to be kept.
        last_modified: The same.
        head_at: When the head of the answer had come, by the loop's clock; 0 where the content had come with it.
        skipped: Why nothing was to be done after all; empty when it was.
    """

    size: int
    data: bytes | None
    status: int
    final_url: str | None = None
    modified: float | None = None
    digest: str | None = None
    file: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    head_at: float = 0.0
    skipped: str = ""


class Attempts(Protocol):
    """What makes the attempts of a run, and counts their octets."""

    @property
    def attempt(self) -> Callable[[Item], Awaitable[Fetched]]: ...
    @property
    def received(self) -> int: ...
