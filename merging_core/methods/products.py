"""What inner products say of a leaf: angles between models, and combinations whose coefficients follow from them.

A method whose result lies in the span of its models, with one coefficient for each model and leaf, is a function from
the inner products to those coefficients. The combination itself is a weighted sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from merging_core.methods.contract import CombineContext, LeafStatistic
from merging_core.methods.info import Parameters
from merging_core.methods.sums import weighted_sum
from merging_core.space.reductions import block_gram_partials

__all__ = ["Products", "coefficients_of_leaves", "cosine", "sum_by_leaf"]

Products = Sequence[Sequence[float]]
"""⟨vₛ, vₜ⟩ of every two models within a leaf: T × T, in float64."""


def cosine(products: Products, first: int, second: int) -> float | None:
    """Return the cosine of the angle between two models, in [−1, 1]; nothing if one of them is zero.

    >>> cosine([[4.0, 3.0], [3.0, 9.0]], 0, 1), cosine([[0.0, 0.0], [0.0, 9.0]], 0, 1)
    (0.5, None)
    """
    lengths = math.sqrt(products[first][first]) * math.sqrt(products[second][second])
    return max(-1.0, min(1.0, products[first][second] / lengths)) if lengths > 0.0 else None


def sum_by_leaf(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return Σ cₜvₜ with the coefficients of the leaf, which were found from its inner products.

    Shapes: vectors [T, n] float32, `context.statistics["coefficients"]` [T] float32 → [n]. The weights are inside the
    coefficients.

    >>> context = CombineContext(statistics={"coefficients": torch.tensor([0.5, 2.0])})
    >>> sum_by_leaf(torch.tensor([[1.0], [3.0]]), torch.ones(2), context).tolist()
    [6.5]
    """
    return weighted_sum(vectors, context.statistics["coefficients"])


def coefficients_of_leaves(
    of_leaf: Callable[[Products, Sequence[float], Parameters], tuple[float, ...]],
) -> LeafStatistic:
    """Return the statistic of a method that finds its coefficients from the inner products of a leaf.

    With the parameter `angle` at `model`, the products of all leaves are added, and every leaf has the same
    coefficients. `of_leaf(products T × T, weights T, params)` returns T coefficients, rounded once to float32.
    """

    def finish(sums: torch.Tensor, weights: torch.Tensor, params: Parameters) -> torch.Tensor:
        found = [of_leaf(products, weights.tolist(), params) for products in sums.tolist()]
        return torch.tensor(found, dtype=torch.float64).to(torch.float32)

    return LeafStatistic("coefficients", block_gram_partials, finish, _over_the_model)


def _over_the_model(params: Parameters) -> bool:
    return params.get("angle") == "model"
