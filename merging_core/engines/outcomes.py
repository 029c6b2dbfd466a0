"""What becomes of each leaf in a merge, and why: merged, taken over, told once because it is tied, or left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.reader import Checkpoint
from merging_core.engines.pricing import amount
from merging_core.space.averaged import why_not
from merging_core.space.parameter_space import ParameterSpace

__all__ = ["Outcome", "outcome_rows", "outcomes"]

_NAMED = 8
"""Leaves that a line of the table names."""


@dataclass(frozen=True)
class Outcome:
    """Leaves to which the same happens for the same reason."""

    what: Literal["merged", "copied", "tied", "left out"]
    reason: str
    leaves: tuple[str, ...]
    elements: int
    nbytes: int
    """Bytes of the output; what is tied is written as another leaf and takes none, nor does what is left out."""

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
    return (*found, *_tied(checkpoints), *_left_out(written, checkpoints))


def _tied(checkpoints: Sequence[Checkpoint]) -> Iterable[Outcome]:
    """Say once for each pair of names which models hold one leaf under both or under the other."""
    models: dict[tuple[str, str, bool], list[str]] = {}
    elements: dict[str, int] = {}
    for checkpoint in checkpoints:
        for twin in checkpoint.twins:
            if twin.named:
                continue
            models.setdefault((twin.stored.name, twin.leaf, twin.alone), []).append(checkpoint.label)
            elements[twin.stored.name] = twin.stored.elements
    for (name, leaf, alone), labels in models.items():
        held = f"in {', '.join(dict.fromkeys(labels))} it is {'the only copy' if alone else 'a copy'} of {leaf}"
        yield Outcome("tied", f"{held}, to which the configuration ties it; written once", (name,), elements[name], 0)


def _left_out(written: Collection[str], checkpoints: Sequence[Checkpoint]) -> Iterable[Outcome]:
    """Say what some model holds and the output does not: nothing that could be merged."""
    for checkpoint in checkpoints:
        grouped: dict[str, list[LeafSpec]] = {}
        for leaf in checkpoint.leaves.values():
            if leaf.name not in written:
                grouped.setdefault(why_not(leaf), []).append(leaf)
        for reason, leaves in grouped.items():
            names, elements = tuple(leaf.name for leaf in leaves), sum(leaf.elements for leaf in leaves)
            yield Outcome("left out", f"only in {checkpoint.label}; {reason}", names, elements, 0)


def outcome_rows(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """Say in a line what becomes of leaves; of those that are not merged, which they are."""
    count = f"{len(outcome.leaves)} {'leaf' if len(outcome.leaves) == 1 else 'leaves'}"
    size = f"{outcome.elements:,} element{'s' if outcome.elements != 1 else ''}, {amount(outcome.nbytes)}"
    yield outcome.what, f"{count}, {size}: {outcome.reason}"
    if outcome.what != "merged":
        more = f" and {len(outcome.leaves) - _NAMED} more" if len(outcome.leaves) > _NAMED else ""
        yield "", f"{', '.join(outcome.leaves[:_NAMED])}{more}"
