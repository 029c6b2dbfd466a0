"""The empirical neural tangent kernel of a few examples, without a Jacobian: a gradient forth, a derivative back.

K holds ⟨∇f_a(x), ∇f_b(x′)⟩ for examples x, x′ and outputs a, b. The column of (x′, b) is J·(Jᵀe): the gradient of one
output is found backward, and the derivative of all outputs along it forward, so that two copies of the weights are all
that is held, however many examples there are.

Source: Jacot et al. 2018, arXiv:1806.07572; the distance is that of Fort et al. 2020, arXiv:2010.15110, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit

from merging_core.evaluation.intervals import Estimate
from merging_core.evaluation.tangent import along

__all__ = ["Kernel", "kernel_distance", "kernel_rows"]

Weights = Mapping[str, torch.Tensor]
Outputs = Callable[[Weights, torch.Tensor], torch.Tensor]
Kernel = NDArray[numpy.float64]
"""`[n, k, n, k]`: examples and outputs, twice."""


def kernel_rows(outputs: Outputs, weights: Weights, still: Weights, rows: torch.Tensor, example: int) -> torch.Tensor:
    """Return what one example has in common with all: `[k, n, k]` for k outputs `[n, k]` of n rows.

    `weights`: those that the kernel is of; `still`: what the function needs besides.

    >>> product = lambda weights, rows: rows @ weights["w"]
    >>> kernel_rows(product, {"w": torch.zeros(2, 1)}, {}, torch.tensor([[1.0, 2.0], [3.0, 0.0]]), 0).tolist()
    [[[5.0], [3.0]]]
    """
    with torch.inference_mode(False), torch.enable_grad():
        held = {name: leaf.detach().clone().requires_grad_() for name, leaf in weights.items()}
        fixed = {name: leaf.detach().clone() for name, leaf in still.items()}
        inputs = rows.detach().clone()
        (own,) = outputs({**fixed, **held}, inputs[example : example + 1])
        gradients: list[Sequence[torch.Tensor | None]] = [
            torch.autograd.grad(output, list(held.values()), retain_graph=True, allow_unused=True) for output in own
        ]
    found = []
    for gradient in gradients:
        vector = {name: step for name, step in zip(held, gradient, strict=True) if step is not None}
        found.append(along(outputs, {**fixed, **held}, vector, inputs)[1])
    return torch.stack(found)


def kernel_distance(first: Kernel, second: Kernel) -> Estimate | None:
    """Return 1 − ⟨K, K′⟩ / (‖K‖·‖K′‖), with a 95 % interval by the jackknife over examples.

    It is 0 where one kernel is a multiple of the other, so their traces do not matter; None where one is zero or fewer
    than three examples are there. The interval is that of Student's distribution with n − 1 degrees of freedom.

    >>> kernel = numpy.eye(3).reshape(3, 1, 3, 1)
    >>> kernel_distance(kernel, 2 * kernel).value
    0.0
    """
    n = len(first)
    whole = _distance(first, second)
    if n < 3 or whole is None:
        return None
    kept = [numpy.delete(numpy.arange(n), i) for i in range(n)]
    left = [_distance(first[rows][:, :, rows], second[rows][:, :, rows]) for rows in kept]
    known = numpy.array([distance for distance in left if distance is not None])
    if len(known) < n:
        return None
    spread = math.sqrt((n - 1) / n * float(((known - known.mean()) ** 2).sum()))
    half = float(stdtrit(n - 1, 0.975)) * spread
    return Estimate(whole, (max(0.0, whole - half), min(2.0, whole + half)))


def _distance(first: Kernel, second: Kernel) -> float | None:
    norms = math.sqrt(float((first**2).sum())) * math.sqrt(float((second**2).sum()))
    if not norms or not math.isfinite(norms):
        return None
    return max(0.0, 1.0 - float((first * second).sum()) / norms)
