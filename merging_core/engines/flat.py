"""Whole stages over resident flat vectors, piece by piece through the kernel.

The pieces are as large as suits the device; the kernel's functions are elementwise, so that choice is not in the bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from merging_core.engines.crew import Each, in_turn
from merging_core.engines.kernel import ACCELERATOR_PIECE, PIECE, Run, combine_piece, cuts, finish_
from merging_core.engines.masking import PreparedMask
from merging_core.engines.reductions import l1_norm
from merging_core.engines.settings import joined
from merging_core.masks.ranks import Rewalked
from merging_core.methods.contract import (
    CombineContext,
    MethodInfo,
    Terms,
    Walk,
    added,
    contexts_of_leaves,
    gather_leaf,
    measured,
    ranks_of_walks,
    reads_statistics,
)
from merging_core.methods.info import Parameters
from merging_core.methods.measured import Measured
from merging_core.methods.sums import weighted_sum
from merging_core.space.reductions import BLOCK

__all__ = [
    "ACCELERATOR_BLOCKS",
    "all_finite",
    "combine_flat",
    "finish_flat",
    "gather_flat",
    "mask_flat",
    "merged_pieces",
    "norms_for_alpha",
    "piece_size",
]

_WORKER_PIECE = 1 << 17
"""For a worker, which has one core anyhow: large pieces, since threads of Python take turns between operations."""
ACCELERATOR_BLOCKS = 16
"""Blocks of a leaf that an accelerator sums together."""


def piece_size(device: torch.device) -> int:
    """Return how many elements of each vector are worked on at once: what fits the cache, or what fills an accelerator.

    >>> piece_size(torch.device("cpu"))
    32704
    """
    return PIECE if device.type == "cpu" else ACCELERATOR_PIECE


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
    at_once = 1 if vectors[0].device.type == "cpu" else ACCELERATOR_BLOCKS

    def pieces(start: int, stop: int) -> Iterator[torch.Tensor]:
        for at, end in cuts(stop - start, BLOCK * at_once):
            yield torch.stack([vector[start + at : start + end] for vector in vectors])

    return tuple(each(lambda span: gather_leaf(info, pieces(*span), at_once), spans))


def combine_flat(  # noqa: PLR0913
    vectors: Sequence[torch.Tensor],
    terms: Sequence[Terms],
    info: MethodInfo,
    params: Parameters,
    spans: Sequence[tuple[int, int]],
    places: Sequence[int],
    sums: Sequence[Mapping[str, torch.Tensor]] = (),
    each: Each = in_turn,
    beside: Callable[[int, int], Measured | None] | None = None,
) -> tuple[torch.Tensor, CombineContext]:
    """Return what the method makes of the leaves at `places`, piece by piece, statistics of the whole model first.

    `terms` and `spans` are those of all leaves, `params` what all share; what lies elsewhere is not written. `sums` are
    those of `gather_flat`, for the leaves at `places`; `each` works on the pieces. The context is that of all leaves.
    `beside` says what was measured of the elements start … stop − 1.
    """
    out = torch.empty_like(vectors[0])
    step = piece_size(out.device) if each is in_turn else max(_WORKER_PIECE, piece_size(out.device))

    def stacked(start: int, stop: int) -> torch.Tensor:
        return torch.stack([vector[start:stop] for vector in vectors])

    def measure(piece: tuple[int, int, Terms]) -> tuple[torch.Tensor, ...]:
        start, stop, own = piece
        return measured(info, stacked(start, stop), own.weights, own.params)

    def combine(piece: tuple[int, int, Terms, CombineContext]) -> None:
        start, stop, own, context = piece
        if beside is not None:
            context = replace(context, measured=beside(start, stop))
        out[start:stop] = combine_piece(stacked(start, stop), own.weights, info, context)

    alike = [(spans[run.first][0], spans[run.last - 1][1], run.value) for run in joined(terms)]
    common = CombineContext(params)
    if any(reads_statistics(info, own.params) for _, _, own in alike):
        whole = [(start, stop, own) for first, last, own in alike for start, stop in _cut(first, last, step)]
        common = replace(common, statistics=added(info, each(measure, whole)))
    if info.rank_statistics:
        walks = [Walk(Rewalked(partial(_walk, stacked, first, last, step)), own) for first, last, own in alike]
        common = replace(common, statistics=ranks_of_walks(info, walks, out.numel(), common))
    own = [terms[place] for place in places]
    contexts = contexts_of_leaves(info, common, sums or [{}] * len(own), own)
    touching = _touching([spans[place] for place in places], own, contexts)
    pieces = [
        (start, stop, own, context) for first, last, own, context in touching for start, stop in _cut(first, last, step)
    ]
    for _ in each(combine, pieces):
        pass
    return out, common


def _cut(first: int, last: int, step: int) -> Iterator[tuple[int, int]]:
    return ((first + start, first + stop) for start, stop in cuts(last - first, step))


def _walk(stacked: Callable[[int, int], torch.Tensor], first: int, last: int, step: int) -> Iterator[torch.Tensor]:
    return (stacked(start, stop) for start, stop in _cut(first, last, step))


def _touching(
    spans: Sequence[tuple[int, int]], terms: Sequence[Terms], contexts: Sequence[CombineContext]
) -> list[tuple[int, int, Terms, CombineContext]]:
    """Join neighbouring spans of one context; empty spans vanish."""
    runs: list[tuple[int, int, Terms, CombineContext]] = []
    for (start, stop), own, context in zip(spans, terms, contexts, strict=True):
        if start == stop:
            continue
        if runs and runs[-1][1] == start and runs[-1][3] is context:
            runs[-1] = (runs[-1][0], stop, own, context)
        else:
            runs.append((start, stop, own, context))
    return runs


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


def all_finite(flat: torch.Tensor) -> torch.Tensor:
    """Say whether every element of a flat vector is finite; NaN and infinity spread to the extremes of their piece.

    The answer is where the vector is: who reads it waits for the device.

    >>> bool(all_finite(torch.zeros(3))), bool(all_finite(torch.tensor([0.0, float("inf")])))
    (True, False)
    """
    extremes = [end for (piece,) in _pieces((flat,)) for end in torch.aminmax(piece)]
    return torch.isfinite(torch.stack(extremes)).all()


def merged_pieces(combined: torch.Tensor, base: torch.Tensor, domain: str) -> Iterator[torch.Tensor]:
    """Yield the merged vector before layer scaling and λ: what was combined, less the base in the weight domain."""
    for piece, origin in _pieces((combined, base)):
        yield piece - origin if domain == "weight" else piece


def norms_for_alpha(  # noqa: PLR0913
    vectors: Sequence[torch.Tensor],
    terms: Sequence[Terms],
    spans: Sequence[tuple[int, int]],
    combined: torch.Tensor,
    base: torch.Tensor,
    domain: str,
) -> tuple[float, float]:
    """Return ‖Σ wₜτₜ‖₁ and ‖merged vector‖₁, from which LiNeS's α follows.

    `vectors` are the task vectors before any mask; `terms` and `spans` those of all leaves.
    """
    step = piece_size(combined.device)
    summed = (
        weighted_sum(torch.stack([vector[start:stop] for vector in vectors]), run.value.weights)
        for run in joined(terms)
        for start, stop in _cut(spans[run.first][0], spans[run.last - 1][1], step)
    )
    return l1_norm(summed), l1_norm(merged_pieces(combined, base, domain))


def _pieces(vectors: Sequence[torch.Tensor]) -> Iterator[tuple[torch.Tensor, ...]]:
    step = piece_size(vectors[0].device)
    for start, stop in cuts(vectors[0].numel(), step):
        yield tuple(vector[start:stop] for vector in vectors)
