"""NuSLERP: SLERP of two task vectors by weights, over whole leaves or row by row."""

from __future__ import annotations

from collections.abc import Sequence

from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.linear import LINEAR
from merging_core.methods.products import Products, coefficients_of_leaves, sum_by_leaf
from merging_core.methods.rows import rows_apart
from merging_core.methods.slerp import STRAIGHT, slerp_coefficients

__all__ = ["NUSLERP", "nuslerp_coefficients"]


def nuslerp_coefficients(products: Products, weights: Sequence[float], params: Parameters) -> tuple[float, ...]:
    """Return SLERP's coefficients at t = w₂/(w₁ + w₂).

    `weights`: two numbers of 0 or more, not both 0.

    >>> [round(value, 4) for value in nuslerp_coefficients([[1.0, 0.0], [0.0, 1.0]], [2.0, 2.0], Parameters())]
    [0.7071, 0.7071]
    """
    return slerp_coefficients(products, weights, params.changed(t=weights[1] / (weights[0] + weights[1])))


NUSLERP = MethodInfo(
    name="nuslerp",
    title="NuSLERP",
    formula="θ = θ₀ + λ·(sin((1 − t)Ω)·τ₁ + sin(tΩ)·τ₂)/sin Ω, with t = w₂/(w₁ + w₂) and Ω the angle between τ₁ and τ₂",
    summary="Turns one expert's changes towards another's along an arc, by their weights; also row by row.",
    source=Source(
        "Goddard et al.",
        2024,
        "Arcee's MergeKit: A Toolkit for Merging Large Language Models",
        "https://arxiv.org/abs/2403.13257",
        "nuslerp",
        "always between task vectors (SLERP is the same between weights); linear where |cos Ω| exceeds 0.9995 as in "
        "SLERP, or with straight exactly where sin Ω is nearly 0, as in mergekit; what mergekit does with "
        "nuslerp_flatten false is row here, and with nuslerp_row_wise true column",
    ),
    domain="task_vector",
    group="spherical",
    default_lambda=1.0,
    combine=sum_by_leaf,
    leaf_statistics=(coefficients_of_leaves(nuslerp_coefficients),),
    whole_leaf=rows_apart(nuslerp_coefficients, "granularity", "leaf"),
    models=(2, 2),
    weights="not negative",
    weights_problem=LINEAR.weights_problem,
    parameters=(
        ParameterInfo(
            "granularity",
            "Angle within",
            "choice",
            "leaf",
            "Whether the angle is taken within each leaf, or within each of its rows or columns.",
            choices=("leaf", "row", "column"),
        ),
        STRAIGHT,
    ),
)
