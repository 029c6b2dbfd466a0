"""The mask of DELLA: a seeded coin for each element, biased by its rank among the magnitudes of its row or leaf."""

from __future__ import annotations

import torch

from merging_core.masks.coins import coin_hash
from merging_core.masks.dare import rescale_parameter
from merging_core.masks.info import MaskContext, MaskInfo, density_parameter
from merging_core.masks.keeping import kept
from merging_core.methods.info import ParameterInfo, Parameters, Source

__all__ = ["DELLA", "della_parameters", "keep_by_standing", "probabilities"]

_WORDS = float(1 << 32)


def probabilities(standings: torch.Tensor, params: Parameters) -> torch.Tensor:
    """Return the probability with which each element is kept: density + s·(2·standing − 1), in [0, 1].

    s is ε/2 where ε is the width of the range, as in the paper, and ε where it is half the width, as in mergekit; it is
    no more than density and 1 − density allow, so the mean over a row is the density for every ε.

    Shapes: standings [n] float32 → [n] float32.

    >>> params = Parameters(density=0.5, epsilon=0.2, epsilon_is="width")
    >>> [round(value, 6) for value in probabilities(torch.tensor([0.125, 0.5, 0.875]), params).tolist()]
    [0.425, 0.5, 0.575]
    """
    density, epsilon = params.number("density"), params.number("epsilon")
    spread = epsilon if params["epsilon_is"] == "half" else epsilon / 2
    spread = min(spread, density, 1.0 - density)
    return standings.mul(2.0 * spread).add_(density - spread).clamp_(0.0, 1.0)


def keep_by_standing(vector: torch.Tensor, context: MaskContext) -> torch.Tensor:
    """Keep each τᵢ with its own probability pᵢ and put zero elsewhere; what stays is divided by pᵢ, or by one number.

    `rescale`: `probability` divides by pᵢ, so that E[τ̂ᵢ] = τᵢ; `norm` multiplies by `context.gain`, so that Σ|τ| of
    the leaf stays; `none` leaves survivors as they are.

    Shapes: vector [n] float32 → [n]; `context.standings` [n]; `context.start` is the index of its first element within
    the leaf. At density 1 the vector is returned as it is.

    Raises ValueError if the standings are missing.

    Source: Deep et al. (2024), arXiv 2406.11617, MAGPRUNE. The coins come from an integer hash.

    >>> params = Parameters(density=0.5, epsilon=1.0, epsilon_is="width", rescale="none")
    >>> context = MaskContext(params, standings=torch.tensor([0.1, 0.9, 0.9, 0.1, 0.9, 0.9]), key=7)
    >>> keep_by_standing(torch.ones(6), context).tolist()
    [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
    """
    params = context.params
    if params["density"] == 1.0:
        return vector
    if context.standings is None:
        raise ValueError("the mask of DELLA needs the standing of each element first")
    chance = probabilities(context.standings, params)
    words = coin_hash(context.key, context.start, vector.numel(), vector.device)
    # A product with a power of two is exact, and a coin that lands has a probability above 0 to divide by.
    survivors = kept(vector, words < (chance * _WORDS).to(torch.int64))
    if params["rescale"] == "probability":
        return kept(survivors / chance, survivors != 0.0)
    return survivors.mul_(context.gain) if params["rescale"] == "norm" else survivors


def della_parameters() -> tuple[ParameterInfo, ...]:
    """Return the knobs of the mask, for it and for the methods that own it.

    >>> [info.name for info in della_parameters()]
    ['density', 'epsilon', 'epsilon_is', 'rescale', 'scope']
    """
    return (
        density_parameter(0.5, "The mean probability with which an element is kept."),
        ParameterInfo(
            name="epsilon",
            title="Spread",
            kind="number",
            default=0.14,
            help="How much more likely the largest change of a row is kept than the smallest; 0 is DARE.",
            minimum=0.0,
            maximum=1.0,
            unit="probability",
            per_model=True,
            per_leaf=True,
        ),
        ParameterInfo(
            name="epsilon_is",
            title="Spread means",
            kind="choice",
            default="width",
            help="Whether ε is the whole range of probabilities, as in the paper, or half of it, as in mergekit.",
            choices=("width", "half"),
        ),
        rescale_parameter(),
        ParameterInfo(
            name="scope",
            title="Ranked within",
            kind="choice",
            default="row",
            help="Whether changes are ranked within each row of a leaf, as in the paper, or within the whole leaf.",
            choices=("row", "leaf"),
        ),
    )


DELLA = MaskInfo(
    name="della",
    title="Random by magnitude (DELLA)",
    formula="τ̂ᵢ = τᵢ/pᵢ with probability pᵢ, else 0; pᵢ = density + ε·(standingᵢ − ½), standing by |τ| within the row",
    summary="A seeded coin drops changes of each expert, small ones more often than large ones; the rest is scaled up.",
    source=Source(
        "Deep, Bhardwaj and Poria",
        2024,
        "DELLA-Merging: Reducing Interference in Model Merging through Magnitude-Based Sampling",
        "https://arxiv.org/abs/2406.11617",
        "MAGPRUNE",
        "standing is (rank + ½)/n and equal magnitudes share it, so that the mean probability is the density, for one "
        "element too; an ε too wide for the density is narrowed; a row is one index of the first dimension; ε is 0.14 "
        "by default, the window size of the authors' example; mergekit's ε is half, 0.15 by default, and its `rescale` "
        "is norm",
    ),
    parameters=della_parameters(),
    stochastic=True,
    apply=keep_by_standing,
    by_standing=True,
    balanced=lambda params: params["rescale"] == "norm",
)
