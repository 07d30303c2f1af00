"""Files whose names are known only when their responses are: ``--name '{dir}/{disposition}'``.

Lives here: the name of such a file, and whether it is free. Such an item is known by another path, in the same folder,
which follows from its URL (``templates.py``); under that one its ``.part`` file is written and its row is found. The
name of the file is chosen before its row is committed as finishing, by the recorder, one file after the other, so that
no two choose the same, and a kill finds in the row what was chosen.
"""

from __future__ import annotations

from collections.abc import Callable

from fetchd.client import ClientResponse

from .exceptions import CollisionError
from .items import Item
from .ledger import Row
from .naming import numbered
from .sinks import Folder
from .targets import parse_target
from .templates import Template

__all__ = ["Placer", "file_namer"]


def file_namer(template: Template) -> Callable[[Item, ClientResponse], str | None]:
    """Return what says where the file of an item goes, None for where the item is, when its response is here."""

    def name(item: Item, response: ClientResponse) -> str | None:
        target = parse_target(item.url)
        folder, slash, provisional = item.path.rpartition("/")
        if not template.is_provisional(provisional, item.url):
            return None  # the manifest has named it
        disposition = response.content_disposition
        served = None if disposition is None else disposition.filename
        columns = {} if item.extras is None else item.extras.columns
        whole = template.file(target, item.url, served, row=item.line, columns=columns)
        return f"{folder}{slash}{whole.rpartition('/')[2]}"

    return name


class Placer:
    """Sees that a name is free, for the recorder.

    Args:
        folder: The recorder's.
        numbers: Whether a name that is taken gets a suffix that follows from the item's own path; else it is refused.
    """

    def __init__(self, folder: Folder, *, numbers: bool) -> None:
        self._folder = folder
        self._numbers = numbers

    def place(self, row: Row, chosen: set[str]) -> CollisionError | None:
        """Settle ``row.file``; return what is wrong when there is no place for it.

        Args:
            row: With the name that it would have; one that its file has already is its own.
            chosen: Names that others will have in a moment; the settled one is added.
        """
        if row.file is None:
            return None
        for name in [row.file, numbered(row.file, row.path)] if self._numbers else [row.file]:
            if name not in chosen and (name == row.file_before or not self._folder.is_taken(name)):
                row.file = name
                chosen.add(name)
                return None
        return CollisionError(row.file, "its place is taken by another file; --on-collision number keeps both")
