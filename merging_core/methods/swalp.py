"""SWALP: the average of checkpoints along one run, with numbers of few bits that share an exponent in each leaf."""

from __future__ import annotations

import hashlib
import math

import torch

from merging_core.masks.coins import coin_hash, coin_key
from merging_core.methods.contract import CombineContext, Cost, MethodInfo, WholeLeaf
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.trajectories import SWA, window

__all__ = ["SWALP", "block_rounded", "coins_of", "low_precision_average"]


def block_rounded(values: torch.Tensor, bits: int, *, at_random: bool = False) -> torch.Tensor:
    """Round to whole multiples of δ = 2^(e − bits + 2), at most 2^(bits − 1) − 1 of them, e = ⌊log₂ max |x|⌋.

    This is block floating point with one exponent for all values. To the nearest, ties go to even; at random, a number
    goes away from zero with the probability of what it has beyond the multiple before it, by `coins_of` the magnitudes.

    Shapes: values [*shape] float64 → [*shape].

    >>> block_rounded(torch.tensor([1.0, 0.3, -0.2], dtype=torch.float64), 3).tolist()
    [1.0, 0.5, -0.0]
    """
    largest = float(values.abs().max())
    if largest == 0.0:
        return values
    unit = math.ldexp(1.0, math.frexp(largest)[1] - 1 - bits + 2)
    most = float(2 ** (bits - 1) - 1)
    units = values / unit
    whole = (units.abs() + coins_of(units.abs())).floor() * units.sgn() if at_random else units.round()
    return whole.clamp(-most, most) * unit


def coins_of(values: torch.Tensor) -> torch.Tensor:
    """Return a number in [0, 1) for each value, from an integer hash of all of them and its place.

    Nothing else decides, so the same checkpoint is always rounded alike, on every device.

    Shapes: values [*shape] float64 → [*shape] float64.

    >>> coins_of(torch.tensor([1.0, 2.0], dtype=torch.float64)).round(decimals=3).tolist()
    [0.612, 0.733]
    """
    digest = hashlib.sha256(values.cpu().contiguous().numpy().tobytes()).hexdigest()
    words = coin_hash(coin_key(0, digest, "swalp"), 0, values.numel(), values.device)
    return (words.to(torch.float64) / 2.0**32).view(values.shape)


def low_precision_average(leaves: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return the mean of the checkpoints that `window` chooses, rounded as `rounded` says.

    `each`: every checkpoint is rounded and the average is not; `average`: the other way round; `both`. `rounding` says
    whether to the `nearest` or at `random`.

    Shapes: leaves [T, *shape] float32 (weights θ), the earliest first → [*shape]; in float64, rounded once at the end.

    Source: Yang et al. (2019), arXiv 1904.11943, algorithm 1 and the low-precision average of section 5.

    >>> context = CombineContext(Parameters(start=0, every=1, bits=3, rounded="average"))
    >>> low_precision_average(torch.tensor([[1.0, 0.0], [1.0, 0.6]]), torch.ones(2), context).tolist()
    [1.0, 0.5]
    """
    params = context.params
    bits, rounded, at_random = int(params.number("bits")), params["rounded"], params.get("rounding") == "random"
    total = torch.zeros(leaves.shape[1:], dtype=torch.float64, device=leaves.device)
    shares = window(len(leaves), params)
    for share, leaf in zip(shares, leaves, strict=True):
        if share:
            wide = leaf.to(torch.float64)
            total = total + (wide if rounded == "average" else block_rounded(wide, bits, at_random=at_random))
    mean = total / sum(shares)
    return (mean if rounded == "each" else block_rounded(mean, bits, at_random=at_random)).to(torch.float32)


def _takes(name: str, shape: tuple[int, ...], params: Parameters) -> bool:
    return True


def _cost(shape: tuple[int, ...], count: int, params: Parameters) -> Cost:
    size = math.prod(shape)
    return Cost(8.0 * size * count, (count + 3) * size)


SWALP = MethodInfo(
    name="swalp",
    title="SWALP",
    formula="θ = Q(mean of θₜ over t = start, start + c, …), Q: so many bits with one exponent for each leaf",
    summary="The average of checkpoints along one training run, with numbers of few bits.",
    source=Source(
        "Yang et al.",
        2019,
        "SWALP: Stochastic Weight Averaging in Low-Precision Training",
        "https://arxiv.org/abs/1904.11943",
        "algorithm 1 and section 5",
        "numbers go to the nearest, or at random as in training, with coins from an integer hash of the leaf's own "
        "numbers; one exponent for each leaf; `each` is the paper's first form, an exact average of low-precision "
        "checkpoints",
    ),
    domain="weight",
    group="averages",
    default_lambda=1.0,
    combine=SWA.combine,
    whole_leaf=WholeLeaf(_takes, low_precision_average, _cost),
    needs_base=False,
    symmetric=False,
    weights="none",
    weights_problem=SWA.weights_problem,
    parameters=(
        *SWA.parameters,
        ParameterInfo(
            name="bits",
            title="Bits",
            kind="integer",
            default=8,
            help="How many bits a number has, its sign included.",
            minimum=2,
            maximum=24,
            step=1,
            slider=(2, 16),
        ),
        ParameterInfo(
            name="rounded",
            title="Rounded",
            kind="choice",
            default="average",
            help="Whether the average is rounded to few bits, each checkpoint before it is averaged, or both.",
            choices=("average", "each", "both"),
        ),
        ParameterInfo(
            name="rounding",
            title="Rounding",
            kind="choice",
            default="nearest",
            help="Whether a number goes to the nearest multiple, or to one beside it at random so that its mean stays.",
            choices=("nearest", "random"),
            later=True,
        ),
    ),
)
