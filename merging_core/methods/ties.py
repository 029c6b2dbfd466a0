"""Sign consensus: TIES, and with the random mask instead of the magnitude mask, DARE TIES."""

from __future__ import annotations

import torch

from merging_core.masks.dare import dare_parameters
from merging_core.masks.info import density_parameter
from merging_core.masks.magnitude import scope_parameter
from merging_core.methods.contract import CombineContext, MethodInfo, Statistic
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.sums import weighted_sum
from merging_core.native import loops

__all__ = [
    "CANCELLED",
    "COMBINE",
    "DARE_TIES",
    "MAJORITY",
    "TIES",
    "agreeing_parts",
    "majority_sign",
    "sign_balance",
    "sign_consensus",
]


def sign_balance(vectors: torch.Tensor, weights: torch.Tensor, params: Parameters) -> torch.Tensor:
    """Count, in a piece, by how much positive sums Σ wₜτ̂ₜ outnumber negative ones.

    With `params["cancelled"]` at `positive` nothing is counted: then an exact zero counts as + whatever the others are.

    Shapes: vectors [T, n], weights [T] → 0-dim int64; the counts of pieces add up exactly.

    >>> sign_balance(torch.tensor([[1.0, -2.0, 3.0, 0.0]]), torch.ones(1), Parameters()).item()
    1
    """
    if params.get("cancelled") == "positive":
        return torch.zeros((), dtype=torch.int64, device=vectors.device)
    votes = _votes(weights, params)
    if (surplus := loops.sign_surplus(vectors, votes)) is not None:
        return torch.tensor(surplus)
    signs = weighted_sum(vectors, votes).sgn_()
    # Sums of signs are integers: float32 holds them exactly up to 2²⁴ elements, and adds them several times faster.
    exact = torch.float32 if signs.numel() <= 1 << 24 else torch.float64
    return signs.sum(dtype=exact).to(torch.int64)


def majority_sign(balance: torch.Tensor) -> torch.Tensor:
    """Return the sign that most elements of the model have: −1 if negative ones are more, else +1.

    Shapes: 0-dim int64 → 0-dim float32. A tie of the whole model counts as +.

    >>> majority_sign(torch.tensor(-4)).item(), majority_sign(torch.tensor(0)).item()
    (-1.0, 1.0)
    """
    return torch.where(balance < 0, -1.0, 1.0).to(torch.float32)


def sign_consensus(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Let the models vote on the sign of each element, then merge only what agrees with the elected sign.

    elected sign γ = sign(Σ wₜτ̂ₜ), where an exact zero takes the sign of most elements of the whole model;
    A = {t: sign(wₜτ̂ₜ) = γ}; mean: Σ_A wₜτ̂ₜ / Σ_A |wₜ|, sum: Σ_A wₜτ̂ₜ; zero where A is empty.

    Shapes: vectors [T, n] float32 (task vectors after the mask), weights [T] float32, any sign → [n].
    `context.statistics["majority_sign"]` is 0-dim; without it, ties go to +. `context.params["combine"]`: `mean`
    (default) or `sum`. With `context.params["vote"]` at `equal`, the sign is that of Σ τ̂ₜ, and
    A = {t: sign(τ̂ₜ) = γ}: weights say only how much of what agreed is taken.

    Source: Yadav et al. (2023), arXiv 2306.01708, algorithm 1, elect and disjoint merge. The paper has no weights:
    here they vote, and the mean divides by the agreeing weights, so that a weight of 0 is the same as the model's
    absence.

    >>> vectors = torch.tensor([[3.0, -1.0, 0.0], [1.0, 2.0, 0.0]])
    >>> sign_consensus(vectors, torch.ones(2), CombineContext()).tolist()
    [2.0, 2.0, 0.0]
    """
    votes = _votes(weights, context.params)
    if votes is not weights:
        majority = context.statistics.get("majority_sign")
        agreeing = agreeing_parts(vectors, majority)
        merged = weighted_sum(agreeing, weights)
        if context.params.get("combine", "mean") == "mean":
            divisor = weighted_sum((agreeing != 0.0).to(weights.dtype), weights.abs())
            merged = merged / torch.where(divisor == 0.0, torch.ones_like(divisor), divisor)
        return merged.add_(0.0)
    mean = context.params.get("combine", "mean") == "mean"
    majority = context.statistics.get("majority_sign", torch.ones((), device=vectors.device))
    if (quick := loops.consensus(vectors, weights, majority, mean=mean)) is not None:
        return quick
    total = weighted_sum(vectors, weights)
    # Comparisons are written as numbers 0 and 1 into `flags`: booleans would have to be turned into numbers again.
    flags = torch.empty_like(total)
    torch.eq(total, 0.0, out=flags)
    elected = total.sgn_().add_(flags.mul_(majority))
    agreed = torch.zeros_like(total)
    divisor = torch.zeros_like(total)
    for index in range(vectors.shape[0]):
        # Turned by the elected sign, a voice that agrees is positive; turning changes no other bit.
        voice = (vectors[index] * weights[index]).mul_(elected).relu_()
        agreed.add_(voice)
        if mean:
            torch.gt(voice, 0.0, out=flags)
            divisor.add_(flags.mul_(weights[index].abs()))
    if mean:
        torch.eq(divisor, 0.0, out=flags)
        agreed.div_(divisor.add_(flags))
    return agreed.mul_(elected).add_(0.0)


def agreeing_parts(vectors: torch.Tensor, majority: torch.Tensor | None = None) -> torch.Tensor:
    """Return each vector where its sign is that of the sum of all, and zero elsewhere.

    Shapes: vectors [T, n] → [T, n]; `majority` 0-dim is the sign where the sum is an exact zero, + without it.

    >>> agreeing_parts(torch.tensor([[3.0, -1.0], [1.0, 2.0]])).tolist()
    [[3.0, 0.0], [1.0, 2.0]]
    """
    total = weighted_sum(vectors, torch.ones(vectors.shape[0], dtype=vectors.dtype, device=vectors.device))
    elected = torch.where(total == 0.0, total.new_ones(()) if majority is None else majority, total.sgn())
    return torch.where(vectors.sgn() == elected, vectors, torch.zeros_like(vectors))


def _votes(weights: torch.Tensor, params: Parameters) -> torch.Tensor:
    return torch.ones_like(weights) if params.get("vote") == "equal" else weights


def _asked(params: Parameters) -> bool:
    return params.get("cancelled") != "positive"


MAJORITY = Statistic("majority_sign", sign_balance, majority_sign, _asked)

COMBINE = ParameterInfo(
    "combine",
    "Combine by",
    "choice",
    "mean",
    "Whether the agreeing changes are averaged, as in the paper, or added.",
    choices=("mean", "sum"),
)

CANCELLED = ParameterInfo(
    "cancelled",
    "Where votes cancel",
    "choice",
    "majority",
    "Whether an exact tie takes the sign that most elements of the model have, as in the authors' code, or plus.",
    choices=("majority", "positive"),
    later=True,
)

VOTE = ParameterInfo(
    "vote",
    "Votes",
    "choice",
    "weighted",
    "Whether the weights vote on signs too, or every expert has one vote and weights only what agreed (AdaMerging++).",
    choices=("weighted", "equal"),
    later=True,
)

TIES = MethodInfo(
    name="ties",
    title="TIES",
    formula="θ = θ₀ + λ·mean of wₜτ̂ₜ over the t whose sign is sign(Σ wₜτ̂ₜ); τ̂ₜ keeps the largest |τₜ|",
    summary="Keeps each expert's largest changes, lets the experts vote on every sign, and averages those that agree.",
    source=Source(
        "Yadav et al.",
        2023,
        "TIES-Merging: Resolving Interference When Merging Models",
        "https://arxiv.org/abs/2306.01708",
        "algorithm 1",
        "weights vote and divide the mean, unless `vote` is equal; λ is 1.0 by default, as is usual with the mean "
        "(about 0.3 suits the sum)",
    ),
    domain="task_vector",
    group="sign consensus",
    default_lambda=1.0,
    combine=sign_consensus,
    statistics=(MAJORITY,),
    owned_mask="magnitude",
    parameters=(
        density_parameter(0.2, "The fraction of each task vector's elements that is kept: the largest ones."),
        scope_parameter("model"),
        COMBINE,
        VOTE,
        CANCELLED,
    ),
    searched=(("density", (0.1, 0.2, 0.35, 0.5)),),
)

DARE_TIES = MethodInfo(
    name="dare_ties",
    title="DARE TIES",
    formula="θ = θ₀ + λ·mean of wₜτ̂ₜ over the t whose sign is sign(Σ wₜτ̂ₜ); τ̂ₜ = τₜ/density kept at random",
    summary="Drops most of each expert's changes at random, then lets the experts vote on every sign.",
    source=Source(
        "Yu et al.",
        2024,
        "Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch",
        "https://arxiv.org/abs/2311.03099",
        "drop and rescale, then TIES",
        "density 0.5 by default (drop rates of 0.9 suit large language models); the coins come from an integer hash",
    ),
    domain="task_vector",
    group="sign consensus",
    default_lambda=0.5,
    combine=sign_consensus,
    statistics=(MAJORITY,),
    owned_mask="dare",
    stochastic=True,
    parameters=(*dare_parameters(), COMBINE, CANCELLED),
    searched=(("density", (0.25, 0.5, 0.75, 0.9)),),
)
