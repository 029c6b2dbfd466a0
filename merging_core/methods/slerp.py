"""Spherical interpolation: from one model to another along the arc instead of the chord."""

from __future__ import annotations

import math
from collections.abc import Sequence

from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.products import Products, coefficients_of_leaves, cosine, sum_by_leaf

__all__ = ["NEARLY_PARALLEL", "SLERP", "STRAIGHT", "slerp_coefficients"]

NEARLY_PARALLEL = 0.9995
"""From this |cos Ω| on, the arc and the chord are one line: SLERP is the linear interpolation."""
_PARALLEL = 1e-8
"""Below this sin Ω an arc cannot be told from its chord."""


def slerp_coefficients(products: Products, weights: Sequence[float], params: Parameters) -> tuple[float, ...]:
    """Return how much of each of two models stands at the share t of the arc between them.

    Ω is the angle between them: sin((1 − t)Ω)/sin Ω of the first and sin(tΩ)/sin Ω of the second. Where |cos Ω| exceeds
    0.9995 (nearly parallel, or nearly opposite: then no arc is the shortest), or one of them is zero: 1 − t and t. With
    `params["straight"]` at `exactly` that is so only where sin Ω is less than 10⁻⁸.

    Models of one length keep it; between different lengths the length changes smoothly. `params["t"]` in [0, 1]: 0 is
    the first model, 1 the second. The weights have no say.

    Source: Shoemake (1985), spherical linear interpolation. His is of unit quaternions; here the formula is applied to
    the vectors as they are. The bound 0.9995 is the one in common use.

    >>> [round(value, 4) for value in slerp_coefficients([[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0], Parameters(t=0.5))]
    [0.7071, 0.7071]
    >>> slerp_coefficients([[1.0, -1.0], [-1.0, 1.0]], [1.0, 1.0], Parameters(t=0.25))
    (0.75, 0.25)
    """
    t = params.number("t")
    between = cosine(products, 0, 1)
    if between is None or (params.get("straight") != "exactly" and abs(between) > NEARLY_PARALLEL):
        return 1.0 - t, t
    angle = math.acos(between)
    if math.sin(angle) < _PARALLEL:
        return 1.0 - t, t
    return math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


STRAIGHT = ParameterInfo(
    "straight",
    "Straight where parallel",
    "choice",
    "nearly",
    "Whether models that are nearly parallel, as most weights of one family are, are joined by a line or by their arc.",
    choices=("nearly", "exactly"),
    later=True,
)

SLERP = MethodInfo(
    name="slerp",
    title="SLERP",
    formula="θ = (sin((1 − t)Ω)·θ₁ + sin(tΩ)·θ₂)/sin Ω, with Ω the angle between θ₁ and θ₂ within a leaf",
    summary="Goes from one model to another along an arc, so that weights of one length keep it on the way.",
    source=Source(
        "Shoemake",
        1985,
        "Animating Rotation with Quaternion Curves",
        "https://doi.org/10.1145/325165.325242",
        "spherical linear interpolation",
        "applied to the weights of each leaf as they are; linear where |cos Ω| exceeds 0.9995 or a leaf is zero",
    ),
    domain="weight",
    group="spherical",
    default_lambda=1.0,
    combine=sum_by_leaf,
    leaf_statistics=(coefficients_of_leaves(slerp_coefficients),),
    needs_base=False,
    symmetric=False,
    models=(2, 2),
    weights="none",
    parameters=(
        ParameterInfo(
            "t",
            "t",
            "number",
            0.5,
            "How far along the arc: 0 is the first expert, 1 the second.",
            0.0,
            1.0,
            slider=(0.0, 1.0),
            unit="share of the arc",
            per_leaf=True,
        ),
        ParameterInfo(
            "angle",
            "Angle within",
            "choice",
            "leaf",
            "Whether the angle is taken within each leaf or over the whole model.",
            choices=("leaf", "model"),
        ),
        STRAIGHT,
    ),
    searched=(("t", (0.3, 0.4, 0.5, 0.6, 0.7)),),
)
