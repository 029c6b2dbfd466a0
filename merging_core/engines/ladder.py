"""Thresholds of many densities, quickly: the magnitudes of a task vector, sorted once and kept.

A threshold is the k-th largest |τ|, and that is one element of the sorted magnitudes. Counting, as the mask itself does
it, walks the vector for every density; a slider asks for many. Both give the same element, so the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from merging_core.masks.info import MaskSpec
from merging_core.masks.magnitude import kept_count, magnitude_threshold
from merging_core.masks.registry import mask

__all__ = ["has_rank", "ladder", "ladder_thresholds"]

_LARGEST_SORTED = 1 << 25
"""Above this many elements a CPU counts faster than it sorts."""


def has_rank(spec: MaskSpec, size: int, device: torch.device) -> bool:
    """Say whether a mask's threshold is a rank among magnitudes, and sorting pays.

    >>> has_rank(MaskSpec(), 10, torch.device("cpu"))
    False
    """
    return mask(spec.kind).threshold is magnitude_threshold and (device.type != "cpu" or size <= _LARGEST_SORTED)


def ladder(vector: torch.Tensor, spans: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Return |x|, sorted upwards within each span: [N] float32; spans cover the vector in order.

    >>> ladder(torch.tensor([3.0, -1.0, 0.5, 2.0]), [(0, 2), (2, 4)]).tolist()
    [1.0, 3.0, 0.5, 2.0]
    """
    steps = vector.abs()
    for start, stop in spans:
        if steps.device.type == "cpu":
            # numpy sorts float32 with vector instructions, three times as fast as torch on a CPU.
            np.ndarray.sort(steps[start:stop].numpy())
        else:
            steps[start:stop] = steps[start:stop].sort().values
    return steps


def ladder_thresholds(
    steps: torch.Tensor, spans: Sequence[tuple[int, int]], density: float
) -> list[torch.Tensor | None]:
    """Return the k-th largest magnitude of each span of a ladder, k = max(1, ⌊density·n⌋), each 0-dim.

    >>> ladder_thresholds(torch.tensor([0.5, 1.0, 2.0, 3.0]), [(0, 4)], 0.5)
    [tensor(2.)]
    """
    return [steps[stop - kept_count(stop - start, density)] if stop > start else None for start, stop in spans]
