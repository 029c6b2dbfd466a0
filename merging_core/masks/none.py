"""The mask that keeps everything."""

from __future__ import annotations

import torch

from merging_core.masks.info import MaskContext, MaskInfo
from merging_core.methods.info import Source

__all__ = ["NONE", "keep_everything"]


def keep_everything(vector: torch.Tensor, context: MaskContext) -> torch.Tensor:
    """Return the task vector as it is (the same tensor, not a copy).

    >>> keep_everything(torch.tensor([1.0, 0.0]), MaskContext()).tolist()
    [1.0, 0.0]
    """
    return vector


NONE = MaskInfo(
    name="none",
    title="No mask",
    formula="τ̂ = τ",
    summary="Every change that an expert made is kept.",
    source=Source(
        "Ilharco et al.", 2023, "Editing Models with Task Arithmetic", "https://arxiv.org/abs/2212.04089", "section 2"
    ),
    stochastic=False,
    apply=keep_everything,
    keeps_all=lambda params: True,
)
