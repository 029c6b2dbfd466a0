"""Averages over a trajectory of checkpoints: rows over the weighted average, whose weights follow from the order.

The models of the recipe are checkpoints of one training run, the earliest first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from merging_core.methods.contract import CombineContext, MethodInfo
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.linear import linear

__all__ = ["EMA", "HWA", "LAWA", "SWA", "SWAD", "decaying", "last_models", "window"]

Shares = Callable[[int, Parameters], Sequence[float]]
"""How much each of so many checkpoints counts, before division by the sum."""


def window(count: int, params: Parameters) -> tuple[float, ...]:
    """Count 1 for every c-th checkpoint from `start` on, up to `end` before the last, and 0 for the others.

    `every` (c) and `end` may be absent: every checkpoint, to the last.

    >>> window(6, Parameters(start=1, every=2)), window(5, Parameters(start=1, end=2))
    ((0.0, 1.0, 0.0, 1.0, 0.0, 1.0), (0.0, 1.0, 1.0, 0.0, 0.0))
    """
    start, every, stop = int(params.number("start")), int(_or(params, "every", 1)), count - int(_or(params, "end", 0))
    return tuple(float(start <= at < stop and (at - start) % every == 0) for at in range(count))


def last_models(count: int, params: Parameters) -> tuple[float, ...]:
    """Count 1 for the last `last` checkpoints, times `parallel` where several runs are interleaved, and 0 for others.

    >>> last_models(4, Parameters(last=2)), last_models(4, Parameters(last=1, parallel=3))
    ((0.0, 0.0, 1.0, 1.0), (0.0, 1.0, 1.0, 1.0))
    """
    kept = int(params.number("last")) * int(_or(params, "parallel", 1))
    return tuple(float(at >= count - kept) for at in range(count))


def decaying(count: int, params: Parameters) -> tuple[float, ...]:
    """Return what an exponential moving average makes of each checkpoint, d being the decay.

    It starts at the first checkpoint, d^(T−1) for it and (1 − d)·d^(T−1−t) for later ones, or, with `start_at` `zero`,
    at zero and is corrected for that: d^(T−1−t) for all.

    >>> decaying(3, Parameters(decay=0.5, start_at="first")), decaying(3, Parameters(decay=0.5, start_at="zero"))
    ((0.25, 0.25, 0.5), (0.25, 0.5, 1.0))
    """
    decay = params.number("decay")
    powers = tuple(decay ** (count - 1 - at) for at in range(count))
    if params["start_at"] == "zero":
        return powers
    return powers[:1] + tuple((1.0 - decay) * power for power in powers[1:])


def _or(params: Parameters, name: str, default: int) -> float:
    return params.number(name) if name in params else default


def _averaged(shares: Shares) -> Callable[[torch.Tensor, torch.Tensor, CombineContext], torch.Tensor]:
    def combine(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
        counts = torch.tensor(shares(len(vectors), context.params), dtype=torch.float64)
        return linear(vectors, (counts / counts.sum()).to(vectors), CombineContext())

    return combine


def _empty(weights: tuple[float, ...], params: Parameters) -> tuple[str, str] | None:
    if not any(window(len(weights), params)):
        return f"some of {len(weights)} checkpoints is averaged", "lower start or end"
    return None


def _uneven(weights: tuple[float, ...], params: Parameters) -> tuple[str, str] | None:
    parallel = int(params.number("parallel"))
    if len(weights) % parallel:
        return f"each step of the trajectory has {parallel} models, one of each run", "change parallel, or the models"
    return None


def _count(name: str, title: str, default: int, help_text: str, minimum: int = 0) -> ParameterInfo:
    slider = (minimum, max(8, default))
    return ParameterInfo(name, title, "integer", default, help_text, minimum, 4096, step=1, slider=slider)


def _row(  # noqa: PLR0913
    name: str,
    title: str,
    formula: str,
    summary: str,
    source: Source,
    *,
    shares: Shares,
    parameters: tuple[ParameterInfo, ...],
    problem: Callable[[tuple[float, ...], Parameters], tuple[str, str] | None] | None = None,
) -> MethodInfo:
    return MethodInfo(
        name=name,
        title=title,
        formula=formula,
        summary=summary,
        source=source,
        parameters=parameters,
        domain="weight",
        group="averages",
        default_lambda=1.0,
        combine=_averaged(shares),
        needs_base=False,
        symmetric=False,
        weights="none",
        weights_problem=problem,
    )


_START = _count("start", "Left out at the start", 0, "How many of the first checkpoints are left out.")

SWA = _row(
    "swa",
    "SWA",
    "θ = mean of θₜ over t = start, start + c, start + 2c, …",
    "The average of checkpoints along one training run, after its first part.",
    Source(
        "Izmailov et al.",
        2018,
        "Averaging Weights Leads to Wider Optima and Better Generalization",
        "https://arxiv.org/abs/1803.05407",
        "algorithm 1",
        "cycles are counted in checkpoints; statistics of batch normalisation are averaged too, not measured again",
    ),
    shares=window,
    problem=_empty,
    parameters=(_START, _count("every", "Every", 1, "Which checkpoints count: every c-th from the start on.", 1)),
)

SWAD = _row(
    "swad",
    "SWAD's window",
    "θ = mean of θₜ from t = start to T − 1 − end, counted from 0",
    "The average of all checkpoints in a window of one training run, such as that of the lowest validation loss.",
    Source(
        "Cha et al.",
        2021,
        "SWAD: Domain Generalization by Seeking Flat Minima",
        "https://arxiv.org/abs/2102.08604",
        "algorithm 1",
        "the window is given, since losses are not part of checkpoints; the paper finds it where the validation loss "
        "stops falling and rises again",
    ),
    shares=window,
    problem=_empty,
    parameters=(_START, _count("end", "Left out at the end", 0, "How many of the last checkpoints are left out.")),
)

LAWA = _row(
    "lawa",
    "LAWA",
    "θ = Σ θₜ/k over the last k checkpoints",
    "The average of the last few checkpoints of one training run.",
    Source(
        "Kaddour",
        2022,
        "Stop Wasting My Time! Saving Days of ImageNet and BERT Training with Latest Weight Averaging",
        "https://arxiv.org/abs/2209.14981",
        "section 2",
        "with fewer than k checkpoints all are averaged",
    ),
    shares=last_models,
    parameters=(_count("last", "Last", 6, "How many of the last checkpoints are averaged (k in the paper).", 1),),
)

HWA = _row(
    "hwa",
    "Hierarchical averaging (HWA)",
    "θ = mean over the last I steps of the mean over K runs: of the last K·I of θₜ",
    "Averages parallel training runs at each step, then the averages of the last steps.",
    Source(
        "Gu et al.",
        2023,
        "Hierarchical Weight Averaging for Deep Neural Networks",
        "https://arxiv.org/abs/2304.11519",
        "online and offline averaging",
        "the models are listed step by step, the K runs of a step side by side; K is 1 unless given; that training "
        "goes on from each average, as in the paper, is up to the training",
    ),
    shares=last_models,
    problem=_uneven,
    parameters=(
        _count("parallel", "Parallel runs", 1, "How many runs were trained side by side (K in the paper).", 1),
        _count("last", "Last steps", 20, "How many of the last steps are averaged (I in the paper).", 1),
    ),
)

EMA = _row(
    "ema",
    "Exponential moving average",
    "θ̄ₜ = d·θ̄ₜ₋₁ + (1 − d)·θₜ, from the first checkpoint to the last",
    "An average along one training run that forgets early checkpoints little by little.",
    Source(
        "Tarvainen and Valpola",
        2017,
        "Mean teachers are better role models",
        "https://arxiv.org/abs/1703.01780",
        "equation 2",
        "over checkpoints, not steps, so that a smaller decay suits: 0.5 by default",
    ),
    shares=decaying,
    parameters=(
        ParameterInfo(
            "decay",
            "Decay",
            "number",
            0.5,
            "How much of the average is kept at each checkpoint; 0 is the last checkpoint alone.",
            0.0,
            1.0,
            per_leaf=True,
        ),
        ParameterInfo(
            "start_at",
            "Starts at",
            "choice",
            "first",
            "Whether the average starts at the first checkpoint, or at zero and is corrected for that.",
            choices=("first", "zero"),
        ),
    ),
)
