"""Target URIs (RFC 9110 section 7.1): what is sent, exact to the octet, and what is compared.

A URL is never requoted: signed URLs carry meaning in ``%2F`` against ``/``, in the order of the query and in doubled
slashes. Only what cannot stand on a request line is touched: blanks and characters beyond ASCII are percent-encoded
as UTF-8, the fragment stays here. Control characters are refused. No I/O.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlencode

from multidict import MultiMapping

from .exceptions import ClientError, InvalidURL

if TYPE_CHECKING:
    from yarl import URL

__all__ = ["Origin", "Query", "as_shown", "exact_url", "locate", "tell_url", "with_params", "without_userinfo"]

Query = Mapping[str, str | int | float] | MultiMapping[str] | Iterable[tuple[str, str | int | float]] | str

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# What makes a request target unfit to be sent as it stands: controls, blank, fragment, anything beyond ASCII.
_UNFIT = re.compile(r"[^!\"$-~]").search
_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search
# Userinfo, host and port. Digits are ASCII digits: int() would take "+80", "8_0" and those of other scripts.
# A backslash ends the authority for browsers, so that "http://good\\@evil/" means another host to them: refused.
_AUTHORITY = re.compile(r"(?:([^\\]*)@)?(\[[^@\[\]\\]*\]|[^@:\[\]\\]*)(?::([0-9]{0,9}))?").fullmatch
# A registered name as DNS (RFC 1035 section 2.3.4) and hosts files know it; RFC 3986 allows more, no resolver does.
_HOST = re.compile(r"(?=.{1,254}$)[a-z0-9_~-]{1,63}(?:\.[a-z0-9_~-]{1,63})*\.?").fullmatch
_USERINFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*@")
# An entry is about 400 octets, so the cache stays below 2 MiB; beyond it is emptied, which costs one parse an origin.
_MAX_ORIGINS: Final = 4096


class Origin(NamedTuple):
    """Scheme, host and port (RFC 9110 section 4.3.1), with what a request to it needs made once.

    Attributes:
        key: ``scheme://host:port``, lower-case: equal for equal origins.
        scheme: ``http`` or ``https``.
        host: Host as it is connected to: IDNA-encoded, lower-case, an IPv6 address without brackets, its zone behind
            ``%`` (RFC 6874 writes ``%25`` in a URL).
        port: Effective port.
        host_field: Value of the Host field (RFC 9112 section 3.2).
        authorization: Authorization field from the URL's userinfo; None without.
    """

    key: str
    scheme: str
    host: str
    port: int
    host_field: str
    authorization: str | None

    @property
    def is_tls(self) -> bool:
        """Whether requests to this origin travel over TLS."""
        return self.scheme == "https"


_origins: dict[str, Origin] = {}


def locate(url: str) -> tuple[Origin, str]:
    """Split *url* into its origin and its request target (origin-form, RFC 9112 section 3.2.1).

    Raises:
        InvalidURL: No absolute http or https URL, a bad host or port, or control characters in it.
    """
    # Hot path: the text up to the path is looked up; a parse by yarl costs 6 us (of a request's 15).
    end = url.find("/", 8)
    if end < 0:
        return _locate_rare(url)
    origin = _origins.get(url[:end])
    target = url[end:]
    if origin is None or _UNFIT(target) is not None:
        return _locate_rare(url)
    return origin, target


def _locate_rare(url: str) -> tuple[Origin, str]:
    if _CONTROL(url) is not None:
        raise InvalidURL(as_shown(url), "control characters, which no URL may hold")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in _DEFAULT_PORTS:
        raise InvalidURL(as_shown(url), "expected http:// or https://")
    ends = [place for mark in "/?#" if (place := rest.find(mark)) >= 0]
    end = min(ends, default=len(rest))
    prefix = f"{scheme}://{rest[:end]}"
    origin = _origins.get(prefix)
    if origin is None:
        try:
            origin = _parse_origin(scheme.lower(), rest[:end])
        except ValueError as exc:
            # The cause would show the URL as it is in every traceback.
            raise InvalidURL(as_shown(url), str(exc)) from None
        if len(_origins) >= _MAX_ORIGINS:
            _origins.clear()
        _origins[prefix] = origin
    return origin, _request_target(url, rest[end:])


def _request_target(url: str, text: str) -> str:
    target = text.partition("#")[0]
    if not target.startswith("/"):
        target = "/" + target
    if _UNFIT(target) is None:
        return target
    try:
        return _UNFIT_RUNS(lambda run: quote(run.group(), safe=""), target)
    except UnicodeEncodeError:
        raise InvalidURL(as_shown(url), "characters that are no Unicode text") from None


_UNFIT_RUNS = re.compile(r"[^!-~]+").sub


def _parse_origin(scheme: str, authority: str) -> Origin:
    """Raises ValueError with one phrase that holds nothing of the userinfo."""
    parts = _AUTHORITY(authority)
    if parts is None:
        raise ValueError("expected a host, or [an IPv6 address], then a port of digits if any")
    userinfo, named, digits = parts.groups()
    if not named:
        raise ValueError("expected a host after //")
    port = int(digits) if digits else _DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65_535:
        raise ValueError(f"port {port}; expected 1 to 65535")
    if named.startswith("["):
        host = _address(named)
        named, host_field = f"[{host}]", f"[{host.partition('%')[0]}]"  # RFC 6874: the zone is not for the peer
    else:
        host = named.lower() if named.isascii() else _international(named)
        if _HOST(host) is None:
            raise ValueError(f"{host[:80]!r} is no host name")
        named = host_field = host
    if port != _DEFAULT_PORTS[scheme]:
        host_field = f"{host_field}:{port}"
    return Origin(f"{scheme}://{named}:{port}", scheme, host, port, host_field, _basic(userinfo))


def _international(named: str) -> str:
    """The host *named*, which is not ASCII, in its ASCII form (RFC 5891)."""
    from yarl import URL  # a quarter of the import of the whole client, for hosts that few lists have

    return (URL.build(scheme="http", host=named).raw_host or "").lower()


def _address(named: str) -> str:
    try:
        return str(IPv6Address(named[1:-1].replace("%25", "%", 1)))
    except ValueError:
        raise ValueError(f"{named[:80]!r} is no IPv6 address") from None


def _basic(userinfo: str | None) -> str | None:
    """Credentials of the URL as Basic (RFC 7617 section 2), percent-encoding removed."""
    if not userinfo:
        return None
    try:
        user, password = (unquote_to_bytes(part) for part in userinfo.partition(":")[::2])
    except UnicodeEncodeError:
        raise ValueError("characters that are no Unicode text") from None
    return "Basic " + b64encode(user + b":" + password).decode("ascii")


def exact_url(url: str) -> URL:
    """*url*, which can be located, as the ``yarl.URL`` of what is sent: encoded is what ``locate`` encodes."""
    from yarl import URL  # most responses are never asked

    if not url.isascii() or " " in url:
        end = min(place for mark in "/?#" if (place := f"{url}#".find(mark, url.find("//") + 2)) >= 0)
        url = url[:end] + _UNFIT_RUNS(lambda run: quote(run.group(), safe=""), url[end:])
    return URL(url, encoded=True)


def as_shown(url: str) -> str:
    """A URL that is wrong as it may be shown: where the userinfo ends is a guess, so nothing before an @ is."""
    shown = without_userinfo(url)
    return shown if shown != url or "@" not in url else "..." + url.rpartition("@")[2]


def without_userinfo(url: str) -> str:
    """*url* as it may be shown: without user and password."""
    return _USERINFO.sub(lambda match: f"{match.group(1) or ''}//", url, count=1)


def tell_url(exc: BaseException, url: str) -> None:
    """Let *exc*, if it is one of ours that does not know, say which *url* was asked for."""
    if isinstance(exc, ClientError) and exc.url is None:
        exc.url = without_userinfo(url)


def with_params(url: str, params: Query) -> str:
    """Append *params* to the query of *url*; what the URL has stays as it is.

    Args:
        url: Any URL; a fragment is kept behind the query.
        params: Mapping, pairs (repeated names kept in order), MultiDict, or text that is already encoded.

    Raises:
        TypeError: A value that is neither text nor a number.
    """
    if isinstance(params, str):
        encoded = params
    else:
        pairs = params.items() if isinstance(params, (Mapping, MultiMapping)) else params
        encoded = urlencode([(name, _param(name, value)) for name, value in pairs])
    if not encoded:
        return url
    before, mark, fragment = url.partition("#")
    joint = "" if before.endswith(("?", "&")) else "&" if "?" in before else "?"
    return f"{before}{joint}{encoded}{mark}{fragment}"


def _param(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError(f"query parameter {name!r} must be text or a number, not {type(value).__name__}")
    return str(value)
