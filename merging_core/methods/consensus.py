"""Consensus merging: the sum of task vectors, less what matters to too few experts."""

from __future__ import annotations

import torch

from merging_core.methods.contract import CombineContext, MethodInfo
from merging_core.methods.info import ParameterInfo, Source
from merging_core.methods.sums import weighted_sum

__all__ = ["CONSENSUS", "consensus"]


def consensus(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return s = Σ wₜτ̂ₜ where at least k experts agree with it, and zero elsewhere.

    Expert t agrees (its TALL mask is 1) where |wₜτ̂ₜ| > λₜ·|s − wₜτ̂ₜ|: where its own change is large beside what the
    others add to it. `context.params`: `agreement` is λₜ, `experts` is k.

    Shapes: vectors [T, n] float32 (task vectors after the mask), weights [T] float32, any sign → [n].

    Source: Wang et al. (2024), arXiv 2405.07813, equations 5 and 6. The weight of an expert scales its task vector
    before anything else, so that a weight of 0 is the same as the model's absence.

    >>> from merging_core.methods.info import Parameters
    >>> context = CombineContext(Parameters(agreement=0.5, experts=2))
    >>> consensus(torch.tensor([[2.0, 8.0, 1.0], [3.0, 1.0, -1.0]]), torch.ones(2), context).tolist()
    [5.0, 0.0, 0.0]
    """
    total = weighted_sum(vectors, weights)
    agreement = context.params.number("agreement")
    votes = torch.zeros_like(total)
    for index in range(vectors.shape[0]):
        voice = vectors[index] * weights[index]
        rest = (total - voice).abs_().mul_(agreement)
        votes.add_(torch.gt(voice.abs_(), rest))
    return torch.where(votes >= context.params.number("experts"), total, 0.0).add_(0.0)


CONSENSUS = MethodInfo(
    name="consensus",
    title="Consensus (TALL masks)",
    formula="θ = θ₀ + λ·s where Σ mₜ ≥ k, else θ₀; s = Σ wₜτₜ, mₜ = 1 where |wₜτₜ| is more than λₜ·|s − wₜτₜ|",
    summary="Adds the experts' changes, but only where they matter to several of them.",
    source=Source(
        "Wang et al.",
        2024,
        "Localizing Task Information for Improved Model Merging and Compression",
        "https://arxiv.org/abs/2405.07813",
        "consensus merging with task arithmetic",
        "λₜ is one number for all experts; the paper chooses it for each task on validation data among 0.2 to 0.6",
    ),
    domain="task_vector",
    group="sign consensus",
    default_lambda=0.3,
    combine=consensus,
    parameters=(
        ParameterInfo(
            name="agreement",
            title="Agreement",
            kind="number",
            default=0.4,
            help="How large an expert's own change must be beside what the others add, to count (λₜ in the paper).",
            minimum=0.0,
            maximum=100.0,
            slider=(0.0, 1.0),
        ),
        ParameterInfo(
            name="experts",
            title="Experts that agree",
            kind="integer",
            default=2,
            help="How many experts a change must matter to; 1 keeps what matters to one alone, 0 keeps everything.",
            minimum=0,
            maximum=64,
            step=1,
            slider=(0, 8),
        ),
    ),
)
