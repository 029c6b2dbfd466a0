"""The magnitude mask: the largest changes stay, the rest become zero."""

from __future__ import annotations

import math

import torch

from merging_core.masks.info import MaskContext, MaskInfo, density_parameter
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.native import loops

__all__ = ["MAGNITUDE", "just_below", "keep_largest", "kept_count", "largest", "scope_parameter"]


def kept_count(size: int, density: float) -> int:
    """Return how many of `size` elements a density asks for: k = max(1, ⌊density·size + 10⁻⁹⌋).

    The 10⁻⁹ undoes binary fractions: 0.29·100 is a little less than 29 in floating point.

    >>> kept_count(100, 0.29), kept_count(4, 0.1), kept_count(7, 1.0)
    (29, 1, 7)
    """
    return min(size, max(1, math.floor(density * size + 1e-9)))


def largest(size: int, params: Parameters) -> tuple[int]:
    """Return the rank of the smallest magnitude that survives: k = max(1, ⌊density·n + 10⁻⁹⌋).

    >>> largest(10, Parameters(density=0.25))
    (2,)
    """
    return (kept_count(size, params.number("density")),)


def keep_largest(vector: torch.Tensor, context: MaskContext) -> torch.Tensor:
    """Keep τᵢ where |τᵢ| ≥ threshold, and put zero elsewhere; every element that ties with the threshold stays.

    Shapes: vector [n] float32 → [n]. `context.thresholds` holds the magnitude at the rank `largest`; at density 1
    it is not needed and the vector is returned as it is.

    Raises ValueError if the threshold is missing.

    Source: Yadav et al. (2023), arXiv 2306.01708, algorithm 1, step “trim”. Ties at the threshold all stay, so slightly
    more than k elements may survive; the paper leaves them open, and keeping them depends on no order of elements.

    >>> context = MaskContext(Parameters(density=0.5), torch.tensor([2.0]))
    >>> keep_largest(torch.tensor([0.5, -3.0, 2.0, 1.0]), context).tolist()
    [0.0, -3.0, 2.0, 0.0]
    """
    if context.params.get("density") == 1.0:
        return vector
    if context.thresholds is None:
        raise ValueError("the magnitude mask needs its threshold first")
    # One pass: hardshrink keeps what is above a number, here the float32 just below the threshold. −0 becomes 0.
    limit = just_below(context.thresholds[0])
    if context.own and loops.shrink_(vector, limit):
        return vector
    return torch.nn.functional.hardshrink(vector, limit)


def just_below(threshold: torch.Tensor) -> float:
    """Return the float32 number before a magnitude, so that “more than” it means “at least” the magnitude.

    >>> just_below(torch.tensor(0.0)), just_below(torch.tensor(1.0))
    (0.0, 0.9999999403953552)
    """
    return float(torch.nextafter(threshold, torch.zeros_like(threshold)))


def scope_parameter(default: str) -> ParameterInfo:
    """Return the choice of what the k largest are taken over.

    >>> scope_parameter("model").choices
    ('leaf', 'model')
    """
    return ParameterInfo(
        name="scope",
        title="Largest within",
        kind="choice",
        default=default,
        help="Whether the largest changes are chosen within each leaf or over the whole model.",
        choices=("leaf", "model"),
    )


MAGNITUDE = MaskInfo(
    name="magnitude",
    title="Magnitude",
    formula="τ̂ᵢ = τᵢ where |τᵢ| ≥ k-th largest |τ|, else 0; k = max(1, ⌊density·n⌋)",
    summary="Only the largest changes of each expert are kept; the many small ones hardly matter and mostly disturb.",
    source=Source(
        "Yadav et al.",
        2023,
        "TIES-Merging: Resolving Interference When Merging Models",
        "https://arxiv.org/abs/2306.01708",
        "algorithm 1, trim",
        "all elements that tie with the threshold are kept",
    ),
    parameters=(
        density_parameter(0.2, "The fraction of each task vector's elements that is kept."),
        scope_parameter("leaf"),
    ),
    stochastic=False,
    apply=keep_largest,
    ranks=largest,
)
