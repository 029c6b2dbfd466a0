"""The magnitude mask: the largest changes stay, the rest become zero."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch

from merging_core.masks.info import MaskContext, MaskInfo, density_parameter
from merging_core.methods.info import ParameterInfo, Parameters, Source

__all__ = ["MAGNITUDE", "keep_largest", "kept_count", "kth_largest_magnitude", "magnitude_threshold", "scope_parameter"]

_HALF = 16
_BINS = 1 << _HALF
_PIECE = 1 << 22
_BATCH = 1 << 20
_SMALL = _BINS


def kept_count(size: int, density: float) -> int:
    """Return how many of `size` elements a density asks for: k = max(1, ⌊density·size + 10⁻⁹⌋).

    The 10⁻⁹ undoes binary fractions: 0.29·100 is a little less than 29 in floating point.

    >>> kept_count(100, 0.29), kept_count(4, 0.1), kept_count(7, 1.0)
    (29, 1, 7)
    """
    return min(size, max(1, math.floor(density * size + 1e-9)))


def kth_largest_magnitude(pieces: Iterable[torch.Tensor], k: int) -> torch.Tensor:
    """Return the k-th largest |x| over all pieces, exactly.

    The bits of a non-negative float32, read as an integer, are ordered as the numbers are. So the answer is found by
    counting: once by the upper 16 bits, once by the lower 16 among those that share the upper ones. Counts are
    integers: the result does not depend on pieces, threads or device, and no sorted copy is needed.

    Shapes: each piece [n] float32, finite; returns a 0-dim float32 tensor on the pieces' device. `pieces` is walked
    twice.

    Raises ValueError if there are fewer than k elements, or k < 1.

    >>> kth_largest_magnitude([torch.tensor([0.5, -3.0]), torch.tensor([2.0])], 2).item()
    2.0
    """
    upper = _histogram(pieces, None)
    if k < 1 or upper is None or int(upper.sum()) < k:
        raise ValueError(f"there is no element of rank {k}")
    bin_of, above = _bin_of_rank(upper, k)
    lower = _histogram(pieces, bin_of)
    if lower is None:
        raise ValueError("pieces must give the same elements when they are walked again")
    low, _ = _bin_of_rank(lower, k - above)
    return torch.tensor((bin_of << _HALF) | low, dtype=torch.int32, device=upper.device).view(torch.float32)


def _histogram(pieces: Iterable[torch.Tensor], upper: int | None) -> torch.Tensor | None:
    """Count by upper 16 bits, or, given those, by the lower 16 bits of the elements that have them."""
    counts: torch.Tensor | None = None
    for batch in _batches(pieces):
        for part in torch.split(batch, _PIECE):
            bits = part.detach().abs().view(torch.int32)
            word = bits >> _HALF if upper is None else bits[(bits >> _HALF) == upper] & (_BINS - 1)
            found = torch.bincount(word, minlength=_BINS)
            counts = found if counts is None else counts + found
    return counts


def _batches(pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Join small neighbours, so that there are more elements than bins in each count."""
    held, size = list[torch.Tensor](), 0
    for piece in pieces:
        held.append(piece.reshape(-1))
        size += piece.numel()
        if size >= _BATCH:
            yield held[0] if len(held) == 1 else torch.cat(held)
            held, size = [], 0
    if held:
        yield torch.cat(held)


def _bin_of_rank(counts: torch.Tensor, rank: int) -> tuple[int, int]:
    """Return the bin, counted from the largest, that holds the element of this rank, and how many lie above the bin."""
    reached = counts.flip(0).cumsum(0)
    index = int(torch.searchsorted(reached, rank))
    above = int(reached[index - 1]) if index > 0 else 0
    return _BINS - 1 - index, above


def magnitude_threshold(pieces: Iterable[torch.Tensor], params: Parameters) -> torch.Tensor:
    """Return the smallest magnitude that survives: the k-th largest |τ|, k = max(1, ⌊density·n⌋).

    Shapes: each piece [n] float32 → 0-dim float32. `pieces` is walked up to three times.

    Raises ValueError if there are no elements.

    >>> magnitude_threshold([torch.tensor([0.5, -3.0, 2.0, 1.0])], Parameters(density=0.5)).item()
    2.0
    """
    density = params.number("density")
    size, held = 0, list[torch.Tensor]()
    for piece in pieces:
        size += piece.numel()
        if size <= _SMALL:
            held.append(piece.reshape(-1))
    k = kept_count(size, density)
    if 0 < size <= _SMALL:
        # Selecting directly costs less here than counting into 65 536 bins; the answer is the same.
        return torch.kthvalue(torch.cat(held).detach().abs(), size + 1 - k).values
    return kth_largest_magnitude(pieces, k)


def keep_largest(vector: torch.Tensor, context: MaskContext) -> torch.Tensor:
    """Keep τᵢ where |τᵢ| ≥ threshold, and put zero elsewhere; every element that ties with the threshold stays.

    Shapes: vector [n] float32 → [n]. `context.threshold` comes from `magnitude_threshold`; at density 1 it is not
    needed and the vector is returned as it is.

    Raises ValueError if the threshold is missing.

    Source: Yadav et al. (2023), arXiv 2306.01708, algorithm 1, step “trim”. Ties at the threshold all stay, so slightly
    more than k elements may survive; the paper leaves them open, and keeping them depends on no order of elements.

    >>> context = MaskContext(Parameters(density=0.5), torch.tensor(2.0))
    >>> keep_largest(torch.tensor([0.5, -3.0, 2.0, 1.0]), context).tolist()
    [0.0, -3.0, 2.0, 0.0]
    """
    if context.params.get("density") == 1.0:
        return vector
    if context.threshold is None:
        raise ValueError("the magnitude mask needs its threshold first")
    # One pass: hardshrink keeps what is above a number, here the float32 just below the threshold. −0 becomes 0.
    below = torch.nextafter(context.threshold, torch.zeros_like(context.threshold))
    return torch.nn.functional.hardshrink(vector, float(below))


def scope_parameter(default: str) -> ParameterInfo:
    """Return the choice of what the k largest are taken over.

    >>> scope_parameter("model").choices
    ('leaf', 'model')
    """
    return ParameterInfo(
        name="scope",
        title="Largest within",
        kind="choice",
        default=default,
        help="Whether the largest changes are chosen within each leaf or over the whole model.",
        choices=("leaf", "model"),
    )


MAGNITUDE = MaskInfo(
    name="magnitude",
    title="Magnitude",
    formula="τ̂ᵢ = τᵢ where |τᵢ| ≥ k-th largest |τ|, else 0; k = max(1, ⌊density·n⌋)",
    summary="Only the largest changes of each expert are kept; the many small ones hardly matter and mostly disturb.",
    source=Source(
        "Yadav et al.",
        2023,
        "TIES-Merging: Resolving Interference When Merging Models",
        "https://arxiv.org/abs/2306.01708",
        "algorithm 1, trim",
        "all elements that tie with the threshold are kept",
    ),
    parameters=(
        density_parameter(0.2, "The fraction of each task vector's elements that is kept."),
        scope_parameter("leaf"),
    ),
    stochastic=False,
    apply=keep_largest,
    threshold=magnitude_threshold,
)
