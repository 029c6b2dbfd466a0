"""The weighted average of weights."""

from __future__ import annotations

import math

import torch

from merging_core.methods.contract import CombineContext, MethodInfo
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.sums import weighted_sum

__all__ = ["LINEAR", "linear", "weights_cancel"]


def linear(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return the weighted average of the models' weights, Σ wₜθₜ / Σ wₜ, or the plain sum Σ wₜθₜ without `normalize`.

    Shapes: vectors [T, n] float32 (weights θₜ, not task vectors), weights [T] float32, any sign → [n]. Weights that
    cancel are refused by the recipe (`weights_cancel`) before anything is computed.

    Source: Wortsman et al. (2022), arXiv 2203.05482, uniform soup. Rounded once in float32; Σ wₜ is added in model
    order.

    >>> linear(torch.tensor([[1.0, 2.0], [4.0, 8.0]]), torch.tensor([2.0, 1.0]), CombineContext()).tolist()
    [2.0, 4.0]
    """
    total = weighted_sum(vectors, weights)
    if not context.params.get("normalize", True):
        return total
    whole = weights[0]
    for index in range(1, weights.shape[0]):
        whole = whole + weights[index]
    return total / whole


def weights_cancel(weights: tuple[float, ...]) -> bool:
    """Say whether |Σ wₜ| ≤ 10⁻⁸·Σ|wₜ|, exactly or as float32 adds them up: then there is no average.

    >>> weights_cancel((1.0, -1.0)), weights_cancel((1.0, -0.5)), weights_cancel((0.0,))
    (True, False, True)
    """
    limit = 1e-8 * math.fsum(abs(weight) for weight in weights)
    rounded = torch.tensor(weights, dtype=torch.float32)
    whole = torch.zeros((), dtype=torch.float32)
    for weight in rounded:
        whole = whole + weight
    return abs(math.fsum(weights)) <= limit or abs(float(whole)) <= limit


def _weights_problem(weights: tuple[float, ...], params: Parameters) -> tuple[str, str] | None:
    if params.get("normalize", True) and weights_cancel(weights):
        return "the weights of an average do not add up to zero", "change a weight, or set normalize to false"
    return None


LINEAR = MethodInfo(
    name="linear",
    title="Weighted average",
    formula="θ = Σ wₜθₜ / Σ wₜ",
    summary="The average of the models' weights: the simplest merge, and often surprisingly good.",
    source=Source(
        "Wortsman et al.",
        2022,
        "Model soups: averaging weights of multiple fine-tuned models "
        "improves accuracy without increasing inference time",
        "https://arxiv.org/abs/2203.05482",
        "uniform soup",
    ),
    domain="weight",
    group="averages",
    default_lambda=1.0,
    combine=linear,
    needs_base=False,
    parameters=(
        ParameterInfo(
            "normalize",
            "Divide by the sum of weights",
            "switch",
            True,
            "Whether the weights count relative to their sum, so that the result is an average.",
        ),
    ),
    weights_problem=_weights_problem,
)
