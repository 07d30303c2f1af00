"""The options about the way to the hosts, from text to ``Network``. Pure: the environment is given as a mapping."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fetchd.client import BasicAuth, BearerAuth, DigestAuth
from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.network import Network
from fetchd.jobs.targets import parse_target, without_userinfo

from .values import parse_count, parse_seconds, parse_size

__all__ = ["RawWay", "network_of"]

ReadText = Callable[[str], str]

# What of the environment says how to reach a host (see ``client/proxies.py``), and where the netrc file is.
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")
_ABOUT_PROXIES: Final = (*_PROXIES, "no_proxy")
_ABOUT_NETRC: Final = ("NETRC", "HOME")
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{64}").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class RawWay:
    """Options that ``run`` and ``get`` share, as typed; None, empty and False mean that they were not given."""

    proxy: str | None = None
    no_proxy: str | None = None
    max_redirects: str | None = None
    ipv4: bool = False
    ipv6: bool = False
    resolve: tuple[str, ...] = ()
    interface: str | None = None
    cert: str | None = None
    key: str | None = None
    pin: tuple[str, ...] = ()
    auth: str | None = None
    netrc: bool = False
    cookies: str | None = None
    save_cookies: str | None = None
    low_speed: str | None = None


def network_of(raw: RawWay, read_text: ReadText, environment: Mapping[str, str]) -> Network:
    """Return what *raw* asks for, with the proxies of *environment* where it names none.

    Args:
        raw: The options.
        read_text: Gives the content of a file (of ``--auth @file``).
        environment: Variables of the process.

    Raises:
        SettingsError: An option that cannot be used, or two that exclude each other.
    """
    if raw.ipv4 and raw.ipv6:
        raise SettingsError("--ipv4 and --ipv6 exclude each other")
    if raw.key is not None and raw.cert is None:
        raise SettingsError("--key belongs to --cert, which is missing")
    pin, pins = _pins(raw.pin)
    if pin is not None and raw.cert is not None:
        raise SettingsError("--pin for all hosts and --cert exclude each other")
    given: dict[str, Any] = {"family": 4 if raw.ipv4 else 6 if raw.ipv6 else None}
    parsers: dict[str, Callable[[str], object]] = {
        "proxy": _proxy,
        "no_proxy": str.strip,
        "max_redirects": lambda text: parse_count(text, 0),
        "interface": _named,
        "cert": _path,
        "key": _path,
        "cookies": _path,
        "save_cookies": _path,
        "low_speed": _low_speed,
    }
    for name, parse in parsers.items():
        text = getattr(raw, name)
        if text is not None:
            given[name] = _parsed(f"--{name.replace('_', '-')}", text, parse)
    if raw.auth is not None:
        given["auth"] = _auth(raw.auth, read_text)
    given |= {"pin": pin, "pins": pins, "resolve": _resolve(raw.resolve)}
    given["environment"] = _obeyed(raw, environment)
    return Network(**given)


def _obeyed(raw: RawWay, environment: Mapping[str, str]) -> dict[str, str]:
    """What of *environment* is obeyed: nothing of it, unless it names a proxy or the netrc file is asked for."""
    obeyed: dict[str, str] = {}
    named = {name: value for name, value in environment.items() if name.lower() in _ABOUT_PROXIES}
    if raw.proxy is None and any(value for name, value in named.items() if name.lower() in _PROXIES):
        obeyed = named
        if "REQUEST_METHOD" in environment:  # a web server made HTTP_PROXY of a request's field
            obeyed["REQUEST_METHOD"] = environment["REQUEST_METHOD"]
    if raw.netrc:
        obeyed |= {name: environment[name] for name in _ABOUT_NETRC if name in environment}
    return obeyed


def _parsed(option: str, text: str, parse: Callable[[str], object]) -> object:
    try:
        return parse(text)
    except ValueError as exc:
        raise SettingsError(f"{option} is {without_userinfo(text)!r}; {exc}") from exc


def _proxy(text: str) -> str:
    scheme, separator, _ = text.partition("://")
    if not text or (separator and scheme.lower() not in ("http", "https", "socks5", "socks5h")):
        raise ValueError("expected http://host:port; also https, socks5 and socks5h")
    return text


def _named(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("expected the name of an interface, or an address of this machine")
    return text


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("expected a path")
    return Path(text)


def _pins(texts: tuple[str, ...]) -> tuple[bytes | None, dict[str, bytes]]:
    """The pin of all hosts, and those of ``HOST[:PORT]=SHA256`` by ``host:port``."""
    everywhere: bytes | None = None
    pins: dict[str, bytes] = {}
    for text in texts:
        host, equals, digits = text.rpartition("=")
        try:
            digest = _pin(digits)
            target = parse_target(f"https://{host}/") if equals else None
        except ValueError as exc:
            raise SettingsError(f"--pin is {text!r}; {exc}") from exc
        if target is not None:
            pins[f"{target.host}:{target.port}"] = digest
        elif everywhere is not None:
            raise SettingsError("--pin for all hosts is given twice; expected HOST=SHA256 for each of several")
        else:
            everywhere = digest
    return everywhere, pins


def _pin(text: str) -> bytes:
    digits = text.lower().removeprefix("sha256:").replace(":", "")
    if _HEXADECIMAL(digits) is None:
        raise ValueError("expected the SHA-256 of a certificate in DER: 64 hexadecimal digits")
    return bytes.fromhex(digits)


def _low_speed(text: str) -> tuple[float, float]:
    amount, colon, seconds = text.partition(":")
    amount = amount.strip().lower().removesuffix("/s")
    if not colon or not parse_size(amount):
        raise ValueError("expected a size a second and a time, such as 10KiB:30s")
    return float(parse_size(amount)), parse_seconds(seconds)


def _auth(text: str, read_text: ReadText) -> BasicAuth | BearerAuth | DigestAuth:
    """Credentials as ``USER:PASSWORD``, or with a scheme before them; ``@FILE`` has that in a file. Never told."""
    if text.startswith("@"):
        try:
            text = read_text(text[1:]).strip()
        except (OSError, ValueError) as exc:
            reason = (exc.strerror or str(exc)).lower() if isinstance(exc, OSError) else str(exc)
            raise SettingsError(f"--auth: cannot read {text[1:]}: {reason}") from exc
    scheme, _, rest = text.partition(" ")
    if scheme.lower() == "bearer" and rest:
        return BearerAuth(rest.strip())
    kind: type[BasicAuth] | type[DigestAuth] = BasicAuth
    if scheme.lower() in ("basic", "digest"):
        kind, text = (DigestAuth if scheme.lower() == "digest" else BasicAuth), rest.strip()
    user, colon, password = text.partition(":")
    if not colon:
        raise SettingsError("--auth: expected USER:PASSWORD, 'Digest USER:PASSWORD', 'Bearer TOKEN', or @FILE")
    return kind(user, password)


def _resolve(texts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Addresses by ``host:port`` from ``HOST:PORT:ADDRESS[,ADDRESS]``."""
    from ipaddress import ip_address

    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        host, _, rest = text.partition(":")
        port, _, addresses = rest.partition(":")
        try:
            target = parse_target(f"http://{host}:{parse_count(port, 1)}/")
            found[f"{target.host}:{target.port}"] = tuple(
                str(ip_address(address.strip().strip("[]"))) for address in addresses.split(",")
            )
        except ValueError as exc:
            raise SettingsError(f"--resolve is {text!r}; expected HOST:PORT:ADDRESS, several with commas") from exc
    return found
