"""Cookies in a file of Netscape's format: a line a cookie, seven values, tabs between them.

There is no standard; what is written here is what curl, wget and Python's ``http.cookiejar`` read, and the other way
round: ``#HttpOnly_`` before the domain marks cookies that are not for scripts (curl), 0 an end with the session.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .cookies import Cookie

__all__ = ["load_cookies", "save_cookies"]

_HEAD: Final = (
    "# Netscape HTTP Cookie File\n# domain, hosts below it too, path, https only, expiry time, name, value\n\n"
)
_HTTP_ONLY: Final = "#HttpOnly_"
_FLAGS: Final = {"TRUE": True, "FALSE": False}


def save_cookies(path: str | os.PathLike[str], cookies: Iterable[Cookie]) -> int:
    """Write *cookies* to *path*; how many were written. See ``CookieJar.save``."""
    lines = [_line(cookie) for cookie in cookies if cookie.domain and "\t" not in cookie.name + cookie.value]
    target = Path(path)
    # Made with mode 0600 beside the target, so that nobody reads it half and nobody else at all.
    fd, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with open(fd, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            file.writelines([_HEAD, *lines])
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
    return len(lines)


def _line(cookie: Cookie) -> str:
    values = (
        f"{_HTTP_ONLY if cookie.http_only else ''}{'' if cookie.host_only else '.'}{cookie.domain}",
        "FALSE" if cookie.host_only else "TRUE",
        cookie.path,
        "TRUE" if cookie.secure else "FALSE",
        # An expiry in the past would be read as one; 0 means none.
        "0" if cookie.expiry_time is None else str(max(1, int(cookie.expiry_time))),
        cookie.name,
        cookie.value,
    )
    return "\t".join(values) + "\n"


def load_cookies(path: str | os.PathLike[str], now: float) -> list[Cookie]:
    """The cookies of *path* that are not expired at *now*. See ``CookieJar.load``."""
    cookies = []
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, 1):
            text = line.rstrip("\r\n").removeprefix("\ufeff" if number == 1 else "")
            if not text.strip() or (text.startswith("#") and not text.startswith(_HTTP_ONLY)):
                continue
            cookie = _cookie(text, f"{os.fspath(path)}, line {number}", now)
            if not cookie.is_expired(now):
                cookies.append(cookie)
    return cookies


def _cookie(text: str, where: str, now: float) -> Cookie:
    """Raises ValueError with *where* and what is wrong; the value is not told, it may be secret."""
    values = text.removeprefix(_HTTP_ONLY).split("\t")
    if len(values) != 7:
        raise ValueError(f"{where}: {len(values)} values; expected 7 with tabs between them")
    domain, below, path, secure, expiry, name, value = values
    if below not in _FLAGS or secure not in _FLAGS:
        raise ValueError(f"{where}: expected TRUE or FALSE in second and fourth place")
    try:
        seconds = float(expiry or 0)
    except ValueError:
        raise ValueError(f"{where}: expiry time {expiry[:40]!r}; expected seconds since 1970") from None
    host = domain.removeprefix(".").lower()
    if not host or not name or not path.startswith("/"):
        raise ValueError(f"{where}: expected a domain, a path that begins with a slash, and a name")
    return Cookie(
        name,
        value,
        host,
        path,
        seconds or None,
        now,
        secure=_FLAGS[secure],
        http_only=text.startswith(_HTTP_ONLY),
        host_only=not _FLAGS[below],
        last_access_time=now,
    )
