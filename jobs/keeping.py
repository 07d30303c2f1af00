"""What becomes of a body, for the parts of a run that need not know more of it."""

from __future__ import annotations

from typing import NamedTuple

from .intake import Intake
from .ledger import Ledger, State
from .placing import Placer
from .settings import RunSettings
from .sinks import Folder
from .templates import Naming, Template

__all__ = ["Keeping"]


class Keeping(NamedTuple):
    """What becomes of a body.

    Attributes:
        naming: Gives items their paths.
        keeps_files: Whether a path is that of a file, which can be looked for.
        ended: State of an item whose body came whole: FINISHING where a file is to get its name.
    """

    naming: Naming
    keeps_files: bool = True
    ended: State = State.FINISHING

    def intake(self, settings: RunSettings, ledger: Ledger, folder: Folder) -> Intake:
        """Return the intake of the run that *ledger* has begun, its files in *folder*."""
        return Intake(
            was_in_this_boot=ledger.was_in_this_boot,
            template=self.naming,
            existing=settings.existing,
            on_collision=settings.on_collision,
            run=ledger.run,
            size_of=folder.size,
            part_size_of=folder.part_size,
            is_fresh=not self.keeps_files or folder.is_empty(),
            keeps_files=self.keeps_files,
            trusts_ledger=settings.trust_ledger,
        )

    def placer(self, settings: RunSettings, folder: Folder) -> Placer | None:
        """Return who finds the places that only a response tells; None where names are known before."""
        is_named_later = isinstance(self.naming, Template) and self.naming.needs_head
        return Placer(folder, numbers=settings.on_collision == "number") if is_named_later else None
