"""The mask of DARE: drop at random, and divide what stays by the density."""

from __future__ import annotations

import torch

from merging_core.masks.info import MaskContext, MaskInfo, density_parameter
from merging_core.masks.random import keep_at_random
from merging_core.methods.info import Source

__all__ = ["DARE", "drop_and_rescale"]

_NEVER = 2.0**-33


def drop_and_rescale(vector: torch.Tensor, context: MaskContext) -> torch.Tensor:
    """Keep each τᵢ with probability `density`, multiply what stays by 1/density and put zero elsewhere.

    The factor keeps the expected value of every element: E[τ̂ᵢ] = τᵢ.

    Shapes: vector [n] float32 → [n]; `context.start` is the index of its first element within the leaf.

    Source: Yu et al. (2024), arXiv 2311.03099, drop and rescale with drop rate p = 1 − density. The coins come from an
    integer hash instead of a generator.

    >>> from merging_core.methods.info import Parameters
    >>> drop_and_rescale(torch.ones(6), MaskContext(Parameters(density=0.5), key=7)).tolist()
    [0.0, 0.0, 0.0, 2.0, 2.0, 2.0]
    """
    density = context.params.number("density")
    if density == 1.0:
        return vector
    kept = keep_at_random(vector, context)
    # No coin lands on a density of 2⁻³³ or less; dividing zeros by it could only overflow.
    return kept if density <= _NEVER else kept.mul_(1.0 / density)


DARE = MaskInfo(
    name="dare",
    title="Random (DARE)",
    formula="τ̂ᵢ = τᵢ/density where hash₃₂(seed, content, leaf, i) is below density·2³², else 0",
    summary="A seeded coin drops most changes of each expert and scales up the rest, so that experts rarely meet.",
    source=Source(
        "Yu et al.",
        2024,
        "Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch",
        "https://arxiv.org/abs/2311.03099",
        "drop and rescale",
        "the coins come from an integer hash, so that they are the same on every device",
    ),
    parameters=(
        density_parameter(
            0.5, "The probability with which an element is kept; 0.1 is usual for large language models."
        ),
    ),
    stochastic=True,
    apply=drop_and_rescale,
)
