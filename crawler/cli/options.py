"""From options as they were typed to validated settings. Pure: no file, no environment, no printing.

    raw options (text and flags, or None where not given)  ->  RunOrder, GetOrder  ->  run_command.py, get_command.py

What is not given is left to the defaults of ``RunSettings``; ``declarations.py`` only repeats them in the help.
Every problem is a SettingsError with one sentence: which option, what was seen, what is expected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, TypedDict, TypeVar, get_args

from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.hosts import DEAD_AFTER
from fetchd.jobs.manifests import Format
from fetchd.jobs.naming import safe_path
from fetchd.jobs.network import Network
from fetchd.jobs.report import format_of
from fetchd.jobs.settings import Durability, Existing, OnCollision, RunSettings
from fetchd.jobs.targets import parse_target, without_userinfo

from .config import FOUND
from .limit_options import PROFILES, Profile, RawLimits, limits_of
from .network_options import RawWay, network_of
from .values import parse_algorithm, parse_count, parse_field, parse_fields, parse_seconds, parse_size

__all__ = ["GetOrder", "RawGet", "RawNetwork", "RawRun", "RunOrder", "Voice", "get_order", "run_order"]

T = TypeVar("T")
ReadText = Callable[[str], str]

_NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
STANDARD_OUTPUT: Final = "-"
SPIDER_OUTPUT: Final = "spider"
"""Folder of the ledger of a run that only asks, unless --output names another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawNetwork:
    """Options that ``run`` and ``get`` share, as typed; None and empty mean that they were not given."""

    timeout: str | None = None
    connect_timeout: str | None = None
    idle_timeout: str | None = None
    retries: str | None = None
    max_bytes: str | None = None
    decode: bool = False
    header: tuple[str, ...] = ()
    user_agent: str | None = None
    unix_socket: str | None = None
    cacert: str | None = None
    insecure: bool = False
    way: RawWay = field(default_factory=RawWay)
    config: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRun(RawNetwork):
    """Options of ``run``, as typed."""

    manifest: str
    output: str | None = None
    concurrency: str | None = None
    per_host: str | None = None
    segments: str | None = None
    name: str | None = None
    on_collision: str | None = None
    existing: str | None = None
    ledger: str | None = None
    trust_ledger: bool = False
    report: str | None = None
    on_done: str | None = None
    spider: bool = False
    format: str | None = None
    expand: bool = False
    profile: str | None = None
    checksum: str | None = None
    checksums: str | None = None
    durability: str | None = None
    limits: RawLimits = field(default_factory=RawLimits)
    log_file: str | None = None
    json: bool = False
    no_progress: bool = False
    quiet: bool = False
    verbose: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RawGet(RawNetwork):
    """Options of ``get``, as typed."""

    urls: tuple[str, ...]
    output: str | None = None
    by_name: bool = False
    force: bool = False
    quiet: bool = False


class Voice(Enum):
    """How much is said on standard error."""

    QUIET = "quiet"
    """What ended the run early, nothing else."""
    NORMAL = "normal"
    VERBOSE = "verbose"
    """Every item that failed, too."""


class RunOrder(NamedTuple):
    """What ``fetchd run`` is to do.

    Attributes:
        settings: For the run.
        voice: How much is said.
        json: Whether events go to standard output.
        progress: Whether progress is shown.
        report: File that the report goes to when the run has ended; None for none.
        notes: What is to be said before it begins.
        on_done: Command that is run for each file that is done, with its arguments; empty for none.
        log_file: File that what happens is appended to; None for none.
        is_spider: Whether items are asked for only.
    """

    settings: RunSettings
    voice: Voice = Voice.NORMAL
    json: bool = False
    progress: bool = True
    report: Path | None = None
    notes: tuple[str, ...] = ()
    on_done: tuple[str, ...] = ()
    log_file: Path | None = None
    is_spider: bool = False

    @property
    def tells_all(self) -> bool:
        """Whether somebody wants to hear of items that went well."""
        return self.json or bool(self.on_done) or (self.log_file is not None and self.voice is Voice.VERBOSE)


class GetOrder(NamedTuple):
    """What ``fetchd get`` is to do.

    Attributes:
        urls: What to fetch, in this order.
        network: Settings of the network; its manifest and folder mean nothing here.
        files: A file for each URL, in the order of *urls*; None for standard output.
        replace: Whether a file that is there is replaced.
        voice: How much is said.
    """

    urls: tuple[str, ...]
    network: RunSettings
    files: tuple[Path, ...] | None
    replace: bool
    voice: Voice = Voice.NORMAL


class _Given(TypedDict, total=False):
    """Fields of ``RunSettings`` that were given."""

    output: Path
    concurrency: int
    per_host: int
    segments: int
    name: str
    on_collision: OnCollision
    existing: Existing
    ledger: Path
    trust_ledger: bool
    keep_validators: bool
    format: Format
    expand: bool
    checksum: str
    checksums: Path
    durability: Durability
    timeout: float
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    first_contact: float
    retries: int
    max_bytes: int
    decode: bool
    headers: tuple[tuple[str, str], ...]
    user_agent: str
    unix_socket: Path
    cacert: Path
    insecure: bool
    network: Network


def run_order(raw: RawRun, read_text: ReadText, environment: Mapping[str, str] = _NO_VARIABLES) -> RunOrder:
    """Return what *raw* asks for.

    Args:
        raw: The options.
        read_text: Gives the content of a file (of ``--header @file``); its OSError becomes a SettingsError.
        environment: Variables of the process, of which those are obeyed that name proxies.

    Raises:
        SettingsError: An option that cannot be used, or two that exclude each other.
    """
    given = _network(raw, read_text, environment)
    if raw.spider:
        _check_spider(raw)
    if raw.output is not None or raw.spider:
        given["output"] = _path("--output", SPIDER_OUTPUT if raw.output is None else raw.output)
    if raw.concurrency is not None:
        given["concurrency"] = _parsed("--concurrency", raw.concurrency, lambda text: parse_count(text, 1))
    if raw.per_host is not None:
        given["per_host"] = _parsed("--per-host", raw.per_host, lambda text: parse_count(text, 1))
    if raw.segments is not None:
        given["segments"] = _parsed("--segments", raw.segments, lambda text: parse_count(text, 1))
    if raw.name is not None:
        given["name"] = raw.name
    if raw.on_collision is not None:
        given["on_collision"] = _on_collision(raw.on_collision)
    if raw.existing is not None:
        given["existing"] = _existing(raw.existing)
    if raw.ledger is not None:
        given["ledger"] = _path("--ledger", raw.ledger)
    given["trust_ledger"] = raw.trust_ledger
    if raw.report is not None:
        format_of(raw.report)
        given["keep_validators"] = True
    if raw.format is not None:
        given["format"] = _format(raw.format)
    given["expand"] = raw.expand
    if raw.checksum is not None:
        given["checksum"] = _parsed("--checksum", raw.checksum, parse_algorithm)
    if raw.checksums is not None:
        given["checksums"] = _path("--checksums", raw.checksums)
    if raw.durability is not None:
        given["durability"] = _durability(raw.durability)
    profile_name = "default" if raw.profile is None else raw.profile
    _one_of("--profile", profile_name, tuple(PROFILES))
    profile = PROFILES[profile_name]
    if raw.per_host is None and profile.per_host is not None:
        given["per_host"] = profile.per_host
    if not raw.manifest:
        raise SettingsError("MANIFEST is empty; expected the name of a file, or - for standard input")
    settings = RunSettings(manifest=raw.manifest, limits=limits_of(raw.limits, profile), **given)
    if profile.has_whole_host and raw.per_host is None:
        settings = replace(settings, per_host=settings.concurrency)
    return RunOrder(
        settings=settings,
        voice=_voice(raw),
        json=raw.json,
        progress=not (raw.no_progress or raw.quiet),
        report=None if raw.report is None else _path("--report", raw.report),
        notes=_notes(raw, profile),
        on_done=() if raw.on_done is None else _words("--on-done", raw.on_done),
        log_file=None if raw.log_file is None else _path("--log-file", raw.log_file),
        is_spider=raw.spider,
    )


def get_order(raw: RawGet, read_text: ReadText, environment: Mapping[str, str] = _NO_VARIABLES) -> GetOrder:
    """Return what *raw* asks for; as `run_order`."""
    if raw.by_name and raw.output is not None:
        raise SettingsError("--output and --remote-name exclude each other: one names the file, one takes the URL's")
    if raw.force and not raw.by_name:
        raise SettingsError("--force goes with --remote-name only; --output replaces a file that is there")
    given = _network(raw, read_text, environment)
    names = [_name(url) for url in raw.urls]
    files: tuple[Path, ...] | None = None
    if raw.by_name:
        files = tuple(Path(name) for name in names)
    elif raw.output is not None and raw.output != STANDARD_OUTPUT:
        if len(raw.urls) > 1:
            raise SettingsError(
                f"--output takes one URL, here are {len(raw.urls)}; expected --remote-name with several"
            )
        files = (_path("--output", raw.output),)
    return GetOrder(
        urls=raw.urls,
        network=RunSettings(manifest="", **given),
        files=files,
        replace=raw.force or not raw.by_name,
        voice=Voice.QUIET if raw.quiet else Voice.NORMAL,
    )


def _network(raw: RawNetwork, read_text: ReadText, environment: Mapping[str, str]) -> _Given:
    given: _Given = {"network": network_of(raw.way, read_text, environment)}
    if raw.timeout is not None:
        given["timeout"] = _parsed("--timeout", raw.timeout, parse_seconds)
    if raw.connect_timeout is not None:
        given["connect_timeout"] = _parsed("--connect-timeout", raw.connect_timeout, parse_seconds)
    if raw.idle_timeout is not None:
        # The first octet is one too: who allows for a slow server means both waits.
        given["idle_timeout"] = _parsed("--idle-timeout", raw.idle_timeout, parse_seconds)
        given["first_byte_timeout"] = given["idle_timeout"]
    longest = max(given.get("connect_timeout", 0.0), given.get("idle_timeout", 0.0))
    if longest > DEAD_AFTER:
        # Who asks for patience means it for the first answer of a host as well.
        given["first_contact"] = longest
    if raw.retries is not None:
        given["retries"] = _parsed("--retries", raw.retries, lambda text: parse_count(text, 0))
    given["decode"] = raw.decode
    if raw.max_bytes is not None:
        given["max_bytes"] = _parsed("--max-bytes", raw.max_bytes, parse_size)
    if raw.unix_socket is not None:
        given["unix_socket"] = _path("--unix-socket", raw.unix_socket)
    _add_trust(raw, given)
    _add_fields(raw, given, read_text)
    return given


def _add_trust(raw: RawNetwork, given: _Given) -> None:
    if raw.insecure and raw.cacert is not None:
        raise SettingsError("--insecure and --cacert exclude each other: one trusts anybody, the other these only")
    given["insecure"] = raw.insecure
    if raw.cacert is not None:
        given["cacert"] = _path("--cacert", raw.cacert)


def _add_fields(raw: RawNetwork, given: _Given, read_text: ReadText) -> None:
    try:
        fields = parse_fields(raw.header, read_text)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise SettingsError(f"--header: cannot read {exc.filename}: {reason}") from exc
    except ValueError as exc:  # UnicodeDecodeError is one
        raise SettingsError(f"--header: {exc}") from exc
    given["headers"] = fields
    if raw.user_agent is None:
        return
    if any(name.lower() == "user-agent" for name, _ in fields):
        raise SettingsError("--user-agent and a --header of that name exclude each other")
    given["user_agent"] = _parsed("--user-agent", raw.user_agent, lambda text: parse_field(f"User-Agent: {text}")[1])


def _parsed(option: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as exc:
        raise SettingsError(f"{option} is {text!r}; {exc}") from exc


def _path(option: str, text: str) -> Path:
    if not text or "\0" in text:
        raise SettingsError(f"{option} is {text!r}; expected a path")
    return Path(text)


def _one_of(option: str, text: str, choices: tuple[str, ...]) -> None:
    if text not in choices:
        raise SettingsError(f"{option} is {text!r}; expected one of {', '.join(choices)}")


def _on_collision(text: str) -> OnCollision:
    choices: tuple[OnCollision, ...] = get_args(OnCollision)
    _one_of("--on-collision", text, choices)
    return choices[choices.index(text)]


def _existing(text: str) -> Existing:
    choices: tuple[Existing, ...] = get_args(Existing)
    _one_of("--existing", text, choices)
    return choices[choices.index(text)]


def _format(text: str) -> Format:
    choices: tuple[Format, ...] = get_args(Format)
    _one_of("--format", text, choices)
    return choices[choices.index(text)]


def _durability(text: str) -> Durability:
    choices: tuple[Durability, ...] = get_args(Durability)
    _one_of("--durability", text, choices)
    return choices[choices.index(text)]


def _check_spider(raw: RawRun) -> None:
    files = {
        "--name": raw.name,
        "--checksum": raw.checksum,
        "--checksums": raw.checksums,
        "--on-done": raw.on_done,
        "--decode": raw.decode or None,
    }
    given = [option for option, value in files.items() if value is not None]
    if given or raw.existing not in (None, "keep", "replace"):
        raise SettingsError(f"{(given or ['--existing'])[0]} is of files, and --spider keeps none")


def _words(option: str, text: str) -> tuple[str, ...]:
    """The words of a command, as a shell divides them; no shell is asked."""
    import shlex  # 1 ms of the start, for those who give a command

    try:
        words = tuple(shlex.split(text))
    except ValueError as exc:
        raise SettingsError(f"{option} is {text!r}; {str(exc).lower()}") from exc
    if not words:
        raise SettingsError(f"{option} is empty; expected a command")
    return words


def _notes(raw: RawRun, profile: Profile) -> tuple[str, ...]:
    """What the user may not know of: options that nobody typed, and what a profile does not do."""
    found = f"options are taken from {FOUND}" if raw.config == FOUND else ""
    return tuple(note for note in (found, profile.note) if note)


def _voice(raw: RawRun) -> Voice:
    if raw.quiet and raw.verbose:
        raise SettingsError("--quiet and --verbose exclude each other")
    if raw.quiet:
        return Voice.QUIET
    return Voice.VERBOSE if raw.verbose else Voice.NORMAL


def _name(url: str) -> str:
    """The file name that *url* gives by the rules of a run; checks the URL on the way."""
    try:
        return safe_path(parse_target(url)).rpartition("/")[2]
    except ValueError as exc:
        raise SettingsError(f"cannot fetch {without_userinfo(url)[:200]!r}: {exc}") from exc
