"""The largest change wins: MagMax among all experts, EMR's unified vector among those with the elected sign."""

from __future__ import annotations

import torch

from merging_core.methods.contract import CombineContext, MethodInfo
from merging_core.methods.info import Source
from merging_core.methods.sums import weighted_sum

__all__ = ["EMR", "MAGMAX", "largest_change", "largest_of_elected_sign"]


def largest_change(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return, for each element, the wₜτ̂ₜ of the largest magnitude; of two opposite ones, the positive one.

    Shapes: vectors [T, n] float32 (task vectors after the mask), weights [T] float32, any sign → [n].

    Source: Marczak et al. (2024), arXiv 2407.06322, algorithm 1. The paper has no weights: here they count for the
    magnitude too, so that a weight of 0 is the same as the model's absence. Where two magnitudes are equal the authors'
    code takes the later expert's; ours depends on no order of models.

    >>> largest_change(torch.tensor([[3.0, -1.0, 2.0], [1.0, -4.0, -2.0]]), torch.ones(2), CombineContext()).tolist()
    [3.0, -4.0, 2.0]
    """
    highest = vectors[0] * weights[0]
    lowest = highest
    for index in range(1, vectors.shape[0]):
        voice = vectors[index] * weights[index]
        highest, lowest = torch.maximum(highest, voice), torch.minimum(lowest, voice)
    return torch.where(highest >= -lowest, highest, lowest).add_(0.0)


def largest_of_elected_sign(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return γ·max |wₜτ̂ₜ| over the t whose sign is γ = sign(Σ wₜτ̂ₜ); zero where the sum is zero.

    Shapes: vectors [T, n] float32 (task vectors after the mask), weights [T] float32, any sign → [n].

    Source: Huang et al. (2024), arXiv 2405.17461, “elect”. The authors' code takes a sum of zero for negative; here, as
    in the paper's formula, the sign of zero is zero.

    >>> vectors = torch.tensor([[3.0, -1.0, 2.0], [1.0, -4.0, -2.0]])
    >>> largest_of_elected_sign(vectors, torch.ones(2), CombineContext()).tolist()
    [3.0, -4.0, 0.0]
    """
    elected = weighted_sum(vectors, weights).sgn_()
    largest = torch.zeros_like(elected)
    for index in range(vectors.shape[0]):
        # Turned by the elected sign, a voice that agrees is positive; turning changes no other bit.
        torch.maximum(largest, (vectors[index] * weights[index]).mul_(elected), out=largest)
    return largest.mul_(elected).add_(0.0)


MAGMAX = MethodInfo(
    name="magmax",
    title="MagMax",
    formula="θ = θ₀ + λ·τ; each element of τ is the wₜτₜ of the largest magnitude",
    summary="Takes every number from the one expert that changed it most.",
    source=Source(
        "Marczak et al.",
        2024,
        "MagMax: Leveraging Model Merging for Seamless Continual Learning",
        "https://arxiv.org/abs/2407.06322",
        "algorithm 1",
        "weights count for the magnitude; of two opposite changes of one magnitude the positive one is taken, where "
        "the authors' code takes the later expert's; λ is 0.5 by default, as in that code",
    ),
    domain="task_vector",
    group="sign consensus",
    default_lambda=0.5,
    combine=largest_change,
)

EMR = MethodInfo(
    name="emr",
    title="EMR's unified vector",
    formula="θ = θ₀ + λ·γ·max |wₜτₜ| over the t whose sign is γ = sign(Σ wₜτₜ)",
    summary="The experts vote on every sign, and the largest change of that sign is taken.",
    source=Source(
        "Huang et al.",
        2024,
        "EMR-Merging: Tuning-Free High-Performance Model Merging",
        "https://arxiv.org/abs/2405.17461",
        "elect",
        "the masks and rescalers that EMR keeps for each task are left out, since one merged model has none; the sign "
        "of a sum of zero is zero",
    ),
    domain="task_vector",
    group="sign consensus",
    default_lambda=1.0,
    combine=largest_of_elected_sign,
)
