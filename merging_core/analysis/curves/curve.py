"""A curve through weight space: two models, the bends between them, and the weights of any point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from merging_core.analysis.curves.coefficients import Kind, coefficients, slopes
from merging_core.engines.points import Points
from merging_core.evaluation.architectures import Weights
from merging_core.space.reductions import block_dot

__all__ = ["Curve", "chord"]


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve of one kind. `points`: end, bends and end, in order; a straight line has no bends."""

    kind: Kind
    points: Points

    @property
    def bends(self) -> tuple[torch.Tensor, ...]:
        """What is between the ends, each [N]."""
        return self.points.flats[1:-1]

    def shares(self, t: float) -> tuple[float, ...]:
        """Return the share of each point at t."""
        return coefficients(self.kind, len(self.points.flats), t)

    def flat(self, t: float) -> torch.Tensor:
        """Return the weights at t as one vector, [N] float32; at 0 and 1 the ends' very bits."""
        return self.points.mixed(self.shares(t))

    def weights(self, t: float) -> Weights:
        """Return the leaves at t: all that is measured at a point of a curve is measured of these."""
        return self.points.weights(self.flat(t))

    def slope(self, t: float) -> torch.Tensor:
        """Return dθ/dt at t, [N] float32."""
        return self.points.mixed(slopes(self.kind, len(self.points.flats), t))

    def steps(self, grid: Sequence[float]) -> tuple[float, ...]:
        """Return the distance in weight space from each t of a grid to the next, in float64."""
        first, *others = self.points.flats
        away = [flat - first for flat in others]
        gram = torch.tensor([[block_dot(one, other) for other in away] for one in away], dtype=torch.float64)
        places = [torch.tensor(self.shares(t)[1:], dtype=torch.float64) for t in grid]
        moved = [after - before for before, after in pairwise(places)]
        return tuple(math.sqrt(max(0.0, float(step @ gram @ step))) for step in moved)


def chord(points: Points, kind: Kind, bends: int) -> Curve:
    """Return the straight line between two models as a curve with so many bends, evenly on the line.

    Raises ValueError unless there are two models.
    """
    if len(points.flats) != 2:
        raise ValueError("a curve has two ends")
    first, last = points.flats
    shares = [place / (bends + 1) for place in range(1, bends + 1)]
    between = [points.mixed((1.0 - share, share)) for share in shares]
    return Curve(kind, replace(points, flats=(first, *between, last)))
