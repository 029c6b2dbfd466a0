"""Whole stages over resident flat vectors, piece by piece through the kernel.

The pieces are as large as suits the device; the kernel's functions are elementwise, so that choice is not in the bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from merging_core.engines.crew import Each, in_turn
from merging_core.engines.kernel import PIECE, Run, combine_piece, cuts, finish_, runs
from merging_core.engines.masking import PreparedMask, Rewalked
from merging_core.engines.reductions import l1_norm
from merging_core.methods.contract import (
    CombineContext,
    MethodInfo,
    added,
    contexts_of_leaves,
    gather_leaf,
    gather_ranks,
    measured,
)
from merging_core.methods.info import Parameters
from merging_core.methods.sums import weighted_sum
from merging_core.space.reductions import BLOCK

__all__ = [
    "all_finite",
    "combine_flat",
    "finish_flat",
    "gather_flat",
    "mask_flat",
    "merged_pieces",
    "norms_for_alpha",
    "piece_size",
]

_ACCELERATOR_PIECE = 1 << 24
_WORKER_PIECE = 1 << 17
"""For a worker, which has one core anyhow: large pieces, since threads of Python take turns between operations."""
_ACCELERATOR_BLOCKS = 16


def piece_size(device: torch.device) -> int:
    """Return how many elements of each vector are worked on at once: what fits the cache, or what fills an accelerator.

    >>> piece_size(torch.device("cpu"))
    32704
    """
    return PIECE if device.type == "cpu" else _ACCELERATOR_PIECE


def mask_flat(vector: torch.Tensor, prepared: PreparedMask, spans: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Return a new flat vector: the task vector after layer scaling of each, and its mask. Run by one worker."""
    out = torch.empty_like(vector)
    step = max(_WORKER_PIECE, piece_size(vector.device))
    for group in prepared.groups(spans):
        part, target = vector[group.start : group.stop], out[group.start : group.stop]
        for start, stop in cuts(part.numel(), step):
            target[start:stop] = prepared.apply(group.leaf, start, part[start:stop])
    return out


def gather_flat(
    vectors: Sequence[torch.Tensor], info: MethodInfo, spans: Sequence[tuple[int, int]], each: Each = in_turn
) -> tuple[dict[str, torch.Tensor], ...]:
    """Return the sums behind the method's leaf statistics, for each leaf; nothing for a method without any.

    `each` works on the leaves.
    """
    if not info.leaf_statistics:
        return ()
    at_once = 1 if vectors[0].device.type == "cpu" else _ACCELERATOR_BLOCKS

    def pieces(start: int, stop: int) -> Iterator[torch.Tensor]:
        for at, end in cuts(stop - start, BLOCK * at_once):
            yield torch.stack([vector[start + at : start + end] for vector in vectors])

    return tuple(each(lambda span: gather_leaf(info, pieces(*span), at_once), spans))


def combine_flat(  # noqa: PLR0913
    vectors: Sequence[torch.Tensor],
    weights: torch.Tensor,
    info: MethodInfo,
    params: Parameters,
    spans: Sequence[tuple[int, int]],
    sums: Sequence[Mapping[str, torch.Tensor]] = (),
    each: Each = in_turn,
) -> tuple[torch.Tensor, CombineContext]:
    """Return what the method makes of the leaves at `spans`, piece by piece, statistics of the whole model first.

    What lies between them is not written. `sums` are those of `gather_flat`, for these leaves; `each` works on the
    pieces. The context is what all leaves share.
    """
    out = torch.empty_like(vectors[0])
    step = piece_size(out.device) if each is in_turn else max(_WORKER_PIECE, piece_size(out.device))

    def measure(piece: tuple[int, int]) -> tuple[torch.Tensor, ...]:
        start, stop = piece
        return measured(info, torch.stack([vector[start:stop] for vector in vectors]), weights, params)

    def combine(piece: tuple[int, int, CombineContext]) -> None:
        start, stop, context = piece
        out[start:stop] = combine_piece([vector[start:stop] for vector in vectors], weights, info, context)

    whole = list(cuts(out.numel(), step))
    common = CombineContext(params, added(info, each(measure, whole)) if info.statistics else {})
    if info.rank_statistics:
        walk = Rewalked(lambda: (torch.stack([vector[start:stop] for vector in vectors]) for start, stop in whole))
        common = replace(common, statistics=gather_ranks(info, walk, out.numel(), weights, common))
    places = spans if sums else [(run.start, run.stop) for run in runs(spans, [1.0] * len(spans))]
    contexts = contexts_of_leaves(info, common, sums, weights) if sums else (common,) * len(places)
    pieces = [
        (first + start, first + stop, context)
        for (first, last), context in zip(places, contexts, strict=True)
        for start, stop in cuts(last - first, step)
    ]
    for _ in each(combine, pieces):
        pass
    return out, common


def finish_flat(
    combined: torch.Tensor, base: torch.Tensor | None, coefficients: Sequence[Run], domain: str
) -> torch.Tensor:
    """Return a new flat vector: the merged weights in float32, not rounded to a dtype yet."""
    out = torch.empty_like(combined)
    step = piece_size(out.device)
    for run in coefficients:
        for start, stop in cuts(run.stop - run.start, step):
            part = slice(run.start + start, run.start + stop)
            finish_(out[part], combined[part], base[part] if base is not None else None, run.coefficient, domain)
    return out


def all_finite(flat: torch.Tensor) -> bool:
    """Say whether every element of a flat vector is finite; NaN and infinity spread to the extremes of their piece.

    >>> all_finite(torch.zeros(3)), all_finite(torch.tensor([0.0, float("inf")]))
    (True, False)
    """
    extremes = [end for (piece,) in _pieces((flat,)) for end in torch.aminmax(piece)]
    return bool(torch.isfinite(torch.stack(extremes)).all())


def merged_pieces(combined: torch.Tensor, base: torch.Tensor, domain: str) -> Iterator[torch.Tensor]:
    """Yield the merged vector before layer scaling and λ: what was combined, less the base in the weight domain."""
    for piece, origin in _pieces((combined, base)):
        yield piece - origin if domain == "weight" else piece


def norms_for_alpha(
    vectors: Sequence[torch.Tensor], weights: torch.Tensor, combined: torch.Tensor, base: torch.Tensor, domain: str
) -> tuple[float, float]:
    """Return ‖Σ wₜτₜ‖₁ and ‖merged vector‖₁, from which LiNeS's α follows.

    `vectors` are the task vectors before any mask.
    """
    summed = (weighted_sum(torch.stack(pieces), weights) for pieces in _pieces(vectors))
    return l1_norm(summed), l1_norm(merged_pieces(combined, base, domain))


def _pieces(vectors: Sequence[torch.Tensor]) -> Iterator[tuple[torch.Tensor, ...]]:
    step = piece_size(vectors[0].device)
    for start, stop in cuts(vectors[0].numel(), step):
        yield tuple(vector[start:stop] for vector in vectors)
