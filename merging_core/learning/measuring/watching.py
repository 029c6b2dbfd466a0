"""What happens inside a model while it answers: torch's own calls, seen in the thread that makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.functional import layer_norm, linear
from torch.overrides import TorchFunctionMode

__all__ = ["Reading", "Watching"]

Reading = Callable[[str, torch.Tensor, bool], None]
"""Told what a layer reads: the leaf, the inputs […, in], and whether the leaf is a matrix [in, out]."""


class Watching(TorchFunctionMode):
    """Tells what every layer reads whose weight is one of `leaves`: linear ones of torch and of GPT-2, and LayerNorm.

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
        elif func is layer_norm:
            self._tell(_given(args, named, 2, "weight"), _given(args, named, 0, "input"), turned=False)
        elif func is torch.addmm:
            self._tell(_given(args, named, 2, "mat2"), _given(args, named, 1, "mat1"), turned=True)
        return func(*args, **named)

    def _tell(self, weight: Any, inputs: Any, *, turned: bool) -> None:
        name = self._names.get(id(weight))
        if name is not None:
            self._told(name, inputs.detach(), turned)


def _given(args: tuple[Any, ...], named: Mapping[str, Any], place: int, name: str) -> Any:
    return args[place] if len(args) > place else named.get(name)
