"""Fisher merging: each number of the merge is an average in which an expert counts by how much it depends on it."""

from __future__ import annotations

import torch

from merging_core.methods.contract import CombineContext, MethodInfo
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.linear import linear, weights_cancel

__all__ = ["FISHER", "FLOOR", "fisher_average", "voices", "weights_vanish"]

FLOOR = 1e-6
"""The least Fisher information, as in the authors' code."""


def voices(weights: tuple[float, ...], sizes: tuple[float, ...], floor: float) -> tuple[float, ...]:
    """Return by what each expert's Fisher information is multiplied: wₜ, divided by its length where lengths are given.

    Only ratios matter, so the largest of 1/length is 1.

    >>> voices((1.0, 1.0), (2.0, 8.0), 1e-6), voices((1.0, 3.0), (), 1e-6)
    ((1.0, 0.25), (1.0, 3.0))
    """
    if not sizes:
        return weights
    lengths = [max(size, floor) or 1.0 for size in sizes]
    return tuple(weight * (min(lengths) / length) for weight, length in zip(weights, lengths, strict=True))


def fisher_average(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return Σ cₜFₜθₜ / Σ cₜFₜ with Fₜ of at least `floor`, and Σ wₜθₜ / Σ wₜ where nothing was measured.

    cₜ is wₜ, or wₜ/‖Fₜ‖₂ with `same_size`. Where all Fₜ are 0 and so is the floor, it is the average too.

    Shapes: vectors [T, n] float32 (weights θₜ), weights [T] float32, 0 or more → [n].

    Source: Matena and Raffel (2022), arXiv 2111.09832, equation 4.

    >>> from merging_core.methods.measured import Measured
    >>> measured = Measured((torch.tensor([3.0, 1.0]), torch.tensor([1.0, float("nan")])))
    >>> context = CombineContext(Parameters(floor=0.0, same_size=False), measured=measured)
    >>> fisher_average(torch.tensor([[1.0, 1.0], [5.0, 5.0]]), torch.ones(2), context).tolist()
    [2.0, 3.0]
    """
    average = linear(vectors, weights, CombineContext())
    measured = context.measured
    if measured is None:
        return average
    floor = context.params.number("floor") if "floor" in context.params else FLOOR
    sizes = measured.sizes if context.params.get("same_size", True) else ()
    shares = torch.tensor(voices(tuple(weights.tolist()), sizes, floor), dtype=torch.float64).to(torch.float32).tolist()
    total = whole = None
    for vector, information, share in zip(vectors, measured.values, shares, strict=True):
        if share == 0.0:
            continue
        voice = information.clamp(min=floor) * share
        total = vector * voice if total is None else total + vector * voice
        whole = voice if whole is None else whole + voice
    if total is None or whole is None:
        return average
    return torch.where(whole > 0.0, total / whole, average)


def weights_vanish(weights: tuple[float, ...], params: Parameters) -> tuple[str, str] | None:
    """Say what must hold where no expert has a weight, and what to do; nothing where one has.

    >>> weights_vanish((0.0, 1.0), Parameters()) is None
    True
    """
    if weights_cancel(weights):
        return "the weights of an average do not add up to zero", "give a model a weight"
    return None


FISHER = MethodInfo(
    name="fisher",
    title="Fisher merging",
    formula="θ = Σ wₜFₜθₜ / Σ wₜFₜ, element by element; Fₜ is the diagonal of the Fisher information of expert t",
    summary="An average in which each number comes mostly from the experts whose answers depend on it.",
    source=Source(
        "Matena and Raffel",
        2022,
        "Merging Models with Fisher-Weighted Averaging",
        "https://arxiv.org/abs/2111.09832",
        "equation 4",
        "Fₜ is measured once and named by the recipe (`models[i].statistics`); every expert's Fₜ has the floor, which "
        "the authors' code keeps for the first model only; that of MergeLM and FusionBench adds it instead; leaves of "
        "which nothing was measured are averaged",
    ),
    domain="weight",
    group="averages",
    default_lambda=1.0,
    combine=fisher_average,
    needs_base=False,
    measures="fisher",
    weights="not negative",
    weights_problem=weights_vanish,
    parameters=(
        ParameterInfo(
            "floor",
            "Floor",
            "number",
            FLOOR,
            "The least Fisher information that a number counts with, so that what no answer depends on is averaged.",
            0.0,
            1e6,
            step=1e-7,
            slider=(0.0, 1e-3),
        ),
        ParameterInfo(
            "same_size",
            "All of one size",
            "switch",
            True,
            "Whether each expert's Fisher information is divided by its length, so that none counts more for being "
            "surer or less sure of its answers.",
        ),
    ),
)
