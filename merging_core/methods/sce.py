"""SCE: select where experts differ, calculate how much each counts, erase minority signs; leaf by leaf."""

from __future__ import annotations

import math

import torch

from merging_core.methods.contract import CombineContext, Cost, MethodInfo, WholeLeaf
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.matrices import average

__all__ = ["SCE", "select_calculate_erase"]


def select_calculate_erase(leaves: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return the mean of what the experts say with the elected sign, each counting as much as its own strength.

    Select: only elements in which the variance between the experts is among the largest `select` of those that vary
    stay; ties stay, and at 1 all do. Calculate: expert t counts ηₜ, the mean square or the variance of its selected
    changes, as `weigh_by` says. Erase: of each element only changes with the sign of their sum stay; a sum of zero
    counts as +. Result: Σ ηₜvₜ / Σ ηₜ over those that stay, vₜ = wₜτₜ. With `merged` at `all`, the selection decides
    how much each expert counts, and every element is merged.

    Shapes: leaves [T, *shape] float32, weights [T] float32, any sign → [*shape]; in float64, rounded once.

    Source: Wan et al. (2024), arXiv 2408.07990, SCE.

    >>> context = CombineContext(Parameters(select=1.0, weigh_by="squares"))
    >>> select_calculate_erase(torch.tensor([[1.0, 2.0], [3.0, -1.0]]), torch.ones(2), context).tolist()
    [2.3333332538604736, 2.0]
    """
    heard = weights != 0
    scale = weights[heard].to(torch.float64).view(-1, *[1] * (leaves.dim() - 1))
    vectors = leaves[heard].to(torch.float64) * scale
    if not len(vectors):
        return torch.zeros_like(leaves[0])
    share = context.params.number("select")
    selected = vectors if share == 1.0 else torch.where(_varies(vectors, share), vectors, 0.0)
    flat = selected.reshape(len(vectors), -1)
    if context.params.get("merged") != "all":
        vectors = selected
    strength = flat.square().mean(dim=1)
    if context.params["weigh_by"] == "variance":
        strength = (flat - flat[:, :1]).var(dim=1, correction=0)
    if not bool(strength.any()):
        strength = torch.ones_like(strength)
    shares = (strength / strength.sum()).view_as(scale)
    elected = torch.where(vectors.sum(dim=0) < 0.0, -1.0, 1.0)
    agrees = vectors.sgn() == elected
    divisor = (shares * agrees).sum(dim=0)
    total = (shares * vectors * agrees).sum(dim=0)
    return torch.where(divisor > 0.0, total / divisor, 0.0).to(torch.float32)


def _varies(vectors: torch.Tensor, share: float) -> torch.Tensor:
    """Say where the variance between the experts is among the largest, by differences from the first of them."""
    variance = (vectors - vectors[:1]).var(dim=0, correction=0)
    varied = int(variance.count_nonzero())
    if varied == 0:
        return torch.ones_like(variance, dtype=torch.bool)
    rank = max(1, math.floor(share * varied + 1e-9))
    return variance >= variance.reshape(-1).kthvalue(variance.numel() + 1 - rank).values


def _takes(name: str, shape: tuple[int, ...], params: Parameters) -> bool:
    return True


def _cost(shape: tuple[int, ...], count: int, params: Parameters) -> Cost:
    size = math.prod(shape)
    return Cost(20.0 * size * count, 4 * size * count)


SCE = MethodInfo(
    name="sce",
    title="SCE",
    formula="θ = θ₀ + λ·Σ ηₜτₜ/Σ ηₜ over the t with the sign of Σ τₜ, where the τₜ differ most; ηₜ: mean square of τₜ",
    summary="Looks only where the experts differ most, lets strong experts count more, and drops minority signs.",
    source=Source(
        "Wan et al.",
        2024,
        "FuseChat: Knowledge Fusion of Chat Models",
        "https://arxiv.org/abs/2408.07990",
        "select, calculate, erase",
        "weights scale the task vectors first; the authors' code selects only for ηₜ and merges all elements; mergekit "
        "divides by at least 10⁻⁶; where no expert is stronger than another all count the same, and where nothing "
        "varies everything is selected",
    ),
    domain="task_vector",
    group="sign consensus",
    default_lambda=1.0,
    combine=average,
    whole_leaf=WholeLeaf(_takes, select_calculate_erase, _cost),
    parameters=(
        ParameterInfo(
            name="select",
            title="Select",
            kind="number",
            default=0.1,
            help="The fraction of the varying elements of a leaf that is selected: where the experts differ most.",
            minimum=0.0,
            maximum=1.0,
            minimum_excluded=True,
            slider=(0.01, 1.0),
            unit="fraction kept",
            per_leaf=True,
        ),
        ParameterInfo(
            name="weigh_by",
            title="Weigh experts by",
            kind="choice",
            default="squares",
            help="Whether an expert counts by the mean square of its selected changes, or by their variance.",
            choices=("squares", "variance"),
        ),
        ParameterInfo(
            name="merged",
            title="Merge",
            kind="choice",
            default="selected",
            help="Whether the selected elements alone are merged, or all of them, as in the authors' code.",
            choices=("selected", "all"),
            later=True,
        ),
    ),
    searched=(("select", (0.1, 0.3, 0.6, 1.0)),),
)
