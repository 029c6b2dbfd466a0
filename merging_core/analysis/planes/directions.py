"""Random directions in weight space that are scaled as the weights are, so that pictures of models compare."""

from __future__ import annotations

import math
from typing import Literal

import torch

from merging_core.masks.coins import coin_hash, coin_key
from merging_core.space.parameter_space import ParameterSpace

__all__ = ["Normalisation", "gaussian", "random_direction"]

Normalisation = Literal["filter", "layer"]
_TINY = 1e-10


def random_direction(
    space: ParameterSpace, weights: torch.Tensor, seed: int, number: int, normalisation: Normalisation
) -> torch.Tensor:
    """Return a Gaussian direction d·‖w‖/(‖d‖ + 1e-10), one filter or one layer at a time: [N] float32.

    A filter is a row of a matrix, or a kernel of a convolution: what lies under one index of the first axis. Leaves of
    one axis (biases, norms) stay where they are: their direction is 0. `number` tells the directions of one seed apart.

    Source: Li et al. 2018, arXiv:1712.09913, section 4, and `net_plotter.py` of its code (`ignore='biasbn'`).
    Deviation: the Gaussian numbers come from an integer hash of seed, leaf and place, on every device alike.
    """
    direction = torch.zeros(space.size, dtype=torch.float32)
    for leaf in space.leaves:
        if len(leaf.shape) < 2 or leaf.stop == leaf.start:
            continue
        rows = leaf.shape[0] if normalisation == "filter" else 1
        drawn = gaussian(seed, number, leaf.name, leaf.stop - leaf.start).view(rows, -1)
        own = weights[leaf.start : leaf.stop].cpu().to(torch.float64).view(rows, -1)
        scale = own.norm(dim=1, keepdim=True) / (drawn.norm(dim=1, keepdim=True) + _TINY)
        direction[leaf.start : leaf.stop] = (drawn * scale).flatten().to(torch.float32)
    return direction.to(weights.device)


def gaussian(seed: int, number: int, leaf: str, count: int) -> torch.Tensor:
    """Return standard normal numbers of one leaf, [count] float64, by Box and Muller from two hashes each.

    >>> [round(value, 4) for value in gaussian(0, 0, "a", 2).tolist()]
    [0.1455, 1.7466]
    """
    radius, angle = (
        (coin_hash(coin_key(seed, f"plane {number} {part}", leaf), 0, count).to(torch.float64) + 0.5) / 2**32
        for part in ("radius", "angle")
    )
    return torch.sqrt(-2.0 * torch.log(radius)) * torch.cos(2.0 * math.pi * angle)
