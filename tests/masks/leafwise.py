"""A mask applied to a whole flat task vector, leaf by leaf: the plain way, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from merging_core.masks.coins import coin_key
from merging_core.masks.info import MaskContext, MaskSpec
from merging_core.masks.registry import mask


@dataclass(frozen=True)
class LeafSpan:
    """Where a leaf lies in the flat vector: elements start … stop − 1."""

    name: str
    start: int
    stop: int


def masked(
    vector: torch.Tensor, spans: Sequence[LeafSpan], spec: MaskSpec, *, seed: int = 0, content: str = ""
) -> torch.Tensor:
    """Mask a flat vector [N] with the threshold of each leaf, or of the model, as `scope` says."""
    info = mask(spec.kind)
    if spec.kind == "none" or spec.params.get("density") == 1.0 or vector.numel() == 0:
        return vector
    threshold = info.threshold([vector], spec.params) if info.threshold and spec.scope == "model" else None
    pieces = []
    for span in spans:
        piece = vector[span.start : span.stop]
        if piece.numel() == 0:
            continue
        if info.threshold is not None and spec.scope == "leaf":
            threshold = info.threshold([piece], spec.params)
        key = coin_key(seed, content, span.name) if info.stochastic else 0
        pieces.append(info.apply(piece, MaskContext(spec.params, threshold, key)))
    return torch.cat(pieces)
