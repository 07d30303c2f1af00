"""Redirections: whether to follow one, where to, with which method, and what must stay behind.

Here: pure decisions on status code, method and Location (RFC 9110 sections 10.2.2 and 15.4), and
reference resolution on octets as they are (RFC 3986 section 5.2). Not here: the bound on their
number, the history, and whether a body can be sent again; the session sees to these.

Why not the standard library or yarl for the join: ``urljoin`` drops empty segments, and a URL type
requotes (``%2F``, ``%27``, ``+``), which breaks signed URLs. What the server wrote is what is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .exceptions import InvalidURL, RedirectError
from .limits import REDIRECT_STATUSES
from .urls import locate, without_userinfo

if TYPE_CHECKING:
    from multidict import CIMultiDict

__all__ = ["Redirect", "redirect_decision", "resolve_reference", "strip_fields"]

# RFC 3986 appendix B, with the scheme as strict as section 3.1: "1:2" is a path. Every group but
# the path is None when the component is not there, which is not the same as empty.
_REFERENCE = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)

_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_VISIBLE_ASCII = re.compile(r"[^\x21-\x7e]+")

# A Location in a message is cut here: it comes from outside and may be as long as a field may be.
_SHOWN = 200

# Set by hand for one origin, they must not reach another (RFC 9110 section 15.4, steps 2 and 3).
# Host is among them: the name of the old origin would be routed as such by the new one.
_ORIGIN_FIELDS = ("Authorization", "Proxy-Authorization", "Cookie", "Host")

# What describes the content that is no longer sent (step 5), besides every Content-* field.
_CONTENT_FIELDS = ("Transfer-Encoding", "Trailer", "Expect", "Digest", "Repr-Digest", "Last-Modified")


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirection to follow.

    Attributes:
        url: Absolute target URI, octets as the server wrote them; blanks and octets outside of
            ASCII are percent-encoded (a host beyond ASCII is left as it is).
        method: Method of the next request.
        keep_body: Whether the content, and the fields that describe it, go along.
        cross_origin: Scheme, host or effective port differ from those of the request before.
    """

    url: str
    method: str
    keep_body: bool
    cross_origin: bool


def redirect_decision(status: int, method: str, url: str, location: str | None) -> Redirect | None:
    """Return the redirection that a response asks for, or None when there is none to follow.

    None: the status is not 301, 302, 303, 307 or 308, or there is no Location or an empty one.

    Args:
        status: Status code of the response.
        method: Method of the request, upper case as on the wire.
        url: Absolute target URI of the request, with its fragment if it had one.
        location: Value of Location, decoded as UTF-8 with ``surrogateescape``.

    Raises:
        RedirectError: The target is not http or https, has no usable host, or is no URI reference.

    Source: RFC 9110 section 15.4. 301 and 302 turn POST into GET, as everyone does; 303 turns all
    but HEAD into GET; 307 and 308 change nothing.
    """
    if location is None or status not in REDIRECT_STATUSES:
        return None
    reference = location.strip(" \t")
    if not reference:
        return None
    try:
        target = resolve_reference(url, _visible(reference))
        # Compared as it will be connected to, by the one function that says so.
        cross_origin = locate(target)[0].key != locate(url)[0].key
    except InvalidURL as exc:
        message = f"redirection to {exc.url[:_SHOWN]!r}: {exc.reason}"
        raise RedirectError(without_userinfo(url), status=status, message=message) from exc
    if "#" not in target and "#" in url:
        target += url[url.index("#") :]
    next_method = _next_method(status, method)
    keep_body = status != 303 and next_method == method
    return Redirect(target, next_method, keep_body, cross_origin)


def strip_fields(headers: CIMultiDict[str], *, cross_origin: bool, keep_body: bool) -> None:
    """Remove from *headers*, in place, what must not go along to the target of a redirection.

    Every field of a name is removed, not only the first.

    Args:
        headers: Fields of the request before.
        cross_origin: Remove Authorization, Proxy-Authorization, Cookie and Host.
        keep_body: When False, remove every Content-* field and the others that belong to a body.

    Source: RFC 9110 section 15.4.
    """
    if cross_origin:
        for name in _ORIGIN_FIELDS:
            headers.popall(name, None)
    if not keep_body:
        described = {name for name in headers if name[:8].lower() == "content-"}
        for name in (*described, *_CONTENT_FIELDS):
            headers.popall(name, None)


def resolve_reference(base: str, reference: str) -> str:
    """Return the target URI of *reference* found at the absolute URI *base*; no octet is requoted.

    Source: RFC 3986 section 5.2.2, the strict form; ``.`` and ``..`` segments are removed.
    """
    scheme, authority, path, query, fragment = _split(reference)
    base_scheme, base_authority, base_path, base_query, _ = _split(base)
    if scheme is not None:
        return _compose(scheme, authority, _remove_dot_segments(path), query, fragment)
    if authority is not None:
        return _compose(base_scheme, authority, _remove_dot_segments(path), query, fragment)
    if not path:
        query = base_query if query is None else query
        return _compose(base_scheme, base_authority, base_path, query, fragment)
    if not path.startswith("/"):
        path = f"{base_path[: base_path.rfind('/') + 1] or '/'}{path}"
    return _compose(base_scheme, base_authority, _remove_dot_segments(path), query, fragment)


def _split(reference: str) -> tuple[str | None, str | None, str, str | None, str | None]:
    """Scheme, authority, path, query and fragment; None for what is not there."""
    match = _REFERENCE.fullmatch(reference)
    assert match is not None, "every string is matched: each part is optional, and the path takes the rest"
    scheme, authority, path, query, fragment = match.groups()
    return scheme, authority, path or "", query, fragment


def _compose(scheme: str | None, authority: str | None, path: str, query: str | None, fragment: str | None) -> str:
    """RFC 3986 section 5.3."""
    return "".join(
        (
            "" if scheme is None else f"{scheme}:",
            "" if authority is None else f"//{authority}",
            path,
            "" if query is None else f"?{query}",
            "" if fragment is None else f"#{fragment}",
        )
    )


def _remove_dot_segments(path: str) -> str:
    """RFC 3986 section 5.2.4, on segments instead of a buffer; empty segments stay.

    A path without a leading slash is returned as it is: only a URI whose scheme is not followed
    has one.
    """
    if "/." not in path or not path.startswith("/"):
        return path
    segments = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _next_method(status: int, method: str) -> str:
    if status == 303:
        return "HEAD" if method == "HEAD" else "GET"
    if status in {301, 302} and method == "POST":
        return "GET"
    return method


def _visible(reference: str) -> str:
    """Percent-encode blanks and what is not ASCII, outside of the host; nothing else.

    Raises:
        InvalidURL: Control octets, or no Unicode text.
    """
    if not _NOT_VISIBLE_ASCII.search(reference):
        return reference
    if _CONTROLS.search(reference):
        raise InvalidURL(without_userinfo(reference), "control octets; expected a URI reference")
    scheme, authority, path, query, fragment = _split(reference)
    return _compose(
        scheme,
        authority,
        _percent_encode(path),
        None if query is None else _percent_encode(query),
        None if fragment is None else _percent_encode(fragment),
    )


def _percent_encode(text: str) -> str:
    def encode(match: re.Match[str]) -> str:
        return "".join(f"%{octet:02X}" for octet in match[0].encode("utf-8", "surrogateescape"))

    try:
        return _NOT_VISIBLE_ASCII.sub(encode, text)
    except UnicodeEncodeError:
        raise InvalidURL(text, "characters that are no Unicode text") from None
