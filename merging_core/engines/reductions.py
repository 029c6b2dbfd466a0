"""Sums over a flat vector that arrives in pieces of any size, with the bits of a sum over the whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from merging_core.space.reductions import BLOCK, block_l1_partials, combine_in_order

__all__ = ["blocks", "l1_norm"]


def blocks(pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Regroup consecutive pieces of a flat vector into blocks of 65 536 elements, the last one shorter.

    >>> [block.numel() for block in blocks([torch.zeros(65_000), torch.zeros(1_000)])]
    [65536, 464]
    """
    waiting: list[torch.Tensor] = []
    count = 0
    for piece in pieces:
        rest = piece
        while rest.numel():
            part, rest = rest[: BLOCK - count], rest[BLOCK - count :]
            waiting.append(part)
            count += part.numel()
            if count == BLOCK:
                yield waiting[0] if len(waiting) == 1 else torch.cat(waiting)
                waiting, count = [], 0
    if waiting:
        yield torch.cat(waiting)


def l1_norm(pieces: Iterable[torch.Tensor]) -> float:
    """Return Σ|xᵢ| in float64, block by block in the order of the flat vector.

    >>> l1_norm([torch.tensor([1.0, -2.0]), torch.tensor([0.5])])
    3.5
    """
    return combine_in_order(value for block in blocks(pieces) for value in block_l1_partials(block).tolist())
