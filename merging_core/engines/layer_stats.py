"""What a merge does at each depth: how far the experts moved, what their masks kept, where their signs disagree.

Sums run over pieces that start anew at each range of the flat vector, in float64, and are added in order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from merging_core.engines.flat import piece_size
from merging_core.engines.kernel import cuts
from merging_core.space.depth import Depth
from merging_core.space.parameter_space import DepthSegment, ParameterSpace

__all__ = [
    "LayerStats",
    "MaskStats",
    "at_each_depth",
    "gram",
    "label_of",
    "layer_stats",
    "mask_stats",
    "parts_of_one_lambda",
    "squares",
]


@dataclass(frozen=True)
class LayerStats:
    """Numbers per depth (D) and expert (T), depths in the order of `ParameterSpace.segments_by_depth`."""

    depths: tuple[Depth, ...]
    labels: tuple[str, ...]
    """How a chart calls them: `before`, `0`, `1`, …, `after`; with the stack's name where there are several."""
    elements: tuple[int, ...]
    norms: tuple[tuple[float, ...], ...]
    """‖τₜ‖ of the raw task vectors: T × D."""
    density: tuple[tuple[float, ...], ...]
    """The share of elements that are not zero after the mask: T × D, in [0, 1]."""
    sign_conflict: tuple[float, ...]
    """Among elements where two or more masked vectors are not zero, the share whose signs disagree; 0 without any."""
    factors: tuple[float, ...]
    """λ(ℓ)·λ, wherever it is applied; the mean over the elements of a depth where λ differs within it."""
    merged_norms: tuple[float, ...]
    """‖what is added to θ₀‖, after layer scaling and λ."""
    cosines: tuple[tuple[float, ...], ...]
    """Between raw task vectors over the whole model: T × T; 0 beside a zero vector."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "labels": list(self.labels),
            "elements": list(self.elements),
            "norms": [list(row) for row in self.norms],
            "density": [list(row) for row in self.density],
            "sign_conflict": list(self.sign_conflict),
            "factors": list(self.factors),
            "merged_norms": list(self.merged_norms),
            "cosines": [list(row) for row in self.cosines],
        }


@dataclass(frozen=True)
class MaskStats:
    """Counts after the mask: not-zero elements T × D, and per depth the shared and the conflicting elements."""

    kept: tuple[tuple[int, ...], ...]
    shared: tuple[int, ...]
    conflicting: tuple[int, ...]


def gram(vectors: Sequence[torch.Tensor], segments: Sequence[DepthSegment]) -> torch.Tensor:
    """Return the inner products of task vectors at each depth, in float64 on the CPU: [D, T, T].

    >>> from merging_core.space.depth import Depth
    >>> whole = DepthSegment(Depth("", None, 0, "after"), ((0, 2),))
    >>> gram([torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0])], [whole]).tolist()
    [[[25.0, 3.0], [3.0, 1.0]]]
    """
    result = torch.zeros(len(segments), len(vectors), len(vectors), dtype=torch.float64)
    for depth, segment in enumerate(segments):
        for pieces in _pieces(vectors, segment):
            wide = _wide(torch.stack(pieces))
            result[depth] += (wide @ wide.T).cpu()
    return result


def mask_stats(masked: Sequence[torch.Tensor], segments: Sequence[DepthSegment]) -> MaskStats:
    """Count what masks kept and where the signs of what they kept disagree."""
    kept, shared, conflicting = [], [], []
    for segment in segments:
        counts = [0] * len(masked)
        both = disagree = 0
        for pieces in _pieces(masked, segment):
            ups, downs = [piece > 0 for piece in pieces], [piece < 0 for piece in pieces]
            any_up, any_down, once = ups[0].clone(), downs[0].clone(), ups[0] | downs[0]
            twice = torch.zeros_like(once)
            counts[0] += int(once.count_nonzero())
            for model in range(1, len(pieces)):
                speaks = ups[model] | downs[model]
                counts[model] += int(speaks.count_nonzero())
                twice |= once & speaks
                once |= speaks
                any_up |= ups[model]
                any_down |= downs[model]
            both += int(twice.count_nonzero())
            disagree += int((any_up & any_down).count_nonzero())
        kept.append(counts)
        shared.append(both)
        conflicting.append(disagree)
    return MaskStats(
        tuple(tuple(row[t] for row in kept) for t in range(len(masked))), tuple(shared), tuple(conflicting)
    )


def squares(combined: torch.Tensor, base: torch.Tensor | None, segments: Sequence[DepthSegment]) -> torch.Tensor:
    """Return Σx² of the merged vector at each depth, before layer scaling and λ: [D] float64."""
    sums = []
    for segment in segments:
        total = 0.0
        for pieces in _pieces([combined] if base is None else [combined, base], segment):
            wide = _wide(pieces[0] if base is None else pieces[0] - pieces[1])
            total += float(wide @ wide)
        sums.append(total)
    return torch.tensor(sums, dtype=torch.float64)


def parts_of_one_lambda(space: ParameterSpace, lambdas: Sequence[float]) -> list[tuple[DepthSegment, float]]:
    """Return the leaves of each depth, those with another λ apart, and that λ; `lambdas` is λ in each leaf."""
    whole = dict.fromkeys(lambdas)
    if len(whole) == 1:
        return [(segment, lambdas[0]) for segment in space.segments_by_depth]
    parts: dict[tuple[Depth, float], list[tuple[int, int]]] = {}
    for leaf, value in zip(space.leaves, lambdas, strict=True):
        parts.setdefault((leaf.depth, value), []).append((leaf.start, leaf.stop))
    return [(DepthSegment(depth, tuple(spans)), value) for (depth, value), spans in parts.items()]


def at_each_depth(
    segments: Sequence[DepthSegment],
    parts: Sequence[tuple[DepthSegment, float]],
    part_squares: torch.Tensor,
    shape: Sequence[float],
    scaled: Sequence[float],
) -> tuple[list[float], list[float]]:
    """Return λ(ℓ)·λ and ‖what is added to θ₀‖ at each depth.

    `part_squares` is Σx² of the merged vector in each part, `shape` is λ(ℓ), and `scaled` as much of it as the merged
    vector is multiplied by. Where λ differs within a depth, the first is the mean over its elements.
    """
    of_depth: dict[Depth, list[tuple[int, float, float]]] = {}
    for (part, value), found in zip(parts, part_squares.tolist(), strict=True):
        of_depth.setdefault(part.depth, []).append((part.elements, value, found))
    factors, norms = [], []
    for segment, factor, scale in zip(segments, shape, scaled, strict=True):
        own = of_depth[segment.depth]
        if len(own) == 1:
            mean, norm = own[0][1], abs(scale * own[0][1]) * math.sqrt(own[0][2])
        else:
            mean = math.fsum(size * value for size, value, _ in own) / max(1, segment.elements)
            norm = abs(scale) * math.sqrt(math.fsum(value * value * found for _, value, found in own))
        factors.append(factor * mean)
        norms.append(norm)
    return factors, norms


def layer_stats(
    segments: Sequence[DepthSegment],
    grams: torch.Tensor,
    kept: MaskStats,
    factors: Sequence[float],
    merged_norms: Sequence[float],
) -> LayerStats:
    """Put the counts and sums together, with what `at_each_depth` gives."""
    elements = tuple(segment.elements for segment in segments)
    total = grams.sum(0)
    lengths = total.diagonal().sqrt()
    products = lengths[:, None] * lengths[None, :]
    cosines = torch.where(products > 0, total / torch.where(products > 0, products, 1.0), 0.0).clamp(-1.0, 1.0)
    stacks = {segment.depth.stack for segment in segments}
    return LayerStats(
        depths=tuple(segment.depth for segment in segments),
        labels=tuple(label_of(segment.depth, len(stacks) > 1) for segment in segments),
        elements=elements,
        norms=_rows(grams.diagonal(dim1=1, dim2=2).sqrt().T),
        density=tuple(
            tuple(count / size if size else 0.0 for count, size in zip(row, elements, strict=True)) for row in kept.kept
        ),
        sign_conflict=tuple(
            found / among if among else 0.0 for found, among in zip(kept.conflicting, kept.shared, strict=True)
        ),
        factors=tuple(factors),
        merged_norms=tuple(merged_norms),
        cosines=_rows(cosines),
    )


def label_of(depth: Depth, several: bool) -> str:
    """Return how a chart calls a depth.

    >>> label_of(Depth("vision", 3, 12, "inside"), several=False), label_of(Depth("vision", None, 12, "after"), True)
    ('3', 'vision after')
    """
    name = depth.side if depth.index is None else str(depth.index)
    return f"{depth.stack} {name}" if several and depth.stack else name


def _pieces(vectors: Sequence[torch.Tensor], segment: DepthSegment) -> Iterator[list[torch.Tensor]]:
    step = piece_size(vectors[0].device)
    for start, stop in segment.spans:
        for at, end in cuts(stop - start, step):
            yield [vector[start + at : start + end] for vector in vectors]


def _wide(piece: torch.Tensor) -> torch.Tensor:
    """Return a piece as float64; on the CPU where the device has none."""
    return (piece.cpu() if piece.device.type == "mps" else piece).double()


def _rows(matrix: torch.Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
