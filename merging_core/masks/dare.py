"""The mask of DARE: drop at random, and scale up what stays."""

from __future__ import annotations

import torch

from merging_core.masks.info import MaskContext, MaskInfo, density_parameter
from merging_core.masks.random import survivors
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["DARE", "dare_parameters", "drop_and_rescale", "rescale_parameter"]

_NEVER = 2.0**-33


def drop_and_rescale(vector: torch.Tensor, context: MaskContext) -> torch.Tensor:
    """Keep each τᵢ with probability `density`, scale what stays and put zero elsewhere.

    `rescale`: `probability` multiplies by 1/density, which keeps the expected value of every element, E[τ̂ᵢ] = τᵢ;
    `norm` multiplies by `context.gain`, so that Σ|τ| of the leaf stays; `none` leaves survivors as they are.

    Shapes: vector [n] float32 → [n]; `context.start` is the index of its first element within the leaf.

    Source: Yu et al. (2024), arXiv 2311.03099, drop and rescale with drop rate p = 1 − density. The coins come from an
    integer hash instead of a generator.

    >>> from merging_core.methods.info import Parameters
    >>> drop_and_rescale(torch.ones(6), MaskContext(Parameters(density=0.5), key=7)).tolist()
    [0.0, 0.0, 0.0, 2.0, 2.0, 2.0]
    """
    density, rescale = context.params.number("density"), context.params.get("rescale", "probability")
    if density == 1.0:
        return vector
    scale = 1.0
    if rescale == "probability":
        # No coin lands on a density of 2⁻³³ or less; dividing zeros by it could only overflow.
        scale = 1.0 if density <= _NEVER else 1.0 / density
    elif rescale == "norm":
        scale = context.gain
    return survivors(vector, context, density, scale)


def rescale_parameter(*, later: bool = False) -> ParameterInfo:
    """Return the choice of what makes up for dropped changes, for masks that drop at random.

    >>> rescale_parameter().choices
    ('probability', 'norm', 'none')
    """
    return ParameterInfo(
        name="rescale",
        title="Scale survivors by",
        kind="choice",
        default="probability",
        help="What makes up for dropped changes: 1/p of each, as in the paper, the old Σ|τ| of a leaf, or nothing.",
        choices=("probability", "norm", "none"),
        later=later,
    )


def dare_parameters() -> tuple[ParameterInfo, ...]:
    """Return the knobs of the mask, for it and for the methods that own it.

    >>> [info.name for info in dare_parameters()]
    ['density', 'rescale']
    """
    help_text = "The probability with which an element is kept; 0.1 is usual for large language models."
    return density_parameter(0.5, help_text), rescale_parameter(later=True)


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
        "the coins come from an integer hash, so that they are the same on every device; mergekit's `rescale` is norm",
    ),
    parameters=dare_parameters(),
    stochastic=True,
    apply=drop_and_rescale,
    balanced=lambda params: params.get("rescale") == "norm",
)
