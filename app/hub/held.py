"""What is downloaded already, for a process of a job: it reads the cache, asks nobody and has no token.

Whether the visitor may read it was asked when the job was planned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, Problem
from merging_core.hub.download import open_complete

__all__ = ["HeldModels"]


@dataclass(frozen=True)
class HeldModels:
    """The Hub of a catalog that opens downloaded commits below `cache`, and nothing else."""

    cache: Path

    def open(self, ref: Ref) -> Checkpoint:
        """Open a commit; raises CheckpointError where it is not here."""
        held = open_complete(self.cache, ref) if ref.commit is not None else None
        if held is None:
            fix = "download it under Choose models, then start again"
            raise CheckpointError(Problem("the model is downloaded", "nothing", ref.label, fix))
        return held

    def check_access(self, ref: Ref) -> None:
        """Let pass: whoever planned the job was asked."""

    def pin(self, ref: Ref) -> Ref:
        """Return the reference as it stands, which is a commit that is here."""
        return self.open(ref).ref

    def missing_bytes(self, ref: Ref) -> int:
        """Return 0; raises CheckpointError where the commit is not here."""
        self.open(ref)
        return 0

    def download(
        self,
        ref: Ref,
        progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Path:
        """Return the folder of a commit that is here; nothing is ever fetched."""
        return self.open(ref).folder
