"""The merged weights of one leaf as a differentiable function of what is learned.

    θ = θ₀ + λ·(m ∘ Σ cₜτ̂ₜ)

The function keeps references to the resident task vectors and copies none of them: its memory beside the result is one
leaf. Forward it multiplies and adds in the order of the engines' kernel, so that the weights that are trained are those
of the finished recipe, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["merged_leaf", "wide"]

_PIECE = 1 << 20


def merged_leaf(
    coefficients: torch.Tensor,
    mask: torch.Tensor | None,
    base: torch.Tensor,
    vectors: Sequence[torch.Tensor],
    scale: float = 1.0,
) -> torch.Tensor:
    """Return θ₀ + scale·(mask ∘ Σ coefficientsₜ·vectorsₜ), differentiable in coefficients and mask.

    Shapes: coefficients [T]; mask, base and each of T vectors [n] → [n]. The derivative by cₜ is
    scale·⟨mask ∘ g, τₜ⟩, that by the mask scale·g ∘ Σ cₜτₜ.

    >>> merged_leaf(torch.tensor([2.0]), None, torch.ones(2), [torch.tensor([1.0, 3.0])]).tolist()
    [3.0, 7.0]
    """
    result: torch.Tensor = _MergedLeaf.apply(coefficients, mask, scale, base, *vectors)  # type: ignore[no-untyped-call]
    return result


class _MergedLeaf(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        coefficients: torch.Tensor,
        mask: torch.Tensor | None,
        scale: float,
        base: torch.Tensor,
        *vectors: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(coefficients, mask)
        ctx.vectors, ctx.scale = vectors, scale
        combined = _summed(coefficients, vectors)
        if mask is not None:
            combined.mul_(mask)
        return combined.mul_(scale).add_(base)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        coefficients, mask = ctx.saved_tensors
        (gradient,) = grads
        by_coefficients = by_mask = None
        if ctx.needs_input_grad[0]:
            reached = gradient if mask is None else gradient * mask
            dots = torch.stack([_dot(reached, vector) for vector in ctx.vectors])
            by_coefficients = (dots * ctx.scale).to(coefficients)
        if mask is not None and ctx.needs_input_grad[1]:
            by_mask = _summed(coefficients, ctx.vectors).mul_(gradient).mul_(ctx.scale)
        return by_coefficients, by_mask, None, None, *(None,) * len(ctx.vectors)


def wide(piece: torch.Tensor) -> torch.Tensor:
    """Return a piece in float64; from Apple's MPS, which has none, on the CPU.

    >>> wide(torch.ones(1)).dtype
    torch.float64
    """
    return (piece.cpu() if piece.device.type == "mps" else piece).double()


def _summed(coefficients: torch.Tensor, vectors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return Σ cₜτₜ, one multiplication and one addition after the other, as `methods.sums.weighted_sum` does."""
    total = vectors[0] * coefficients[0]
    for index in range(1, len(vectors)):
        total.add_(vectors[index] * coefficients[index])
    return total


def _dot(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return ⟨left, right⟩ in float64, piece by piece, so that no wide copy of a leaf exists."""
    parts = [
        (wide(left[at : at + _PIECE]) * wide(right[at : at + _PIECE])).sum() for at in range(0, left.numel(), _PIECE)
    ]
    return torch.stack(parts).sum() if parts else left.new_zeros((), dtype=torch.float64)
