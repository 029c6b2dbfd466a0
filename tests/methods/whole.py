"""Merging one whole leaf, as the engines do it."""

from __future__ import annotations

import torch

from merging_core.methods.contract import CombineContext, MethodInfo
from merging_core.methods.info import Parameters

__all__ = ["combine", "drawn"]


def combine(info: MethodInfo, leaves: torch.Tensor, *weights: float, **params: object) -> torch.Tensor:
    """Combine leaves [T, *shape] with weights of 1 or those given, and parameters that differ from the defaults."""
    whole = info.whole_leaf
    assert whole is not None
    given = Parameters({**info.defaults(), **params})  # type: ignore[dict-item]
    found = tuple(whole.of_each(leaf) for leaf in leaves) if whole.of_each is not None else ()
    return whole.combine(leaves, torch.tensor(weights or [1.0] * len(leaves)), CombineContext(given, found=found))


def drawn(count: int, *shape: int, seed: int = 0, common: float = 0.0) -> torch.Tensor:
    """Return random leaves [T, *shape] that share a part of size `common`."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(shape, generator=generator)
    return torch.randn(count, *shape, generator=generator) + common * shared
