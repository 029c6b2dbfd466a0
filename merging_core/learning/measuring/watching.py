"""What happens inside a model while it answers: torch's own calls, seen or replaced in the thread that makes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

__all__ = ["PlainAttention", "Reading", "Watching"]

Reading = Callable[[str, torch.Tensor, bool], None]
"""Told what a linear layer reads: the leaf, the inputs […, in], and whether the leaf is [in, out]."""


class Watching(TorchFunctionMode):
    """Tells what every linear layer reads whose weight is one of `leaves`: layers of torch, and those of GPT-2.

    >>> seen, weight = [], torch.ones(1, 2)
    >>> with Watching({"w": weight}, lambda name, inputs, turned: seen.append((name, inputs.tolist(), turned))):
    ...     _ = linear(torch.tensor([[3.0, 4.0]]), weight)
    >>> seen
    [('w', [[3.0, 4.0]], False)]
    """

    def __init__(self, leaves: Mapping[str, torch.Tensor], told: Reading) -> None:
        super().__init__()
        self._names = {id(leaf): name for name, leaf in leaves.items()}
        self._leaves, self._told = leaves, told

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is linear:
            self._tell(_given(args, named, 1, "weight"), _given(args, named, 0, "input"), turned=False)
        elif func is torch.addmm:
            self._tell(_given(args, named, 2, "mat2"), _given(args, named, 1, "mat1"), turned=True)
        return func(*args, **named)

    def _tell(self, weight: Any, inputs: Any, *, turned: bool) -> None:
        name = self._names.get(id(weight))
        if name is not None:
            self._told(name, inputs.detach(), turned)


class PlainAttention(TorchFunctionMode):
    """Attention as its formula has it, softmax(Q Kᵀ/√d + mask) V: of that, several gradients are found at once."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        return attention(*args, **named) if func is scaled_dot_product_attention else func(*args, **named)


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
    """Return what `scaled_dot_product_attention` does, without dropout.

    >>> one = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(attention(one, one, one), scaled_dot_product_attention(one, one, one), atol=1e-6)
    True
    """
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        shown = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~shown, -math.inf)
    if attn_mask is not None:
        boolean = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -math.inf) if boolean else scores + attn_mask
    return scores.softmax(-1) @ value


def _given(args: tuple[Any, ...], named: Mapping[str, Any], place: int, name: str) -> Any:
    return args[place] if len(args) > place else named.get(name)
