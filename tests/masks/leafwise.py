"""A mask applied to a whole flat task vector, leaf by leaf: the plain way, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from merging_core.masks.coins import coin_key
from merging_core.masks.info import MaskContext, MaskSpec
from merging_core.masks.ranks import standings
from merging_core.masks.registry import mask
from merging_core.space.reductions import block_l1


@dataclass(frozen=True)
class LeafSpan:
    """Where a leaf lies in the flat vector: elements start … stop − 1."""

    name: str
    start: int
    stop: int
    shape: tuple[int, ...] = ()


def masked(
    vector: torch.Tensor, spans: Sequence[LeafSpan], spec: MaskSpec, *, seed: int = 0, content: str = ""
) -> torch.Tensor:
    """Mask a flat vector [N] with the threshold of each leaf, or of the model, as `scope` says."""
    info = mask(spec.kind)
    if info.keeps_all(spec.params) or vector.numel() == 0:
        return vector
    thresholds = info.thresholds([vector], spec.params) if info.ranks and spec.scope == "model" else None
    pieces = []
    for span in spans:
        piece = vector[span.start : span.stop]
        if piece.numel() == 0:
            continue
        if info.ranks is not None and spec.scope == "leaf":
            thresholds = info.thresholds([piece], spec.params)
        key = coin_key(seed, content, span.name) if info.stochastic else 0
        standing = None
        if info.by_standing:
            rows = span.shape[0] if spec.scope == "row" and len(span.shape) > 1 else 1
            standing = standings(piece.view(rows, -1)).view(-1)
        kept = info.apply(piece, MaskContext(spec.params, thresholds, standing, 1.0, key))
        if info.balanced(spec.params) and block_l1(kept) > 0:
            gain = float(torch.tensor(block_l1(piece) / block_l1(kept), dtype=torch.float32))
            kept = info.apply(piece, MaskContext(spec.params, thresholds, standing, gain, key))
        pieces.append(kept)
    return torch.cat(pieces)
