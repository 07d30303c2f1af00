"""Options that several commands share, in groups; a command is given a group's options by ``takes``.

An option is declared once (``declarations.py``), stands once in a group here, and is a field of the raw options of the
same name; nothing else has to be told of it.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

from . import declarations as given
from . import mirror_declarations as sending
from . import network_declarations as way

__all__ = ["of_config", "of_mirror", "of_network", "of_quiet", "of_run", "of_voice", "raw_of", "takes"]

T = TypeVar("T")
Command = Callable[..., int]


# Typer reads the options off a signature, so each of these is as long as its list of options.
def of_run(
    manifest: given.Manifest,
    output: given.OutputFolder = None,
    concurrency: given.Concurrency = None,
    per_host: given.PerHost = None,
    segments: given.Segments = None,
    rate: given.Rate = None,
    per_host_rate: given.PerHostRate = None,
    bandwidth: given.Bandwidth = None,
    profile: given.Profile = None,
    name: given.Name = None,
    on_collision: given.OnCollision = None,
    existing: given.Existing = None,
    ledger: given.Ledger = None,
    trust_ledger: given.TrustLedger = False,
    report: given.RunReport = None,
    on_done: given.OnDone = None,
    spider: given.Spider = False,
    format: given.Format = None,
    expand: given.Expand = False,
    checksum: given.Checksum = None,
    checksums: given.Checksums = None,
    durability: given.Durability = None,
    max_failures: given.MaxFailures = None,
    max_total_bytes: given.MaxTotalBytes = None,
    max_time: given.MaxTime = None,
) -> None:
    """Of a run as a whole."""


def of_network(
    timeout: given.Timeout = None,
    connect_timeout: given.ConnectTimeout = None,
    idle_timeout: given.IdleTimeout = None,
    low_speed: way.LowSpeed = None,
    retries: given.Retries = None,
    max_bytes: given.MaxBytes = None,
    decode: given.Decode = False,
    max_redirects: way.MaxRedirects = None,
    header: given.Header = None,
    user_agent: given.UserAgent = None,
    auth: way.Auth = None,
    netrc: way.Netrc = False,
    cookies: way.Cookies = None,
    save_cookies: way.SaveCookies = None,
    proxy: way.Proxy = None,
    no_proxy: way.NoProxy = None,
    unix_socket: given.UnixSocket = None,
    ipv4: way.IPv4 = False,
    ipv6: way.IPv6 = False,
    resolve: way.Resolve = None,
    interface: way.Interface = None,
    cacert: given.CaCert = None,
    insecure: given.Insecure = False,
    pin: way.Pin = None,
    cert: way.Cert = None,
    key: way.Key = None,
) -> None:
    """Of each request, and of the way to its host."""


def of_mirror(
    to: sending.To,
    method: sending.Method = None,
    field: sending.Field = None,
    to_header: sending.ToHeader = None,
    to_auth: sending.ToAuth = None,
    to_proxy: sending.ToProxy = None,
    to_unix_socket: sending.ToUnixSocket = None,
    to_cacert: sending.ToCaCert = None,
    to_insecure: sending.ToInsecure = False,
    to_per_host: sending.ToPerHost = None,
    if_absent: sending.IfAbsent = False,
    skip_same: sending.SkipSame = None,
    tee: sending.Tee = None,
    spool: sending.Spool = False,
    mkcol: sending.MkCol = False,
    send_digest: sending.SendDigest = False,
    s3_endpoint: sending.S3Endpoint = None,
    s3_part_size: sending.S3PartSize = None,
    dry_run: sending.DryRun = False,
) -> None:
    """Of where a mirror sends what it gets."""


def of_config(config: given.Config = None) -> None:
    """Where further options stand."""


def of_voice(
    log_file: given.LogFile = None,
    json: given.Json = False,
    no_progress: given.NoProgress = False,
    quiet: given.Quiet = False,
    verbose: given.Verbose = False,
) -> None:
    """Of what a run says."""


def of_quiet(quiet: given.Quiet = False) -> None:
    """Of what a command says that tells little anyway."""


def takes(command: Command, *groups: Callable[..., None], but: tuple[str, ...] = ()) -> Command:
    """Have *command*, which has ``**options``, take those of *groups* in their place, but for some."""
    signature = inspect.signature(command, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    shared = [each for group in groups for each in inspect.signature(group, eval_str=True).parameters.values()]
    parameters = [*own, *(each for each in shared if each.name not in but)]
    # An argument has no default, and stands before the options.
    parameters.sort(key=lambda each: each.default is not inspect.Parameter.empty)
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


def raw_of(kind: type[T], options: Mapping[str, Any]) -> T:
    """The raw options *kind*, a dataclass, of *options* by their names; a field that is one itself gets those it has.

    What is not among *options* is left to its default, and what comes as a list becomes a tuple.
    """
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # a dataclass, as it says above
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            values[field.name] = raw_of(hint, options)  # type: ignore[arg-type]  # a class, for it is a field's type
        elif field.name in options:
            value = options[field.name]
            is_several = isinstance(value, list) or (value is None and hint == tuple[str, ...])
            values[field.name] = tuple(value or ()) if is_several else value
    return kind(**values)
