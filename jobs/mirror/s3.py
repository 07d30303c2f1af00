"""Stores that speak S3 as destinations: where a bucket is, and requests signed by AWS Signature Version 4.

The signatures, and where credentials come from (the environment, the files of the AWS tools, a role), are botocore's:
Amazon keeps it, it is under the Apache licence, and it needs no other package of theirs. The requests are ours.
Not here: uploads in parts (``s3_parts``).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes, urlsplit
from xml.etree import ElementTree

from fetchd.client.workers import finished

from ..attempts import AttemptFailedError
from ..exceptions import SettingsError
from ..failures import Failure, FailureClass

__all__ = ["MIN_PART_BYTES", "S3", "S3_SCHEME", "UNSIGNED", "S3Store", "bucket_and_key", "text_of"]

S3_SCHEME: Final = "s3://"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
"""In the place of the content's SHA-256, where that is not known when the head is sent."""
MIN_PART_BYTES: Final = 5 << 20
"""Least size of a part that is not the last, by the service's limits."""
MAX_PART_BYTES: Final = 1 << 30
"""More would be in memory at a time than anybody wants; the service takes 5 GiB."""
_DEFAULT_REGION: Final = "us-east-1"
# Lower-case letters, digits, hyphens and dots, 3 to 63 of them: the service's rule for new buckets.
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]").fullmatch
_SIGNED: Final = ("content-type", "content-md5")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3:
    """How a store is used that an ``s3://bucket/...`` names.

    Attributes:
        endpoint: URL of a store other than Amazon's; the bucket is then the first part of the path. None, the default,
            is Amazon's of the region.
        region: None, the default, is that of the environment or of the profile, else us-east-1.
        part_bytes: Octets of a part of a body that is sent in parts, one of which is in memory. Default 16 MiB.
    """

    endpoint: str | None = None
    region: str | None = None
    part_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        if not MIN_PART_BYTES <= self.part_bytes <= MAX_PART_BYTES:
            raise SettingsError(f"a part of {self.part_bytes} octets; expected {MIN_PART_BYTES} to {MAX_PART_BYTES}")
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)


class S3Store:
    """One bucket, as a session of botocore sees it.

    Args:
        to: ``s3://bucket/...``, a template or not.
        options: How the store is used.

    Attributes:
        place: *to* as the http(s) URL that requests go to, with the fields of the template that it may be.
        part_bytes: Of *options*.

    Raises:
        SettingsError: *to* names no bucket, or the extra ``s3`` is not installed.
    """

    def __init__(self, to: str, options: S3) -> None:
        bucket, key = bucket_and_key(to)
        try:
            import botocore.session
        except ImportError:
            message = "S3 needs a package that is not installed; pip install 'fetchd[s3]' brings it"
            raise SettingsError(message) from None
        self._session: Any = botocore.session.Session()
        self._region = options.region or self._session.get_config_variable("region") or _DEFAULT_REGION
        self.place = f"{_base(bucket, self._region, options.endpoint)}/{key}"
        self.part_bytes = options.part_bytes
        self._credentials: Any = None

    def exact(self, url: str) -> str:
        """*url* with its path escaped as the service does it for the signature: a store decodes what it is sent."""
        split = urlsplit(url)
        return split._replace(path=quote(unquote_to_bytes(split.path), safe="/~")).geturl()

    async def sign(
        self, method: str, url: str, fields: Sequence[tuple[str, str]], sha256: str = UNSIGNED
    ) -> list[tuple[str, str]]:
        """*fields*, and those that the signature adds.

        Args:
            method: Of the request.
            url: As ``exact`` gives it.
            fields: Of the request.
            sha256: Of the content, hexadecimal.

        Raises:
            AttemptFailedError: There are no credentials.
        """
        from botocore.awsrequest import AWSRequest

        signed = {name: value for name, value in fields if name.lower() in _SIGNED or name.lower().startswith("x-amz-")}
        request = AWSRequest(method=method, url=url, headers=signed)
        _signer(await self._frozen(), self._region, sha256).add_auth(request)
        names = {name.lower() for name in request.headers}
        return [*(field for field in fields if field[0].lower() not in names), *request.headers.items()]

    async def _frozen(self) -> Any:
        """The credentials of this moment; looked for, and renewed, by a worker: that may ask a service of the host."""
        loop = asyncio.get_running_loop()
        if self._credentials is None:
            self._credentials = await finished(loop.run_in_executor(None, self._session.get_credentials))
        if self._credentials is None:
            message = (
                "no credentials for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role have them"
            )
            raise AttemptFailedError(Failure(FailureClass.POLICY, message, of_sink=True), is_final=True)
        return await finished(loop.run_in_executor(None, self._credentials.get_frozen_credentials))


def bucket_and_key(to: str) -> tuple[str, str]:
    """The parts of ``s3://bucket/key``, whose key may be a template.

    Raises:
        SettingsError: It is no such thing.
    """
    bucket, _, key = to.removeprefix(S3_SCHEME).partition("/")
    if _BUCKET(bucket) is None or not key:
        raise SettingsError(f"the destination {to!r}; expected s3://BUCKET/KEY with the name of a bucket")
    return bucket, key


def text_of(xml: bytes, name: str) -> str | None:
    """The text of the first element *name*, in whatever name space; None when there is none, or no XML."""
    if b"<!" in xml:  # a DOCTYPE, which no answer of a store has
        return None
    try:
        found = ElementTree.fromstring(xml).iter()
    except ElementTree.ParseError:
        return None
    return next((each.text or "" for each in found if each.tag.rpartition("}")[2] == name), None)


def _check_endpoint(endpoint: str) -> None:
    split = urlsplit(endpoint)
    if split.scheme not in ("http", "https") or not split.netloc or split.query or "@" in split.netloc:
        raise SettingsError(f"the endpoint {endpoint!r}; expected a URL such as https://store.example")


def _base(bucket: str, region: str, endpoint: str | None) -> str:
    """Where *bucket* is, without a slash at the end."""
    if endpoint is not None:
        return f"{endpoint.rstrip('/')}/{bucket}"
    if "." in bucket:  # the service's certificate has one name below the host
        return f"https://s3.{region}.amazonaws.com/{bucket}"
    return f"https://{bucket}.s3.{region}.amazonaws.com"


def _signer(credentials: Any, region: str, sha256: str) -> Any:
    from botocore.auth import S3SigV4Auth

    class Signer(S3SigV4Auth):  # type: ignore[misc]
        """Takes the hash of the content from the caller, who has the content."""

        def payload(self, request: Any) -> str:
            return sha256

    return Signer(credentials, "s3", region)
