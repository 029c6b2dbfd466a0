"""What is said of a curve in a few numbers: its ends, its extremes, its mean, and its integral over arc length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

__all__ = ["Statistics", "statistics"]


@dataclass(frozen=True)
class Statistics:
    """Of values at points of a grid. `integral`: the mean by arc length, Σ ½(vᵢ + vᵢ₊₁)·dlᵢ ÷ Σ dlᵢ.

    `at`: the t of the largest value. `excess`: how far that is above the worse end. `length`: Σ dlᵢ, in weight space.
    """

    start: float
    end: float
    smallest: float
    largest: float
    at: float
    mean: float
    integral: float
    length: float

    @property
    def excess(self) -> float:
        """How far the largest value is above the worse end; never negative."""
        return self.largest - max(self.start, self.end)

    def as_json(self) -> dict[str, object]:
        """Return plain values; what is not finite is null."""
        found = {**asdict(self), "excess": self.excess}
        return {name: value if math.isfinite(value) else None for name, value in found.items()}


def statistics(grid: Sequence[float], values: Sequence[float], steps: Sequence[float]) -> Statistics:
    """Sum up the values at a grid of t, which lie so far from one another in weight space; a point is no length apart.

    Raises ValueError unless there are at least two values, one for each t, with a step between each two.

    >>> found = statistics((0.0, 0.5, 1.0), (1.0, 3.0, 1.0), (1.0, 3.0))
    >>> found.largest, found.at, found.integral, found.length, found.excess
    (3.0, 0.5, 2.0, 4.0, 2.0)
    """
    if not 2 <= len(grid) == len(values) == len(steps) + 1:  # noqa: PLR2004
        raise ValueError("a curve has values at two points or more, and steps between them")
    length = math.fsum(steps)
    pairs = [0.5 * (values[place] + values[place + 1]) * step for place, step in enumerate(steps)]
    top = max(range(len(values)), key=values.__getitem__)
    mean = math.fsum(values) / len(values)
    integral = math.fsum(pairs) / length if length > 0.0 else mean
    return Statistics(values[0], values[-1], min(values), values[top], grid[top], mean, integral, length)
