"""The catalog: from a reference to an open checkpoint, and the list of those that can be picked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from merging_core.checkpoints.content import PIN_DIGITS
from merging_core.checkpoints.digests import Digests
from merging_core.checkpoints.learned import LearnedTensors
from merging_core.checkpoints.local import LocalFolders
from merging_core.checkpoints.parts import part_of
from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import LEARNED, Ref, parse_ref
from merging_core.checkpoints.uploads import UploadedCheckpoints
from merging_core.checkpoints.zoo import Zoo
from merging_core.errors import CheckpointError, Problem

__all__ = ["Catalog", "CatalogEntry", "HubSource"]


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


class HubSource(Protocol):
    """What a catalog asks of the Hub; `merging_core.hub.client.Hub` is the one that there is."""

    def open(self, ref: Ref, /) -> Checkpoint: ...
    def check_access(self, ref: Ref, /) -> None: ...
    def pin(self, ref: Ref, /) -> Ref: ...
    def missing_bytes(self, ref: Ref, /) -> int: ...
    def download(
        self, ref: Ref, /, progress: Callable[[float, str], None] | None, cancelled: Callable[[], bool] | None
    ) -> Path: ...


@dataclass(frozen=True)
class Catalog:
    """Opens references: `zoo:` from the given zoo, `file:`, `local:`, `upload:` and `hub:` where these are allowed.

    Opening reads headers, never data, so it is not cached; the digest of a file is computed when it is asked for. A
    checkpoint of the Hub that is not downloaded yet has headers only: `fetch` downloads it.
    """

    zoo: Zoo
    allow_files: bool = False
    hub: HubSource | None = None
    local: LocalFolders | None = None
    uploads: UploadedCheckpoints | None = None
    learned: LearnedTensors | None = None
    """Where learned masks and coefficients lie."""
    digests: Digests | None = None
    """Where digests of files are kept between processes."""
    largest: int | None = None
    """Bytes that one checkpoint may have; None for any."""

    def open(self, ref: Ref | str) -> Checkpoint:
        """Open a checkpoint and check its pin.

        A zoo checkpoint's digest is the manifest's (`zoo verify` recomputes it). A pinned file is hashed here.
        Raises CheckpointError: an unknown name with the closest match, a file where files are not allowed, a pin that
        is not what the reference holds now, one that is larger than is allowed, or whatever is wrong with the headers.
        Raises HubError where the Hub does not give it to this visitor.
        """
        ref = parse_ref(ref) if isinstance(ref, str) else ref
        checkpoint = self._part(ref) if ref.part else self._open(ref)
        size = sum(leaf.nbytes for leaf in checkpoint.leaves.values())
        if self.largest is not None and size > self.largest:
            fix = "pick a smaller one, or run a Basin of your own"
            must = f"a checkpoint has at most {self.largest / 1e6:.0f} MB here"
            raise CheckpointError(Problem(must, f"{size / 1e6:.1f} MB", checkpoint.label, fix))
        return checkpoint

    def _part(self, ref: Ref) -> Checkpoint:
        """Open a part of a checkpoint; but on the Hub, its pin is that of the part's content."""
        whole = ref.whole if ref.scheme == "hub" else ref.whole.unpinned
        opened = self._open(whole)
        found = part_of(opened, replace(ref, pin=opened.ref.pin) if ref.scheme == "hub" else ref)
        if ref.scheme != "hub" and ref.pin is not None and not found.content().startswith(ref.pin):
            fix = "leave the pin out to take what is there now"
            raise CheckpointError(Problem(f"the content is {ref.pin}", found.content()[: len(ref.pin)], ref.label, fix))
        return found

    def _open(self, ref: Ref) -> Checkpoint:
        if ref.scheme == "hub":
            return self._hub.open(ref)
        if ref.scheme == "zoo":
            content = self.zoo.content(ref.path)
            checkpoint = open_checkpoint(self.zoo.folder(ref.path), ref, known_content=content)
        elif ref.scheme == "local":
            if self.local is None:
                must = "checkpoints of a folder lie in one that this server offers"
                fix = "name the folder that holds it in BASIN_MODELS, or take another under Choose models"
                raise CheckpointError(Problem(must, "a server that offers none", ref.label, fix))
            checkpoint = open_checkpoint(self.local.folder(ref.path), ref, digests=self.digests)
        elif ref.scheme == "upload":
            if self.uploads is None:
                fix = "it was uploaded to a server; use it there, or name the file itself"
                raise CheckpointError(Problem("uploads are kept here", "upload:", "reference", fix))
            checkpoint = self.uploads.open(ref)
        elif ref.scheme == LEARNED:
            if self.learned is None:
                fix = "leave tensors out of the recipe, or open it where they were learned"
                raise CheckpointError(Problem("learned tensors are kept here", f"{LEARNED}:", "reference", fix))
            checkpoint = self.learned.open(ref)
        else:
            if not self.allow_files:
                fix = "pick a checkpoint of the zoo, or use the command line"
                raise CheckpointError(Problem("references to files are allowed here", "file:", "reference", fix))
            checkpoint = open_checkpoint(Path(ref.path), ref, digests=self.digests)
        if ref.pin is not None and not checkpoint.content().startswith(ref.pin):
            found = checkpoint.content()[: len(ref.pin)]
            fix = "its content changed since it was pinned; leave the pin out to take what is there now"
            raise CheckpointError(Problem(f"the content is {ref.pin}", found, checkpoint.label, fix))
        return checkpoint

    def check_access(self, ref: Ref) -> None:
        """Ask again whether a checkpoint that is open may be read now, by whoever the work is done for.

        Only a checkpoint of the Hub may be somebody's alone. Raises HubError where it is.
        """
        if ref.scheme == "hub":
            self._hub.check_access(ref.whole)

    def pin(self, ref: Ref | str) -> Ref:
        """Return the reference with the pin of what it holds now: 16 digits for the zoo, all 64 for a file.

        A branch or tag of the Hub becomes the commit that it means now; a commit stays.
        Raises as `open` does; a pin that is already there is checked.
        """
        ref = parse_ref(ref) if isinstance(ref, str) else ref
        if ref.scheme == "hub":
            return replace(self._hub.pin(ref.whole), part=ref.part)
        checkpoint = self.open(ref)
        content = checkpoint.pin_content
        return replace(checkpoint.ref, pin=content[:PIN_DIGITS] if checkpoint.ref.scheme == "zoo" else content)

    def missing_bytes(self, refs: Iterable[str]) -> dict[str, int]:
        """Return how many bytes `fetch` would download, for each of the references that is not here yet.

        Raises CheckpointError and HubError as `open` does.
        """
        sizes = {text: self._hub.missing_bytes(ref.whole) for text in refs if (ref := parse_ref(text)).scheme == "hub"}
        return {text: size for text, size in sizes.items() if size}

    def fetch(
        self,
        refs: Iterable[str],
        progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Download what `missing_bytes` says is not here; afterwards `open` returns checkpoints that can be read.

        Raises HubError, CheckpointError for files that are not what they should be, CancelledError.
        """
        missing = self.missing_bytes(refs)
        total, done = sum(missing.values()), 0
        for text, size in missing.items():

            def tell(share: float, what: str, start: int = done, size: int = size) -> None:
                if progress is not None:
                    progress((start + share * size) / total, what)

            self._hub.download(parse_ref(text), tell, cancelled)
            done += size

    @property
    def _hub(self) -> HubSource:
        if self.hub is None:
            must, fix = "references to zoo or file are used here", "checkpoints from the Hub are not available here"
            raise CheckpointError(Problem(must, "hub:", "reference", fix))
        return self.hub

    def list(self) -> tuple[CatalogEntry, ...]:
        """Return what the zoo offers, in its order."""
        return tuple(
            CatalogEntry(Ref("zoo", path), info.title, info.family, info.role, info.parameters, info.description)
            for path, info in self.zoo.checkpoints.items()
        )
