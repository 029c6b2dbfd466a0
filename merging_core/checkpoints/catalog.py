"""The catalog: from a reference to an open checkpoint, and the list of those that can be picked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from merging_core.checkpoints.content import PIN_DIGITS
from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.checkpoints.zoo import Zoo
from merging_core.errors import CheckpointError, Problem

__all__ = ["Catalog", "CatalogEntry"]


@dataclass(frozen=True)
class CatalogEntry:
    """One checkpoint that can be picked."""

    ref: Ref
    title: str
    family: str
    """Checkpoints of one family share a parameter space."""
    role: Literal["base", "expert"]
    parameters: int
    """The number of scalars."""
    description: str


@dataclass(frozen=True)
class Catalog:
    """Opens references: `zoo:` from the given zoo, `file:` from this machine where that is allowed.

    Opening reads headers, never data, so it is not cached; the digest of a file is computed when it is asked for.
    """

    zoo: Zoo
    allow_files: bool = False

    def open(self, ref: Ref | str) -> Checkpoint:
        """Open a checkpoint and check its pin.

        A zoo checkpoint's digest is the manifest's (`zoo verify` recomputes it). A pinned file is hashed here.
        Raises CheckpointError: an unknown name with the closest match, a file where files are not allowed, a pin that
        is not what the reference holds now, or whatever is wrong with the headers.
        """
        ref = parse_ref(ref) if isinstance(ref, str) else ref
        if ref.scheme == "zoo":
            content = self.zoo.content(ref.path)
            checkpoint = open_checkpoint(self.zoo.folder(ref.path), ref, known_content=content)
        else:
            if not self.allow_files:
                fix = "pick a checkpoint of the zoo, or use the command line"
                raise CheckpointError(Problem("references to files are allowed here", "file:", "reference", fix))
            checkpoint = open_checkpoint(Path(ref.path), ref)
        if ref.pin is not None and not checkpoint.content().startswith(ref.pin):
            found = checkpoint.content()[: len(ref.pin)]
            fix = "its content changed since it was pinned; leave the pin out to take what is there now"
            raise CheckpointError(Problem(f"the content is {ref.pin}", found, checkpoint.label, fix))
        return checkpoint

    def pin(self, ref: Ref | str) -> Ref:
        """Return the reference with the pin of what it holds now: 16 digits for the zoo, all 64 for a file.

        Raises as `open` does; a pin that is already there is checked.
        """
        checkpoint = self.open(ref)
        content = checkpoint.content()
        return replace(checkpoint.ref, pin=content[:PIN_DIGITS] if checkpoint.ref.scheme == "zoo" else content)

    def list(self) -> tuple[CatalogEntry, ...]:
        """Return what the zoo offers, in its order."""
        return tuple(
            CatalogEntry(Ref("zoo", path), info.title, info.family, info.role, info.parameters, info.description)
            for path, info in self.zoo.checkpoints.items()
        )
