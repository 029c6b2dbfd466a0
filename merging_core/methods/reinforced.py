"""Reinforced agent merging: what only one expert changed stays whole, what several changed is averaged."""

from __future__ import annotations

import torch

from merging_core.methods.contract import CombineContext, MethodInfo
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["EPSILON", "RAM", "RAM_SOURCE", "unique_and_shared"]


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
    epsilon = context.params.number("epsilon")
    total = torch.zeros_like(vectors[0])
    changed = torch.zeros_like(total)
    for index in range(vectors.shape[0]):
        voice = vectors[index] * weights[index]
        speaks = voice.abs() > epsilon
        total.add_(voice.mul_(speaks))
        changed.add_(speaks)
    return total.div_(changed.clamp_(min=1.0)).add_(0.0)


EPSILON = ParameterInfo(
    name="epsilon",
    title="Smallest change",
    kind="number",
    default=1e-5,
    help="What an expert changed by no more than this counts as unchanged.",
    minimum=0.0,
    maximum=1_000_000.0,
    step=0.00001,
    slider=(0.0, 0.001),
)

RAM_SOURCE = Source(
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
    source=RAM_SOURCE,
    domain="task_vector",
    group="task vectors",
    default_lambda=1.0,
    combine=unique_and_shared,
    parameters=(EPSILON,),
)
