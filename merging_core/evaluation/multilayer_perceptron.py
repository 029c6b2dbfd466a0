"""A small multilayer perceptron as a pure function of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch

from merging_core.evaluation.dense import dense

__all__ = ["PerceptronShape", "leaves", "logits", "logits_of_many"]


@dataclass(frozen=True)
class PerceptronShape:
    """Widths from input to output, at least two."""

    widths: tuple[int, ...]


def leaves(shape: PerceptronShape) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the leaves.

    >>> leaves(PerceptronShape((3, 2)))
    {'layers.0.weight': (2, 3), 'layers.0.bias': (2,)}
    """
    found: dict[str, tuple[int, ...]] = {}
    for index, (inside, outside) in enumerate(pairwise(shape.widths)):
        found[f"layers.{index}.weight"] = (outside, inside)
        found[f"layers.{index}.bias"] = (outside,)
    return found


def logits(shape: PerceptronShape, weights: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Return logits `[n, classes]` of inputs `[n, …]`, flattened: linear layers with max(0, x) between them.

    >>> ones = {"layers.0.weight": torch.ones(2, 2), "layers.0.bias": torch.zeros(2)}
    >>> logits(PerceptronShape((2, 2)), ones, torch.tensor([[1.0, 2.0]])).tolist()
    [[3.0, 3.0]]
    """
    values = inputs.flatten(1)
    last = len(shape.widths) - 2
    for index in range(last + 1):
        values = dense(values, weights[f"layers.{index}.weight"], weights[f"layers.{index}.bias"])
        if index < last:
            values = values.relu()
    return values


def logits_of_many(shape: PerceptronShape, stacked: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Return logits `[n, k, classes]` of inputs `[n, …]` by k weights, leaves `[k, …]`: one product a layer for all.

    >>> ones = {"layers.0.weight": torch.ones(3, 2, 2), "layers.0.bias": torch.zeros(3, 2)}
    >>> logits_of_many(PerceptronShape((2, 2)), ones, torch.tensor([[1.0, 2.0]])).shape
    torch.Size([1, 3, 2])
    """
    last = len(shape.widths) - 2
    values = inputs.flatten(1).expand(len(stacked["layers.0.bias"]), -1, -1)
    for index in range(last + 1):
        weight, bias = stacked[f"layers.{index}.weight"], stacked[f"layers.{index}.bias"]
        values = torch.baddbmm(bias.unsqueeze(1), values, weight.transpose(1, 2))
        if index < last:
            values = values.relu()
    return values.transpose(0, 1)
