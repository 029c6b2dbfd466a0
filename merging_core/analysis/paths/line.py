"""The straight line through models: where its points lie, in which order they are measured, and their weights."""

from __future__ import annotations

import torch

from merging_core.engines.points import Points
from merging_core.evaluation.paths import coarse_to_fine

__all__ = ["flat_at", "line_order", "line_shares"]


def line_order(models: int, points: int, before: float = 0.0, beyond: float = 0.0) -> tuple[float, ...]:
    """Return the t of each point in the order of evaluation; at the whole numbers 0 … models − 1 stand the models.

    `points`: on each step from model to model, both included. The ends of the line come first, then the other models,
    the middles and ever finer halves of every step; what lies `before` the first model and `beyond` the last, in steps,
    comes at the end.

    >>> line_order(2, 5)
    (0.0, 1.0, 0.5, 0.25, 0.75)
    >>> line_order(3, 3, beyond=0.5)
    (0.0, 2.0, 1.0, 0.5, 1.5, 2.5)
    """
    steps, fine = models - 1, points - 1
    inside = [0.0, float(steps)]
    for index in coarse_to_fine(points):
        inside += [step + index / fine for step in range(steps)]
    return tuple(dict.fromkeys([*inside, *_outside(0.0, -before, fine), *_outside(float(steps), beyond, fine)]))


def line_shares(models: int, t: float) -> tuple[float, ...]:
    """Return how much of each model is in the point at t: those of its step, and no other; they add up to 1.

    >>> line_shares(3, 1.25), line_shares(3, 2.0), line_shares(2, 1.5)
    ((0.0, 0.75, 0.25), (0.0, 0.0, 1.0), (-0.5, 1.5))
    """
    start = min(max(int(t), 0), models - 2)
    shares = [0.0] * models
    shares[start], shares[start + 1] = 1.0 - (t - start), t - start
    return tuple(shares)


def flat_at(points: Points, t: float) -> torch.Tensor:
    """Return the point at t as one flat vector, [N] float32."""
    return points.mixed(line_shares(len(points.flats), t))


def _outside(end: float, length: float, fine: int) -> list[float]:
    if length == 0.0:
        return []
    count = max(1, round(abs(length) * fine))
    return [end + length * (index / count) for index in coarse_to_fine(count + 1)[1:]]
