"""Thresholds of many densities, quickly: the magnitudes of a task vector, sorted once and kept.

A threshold is a k-th largest |τ|, and that is one element of the sorted magnitudes. Counting, as the mask itself does
it, walks the vector for every density; a slider asks for many. Both give the same element, so the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from merging_core.engines.masking import ranked
from merging_core.masks.info import MaskSpec
from merging_core.masks.registry import mask
from merging_core.space.parameter_space import SpaceLeaf

__all__ = ["has_rank", "ladder", "ladder_thresholds", "standings_flat"]

_LARGEST_SORTED = 1 << 25
"""Above this many elements a CPU counts faster than it sorts."""


def has_rank(spec: MaskSpec, size: int, device: torch.device) -> bool:
    """Say whether a mask's threshold is a rank among magnitudes, and sorting pays.

    >>> has_rank(MaskSpec(), 10, torch.device("cpu"))
    False
    """
    return mask(spec.kind).ranks is not None and (device.type != "cpu" or size <= _LARGEST_SORTED)


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
    steps: torch.Tensor, spans: Sequence[tuple[int, int]], spec: MaskSpec
) -> list[torch.Tensor | None]:
    """Return the magnitudes at a mask's ranks within each span of a ladder: [R] each, nothing for an empty span.

    >>> spec = MaskSpec("magnitude", mask("magnitude").defaults().changed(density=0.5))
    >>> ladder_thresholds(torch.tensor([0.5, 1.0, 2.0, 3.0]), [(0, 4)], spec)
    [tensor([2.])]
    """
    ranks = mask(spec.kind).ranks
    if ranks is None:
        return [None] * len(spans)
    return [
        steps[[stop - rank for rank in ranks(stop - start, spec.params)]].cpu() if stop > start else None
        for start, stop in spans
    ]


def standings_flat(vector: torch.Tensor, leaves: Sequence[SpaceLeaf], spec: MaskSpec) -> torch.Tensor:
    """Return where each element stands by magnitude within its row or leaf, as the mask's scope says: [N] float32.

    Standings depend on no number of the mask, so a slider that moves finds them again.
    """
    result = torch.empty_like(vector)
    for leaf in leaves:
        result[leaf.start : leaf.stop] = ranked(vector[leaf.start : leaf.stop], leaf, spec)
    return result
