"""Attention written out, where torch's fast one cannot be followed: in forward mode, or by many gradients at once."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

__all__ = ["PlainAttention", "attention"]


class PlainAttention(TorchFunctionMode):
    """Attention as products and a softmax, for what this thread computes inside."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Write attention out; leave everything else as it is."""
        if function is scaled_dot_product_attention:
            return attention(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def attention(  # noqa: PLR0913
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Return softmax(q·kᵀ·scale + mask)·v, as `scaled_dot_product_attention` does without dropout.

    >>> one = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(attention(one, one, one), scaled_dot_product_attention(one, one, one), atol=1e-6)
    True
    """
    if enable_gqa:
        key, value = (each.repeat_interleave(query.shape[-3] // each.shape[-3], -3) for each in (key, value))
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(dim=-1) @ value
