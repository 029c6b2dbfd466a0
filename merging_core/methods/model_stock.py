"""Model Stock: how far to go from the base to the average follows from the angle between the task vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.products import Products, coefficients_of_leaves, cosine, sum_by_leaf
from merging_core.methods.rows import rows_apart

__all__ = ["MODEL_STOCK", "interpolation_ratio", "stock_coefficients"]

_CANCELLED = 1e-6


def interpolation_ratio(similarity: float, count: float, *, beyond: bool = False) -> float:
    """Return the share t of the way from the base to the average: t = N·cos θ/(1 + (N − 1)·cos θ).

    `similarity`: cos θ; below 0 it counts as 0, so that t lies in [0, 1], or with `beyond` leads to the other side of
    the base, but for models that cancel: their t is 0. `count`: N, at least 1.

    Source: Jang et al. (2024), arXiv 2403.19522, the ratio for N fine-tuned models.

    >>> interpolation_ratio(0.5, 2), interpolation_ratio(1.0, 5), interpolation_ratio(-0.2, 3)
    (0.6666666666666666, 1.0, 0.0)
    """
    shared = similarity if beyond else max(0.0, similarity)
    divisor = 1.0 + (count - 1.0) * shared
    return count * shared / divisor if divisor > _CANCELLED else 0.0


def stock_coefficients(products: Products, weights: Sequence[float], params: Parameters) -> tuple[float, ...]:
    """Return t·wₜ/Σw for each task vector, with t from the mean cosine between them within a leaf.

    cos θ is the mean over all pairs, each weighing wₛwₜ, or the cosine of their mean angle, as `mean_of` says; a pair
    with a zero vector counts as 0: nothing says that the two agree. N = (Σw)²/Σw², the number of models that equal
    weights would need, which is the number of models where the weights are equal. So a weight of 0 is the same as the
    model's absence.

    `weights`: T numbers of 0 or more, at least two of them above 0.

    Source: Jang et al. (2024), arXiv 2403.19522. The paper has no weights: ours follow its derivation, in which t
    makes the expected distance from the centre of the fine-tuned models least.

    >>> stock_coefficients([[1.0, 0.5], [0.5, 1.0]], [1.0, 1.0], Parameters())
    (0.3333333333333333, 0.3333333333333333)
    """
    models = range(len(weights))
    pairs = [(first, second) for first in models for second in models if first < second]
    shares = [weights[first] * weights[second] for first, second in pairs]
    cosines = [cosine(products, first, second) or 0.0 for first, second in pairs]
    by_angle = params.get("mean_of") == "angles"
    agreements = [math.acos(max(-1.0, min(1.0, value))) for value in cosines] if by_angle else cosines
    mean = math.fsum(share * value for share, value in zip(shares, agreements, strict=True)) / math.fsum(shares)
    similarity = math.cos(mean) if by_angle else mean
    whole = math.fsum(weights)
    beyond = params.get("below_zero") == "beyond"
    count = whole * whole / math.fsum(weight * weight for weight in weights)
    ratio = interpolation_ratio(similarity, count, beyond=beyond)
    return tuple(ratio * (weight / whole) for weight in weights)


def _weights_problem(weights: tuple[float, ...], params: Parameters) -> tuple[str, str] | None:
    if sum(weight > 0.0 for weight in weights) < 2:  # noqa: PLR2004
        return "an angle lies between at least two models with a weight above 0", "give another model a weight"
    return None


MODEL_STOCK = MethodInfo(
    name="model_stock",
    title="Model Stock",
    formula="θ = θ₀ + λ·t·Σ wₜτₜ/Σ wₜ, with t = N·cos θ/(1 + (N − 1)·cos θ) within a leaf; cos θ: mean over pairs of τ",
    summary="Goes from the base towards the average, the further the more the experts agree in their direction.",
    source=Source(
        "Jang, Yun and Han",
        2024,
        "Model Stock: All we need is just a few fine-tuned models",
        "https://arxiv.org/abs/2403.19522",
        "interpolation ratio for N models",
        "a mean cosine below 0 counts as 0 unless below_zero is beyond, as in mergekit; the paper has one angle for "
        "all pairs, mergekit takes their mean cosine and FusionBench their mean angle; with weights, N = (Σw)²/Σw² and "
        "each pair weighs wₛwₜ",
    ),
    domain="task_vector",
    group="averages",
    default_lambda=1.0,
    combine=sum_by_leaf,
    leaf_statistics=(coefficients_of_leaves(stock_coefficients),),
    whole_leaf=rows_apart(stock_coefficients, "granularity", "leaf"),
    models=(2, None),
    weights="not negative",
    weights_problem=_weights_problem,
    parameters=(
        ParameterInfo(
            "granularity",
            "Angle within",
            "choice",
            "leaf",
            "Whether each leaf has one angle and one ratio, or each of its filters: the weights of one output.",
            choices=("leaf", "filter"),
            later=True,
        ),
        ParameterInfo(
            "mean_of",
            "Mean of",
            "choice",
            "cosines",
            "Whether three experts or more agree by the mean of their cosines, or by that of their angles.",
            choices=("cosines", "angles"),
            later=True,
        ),
        ParameterInfo(
            "below_zero",
            "Experts that disagree",
            "choice",
            "base",
            "Whether experts with a mean cosine below 0 leave the base as it is, or lead to its other side.",
            choices=("base", "beyond"),
            later=True,
        ),
    ),
    searched=(("granularity", ("leaf", "filter")),),
)
