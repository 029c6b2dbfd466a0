"""The weighted sum of task vectors: task arithmetic, and with the random mask, DARE linear."""

from __future__ import annotations

import torch

from merging_core.masks.dare import dare_parameters
from merging_core.methods.contract import CombineContext, MethodInfo
from merging_core.methods.info import Source
from merging_core.methods.sums import weighted_sum

__all__ = ["DARE_LINEAR", "TASK_ARITHMETIC", "task_arithmetic"]


def task_arithmetic(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return Σ wₜτ̂ₜ; a positive weight adds what an expert learned, a negative one takes it away.

    Shapes: vectors [T, n] float32 (task vectors after the mask), weights [T] float32, any sign → [n].

    Source: Ilharco et al. (2023), arXiv 2212.04089, section 2. Their λ is the recipe's λ.

    >>> task_arithmetic(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1.0, -1.0]), CombineContext()).tolist()
    [-2.0, -2.0]
    """
    return weighted_sum(vectors, weights)


TASK_ARITHMETIC = MethodInfo(
    name="task_arithmetic",
    title="Task arithmetic",
    formula="θ = θ₀ + λ·Σ wₜτₜ",
    summary="Adds up what the experts learned; a negative weight makes the model forget a task.",
    source=Source(
        "Ilharco et al.", 2023, "Editing Models with Task Arithmetic", "https://arxiv.org/abs/2212.04089", "section 2"
    ),
    domain="task_vector",
    group="task vectors",
    default_lambda=0.3,
    combine=task_arithmetic,
)

DARE_LINEAR = MethodInfo(
    name="dare_linear",
    title="DARE linear",
    formula="θ = θ₀ + λ·Σ wₜτ̂ₜ, with τ̂ₜ = τₜ/density kept at random, else 0",
    summary="Drops most of each expert's changes at random, scales up the rest and adds them.",
    source=Source(
        "Yu et al.",
        2024,
        "Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch",
        "https://arxiv.org/abs/2311.03099",
        "drop and rescale, then task arithmetic",
        "density 0.5 by default (drop rates of 0.9 suit large language models); the coins come from an integer hash",
    ),
    domain="task_vector",
    group="sparsifying",
    default_lambda=0.3,
    combine=task_arithmetic,
    owned_mask="dare",
    stochastic=True,
    parameters=dare_parameters(),
    searched=(("density", (0.25, 0.5, 0.75, 0.9)),),
)
