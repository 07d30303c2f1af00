# Invariant: whatever template, URL, name and column of a manifest and name in a response say, each is
# refused or gives a path below the output folder, the same each time; and writing there changes nothing outside of it,
# although links that lead out stand in the tree.
"""Names of files: ``safe_path``, ``Template``, and ``Folder`` beneath them, in a folder full of planted links."""

from __future__ import annotations

import os
import random
import tempfile
from functools import cache
from pathlib import Path

from fetchd.jobs.exceptions import PolicyError
from fetchd.jobs.naming import MAX_COMPONENT_BYTES, safe_path
from fetchd.jobs.sinks import Folder
from fetchd.jobs.targets import Target as Url
from fetchd.jobs.targets import parse_target
from fetchd.jobs.templates import DEFAULT, Template

from ..engine import Target

__all__ = ["TARGET", "generate"]

_FIELDS = "{host}", "{port}", "{path}", "{dir}", "{basename}", "{stem}", "{ext}", "{query}", "{digest:2}", "{row:6}"
_TEMPLATES = (
    DEFAULT,
    "{column:c}/{basename}",
    "{dir}/{disposition}",
    "{column:c}{disposition}",
    "link/{path}",
    "{stem}{ext}",
)
_NAMES = (
    "a",
    "a/b",
    "..",
    "../x",
    "/etc/passwd",
    "link/x",
    "inner/x",
    "file/x",
    "a.part",
    ".fetchd/ledger.sqlite3",
    "con",
)
_PATHS = (
    "/",
    "/a",
    "/a/b",
    "/../x",
    "/%2e%2e/x",
    "/a%2Fb",
    "/link/x",
    "/inner/../x",
    "/.fetchd/lock",
    "/a\\..\\b",
    "//",
    "/é",
)
_ODD = (
    "\0",
    "\r\n",
    "\u202e",
    "\udcff",
    "%00",
    "%",
    "..",
    "/",
    "\\",
    ".part",
    "@00000000",
    "{",
    "}",
    "?",
    "#",
    "\n",
    "a" * 200,
)
TOKENS = tuple(
    text.encode("utf-8", "surrogateescape") for part in (_FIELDS, _TEMPLATES, _NAMES, _PATHS, _ODD) for text in part
)


def generate(rng: random.Random) -> bytes:
    """Five lines: a template, the path of a URL, a name of the manifest, a column of it, a name of the response."""
    template = rng.choice(_TEMPLATES) if rng.random() < 0.5 else "/".join(rng.choices(_FIELDS, k=rng.randint(1, 3)))
    lines = [template, rng.choice(_PATHS) + rng.choice(("", "?q")), *(rng.choice(_NAMES) for _ in range(3))]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _check(data: bytes) -> bool:
    lines = data.decode("utf-8", "surrogateescape").split("\n", 4)
    template, path, name, column, served = [*lines, *[""] * (5 - len(lines))]
    url = f"http://h{path}"
    try:
        target = parse_target(url)
    except ValueError:
        return False
    paths = {safe_path(target), *_given(target, name), *_made(template, target, url, column, served)}
    for each in paths:
        _check_path(each)
    _check_writing(paths)
    return True


def _given(target: Url, name: str) -> set[str]:
    try:
        return {safe_path(target, name)}
    except ValueError:
        return set()


def _made(text: str, target: Url, url: str, column: str, served: str) -> set[str]:
    try:
        template = Template.parse(text)
    except ValueError:
        return set()
    columns = {"c": column}
    found = template.path(target, url, row=3, columns=columns)
    assert found == template.path(target, url, row=3, columns=columns)
    return {found, template.file(target, url, served, row=3, columns=columns)}


def _check_path(path: str) -> None:
    assert path.encode()
    assert "\0" not in path
    assert "\\" not in path
    for part in path.split("/"):
        assert part not in ("", ".", "..")
        assert part.lower() != ".fetchd"
        assert not part.lower().endswith(".part")
        assert len(part.encode()) <= MAX_COMPONENT_BYTES + 9  # a hash of the query behind it


@cache
def _world() -> tuple[tempfile.TemporaryDirectory[str], Path, Folder]:
    """A folder with links in it that lead out, to a file, to a folder, around; removed with the process."""
    whole = tempfile.TemporaryDirectory(prefix="fetchd-fuzz-names-")
    root = Path(whole.name) / "in" / "root"
    outside = Path(whole.name) / "outside"
    for folder in (root / "inner", root / "h", outside / "h"):
        folder.mkdir(parents=True)
    (outside / "kept").write_bytes(b"kept")
    for place in (root, root / "inner", root / "h"):
        (place / "link").symlink_to(outside)
        (place / "a").symlink_to(outside / "kept")
        (place / "x").symlink_to(outside / "new")
        (place / "loop").symlink_to("loop")
        (place / "up").symlink_to("..")
    (root / "file").write_bytes(b"")
    return whole, root, Folder(root, max_open=8)


def _check_writing(paths: set[str]) -> None:
    whole, root, folder = _world()
    for path in paths:
        try:
            folder.write_part(path, b"octets")
            folder.publish(path)
        except PolicyError:
            continue
        place = root / path
        assert not place.is_symlink()
        assert place.read_bytes() == b"octets"
        assert Path(os.path.realpath(place)).is_relative_to(os.path.realpath(root))
    outside = Path(whole.name) / "outside"
    assert sorted(os.listdir(whole.name)) == ["in", "outside"]
    assert os.listdir(Path(whole.name) / "in") == ["root"]
    assert sorted(os.listdir(outside)) == ["h", "kept"]
    assert os.listdir(outside / "h") == []
    assert (outside / "kept").read_bytes() == b"kept"


TARGET = Target("names", generate, _check, TOKENS)
