"""``ContinuedContent``: the content of a response on its way into a request, going on with another when it breaks off.

Lives here: what the caller gives, and how far it has come. Not here: how the octets travel (``bodies``, ``relay``), how
the rest is asked for (Range and If-Range, RFC 9110 section 14, are the caller's).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .exceptions import ClientError
from .streams import StreamReader

__all__ = ["ContinuedContent"]


class ContinuedContent:
    """The content of a response as ``data=`` of a request; when it breaks off, the caller has it go on::

        async def go_on(delivered: int, failure: ClientError) -> StreamReader:
            rest = await session.get(url, headers={"Range": f"bytes={delivered}-", "If-Range": etag})
            if rest.status != 206:
                raise failure
            return rest.content

        await session.put(target, data=ContinuedContent(response.content, go_on))

    The request is sent once and its octets in a row, whoever gave them. Its length is that of the first content.

    Args:
        first: Of which nothing was read yet.
        go_on: Called with the octets that were handed on and with what broke the content. It returns content that
            goes on from there, or raises what the request is to fail with.

    Attributes:
        first: As given.
        delivered: Octets that the request's socket has taken.
    """

    def __init__(self, first: StreamReader, go_on: Callable[[int, ClientError], Awaitable[StreamReader]]) -> None:
        self.first = first
        self.go_on = go_on
        self.delivered = 0
