"""The catalog: from a reference to an open checkpoint, and the list of those that can be picked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from merging_core.checkpoints.content import PIN_DIGITS
from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.errors import CheckpointError, Problem, closest

__all__ = ["Catalog", "CatalogEntry", "ZooLike", "ZooRecord"]


class ZooRecord(Protocol):
    """What the catalog asks of one checkpoint of the zoo."""

    @property
    def title(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def role(self) -> Literal["base", "expert"]: ...
    @property
    def parameters(self) -> int: ...
    @property
    def description(self) -> str: ...


class ZooLike(Protocol):
    """What the catalog asks of a zoo: its checkpoints by path, their folders and their content digests."""

    @property
    def checkpoints(self) -> Mapping[str, ZooRecord]: ...
    def folder(self, path: str, /) -> Path: ...
    def content(self, path: str, /) -> str: ...


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

    zoo: ZooLike
    allow_files: bool = False

    def open(self, ref: Ref | str) -> Checkpoint:
        """Open a checkpoint and check its pin.

        A zoo checkpoint's digest is the manifest's (`zoo verify` recomputes it). A pinned file is hashed here.
        Raises CheckpointError: an unknown name with the closest match, a file where files are not allowed, a pin that
        is not what the reference holds now, or whatever is wrong with the headers.
        """
        ref = parse_ref(ref) if isinstance(ref, str) else ref
        if ref.scheme == "zoo":
            if ref.path not in self.zoo.checkpoints:
                fix = closest(ref.path, self.zoo.checkpoints)
                raise CheckpointError(Problem("the zoo holds the checkpoint", ref.path, "zoo", fix))
            content = self.zoo.content(ref.path)
            checkpoint = open_checkpoint(self.zoo.folder(ref.path), ref, known_content=content)
        else:
            if not self.allow_files:
                fix = "pick a checkpoint of the zoo, or use the command line"
                raise CheckpointError(Problem("references to files are allowed here", "file:", "reference", fix))
            path = Path(ref.path)
            checkpoint = open_checkpoint(path, ref, label=f"file:{path.name or ref.path}", root=None)
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
            CatalogEntry(Ref("zoo", path), zoo.title, zoo.family, zoo.role, zoo.parameters, zoo.description)
            for path, zoo in self.zoo.checkpoints.items()
        )
