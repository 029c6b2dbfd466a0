"""The mask of Model Breadcrumbs: the largest changes go as outliers, the smallest as noise; those between stay."""

from __future__ import annotations

import math

import torch

from merging_core.masks.info import MaskContext, MaskInfo, density_parameter
from merging_core.masks.magnitude import just_below, kept_count, scope_parameter
from merging_core.methods.info import ParameterInfo, Parameters, Source

__all__ = ["BREADCRUMBS", "gamma_parameter", "keep_between", "lowest_and_highest"]


def lowest_and_highest(size: int, params: Parameters) -> tuple[int, int]:
    """Return the ranks of the smallest and of the largest magnitude that survive.

    The ⌊γ·n⌋ largest go first, but never all; of the rest the max(1, ⌊density·n⌋) largest stay, or all if there are
    fewer. Both counts undo binary fractions as `kept_count` does.

    >>> params = Parameters(density=0.1, gamma=0.02)
    >>> lowest_and_highest(100, params), lowest_and_highest(1, params)
    ((12, 3), (1, 1))
    """
    top = min(size - 1, math.floor(params.number("gamma") * size + 1e-9))
    return min(size, top + kept_count(size, params.number("density"))), top + 1


def keep_between(vector: torch.Tensor, context: MaskContext) -> torch.Tensor:
    """Keep τᵢ whose magnitude lies between two thresholds, both included, and put zero elsewhere.

    Shapes: vector [n] float32 → [n]. `context.thresholds` [2] holds the magnitudes at `lowest_and_highest`.

    Raises ValueError if the thresholds are missing.

    Source: Davari and Belilovsky (2024), arXiv 2312.06795, section 3. Ties at both thresholds stay, so that equal
    elements are treated alike.

    >>> context = MaskContext(Parameters(density=0.5, gamma=0.25), torch.tensor([1.0, 2.0]))
    >>> keep_between(torch.tensor([0.5, -3.0, 2.0, -1.0]), context).tolist()
    [0.0, 0.0, 2.0, -1.0]
    """
    if _keeps_all(context.params):
        return vector
    if context.thresholds is None:
        raise ValueError("the mask of Model Breadcrumbs needs its thresholds first")
    lowest, highest = context.thresholds
    kept = torch.nn.functional.hardshrink(vector, just_below(lowest))
    return kept.masked_fill_(kept.abs() > highest, 0.0)


def gamma_parameter() -> ParameterInfo:
    """Return the knob for the fraction of outliers.

    >>> gamma_parameter().range()
    '[0, 1]'
    """
    return ParameterInfo(
        name="gamma",
        title="Outliers",
        kind="number",
        default=0.01,
        help="The fraction of each task vector's elements that is dropped as outliers: the largest ones.",
        minimum=0.0,
        maximum=1.0,
        step=0.001,
        slider=(0.0, 0.1),
        unit="fraction dropped",
        per_model=True,
        per_leaf=True,
    )


def _keeps_all(params: Parameters) -> bool:
    return params["density"] == 1.0 and params["gamma"] == 0.0


BREADCRUMBS = MaskInfo(
    name="breadcrumbs",
    title="Breadcrumbs",
    formula="τ̂ᵢ = τᵢ where |τᵢ| has rank γ·n + 1 to (γ + density)·n among all |τ|, the largest first; else 0",
    summary="Each expert's few largest changes are dropped as outliers and its many small ones as noise.",
    source=Source(
        "Davari and Belilovsky",
        2024,
        "Model Breadcrumbs: Scaling Multi-Task Model Merging with Sparse Masks",
        "https://arxiv.org/abs/2312.06795",
        "section 3",
        "density and gamma are fractions of all elements of a leaf (the authors' code counts within the last "
        "dimension); a gamma of less than one element drops none, and at least one element always stays; the authors' "
        "search starts at density 0.15 and gamma 0.006, and mergekit has gamma 0.01",
    ),
    parameters=(
        density_parameter(0.15, "The fraction of each task vector's elements that is kept: the largest but outliers."),
        gamma_parameter(),
        scope_parameter("leaf"),
    ),
    stochastic=False,
    apply=keep_between,
    ranks=lowest_and_highest,
    keeps_all=_keeps_all,
)
