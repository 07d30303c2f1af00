"""The cookie store: what a server set, and what of it may be sent where (RFC 6265).

Here: the matching rules one function a clause, and a store bounded in number and size. No I/O but for ``load`` and
``save``; the clock is given. Not here: the syntax of fields (``cookie_syntax``) and of files (``cookie_files``), and
which responses and requests take part.

Deviations from RFC 6265, each towards what browsers do (draft-ietf-httpbis-rfc6265bis):
control octets anywhere refuse the cookie; over http a Secure cookie is neither set nor replaced; the prefixes __Host-
and __Secure- are promises that are held. SameSite says nothing to a client that has no sites, and is read over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cookie_syntax import GivenCookies, expiry_time, given_by_hand, simple_cookies, split_set_cookie
from .public_suffixes import is_public_suffix

if TYPE_CHECKING:
    from http.cookies import SimpleCookie

    from yarl import URL

__all__ = [
    "Cookie",
    "CookieJar",
    "DummyCookieJar",
    "default_path",
    "domain_match",
    "parse_set_cookie",
    "path_match",
]

MAX_COOKIES = 3000
"""Cookies in a store; RFC 6265 section 6.1 asks for at least this many."""

MAX_COOKIES_PER_DOMAIN = 50
"""Cookies of one domain; the least that RFC 6265 section 6.1 asks for."""

MAX_COOKIE_BYTES = 4096
"""Octets of name and value together; RFC 6265 section 6.1, and what browsers take."""

# A cookie of this domain is sent to every host; no host has an empty name.
_EVERY_HOST = ""


@dataclass(slots=True)
class Cookie:
    """One cookie of the store (RFC 6265 section 5.3).

    Attributes:
        name: Name, never empty.
        value: Value as it was set, quotes included.
        domain: Lower-case host or domain; empty for one that is sent to every host.
        path: Path that a request's path must match.
        expiry_time: Wall-clock seconds (Unix time) from which it is expired; None ends with the store.
        creation_time: Wall-clock seconds of its first setting; replacing it keeps this.
        secure: Sent over https only.
        http_only: Not for scripts; kept for those who save the store.
        host_only: Sent to exactly ``domain``, not to hosts below it.
        last_access_time: Wall-clock seconds when it was last sent or set; the oldest goes first.
    """

    name: str
    value: str
    domain: str
    path: str = "/"
    expiry_time: float | None = None
    creation_time: float = 0.0
    secure: bool = False
    http_only: bool = False
    host_only: bool = True
    last_access_time: float = 0.0

    def is_expired(self, now: float) -> bool:
        """Whether it must no longer be sent at *now*."""
        return self.expiry_time is not None and self.expiry_time <= now


class CookieJar:
    """Stores cookies and selects those of a request. Falsy while it is empty.

    Not safe for use by several threads at once.

    Args:
        max_cookies: Cookies in all. Beyond it the expired go, then those not used for longest.
        max_cookies_per_domain: Cookies of one domain; the same rule.
        max_cookie_bytes: Octets of name and value together; a longer cookie is not stored.
        clock: Wall-clock seconds.

    Source: RFC 6265 sections 5.3, 5.4 and 6.1.
    """

    __slots__ = ("_clock", "_count", "_domains", "_max_bytes", "_max_cookies", "_max_per_domain")

    def __init__(
        self,
        *,
        max_cookies: int = MAX_COOKIES,
        max_cookies_per_domain: int = MAX_COOKIES_PER_DOMAIN,
        max_cookie_bytes: int = MAX_COOKIE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._domains: dict[str, dict[tuple[str, str], Cookie]] = {}  # domain -> (path, name) -> cookie
        self._count = 0
        self._max_cookies = max_cookies
        self._max_per_domain = max_cookies_per_domain
        self._max_bytes = max_cookie_bytes
        self._clock = clock

    def __len__(self) -> int:
        """Cookies held; those that expired since they were last looked at count."""
        return self._count

    def __bool__(self) -> bool:
        # Hot path: asked for every request.
        return self._count > 0

    def __iter__(self) -> Iterator[Cookie]:
        """The cookies that are not expired, by domain; a copy of the list, so the store may change."""
        now = self._clock()
        self.clear(lambda cookie: cookie.is_expired(now))
        return iter([cookie for bucket in self._domains.values() for cookie in bucket.values()])

    def __repr__(self) -> str:
        return f"<CookieJar {self._count} cookies of {len(self._domains)} domains>"

    def update_from_response(self, set_cookie: Iterable[str], url: URL) -> None:
        """Store what a response sets; what is malformed, foreign or too large is left out.

        Args:
            set_cookie: Values of every Set-Cookie field, in order.
            url: Target URI of the request.

        Source: RFC 6265 section 5.3.
        """
        now = self._clock()
        is_secure = url.scheme == "https"
        for text in set_cookie:
            cookie = parse_set_cookie(text, url, now)
            if cookie is not None and not (cookie.secure and not is_secure):
                self._store(cookie, now, is_secure=is_secure)

    def update(self, cookies: GivenCookies, url: URL | None = None) -> None:
        """Set cookies by hand.

        Args:
            cookies: Names and values. Of a Morsel (as in ``response.cookies``) only the value counts.
            url: They are sent to its host, to its default-path and below. None: to every host.

        Raises:
            ValueError: A name or value that would break the Cookie field, or that is too long; a
                URL without a host.
            TypeError: A name or value that is no text.
        """
        now = self._clock()
        host = _EVERY_HOST if url is None else _host_of(url)
        path = "/" if url is None else default_path(url.raw_path)
        for name, value in given_by_hand(cookies):
            cookie = Cookie(name, value, host, path, None, now, host_only=url is not None, last_access_time=now)
            if not self._fits(cookie):
                raise ValueError(f"cookie {name[:40]!r} is longer than {self._max_bytes} octets")
            self._store(cookie, now, is_secure=True)

    def cookie_header(self, url: URL) -> str:
        """Return the value of the Cookie field of a request to *url*; empty when there is none to send.

        Source: RFC 6265 section 5.4: longer paths first, then the older.
        """
        if not self._count:
            return ""
        now = self._clock()
        chosen = self._select(_host_of(url), url.raw_path or "/", url.scheme == "https", now)
        if not chosen:
            return ""
        if len(chosen) > 1:
            chosen.sort(key=lambda cookie: (-len(cookie.path), cookie.creation_time))
        for cookie in chosen:
            cookie.last_access_time = now
        return "; ".join([f"{cookie.name}={cookie.value}" for cookie in chosen])

    def clear(self, predicate: Callable[[Cookie], bool] | None = None) -> None:
        """Forget every cookie, or those of which *predicate* is true."""
        for bucket in list(self._domains.values()):
            for cookie in list(bucket.values()):
                if predicate is None or predicate(cookie):
                    self._remove(cookie)

    def clear_domain(self, domain: str) -> None:
        """Forget the cookies of *domain* and of the hosts below it."""
        self.clear(lambda cookie: domain_match(cookie.domain, domain.lower().removeprefix(".")))

    def update_cookies(self, cookies: GivenCookies, response_url: URL | None = None) -> None:
        """``update`` under the name that aiohttp gives it."""
        self.update(cookies, response_url)

    def filter_cookies(self, request_url: URL) -> SimpleCookie:
        """The cookies of a request to *request_url*, as ``cookie_header`` chooses them."""
        header = self.cookie_header(request_url)
        return simple_cookies(header.split("; ") if header else ())

    def save(self, path: str | os.PathLike[str]) -> int:
        """Write the cookies to a file in the format of Netscape, which curl, wget and browsers' tools read.

        The file takes the place of one that is there in one step, and is readable by its owner alone. Cookies that are
        sent to every host, and those with a tab in name or value, have no place in the format and are left out.

        Args:
            path: The file; expiry times are kept to the second, cookies without one as 0.

        Returns:
            How many were written.

        Raises:
            OSError: It cannot be written.
        """
        from .cookie_files import save_cookies

        return save_cookies(path, self)

    def load(self, path: str | os.PathLike[str]) -> int:
        """Add the cookies of a file in the format of Netscape; those that have expired are left out.

        Args:
            path: As ``save``, curl or wget has written it.

        Returns:
            How many were read.

        Raises:
            OSError: It cannot be read.
            ValueError: A line of it is none of that format; nothing was added. The message names the line.
        """
        from .cookie_files import load_cookies

        now = self._clock()
        cookies = load_cookies(path, now)
        for cookie in cookies:
            self._store(cookie, now, is_secure=True)
        return len(cookies)

    def _select(self, host: str, path: str, is_secure: bool, now: float) -> list[Cookie]:
        chosen = []
        for domain in _domains_of(host):
            for cookie in self._domains.get(domain, {}).values():
                if (
                    (not cookie.host_only or domain == host)
                    and (is_secure or not cookie.secure)
                    and not cookie.is_expired(now)
                    and path_match(path, cookie.path)
                ):
                    chosen.append(cookie)
        return chosen

    def _fits(self, cookie: Cookie) -> bool:
        text = cookie.name + cookie.value
        length = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        return length <= self._max_bytes

    def _store(self, cookie: Cookie, now: float, *, is_secure: bool) -> None:
        """Section 5.3 steps 11 and 12, and the eviction that follows them."""
        if not self._fits(cookie):
            return
        key = (cookie.path, cookie.name)
        old = self._domains.get(cookie.domain, {}).get(key)
        if old is not None and old.is_expired(now):
            self._remove(old)
            old = None
        if old is not None and old.secure and not is_secure:
            return
        if old is not None:
            cookie.creation_time = old.creation_time
            self._remove(old)
        if not cookie.is_expired(now):
            self._domains.setdefault(cookie.domain, {})[key] = cookie
            self._count += 1
            self._evict(cookie.domain, now)

    def _evict(self, domain: str, now: float) -> None:
        bucket = self._domains[domain]
        # What is sent to every host was set by hand, which no server can flood.
        if len(bucket) > self._max_per_domain and domain != _EVERY_HOST:
            self._evict_oldest(list(bucket.values()), self._max_per_domain, now)
        if self._count > self._max_cookies:
            # A sixteenth more than needed goes, so that a full store does not sort every cookie it
            # has whenever one more is set.
            self._evict_oldest(list(self), self._max_cookies - self._max_cookies // 16, now)

    def _remove(self, cookie: Cookie) -> None:
        bucket = self._domains[cookie.domain]
        del bucket[cookie.path, cookie.name]
        self._count -= 1
        if not bucket:
            del self._domains[cookie.domain]

    def _evict_oldest(self, cookies: list[Cookie], limit: int, now: float) -> None:
        """Section 5.3, last part: the expired first, then those not used for longest."""
        cookies.sort(key=lambda cookie: (not cookie.is_expired(now), cookie.last_access_time))
        for cookie in cookies[: max(0, len(cookies) - limit)]:
            self._remove(cookie)


class DummyCookieJar(CookieJar):
    """A jar that keeps nothing: responses set no cookies, and none are sent but those of the request itself."""

    __slots__ = ()

    def _store(self, cookie: Cookie, now: float, *, is_secure: bool) -> None:
        """Keep nothing."""


def parse_set_cookie(text: str, url: URL, now: float) -> Cookie | None:
    """Return the cookie that a value of Set-Cookie received from *url* sets, or None to ignore it.

    The bound on its size and the rules on Secure are the store's; see ``CookieJar``.

    Args:
        text: The value of one field.
        url: Target URI of the request.
        now: Wall-clock seconds.

    Source: RFC 6265 sections 5.2 and 5.3 steps 1 to 10.
    """
    host = _host_of(url)
    split = split_set_cookie(text)
    if split is None:
        return None
    name, value, attributes = split
    last = dict(attributes)
    path = last.get("path", "")
    cookie = Cookie(
        name,
        value,
        # An empty Domain is ignored, so that one before it stands.
        next((text for key, text in reversed(attributes) if key == "domain" and text), ""),
        path if path.startswith("/") else default_path(url.raw_path),
        expiry_time(attributes, now),
        creation_time=now,
        secure="secure" in last,
        http_only="httponly" in last,
        last_access_time=now,
    )
    return cookie if _settle_domain(cookie, host) and _keeps_its_prefix(cookie, url, path) else None


def domain_match(host: str, domain: str) -> bool:
    """Whether *host* is *domain* or below it; both lower-case. An address matches only itself.

    Source: RFC 6265 section 5.1.3.
    """
    return host == domain or (host.endswith(f".{domain}") and not _is_address(host))


def path_match(request_path: str, cookie_path: str) -> bool:
    """Whether *request_path* is *cookie_path* or below it.

    Source: RFC 6265 section 5.1.4.
    """
    if not request_path.startswith(cookie_path):
        return False
    end = len(cookie_path)
    return len(request_path) == end or cookie_path.endswith("/") or request_path[end] == "/"


def default_path(request_path: str) -> str:
    """The path of a cookie that names none: the request's up to, not including, the last slash.

    Source: RFC 6265 section 5.1.4.
    """
    if not request_path.startswith("/"):
        return "/"
    return request_path[: request_path.rfind("/")] or "/"


def _settle_domain(cookie: Cookie, host: str) -> bool:
    """Section 5.3 steps 5 and 6: whether *host* may set the cookie, and for whom besides itself.

    A public suffix stands for no site: the host that is one may set it for itself, nobody for those below it.
    """
    domain = cookie.domain = cookie.domain.removeprefix(".").lower()
    if not domain or (domain == host and (_is_address(host) or is_public_suffix(host))):
        cookie.domain = host
        return True
    cookie.host_only = False
    return domain_match(host, domain) and not is_public_suffix(domain)


def _keeps_its_prefix(cookie: Cookie, url: URL, path: str) -> bool:
    """Whether the promise that the name makes is held (draft-ietf-httpbis-rfc6265bis section 4.1.3)."""
    name = cookie.name[:9].lower()
    if name.startswith("__host-"):
        return cookie.secure and url.scheme == "https" and cookie.host_only and path == "/"
    return name != "__secure-" or (cookie.secure and url.scheme == "https")


def _host_of(url: URL) -> str:
    """The canonical request-host, section 5.1.2.

    Raises:
        ValueError: A relative URL.
    """
    if not url.raw_host:
        raise ValueError(f"{url} has no host; expected an absolute URL")
    return url.raw_host.lower()


def _is_address(host: str) -> bool:
    """Whether *host* is an IP address in any form: no domain has a last label of digits only."""
    last = host.rpartition(".")[2]
    return ":" in host or last.isdigit() or last.startswith("0x")


def _domains_of(host: str) -> list[str]:
    """The domains whose cookies *host* may get: every host's, its own, and those above it."""
    domains = [_EVERY_HOST, host]
    if not _is_address(host):
        start = host.find(".") + 1
        while start:
            domains.append(host[start:])
            start = host.find(".", start) + 1
    return domains
