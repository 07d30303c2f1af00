"""A body to a store in parts (S3's multipart upload): where one breaks off, the parts before it stay sent.

A part is gathered in memory, so it can be sent again without its source. A body that ends within the first part is one
PUT. Where the whole cannot be brought to its end the upload is aborted, so that the store keeps nothing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import escape

from fetchd.client import ClientError, ClientResponse, ClientSession, RequestOptions
from fetchd.client.workers import finished

from ..attempts import AttemptFailedError, status_failure
from ..failures import Failure, FailureClass, classify
from .again import Again
from .s3 import S3Store, text_of

__all__ = ["Parts", "judge_answer", "part_bytes_of"]

MAX_PARTS: Final = 10_000
_ANSWER_BYTES: Final = 65_536
_ABORT_S: Final = 5.0
"""Seconds that a run which is being stopped waits for the store to forget an upload."""

_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"

Fields = Sequence[tuple[str, str]]
RawFields = tuple[tuple[bytes, bytes], ...]


def part_bytes_of(length: int | None, part_bytes: int) -> int:
    """Octets of a part: *part_bytes*, or more where *length* would come to more than the parts that may be."""
    return part_bytes if length is None else max(part_bytes, -(-length // MAX_PARTS))


class Parts:
    """Sends one body.

    Args:
        session: Of the destination.
        store: Signs.
        url: Of the object, as ``S3Store.exact`` gives it.
        options: Of each request, with these fields and before they are signed.
        spend: Takes one of the item's tries; False when there is none.
    """

    def __init__(
        self,
        session: ClientSession,
        store: S3Store,
        url: str,
        options: Callable[[Fields], RequestOptions],
        spend: Callable[[], bool],
    ) -> None:
        self._session = session
        self._store = store
        self._url = url
        self._options = options
        self._spend = spend

    async def send(
        self, pieces: AsyncIterator[bytes], fields: Fields, last_fields: Fields, part_bytes: int
    ) -> tuple[int, RawFields]:
        """Send what *pieces* give.

        Args:
            pieces: The body.
            fields: Of the object.
            last_fields: Of the request that makes it appear: conditions.
            part_bytes: Octets of each part but the last.

        Returns:
            Status and fields of the answer to the request that made the object appear.

        Raises:
            AttemptFailedError: The store refuses, or cannot be reached any more; nothing of the body stays there.
        """
        upload: str | None = None
        etags: list[str] = []
        try:
            async for part in _gathered(pieces, part_bytes):
                if upload is None and len(part) < part_bytes:
                    status, answered, _ = await self._ask("PUT", self._url, [*fields, *last_fields], part)
                    return status, answered
                upload = upload or await self._begin(fields)
                etags.append(await self._put(upload, len(etags) + 1, part))
            if upload is None:  # empty
                status, answered, _ = await self._ask("PUT", self._url, [*fields, *last_fields], b"")
                return status, answered
            return await self._complete(upload, etags, last_fields)
        except BaseException:
            if upload is not None:
                await self._abort(upload)
            raise

    async def _begin(self, fields: Fields) -> str:
        _, _, answer = await self._ask("POST", f"{self._url}?uploads=", fields, b"")
        upload = text_of(answer, "UploadId")
        if not upload:
            raise AttemptFailedError(_no_answer("began no upload"))
        return upload

    async def _put(self, upload: str, number: int, part: bytes) -> str:
        url = f"{self._url}?partNumber={number}&uploadId={_query(upload)}"
        _, answered, _ = await self._ask("PUT", url, (), part)
        etag = next((value for name, value in answered if name.lower() == b"etag"), None)
        if etag is None:
            raise AttemptFailedError(_no_answer(f"took part {number} and told no ETag"))
        return etag.decode("latin-1").strip()

    async def _complete(self, upload: str, etags: Sequence[str], fields: Fields) -> tuple[int, RawFields]:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        xml = f'<CompleteMultipartUpload xmlns="{_NAMESPACE}">{parts}</CompleteMultipartUpload>'
        url = f"{self._url}?uploadId={_query(upload)}"
        fields = [*fields, ("Content-Type", "application/xml")]
        status, answered, answer = await self._ask("POST", url, fields, xml.encode())
        # The status is sent before the store has put the parts together, and the answer then tells of an error.
        if text_of(answer, "ETag") is None:
            why = text_of(answer, "Code") or "it gave no reason"
            raise AttemptFailedError(_no_answer(f"did not complete the upload: {why}"))
        return status, answered

    async def _abort(self, upload: str) -> None:
        """Have the store forget the parts; when it cannot be told that, its own rules for unfinished uploads do."""
        url = f"{self._url}?uploadId={_query(upload)}"
        with contextlib.suppress(ClientError, TimeoutError, AttemptFailedError):
            async with asyncio.timeout(_ABORT_S):
                options = self._options(())
                options["headers"] = await self._store.sign("DELETE", url, _listed(options))
                async with self._session.delete(url, **options) as answer:
                    await answer.release()

    async def _ask(self, method: str, url: str, fields: Fields, content: bytes) -> tuple[int, RawFields, bytes]:
        """Status, fields and content of the answer of 2xx to a request that may be sent again."""
        loop = asyncio.get_running_loop()
        sha256 = await finished(loop.run_in_executor(None, lambda: hashlib.sha256(content).hexdigest()))
        again = Again(self._spend)
        while True:
            try:
                return await self._ask_once(method, url, fields, content, sha256)
            except AttemptFailedError as exc:
                await again.after(exc)

    async def _ask_once(
        self, method: str, url: str, fields: Fields, content: bytes, sha256: str
    ) -> tuple[int, RawFields, bytes]:
        options = self._options(fields)
        options["headers"] = await self._store.sign(method, url, _listed(options), sha256)
        options["data"] = content
        try:
            async with self._session.request(method, url, **options) as answer:
                return answer.status, answer.raw_headers, await judge_answer(answer)
        except ClientError as exc:
            raise AttemptFailedError(Failure(classify(exc), f"the destination: {exc}", of_sink=True)) from exc


async def judge_answer(answer: ClientResponse) -> bytes:
    """The content of an answer of 2xx.

    Raises:
        AttemptFailedError: It is another one; the message has the code that the store gives.
    """
    content = b""
    while len(content) < _ANSWER_BYTES and (piece := await answer.content.read(_ANSWER_BYTES)):
        content += piece
    if 200 <= answer.status <= 299:
        return content
    failure = status_failure(answer, "the destination: ", of_sink=True)
    code = text_of(content, "Code")
    raise AttemptFailedError(failure._replace(message=f"{failure.message} ({code})") if code else failure)


async def _gathered(pieces: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """*pieces* joined to parts of *size* octets; the last may be smaller, and there is none of no octets."""
    kept: list[bytes] = []
    count = 0
    async for piece in pieces:
        kept.append(piece)
        count += len(piece)
        while count >= size:
            whole = b"".join(kept)
            yield whole[:size]
            kept, count = [whole[size:]], count - size
    if count:
        yield b"".join(kept)


def _listed(options: RequestOptions) -> list[tuple[str, str]]:
    headers = options.get("headers")
    assert isinstance(headers, list), "made by the deliverer"
    return headers


def _query(text: str) -> str:
    return quote(text, safe="-_.~")


def _no_answer(what: str) -> Failure:
    return Failure(FailureClass.PROTOCOL, f"the destination: it {what}", of_sink=True)
