"""What a mirror is asked to do, besides what a run is: frozen values, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from fetchd.client import BasicAuth

from ..exceptions import SettingsError
from ..settings import RunSettings
from .digests import field_of
from .s3 import S3, S3_SCHEME, S3Store, bucket_and_key
from .template import UrlTemplate

__all__ = ["Delivery", "MirrorSettings", "SameBy", "store_of"]

SameBy = Literal["length", "etag", "digest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How one body is delivered.

    Attributes:
        method: ``PUT``, the default, or ``POST``.
        field: Name of the field of a form (multipart/form-data) that holds the body; None, the default, sends it raw.
        headers: Request fields for the destination, on top of the default ones.
        auth: For the destination; None for none.
        proxy: URL of the proxy to the destination; None to go there directly.
        if_absent: Send ``If-None-Match: *``: what is there already is left alone and skipped. Default False.
        skip_same: Ask both sides by HEAD first, and skip what has the same length, ETag or digest (Repr-Digest of
            RFC 9530). None, the default, does not ask.
        tee: Folder for a copy of each body; None, the default, for none.
        spool: Folder for bodies of unknown length, which are stored and then sent with their length; None, the
            default, sends them in chunks.
        mkcol: Make the collections of the destination first (MKCOL, RFC 4918 section 9.3). Default False.
        send_digest: Tell the destination the digest of a body that nobody tells beforehand in a trailer (Repr-Digest,
            RFC 9530), so that it is sent in chunks. Default False.
        s3: How the store is used that an ``s3://`` destination names; None, the default, by its defaults.
    """

    method: str = "PUT"
    field: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    auth: BasicAuth | None = None
    proxy: str | None = None
    if_absent: bool = False
    skip_same: SameBy | None = None
    tee: Path | None = None
    spool: Path | None = None
    mkcol: bool = False
    send_digest: bool = False
    s3: S3 | None = None

    def __post_init__(self) -> None:
        if self.method not in ("PUT", "POST"):
            raise SettingsError(f"the method is {self.method!r}; expected PUT or POST")
        if self.field is not None and self.method != "POST":
            raise SettingsError("a field of a form goes with POST only")
        if self.skip_same is not None and self.skip_same not in get_args(SameBy):
            raise SettingsError(f"skip_same is {self.skip_same!r}; expected one of {', '.join(get_args(SameBy))}")
        if self.send_digest and self.field is not None:
            raise SettingsError("send_digest is of a raw body: a form has other octets")
        if self.mkcol and self.method != "PUT":
            raise SettingsError("collections are made for PUT only")


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSettings:
    """The settings of a mirror.

    Attributes:
        run: Of the run that it is: manifest, concurrency, retries, and everything about the source. ``output`` is the
            folder of the ledger.
        to: Template of the destinations, http(s) or ``s3://bucket/...``; see ``template``.
        delivery: How each body is delivered.
        per_host: Uploads under way at a time to one host; None, the default, is that of *run*.
        unix_socket: Connect to this socket whatever host the destination names; None, the default, to go by TCP.
        cacert: File of certificates (PEM) to trust for the destination in place of the system's; None for those.
        insecure: Take any certificate of the destination. Default False.
    """

    run: RunSettings
    to: str
    delivery: Delivery = field(default_factory=Delivery)
    per_host: int | None = None
    unix_socket: Path | None = None
    cacert: Path | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if self.per_host is not None and self.per_host < 1:
            raise SettingsError(f"per_host of the destination is {self.per_host}; expected 1 or more")
        if self.insecure and self.cacert is not None:
            raise SettingsError("insecure and cacert of the destination exclude each other")
        if self.run.existing not in ("keep", "replace"):
            raise SettingsError(f"existing is {self.run.existing!r}; a mirror has no files: expected keep or replace")
        if self.run.on_collision == "replace":
            raise SettingsError("on_collision is 'replace'; expected error, skip or number for a mirror")
        if self.delivery.send_digest and not field_of([(self.run.checksum or "", b"")]):
            raise SettingsError(
                f"send_digest with checksum {self.run.checksum!r}; expected md5, sha1, sha256 or sha512"
            )
        if self.to.startswith(S3_SCHEME):
            self._check_s3()
        else:
            UrlTemplate(self.to)

    def _check_s3(self) -> None:
        bucket, key = bucket_and_key(self.to)
        UrlTemplate(f"https://{bucket}/{key}")
        delivery = self.delivery
        if delivery.method != "PUT" or delivery.mkcol or delivery.auth is not None or delivery.send_digest:
            raise SettingsError("an s3:// destination is put to and signed for: no POST, MKCOL, Basic or trailer")


def store_of(settings: MirrorSettings) -> S3Store | None:
    """The store that the destinations are in; None when they are ordinary URLs.

    Raises:
        SettingsError: The extra ``s3`` is not installed.
    """
    return S3Store(settings.to, settings.delivery.s3 or S3()) if settings.to.startswith(S3_SCHEME) else None
