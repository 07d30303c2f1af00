"""From the options of ``fetchd mirror`` as they were typed to validated settings. Pure; see ``options.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, cast, get_args

from fetchd.client import BasicAuth
from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.mirror import S3, Delivery, MirrorSettings, SameBy
from fetchd.jobs.mirror.digests import DIGEST
from fetchd.jobs.mirror.s3 import S3_SCHEME

from .options import RawRun, ReadText, RunOrder, run_order
from .values import parse_count, parse_fields, parse_size

__all__ = ["MirrorOrder", "RawMirror", "mirror_order"]

DEFAULT_OUTPUT: Final = "mirror"
_METHODS: Final = ("PUT", "POST")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMirror:
    """Options of ``mirror``, as typed; None and empty mean that they were not given.

    Attributes:
        run: Those that it shares with ``run``.
    """

    run: RawRun
    to: str
    method: str | None = None
    field: str | None = None
    to_header: tuple[str, ...] = ()
    to_auth: str | None = None
    to_proxy: str | None = None
    to_unix_socket: str | None = None
    to_cacert: str | None = None
    to_insecure: bool = False
    to_per_host: str | None = None
    if_absent: bool = False
    skip_same: str | None = None
    tee: str | None = None
    spool: bool = False
    mkcol: bool = False
    send_digest: bool = False
    s3_endpoint: str | None = None
    s3_part_size: str | None = None
    dry_run: bool = False


class MirrorOrder(NamedTuple):
    """What ``fetchd mirror`` is to do.

    Attributes:
        run: What it shares with a run.
        settings: For the mirror.
        is_dry: Only say what would be sent where.
    """

    run: RunOrder
    settings: MirrorSettings
    is_dry: bool


def mirror_order(raw: RawMirror, read_text: ReadText, environment: Mapping[str, str]) -> MirrorOrder:
    """Return what *raw* asks for.

    Args:
        raw: The options.
        read_text: Gives the content of a file (of ``@file``); its OSError becomes a SettingsError.
        environment: Variables of the process.

    Raises:
        SettingsError: An option that cannot be used, or two that exclude each other.
    """
    shared = raw.run if raw.run.output is not None else replace(raw.run, output=DEFAULT_OUTPUT)
    if raw.send_digest and shared.checksum is None:
        shared = replace(shared, checksum=DIGEST)
    order = run_order(shared, read_text, environment)
    if raw.to_insecure and raw.to_cacert is not None:
        raise SettingsError("--to-insecure and --to-cacert exclude each other: one trusts anybody")
    settings = MirrorSettings(
        run=order.settings,
        to=raw.to,
        delivery=_delivery(raw, order.settings.output, read_text, environment),
        per_host=None if raw.to_per_host is None else _count("--to-per-host", raw.to_per_host),
        unix_socket=None if raw.to_unix_socket is None else _path("--to-unix-socket", raw.to_unix_socket),
        cacert=None if raw.to_cacert is None else _path("--to-cacert", raw.to_cacert),
        insecure=raw.to_insecure,
    )
    return MirrorOrder(order, settings, raw.dry_run)


def _delivery(raw: RawMirror, output: Path, read_text: ReadText, environment: Mapping[str, str]) -> Delivery:
    method = raw.method
    if method is None:
        method = "PUT" if raw.field is None else "POST"
    _one_of("--method", method, _METHODS)
    if raw.field is not None and method != "POST":
        raise SettingsError("--field goes with --method POST only: a form is posted")
    if raw.mkcol and method != "PUT":
        raise SettingsError("--mkcol goes with --method PUT only")
    return Delivery(
        method=method,
        field=raw.field,
        headers=_fields("--to-header", raw.to_header, read_text),
        auth=None if raw.to_auth is None else _auth(raw.to_auth, read_text),
        proxy=raw.to_proxy,
        if_absent=raw.if_absent,
        skip_same=_same_by(raw.skip_same),
        tee=None if raw.tee is None else _path("--tee", raw.tee),
        spool=output if raw.spool else None,
        mkcol=raw.mkcol,
        send_digest=raw.send_digest,
        s3=_s3(raw, environment),
    )


def _s3(raw: RawMirror, environment: Mapping[str, str]) -> S3 | None:
    """Where the store is: what the tools of AWS take from the environment holds here, too."""
    if not raw.to.startswith(S3_SCHEME):
        if raw.s3_endpoint is not None or raw.s3_part_size is not None:
            raise SettingsError("--s3-endpoint and --s3-part-size go with --to s3://BUCKET/KEY only")
        return None
    try:
        part_bytes = S3().part_bytes if raw.s3_part_size is None else parse_size(raw.s3_part_size)
    except ValueError as exc:
        raise SettingsError(f"--s3-part-size is {raw.s3_part_size!r}; {exc}") from exc
    named = raw.s3_endpoint or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    return S3(endpoint=named or None, part_bytes=part_bytes)


def _same_by(text: str | None) -> SameBy | None:
    if text is not None:
        _one_of("--skip-same", text, get_args(SameBy))
    return cast(SameBy | None, text)


def _one_of(option: str, text: str, choices: tuple[str, ...]) -> None:
    if text not in choices:
        raise SettingsError(f"{option} is {text!r}; expected one of {', '.join(choices)}")


def _path(option: str, text: str) -> Path:
    if not text or "\0" in text:
        raise SettingsError(f"{option} is {text!r}; expected a path")
    return Path(text)


def _count(option: str, text: str) -> int:
    try:
        return parse_count(text, 1)
    except ValueError as exc:
        raise SettingsError(f"{option} is {text!r}; {exc}") from exc


def _fields(option: str, texts: tuple[str, ...], read_text: ReadText) -> tuple[tuple[str, str], ...]:
    try:
        return parse_fields(texts, read_text)
    except OSError as exc:
        raise SettingsError(f"{option}: cannot read {exc.filename}: {(exc.strerror or str(exc)).lower()}") from exc
    except ValueError as exc:
        raise SettingsError(f"{option}: {exc}") from exc


def _auth(text: str, read_text: ReadText) -> BasicAuth:
    """User and password; what is wrong with them is told without them."""
    if text.startswith("@"):
        try:
            text = read_text(text[1:]).strip("\r\n")
        except OSError as exc:
            raise SettingsError(f"--to-auth: cannot read {exc.filename}: {(exc.strerror or str(exc)).lower()}") from exc
    user, colon, password = text.partition(":")
    if not colon:
        raise SettingsError("--to-auth: expected USER:PASSWORD, or @FILE that holds it")
    return BasicAuth(user, password)
