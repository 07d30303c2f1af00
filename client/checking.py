"""An exchange of which more is asked: a bound on the decoded content, digests that are held to it.

Most requests ask for neither, and pay for neither: a class of its own, chosen once for a request, instead of a question
at each step. Loaded when somebody asks. What a digest says is in ``digests``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from .codings import BoundedDecoder, CountingDecoder, Decoder
from .digests import Announced, Hashes, announced
from .exchange import ContentWishes, Exchange
from .framing import Framing

__all__ = ["CheckedExchange"]


class CheckedExchange(Exchange):
    """An exchange that checks the content it lets pass.

    Args:
        max_decoded_bytes: Bound of the content with its codings removed, in every stage of a stack; it takes the place
            of the bound on the ratio. None is no such bound.
        algorithms: By which Content-Digest and Repr-Digest are verified; by none they are not looked at.

    The others are those of ``Exchange``.
    """

    def __init__(
        self,
        method: str,
        wishes: ContentWishes,
        *,
        max_decoded_bytes: int | None = None,
        algorithms: Collection[str] = (),
    ) -> None:
        super().__init__(method, wishes)
        self._max_decoded_bytes = max_decoded_bytes
        self._algorithms = algorithms
        self._verifier: _Verifier | None = None

    @property
    def verified_digests(self) -> tuple[str, ...]:
        """See ``Exchange``."""
        return () if self._verifier is None else self._verifier.verified

    @property
    def changes_length(self) -> bool:
        """See ``Exchange``; to hash is to change nothing."""
        verifier = self._verifier
        return super().changes_length if verifier is None else verifier.is_decoding

    def _receive_ordinary(self, data: bytes) -> bool:
        # The short way gives the content away unseen.
        return not self._algorithms and super()._receive_ordinary(data)

    def _bounded(self, decoder: CountingDecoder) -> Decoder:
        if self._max_decoded_bytes is None:
            return super()._bounded(decoder)
        return BoundedDecoder(decoder, max_total=self._max_decoded_bytes, max_ratio=None)

    def _begin_message(self, version: str) -> None:
        super()._begin_message(version)
        message = self.message
        assert message is not None, "it has just begun"
        if not self._algorithms or message.framing is Framing.NONE or self._is_followed():
            return
        digests = announced(self.fields, method=self.method, status=self.status, algorithms=self._algorithms)
        if digests:
            hashes = Hashes(digest.algorithm for digest in digests)
        elif message.framing is Framing.CHUNKED:
            hashes = Hashes(self._algorithms)  # the trailer section may bring one
        else:
            return
        look = partial(announced, method=self.method, status=self.status, algorithms=self._algorithms)
        self._verifier = self._decoder = _Verifier(self._decoder, hashes, digests, partial(look, self.trailers))
        self._coded = []


class _Verifier:
    """A decoder that hashes what it is given, and at the end compares: the octets as sent, whatever is removed of them.

    Content without a coding passes as it is, in pieces of the size that is asked for.

    Args:
        inner: What decodes; None for content that is not coded.
        hashes: Of the algorithms that may be needed.
        head: The digests that the head announced.
        look: Gives those of the trailer section, once that has come.

    Attributes:
        verified: What was held to the content and found right.
    """

    def __init__(
        self, inner: Decoder | None, hashes: Hashes, head: list[Announced], look: Callable[[], list[Announced]]
    ) -> None:
        self._inner = inner
        self._hashes = hashes
        self._head = head
        self._look = look
        self._held = b""
        self._offset = 0
        self.verified: tuple[str, ...] = ()

    @property
    def is_decoding(self) -> bool:
        """Whether there is a coding to be removed."""
        return self._inner is not None

    @property
    def has_pending(self) -> bool:
        """See ``Decoder``."""
        return bool(self._held) if self._inner is None else self._inner.has_pending

    def decode(self, data: bytes, max_length: int) -> bytes:
        """See ``Decoder``."""
        self._hashes.update(data)
        if self._inner is not None:
            return self._inner.decode(data, max_length)
        if data:
            self._held = self._held[self._offset :] + data if self._held else data
            self._offset = 0
        piece = self._held[self._offset : self._offset + max_length]
        self._offset += len(piece)
        if self._offset == len(self._held):
            self._held, self._offset = b"", 0
        return piece

    def finish(self) -> None:
        """See ``Decoder``.

        Raises:
            DigestMismatchError: The content is not what was announced.
        """
        if self._inner is not None:
            self._inner.finish()
        self.verified = self._hashes.check([*self._head, *self._look()])
