"""Consensus merging: a merged task vector, less what matters to too few experts."""

from __future__ import annotations

from dataclasses import replace

import torch

from merging_core.masks.info import density_parameter
from merging_core.masks.keeping import kept
from merging_core.masks.magnitude import largest
from merging_core.methods.contract import CombineContext, MethodInfo, RankStatistic
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.sums import weighted_sum

__all__ = ["CONSENSUS", "consensus", "magnitudes", "trimmed_and_elected"]


def consensus(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return the merged task vector s where at least k experts agree with it, and zero elsewhere.

    s is Σ wₜτ̂ₜ, or, with `vector` at `ties`, what `trimmed_and_elected` says. Expert t agrees (its TALL mask is 1)
    where |wₜτ̂ₜ| > λₜ·|s − wₜτ̂ₜ|: where its own change is large beside what the others make of it. `context.params`:
    `agreement` is λₜ, one number or one for each expert; `experts` is k.

    Shapes: vectors [T, n] float32 (task vectors after the mask), weights [T] float32, any sign → [n].

    Source: Wang et al. (2024), arXiv 2405.07813, equations 5 and 6. The weight of an expert scales its task vector
    before anything else, so that a weight of 0 is the same as the model's absence.

    >>> context = CombineContext(Parameters(agreement=0.5, experts=2))
    >>> consensus(torch.tensor([[2.0, 8.0, 1.0], [3.0, 1.0, -1.0]]), torch.ones(2), context).tolist()
    [5.0, 0.0, 0.0]
    """
    voted = _by_vote(context.params)
    total = trimmed_and_elected(vectors, weights, context) if voted else weighted_sum(vectors, weights)
    votes = torch.zeros_like(total)
    for index, agreement in enumerate(context.params.each("agreement", vectors.shape[0])):
        voice = vectors[index] * weights[index]
        rest = (total - voice).abs_().mul_(agreement)
        votes.add_(torch.gt(voice.abs_(), rest))
    return kept(total, votes >= context.params.number("experts")).add_(0.0)


def trimmed_and_elected(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return the sum of TIES: of each expert's largest changes, those whose sign is the sign of their sum.

    `context.statistics["trim"]` [T, 1] holds the smallest magnitude of each expert that stays, over the whole model.
    Where the changes that stay cancel exactly, nothing is taken.

    Shapes: vectors [T, n] float32, weights [T] float32, any sign → [n].

    >>> context = CombineContext(statistics={"trim": torch.tensor([[2.0], [2.0]])})
    >>> trimmed_and_elected(torch.tensor([[3.0, 1.0, -4.0], [2.0, -5.0, 2.0]]), torch.ones(2), context).tolist()
    [5.0, -5.0, -4.0]
    """
    least = context.statistics["trim"]
    voices = [vectors[index] * weights[index] for index in range(vectors.shape[0])]
    voices = [kept(voice, voice.abs() >= least[index]) for index, voice in enumerate(voices)]
    elected = torch.zeros_like(voices[0])
    for voice in voices:
        elected.add_(voice)
    elected.sgn_()
    agreed = torch.zeros_like(elected)
    for voice in voices:
        # Turned by the elected sign, a voice that agrees is positive; turning changes no other bit.
        agreed.add_(voice.mul_(elected).relu_())
    return agreed.mul_(elected).add_(0.0)


def magnitudes(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return |wₜτ̂ₜ|, of which each expert's largest stay: [T, n] → [T, n]."""
    return (vectors * weights[:, None]).abs_()


def _by_vote(params: Parameters) -> bool:
    return params.get("vector") == "ties"


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
        "consensus merging, with task arithmetic or TIES",
        "λₜ is one number, which each expert may override; the paper chooses it for each task on validation data among "
        "0.2 to 0.6; with ties, s is the sum over the experts that agree in sign among those whose change is large "
        "enough, and the masks compare with the whole changes, as in the authors' code",
    ),
    domain="task_vector",
    group="sign consensus",
    default_lambda=0.3,
    combine=consensus,
    rank_statistics=(RankStatistic("trim", magnitudes, largest, _by_vote),),
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
            per_model=True,
            per_leaf=True,
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
        ParameterInfo(
            name="vector",
            title="Merged vector",
            kind="choice",
            default="sum",
            help="What is kept where experts agree: the sum of all changes, or the sum of TIES.",
            choices=("sum", "ties"),
            later=True,
        ),
        replace(
            density_parameter(0.2, "The fraction of each expert's elements that TIES keeps: the largest ones."),
            per_model=False,
            per_leaf=False,
            only_when=("vector", "ties"),
            later=True,
        ),
    ),
    searched=(("agreement", (0.2, 0.4, 0.6)), ("experts", (1, 2, 3))),
)
