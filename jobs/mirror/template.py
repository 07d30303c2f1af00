"""From the URL of an item to the URL it is sent to, by a template: ``https://dst.example/in/{host}/{path}``. Pure.

    {host}      name or address, lower-case      {port}    always a number
    {path}      the whole path, without the / it begins with; a path that ends with / gets index.html
    {dir}       the folders of it                {basename}    what follows the last /
    {stem}      basename without its ending      {ext}         the ending with its dot, or nothing
    {query}     what follows ?, or nothing

What stands in the URL goes over octet for octet, escapes and all, for the destination is a URL as well. Dot segments
are resolved first (RFC 3986 section 5.2.4). Where an escape hides one (``%2e%2e``, ``..%2F``) the item is refused: a
server may decode it, and the object would lie outside of where the template says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from ..exceptions import SettingsError
from ..targets import Target, parse_target

__all__ = ["FIELDS", "UrlTemplate"]

FIELDS: Final = ("host", "port", "path", "dir", "basename", "stem", "ext", "query")

_INDEX: Final = "index.html"
# A query that becomes part of a path: what would end the path or divide it otherwise.
_IN_PATH: Final = str.maketrans({"/": "%2F", "?": "%3F", "#": "%23"})
_SEPARATOR: Final = re.compile(r"[/\\]")


class UrlTemplate:
    """A checked template.

    Args:
        text: As given by the user; ``{{`` and ``}}`` stand for braces.

    Attributes:
        text: As it was given.
        follows_url: The destination follows from the URL alone.

    Raises:
        SettingsError: It is no http(s) URL with fields that are known.
    """

    follows_url = True

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            parts = list(Formatter().parse(text))
        except ValueError as exc:
            raise SettingsError(f"the destination {text!r} is no template: {exc}") from exc
        for _, field, form, conversion in parts:
            if field is not None and (field not in FIELDS or form or conversion):
                raise SettingsError(f"the destination {text!r} has {{{field}}}; expected some of {', '.join(FIELDS)}")
        if not text.startswith(("http://", "https://")):
            raise SettingsError(f"the destination {text!r} has no scheme; expected http:// or https://")
        self._parts = [(literal, field) for literal, field, _, _ in parts]
        try:
            self.url_for(parse_target("http://host.example/dir/name.ext?query"))
        except ValueError as exc:
            raise SettingsError(f"the destination {text!r} makes no URL: {exc}") from exc

    def url_for(self, target: Target, name: str | None = None) -> str:
        """The URL that *target* is sent to.

        Args:
            target: The source.
            name: What the manifest calls it; takes the place of its path.

        Raises:
            ValueError: It has none; one phrase that says why.
        """
        values = _values_of(target, target.raw_path if name is None else quote(name))
        made: list[str] = []
        in_query = False
        for literal, field in self._parts:
            made.append(literal)
            in_query = in_query or "?" in literal
            if field is not None:
                value = values[field]()
                made.append(value if in_query or field != "query" else value.translate(_IN_PATH))
        url = "".join(made)
        _check(parse_target(url))
        return url

    def path(self, target: Target, url: str, *, row: int = 0, columns: Mapping[str, str] | None = None) -> str:
        """See ``templates.Naming``: the path of an item is the URL that it is sent to."""
        return self.url_for(target)

    def path_named(self, target: Target, name: str) -> str:
        """See ``templates.Naming``."""
        return self.url_for(target, name)

    def derive(self, url: str) -> str:
        """The same for a URL that was found good before."""
        return self.url_for(parse_target(url))


def _check(destination: Target) -> None:
    if any(part == ".." for part in _SEPARATOR.split(unquote(destination.raw_path))):
        raise ValueError("the path hides dot segments in escapes, which may lead out of the destination")


def _values_of(target: Target, raw_path: str) -> dict[str, Callable[[], str]]:
    path = _without_dots(raw_path)
    if path.endswith("/") or not path:
        path += _INDEX
    folder, _, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    return {
        "host": lambda: target.host,
        "port": lambda: str(target.port),
        "path": lambda: path,
        "dir": lambda: folder,
        "basename": lambda: name,
        "stem": lambda: stem,
        "ext": lambda: dot + ending,
        "query": lambda: target.raw_query or "",
    }


def _without_dots(path: str) -> str:
    """*path* without dot segments, and without the slashes it begins with."""
    kept: list[str] = []
    parts = path.split("/")
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if part == "..":
            if kept:
                kept.pop()
        elif part != "." and (part or is_last or kept):
            kept.append(part)
            continue
        if is_last and part in (".", ".."):
            kept.append("")  # it names a folder
    return "/".join(kept).lstrip("/")


def folders_of(url: str) -> list[str]:
    """The collections that *url* lies in, the outermost first: ``http://h/a/``, ``http://h/a/b/``."""
    split = urlsplit(url)
    names = [name for name in split.path.split("/")[:-1] if name]
    base = f"{split.scheme}://{split.netloc}/"
    return [base + "/".join(names[:count]) + "/" for count in range(1, len(names) + 1)]
