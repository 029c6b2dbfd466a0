"""What becomes of each leaf in a merge, and why: merged, taken over as it is, or told once because it is tied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.reader import Checkpoint
from merging_core.space.parameter_space import ParameterSpace

__all__ = ["Outcome", "outcomes"]


@dataclass(frozen=True)
class Outcome:
    """Leaves to which the same happens for the same reason."""

    what: Literal["merged", "copied", "tied"]
    reason: str
    leaves: tuple[str, ...]
    elements: int
    nbytes: int
    """Bytes of the output; what is tied is written as another leaf and takes none."""

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "what": self.what,
            "reason": self.reason,
            "count": len(self.leaves),
            "elements": self.elements,
            "bytes": self.nbytes,
            "leaves": list(self.leaves),
        }


def outcomes(
    space: ParameterSpace, outputs: Iterable[LeafSpec], checkpoints: Sequence[Checkpoint]
) -> tuple[Outcome, ...]:
    """Group the leaves of a merge by what becomes of them and why, merged ones first.

    Shapes: `outputs` are the leaves of the merged checkpoint, `checkpoints` the base and the experts.
    """
    written = {leaf.name: leaf for leaf in outputs}
    grouped: dict[tuple[Literal["merged", "copied"], str], list[LeafSpec]] = {}
    for leaf in space.leaves:
        stored = sorted({checkpoint.leaves[leaf.name].dtype for checkpoint in checkpoints})
        reason = f"stored as {' and '.join(stored)}, written as {written[leaf.name].dtype}"
        grouped.setdefault(("merged", reason), []).append(written[leaf.name])
    for copied in space.copied:
        grouped.setdefault(("copied", copied.reason), []).append(written[copied.name])
    found = [
        Outcome(
            what,
            reason,
            tuple(leaf.name for leaf in leaves),
            sum(leaf.elements for leaf in leaves),
            sum(leaf.nbytes for leaf in leaves),
        )
        for (what, reason), leaves in grouped.items()
    ]
    return (*found, *_tied(checkpoints))


def _tied(checkpoints: Sequence[Checkpoint]) -> Iterable[Outcome]:
    """Say once for each pair of names which models hold one leaf under both or under the other."""
    models: dict[tuple[str, str, bool], list[str]] = {}
    elements: dict[str, int] = {}
    for checkpoint in checkpoints:
        for twin in checkpoint.twins:
            models.setdefault((twin.stored.name, twin.leaf, twin.alone), []).append(checkpoint.label)
            elements[twin.stored.name] = twin.stored.elements
    for (name, leaf, alone), labels in models.items():
        held = f"in {', '.join(dict.fromkeys(labels))} it is {'the only copy' if alone else 'a copy'} of {leaf}"
        yield Outcome("tied", f"{held}, to which the configuration ties it; written once", (name,), elements[name], 0)
