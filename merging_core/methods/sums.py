"""Sums over models whose bits depend on nothing but the numbers."""

from __future__ import annotations

import torch

from merging_core.native import loops

__all__ = ["weighted_sum"]


def weighted_sum(vectors: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return Σ wₜ·vₜ, one multiplication and one addition after the other, in model order.

    Matrix products and fused multiply-adds round differently in the vectorised middle of a tensor and in its tail;
    written this way, each element is computed alike wherever it lies.

    Shapes: vectors [T, n], weights [T] of the same dtype → [n]; T ≥ 1.

    >>> weighted_sum(torch.tensor([[1.0, 2.0], [10.0, 20.0]]), torch.tensor([1.0, 0.5])).tolist()
    [6.0, 12.0]
    """
    if (quick := loops.summed(vectors, weights)) is not None:
        return quick
    total = vectors[0] * weights[0]
    for index in range(1, vectors.shape[0]):
        total = total + vectors[index] * weights[index]
    return total
