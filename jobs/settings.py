"""What a run is asked to do: one frozen value, checked when it is made. Nothing here reads files or the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from .checksums import ALGORITHMS, missing_for
from .exceptions import SettingsError
from .limits import Limits
from .manifests.formats import FORMATS, Format
from .network import Network
from .templates import DEFAULT, Template

__all__ = ["Durability", "Existing", "OnCollision", "RunSettings"]

OnCollision = Literal["error", "skip", "number", "replace"]
Existing = Literal["keep", "verify", "update", "replace"]
Durability = Literal["process", "power"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The settings of a run.

    Attributes:
        manifest: Path of the manifest; ``-`` is standard input.
        output: Folder that the files go to, made if it is not there. Default ``downloads``.
        concurrency: Attempts under way at a time. Default 64.
        per_host: Attempts under way at a time at one host (name and port). Default 6, as browsers do.
        retries: Attempts after the first that an item gets for failures that count. Default 4.
        timeout: Seconds for one attempt as a whole; None, the default, is no bound.
        connect_timeout: Seconds for DNS, TCP and TLS together. Default 30.
        first_byte_timeout: Seconds from the request sent to the response head. Default 60.
        idle_timeout: Seconds without an octet. Default 60.
        first_contact: Seconds that a host which has not answered yet in this run is given to connect, and as many for
            its first answer. Default None: 8, or 4 where ``per_host`` is 1, so that a dead host is known within 10 s.
        max_bytes: Largest body that is taken, octets; None, the default, is no bound.
        headers: Request fields on top of the default ones.
        user_agent: User-Agent; None is the client's own.
        insecure: Take any certificate. Default False.
        cacert: File of certificates (PEM) to trust in place of the system's; None for the system's.
        unix_socket: Connect to this socket whatever host the URL names; None to connect by TCP.
        retry: Failure classes: what failed as one of them in *output*, by its ledger, is fetched in the place of the
            manifest; empty for all classes. None, the default, reads the manifest.
        name: Template of the names of files, see ``templates.py``. It is the folder's for good. Default
            ``{host}/{path}``.
        on_collision: What happens to an item whose path another item has, or a file that the ledger does not know:
            ``error`` (it fails as policy), ``skip``, ``number`` (it gets a suffix that follows from its URL), or
            ``replace`` (what an earlier run or somebody else has left there gives way). Default ``error``.
        existing: What happens to an item that is done: ``keep``, ``verify`` (fetched again where the file does not
            have the digest that the ledger keeps), ``update`` (fetched again where the server says that it has
            changed), or ``replace`` (fetched again). Default ``keep``.
        keep_validators: Keep ETag and Last-Modified of each response in the ledger, for reports. ``existing="update"``
            keeps them anyway. Default False.
        checksum: Algorithm by which every content is hashed and its digest kept in the ledger, one of
            ``checksums.ALGORITHMS``; None, the default, is none.
        checksums: File of digests that contents must have, as sha256sum writes them; None for none.
        decode: Ask for content with the codings that the client knows, and store it without them; such a content is not
            resumed, and digests that its response tells are of the coded octets and not looked at. Default False: the
            octets are asked for and stored as they are.
        durability: What an item that is done survives: a kill of the ``process``, or a loss of ``power``, for which
            file, folder and ledger are synced before it counts. Default ``process``.
        network: What is out of the ordinary on the way to the hosts; by default nothing.
        limits: How fast the run may go as a whole, and what ends it; by default nothing.
        format: Format of the manifest, one of ``manifests.FORMATS``; None, the default, tells it by content and name.
        expand: Whether ``[001-100]`` and ``{a,b}`` in a URL of the manifest stand for many URLs. Default False.
        segments: Connections that may share one large body (of 2 MiB and more, with a strong validator), where slots
            are free that no item wants. Default 1.
        window: Items that wait in memory at most; further ones are put aside on disk. Default 100,000.
        ledger: File for the ledger of an output folder that has none yet, for good; None, the default, goes by what the
            folder has, and puts a new one into it.
        trust_ledger: Take the ledger's word for what is done, and look at no file of it. Default False.

    Raises:
        SettingsError: A value out of range, or two that exclude each other.
    """

    manifest: str
    output: Path = Path("downloads")
    concurrency: int = 64
    per_host: int = 6
    retries: int = 4
    timeout: float | None = None
    connect_timeout: float = 30.0
    first_byte_timeout: float = 60.0
    idle_timeout: float = 60.0
    first_contact: float | None = None
    max_bytes: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    user_agent: str | None = None
    insecure: bool = False
    cacert: Path | None = None
    unix_socket: Path | None = None
    retry: frozenset[str] | None = None
    name: str = DEFAULT
    on_collision: OnCollision = "error"
    existing: Existing = "keep"
    keep_validators: bool = False
    checksum: str | None = None
    checksums: Path | None = None
    decode: bool = False
    durability: Durability = "process"
    network: Network = field(default_factory=Network)
    limits: Limits = field(default_factory=Limits)
    format: Format | None = None
    expand: bool = False
    segments: int = 1
    window: int = 100_000
    ledger: Path | None = None
    trust_ledger: bool = False

    def __post_init__(self) -> None:
        for name in ("concurrency", "per_host", "segments", "window"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if self.retries < 0:
            raise SettingsError(f"retries is {self.retries}; expected 0 or more")
        if self.max_bytes is not None and self.max_bytes < 0:
            raise SettingsError(f"max_bytes is {self.max_bytes}; expected 0 or more")
        for name in ("timeout", "connect_timeout", "first_byte_timeout", "idle_timeout", "first_contact"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingsError(f"{name} is {value:g} s; expected more than 0")
        if self.on_collision not in get_args(OnCollision):
            raise SettingsError(f"on_collision is {self.on_collision!r}; expected one of {get_args(OnCollision)}")
        if self.existing not in get_args(Existing):
            raise SettingsError(f"existing is {self.existing!r}; expected one of {get_args(Existing)}")
        if Template.parse(self.name).needs_head and self.on_collision not in ("error", "number"):
            raise SettingsError(
                f"on_collision is {self.on_collision!r} and {{disposition}} is in the name, which is known too late for"
                " that; expected error or number"
            )
        if self.checksum is not None and self.checksum not in ALGORITHMS:
            raise SettingsError(f"checksum is {self.checksum!r}; expected one of {', '.join(ALGORITHMS)}")
        if self.checksum is not None and (missing := missing_for(self.checksum)):
            raise SettingsError(f"checksum: {missing}")
        if self.trust_ledger and self.existing != "keep":
            raise SettingsError(f"trust_ledger looks at no file, and existing is {self.existing!r}; expected keep")
        if self.durability not in get_args(Durability):
            raise SettingsError(f"durability is {self.durability!r}; expected one of {get_args(Durability)}")
        if self.unix_socket is not None and self.network.is_tcp_only:
            raise SettingsError("unix_socket excludes proxy, family, resolve and interface: it is where all goes")
        if self.network.pin is not None and (self.insecure or self.cacert is not None):
            raise SettingsError("pin excludes insecure and cacert: it says alone whom to trust")
        if self.format is not None and self.format not in FORMATS:
            raise SettingsError(f"format is {self.format!r}; expected one of {', '.join(FORMATS)}")
        if self.insecure and self.cacert is not None:
            raise SettingsError("insecure and cacert exclude each other: one trusts anybody, the other these only")
