"""Arcee Fusion: of the second model, only what matters much more than usual is taken over; leaf by leaf."""

from __future__ import annotations

import math

import torch

from merging_core.methods.contract import CombineContext, Cost, MethodInfo, WholeLeaf
from merging_core.methods.info import ParameterInfo, Parameters, Source

__all__ = ["ARCEE_FUSION", "fuse", "importance"]


def importance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return |θ₂ − θ₁|·KL(softmax θ₂ ‖ softmax θ₁), with softmax and KL along the last dimension.

    Shapes: first, second [*shape] float64 → [*shape]; a leaf without dimensions is one row of one element.

    >>> rows = torch.tensor([[0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    >>> importance(rows, torch.tensor([[1.0, 1.0], [2.0, 0.0]], dtype=torch.float64)).round(decimals=3).tolist()
    [[0.0, 0.0], [0.656, 0.0]]
    """
    old, new = (leaf if leaf.dim() else leaf.view(1) for leaf in (first, second))
    likely = new.log_softmax(dim=-1)
    divergence = (likely.exp() * (likely - old.log_softmax(dim=-1))).sum(dim=-1, keepdim=True)
    return ((new - old).abs() * divergence.clamp(min=0.0)).view(first.shape)


def fuse(leaves: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return θ₁, and θ₂ where its importance is at least median + 1.5·(q₃ − q₁) over the leaf.

    `context.params["outlier"]` is the 1.5. Quartiles are exact, with linear interpolation between two
    elements, or with `quartiles` at `below` the element below, as in mergekit.

    Shapes: leaves [2, *shape] float32 (weights θ, not task vectors) → [*shape]; importance in float64.

    >>> leaves = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.1, 0.1, 0.1, 5.0]])
    >>> [round(value, 3) for value in fuse(leaves, torch.ones(2), CombineContext(Parameters(outlier=1.5))).tolist()]
    [0.0, 0.0, 0.0, 5.0]
    """
    found = importance(*leaves.to(torch.float64))
    ordered = found.reshape(-1).sort().values
    between = context.params.get("quartiles", "between") == "between"
    low, middle, high = (_quantile(ordered, share, between) for share in (0.25, 0.5, 0.75))
    limit = middle + context.params.number("outlier") * (high - low)
    return torch.where(found >= limit, leaves[1], leaves[0])


def _quantile(ordered: torch.Tensor, share: float, between: bool) -> float:
    place = share * (ordered.numel() - 1)
    below = math.floor(place)
    low, high = float(ordered[below]), float(ordered[min(below + 1, ordered.numel() - 1)])
    return low + (place - below) * (high - low) if between else low


def _first(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    return vectors[0].clone()


def _takes(name: str, shape: tuple[int, ...], params: Parameters) -> bool:
    return True


def _cost(shape: tuple[int, ...], count: int, params: Parameters) -> Cost:
    size = math.prod(shape)
    return Cost((40.0 + 4.0 * math.log2(size + 2)) * size * count, 8 * size * count)


ARCEE_FUSION = MethodInfo(
    name="arcee_fusion",
    title="Arcee Fusion",
    formula="θ = θ₂ where |θ₂ − θ₁|·KL(softmax θ₂ ‖ softmax θ₁) is at least median + 1.5·(q₃ − q₁) of the leaf",
    summary="Starts from the first model and takes over only the outstanding differences of the second.",
    source=Source(
        "Arcee AI",
        2025,
        "MergeKit: merge methods",
        "https://github.com/arcee-ai/mergekit/blob/main/docs/merge_methods.md",
        "Arcee Fusion",
        "quartiles are those of the whole leaf, not of a random sample; two models in order, not a base and a model",
    ),
    domain="weight",
    group="sparsifying",
    default_lambda=1.0,
    combine=_first,
    whole_leaf=WholeLeaf(_takes, fuse, _cost),
    needs_base=False,
    symmetric=False,
    models=(2, 2),
    weights="none",
    parameters=(
        ParameterInfo(
            name="outlier",
            title="Outstanding from",
            kind="number",
            default=1.5,
            help="How many distances between the quartiles above the median a difference must lie to be taken over.",
            minimum=0.0,
            maximum=1000.0,
            step=0.1,
            slider=(0.0, 5.0),
            per_leaf=True,
        ),
        ParameterInfo(
            name="quartiles",
            title="Quartiles lie",
            kind="choice",
            default="between",
            help="Whether a quartile may lie between two elements, or is the element below it.",
            choices=("between", "below"),
            later=True,
        ),
    ),
    searched=(("outlier", (0.5, 1.0, 1.5, 3.0)),),
)
