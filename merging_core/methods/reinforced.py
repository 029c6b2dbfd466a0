"""Reinforced agent merging: what only one expert changed stays whole, what several changed is averaged."""

from __future__ import annotations

import math

import torch

from merging_core.methods.contract import CombineContext, Cost, MethodInfo, Statistic, WholeLeaf
from merging_core.methods.info import ParameterInfo, Parameters, Source

__all__ = ["RAM", "RAM_PLUS", "changes", "overlap", "rescaled", "rescaled_leaf", "unique_and_shared"]


def unique_and_shared(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return, for each element, the mean of the wₜτ̂ₜ that are larger than ε: one alone stays as it is.

    Shapes: vectors [T, n] float32 (task vectors after the mask), weights [T] float32, any sign → [n].

    Source: Yuan et al. (2026), arXiv 2601.13572, RAM. The weight of an expert scales its task vector before anything
    else, so that a weight of 0 is the same as the model's absence.

    >>> from merging_core.methods.info import Parameters
    >>> vectors = torch.tensor([[4.0, 0.0, 1e-6], [2.0, -3.0, 0.0]])
    >>> unique_and_shared(vectors, torch.ones(2), CombineContext(Parameters(epsilon=1e-5))).tolist()
    [3.0, -3.0, 0.0]
    """
    total = torch.zeros_like(vectors[0])
    changed = torch.zeros_like(total)
    for index, epsilon in enumerate(context.params.each("epsilon", vectors.shape[0])):
        voice = vectors[index] * weights[index]
        speaks = voice.abs() > epsilon
        total.add_(voice.mul_(speaks))
        changed.add_(speaks)
    return total.div_(changed.clamp_(min=1.0)).add_(0.0)


def changes(vectors: torch.Tensor, weights: torch.Tensor, params: Parameters) -> torch.Tensor:
    """Count, for each expert of a piece, the elements that it alone changed and those that others changed too.

    Shapes: vectors [T, n], weights [T] → [T, 2] int64; the counts of pieces add up exactly.

    >>> vectors = torch.tensor([[4.0, 0.0, 1.0], [2.0, -3.0, 0.0]])
    >>> changes(vectors, torch.ones(2), Parameters(epsilon=1e-5)).tolist()
    [[1, 1], [1, 1]]
    """
    epsilon = torch.tensor(params.each("epsilon", len(weights)), device=vectors.device)
    speaks = (vectors * weights[:, None]).abs() > epsilon[:, None]
    several = speaks.sum(dim=0) > 1
    shared = (speaks & several).sum(dim=1)
    return torch.stack([speaks.sum(dim=1) - shared, shared], dim=1)


def overlap(counts: torch.Tensor) -> torch.Tensor:
    """Return shared/unique of each expert: [T, 2] → [T] float32; 0 where nothing is unique.

    >>> overlap(torch.tensor([[4, 1], [0, 3]])).tolist()
    [0.25, 0.0]
    """
    unique, shared = counts.to(torch.float32).unbind(dim=1)
    return torch.where(unique > 0, shared / unique.clamp(min=1.0), 0.0)


def rescaled(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return what `unique_and_shared` does, with what one expert alone changed times 1 + r·min(ρₜ, α).

    ρₜ is `context.statistics["overlap"]` [T]: how many elements the expert shares, for each that is its own.

    Shapes: vectors [T, n] float32 (task vectors after the mask), weights [T] float32, any sign → [n].

    Source: Yuan et al. (2026), arXiv 2601.13572, RAM+.

    >>> context = CombineContext(Parameters(epsilon=1e-5, r=0.5, alpha=1.0), {"overlap": torch.tensor([1.0, 4.0])})
    >>> rescaled(torch.tensor([[4.0, 0.0, 1.0], [2.0, -3.0, 0.0]]), torch.ones(2), context).tolist()
    [3.0, -4.5, 1.5]
    """
    limits, alphas, strengths = (context.params.each(name, len(weights)) for name in ("epsilon", "alpha", "r"))
    found = context.statistics.get("overlap", torch.zeros_like(weights))
    gains = torch.minimum(found, found.new_tensor(alphas)) * found.new_tensor(strengths) + 1.0
    several = torch.zeros_like(vectors[0])
    for index, epsilon in enumerate(limits):
        several.add_((vectors[index] * weights[index]).abs() > epsilon)
    total = torch.zeros_like(several)
    for index, epsilon in enumerate(limits):
        voice = vectors[index] * weights[index]
        voice = voice.mul_(voice.abs() > epsilon)
        total.add_(torch.where(several > 1.0, voice, voice * gains[index]))
    return total.div_(several.clamp_(min=1.0)).add_(0.0)


def rescaled_leaf(leaves: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return `rescaled` with the counts of this leaf alone: [T, *shape] → [*shape].

    >>> context = CombineContext(Parameters(epsilon=1e-5, r=0.5, alpha=1.0))
    >>> rescaled_leaf(torch.tensor([[4.0, 0.0, 1.0], [2.0, -3.0, 0.0]]), torch.ones(2), context).tolist()
    [3.0, -4.5, 1.5]
    """
    flat = leaves.reshape(len(leaves), -1)
    found = {"overlap": overlap(changes(flat, weights, context.params))}
    return rescaled(flat, weights, CombineContext(context.params, found)).view(leaves.shape[1:])


def _in_leaves(name: str, shape: tuple[int, ...], params: Parameters) -> bool:
    return params["counted"] == "leaf"


def _cost(shape: tuple[int, ...], count: int, params: Parameters) -> Cost:
    return Cost(12.0 * math.prod(shape) * count, 2 * math.prod(shape) * count)


_EPSILON = ParameterInfo(
    name="epsilon",
    title="Smallest change",
    kind="number",
    default=1e-5,
    help="What an expert changed by no more than this counts as unchanged.",
    minimum=0.0,
    maximum=1_000_000.0,
    step=0.00001,
    slider=(0.0, 0.001),
    per_model=True,
    per_leaf=True,
)

_SOURCE = Source(
    "Yuan et al.",
    2026,
    "Behavior Knowledge Merge in Reinforced Agentic Models",
    "https://arxiv.org/abs/2601.13572",
    "RAM",
    "weights scale the task vectors first",
)

RAM = MethodInfo(
    name="ram",
    title="RAM",
    formula="θ = θ₀ + λ·mean of wₜτₜ over the t where |wₜτₜ| is more than ε",
    summary="What only one expert changed is kept whole, and what several changed is averaged.",
    source=_SOURCE,
    domain="task_vector",
    group="task vectors",
    default_lambda=1.0,
    combine=unique_and_shared,
    parameters=(_EPSILON,),
    searched=(("epsilon", (1e-6, 1e-5, 1e-4, 1e-3)),),
)

RAM_PLUS = MethodInfo(
    name="ramplus_tl",
    title="RAM+",
    formula="θ = θ₀ + λ·(mean where several changed; wₜτₜ·(1 + r·min(ρₜ, α)) where one alone did); ρₜ = shared/unique",
    summary="As RAM, but what only one expert changed is made stronger, the more the expert has in common with others.",
    source=Source(
        _SOURCE.authors,
        _SOURCE.year,
        _SOURCE.title,
        _SOURCE.url,
        "RAM+",
        "shared and unique elements are counted within each leaf, as in other tools, or over the whole model; weights "
        "scale the task vectors first",
    ),
    domain="task_vector",
    group="task vectors",
    default_lambda=1.0,
    combine=rescaled,
    statistics=(Statistic("overlap", changes, overlap),),
    whole_leaf=WholeLeaf(_in_leaves, rescaled_leaf, _cost),
    parameters=(
        ParameterInfo(
            name="r",
            title="Strength",
            kind="number",
            default=0.1,
            help="How much stronger a unique change becomes for each shared one (r in the paper).",
            minimum=0.0,
            maximum=100.0,
            slider=(0.0, 1.0),
            per_model=True,
            per_leaf=True,
        ),
        ParameterInfo(
            name="alpha",
            title="At most",
            kind="number",
            default=0.2,
            help="How many shared elements for each unique one count at most (α in the paper).",
            minimum=0.0,
            maximum=1_000_000.0,
            slider=(0.0, 2.0),
            per_model=True,
            per_leaf=True,
        ),
        _EPSILON,
        ParameterInfo(
            name="counted",
            title="Counted over",
            kind="choice",
            default="leaf",
            help="Whether shared and unique elements are counted within each leaf, or over the whole model.",
            choices=("leaf", "model"),
        ),
    ),
    searched=(("r", (0.05, 0.1, 0.2, 0.4)), ("alpha", (0.1, 0.2, 0.4))),
)
