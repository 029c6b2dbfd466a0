"""Rows over a mask and a combination: Model Breadcrumbs and DELLA, each as a sum and with sign consensus."""

from __future__ import annotations

from merging_core.masks.breadcrumbs import BREADCRUMBS as BREADCRUMBS_MASK
from merging_core.masks.della import DELLA as DELLA_MASK
from merging_core.methods.contract import MethodInfo
from merging_core.methods.task_arithmetic import task_arithmetic
from merging_core.methods.ties import CANCELLED, COMBINE, MAJORITY, sign_consensus

__all__ = ["BREADCRUMBS", "BREADCRUMBS_TIES", "DELLA", "DELLA_LINEAR"]

BREADCRUMBS = MethodInfo(
    name="breadcrumbs",
    title="Model Breadcrumbs",
    formula="θ = θ₀ + λ·Σ wₜτ̂ₜ; τ̂ₜ drops the γ·n largest and the smallest |τₜ| of each leaf",
    summary="Drops each expert's outliers and its many small changes, and adds what lies between.",
    source=BREADCRUMBS_MASK.source,
    domain="task_vector",
    group="sparsifying",
    default_lambda=0.3,
    combine=task_arithmetic,
    owned_mask="breadcrumbs",
    parameters=BREADCRUMBS_MASK.parameters,
    searched=(("density", (0.15, 0.3, 0.5, 0.9)), ("gamma", (0.0, 0.01, 0.05))),
)

BREADCRUMBS_TIES = MethodInfo(
    name="breadcrumbs_ties",
    title="Breadcrumbs TIES",
    formula="θ = θ₀ + λ·mean of wₜτ̂ₜ over the t whose sign is sign(Σ wₜτ̂ₜ); τ̂ₜ drops the largest and the smallest |τₜ|",
    summary="Drops each expert's outliers and its many small changes, then lets the experts vote on every sign.",
    source=BREADCRUMBS_MASK.source,
    domain="task_vector",
    group="sign consensus",
    default_lambda=1.0,
    combine=sign_consensus,
    statistics=(MAJORITY,),
    owned_mask="breadcrumbs",
    parameters=(*BREADCRUMBS_MASK.parameters, COMBINE, CANCELLED),
    searched=(("density", (0.15, 0.3, 0.5, 0.9)), ("gamma", (0.0, 0.01, 0.05))),
)

DELLA = MethodInfo(
    name="della",
    title="DELLA",
    formula="θ = θ₀ + λ·mean of wₜτ̂ₜ over the t whose sign is sign(Σ wₜτ̂ₜ); τ̂ₜ = τₜ/pₜ kept with probability pₜ",
    summary="Drops changes at random, small ones more often, then lets the experts vote on every sign.",
    source=DELLA_MASK.source,
    domain="task_vector",
    group="sign consensus",
    default_lambda=1.0,
    combine=sign_consensus,
    statistics=(MAJORITY,),
    owned_mask="della",
    stochastic=True,
    parameters=(*DELLA_MASK.parameters, COMBINE, CANCELLED),
    searched=(("density", (0.25, 0.5, 0.75, 0.9)), ("epsilon", (0.05, 0.2))),
)

DELLA_LINEAR = MethodInfo(
    name="della_linear",
    title="DELLA linear",
    formula="θ = θ₀ + λ·Σ wₜτ̂ₜ; τ̂ₜ = τₜ/pₜ kept with probability pₜ, which grows with the rank of |τₜ| in its row",
    summary="Drops changes at random, small ones more often, scales up the rest and adds them.",
    source=DELLA_MASK.source,
    domain="task_vector",
    group="sparsifying",
    default_lambda=0.3,
    combine=task_arithmetic,
    owned_mask="della",
    stochastic=True,
    parameters=DELLA_MASK.parameters,
    searched=(("density", (0.25, 0.5, 0.75, 0.9)), ("epsilon", (0.05, 0.2))),
)
