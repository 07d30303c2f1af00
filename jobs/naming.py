"""From a URL (or a name the manifest gives) to a safe path below the output folder. Pure.

The path is ``{host}/{path}``: always relative, POSIX, valid UTF-8, the same in every run. What it must never
be is in `_made_safe` and `_is_unsafe`; that no symbolic link leads out of the folder is the sink's part.

    http://h/a/b.txt        h/a/b.txt              https://h:8443/a     h+8443/a
    http://h/a/             h/a/index.html         http://h/a?x=1       h/a@75f556ab   (hash of the query)
    http://h/a%20b/%C3%A9   h/a b/é                http://h/a%2Fb       h/a%2Fb        (stays as it is)
    http://h/../x.part      h/__@e6fc5bb9/x.part@bcee4f51

An escape is decoded only where it gives a character that could not have stood there by itself (a blank,
or what is beyond ASCII and visible); any other escape stays, three plain characters. So decoding joins no
two URLs but those that are the same by RFC 3986 section 6.2.2 (raw UTF-8 and its escapes, lower-case hex).
A component that had to be changed, or that looks like one that was, gets ``@`` and 8 hex digits of the hash
of what it was. So two URLs share a path only where the rules above say so (``/a/`` and ``/a/index.html``,
http and https on their default ports), or where 32 bits of hash agree; that is reported as a collision.

What counts as visible is listed here and not asked of Python's Unicode tables: a newer Python must not
rename the files of an older one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from .targets import Target, parse_target

__all__ = [
    "MAX_COMPONENT_BYTES",
    "MAX_DEPTH",
    "MAX_PATH_BYTES",
    "bounded",
    "digits_for",
    "host_folder",
    "name_plain",
    "numbered",
    "path_parts",
    "safe_component",
    "safe_path",
]

MAX_COMPONENT_BYTES: Final = 200
"""File systems take 255; this leaves room for two hashes, ``.part`` and what a user may append."""
MAX_PATH_BYTES: Final = 2_048
"""Linux takes 4,096 for a whole path; this leaves the user as much again above the output folder."""
MAX_DEPTH: Final = 100
"""Components. A path of 30,000 folders is an attack on whoever has to delete it."""

_KEPT_DEPTH: Final = 8  # what is still readable of a path that exceeds the limits
_MAX_PLAIN: Final = 2 * (MAX_DEPTH - 1)  # characters: even of one-letter folders this is not too deep

# The common path as it is, proven by one linear expression: components of plain characters that begin with
# no dot, end in no dot and not in ".part", and are no device name. "@" and "%" are left to the slow way.
_PLAIN_PATH: Final = (
    r"(?:/(?![CcPpAaNnLl][OoRrUuPp][NnXxLlMmTt](?:[/.0-9]|$))"
    r"[\w~+=,!$&'();:-]+(?:\.+(?!(?i:part)(?:/|$))[\w~+=,!$&'();:-]+)*)*/?"
)
_PLAIN: Final = re.compile(_PLAIN_PATH, re.ASCII).fullmatch
_PLAIN_URL: Final = re.compile(rf"(https?://[\w.:-]+)(?=/)({_PLAIN_PATH})", re.ASCII).fullmatch

_INVISIBLE: Final = (
    "\x80-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u08e2\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000"
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e0fff"
)
_ESCAPES: Final = re.compile(r"(?:%20|%[89A-Fa-f][0-9A-Fa-f])+")
_TO_ESCAPE: Final = re.compile(f"[{_INVISIBLE}]")
_TO_REPLACE: Final = re.compile(f"[\0-\x1f\x7f/\\\\{_INVISIBLE}]")
_OURS: Final = re.compile(r"(?i:.*\.part|\.fetchd)|.*@[0-9a-f]{8}", re.DOTALL).fullmatch
_DEVICE: Final = re.compile(r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.DOTALL).fullmatch


def safe_path(target: Target, name: str | None = None) -> str:
    """Return the relative path an item is stored under.

    Args:
        target: Where the item comes from.
        name: The output name that the manifest gives, taken as it is but for what is unsafe in it;
            None to derive the path from *target*.

    Raises:
        ValueError: *name* is empty, absolute, names a folder or leaves the output folder.
            Never raised when *name* is None: every URL has a safe path.
    """
    if name is not None:
        return bounded([_made_safe(part, part) for part in _parts_of_name(name)])
    scheme, host, port, path, query, _ = target
    if query is None and len(path) <= _MAX_PLAIN and _PLAIN(path):
        # Hot path: most URLs of most manifests (1.2 us).
        whole = host_folder(scheme, host, port) + path
        return whole + "index.html" if path[-1] == "/" else whole
    return _derive_path(target)


def name_plain(url: str) -> tuple[str, str, str] | None:
    """Return scheme, ``host:port`` and safe path of a URL whose path can be taken as it is; None for any other.

    Hot path: what `parse_target` and `safe_path` find out together, at half the time (0.6 us).

    Raises:
        ValueError: As `parse_target`.
    """
    match = _PLAIN_URL(url)
    if match is None:
        return None
    origin, path = match.groups()
    if len(path) > _MAX_PLAIN:
        return None
    scheme, key, folder = _named_origin(origin)
    whole = folder + path
    return scheme, key, whole + "index.html" if path[-1] == "/" else whole


@lru_cache(maxsize=4096)
def _named_origin(origin: str) -> tuple[str, str, str]:
    """Return scheme, ``host:port`` and the folder of the host."""
    target = parse_target(origin)
    return target.scheme, target.host_key, host_folder(target.scheme, target.host, target.port)


def _derive_path(target: Target) -> str:
    """Name any URL whatsoever; the reference that the hot path of `safe_path` must agree with."""
    parts = path_parts(target)
    if target.raw_query is not None:
        parts[-1] += f"@{digits_for(target.raw_query)}"
    return bounded([host_folder(target.scheme, target.host, target.port), *parts])


def path_parts(target: Target) -> list[str]:
    """Return the components of the path of *target*, each safe, without its query."""
    raw_parts = target.raw_path.removeprefix("/").split("/")
    raw_parts[-1] = raw_parts[-1] or "index.html"
    return [_made_safe(_decoded(raw), raw) for raw in raw_parts]


def safe_component(text: str, *, may_have_hash: bool = False) -> str:
    """Return *text* as a component, with a hash where that took a change.

    Args:
        text: Any.
        may_have_hash: It is made of components that are safe: what looks like a hash at its end is one.
    """
    # "_" in the place of "@": the same length, and no hash.
    seen = text.replace("@", "_") if may_have_hash else text
    if _TO_REPLACE.search(text) is None and not _is_unsafe(seen):
        return text
    return _made_safe(text, text)


@lru_cache(maxsize=4096)
def host_folder(scheme: str, host: str, port: int) -> str:
    """Return ``host``, or ``host+port`` where the port is not the scheme's default.

    The colons of an IPv6 address become ``-``; its brackets keep it apart from any name.
    """
    text = host.replace(":", "-")
    if port != {"http": 80, "https": 443}.get(scheme):
        text += f"+{port}"
    return _made_safe(text, text)


def numbered(path: str, key: str) -> str:
    """Return *path* with a suffix before its ending that follows from *key*."""
    stem, dot, ending = path.rpartition(".")
    if not dot or "/" in ending or stem.endswith("/") or not stem:
        stem, dot, ending = path, "", ""
    return f"{stem}~{digits_for(key)}{dot}{ending}"


def _parts_of_name(name: str) -> list[str]:
    """Split a name of the manifest into its components; empty ones and ``.`` mean nothing and go."""
    if name.startswith("/"):
        raise ValueError("absolute output name; expected one relative to the output folder")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("output name with '..'; expected one that stays in the output folder")
    if "\\" in name or "\0" in name:
        raise ValueError("output name with a backslash or NUL; expected '/' between folders")
    if not parts:
        raise ValueError("empty output name")
    if name.endswith(("/", "/.")):
        raise ValueError("output name of a folder; expected the name of a file")
    return parts


def _decoded(raw: str) -> str:
    """Decode the escapes that make a name readable; see the module's docstring for which."""
    if "%" in raw:
        raw = _ESCAPES.sub(_decode_run, raw)
    return raw if raw.isascii() else _TO_ESCAPE.sub(_escape, raw)


def _decode_run(match: re.Match[str]) -> str:
    """Decode a run of escapes; octets that are no UTF-8 come out as surrogates, which are escaped again."""
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "surrogateescape")


def _escape(match: re.Match[str]) -> str:
    """Return the escapes of an invisible character, or of the octet that a surrogate stands for."""
    code = ord(match[0])
    octets = bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else match[0].encode("utf-8", "surrogatepass")
    return "".join(f"%{octet:02X}" for octet in octets)


def _made_safe(text: str, raw: str) -> str:
    """Return *text* as a component that is safe, with a hash of *raw* if that took a change."""
    safe = _TO_REPLACE.sub("_", text)
    if safe == text and not _is_unsafe(text):
        return text
    if safe in ("", ".", ".."):
        safe = "_" * max(len(safe), 1)
    elif _DEVICE(safe):
        safe = f"_{safe}"
    return f"{_cut(safe, MAX_COMPONENT_BYTES - 9)}@{digits_for(raw)}"


def _is_unsafe(text: str) -> bool:
    """Whether a component of harmless characters still must not be used as it is.

    Empty, a dot segment, a final dot or blank (Windows drops them), a device name of Windows, too long, an
    unfinished file's ending or a name of ours, or what looks like a component with a hash.
    """
    return (
        text == ""
        or text[-1] in ". "
        or len(text.encode()) > MAX_COMPONENT_BYTES
        or _OURS(text) is not None
        or _DEVICE(text) is not None
    )


def bounded(parts: list[str]) -> str:
    """Join the components; what exceeds depth or length is folded into one component with a hash."""
    whole = "/".join(parts)
    if len(parts) <= MAX_DEPTH and len(whole.encode()) <= MAX_PATH_BYTES:
        return whole
    return "/".join([*parts[:_KEPT_DEPTH], f"_@{digits_for(whole)}"])


def _cut(text: str, max_bytes: int) -> str:
    """Cut *text* to *max_bytes* of UTF-8 without splitting a character."""
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def digits_for(text: str) -> str:
    """Return 8 hex digits that stand for *text*, lone surrogates included."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
