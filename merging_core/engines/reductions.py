"""Sums over a flat vector that arrives in pieces of any size, with the bits of a sum over the whole."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from merging_core.space.reductions import block_l1_partials, blocks, combine_in_order

__all__ = ["l1_norm"]


def l1_norm(pieces: Iterable[torch.Tensor]) -> float:
    """Return Σ|xᵢ| in float64, block by block in the order of the flat vector.

    >>> l1_norm([torch.tensor([1.0, -2.0]), torch.tensor([0.5])])
    3.5
    """
    return combine_in_order(value for block in blocks(pieces) for value in block_l1_partials(block).tolist())
