"""How many directions a matrix has: its singular values, the stable rank, and the effective rank by entropy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from merging_core.analysis.low_rank import low_rank
from merging_core.methods.info import Parameters
from merging_core.methods.matrices import is_matrix, singular_values, wide
from merging_core.space.parameter_space import SpaceLeaf

__all__ = ["LEADING", "Spectrum", "entropy_rank", "has_spectrum", "spectrum_of", "stable_rank"]

LEADING = 64
"""Singular values that are found of a matrix too large for all of them."""
_EXACT = 1_024
"""The shorter side up to which all singular values are found."""
_MOST = 1 << 24
"""Elements of a matrix that is decomposed at all."""
_EVERY = Parameters(embeddings="matrix")


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Singular values from the largest; `whole`: whether these are all of them. `squares`: ‖M‖²."""

    values: torch.Tensor
    squares: float
    whole: bool


def has_spectrum(leaf: SpaceLeaf) -> bool:
    """Say whether a leaf is decomposed: a matrix, tables of embeddings too, of at most 16.8 million elements."""
    return is_matrix(leaf.name, leaf.shape, _EVERY) and leaf.elements <= _MOST


def spectrum_of(matrix: torch.Tensor) -> Spectrum:
    """Return the singular values of a matrix [m, n] of float32 numbers, in float64.

    Where the shorter side has more than 1 024 elements, the 64 largest, by a randomised decomposition: each is at most
    the true one. Values that the rounding of float32 could make count as 0.

    >>> spectrum_of(torch.tensor([[3.0, 0.0], [0.0, 4.0]])).values.tolist()
    [4.0, 3.0]
    """
    own = wide(matrix)
    squares = float(own.square().sum())
    if min(own.shape) > _EXACT:
        return Spectrum(low_rank(own, LEADING, key=0).values, squares, whole=False)
    return Spectrum(singular_values(torch.linalg.svdvals(own), own.shape), squares, whole=True)


def stable_rank(found: Spectrum) -> float:
    """Return ‖M‖²/σ₁², 0 for a matrix that is zero.

    Source: Rudelson and Vershynin 2007, “Sampling from large matrices” (arXiv math/0503442).

    >>> stable_rank(spectrum_of(torch.eye(3)))
    3.0
    """
    largest = float(found.values[0]) if len(found.values) else 0.0
    return found.squares / largest**2 if largest else 0.0


def entropy_rank(found: Spectrum) -> float | None:
    """Return exp(−Σ pᵢ·log pᵢ) with pᵢ = σᵢ/Σσ, 0 for a matrix that is zero; nothing where not all values are known.

    Source: Roy and Vetterli 2007, “The effective rank: a measure of effective dimensionality”.

    >>> round(entropy_rank(spectrum_of(torch.eye(3))), 9)
    3.0
    """
    if not found.whole:
        return None
    total = float(found.values.sum())
    if not total:
        return 0.0
    shares = found.values[found.values > 0] / total
    return math.exp(-float((shares * shares.log()).sum()))
