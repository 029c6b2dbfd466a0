"""A plane in weight space: an origin and two arrows, and where any model lies in it or beside it.

Models are known by their arrows from the first vector, and arrows by their inner products, so that everything about a
plane is worked out on a matrix of a few numbers in float64, however large the models are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray

from merging_core.errors import Problem, SpaceError
from merging_core.space.reductions import BLOCK, block_gram_partials

__all__ = ["Frame", "Matrix", "Spot", "along", "arrow_gram", "principal", "through_three"]

Matrix = NDArray[numpy.float64]
_BLOCKS_AT_ONCE = 4
_FLAT = 1e-6
"""Three points lie on one line where the height of their triangle is less than this share of its longest side."""


@dataclass(frozen=True)
class Spot:
    """Where a model lies: its coordinates, and how far from the plane it is, in the distance of weight space."""

    x: float
    y: float
    distance: float


@dataclass(frozen=True, eq=False)
class Frame:
    """A plane as shares of arrows: the point (x, y) is the first vector + Σ (origin + x·across + y·up)ᵢ·arrowᵢ.

    `gram`: the inner products of the arrows [T, T].
    """

    gram: Matrix
    origin: Matrix
    across: Matrix
    up: Matrix

    def shares(self, x: float, y: float) -> Matrix:
        """Return how much of each arrow leads to a point [T]."""
        found: Matrix = self.origin + x * self.across + y * self.up
        return found

    def spot(self, index: int) -> Spot:
        """Return where the end of an arrow lies: its nearest point in the plane, and the distance to it.

        >>> gram = numpy.diag([0.0, 4.0, 9.0, 25.0])
        >>> through_three(gram).spot(3)
        Spot(x=0.0, y=0.0, distance=5.0)
        """
        axes = numpy.stack((self.across, self.up))
        wanted = -self.origin
        wanted[index] += 1.0
        x, y = numpy.linalg.solve(axes @ self.gram @ axes.T, axes @ self.gram @ wanted)
        rest = wanted - x * self.across - y * self.up
        return Spot(float(x) + 0.0, float(y) + 0.0, math.sqrt(max(0.0, float(rest @ self.gram @ rest))))


def arrow_gram(vectors: Sequence[torch.Tensor], free: Sequence[torch.Tensor] = ()) -> Matrix:
    """Return the inner products of the arrows from the first vector to each, and of `free` arrows behind them.

    Differences, products and sums are in float64: no arrow is rounded, however close two models are.

    >>> arrow_gram([torch.tensor([1.0, 1.0]), torch.tensor([4.0, 5.0])], [torch.tensor([1.0, 0.0])]).tolist()
    [[0.0, 0.0, 0.0], [0.0, 25.0, 3.0], [0.0, 3.0, 1.0]]
    """
    count = len(vectors) + len(free)
    total, step = numpy.zeros((count, count)), BLOCK * _BLOCKS_AT_ONCE
    for start in range(0, vectors[0].numel(), step):
        part = slice(start, start + step)
        first, *others = (_wide(vector[part]) for vector in vectors)
        arrows = [
            torch.zeros_like(first),
            *(other.sub_(first) for other in others),
            *(_wide(one[part]) for one in free),
        ]
        for block in block_gram_partials(torch.stack(arrows)).numpy():
            total += block
    return total


def through_three(gram: Matrix) -> Frame:
    """Return the plane through the first three vectors, both axes in the distance of weight space.

    The first lies at (0, 0), the second at (‖θ₁ − θ₀‖, 0), the third above that axis: u = (θ₁ − θ₀)/‖θ₁ − θ₀‖ and v is
    θ₂ − θ₀ − ⟨θ₂ − θ₀, u⟩·u, scaled to length 1. Raises SpaceError where the three lie on one line.

    Source: Garipov et al. 2018, arXiv:1802.10026, figure 1 and `plane.py` of its code (Gram and Schmidt).

    >>> frame = through_three(numpy.array([[0.0, 0.0, 0.0], [0.0, 9.0, 3.0], [0.0, 3.0, 5.0]]))
    >>> frame.spot(1), frame.spot(2)
    (Spot(x=3.0, y=0.0, distance=0.0), Spot(x=1.0, y=2.0, distance=0.0))
    """
    _spread(gram, 1, 2)
    first = _arrow(gram, 1)
    across = first / math.sqrt(first @ gram @ first)
    up = _arrow(gram, 2)
    for _ in range(2):  # the second time takes away what rounding left of the first
        up = up - (across @ gram @ up) * across
    return Frame(gram, numpy.zeros(len(gram)), across, up / math.sqrt(up @ gram @ up))


def along(gram: Matrix, first: int, second: int) -> Frame:
    """Return the plane along two arrows as they are, neither turned nor scaled: (x, y) is x of one and y of the other.

    Raises SpaceError where both point along one line.
    """
    _spread(gram, first, second)
    return Frame(gram, numpy.zeros(len(gram)), _arrow(gram, first), _arrow(gram, second))


def principal(gram: Matrix, count: int) -> tuple[Frame, tuple[float, float]]:
    """Return the plane in which the first `count` vectors spread most, and the shares of their spread along its axes.

    The origin is their mean, the axes are the first two principal components of θᵢ − mean, scaled to length 1; of both
    directions of an axis the one is taken in which the farthest model lies. Raises SpaceError for models on one line.

    Source: Li et al. 2018, arXiv:1712.09913, section 7.2 (components of θᵢ − θₙ there; of θᵢ − mean here).
    """
    centre = numpy.eye(count) - 1.0 / count
    own = centre @ gram[:count, :count] @ centre
    values, vectors = numpy.linalg.eigh((own + own.T) / 2.0)
    longest, second = float(values[-1]), float(values[-2])
    if not second > _FLAT**2 * longest or not longest > 0.0:
        raise SpaceError(Problem("the models span a plane", "models on one line", "models", "add one that differs"))
    origin, axes = numpy.zeros(len(gram)), []
    origin[:count] = 1.0 / count
    for place in (-1, -2):
        vector = vectors[:, place]
        turned = vector if vector[numpy.abs(vector).argmax()] > 0 else -vector
        arrow = numpy.zeros(len(gram))
        arrow[:count] = centre @ turned / math.sqrt(values[place])
        axes.append(arrow)
    spread = float(values.clip(0.0).sum())
    return Frame(gram, origin, *axes), (longest / spread, second / spread)


def _spread(gram: Matrix, first: int, second: int) -> None:
    """Raise SpaceError where two arrows span no plane."""
    one, other, both = float(gram[first, first]), float(gram[second, second]), float(gram[first, second])
    longest = max(one, other)
    if not longest > 0.0 or not one * other - both * both > (_FLAT * longest) ** 2:
        fix = "choose models that differ and of which none lies between the others"
        raise SpaceError(Problem("three models span a plane", "three on one line", "models", fix))


def _arrow(gram: Matrix, index: int) -> Matrix:
    found = numpy.zeros(len(gram))
    found[index] = 1.0
    return found


def _wide(part: torch.Tensor) -> torch.Tensor:
    return part.cpu().to(torch.float64)
