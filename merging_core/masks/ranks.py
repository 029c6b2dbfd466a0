"""Ranks among magnitudes, found exactly by counting: no sorted copy, and the same answer however a vector is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

__all__ = ["magnitudes_at", "magnitudes_of_ranks", "standings"]

_HALF = 16
_BINS = 1 << _HALF
_PIECE = 1 << 22
_BATCH = 1 << 20
_SMALL = _BINS


def magnitudes_at(pieces: Iterable[torch.Tensor], ranks: Callable[[int], Sequence[int]]) -> torch.Tensor:
    """Return the magnitudes at the ranks that `ranks(n)` names for n elements: rank 1 is the largest |x|.

    Shapes: each piece [n] float32 → [R] float32. `pieces` is walked up to three times.

    Raises ValueError if there is no element of such a rank.

    >>> magnitudes_at([torch.tensor([0.5, -3.0, 2.0, 1.0])], lambda size: (1, size // 2)).tolist()
    [3.0, 2.0]
    """
    size, held = 0, list[torch.Tensor]()
    for piece in pieces:
        size += piece.numel()
        if size <= _SMALL:
            held.append(piece.reshape(-1))
    if 0 < size <= _SMALL:
        # Selecting directly costs less here than counting into 65 536 bins; the answer is the same.
        magnitudes = torch.cat(held).detach().abs()
        return torch.stack([torch.kthvalue(magnitudes, size + 1 - rank).values for rank in ranks(size)])
    return magnitudes_of_ranks(pieces, ranks(size))


def magnitudes_of_ranks(pieces: Iterable[torch.Tensor], ranks: Sequence[int]) -> torch.Tensor:
    """Return the k-th largest |x| over all pieces for each rank k, exactly.

    The bits of a non-negative float32, read as an integer, are ordered as the numbers are. So the answer is found by
    counting: once by the upper 16 bits, once by the lower 16 among those that share the upper ones. Counts are
    integers: the result does not depend on pieces, threads or device, and no sorted copy is needed.

    Shapes: each piece [n] float32, finite; returns [R] float32 on the pieces' device. `pieces` is walked twice.

    Raises ValueError if there is no element of a rank.

    >>> magnitudes_of_ranks([torch.tensor([0.5, -3.0]), torch.tensor([2.0])], (2, 3)).tolist()
    [2.0, 0.5]
    """
    upper = _histograms(pieces, (None,))[0]
    for rank in ranks:
        if rank < 1 or upper is None or int(upper.sum()) < rank:
            raise ValueError(f"there is no element of rank {rank}")
    if upper is None:
        return torch.zeros(0)
    found = [_bin_of_rank(upper, rank) for rank in ranks]
    bins = tuple(dict.fromkeys(bin_of for bin_of, _ in found))
    lower = dict(zip(bins, _histograms(pieces, bins), strict=True))
    words = []
    for rank, (bin_of, above) in zip(ranks, found, strict=True):
        counts = lower[bin_of]
        if counts is None:
            raise ValueError("pieces must give the same elements when they are walked again")
        words.append((bin_of << _HALF) | _bin_of_rank(counts, rank - above)[0])
    return torch.tensor(words, dtype=torch.int32, device=upper.device).view(torch.float32)


def standings(rows: torch.Tensor) -> torch.Tensor:
    """Return where each element stands among the magnitudes of its row: (rank + ½)/n, counted from the smallest.

    Equal magnitudes share the mean of their ranks, so the answer depends on no order of elements; the mean of a row is
    ½, and a row of one element stands at ½.

    Shapes: rows [r, n] float32 → [r, n] float32 in (0, 1).

    >>> standings(torch.tensor([[0.5, -3.0, 2.0, 2.0]])).tolist()
    [[0.125, 0.875, 0.5, 0.5]]
    """
    size = rows.shape[1]
    sorted_rows, order = rows.abs().sort(dim=1)
    places = torch.arange(size, device=rows.device).expand_as(order)
    starts = torch.ones_like(sorted_rows, dtype=torch.bool)
    starts[:, 1:] = sorted_rows[:, 1:] != sorted_rows[:, :-1]
    first = torch.where(starts, places, 0).cummax(dim=1).values
    ends = torch.ones_like(starts)
    ends[:, :-1] = starts[:, 1:]
    last = torch.where(ends, places, size).flip(1).cummin(dim=1).values.flip(1)
    middle = (first + last + 1).to(torch.float32) / (2 * size)
    return torch.empty_like(rows).scatter_(1, order, middle)


def _histograms(pieces: Iterable[torch.Tensor], uppers: Sequence[int | None]) -> list[torch.Tensor | None]:
    """Count by upper 16 bits, or, for each of those given, by the lower 16 bits of the elements that have them."""
    counts: list[torch.Tensor | None] = [None] * len(uppers)
    for batch in _batches(pieces):
        for part in torch.split(batch, _PIECE):
            bits = part.detach().abs().view(torch.int32)
            high = bits >> _HALF
            for index, upper in enumerate(uppers):
                word = high if upper is None else bits[high == upper] & (_BINS - 1)
                found = torch.bincount(word, minlength=_BINS)
                known = counts[index]
                counts[index] = found if known is None else known + found
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
