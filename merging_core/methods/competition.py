"""Parameter competition balancing: of each expert, what wins against its own changes and agrees with the others'."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from merging_core.masks.info import density_parameter
from merging_core.masks.magnitude import kept_count
from merging_core.methods.contract import CombineContext, MethodInfo, RankStatistic
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.matrices import wide
from merging_core.methods.sums import weighted_sum

__all__ = ["PCB", "balance", "balanced", "bounds"]


def bounds(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return |wₜτ̂ₜ|, whose smallest and largest values are cut off: [T, n] → [T, n]."""
    return (vectors * weights[:, None]).abs_()


def balance(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return how each change stands in the competition: βₜ = exp(T·(x² − 1))·tanh(vₜ·Σ v), at least 0.

    x is |vₜ|, cut off at the expert's bounds and brought to [0, 1] by them: how it stands among the expert's own
    changes. The second factor says how it stands with the sum of all experts. T counts experts with a weight.

    Shapes: vectors [T, n] float32, `context.statistics["bounds"]` [T, 2] float32 → [T, n] float32; vₜ = wₜτ̂ₜ.

    >>> context = CombineContext(statistics={"bounds": torch.tensor([[0.0, 2.0], [0.0, 2.0]])})
    >>> balance(torch.tensor([[2.0, 1.0], [1.0, -2.0]]), torch.ones(2), context)[0].round(decimals=3).tolist()
    [1.0, 0.0]
    """
    low, high = wide(context.statistics["bounds"]).unbind(dim=1)
    total = weighted_sum(vectors, weights)
    experts = int((weights != 0).sum())
    rows = []
    for index in range(vectors.shape[0]):
        voice = vectors[index] * weights[index]
        size = wide(voice.abs()).clamp_(low[index], high[index]).sub_(low[index])
        if high[index] > low[index]:
            size.div_(high[index] - low[index])
        own = size.square_().sub_(1.0).mul_(experts).exp_()
        rows.append(own.mul_(wide(voice * total).tanh_()).clamp_(min=0.0))
    return torch.stack(rows).to(vectors)


def balanced(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return Σ sₜvₜ / Σ sₜ with sₜ = (βₜ − qₜ)/(max βₜ − qₜ), at least 0; zero where every sₜ is.

    qₜ is the smallest of the density·n largest βₜ of the expert, over the whole model; vₜ is cut off at the expert's
    bounds. Where all that stay are equal, sₜ is 1 for them.

    Shapes: vectors [T, n] float32 (task vectors after the mask), weights [T] float32, any sign → [n].

    Source: Du et al. (2024), arXiv 2410.02396, in the form of the authors' code.

    >>> statistics = {"bounds": torch.tensor([[0.0, 2.0]]), "balance": torch.tensor([[0.5, 1.0]])}
    >>> balanced(torch.tensor([[2.0, 0.1, -3.0]]), torch.ones(1), CombineContext(statistics=statistics)).tolist()
    [2.0, 0.0, -2.0]
    """
    low, high = context.statistics["bounds"].unbind(dim=1)
    least, most = context.statistics["balance"].unbind(dim=1)
    scores = balance(vectors, weights, context)
    total, whole = torch.zeros_like(vectors[0]), torch.zeros_like(vectors[0])
    for index in range(vectors.shape[0]):
        voice = vectors[index] * weights[index]
        cut = voice.abs().clamp_(low[index], high[index]).mul_(voice.sgn())
        if most[index] > least[index]:
            share = (scores[index] - least[index]).clamp_(min=0.0).div_(most[index] - least[index])
        else:
            share = ((scores[index] >= most[index]) & (scores[index] > 0.0)).to(scores.dtype)
        total.add_(cut.mul_(share))
        whole.add_(share)
    return torch.where(whole > 0.0, total / whole, 0.0)


def _bounds_at(size: int, params: Parameters) -> tuple[int, int]:
    """Return the ranks of the smallest and of the largest magnitude that is not cut off."""
    cut = min((size - 1) // 2, math.floor(params.number("cut") * size + 1e-9))
    return size - cut, cut + 1


def _balance_at(size: int, params: Parameters) -> tuple[int, int]:
    return kept_count(size, params.number("density")), 1


PCB = MethodInfo(
    name="pcb",
    title="PCB",
    formula="θ = θ₀ + λ·Σ sₜvₜ/Σ sₜ; vₜ = wₜτₜ, sₜ: how far exp(T·x²)·tanh(vₜ·Σ v) is above its (1 − density)-quantile",
    summary="Each expert's large changes that the others agree with count; the rest is dropped.",
    source=Source(
        "Du et al.",
        2024,
        "Parameter Competition Balancing for Model Merging",
        "https://arxiv.org/abs/2410.02396",
        "intra- and inter-balancing, drop and rescale, as in the authors' code",
        "the paper's text has a softmax where the code, followed here, has exp and tanh; a score below 0 counts as 0; "
        "weights scale the task vectors first, where the paper searches them; a fraction cut off of less than one "
        "element cuts none; λ is 1 by default, and 1.2 in the authors' scripts",
    ),
    domain="task_vector",
    group="sparsifying",
    default_lambda=1.0,
    combine=balanced,
    rank_statistics=(RankStatistic("bounds", bounds, _bounds_at), RankStatistic("balance", balance, _balance_at)),
    parameters=(
        replace(
            density_parameter(0.1, "The fraction of each expert's elements that counts: those with the best score."),
            per_model=False,
            per_leaf=False,
        ),
        ParameterInfo(
            name="cut",
            title="Cut off",
            kind="number",
            default=0.0001,
            help="The fraction of each expert's largest and of its smallest changes that is brought to the next one.",
            minimum=0.0,
            maximum=0.5,
            step=0.0001,
            slider=(0.0, 0.01),
            unit="fraction",
        ),
    ),
    searched=(("density", (0.05, 0.1, 0.2, 0.4)),),
)
