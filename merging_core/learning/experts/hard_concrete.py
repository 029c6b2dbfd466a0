"""The hard Concrete mask: a relaxed coin, stretched beyond 0 and 1 and cut there, so that 0 and 1 themselves happen."""

from __future__ import annotations

import math

import torch

__all__ = ["HIGH", "LOW", "hard_concrete", "kept_probability", "typical"]

LOW, HIGH = -1.5, 1.5
"""To what 0 and 1 are stretched, as in the released code."""
_EDGE = 1e-4
"""How near to 0 and 1 the chance may come, as in the released code."""


def hard_concrete(logits: torch.Tensor, chance: torch.Tensor, low: float = LOW, high: float = HIGH) -> torch.Tensor:
    """Return z = min(1, max(0, s̄)), s̄ = s·(high − low) + low, s = σ(logit u + α), differentiable in the logits α.

    Shapes: logits [n], chance [n] in (0, 1) → [n].

    >>> hard_concrete(torch.tensor([0.0, 9.0, -9.0]), torch.full((3,), 0.5)).tolist()
    [0.0, 1.0, 0.0]
    """
    relaxed = torch.sigmoid(torch.logit(chance.clamp(_EDGE, 1.0 - _EDGE)).to(logits) + logits)
    return (relaxed * (high - low) + low).clamp(0.0, 1.0)


def typical(logits: torch.Tensor, low: float = LOW, high: float = HIGH) -> torch.Tensor:
    """Return the mask without chance, min(1, max(0, σ(α)·(high − low) + low)).

    >>> typical(torch.tensor([0.0, 5.0])).tolist()
    [0.0, 1.0]
    """
    return (torch.sigmoid(logits) * (high - low) + low).clamp(0.0, 1.0)


def kept_probability(logits: torch.Tensor, low: float = LOW, high: float = HIGH) -> torch.Tensor:
    """Return the probability that a mask is not 0: σ(α − log(−low/high)).

    >>> kept_probability(torch.tensor([0.0])).tolist()
    [0.5]
    """
    return torch.sigmoid(logits - math.log(-low / high))
