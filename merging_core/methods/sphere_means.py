"""Means on the sphere: a direction between all models, and the mean of their lengths.

The mean of unit vectors, brought back to the sphere, is one step (multi-SLERP); the Karcher mean goes on until it is
the point whose squared distances along the arcs are least. Both lie in the span of the models, so inner products
suffice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.linear import LINEAR
from merging_core.methods.products import Products, coefficients_of_leaves, cosine, sum_by_leaf

__all__ = ["KARCHER", "MULTISLERP", "karcher_coefficients", "multislerp_coefficients"]

_BALANCED = 1e-8
"""A mean of unit vectors that is no longer than this has no direction."""

Vector = list[float]


def multislerp_coefficients(products: Products, weights: Sequence[float], params: Parameters) -> tuple[float, ...]:
    """Return the coefficients of Σ wₜ‖vₜ‖ times the direction of Σ wₜvₜ/‖vₜ‖.

    With `normalize`, weights are divided by their sum. A zero vector has no direction; it counts in the mean length.
    Directions that cancel have no mean: then it is Σ wₜvₜ. `weights`: T numbers of 0 or more, one of them above 0.

    >>> [round(value, 4) for value in multislerp_coefficients([[1.0, 0.0], [0.0, 4.0]], [1.0, 1.0], Parameters())]
    [1.0607, 0.5303]
    """
    shares = _shares(weights, bool(params.get("normalize", True)))
    start = _start(products, shares)
    return _scaled(products, shares, start) if start is not None else tuple(shares)


def karcher_coefficients(products: Products, weights: Sequence[float], params: Parameters) -> tuple[float, ...]:
    """Return the coefficients of the Karcher mean of the directions, times the weighted mean length.

    From the direction of multi-SLERP: u ← exp_u(Σ aₜ·log_u(uₜ)), aₜ = wₜ/Σw, until the step is shorter than
    `tolerance` or `iterations` were made. A direction opposite to u has no logarithm and waits. Zero vectors and
    directions that cancel as in multi-SLERP.

    >>> found = karcher_coefficients([[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0], Parameters(tolerance=1e-5, iterations=10))
    >>> [round(value, 4) for value in found]
    [0.7071, 0.7071]
    """
    shares = _shares(weights, True)
    here = _start(products, shares)
    if here is None:
        return tuple(shares)
    cosines = _cosines(products)
    there = [share if products[place][place] > 0.0 else 0.0 for place, share in enumerate(shares)]
    whole = math.fsum(there)
    for _ in range(int(params.number("iterations"))):
        towards = [max(-1.0, min(1.0, _dot(row, here))) for row in cosines]
        pulls = [share / whole * _stretch(value) for share, value in zip(there, towards, strict=True)]
        back = math.fsum(pull * value for pull, value in zip(pulls, towards, strict=True))
        step = [pull - back * value for pull, value in zip(pulls, here, strict=True)]
        length = _length(cosines, step)
        if length == 0.0 or length < params.number("tolerance"):
            break
        along, across = math.cos(length), math.sin(length) / length
        moved = [along * value + across * change for value, change in zip(here, step, strict=True)]
        size = _length(cosines, moved)
        here = [value / size for value in moved]
    return _scaled(products, shares, here)


def _shares(weights: Sequence[float], normalize: bool) -> Vector:
    whole = math.fsum(weights) if normalize else 1.0
    return [weight / whole for weight in weights]


def _cosines(products: Products) -> list[Vector]:
    places = range(len(products))
    return [[cosine(products, one, other) or 0.0 for other in places] for one in places]


def _start(products: Products, shares: Sequence[float]) -> Vector | None:
    """Return the direction of the mean of unit vectors, as coefficients of these; nothing if they cancel."""
    cosines = _cosines(products)
    there = [share if products[place][place] > 0.0 else 0.0 for place, share in enumerate(shares)]
    length, whole = _length(cosines, there), math.fsum(there)
    return [share / length for share in there] if whole > 0.0 and length > _BALANCED * whole else None


def _scaled(products: Products, shares: Sequence[float], direction: Sequence[float]) -> tuple[float, ...]:
    """Turn coefficients of unit vectors into those of the vectors, for the mean length."""
    lengths = [math.sqrt(products[place][place]) for place in range(len(shares))]
    mean = math.fsum(share * length for share, length in zip(shares, lengths, strict=True))
    return tuple(mean * part / length if length > 0.0 else 0.0 for part, length in zip(direction, lengths, strict=True))


def _stretch(value: float) -> float:
    """Return angle ÷ sine of the angle with this cosine: how much longer the arc is than its projection."""
    sine = math.sqrt(max(0.0, 1.0 - value * value))
    if sine > _BALANCED:
        return math.acos(value) / sine
    return 1.0 if value > 0.0 else 0.0


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def _length(cosines: Sequence[Sequence[float]], parts: Sequence[float]) -> float:
    return math.sqrt(max(0.0, _dot(parts, [_dot(row, parts) for row in cosines])))


def _weights_problem(weights: tuple[float, ...], params: Parameters) -> tuple[str, str] | None:
    if not any(weight > 0.0 for weight in weights):
        return "a mean has at least one model with a weight above 0", "give a model a weight"
    return None


MULTISLERP = MethodInfo(
    name="multislerp",
    title="Multi-SLERP",
    formula="θ = θ₀ + λ·Σ wₜ‖τₜ‖·u, with u the direction of Σ wₜτₜ/‖τₜ‖ within a leaf",
    summary="Averages the directions of all experts' changes on the sphere, and their lengths apart from that.",
    source=Source(
        "Goddard et al.",
        2024,
        "Arcee's MergeKit: A Toolkit for Merging Large Language Models",
        "https://arxiv.org/abs/2403.13257",
        "multislerp",
        "always between task vectors; mergekit's further step along the mean of the projections on the tangent plane "
        "is left out, because that mean is zero; directions that cancel give the weighted sum",
    ),
    domain="task_vector",
    group="spherical",
    default_lambda=1.0,
    combine=sum_by_leaf,
    leaf_statistics=(coefficients_of_leaves(multislerp_coefficients),),
    weights="not negative",
    weights_problem=_weights_problem,
    parameters=(
        ParameterInfo(
            "normalize",
            "Divide by the sum of weights",
            "switch",
            True,
            "Whether the weights count relative to their sum, so that the length is an average.",
        ),
    ),
)

KARCHER = MethodInfo(
    name="karcher",
    title="Karcher mean",
    formula="θ = Σ aₜ‖θₜ‖·u, where u makes Σ aₜ·∠(u, θₜ)² least within a leaf; aₜ = wₜ/Σ w",
    summary="The average on the sphere: the direction whose angles to all models are smallest, at their mean length.",
    source=Source(
        "Karcher",
        1977,
        "Riemannian center of mass and mollifier smoothing",
        "https://doi.org/10.1002/cpa.3160300502",
        "centre of mass, by fixed-point steps on the unit sphere",
        "in float64 over inner products; weights are ours, equal ones are the mean; directions that cancel give the "
        "weighted average",
    ),
    domain="weight",
    group="spherical",
    default_lambda=1.0,
    combine=sum_by_leaf,
    leaf_statistics=(coefficients_of_leaves(karcher_coefficients),),
    needs_base=False,
    weights="not negative",
    weights_problem=LINEAR.weights_problem,
    parameters=(
        ParameterInfo(
            "iterations",
            "Iterations",
            "integer",
            10,
            "How many steps are made at most.",
            1,
            1000,
            step=1,
            slider=(1, 50),
        ),
        ParameterInfo(
            "tolerance",
            "Tolerance",
            "number",
            1e-5,
            "A step that turns by less than this ends the search.",
            0.0,
            1.0,
            slider=(0.0, 0.01),
            unit="radians",
            per_leaf=True,
        ),
    ),
)
