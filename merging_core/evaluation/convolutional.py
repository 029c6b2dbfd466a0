"""A small convolutional net with batch normalisation as a pure function of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn.functional import conv2d

from merging_core.evaluation.dense import dense

__all__ = ["ConvolutionalShape", "leaves", "logits", "statistics"]

KERNEL = 3


@dataclass(frozen=True)
class ConvolutionalShape:
    """Channels of the image and of every block, at least one; the image's side; classes; what variances are raised by.

    Every block but the first halves the side, rounding up.
    """

    channels: tuple[int, ...]
    side: int
    classes: int
    epsilon: float = 1e-5


def leaves(shape: ConvolutionalShape) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the leaves; running statistics are leaves like all others.

    >>> leaves(ConvolutionalShape((1, 4), 8, 2))["blocks.0.conv.weight"]
    (4, 1, 3, 3)
    """
    found: dict[str, tuple[int, ...]] = {}
    for index, (inside, outside) in enumerate(pairwise(shape.channels)):
        found[f"blocks.{index}.conv.weight"] = (outside, inside, KERNEL, KERNEL)
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"blocks.{index}.norm.{part}"] = (outside,)
    return {**found, "head.weight": (shape.classes, shape.channels[-1]), "head.bias": (shape.classes,)}


def statistics(shape: ConvolutionalShape) -> dict[str, tuple[str, str]]:
    """Return, for each convolution, the leaves that hold mean and variance of what it writes."""
    return {
        f"blocks.{index}.conv.weight": (f"blocks.{index}.norm.running_mean", f"blocks.{index}.norm.running_var")
        for index in range(len(shape.channels) - 1)
    }


def logits(shape: ConvolutionalShape, weights: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Return logits `[n, classes]` of images `[n, channels, side, side]`.

    Each block is a convolution without bias, batch normalisation by running statistics, and max(0, x); the head reads
    the mean over positions. Normalisation is written out, since torch's own gives running statistics no derivative.
    """
    values = inputs
    for index in range(len(shape.channels) - 1):
        block = f"blocks.{index}"
        values = conv2d(values, weights[f"{block}.conv.weight"], stride=2 if index else 1, padding=KERNEL // 2)
        scale = weights[f"{block}.norm.weight"] * (weights[f"{block}.norm.running_var"] + shape.epsilon).rsqrt()
        shift = weights[f"{block}.norm.bias"] - weights[f"{block}.norm.running_mean"] * scale
        values = (values * scale[:, None, None] + shift[:, None, None]).relu()
    return dense(values.mean((2, 3)), weights["head.weight"], weights["head.bias"])
