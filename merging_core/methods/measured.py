"""What a method may read of each expert beside its weights: numbers that were measured on examples of its task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

__all__ = ["Measured", "Measures"]

Measures = Literal["", "fisher", "gram"]
"""Nothing, the diagonal of the Fisher information, or the Gram matrices of what the linear layers read."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of each expert, as far as it belongs to what is combined."""

    values: tuple[torch.Tensor, ...]
    """Of each model numbers like its own, [n], NaN where nothing was measured; or of a leaf that is seen whole a Gram
    matrix [d, d], without elements where there is none."""
    sizes: tuple[float, ...] = ()
    """Of each model the length ‖·‖₂ of everything that was measured of it."""
    turned: bool = False
    """Whether a leaf that is seen whole holds its weight as [in, out]."""
