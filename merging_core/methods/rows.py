"""Rows and columns of a leaf as vectors of their own: methods that find coefficients from inner products, row by row.

A row is everything that shares the first index: the weights of one output of a linear layer, one filter of a
convolution. A column is everything that shares the other indices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from merging_core.methods.contract import CombineContext, Cost, WholeLeaf
from merging_core.methods.info import Parameters
from merging_core.methods.matrices import wide
from merging_core.methods.products import Products
from merging_core.methods.sums import weighted_sum

__all__ = ["rows_apart"]


def rows_apart(
    of_row: Callable[[Products, Sequence[float], Parameters], tuple[float, ...]], parameter: str, whole: str
) -> WholeLeaf:
    """Return how a method combines rows or columns each by its own coefficients.

    `of_row(products T × T, weights T, params)` returns T coefficients. The method's parameter of this name says what is
    taken apart: `whole` is the leaf as one vector, which is not done here; `column` is columns; all else is rows.
    Leaves with fewer than two dimensions are one vector.
    """

    def takes(name: str, shape: tuple[int, ...], params: Parameters) -> bool:
        return len(shape) > 1 and 0 not in shape and params[parameter] != whole

    def combine(leaves: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
        count, by_column = leaves.shape[0], context.params[parameter] == "column"
        table = leaves.reshape(count, leaves.shape[1], -1)
        shares = weights.tolist()
        products = _products(table.transpose(1, 2) if by_column else table).tolist()
        found = torch.tensor([of_row(row, shares, context.params) for row in products], dtype=torch.float64)
        each = found.T.to(torch.float32).to(leaves.device).unsqueeze(1 if by_column else 2)
        return weighted_sum(table, each).reshape(leaves.shape[1:])

    return WholeLeaf(takes, combine, _cost)


def _products(rows: torch.Tensor) -> torch.Tensor:
    """Return the float64 inner products of all models for each row: [T, R, n] → [R, T, T] on the CPU."""
    found = wide(rows)
    of_pairs = [torch.stack([(one * other).sum(dim=1) for other in found]) for one in found]
    return torch.stack(of_pairs).permute(2, 0, 1).cpu()


def _cost(shape: tuple[int, ...], count: int, params: Parameters) -> Cost:
    elements = 1
    for side in shape:
        elements *= side
    return Cost(20.0 * count * count * elements, (count + 2) * elements)
