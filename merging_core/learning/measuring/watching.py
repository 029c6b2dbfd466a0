"""What happens inside a model while it answers: torch's own calls, seen in the thread that makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.functional import conv2d, layer_norm, linear
from torch.overrides import TorchFunctionMode

__all__ = ["Convolved", "Reading", "Watching"]

Reading = Callable[[str, torch.Tensor, bool], None]
"""Told what a layer reads: the leaf, the inputs […, in], and whether the leaf is a matrix [in, out]."""
Convolved = Callable[[str, torch.Tensor, Mapping[str, Any]], None]
"""Told what a convolution reads: the leaf, the inputs [n, in, height, width], and stride, padding and the rest."""
_OF_CONVOLUTIONS = ("stride", "padding", "dilation", "groups")


class Watching(TorchFunctionMode):
    """Tells what every layer reads whose weight is one of `leaves`: linear ones of torch and of GPT-2, and LayerNorm.

    `convolved` is told of convolutions (`conv2d`), which nobody sees without it.

    >>> seen, weight = [], torch.ones(1, 2)
    >>> with Watching({"w": weight}, lambda name, inputs, turned: seen.append((name, inputs.tolist(), turned))):
    ...     _ = linear(torch.tensor([[3.0, 4.0]]), weight)
    >>> seen
    [('w', [[3.0, 4.0]], False)]
    """

    def __init__(self, leaves: Mapping[str, torch.Tensor], told: Reading, convolved: Convolved | None = None) -> None:
        super().__init__()
        self._names = {id(leaf): name for name, leaf in leaves.items()}
        self._leaves, self._told, self._convolved = leaves, told, convolved

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is linear:
            self._tell(_given(args, named, 1, "weight"), _given(args, named, 0, "input"), turned=False)
        elif func is layer_norm:
            self._tell(_given(args, named, 2, "weight"), _given(args, named, 0, "input"), turned=False)
        elif func is torch.addmm:
            self._tell(_given(args, named, 2, "mat2"), _given(args, named, 1, "mat1"), turned=True)
        elif func is conv2d and self._convolved is not None:
            self._tell_convolution(self._convolved, args, named)
        return func(*args, **named)

    def _tell_convolution(self, convolved: Convolved, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        name = self._names.get(id(_given(args, named, 1, "weight")))
        if name is not None:
            rest = {key: _given(args, named, place, key) for place, key in enumerate(_OF_CONVOLUTIONS, 3)}
            how = {key: value for key, value in rest.items() if value is not None}
            convolved(name, _given(args, named, 0, "input").detach(), how)

    def _tell(self, weight: Any, inputs: Any, *, turned: bool) -> None:
        name = self._names.get(id(weight))
        if name is not None:
            self._told(name, inputs.detach(), turned)


def _given(args: tuple[Any, ...], named: Mapping[str, Any], place: int, name: str) -> Any:
    return args[place] if len(args) > place else named.get(name)
