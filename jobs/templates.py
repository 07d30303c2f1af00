"""Templates of names: ``--name '{host}/{digest:2}/{basename}'``, from text to what gives an item its path. Pure.

    {host}          host, with +port where that is not the scheme's default    {port}    the port, always
    {path}          the whole path, as the default names it                    {dir}     its folders, perhaps none
    {basename}      the last component of {path}, query's hash included
    {stem} {ext}    the last component without query, cut before its last dot: photo and .jpg, README and nothing
    {query}         8 hex digits of the query's hash, nothing where there is no query
    {digest:N}      the first N (1 to 32, default 32) hex digits of the URL's hash: even shards for millions of files
    {row} {row:N}   the line of the manifest, with zeros to N digits
    {column:NAME}   what the manifest says in its column NAME, nothing where it says nothing
    {disposition}   the file name of Content-Disposition (RFC 6266), {basename} where there is none; known only when the
                    response is, so it may stand in the last component alone, and the item has another path until then

Two braces stand for one. A field's value is made safe by itself, and each component once more when it is put together,
so that no value, whatever the manifest or the server says, opens a folder or leads out of one; only {path} and {dir}
have folders in them. A component that is empty is left out; a name that would be empty is made of a hash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol, Self

from .exceptions import SettingsError
from .naming import bounded, digits_for, host_folder, path_parts, safe_component, safe_path
from .targets import Target, parse_target, without_userinfo

__all__ = ["ASKED", "DEFAULT", "Naming", "Template", "derive_by"]

DEFAULT: Final = "{host}/{path}"
_MAX_DIGITS: Final = 32
_SHORT_DIGITS: Final = 16  # of a name that would be empty
_MAX_ROW_DIGITS: Final = 18
_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([a-z]+)(?::([^{}]*))?\}|[{}]")
_NOTHING: Final[Mapping[str, str]] = {}


class _Asked(NamedTuple):
    """What a field may look at."""

    target: Target
    url: str
    row: int
    columns: Mapping[str, str]
    served: str | None = None


_Field = Callable[[_Asked], list[str]]
"""Gives components that are safe; the first and the last of them are joined with what stands beside the field."""


def _basename(asked: _Asked) -> str:
    name = path_parts(asked.target)[-1]
    query = asked.target.raw_query
    return name if query is None else f"{name}@{digits_for(query)}"


def _split(asked: _Asked) -> tuple[str, str]:
    """Stem and ending of the last component; a leading dot begins no ending."""
    name = path_parts(asked.target)[-1]
    at = name.rfind(".")
    return (name, "") if at <= 0 or not name[:at].strip(".") else (name[:at], name[at:])


def _digest(url: str) -> str:
    """32 hex digits that stand for the URL, whose fragment and userinfo do not count."""
    text = without_userinfo(url.partition("#")[0])
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_MAX_DIGITS // 2).hexdigest()


def _provisional(url: str) -> str:
    """A name that no file has and no other item."""
    return f"{_digest(url)}~"


def _host(asked: _Asked) -> str:
    return host_folder(asked.target.scheme, asked.target.host, asked.target.port)


_PLAIN: Final[Mapping[str, _Field]] = {
    "host": lambda asked: [_host(asked)],
    "port": lambda asked: [str(asked.target.port)],
    "path": lambda asked: [*path_parts(asked.target)[:-1], _basename(asked)],
    "dir": lambda asked: path_parts(asked.target)[:-1] or [""],
    "basename": lambda asked: [_basename(asked)],
    "stem": lambda asked: [_split(asked)[0]],
    "ext": lambda asked: [_split(asked)[1]],
    "query": lambda asked: ["" if asked.target.raw_query is None else digits_for(asked.target.raw_query)],
    "digest": lambda asked: [_digest(asked.url)],
    "row": lambda asked: [str(asked.row)],
    "disposition": lambda asked: [_served(asked)],
}


def _field(name: str, argument: str | None) -> _Field:
    """Return what a field means.

    Raises:
        ValueError: There is none of that name, or its argument cannot be.
    """
    if name == "digest" and argument is not None:
        digits = _number(argument, _MAX_DIGITS)
        return lambda asked: [_digest(asked.url)[:digits]]
    if name == "row" and argument is not None:
        width = _number(argument, _MAX_ROW_DIGITS)
        return lambda asked: [str(asked.row).zfill(width)]
    if name == "column":
        if not argument:
            raise ValueError("{column} without a name; expected {column:NAME}")
        column = argument
        return lambda asked: [_column(asked.columns.get(column, ""))]
    if name not in _PLAIN:
        known = ", ".join(f"{{{known}}}" for known in [*_PLAIN, "column:NAME"])
        raise ValueError(f"unknown field {{{name}}}; expected one of {known}")
    if argument is not None:
        raise ValueError(f"{{{name}:{argument}}}; expected {{{name}}} alone")
    return _PLAIN[name]


def _served(asked: _Asked) -> str:
    """The name that the server gives, of which only the last component counts (RFC 6266 section 4.3)."""
    name = (asked.served or "").replace("\\", "/").rpartition("/")[2].strip()
    return safe_component(name) if name.strip(".") else _basename(asked)


def _column(text: str) -> str:
    return safe_component(text) if text else ""


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= most):
        raise ValueError(f"number {text!r}; expected 1 to {most}")
    return int(text)


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was understood.

    Attributes:
        text: As it was written.
        follows_url: Whether the path follows from the URL alone, so that the ledger need not keep it.
        needs_head: Whether the name of the file is known only when the response is. Then `path` gives a path by which
            the item is known, and `file` that of its file, in the same folder.
    """

    text: str
    follows_url: bool
    needs_head: bool
    _parts: tuple[str | _Field, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Understand *text*.

        Raises:
            SettingsError: A field that is not known, an absolute path, ``..``, or no name for a file at its end.
        """
        parts: list[str | _Field] = []
        names: set[str] = set()
        at = 0
        try:
            for token in _TOKEN.finditer(text):
                parts.append(text[at : token.start()])
                at = token.end()
                if token[1] is not None:
                    if "disposition" in names and token[1] in ("path", "dir"):
                        raise ValueError(f"{{{token[1]}}} after {{disposition}}; expected no folder there")
                    names.add(token[1])
                    parts.append(_field(token[1], token[2]))
                elif token[0] in "{}":
                    raise ValueError(f"a lone {token[0]!r}; expected {token[0] * 2!r} for one of them")
                else:
                    parts.append(token[0][0])
            parts.append(text[at:])
            _check_literals(parts)
            if "disposition" in names and "/" in text[text.index("{disposition}") :]:
                raise ValueError("a folder after {disposition}; expected it in the last component")
        except ValueError as exc:
            raise SettingsError(f"name template {text!r}: {exc}") from exc
        follows_url = not names & {"row", "column"}
        return cls(text, follows_url, "disposition" in names, tuple(part for part in parts if part))

    def path(self, target: Target, url: str, *, row: int = 0, columns: Mapping[str, str] = _NOTHING) -> str:
        """Return the safe path by which an item is known, which is that of its file unless `needs_head`.

        Args:
            target: Of *url*.
            url: As the manifest has it.
            row: Line of the manifest.
            columns: What else the manifest says, by its own names.
        """
        # Hot path: the default has its own shorter way to the same names.
        if self.text == DEFAULT:
            return safe_path(target)
        whole = self._fill(_Asked(target, url, row, columns))
        if not self.needs_head:
            return whole
        # Nobody else's: neither another item's, nor any file's.
        return whole[: whole.rfind("/") + 1] + _provisional(url)

    def is_provisional(self, name: str, url: str) -> bool:
        """Whether *name* is the last component of the path by which an item is known until its response is here."""
        return self.needs_head and name == _provisional(url)

    def path_named(self, target: Target, name: str) -> str:
        """Return the safe path of an item that the manifest gives a name."""
        return safe_path(target, name)

    def file(
        self, target: Target, url: str, served: str | None, *, row: int = 0, columns: Mapping[str, str] = _NOTHING
    ) -> str:
        """Return the safe path of an item's file when its response is here.

        Args:
            target: As for `path`, and so are *url*, *row* and *columns*.
            served: The file name that the response gives; None when it gives none.
        """
        return self._fill(_Asked(target, url, row, columns, served))

    def _fill(self, asked: _Asked) -> str:
        components = [""]
        for part in self._parts:
            values = part.split("/") if isinstance(part, str) else part(asked)
            components[-1] += values[0]
            components += values[1:]
        folders = [safe_component(text, may_have_hash=True) for text in components[:-1] if text]
        name = components[-1] or _digest(asked.url)[:_SHORT_DIGITS]
        return bounded([*folders, safe_component(name, may_have_hash=True)])


def _check_literals(parts: list[str | _Field]) -> None:
    """Refuse what stands in the template itself and cannot be in a path.

    Raises:
        ValueError: What it is.
    """
    literal = "".join(part if isinstance(part, str) else "x" for part in parts)
    if not literal:
        raise ValueError("it is empty")
    if literal.startswith(("http://", "https://")):
        raise ValueError("a URL, which is for fetchd mirror alone; expected a path below the output folder")
    if literal.startswith("/"):
        raise ValueError("an absolute path; expected one relative to the output folder")
    if "\\" in literal or not literal.isprintable():
        raise ValueError("a backslash or a control character; expected '/' between folders")
    if {".", ".."} & set(literal.split("/")):
        raise ValueError("'.' or '..'; expected names of folders")
    if literal.endswith("/"):
        raise ValueError("it ends with a folder; expected the name of a file")


class Naming(Protocol):
    """What gives items their paths. A `Template` does, and that of the destinations of a mirror.

    Attributes:
        text: As it was written; the ledger holds the folder to it.
        follows_url: Whether the path follows from the URL alone.
    """

    @property
    def text(self) -> str: ...
    @property
    def follows_url(self) -> bool: ...
    def path(self, target: Target, url: str, *, row: int = 0, columns: Mapping[str, str] = _NOTHING) -> str: ...
    def path_named(self, target: Target, name: str) -> str: ...


ASKED: Final = "asked:"
"""What stands in the ledger in the place of a template where nothing was kept; see ``spider``."""


@lru_cache(maxsize=8)
def derive_by(template: str) -> Callable[[str], str]:
    """Return what gives a URL its path under *template*, the text of one that was understood once.

    Of a template that does not follow the URL alone every path is kept in the ledger, and this is never asked.
    """
    if template == ASKED:
        return lambda url: url
    if template.startswith(("http://", "https://")):
        from .mirror.template import UrlTemplate  # of a mirror, which stands above this module

        return UrlTemplate(template).derive
    parsed = Template.parse(template)
    return lambda url: parsed.path(parse_target(url), url)
