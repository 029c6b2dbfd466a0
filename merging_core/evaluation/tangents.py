"""What a model gives at its base and how that moves along a vector: every point of the tangent line without a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from merging_core.evaluation.heads import Head

__all__ = ["Tangents", "tangent_logits"]


@dataclass(frozen=True, eq=False)
class Tangents:
    """A model's output `[n, …]` at the base, its derivative `[n, …]` along one vector, and what reads it."""

    value: torch.Tensor
    slope: torch.Tensor
    head: Head
    labels: torch.Tensor


def tangent_logits(along: Sequence[Tangents], shares: Sequence[float]) -> torch.Tensor:
    """Return the logits of f(x; θ₀) + Σ shareᵢ·∇f(x; θ₀)·vectorᵢ, given the tangents along each vector.

    What is linear is the model's output; a head of prototypes stands on top as it is.

    >>> from merging_core.evaluation.heads import OwnHead
    >>> line = Tangents(torch.ones(1, 2), torch.tensor([[2.0, 0.0]]), OwnHead(), torch.tensor([0]))
    >>> tangent_logits([line, line], [1.0, 0.5]).tolist()
    [[4.0, 1.0]]
    """
    with torch.inference_mode():
        out = along[0].value.clone()
        for tangents, share in zip(along, shares, strict=True):
            if share:
                out += share * tangents.slope
        return along[0].head.logits(out)
