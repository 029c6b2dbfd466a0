"""Task vectors as values: τ = θ_expert − θ_base, with the arithmetic of a vector space.

Source: Ilharco et al., 2023, “Editing Models with Task Arithmetic” (arXiv 2212.04089), section 2. Negation forgets,
addition combines, and D ≈ C + (B − A) is the analogy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from merging_core.checkpoints.reader import Checkpoint
from merging_core.errors import Problem, SpaceError
from merging_core.space.parameter_space import DepthSegment, ParameterSpace
from merging_core.space.reductions import block_dot, block_l1, block_sum_of_squares

__all__ = ["TaskVector", "task_vector"]


@dataclass(frozen=True, eq=False)
class TaskVector:
    """A float32 vector `[N]` over a parameter space; operations return new ones and change nothing."""

    space: ParameterSpace
    flat: torch.Tensor

    def __post_init__(self) -> None:
        if self.flat.shape != (self.space.size,) or self.flat.dtype != torch.float32:
            got = f"{str(self.flat.dtype).removeprefix('torch.')} of shape {tuple(self.flat.shape)}"
            raise SpaceError(Problem(f"a task vector is float32 of shape ({self.space.size},)", got))

    def __add__(self, other: TaskVector) -> TaskVector:
        """Return τ₁ + τ₂; SpaceError when they live in different spaces."""
        self._check_space(other)
        return TaskVector(self.space, self.flat + other.flat)

    def __sub__(self, other: TaskVector) -> TaskVector:
        """Return τ₁ − τ₂; SpaceError when they live in different spaces."""
        self._check_space(other)
        return TaskVector(self.space, self.flat - other.flat)

    def __neg__(self) -> TaskVector:
        """Return −τ, whose addition makes a model forget the task."""
        return TaskVector(self.space, -self.flat)

    def __mul__(self, factor: float) -> TaskVector:
        """Return τ times a number, which is first rounded to float32; SpaceError when it is not finite there."""
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        if not math.isfinite(factor) or abs(factor) > torch.finfo(torch.float32).max:
            raise SpaceError(Problem("a task vector is multiplied by a finite number", f"{factor}"))
        return TaskVector(self.space, self.flat * factor)

    __rmul__ = __mul__

    def dot(self, other: TaskVector) -> float:
        """Return ⟨τ₁, τ₂⟩ in float64, summed over fixed blocks."""
        self._check_space(other)
        return block_dot(self.flat, other.flat)

    def norm(self) -> float:
        """Return the Euclidean norm ‖τ‖ in float64."""
        return math.sqrt(block_sum_of_squares(self.flat))

    def l1(self) -> float:
        """Return ‖τ‖₁ = Σ |τᵢ| in float64."""
        return block_l1(self.flat)

    def cosine(self, other: TaskVector) -> float:
        """Return ⟨τ₁, τ₂⟩ / (‖τ₁‖·‖τ₂‖), in [−1, 1]; 0 when either is zero, which has no direction."""
        self._check_space(other)
        lengths = self.norm() * other.norm()
        return max(-1.0, min(1.0, self.dot(other) / lengths)) if lengths > 0 else 0.0

    def norms_by_depth(self) -> tuple[tuple[DepthSegment, float], ...]:
        """Return ‖τ‖ at each depth; blocks of the sums start anew at each range of the flat vector."""
        found = []
        for segment in self.space.segments_by_depth:
            squares = 0.0
            for start, stop in segment.spans:
                squares += block_sum_of_squares(self.flat[start:stop])
            found.append((segment, math.sqrt(squares)))
        return tuple(found)

    def leaves(self) -> dict[str, torch.Tensor]:
        """Return the vector leaf by leaf, sharing its memory."""
        return self.space.views(self.flat)

    def _check_space(self, other: TaskVector) -> None:
        if self.space is not other.space and self.space.leaves != other.space.leaves:
            got = f"spaces of {self.space.size} and {other.space.size} elements with other leaves"
            raise SpaceError(Problem("both task vectors live in one space", got))


def task_vector(
    space: ParameterSpace, base: Checkpoint, expert: Checkpoint, device: torch.device | str = "cpu"
) -> TaskVector:
    """Read both checkpoints and return τ = θ_expert − θ_base in float32, shape `[N]`."""
    return TaskVector(space, space.flat(expert, device) - space.flat(base, device))
