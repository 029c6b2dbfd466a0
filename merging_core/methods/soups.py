"""Soups: averages and interpolations that have a name of their own, as rows over the combinations that exist."""

from __future__ import annotations

from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import Source
from merging_core.methods.linear import LINEAR, linear
from merging_core.methods.task_arithmetic import task_arithmetic

__all__ = ["REWARDED_SOUP", "UNIFORM_SOUP", "WISE_FT"]

UNIFORM_SOUP = MethodInfo(
    name="uniform_soup",
    title="Uniform soup",
    formula="θ = Σ θₜ/T",
    summary="The plain average of the models' weights: every expert counts the same.",
    source=LINEAR.source,
    domain="weight",
    group="averages",
    default_lambda=1.0,
    combine=linear,
    needs_base=False,
    weights="none",
)

REWARDED_SOUP = MethodInfo(
    name="rewarded_soup",
    title="Rewarded soup",
    formula="θ = Σ wₜθₜ/Σ wₜ, with wₜ ≥ 0",
    summary="An average in which each weight says how much you care for what that expert was tuned for.",
    source=Source(
        "Ramé et al.",
        2023,
        "Rewarded soups: towards Pareto-optimal alignment by interpolating weights fine-tuned on diverse rewards",
        "https://arxiv.org/abs/2306.04488",
        "linear weight interpolation",
        "preferences of 0 or more are divided by their sum",
    ),
    domain="weight",
    group="averages",
    default_lambda=1.0,
    combine=linear,
    needs_base=False,
    weights="not negative",
    weights_problem=LINEAR.weights_problem,
)

WISE_FT = MethodInfo(
    name="wise_ft",
    title="WiSE-FT",
    formula="θ = (1 − λ)·θ₀ + λ·θ₁ = θ₀ + λ·τ₁",
    summary="Goes from the base towards one expert, as far as λ says: half way is often more robust than either end.",
    source=Source(
        "Wortsman et al.",
        2022,
        "Robust fine-tuning of zero-shot models",
        "https://arxiv.org/abs/2109.01903",
        "weight-space ensembles",
        "their α is the recipe's λ, 0.5 by default; beyond [0, 1] it extrapolates",
    ),
    domain="task_vector",
    group="averages",
    default_lambda=0.5,
    combine=task_arithmetic,
    models=(1, 1),
    weights="none",
)
