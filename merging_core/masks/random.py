"""The random mask: a seeded coin keeps or drops each element, and nothing is scaled up. DARE is this, divided."""

from __future__ import annotations

import torch

from merging_core.masks.coins import coin_limit, coins
from merging_core.masks.info import MaskContext, MaskInfo, density_parameter
from merging_core.masks.keeping import kept
from merging_core.methods.info import Source
from merging_core.native import loops

__all__ = ["RANDOM", "keep_at_random", "survivors"]


def keep_at_random(vector: torch.Tensor, context: MaskContext) -> torch.Tensor:
    """Keep each τᵢ with probability `density` as it is, and put zero elsewhere.

    Survivors are not scaled up, so the expected value shrinks: E[τ̂ᵢ] = density·τᵢ.

    Shapes: vector [n] float32 → [n]; `context.start` is the index of its first element within the leaf. At density 1
    the vector is returned as it is.

    Source: Yu et al. (2024), arXiv 2311.03099, their comparison “DropOnly”. The coins come from an integer hash.

    >>> from merging_core.methods.info import Parameters
    >>> keep_at_random(torch.ones(6), MaskContext(Parameters(density=0.5), key=7)).tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    """
    density = context.params.number("density")
    return vector if density == 1.0 else survivors(vector, context, density)


def survivors(vector: torch.Tensor, context: MaskContext, density: float, scale: float = 1.0) -> torch.Tensor:
    """Keep each τᵢ with probability `density` < 1, times `scale`, and put zero elsewhere.

    Shapes: vector [n] float32 → [n], of its own, or the vector itself where the context says that it may be written to.

    >>> survivors(torch.ones(6), MaskContext(key=7), 0.5, 2.0).tolist()
    [0.0, 0.0, 0.0, 2.0, 2.0, 2.0]
    """
    limit = coin_limit(density)
    out = vector if context.own else None
    if (quick := loops.drop(vector, context.key, context.start, limit, scale, out)) is not None:
        return quick
    left = kept(vector, coins(context.key, context.start, vector.numel(), density, vector.device))
    return left if scale == 1.0 else left.mul_(scale)


RANDOM = MaskInfo(
    name="random",
    title="Random",
    formula="τ̂ᵢ = τᵢ where hash₃₂(seed, content, leaf, i) is below density·2³², else 0",
    summary="A seeded coin drops changes of each expert and leaves the rest as it is, to see what chance alone does.",
    source=Source(
        "Yu et al.",
        2024,
        "Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch",
        "https://arxiv.org/abs/2311.03099",
        "drop without rescaling, their comparison",
        "the coins come from an integer hash and are those of DARE, so that both keep the same elements",
    ),
    parameters=(density_parameter(0.5, "The probability with which an element is kept."),),
    stochastic=True,
    apply=keep_at_random,
)
