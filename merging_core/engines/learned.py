"""Learned tensors of a recipe: what stands in their file, and whether it fits the models.

    coefficients or coefficients/<leaf>   [T] floating: each expert's weight is multiplied by its own
    mask/<leaf>                           the leaf's shape: what all experts add is multiplied by it, element by element

Coefficients are a few numbers and are read at once; a mask is read piece by piece like a model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from merging_core.checkpoints.dtypes import is_floating
from merging_core.checkpoints.reader import Checkpoint
from merging_core.errors import PlanError, Problem
from merging_core.methods.contract import MethodInfo
from merging_core.space.parameter_space import ParameterSpace

__all__ = ["COEFFICIENTS", "MASK", "Learned", "learned_problems", "mask_flat_of", "multiplied", "read_learned"]

COEFFICIENTS = "coefficients"
MASK = "mask/"
_LISTED = 8
_LARGEST = 1e6
Row = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Learned:
    """Learned tensors that fit a space and its experts."""

    checkpoint: Checkpoint
    coefficients: tuple[Row, ...]
    """For each leaf of the space one number per expert; empty where none were learned."""
    masked: frozenset[str]
    """The leaves that have a mask."""

    @property
    def mask_content(self) -> str | None:
        """What names the mask; None where there is none."""
        return self.checkpoint.content() if self.masked else None

    @property
    def words(self) -> str:
        """What was learned, in words."""
        parts = []
        if self.coefficients:
            alike = len(set(self.coefficients)) == 1
            parts.append("a coefficient for each expert" + ("" if alike else " and leaf"))
        if self.masked:
            parts.append(f"a mask of {len(self.masked)} leaves")
        return " and ".join(parts)


def read_learned(checkpoint: Checkpoint, space: ParameterSpace, experts: int) -> Learned:
    """Check learned tensors against a space and read their coefficients.

    Raises PlanError with every tensor that does not belong there, has another shape, or is out of range, and as reading
    does.
    """
    leaves = {leaf.name: leaf for leaf in space.leaves}
    problems, rows, masked = list[Problem](), dict[str, Row](), set[str]()
    common: Row | None = None
    with checkpoint.reading() as reading:
        for name, header in checkpoint.leaves.items():
            where = f"{checkpoint.label}: {name}"
            kind, _, leaf = name.partition("/")
            if kind not in (COEFFICIENTS, MASK[:-1]) or (leaf not in leaves and name != COEFFICIENTS):
                must = "learned tensors are coefficients and masks of merged leaves"
                problems.append(Problem(must, "another name", where))
                continue
            shape = (experts,) if kind == COEFFICIENTS else leaves[leaf].shape
            if header.shape != shape or not is_floating(header.dtype):
                what = "one number for each expert" if kind == COEFFICIENTS else "the shape of its leaf"
                must, got = f"it has {what}, {list(shape)}, floating", f"{header.dtype} {list(header.shape)}"
                problems.append(Problem(must, got, where, "merge the models that it was learned on, in their order"))
            elif kind == COEFFICIENTS:
                row = tuple(reading.read(name).to(torch.float64).tolist())
                if max(map(abs, row), default=0.0) > _LARGEST:
                    problems.append(Problem(f"coefficients lie within ±{_LARGEST:g}", f"{max(row, key=abs):g}", where))
                if leaf:
                    rows[leaf] = row
                else:
                    common = row
            else:
                masked.add(leaf)
    if not checkpoint.leaves:
        problems.append(Problem("learned tensors hold something", "nothing", checkpoint.label))
    if problems:
        more = len(problems) - _LISTED
        rest = [Problem("all learned tensors fit", f"{more} more that do not", checkpoint.label)] if more > 0 else []
        raise PlanError(*problems[:_LISTED], *rest)
    has_rows = bool(rows) or common is not None
    ones = common if common is not None else (1.0,) * experts
    coefficients = tuple(rows.get(leaf.name, ones) for leaf in space.leaves) if has_rows else ()
    return Learned(checkpoint, coefficients, frozenset(masked))


def learned_problems(learned: Learned | None, info: MethodInfo) -> list[Problem]:
    """Say why a method cannot use what was learned, if it cannot."""
    problems = []
    if learned is not None and learned.masked and info.domain != "task_vector":
        must, fix = "a learned mask is for what experts add to a base", "use task_arithmetic, or leave tensors out"
        problems.append(Problem(must, info.title, "tensors", fix))
    if learned is not None and learned.coefficients and info.weights != "any":
        must, fix = "learned coefficients are weights of any sign", "use task_arithmetic, or leave tensors out"
        problems.append(Problem(must, info.title, "tensors", fix))
    return problems


def mask_flat_of(learned: Learned, space: ParameterSpace, device: torch.device) -> torch.Tensor:
    """Read a mask as a flat float32 vector, 1 where a leaf has none: [N]; raises as reading does."""
    flat = torch.ones(space.size, dtype=torch.float32, device=device)
    with learned.checkpoint.reading() as reading:
        for leaf in space.leaves:
            if leaf.name in learned.masked:
                flat[leaf.start : leaf.stop].copy_(reading.read(MASK + leaf.name).reshape(-1))
    return flat


def multiplied(weights: Sequence[float], row: Row) -> Row:
    """Return each weight times its learned coefficient, in float64.

    >>> multiplied((1.0, 2.0), (0.5, 0.25))
    (0.5, 0.5)
    """
    return tuple(math.prod(pair) for pair in zip(weights, row, strict=True))
